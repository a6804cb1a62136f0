import numpy as np


def inputs(rng):
    return {
        "A": rng.integers(0, 9, (32, 64)).astype(np.float32),
        "B": np.zeros((64, 32), np.float32),
        "C": rng.integers(-9, 9, (32, 64)).astype(np.float32),
        "D": np.zeros(4, np.int32),
    }


def reference(A, B, C, D):
    B = A.T.copy()
    B[0:2] = 5
    sums = np.cumsum(A, 1)
    C = C + sums
    C[0] = np.maximum(C[0], 0)
    return {"B": B, "C": C, "D": np.bincount(sums.astype(int).ravel() & 3, minlength=4).astype(np.int32)}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[32, 64], B: global float32[64, 32], C: global float32[32, 64], D: global int32[4]) {
#   launch kernel(bx in 1) threads(thread in 64) {
#     alloc S: shared float32[32, 64]
#     alloc R: shared float32[64, 32]
#     copy A -> S
#     transpose S -> R
#     fill R[0 : 2, 0 : 32], 5.0
#     copy R -> B
#     scan(sum, dim=1) S -> S
#     atomic(add) S -> C
#     view flat: shared float32[2048] of S
#     parallel i in 2048 {
#       atomic_update(add) D[cast<index>(cast<int32>(flat[i]) & 3)], 1
#     }
#     fill flat, 0.0
#     atomic(max) S[0, 0 : 64] -> C[0, 0 : 64]
#   }
# }
