import numpy as np


def inputs(rng):
    a = rng.integers(-9, 9, (4, 32)).astype(np.float32)
    return {"A": a, "B": np.zeros(4, np.float32), "C": np.zeros((4, 32), np.float32)}


def reference(A, B, C):
    return {"B": A[np.arange(4), 31 - np.arange(4)] * 2 + 4, "C": A * 2 - np.roll(A * 2, -1, 1)}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[4, 32], B: global float32[4], C: global float32[4, 32]) {
#   launch kernel(bx in 1) threads(thread in 32, 4) {
#     let x = thread % 32
#     let y = thread // 32
#     alloc S: shared float32[4, 32]
#     S[y, x] = A[y, x] * 2.0
#     barrier
#     if x == y {
#       B[y] = S[y, 31 - x] + 4.0
#     }
#     alloc pair: local float32[2]
#     for q in 2 unrolled {
#       pair[q] = S[y, (thread % 32 + q) % 32]
#     }
#     C[y, thread % 32] = pair[0] - pair[1]
#   }
# }
