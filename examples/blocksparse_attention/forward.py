"""Attention to chosen blocks of keys: a mask says for each block of queries which blocks of keys it sees."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

LOG2E = 1.4426950408889634


def block_sparse_attention(
    batch, heads, seq_q, seq_k, dim, causal=True, mask_dtype=T.bool, block=64, num_stages=2, threads=128
):
    """O = softmax(Q K^T / sqrt(dim)) V in fp16 over (batch, heads, sequence, dim), of the blocks that the mask names.

    The queries are the last `seq_q` of `seq_k` positions; causal: each sees the keys up to its own. A query that sees
    no key gives 0.

    Source: Dao, "FlashAttention-2", algorithm 1. Blocks that are not chosen are neither loaded nor multiplied.
    """
    scale = dim**-0.5 * LOG2E
    past = seq_k - seq_q
    shape_q = (batch, heads, seq_q, dim)
    shape_k = (batch, heads, seq_k, dim)
    rows, columns = -(-seq_q // block), -(-seq_k // block)

    @tiledsl.kernel(out_idx=-1, fast_math=True)
    def block_sparse_attention(
        Q: T.Tensor(shape_q, T.float16),
        K: T.Tensor(shape_k, T.float16),
        V: T.Tensor(shape_k, T.float16),
        mask: T.Tensor((batch, heads, rows, columns), mask_dtype),
        O: T.Tensor(shape_q, T.float16),
    ):
        with T.Kernel(rows, heads, batch, threads=threads) as (bx, by, bz):
            Q_shared = T.alloc_shared((block, dim), T.float16)
            K_shared = T.alloc_shared((block, dim), T.float16)
            V_shared = T.alloc_shared((block, dim), T.float16)
            O_shared = T.alloc_shared((block, dim), T.float16)
            chosen = T.alloc_fragment((columns,), mask_dtype)
            scores = T.alloc_fragment((block, block), T.float32)
            weights = T.alloc_fragment((block, block), T.float16)
            out = T.alloc_fragment((block, dim), T.float32)
            greatest = T.alloc_fragment((block,), T.float32)
            previous = T.alloc_fragment((block,), T.float32)
            rescale = T.alloc_fragment((block,), T.float32)
            row_sum = T.alloc_fragment((block,), T.float32)
            total = T.alloc_fragment((block,), T.float32)

            first_query = bx * block
            position = past + first_query
            T.copy(Q[bz, by, first_query : first_query + block, :], Q_shared)
            T.copy(mask[bz, by, bx, :], chosen)
            T.clear(out)
            T.clear(total)
            T.fill(greatest, -1e30)
            end = T.min(seq_k, position + block) if causal else seq_k
            for k in T.Pipelined(T.ceildiv(end, block), num_stages=num_stages):
                if chosen[k] != 0:
                    first_key = k * block
                    T.copy(K[bz, by, first_key : first_key + block, :], K_shared)
                    T.gemm(
                        Q_shared, K_shared, scores, transpose_B=True, clear_accum=True, policy=T.GemmWarpPolicy.FullRow
                    )
                    if (first_key + block > position + 1) if causal else (first_key + block > seq_k):
                        for i, j in T.Parallel(block, block):
                            seen = first_key + j <= position + i if causal else first_key + j < seq_k
                            scores[i, j] = T.if_then_else(seen, scores[i, j], -T.infinity(T.float32))
                    T.copy(greatest, previous)
                    T.reduce_max(scores, greatest, dim=1, clear=False)
                    for i in T.Parallel(block):
                        rescale[i] = T.exp2((previous[i] - greatest[i]) * scale)
                    for i, j in T.Parallel(block, block):
                        scores[i, j] = T.exp2(scores[i, j] * scale - greatest[i] * scale)
                    T.reduce_sum(scores, row_sum, dim=1)
                    for i in T.Parallel(block):
                        total[i] = total[i] * rescale[i] + row_sum[i]
                    T.copy(scores, weights)
                    for i, j in T.Parallel(block, dim):
                        out[i, j] = out[i, j] * rescale[i]
                    T.copy(V[bz, by, first_key : first_key + block, :], V_shared)
                    T.gemm(weights, V_shared, out, policy=T.GemmWarpPolicy.FullRow)
            for i, j in T.Parallel(block, dim):
                out[i, j] = T.if_then_else(total[i] > 0.0, out[i, j] / total[i], 0.0)
            T.copy(out, O_shared)
            T.copy(O_shared, O[bz, by, first_query : first_query + block, :])

    return block_sparse_attention


def reference(Q, K, V, mask, causal=True, block=64):
    """In float64."""
    q, k, v = (x.astype(np.float64) for x in (Q, K, V))
    scores = q @ k.swapaxes(2, 3) / np.sqrt(q.shape[-1])
    i, j = np.ogrid[k.shape[2] - q.shape[2] : k.shape[2], : k.shape[2]]
    seen = mask.astype(bool).repeat(block, axis=2).repeat(block, axis=3)[:, :, : q.shape[2], : k.shape[2]]
    scores = np.where(seen & ((j <= i) | (not causal)), scores, -np.inf)
    e = np.exp(scores - np.maximum(scores.max(-1, keepdims=True), -1e300))
    return {"O": ((e / np.maximum(e.sum(-1, keepdims=True), 1e-300)) @ v).astype(np.float16)}


def best_blocks(rng, shape, causal, count=2):
    """The `count` blocks of keys of the highest scores for each block of queries, of random scores as in training."""
    scores = rng.standard_normal(shape)
    if causal:
        i, j = np.ogrid[shape[3] - shape[2] : shape[3], : shape[3]]
        scores = np.where(j <= i, scores, -np.inf)
    return scores >= np.sort(scores, axis=-1)[..., -min(count, shape[3]), None]


def sparse_case(name, batch, heads, seq_q, seq_k, dim, causal=True, mask_dtype="bool", empty=False, **options):
    block = options.get("block", 64)
    shape = (batch, heads, -(-seq_q // block), -(-seq_k // block))

    def inputs(draw):
        mask = best_blocks(draw.rng, shape, causal)
        mask[:, :, 0] &= not empty  # those queries see nothing
        q, k = (batch, heads, seq_q, dim), (batch, heads, seq_k, dim)
        return {"Q": draw(*q), "K": draw(*k), "V": draw(*k), "mask": mask.astype(mask_dtype)}

    return Case(
        f"block-sparse-attention-{name}-{seq_q}x{seq_k}",
        block_sparse_attention(batch, heads, seq_q, seq_k, dim, causal, mask_dtype, **options),
        inputs,
        lambda Q, K, V, mask: reference(Q, K, V, mask, causal, block),
        exact=False,
        targets=("sm_80", "sm_90a"),
    )


def rows():
    yield Row(
        "example_tilelang_block_sparse_attn",
        "causal attention to 2 of the blocks of 64 keys, mask of bool: heads 1, 256 queries and keys of 64 float16",
        timed=(sparse_case("bool", 1, 1, 256, 256, 64),),
        reduced=(
            sparse_case("bool-small", 1, 1, 72, 72, 64),
            sparse_case("bool-empty", 1, 2, 190, 254, 64, empty=True),
        ),
        tilelang=(0.0078,),
    )
    yield Row(
        "block_sparse_attn_tilelang",
        "causal attention to 2 of the blocks of 64 keys, mask of int8: batch 4, heads 2, 256 queries and keys of 64 "
        "float16; and 128 queries, 256 keys",
        timed=(
            sparse_case("int8", 4, 2, 256, 256, 64, mask_dtype="int8"),
            sparse_case("int8", 1, 1, 128, 256, 64, mask_dtype="int8"),
        ),
        reduced=(
            sparse_case("int8-small", 1, 1, 40, 100, 64, mask_dtype="int8"),
            sparse_case("int8-whole", 1, 2, 128, 200, 64, causal=False, mask_dtype="int8"),
        ),
        tilelang=(0.0103,),
    )


if __name__ == "__main__":
    main(rows())
