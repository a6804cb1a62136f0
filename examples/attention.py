"""Attention: the fused forward pass, causal and not, and a two-kernel decode that splits the keys."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case

LOG2E = 1.4426950408889634


def flash_attention(batch, heads, seq_q, seq_k, dim, causal, block_M=64, block_N=64, num_stages=2, threads=128):
    """O = softmax(Q K^T / sqrt(dim)) V without the matrix of scores; (batch, sequence, heads, dim) in fp16.

    Source: Dao, "FlashAttention-2", algorithm 1. Causal: query i sees the keys 0 .. i.
    """
    scale = dim**-0.5 * LOG2E
    shape_q = (batch, seq_q, heads, dim)
    shape_k = (batch, seq_k, heads, dim)
    ragged = seq_k % block_N != 0

    @tiledsl.kernel(out_idx=-1)
    def flash_attention(
        Q: T.Tensor(shape_q, T.float16),
        K: T.Tensor(shape_k, T.float16),
        V: T.Tensor(shape_k, T.float16),
        O: T.Tensor(shape_q, T.float16),
    ):
        with T.Kernel(T.ceildiv(seq_q, block_M), heads, batch, threads=threads) as (bx, by, bz):
            Q_shared = T.alloc_shared((block_M, dim), T.float16)
            K_shared = T.alloc_shared((block_N, dim), T.float16)
            V_shared = T.alloc_shared((block_N, dim), T.float16)
            scores = T.alloc_fragment((block_M, block_N), T.float32)
            weights = T.alloc_fragment((block_M, block_N), T.float16)
            out = T.alloc_fragment((block_M, dim), T.float32)
            greatest = T.alloc_fragment((block_M,), T.float32)
            previous = T.alloc_fragment((block_M,), T.float32)
            rescale = T.alloc_fragment((block_M,), T.float32)
            row_sum = T.alloc_fragment((block_M,), T.float32)
            total = T.alloc_fragment((block_M,), T.float32)

            T.copy(Q[bz, bx * block_M : (bx + 1) * block_M, by, :], Q_shared)
            T.clear(out)
            T.clear(total)
            T.fill(greatest, -T.infinity(T.float32))
            last = T.min(seq_k, (bx + 1) * block_M) if causal else seq_k
            for k in T.Pipelined(T.ceildiv(last, block_N), num_stages=num_stages):
                T.copy(K[bz, k * block_N : (k + 1) * block_N, by, :], K_shared)
                if causal or ragged:
                    for i, j in T.Parallel(block_M, block_N):
                        key = k * block_N + j
                        seen = (key <= bx * block_M + i) and (key < seq_k) if causal else key < seq_k
                        scores[i, j] = T.if_then_else(seen, 0.0, -T.infinity(T.float32))
                else:
                    T.clear(scores)
                T.gemm(Q_shared, K_shared, scores, transpose_B=True, policy=T.GemmWarpPolicy.FullRow)
                T.copy(greatest, previous)
                T.reduce_max(scores, greatest, dim=1, clear=False)
                for i in T.Parallel(block_M):
                    rescale[i] = T.exp2((previous[i] - greatest[i]) * scale)
                for i, j in T.Parallel(block_M, block_N):
                    scores[i, j] = T.exp2(scores[i, j] * scale - greatest[i] * scale)
                T.reduce_sum(scores, row_sum, dim=1)
                for i in T.Parallel(block_M):
                    total[i] = total[i] * rescale[i] + row_sum[i]
                T.copy(scores, weights)
                for i, j in T.Parallel(block_M, dim):
                    out[i, j] = out[i, j] * rescale[i]
                T.copy(V[bz, k * block_N : (k + 1) * block_N, by, :], V_shared)
                T.gemm(weights, V_shared, out, policy=T.GemmWarpPolicy.FullRow)
            for i, j in T.Parallel(block_M, dim):
                out[i, j] = out[i, j] / total[i]
            T.copy(out, O[bz, bx * block_M : (bx + 1) * block_M, by, :])

    return flash_attention


def split_decode(batch, heads, kv_heads, seq_k, dim, splits=2, block_N=32, threads=64):
    """One query a head against a long cache: each split attends to its part, a second kernel combines them.

    The queries that share a key head form the rows of the tile (padded to 16).
    """
    group = heads // kv_heads
    rows = 16
    scale = dim**-0.5 * LOG2E
    part = -(-seq_k // (splits * block_N)) * block_N

    @tiledsl.kernel(out_idx=-1)
    def split_decode(
        Q: T.Tensor((batch, heads, dim), T.float16),
        K: T.Tensor((batch, seq_k, kv_heads, dim), T.float16),
        V: T.Tensor((batch, seq_k, kv_heads, dim), T.float16),
        O: T.Tensor((batch, heads, dim), T.float16),
    ):
        partial = T.alloc_global((batch, heads, splits, dim), T.float32)
        lse = T.alloc_global((batch, heads, splits), T.float32)

        with T.Kernel(kv_heads, batch, splits, threads=threads) as (bh, bb, bs):
            Q_shared = T.alloc_shared((rows, dim), T.float16)
            K_shared = T.alloc_shared((block_N, dim), T.float16)
            V_shared = T.alloc_shared((block_N, dim), T.float16)
            weights_shared = T.alloc_shared((rows, block_N), T.float16)
            scores = T.alloc_fragment((rows, block_N), T.float32)
            out = T.alloc_fragment((rows, dim), T.float32)
            greatest = T.alloc_fragment((rows,), T.float32)
            previous = T.alloc_fragment((rows,), T.float32)
            rescale = T.alloc_fragment((rows,), T.float32)
            row_sum = T.alloc_fragment((rows,), T.float32)
            total = T.alloc_fragment((rows,), T.float32)

            for i, j in T.Parallel(rows, dim):
                Q_shared[i, j] = T.if_then_else(i < group, Q[bb, bh * group + i, j], T.float16(0))
            T.clear(out)
            T.clear(total)
            T.fill(greatest, -1e30)
            for k in T.Pipelined(part // block_N, num_stages=2):
                T.copy(K[bb, bs * part + k * block_N : bs * part + (k + 1) * block_N, bh, :], K_shared)
                for i, j in T.Parallel(rows, block_N):
                    scores[i, j] = T.if_then_else(bs * part + k * block_N + j < seq_k, 0.0, -T.infinity(T.float32))
                T.gemm(Q_shared, K_shared, scores, transpose_B=True)
                T.copy(greatest, previous)
                T.reduce_max(scores, greatest, dim=1, clear=False)
                for i in T.Parallel(rows):
                    rescale[i] = T.exp2((previous[i] - greatest[i]) * scale)
                for i, j in T.Parallel(rows, block_N):
                    scores[i, j] = T.exp2((scores[i, j] - greatest[i]) * scale)
                T.reduce_sum(scores, row_sum, dim=1)
                for i in T.Parallel(rows):
                    total[i] = total[i] * rescale[i] + row_sum[i]
                T.copy(scores, weights_shared)
                for i, j in T.Parallel(rows, dim):
                    out[i, j] = out[i, j] * rescale[i]
                T.copy(V[bb, bs * part + k * block_N : bs * part + (k + 1) * block_N, bh, :], V_shared)
                T.gemm(weights_shared, V_shared, out)
            for i, j in T.Parallel(rows, dim):
                if i < group:
                    partial[bb, bh * group + i, bs, j] = T.if_then_else(total[i] > 0.0, out[i, j] / total[i], 0.0)
            for i in T.Parallel(rows):
                if i < group:
                    lse[bb, bh * group + i, bs] = T.if_then_else(
                        total[i] > 0.0, T.log2(total[i]) + greatest[i] * scale, -T.infinity(T.float32)
                    )

        with T.Kernel(heads, batch, threads=threads) as (bh, bb):
            acc = T.alloc_fragment((dim,), T.float32)
            highest = T.alloc_var(T.float32, init=-T.infinity(T.float32))
            norm = T.alloc_var(T.float32, init=0.0)
            for s in range(splits):
                highest = T.max(highest, lse[bb, bh, s])
            T.clear(acc)
            for s in range(splits):
                weight = T.exp2(lse[bb, bh, s] - highest)
                norm = norm + weight
                for j in T.Parallel(dim):
                    acc[j] = acc[j] + weight * partial[bb, bh, s, j]
            for j in T.Parallel(dim):
                O[bb, bh, j] = T.cast(acc[j] / norm, T.float16)

    return split_decode


def attention_reference(Q, K, V, causal=False):
    """In float64; (batch, sequence, heads, dim)."""
    q, k, v = (x.astype(np.float64).transpose(0, 2, 1, 3) for x in (Q, K, V))
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    if causal:
        i, j = np.ogrid[: q.shape[2], : k.shape[2]]
        scores = np.where(j <= i, scores, -np.inf)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    out = (e / e.sum(axis=-1, keepdims=True)) @ v
    return {"O": out.transpose(0, 2, 1, 3).astype(np.float16)}


def decode_reference(Q, K, V):
    group = Q.shape[1] // K.shape[2]
    k, v = (np.repeat(x, group, axis=2) for x in (K, V))
    return {"O": attention_reference(Q[:, None], k, v)["O"][:, 0]}


def cases():
    for dim in (64, 96, 128):
        for causal in (False, True):
            for seq_q, seq_k in ((128, 128), (100, 75)) if not causal else ((128, 128), (90, 90)):
                yield Case(
                    f"attention-d{dim}{'-causal' if causal else ''}-{seq_q}x{seq_k}",
                    flash_attention(1, 2, seq_q, seq_k, dim, causal),
                    lambda draw, q=seq_q, k=seq_k, d=dim: {
                        "Q": draw(1, q, 2, d),
                        "K": draw(1, k, 2, d),
                        "V": draw(1, k, 2, d),
                    },
                    lambda Q, K, V, causal=causal: attention_reference(Q, K, V, causal),
                    exact=False,
                )
    for seq_k in (128, 100, 1):  # of one key, one of the two splits is empty
        yield Case(
            f"decode-split-{seq_k}",
            split_decode(2, 8, 2, seq_k, 64),
            lambda draw, k=seq_k: {"Q": draw(2, 8, 64), "K": draw(2, k, 2, 64), "V": draw(2, k, 2, 64)},
            decode_reference,
            exact=False,
        )
