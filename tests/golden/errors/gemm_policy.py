"""A policy that does not exist."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        X = T.alloc_shared((64, 64), "float16")
        C = T.alloc_fragment((64, 64), "float32")
        T.gemm(X, X, C, policy="diagonal")
