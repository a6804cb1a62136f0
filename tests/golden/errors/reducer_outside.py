"""A reducer is updated by the points of a loop, not by every thread."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 16), "float32")):
    with T.Kernel(1):
        r = T.alloc_reducer((1,), "float32")
        T.clear(r)
        r[0] += A[0, 0]
        T.finalize_reducer(r)


# ruff: noqa
# expect:
# reducer_outside.py:10:9: TD0265: the reducer 'r' is updated outside of a T.Parallel loop
#             r[0] += A[0, 0]
#             ^^^^
#   hint: set it by T.clear or T.fill, update it in T.Parallel loops, r[i] += value with T.alloc_reducer's operator, and read it after T.finalize_reducer(r)
