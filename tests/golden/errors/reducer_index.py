"""The indices of a reducer are variables of the loop."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 16), "float32")):
    with T.Kernel(1):
        r = T.alloc_reducer((8,), "float32")
        T.clear(r)
        for i, j in T.Parallel(8, 16):
            r[7 - i] += A[i, j]
        T.finalize_reducer(r)


# ruff: noqa
# expect:
# reducer_index.py:11:13: TD0265: the reducer 'r' has indices that are not different variables of the T.Parallel loop
#                 r[7 - i] += A[i, j]
#                 ^^^^^^^^
#   hint: set it by T.clear or T.fill, update it in T.Parallel loops, r[i] += value with T.alloc_reducer's operator, and read it after T.finalize_reducer(r)
