import numpy as np


def inputs(rng):
    return {name: rng.integers(0, 99, (48, 40)).astype(np.float32) for name in "AB"}


def reference(A, B):
    return {"B": A + B}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[48, 40], B: global float32[48, 40]) {
#   launch kernel(block in 4) threads(thread in 32) {
#     for tile in 30 persistent(group=2) {
#       let by = min(tile % 12 // max(1, min(2, 5 - min(tile // 12, 2) * 2)), 5)
#       let bx = min(min(tile // 12, 2) * 2 + tile % 12 % max(1, min(2, 5 - min(tile // 12, 2) * 2)), 4)
#       parallel i in 8, j in 8 {
#         B[by * 8 + i, bx * 8 + j] = A[by * 8 + i, bx * 8 + j] + B[by * 8 + i, bx * 8 + j]
#       }
#     }
#   }
# }
