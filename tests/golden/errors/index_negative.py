"""A constant index before the beginning."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(128):
            A[i, -65] = 0
