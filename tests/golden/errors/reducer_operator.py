"""A reducer is updated by its own operator."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 16), "float32")):
    with T.Kernel(1):
        r = T.alloc_reducer((8,), "float32", op="max")
        T.fill(r, 0)
        for i, j in T.Parallel(8, 16):
            r[i] += A[i, j]
        T.finalize_reducer(r)


# ruff: noqa
# expect:
# reducer_operator.py:11:13: TD0265: the reducer 'r' is stored to, but not by its operator, max
#                 r[i] += A[i, j]
#                 ^^^^
#   hint: set it by T.clear or T.fill, update it in T.Parallel loops, r[i] += value with T.alloc_reducer's operator, and read it after T.finalize_reducer(r)
