"""Sequences begin outside of T.Parallel."""

import tiledsl.language as T


def kernel(A: T.Tensor((16,), "uint32")):
    with T.Kernel(1, threads=32):
        for i in T.Parallel(4):
            T.rng_init(i)


# ruff: noqa
# expect:
# random_seeded_by_points.py:9:13: TD0129: T.rng_init works on whole tiles, and stands in a T.Parallel loop, whose body is the work of one element
#                 T.rng_init(i)
#                 ^^^^^^^^^^^^^
#   hint: move it out of the loop, or write the element: C[i, j] = ...
