"""More indices than dimensions."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i, j in T.Parallel(128, 64):
            A[0, i, j] = 0
