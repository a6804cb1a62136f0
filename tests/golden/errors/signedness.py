"""No common dtype."""

import tiledsl.language as T


def kernel(B: T.Tensor((64,), "int32"), C: T.Tensor((64,), "uint32")):
    with T.Kernel(1):
        for i in T.Parallel(64):
            B[i] = B[i] + C[i]
