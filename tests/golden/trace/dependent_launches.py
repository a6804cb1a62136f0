import numpy as np


def inputs(rng):
    A = rng.integers(0, 9, 64).astype(np.float32)
    return {"A": A, "B": np.zeros(64, np.float32), "C": np.zeros(64, np.float32)}


def reference(A, B, C):
    return {"B": A + 1, "C": (A + 1)[::-1] * A}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[64], B: global float32[64], C: global float32[64]) {
#   launch kernel_0(bx in 2) threads(thread in 32) {
#     dependency(kind=trigger)
#     parallel i in 32 {
#       B[bx * 32 + i] = A[bx * 32 + i] + 1.0
#     }
#   }
#   launch kernel_1(bx_1 in 1) threads(thread_1 in 32) {
#     alloc weights: fragment float32[64]
#     copy A -> weights
#     dependency(kind=wait)
#     parallel i_1 in 64 {
#       C[i_1] = B[63 - i_1] * weights[i_1]
#     }
#   }
# }
