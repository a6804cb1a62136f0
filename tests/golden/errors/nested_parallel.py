"""Parallel loops cannot be nested."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(128):
            for j in T.Parallel(64):
                A[i, j] = 0
