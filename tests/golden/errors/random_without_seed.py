"""Numbers are drawn from a sequence that was begun."""

import tiledsl.language as T


def kernel(A: T.Tensor((16,), "uint32")):
    with T.Kernel(1, threads=32):
        A[0] = T.rng_rand()


# ruff: noqa
# expect:
# random_without_seed.py:8:16: TD0287: T.rng_rand has no sequence to draw from
#             A[0] = T.rng_rand()
#                    ^^^^^^^^^^^^
#   hint: begin one by T.rng_init(seed), in this block of code or one around it
