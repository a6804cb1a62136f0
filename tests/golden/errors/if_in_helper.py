"""A plain helper function cannot branch on a traced value."""

import tiledsl.language as T


def relu(x):
    if x < 0:
        return 0
    return x


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            A[0, i] = relu(A[1, i])
