"""A launch that begins before the one before it is over, and waits."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32"), B: T.Tensor((64,), "float32"), C: T.Tensor((64,), "float32")):
    with T.Kernel(2, threads=32) as bx:
        T.pdl_trigger()
        for i in T.Parallel(32):
            B[bx * 32 + i] = A[bx * 32 + i] + 1
    with T.Kernel(1, threads=32):
        weights = T.alloc_fragment((64,), "float32")
        T.copy(A, weights)
        T.pdl_sync()
        for i in T.Parallel(64):
            C[i] = B[63 - i] * weights[i]
