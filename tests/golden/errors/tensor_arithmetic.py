"""Arithmetic works on elements."""

import tiledsl.language as T


def kernel(A: T.Tensor((128, 64), "float16")):
    with T.Kernel(1):
        S = T.alloc_fragment((128, 64), "float16")
        T.copy(A, S)
        S = S * 2
