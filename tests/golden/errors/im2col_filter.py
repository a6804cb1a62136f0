"""A filter that is larger than the image and its padding."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 8, 8, 32), "float16")):
    with T.Kernel(4, threads=128) as bx:
        S = T.alloc_shared((64, 32), "float16")
        T.im2col(A, S, bx, 0, 5, 1, 3, 2)


# ruff: noqa
# expect:
# im2col_filter.py:9:9: TD0258: the filter of T.im2col reaches over 13 pixels, which do not fit into 'A' (4, 8, 8, 32) with a padding of 2
#             T.im2col(A, S, bx, 0, 5, 1, 3, 2)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: check kernel, dilation and pad: a side of the image plus twice the padding is at least dilation * (kernel - 1) + 1
