"""Bit operations take integers."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            A[0, i] = A[0, i] & 1
