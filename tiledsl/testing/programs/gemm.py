"""Closure style: a pipelined matrix product with a bias and a maximum."""

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
