"""The lanes of a vector are a constant."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16"), n: T.int32):
    with T.Kernel(1):
        for i in T.vectorized(n):
            A[0, i] = 0
