"""A Python list cannot be indexed with a traced value."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    scales = [1.0, 2.0, 4.0, 8.0]
    with T.Kernel(1):
        for i in range(4):
            A[0, i] = A[0, i] * scales[i]
