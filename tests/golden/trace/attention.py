import numpy as np


def inputs(rng):
    """Of each query's keys one is far ahead, so that all weights are 1 or 0."""
    chosen = rng.integers(0, 5, 64)
    return {
        "Q": np.eye(32, dtype=np.float16)[chosen] * 64,
        "K": np.eye(80, 32, dtype=np.float16),
        "V": rng.integers(-4, 5, (80, 32)).astype(np.float16),
        "O": np.zeros((64, 32), np.float16),
    }


def reference(Q, K, V, O):
    return {"O": V[Q.argmax(1)]}


# ruff: noqa
# expect:
# kernel kernel(Q: global float16[64, 32], K: global float16[80, 32], V: global float16[80, 32], O: global float16[64, 32]) {
#   launch kernel(b in 2) threads(thread in 64) {
#     layout Qs = shared[32, 32] dims([32:32], [32:1]) size(1024) swizzle(2, 3, 3)
#     alloc Qs: shared float16[32, 32]
#     alloc Ks: shared float16[32, 32]
#     alloc Vs: shared float16[32, 32]
#     alloc scores: fragment float32[32, 32]
#     alloc weights: fragment float16[32, 32]
#     alloc out: fragment float32[32, 32]
#     alloc greatest: fragment float32[32]
#     alloc rescale: fragment float32[32]
#     alloc row: fragment float32[32]
#     alloc total: fragment float32[32]
#     copy Q[b * 32 : 32, 0 : 32] -> Qs
#     fill out, 0.0
#     fill total, 0.0
#     fill greatest, float32(-inf)
#     for k in 3 pipelined(stages=2) {
#       copy K[k * 32 : 32, 0 : 32] -> Ks
#       parallel i in 32, j in 32 {
#         scores[i, j] = select(k * 32 + j < 80, float32(0.0), float32(-inf))
#       }
#       gemm(transpose_b, policy=full_row) Qs, Ks, scores
#       copy greatest -> rescale
#       reduce(max, dim=1, clear=false) scores -> greatest
#       parallel i_1 in 32 {
#         rescale[i_1] = exp2(rescale[i_1] - greatest[i_1])
#       }
#       parallel i_2 in 32, j_1 in 32 {
#         scores[i_2, j_1] = exp2(scores[i_2, j_1] - greatest[i_2])
#       }
#       reduce(sum, dim=1) scores -> row
#       parallel i_3 in 32 {
#         total[i_3] = total[i_3] * rescale[i_3] + row[i_3]
#       }
#       parallel i_4 in 32, j_2 in 32 {
#         out[i_4, j_2] = out[i_4, j_2] * rescale[i_4]
#       }
#       copy scores -> weights
#       copy V[k * 32 : 32, 0 : 32] -> Vs
#       gemm(policy=full_row) weights, Vs, out
#     }
#     parallel i_5 in 32, j_3 in 32 {
#       out[i_5, j_3] = out[i_5, j_3] / total[i_5]
#     }
#     copy out -> O[b * 32 : 32, 0 : 32]
#   }
# }
