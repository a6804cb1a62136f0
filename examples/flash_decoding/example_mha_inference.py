"""Attention of few queries to many keys: the keys are dealt to blocks, and a second launch combines the parts."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

LOG2E = 1.4426950408889634


def mha_inference(
    batch, heads, seq_q, seq_k, dim, splits=4, block_M=128, block_N=64, num_stages=2, threads=256, rows=16
):
    """O = softmax(Q K^T / sqrt(dim)) V; (batch, sequence, heads, dim) in fp16. The second launch has blocks of `rows`.

    Each part is divided by its own sum; the parts are added with the weights that their sums have among all.
    """
    scale = dim**-0.5 * LOG2E
    part = -(-seq_k // (splits * block_N)) * block_N
    ragged = seq_k != splits * part
    policy = T.GemmWarpPolicy.FullRow

    @tiledsl.kernel(out_idx=-1, fast_math=True)
    def mha_inference(
        Q: T.Tensor((batch, seq_q, heads, dim), T.float16),
        K: T.Tensor((batch, seq_k, heads, dim), T.float16),
        V: T.Tensor((batch, seq_k, heads, dim), T.float16),
        O: T.Tensor((batch, seq_q, heads, dim), T.float16),
    ):
        partial = T.alloc_global((batch, heads, splits, seq_q, dim), T.float32)
        lse = T.alloc_global((batch, heads, splits, seq_q), T.float32)

        with T.Kernel(T.ceildiv(seq_q, block_M), heads * batch, splits, threads=threads) as (bx, by, bs):
            bh, bb = by % heads, by // heads
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

            T.copy(Q[bb, bx * block_M : (bx + 1) * block_M, bh, :], Q_shared)
            T.clear(out)
            T.clear(total)
            T.fill(greatest, -1e30)
            for k in T.Pipelined(part // block_N, num_stages=num_stages):
                first = bs * part + k * block_N
                T.copy(K[bb, first : first + block_N, bh, :], K_shared)
                T.gemm(Q_shared, K_shared, scores, transpose_B=True, clear_accum=True, policy=policy)
                if ragged:
                    for i, j in T.Parallel(block_M, block_N):
                        scores[i, j] = T.if_then_else(first + j < seq_k, scores[i, j], -T.infinity(T.float32))
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
                T.copy(V[bb, first : first + block_N, bh, :], V_shared)
                T.gemm(weights, V_shared, out, policy=policy)
            for i, j in T.Parallel(block_M, dim):
                out[i, j] = out[i, j] / T.max(total[i], 1e-30)
            T.copy(out, partial[bb, bh, bs, bx * block_M : (bx + 1) * block_M, :])
            for i in T.Parallel(block_M):
                greatest[i] = T.log2(total[i]) + greatest[i] * scale
            T.copy(greatest, lse[bb, bh, bs, bx * block_M : (bx + 1) * block_M])

        with T.Kernel(T.ceildiv(seq_q, rows), heads, batch, threads=128) as (bx, bh, bb):
            acc = T.alloc_fragment((rows, dim), T.float32)
            highest = T.alloc_fragment((rows,), T.float32)
            weight = T.alloc_fragment((rows,), T.float32)
            norm = T.alloc_fragment((rows,), T.float32)
            T.fill(highest, -T.infinity(T.float32))
            for s in range(splits):
                for i in T.Parallel(rows):
                    highest[i] = T.max(highest[i], lse[bb, bh, s, bx * rows + i])
            T.clear(acc)
            T.clear(norm)
            for s in T.unroll(splits):
                for i in T.Parallel(rows):
                    weight[i] = T.exp2(lse[bb, bh, s, bx * rows + i] - highest[i])
                    norm[i] = norm[i] + weight[i]
                for i, j in T.Parallel(rows, dim):
                    acc[i, j] = acc[i, j] + weight[i] * partial[bb, bh, s, bx * rows + i, j]
            for i, j in T.Parallel(rows, dim):
                acc[i, j] = acc[i, j] / norm[i]
            T.copy(acc, O[bb, bx * rows : (bx + 1) * rows, bh, :])

    return mha_inference


def reference(Q, K, V):
    """In float64."""
    q, k, v = (x.astype(np.float64) for x in (Q, K, V))
    scores = np.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(q.shape[-1])
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return {"O": np.einsum("bhqk,bkhd->bqhd", e / e.sum(axis=-1, keepdims=True), v).astype(np.float16)}


def rows():
    def case(batch, heads, seq_q, seq_k, dim, **options):
        return Case(
            f"example-mha-inference-{seq_q}x{seq_k}x{dim}",
            mha_inference(batch, heads, seq_q, seq_k, dim, **options),
            lambda draw: {
                "Q": draw(batch, seq_q, heads, dim),
                "K": draw(batch, seq_k, heads, dim),
                "V": draw(batch, seq_k, heads, dim),
            },
            reference,
            exact=False,
            rtol=2e-3,
            atol=2e-3,
        )

    yield Row(
        "example_mha_inference",
        "128 queries against 2048 keys of 128 float16, 32 heads",
        timed=(case(1, 32, 128, 2048, 128),),
        reduced=(case(1, 2, 128, 256, 128, splits=2), case(1, 2, 100, 300, 64, splits=3)),
        tilelang=(0.0798,),
    )


if __name__ == "__main__":
    main(rows())
