"""Two launches that share a workspace in global memory."""

import numpy as np

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


def inputs(rng):
    return {"A": rng.integers(-9, 9, 64).astype(np.float32), "B": np.zeros(1, np.float32)}


def reference(A, B):
    return {"B": A.reshape(4, 16).sum(1).max(keepdims=True)}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[64], B: global float32[1]) {
#   scratch partial: global float32[4]
#   launch kernel_0(b in 4) threads(thread in 32) {
#     alloc part: fragment float32[16]
#     alloc total: fragment float32[1]
#     copy A[b * 16 : 16] -> part
#     reduce(sum, dim=0) part -> total
#     copy total -> partial[b]
#   }
#   launch kernel_1(bx in 1) threads(thread_1 in 32) {
#     alloc parts: fragment float32[4]
#     alloc total_1: fragment float32[1]
#     copy partial -> parts
#     reduce(max, dim=0) parts -> total_1
#     copy total_1 -> B
#   }
# }
