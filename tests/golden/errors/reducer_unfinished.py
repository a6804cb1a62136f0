"""The parts of a reducer must be combined."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 16), "float32")):
    with T.Kernel(1):
        r = T.alloc_reducer((8,), "float32")
        T.clear(r)
        for i, j in T.Parallel(8, 16):
            r[i] += A[i, j]


# ruff: noqa
# expect:
# reducer_unfinished.py:11:13: TD0265: the reducer 'r' is updated, but T.finalize_reducer never combines its parts
#                 r[i] += A[i, j]
#                 ^^^^
#   hint: set it by T.clear or T.fill, update it in T.Parallel loops, r[i] += value with T.alloc_reducer's operator, and read it after T.finalize_reducer(r)
