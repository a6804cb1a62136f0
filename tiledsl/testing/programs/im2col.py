"""Tiles of the matrix of a convolution: of half an image, of another type, of an unknown number of images."""

import tiledsl.language as T

n = T.dynamic("n")


def kernel(A: T.Tensor((n, 4, 6, 8), "float16"), B: T.Tensor((24, 36), "float32"), C: T.Tensor((24, 72), "float16")):
    with T.Kernel(2, threads=64) as bx:
        S = T.alloc_shared((12, 36), "float32")
        R = T.alloc_shared((24, 72), "float16")
        T.im2col(A, S, bx, 1, 3, 1, 1, 1)
        T.copy(S, B[bx * 12, 0])
        if bx == 0:
            T.c2d_im2col(A, R, 0, 0, kernel=3, stride=2, dilation=2, pad=2)
            T.copy(R, C)
