"""A vector is no matrix."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_shared((128,), "float16")
        C = T.alloc_fragment((128, 128), "float32")
        T.gemm(X, X, C)
