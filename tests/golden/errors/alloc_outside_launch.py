"""Tiles belong to a block."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    S = T.alloc_shared((128, 64), "float16")
    with T.Kernel(1):
        T.copy(A, S)
