import numpy as np


def inputs(rng):
    a = rng.integers(-9, 9, (2, 16, 16)).astype(np.float32)
    return {"A": a, "B": np.zeros((2, 16), np.float32), "C": np.zeros(2, np.int32)}


def reference(A, B, C):
    return {"B": A.sum(2) * 4, "C": np.array([4, 7], np.int32)}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[2, 16, 16], B: global float32[2, 16], C: global int32[2]) {
#   launch kernel(b in 2) threads(thread in 64) {
#     alloc tile: fragment float32[16, 16]
#     copy A[b, 0 : 16, 0 : 16] -> tile
#     parallel i in 16, j in 16 {
#       tile[i, j] = tile[i, j] + tile[i, j]
#     }
#     parallel i_1 in 16, j_1 in 16 {
#       tile[i_1, j_1] = tile[i_1, j_1] + tile[i_1, j_1]
#     }
#     alloc sums: fragment float32[16]
#     reduce(sum, dim=1) tile -> sums
#     copy sums -> B[b, 0 : 16]
#     alloc count: var int32 = 1
#     count = cast<int32>(cast<index>(count) + (b + 1))
#     let by = (b + 1) * 2
#     count = cast<int32>(cast<index>(count) + by)
#     C[b] = count
#   }
# }
