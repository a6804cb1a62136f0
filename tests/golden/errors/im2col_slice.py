"""T.im2col takes whole images, under its old name too."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 8, 8, 32), "float16")):
    with T.Kernel(4, threads=128) as bx:
        S = T.alloc_shared((64, 32), "float16")
        T.c2d_im2col(A[bx : bx + 1, :, :, :], S, 0, 0, 3, 1, 1, 1)


# ruff: noqa
# expect:
# im2col_slice.py:9:9: TD0257: img of T.c2d_im2col is a part of 'A', but must be a whole tensor (N, H, W, C)
#             T.c2d_im2col(A[bx : bx + 1, :, :, :], S, 0, 0, 3, 1, 1, 1)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: give the whole image, in global memory with constant H, W and C, and a T.alloc_shared tile
