import numpy as np


def inputs(rng):
    return {"A": rng.integers(-9, 9, (24, 40)).astype(np.float32), "B": np.zeros((24, 40), np.float32)}


def reference(A, B):
    return {"B": A * 2}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[24, 40], B: global float32[24, 40]) -> B {
#   launch kernel(bx in 2) threads(thread in 128) {
#     alloc rows: shared float32[16, 40]
#     copy A[bx * 16 : 16, 0 : 40] -> rows
#     parallel i in 16, j in 40 {
#       rows[i, j] = rows[i, j] * 2.0
#     }
#     copy rows -> B[bx * 16 : 16, 0 : 40]
#   }
# }
