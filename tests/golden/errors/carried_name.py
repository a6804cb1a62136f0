"""A name is used in a loop before the iteration binds it."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        total = 0.0
        for i in range(64):
            total = total + A[0, i]
        A[0, 0] = total
