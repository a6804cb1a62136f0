"""Two launches that share a workspace in global memory."""

import tiledsl.language as T


def kernel(A: T.Tensor((64,), "float32"), B: T.Tensor((1,), "float32")):
    partial = T.alloc_global((4,), "float32")
    with T.Kernel(4, threads=32) as b:
        part = T.alloc_fragment((16,), "float32")
        total = T.alloc_fragment((1,), "float32")
        T.copy(A[b * 16], part)
        T.reduce_sum(part, total, dim=0)
        T.copy(total, partial[b])
    with T.Kernel(1, threads=32):
        parts = T.alloc_fragment((4,), "float32")
        total = T.alloc_fragment((1,), "float32")
        T.copy(partial, parts)
        T.reduce_max(parts, total)
        T.copy(total, B)
