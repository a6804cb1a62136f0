"""Attention with sinks, forward: causal, whole or within a window, with keys for each head or for groups of them.

A sink is a learned number for each head that takes part in the softmax like the score of a key without a value: a
query can attend to nothing. (The attention of gpt-oss; OpenAI, "gpt-oss-120b & gpt-oss-20b Model Card", 2025.)
"""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

LOG2E = 1.4426950408889634


def sink_attention(
    batch,
    heads,
    seq_q,
    seq_k,
    dim,
    kv_heads=None,
    window=None,
    block_M=64,
    block_N=128,
    num_stages=2,
    threads=128,
):
    """O = softmax([Q K^T / sqrt(dim), sinks]) [V, 0] in fp16 over (batch, heads, sequence, dim), and `lse`, what the
    backward pass needs of it: the logarithms of each row's sum of weights, the sink's among them.

    The queries are the last `seq_q` of `seq_k` positions; each sees the keys up to its own, and of these the last
    `window` if there is one. Sinks are finite.

    Source: Dao, "FlashAttention-2", algorithm 1. Here the sums begin with the sink, as if it were the first key.
    """
    kv_heads = kv_heads or heads
    group = heads // kv_heads
    scale = dim**-0.5 * LOG2E
    past = seq_k - seq_q
    last = -(-seq_q // block_M) - 1
    shape_q = (batch, heads, seq_q, dim)
    shape_k = (batch, kv_heads, seq_k, dim)

    @tiledsl.kernel(out_idx=[4, 5], fast_math=True)
    def sink_attention(
        Q: T.Tensor(shape_q, T.float16),
        K: T.Tensor(shape_k, T.float16),
        V: T.Tensor(shape_k, T.float16),
        sinks: T.Tensor((heads,), T.float16),
        O: T.Tensor(shape_q, T.float16),
        lse: T.Tensor((batch, heads, seq_q), T.float32),
    ):
        with T.Kernel(T.ceildiv(seq_q, block_M), heads, batch, threads=threads) as (bx, by, bz):
            Q_shared = T.alloc_shared((block_M, dim), T.float16)
            K_shared = T.alloc_shared((block_N, dim), T.float16)
            V_shared = T.alloc_shared((block_N, dim), T.float16)
            O_shared = T.alloc_shared((block_M, dim), T.float16)
            scores = T.alloc_fragment((block_M, block_N), T.float32)
            weights = T.alloc_fragment((block_M, block_N), T.float16)
            out = T.alloc_fragment((block_M, dim), T.float32)
            greatest = T.alloc_fragment((block_M,), T.float32)
            previous = T.alloc_fragment((block_M,), T.float32)
            rescale = T.alloc_fragment((block_M,), T.float32)
            row_sum = T.alloc_fragment((block_M,), T.float32)
            total = T.alloc_fragment((block_M,), T.float32)

            first_query = (last - bx) * block_M  # the blocks that see most keys come first
            position = past + first_query
            T.copy(Q[bz, by, first_query : first_query + block_M, :], Q_shared)
            T.clear(out)
            T.fill(total, 1.0)
            T.fill(greatest, T.cast(sinks[by], T.float32) * dim**0.5)  # scores are not scaled yet
            end = T.min(seq_k, position + block_M)
            start = T.max(0, position - window + 1) // block_N if window else 0
            for k in T.Pipelined(start, T.ceildiv(end, block_N), num_stages=num_stages):
                first_key = k * block_N
                T.copy(K[bz, by // group, first_key : first_key + block_N, :], K_shared)
                T.gemm(Q_shared, K_shared, scores, transpose_B=True, clear_accum=True, policy=T.GemmWarpPolicy.FullRow)
                crossing = first_key + block_N > position + 1
                if window:
                    crossing = crossing or first_key <= position + block_M - 1 - window
                if crossing:
                    for i, j in T.Parallel(block_M, block_N):
                        query, key = position + i, first_key + j
                        seen = key <= query
                        if window:
                            seen = seen and key > query - window
                        scores[i, j] = T.if_then_else(seen, scores[i, j], -T.infinity(T.float32))
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
                T.copy(V[bz, by // group, first_key : first_key + block_N, :], V_shared)
                T.gemm(weights, V_shared, out, policy=T.GemmWarpPolicy.FullRow)
            for i, j in T.Parallel(block_M, dim):
                out[i, j] = out[i, j] / total[i]
            T.copy(out, O_shared)
            T.copy(O_shared, O[bz, by, first_query : first_query + block_M, :])
            for i in T.Parallel(block_M):
                total[i] = T.log(total[i]) + greatest[i] * dim**-0.5
            T.copy(total, lse[bz, by, first_query : first_query + block_M])

    return sink_attention


def reference(Q, K, V, sinks, window=None):
    """In float64."""
    group = Q.shape[1] // K.shape[1]
    q, k, v = (x.astype(np.float64) for x in (Q, np.repeat(K, group, 1), np.repeat(V, group, 1)))
    scores = q @ k.swapaxes(2, 3) / np.sqrt(q.shape[-1])
    i, j = np.ogrid[k.shape[2] - q.shape[2] : k.shape[2], : k.shape[2]]
    scores = np.where((j <= i) & (j > i - (window or k.shape[2])), scores, -np.inf)
    lse = np.logaddexp(np.logaddexp.reduce(scores, -1), sinks.astype(np.float64)[:, None])
    return {"O": (np.exp(scores - lse[..., None]) @ v).astype(np.float16), "lse": lse.astype(np.float32)}


def sink_case(name, heads, seq_q, seq_k, dim, kv_heads=None, window=None, targets=("sm_80", "sm_90a"), **options):
    kv_heads = kv_heads or heads

    def inputs(draw):
        q, k = (1, heads, seq_q, dim), (1, kv_heads, seq_k, dim)
        return {"Q": draw(*q), "K": draw(*k), "V": draw(*k), "sinks": draw(heads)}

    return Case(
        f"attention-sink-{name}-{seq_q}x{seq_k}",
        sink_attention(1, heads, seq_q, seq_k, dim, kv_heads, window, **options),
        inputs,
        lambda Q, K, V, sinks: reference(Q, K, V, sinks, window),
        exact=False,
        targets=targets,
    )


def rows():
    """Causal, and within a window, each with keys for each head, of one head and of many, and for groups of them.

    In the rows named wgmma_pipelined TileLang is told by hand what runs beside what: the scores of the next block are
    begun before the product of these weights with V, and both run beside the softmax. Here the compiler finds that.
    """
    hopper = ("sm_90a",)
    for name, heads, group, targets, times in (
        ("mha_sink_fwd_bhsd", 1, 1, ("sm_80", "sm_90a"), (0.0125, 0.0128)),
        ("mha_sink_fwd_bhsd_wgmma_pipelined", 32, 1, hopper, (0.0154, 0.0155)),
        ("gqa_sink_fwd_bhsd_wgmma_pipelined", 32, 8, hopper, (0.0144, 0.0146)),
    ):
        few = 1 if heads == 1 else 2  # heads of the cases
        label = name.replace("_sink_fwd_bhsd", "").replace("_", "-")
        for window, time in zip((None, 128), times):
            within = f", window {window}" if window else ""
            text = f"heads {heads}{f' by {group}' if group > 1 else ''}, 256 queries and keys of 128 float16{within}"
            kind = f"{label}-window" if window else label
            small = 40 if window else None
            yield Row(
                f"example_{name}{'_sliding_window' if window else ''}",
                f"causal attention with sinks, {text}",
                timed=(sink_case(kind, heads, 256, 256, 128, heads // group, window, targets),),
                reduced=(
                    sink_case(f"{kind}-d64", few, 70, 104, 64, few // min(group, few), small, targets, block_N=32),
                    sink_case(f"{kind}-d128", few, 130, 130, 128, few // min(group, few), small, targets, block_N=32),
                    sink_case(f"{kind}-d128", few, 64, 300, 128, few // min(group, few), window, targets),
                ),
                tilelang=(time,),
            )


if __name__ == "__main__":
    main(rows())
