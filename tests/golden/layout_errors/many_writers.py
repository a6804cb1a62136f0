"""All columns of a product write to one element of a row statistic, from several threads."""

import tiledsl.language as T


def kernel(R: T.Tensor((64,), "float32")):
    with T.Kernel(1, threads=128):
        a = T.alloc_shared((64, 64), "float16")
        c = T.alloc_fragment((64, 64), "float32")
        r = T.alloc_fragment((64,), "float32")
        T.gemm(a, a, c)
        for i, j in T.Parallel(64, 64):
            r[i] = c[i, j]
        T.copy(r, R)


# ruff: noqa
# expect:
# many_writers.py:12:21: TD0305: no layout was found for fragment 'r': different threads write the same element, or its indices are not regular
#             for i, j in T.Parallel(64, 64):
#                         ^^^^^^^^^^^^^^^^^^
#   hint: annotate it with T.annotate_layout, or simplify the indices that the statement uses
