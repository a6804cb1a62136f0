"""Decode of multi-head latent attention: all heads share one head of keys, which are the values too (DeepSeek-V2).

A key has `dim` numbers, the latent vector from which the values come, and `rope` more that only the scores see.
"""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

LOG2E = 1.4426950408889634


def mla_decode(batch, heads, seq, dim=512, rope=64, splits=1, block_H=64, block_N=64, num_stages=2, threads=256):
    """One query a head against a long cache in fp16; each split attends to its part, a second launch combines them.

    The heads are the rows of the tile. The columns of the result are dealt to the warpgroups, since 64 x 512 numbers
    fit into the registers of no single one: weights go through shared memory, where each finds all of them.
    """
    scale = (dim + rope) ** -0.5 * LOG2E
    part = -(-seq // (splits * block_N)) * block_N
    policy = T.GemmWarpPolicy.FullCol

    @tiledsl.kernel(out_idx=-1, fast_math=True)
    def mla_decode(
        Q: T.Tensor((batch, heads, dim), T.float16),
        Q_rope: T.Tensor((batch, heads, rope), T.float16),
        KV: T.Tensor((batch, seq, dim), T.float16),
        K_rope: T.Tensor((batch, seq, rope), T.float16),
        O: T.Tensor((batch, heads, dim), T.float16),
    ):
        partial = T.alloc_global((batch, splits, heads, dim), T.float32)
        lse = T.alloc_global((batch, splits, heads), T.float32)

        with T.Kernel(T.ceildiv(heads, block_H), batch, splits, threads=threads) as (bh, bb, bs):
            Q_shared = T.alloc_shared((block_H, dim), T.float16)
            Qr_shared = T.alloc_shared((block_H, rope), T.float16)
            KV_shared = T.alloc_shared((block_N, dim), T.float16)
            Kr_shared = T.alloc_shared((block_N, rope), T.float16)
            weights = T.alloc_shared((block_H, block_N), T.float16)
            scores = T.alloc_fragment((block_H, block_N), T.float32)
            out = T.alloc_fragment((block_H, dim), T.float32)
            greatest = T.alloc_fragment((block_H,), T.float32)
            previous = T.alloc_fragment((block_H,), T.float32)
            rescale = T.alloc_fragment((block_H,), T.float32)
            row_sum = T.alloc_fragment((block_H,), T.float32)
            total = T.alloc_fragment((block_H,), T.float32)

            T.copy(Q[bb, bh * block_H : (bh + 1) * block_H, :], Q_shared)
            T.copy(Q_rope[bb, bh * block_H : (bh + 1) * block_H, :], Qr_shared)
            T.clear(out)
            T.clear(total)
            T.fill(greatest, -1e30)
            for k in T.Pipelined(part // block_N, num_stages=num_stages):
                first = bs * part + k * block_N
                T.copy(KV[bb, first : first + block_N, :], KV_shared)
                T.copy(K_rope[bb, first : first + block_N, :], Kr_shared)
                T.gemm(Q_shared, KV_shared, scores, transpose_B=True, clear_accum=True, policy=policy)
                T.gemm(Qr_shared, Kr_shared, scores, transpose_B=True, policy=policy)
                if first + block_N > seq:
                    for i, j in T.Parallel(block_H, block_N):
                        scores[i, j] = T.if_then_else(first + j < seq, scores[i, j], -T.infinity(T.float32))
                T.copy(greatest, previous)
                T.reduce_max(scores, greatest, dim=1, clear=False)
                for i in T.Parallel(block_H):
                    rescale[i] = T.exp2((previous[i] - greatest[i]) * scale)
                for i, j in T.Parallel(block_H, block_N):
                    scores[i, j] = T.exp2(scores[i, j] * scale - greatest[i] * scale)
                T.reduce_sum(scores, row_sum, dim=1)
                for i in T.Parallel(block_H):
                    total[i] = total[i] * rescale[i] + row_sum[i]
                T.copy(scores, weights)
                for i, j in T.Parallel(block_H, dim):
                    out[i, j] = out[i, j] * rescale[i]
                T.gemm(weights, KV_shared, out, policy=policy)
            for i, j in T.Parallel(block_H, dim):
                out[i, j] = out[i, j] / T.max(total[i], 1e-30)
            if splits == 1:
                T.copy(out, O[bb, bh * block_H : (bh + 1) * block_H, :])
            else:
                T.copy(out, partial[bb, bs, bh * block_H : (bh + 1) * block_H, :])
                for i in T.Parallel(block_H):
                    greatest[i] = T.log2(total[i]) + greatest[i] * scale
                T.copy(greatest, lse[bb, bs, bh * block_H : (bh + 1) * block_H])

        if splits > 1:
            with T.Kernel(heads, batch, threads=128) as (bh, bb):
                acc = T.alloc_fragment((dim,), T.float32)
                highest = T.alloc_var(T.float32, init=-T.infinity(T.float32))
                norm = T.alloc_var(T.float32, init=0.0)
                for s in range(splits):
                    highest = T.max(highest, lse[bb, s, bh])
                T.clear(acc)
                for s in range(splits):
                    weight = T.exp2(lse[bb, s, bh] - highest)
                    norm = norm + weight
                    for j in T.Parallel(dim):
                        acc[j] = acc[j] + weight * partial[bb, s, bh, j]
                for j in T.Parallel(dim):
                    O[bb, bh, j] = T.cast(acc[j] / norm, T.float16)

    return mla_decode


def reference(Q, Q_rope, KV, K_rope):
    """In float64."""
    q, q_rope, kv, k_rope = (x.astype(np.float64) for x in (Q, Q_rope, KV, K_rope))
    keys, queries = np.concatenate([kv, k_rope], axis=-1), np.concatenate([q, q_rope], axis=-1)
    scores = queries @ keys.transpose(0, 2, 1) / np.sqrt(queries.shape[-1])
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return {"O": ((e / e.sum(axis=-1, keepdims=True)) @ kv).astype(np.float16)}


def mla_case(name, heads, seq, dim=512, splits=1, tolerance=1e-2, factor=1, **options):
    """Queries `factor` times as large as they are drawn, keys that much smaller, as the results then are."""
    up, down = np.float16(factor), np.float16(1 / factor)
    return Case(
        name,
        mla_decode(1, heads, seq, dim, splits=splits),
        lambda draw: {
            "Q": draw(1, heads, dim) * up,
            "Q_rope": draw(1, heads, 64) * up,
            "KV": draw(1, seq, dim) * down,
            "K_rope": draw(1, seq, 64) * down,
        },
        reference,
        exact=False,
        rtol=tolerance,
        atol=tolerance,
        **options,
    )


def cases():
    for dim, heads, seq, splits in ((512, 64, 200, 1), (256, 80, 456, 2)):
        yield mla_case(f"mla-decode-d{dim}-{heads}x{seq}-split-{splits}", heads, seq, dim, splits)


def rows():
    """One block for 64 heads would keep 2 multiprocessors busy: the keys are dealt to 32 blocks for each of these."""
    # Results of about 0.02, to be right up to a rounding.
    exact = {"tolerance": 1e-4, "factor": 8, "targets": ("sm_90a",)}
    yield Row(
        "example_mla_decode",
        "128 latent queries of 512 + 64 float16 against 8192 keys",
        timed=(mla_case("example-mla-decode-full", 128, 8192, splits=32, **exact),),
        reduced=(
            mla_case("example-mla-decode-64x130", 64, 130, **exact),
            mla_case("example-mla-decode-72x200-split-2", 72, 200, splits=2, **exact),
        ),
        tilelang=(0.4550,),
    )


if __name__ == "__main__":
    main(rows())
