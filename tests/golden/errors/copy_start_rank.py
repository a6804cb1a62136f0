"""A start has too few dimensions for the tile."""

import tiledsl.language as T


def kernel(A: T.Tensor((4096,), "float16")):
    with T.Kernel(4) as b:
        S = T.alloc_shared((32, 64), "float16")
        T.copy(A[b * 32], S)
