import numpy as np


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
