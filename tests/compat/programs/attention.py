"""Macros, reductions, a running maximum, a mask: attention, causal or not."""

import numpy as np

import tiledsl.compat.tilelang as tilelang
import tiledsl.compat.tilelang.language as T


@tilelang.jit(out_idx=[3], pass_configs={tilelang.PassConfigKey.TL_ENABLE_FAST_MATH: True})
def attention(batch, heads, length, dim, is_causal, block_M=32, block_N=32, threads=64):
    scale = (1.0 / dim) ** 0.5 * 1.44269504
    shape = [batch, length, heads, dim]
    dtype, accum_dtype = T.float16, T.float32

    @T.macro
    def softmax(scores, scores_cast, highest, before, rescale, row_sum, total):
        T.copy(highest, before)
        T.fill(highest, -T.infinity(accum_dtype))
        T.reduce_max(scores, highest, dim=1, clear=False)
        for i in T.Parallel(block_M):
            highest[i] = T.max(highest[i], before[i])
            rescale[i] = T.exp2(before[i] * scale - highest[i] * scale)
        for i, j in T.Parallel(block_M, block_N):
            scores[i, j] = T.exp2(scores[i, j] * scale - highest[i] * scale)
        T.reduce_sum(scores, row_sum, dim=1)
        for i in T.Parallel(block_M):
            total[i] = total[i] * rescale[i] + row_sum[i]
        T.copy(scores, scores_cast)

    @T.prim_func
    def main(
        Q: T.Tensor(shape, dtype),
        K: T.Tensor(shape, dtype),
        V: T.Tensor(shape, dtype),
        Output: T.Tensor(shape, dtype),
    ):
        with T.Kernel(T.ceildiv(length, block_M), heads, batch, threads=threads) as (bx, by, bz):
            Q_shared = T.alloc_shared([block_M, dim], dtype)
            K_shared = T.alloc_shared([block_N, dim], dtype)
            V_shared = T.alloc_shared([block_N, dim], dtype)
            scores = T.alloc_fragment([block_M, block_N], accum_dtype)
            scores_cast = T.alloc_fragment([block_M, block_N], dtype)
            out = T.alloc_fragment([block_M, dim], accum_dtype)
            highest, before = T.alloc_fragment([block_M], accum_dtype), T.alloc_fragment([block_M], accum_dtype)
            rescale, row_sum = T.alloc_fragment([block_M], accum_dtype), T.alloc_fragment([block_M], accum_dtype)
            total = T.alloc_fragment([block_M], accum_dtype)
            T.copy(Q[bz, bx * block_M : (bx + 1) * block_M, by, :], Q_shared)
            T.fill(out, 0)
            T.fill(total, 0)
            T.fill(highest, -T.infinity(accum_dtype))
            blocks = T.ceildiv((bx + 1) * block_M, block_N) if is_causal else T.ceildiv(length, block_N)
            for k in T.Pipelined(blocks, num_stages=1):
                T.copy(K[bz, k * block_N : (k + 1) * block_N, by, :], K_shared)
                if is_causal:
                    for i, j in T.Parallel(block_M, block_N):
                        visible = bx * block_M + i >= k * block_N + j
                        scores[i, j] = T.if_then_else(visible, 0, -T.infinity(scores.dtype))
                else:
                    T.clear(scores)
                T.gemm(Q_shared, K_shared, scores, transpose_B=True, policy=T.GemmWarpPolicy.FullRow)
                softmax(scores, scores_cast, highest, before, rescale, row_sum, total)
                for i, j in T.Parallel(block_M, dim):
                    out[i, j] *= rescale[i]
                T.copy(V[bz, k * block_N : (k + 1) * block_N, by, :], V_shared)
                T.gemm(scores_cast, V_shared, out, policy=T.GemmWarpPolicy.FullRow)
            for i, j in T.Parallel(block_M, dim):
                out[i, j] /= total[i]
            T.copy(out, Output[bz, bx * block_M : (bx + 1) * block_M, by, :])

    return main


def reference(q, k, v, is_causal):
    scores = np.einsum("bqhd,bkhd->bhqk", q.astype(np.float64), k.astype(np.float64)) / np.sqrt(q.shape[-1])
    if is_causal:
        scores = np.where(np.tril(np.ones(scores.shape[-2:], bool)), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("bhqk,bkhd->bqhd", weights, v.astype(np.float64))


def main():
    for is_causal in (False, True):
        kernel = attention(1, 2, 64, 32, is_causal)
        profiler = kernel.get_profiler(tensor_supply_type=tilelang.TensorSupplyType.Randn)
        profiler.assert_allclose(lambda q, k, v, c=is_causal: reference(q, k, v, c), rtol=1e-2, atol=1e-2)
