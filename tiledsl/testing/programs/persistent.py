"""Resident blocks that work on tiles in turn, in groups of columns of which the last is narrower."""

import tiledsl.language as T


def kernel(A: T.Tensor((48, 40), "float32"), B: T.Tensor((48, 40), "float32")):
    with T.Kernel(4, threads=32) as block:
        for by, bx in T.Persistent([6, 5], 4, block, group_size=2):
            for i, j in T.Parallel(8, 8):
                B[by * 8 + i, bx * 8 + j] = A[by * 8 + i, bx * 8 + j] + B[by * 8 + i, bx * 8 + j]
