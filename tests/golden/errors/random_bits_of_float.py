"""Floats have 32 or 64 bits."""

import tiledsl.language as T


def kernel(A: T.Tensor((16,), "uint32")):
    with T.Kernel(1, threads=32):
        T.rng_init(1)
        A[0] = T.rng_rand_float(16)


# ruff: noqa
# expect:
# random_bits_of_float.py:9:16: TD0226: bit of T.rng_rand_float cannot be 16 (int)
#             A[0] = T.rng_rand_float(16)
#                    ^^^^^^^^^^^^^^^^^^^^
#   hint: allowed: 32 or 64
