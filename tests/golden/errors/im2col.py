"""T.im2col takes whole images and tiles."""

import tiledsl.language as T


def kernel(A: T.Tensor((64, 64), "float16"), B: T.Tensor((1, 8, 8, 32), "float16")):
    with T.Kernel(1, threads=128) as bx:
        S = T.alloc_shared((64, 32), "float16")
        T.im2col(A, S, bx, 0, 3, 1, 1, 1)


# ruff: noqa
# expect:
# im2col.py:9:9: TD0257: img of T.im2col is 'A' (64, 64), but must be a whole tensor (N, H, W, C)
#             T.im2col(A, S, bx, 0, 3, 1, 1, 1)
#             ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
#   hint: give the whole image, in global memory with constant H, W and C, and a T.alloc_shared tile
