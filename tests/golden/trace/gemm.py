import numpy as np

from tiledsl.testing.programs.gemm import K, M, N


def inputs(rng):
    return {
        "A": rng.integers(-2, 3, (M, K)).astype(np.float16),
        "B": rng.integers(-2, 3, (K, N)).astype(np.float16),
        "bias": rng.integers(-2, 3, N).astype(np.float32),
        "C": np.zeros((M, N), np.float16),
    }


def reference(A, B, bias, C):
    product = A.astype(np.float32) @ B.astype(np.float32) + bias
    return {"C": np.maximum(product, 0).astype(np.float16)}


# ruff: noqa
# expect:
# kernel kernel(A: global float16[96, 80], B: global float16[80, 64], bias: global float32[64], C: global float16[96, 64]) {
#   launch kernel(bx in 2, by in 2) threads(thread in 128) raster(panel=4) {
#     alloc A_shared: shared float16[64, 32]
#     alloc B_shared: shared float16[32, 32]
#     alloc total: fragment float32[64, 32]
#     fill total, 0.0
#     for k in 3 pipelined(stages=2) {
#       copy A[by * 64 : 64, k * 32 : 32] -> A_shared
#       copy B[k * 32 : 32, bx * 32 : 32] -> B_shared
#       gemm(policy=full_row) A_shared, B_shared, total
#     }
#     parallel i in 64, j in 32 {
#       total[i, j] = max(total[i, j] + bias[bx * 32 + j], 0.0)
#     }
#     copy total -> C[by * 64 : 64, bx * 32 : 32]
#   }
# }
