import numpy as np


def inputs(rng):
    a = rng.integers(-9, 9, (7, 45)).astype(np.float32)
    return {"A": a, "C": np.zeros(45, np.float32), "alpha": 2.0, "first": 3}


def reference(A, C, alpha, first):
    return {"C": A[3:].sum(0) * 2 + 45}


# ruff: noqa
# expect:
# kernel kernel<m, n>(A: global float32[m, n], C: global float32[n], alpha: float32, first: int32) {
#   launch kernel(b in (n + 32 - 1) // 32) threads(thread in 32) {
#     alloc column: fragment float32[32]
#     fill column, 0.0
#     for row in m - cast<index>(first) {
#       parallel j in 32 {
#         if b * 32 + j < n {
#           column[j] = column[j] + A[cast<index>(first) + row, b * 32 + j] * alpha
#         }
#       }
#     }
#     parallel j_1 in 32 {
#       column[j_1] = column[j_1] + cast<float32>(n)
#     }
#     copy column -> C[b * 32 : 32]
#   }
# }
