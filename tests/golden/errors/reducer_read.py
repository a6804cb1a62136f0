"""A reducer has no value before its parts are combined."""

import tiledsl.language as T


def kernel(A: T.Tensor((8, 16), "float32"), B: T.Tensor((8,), "float32")):
    with T.Kernel(1):
        r = T.alloc_reducer((8,), "float32")
        T.clear(r)
        for i, j in T.Parallel(8, 16):
            r[i] += A[i, j]
        T.copy(r, B)
        T.finalize_reducer(r)


# ruff: noqa
# expect:
# reducer_read.py:12:9: TD0265: the reducer 'r' is used before T.finalize_reducer has combined its parts
#             T.copy(r, B)
#             ^^^^^^^^^^^^
#   hint: set it by T.clear or T.fill, update it in T.Parallel loops, r[i] += value with T.alloc_reducer's operator, and read it after T.finalize_reducer(r)
