"""An option that is planned is named."""

import tiledsl.language as T


def kernel():
    with T.Kernel(1):
        S = T.alloc_shared((64, 64), "float16")
        C = T.alloc_fragment((64, 64), "float32")
        T.gemm(S, S, C, mbar=0)
