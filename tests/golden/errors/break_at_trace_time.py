"""A loop over a list is unrolled before the condition is known."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in [0, 1, 2]:
            if A[0, i] < 0:
                break
