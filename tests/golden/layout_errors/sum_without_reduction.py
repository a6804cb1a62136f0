"""All iterations of one row write the same element and read it: no sum, whatever it looks like."""

import tiledsl.language as T


def kernel(X: T.Tensor((8, 32), "float32"), Y: T.Tensor((8,), "float32")):
    with T.Kernel(1, threads=32):
        x = T.alloc_fragment((8, 32), "float32")
        total = T.alloc_fragment((8,), "float32")
        T.copy(X, x)
        T.clear(total)
        for i, j in T.Parallel(8, 32):
            total[i] = total[i] + x[i, j]
        T.copy(total, Y)


# ruff: noqa
# expect:
# sum_without_reduction.py:13:13: TD0318: the iterations of T.Parallel depend on each other: iteration (0, 31) writes 'total[0]', and iteration (0, 0) reads it
#                 total[i] = total[i] + x[i, j]
#                 ^^^^^^^^
#   note: read here (sum_without_reduction.py:13:13)
#                 total[i] = total[i] + x[i, j]
#                 ^^^^^^^^
#   hint: reduce with T.reduce_*, make the loop over that dimension serial, or write to another tile
