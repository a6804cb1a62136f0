"""The else of a kernel loop."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in range(64):
            A[0, i] = 0
        else:
            A[1, 0] = 0
