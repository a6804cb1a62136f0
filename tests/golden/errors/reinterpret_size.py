"""Reinterpretation keeps the size."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            A[0, i] = T.reinterpret("float32", A[0, i])
