"""Points draw one number each."""

import tiledsl.language as T


def kernel(A: T.Tensor((16,), "uint32")):
    with T.Kernel(1, threads=32):
        T.rng_init(1)
        for i in T.Parallel(4):
            for k in range(2):
                A[2 * i + k] = T.rng_rand()


# ruff: noqa
# expect:
# random_in_inner_loop.py:11:32: TD0288: T.rng_rand stands in a loop inside of a T.Parallel loop, whose points draw one number each
#                     A[2 * i + k] = T.rng_rand()
#                                    ^^^^^^^^^^^^
#   hint: draw outside of the inner loop, or make its iterations points of the T.Parallel loop
