import numpy as np


def inputs(rng):
    empty = {"S": np.zeros(8, np.float32), "G": np.zeros(1, np.float32)}
    return {"A": rng.integers(-9, 9, (24, 16)).astype(np.float32), **empty}


def reference(A, S, G):
    return {"S": A.reshape(3, 8, 16).sum(axis=(0, 2)), "G": np.array([A.max()])}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[24, 16], S: global float32[8], G: global float32[1]) {
#   launch kernel(bx in 1) threads(thread in 32) {
#     alloc s: fragment float32[8]
#     alloc s_partial: fragment float32[8, 16]
#     alloc g: fragment float32[1]
#     alloc g_partial: fragment float32[1, 8, 16]
#     fill s, 0.0
#     fill s_partial, 0.0
#     fill g, -5.0
#     fill g_partial, float32(-inf)
#     for k in 3 {
#       parallel i in 8, j in 16 {
#         s_partial[i, j] = s_partial[i, j] + A[k * 8 + i, j]
#       }
#       parallel i_1 in 8, j_1 in 16 {
#         g_partial[0, i_1, j_1] = max(g_partial[0, i_1, j_1], A[k * 8 + i_1, j_1])
#       }
#     }
#     reduce(sum, dim=1, clear=false) s_partial -> s
#     alloc g_partial_1: fragment float32[1, 8]
#     reduce(max, dim=2) g_partial -> g_partial_1
#     reduce(max, dim=1, clear=false) g_partial_1 -> g
#     copy g -> G
#     copy s -> S
#   }
# }
