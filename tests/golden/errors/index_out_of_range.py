"""A constant index past the end."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(128):
            A[i, 64] = 0
