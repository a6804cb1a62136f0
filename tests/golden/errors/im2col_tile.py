"""T.im2col writes a matrix."""

import tiledsl.language as T


def kernel(A: T.Tensor((4, 8, 8, 32), "float16")):
    with T.Kernel(4, threads=128) as bx:
        S = T.alloc_shared((2, 64, 32), "float16")
        T.im2col(A, S, bx, 0, 3, 1, 1, 1)


# ruff: noqa
# expect:
# im2col_tile.py:9:9: TD0257: col of T.im2col is 'S' (2, 64, 32), but must be a tile of two dimensions on chip
#             T.im2col(A, S, bx, 0, 3, 1, 1, 1)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: give the whole image, in global memory with constant H, W and C, and a T.alloc_shared tile
