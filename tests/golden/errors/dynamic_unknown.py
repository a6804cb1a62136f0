"""A run-time size that no tensor has."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(T.ceildiv(T.dynamic("rows"), 64)):
        A[0, 0] = 0
