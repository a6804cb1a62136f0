"""Closure style: a pipelined matrix product with a bias and a maximum."""

import numpy as np

import tiledsl.language as T

M, N, K = 96, 64, 80


def kernel(
    A: T.Tensor((M, K), "float16"),
    B: T.Tensor((K, N), T.float16),
    bias: T.Tensor[(N,), "float32"],
    C: T.Tensor((M, N), T.float16),
):
    with T.Kernel(T.ceildiv(N, 32), T.ceildiv(M, 64), threads=128) as (bx, by):
        A_shared = T.alloc_shared((64, 32), T.float16)
        B_shared = T.alloc_shared((32, 32), T.float16)
        total = T.alloc_fragment((64, 32), "float32")
        T.use_swizzle(4)
        T.clear(total)
        for k in T.Pipelined(T.ceildiv(K, 32), num_stages=2):
            T.copy(A[by * 64, k * 32], A_shared)
            T.copy(B[k * 32 : (k + 1) * 32, bx * 32 : (bx + 1) * 32], B_shared)
            T.gemm(A_shared, B_shared, total, policy=T.GemmWarpPolicy.FullRow)
        for i, j in T.Parallel(64, 32):
            total[i, j] = T.max(total[i, j] + bias[bx * 32 + j], 0)
        T.copy(total, C[by * 64, bx * 32])


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
