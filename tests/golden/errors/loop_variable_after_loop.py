"""The variable of a loop does not outlive it."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in range(64):
            A[0, i] = 0
        A[1, i] = 0
