"""A reduction of a fragment whose annotation deals runs of elements across the rows."""

import tiledsl.language as T


def kernel(A: T.Tensor((96, 20), "float32"), R: T.Tensor((96,), "float32")):
    with T.Kernel(1, threads=96):
        x = T.alloc_fragment((96, 20), "float32")
        r = T.alloc_fragment((96,), "float32")
        T.annotate_layout({x: T.Fragment((96, 20), lambda i, j: ((i * 20 + j) % 96, (i * 20 + j) // 96))})
        T.copy(A, x)
        T.reduce_sum(x, r, dim=1)
        T.copy(r, R)


# ruff: noqa
# expect:
# reduced_across_rows.py:12:9: TD0317: the reduction over dimension 1 of 'x' cannot follow its layout: its digits cross the rows
#             T.reduce_sum(x, r, dim=1)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: let the reduced fragment be written by a loop without a fixed layout, or copy it first
