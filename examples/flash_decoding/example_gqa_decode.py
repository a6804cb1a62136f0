"""Decode of grouped-query attention: one query a head against a long cache with a mask, the keys dealt to blocks."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

LOG2E = 1.4426950408889634


def gqa_decode(batch, heads, groups, seq, dim, splits=16, block_N=128, num_stages=2, threads=128):
    """Each block attends to a part of the keys of one group; a second launch combines the parts.

    The heads of a group are the rows of a tile, as many as a tensor core multiplies at least. A key is seen where its
    `mask` is not 0; each head sees one.
    """
    group = heads // groups
    rows = -(-group // 16) * 16
    scale = dim**-0.5 * LOG2E
    part = -(-seq // (splits * block_N)) * block_N
    ragged = seq != splits * part

    @tiledsl.kernel(out_idx=-1, fast_math=True)
    def gqa_decode(
        Q: T.Tensor((batch, heads, dim), T.float16),
        K: T.Tensor((batch, seq, groups, dim), T.float16),
        V: T.Tensor((batch, seq, groups, dim), T.float16),
        mask: T.Tensor((batch, seq, groups), T.uint8),
        O: T.Tensor((batch, heads, dim), T.float16),
    ):
        partial = T.alloc_global((batch, heads, splits, dim), T.float32)
        lse = T.alloc_global((batch, heads, splits), T.float32)

        with T.Kernel(groups, batch, splits, threads=threads) as (bg, bb, bs):
            Q_shared = T.alloc_shared((rows, dim), T.float16)
            K_shared = T.alloc_shared((block_N, dim), T.float16)
            V_shared = T.alloc_shared((block_N, dim), T.float16)
            weights = T.alloc_shared((rows, block_N), T.float16)
            seen = T.alloc_fragment((block_N,), T.uint8)
            scores = T.alloc_fragment((rows, block_N), T.float32)
            out = T.alloc_fragment((rows, dim), T.float32)
            greatest = T.alloc_fragment((rows,), T.float32)
            previous = T.alloc_fragment((rows,), T.float32)
            rescale = T.alloc_fragment((rows,), T.float32)
            row_sum = T.alloc_fragment((rows,), T.float32)
            total = T.alloc_fragment((rows,), T.float32)

            for i, j in T.Parallel(rows, dim):
                Q_shared[i, j] = T.if_then_else(i < group, Q[bb, bg * group + i, j], T.float16(0))
            T.clear(out)
            T.clear(total)
            T.fill(greatest, -1e30)
            for k in T.Pipelined(part // block_N, num_stages=num_stages):
                first = bs * part + k * block_N
                T.copy(K[bb, first : first + block_N, bg, :], K_shared)
                T.copy(V[bb, first : first + block_N, bg, :], V_shared)
                for j in T.Parallel(block_N):
                    inside = first + j < seq if ragged else True
                    seen[j] = T.if_then_else(inside, mask[bb, first + j, bg], T.uint8(0))
                for i, j in T.Parallel(rows, block_N):
                    scores[i, j] = T.if_then_else(seen[j] != 0, 0.0, -T.infinity(T.float32))
                T.gemm(Q_shared, K_shared, scores, transpose_B=True, policy=T.GemmWarpPolicy.FullCol)
                T.copy(greatest, previous)
                T.reduce_max(scores, greatest, dim=1, clear=False)
                for i in T.Parallel(rows):
                    rescale[i] = T.exp2((previous[i] - greatest[i]) * scale)
                for i, j in T.Parallel(rows, block_N):
                    scores[i, j] = T.exp2(scores[i, j] * scale - greatest[i] * scale)
                T.reduce_sum(scores, row_sum, dim=1)
                for i in T.Parallel(rows):
                    total[i] = total[i] * rescale[i] + row_sum[i]
                T.copy(scores, weights)
                for i, j in T.Parallel(rows, dim):
                    out[i, j] = out[i, j] * rescale[i]
                T.gemm(weights, V_shared, out, policy=T.GemmWarpPolicy.FullCol)
            for i, j in T.Parallel(rows, dim):
                if i < group:
                    partial[bb, bg * group + i, bs, j] = out[i, j] / T.max(total[i], 1e-30)
            for i in T.Parallel(rows):
                if i < group:
                    lse[bb, bg * group + i, bs] = T.log2(total[i]) + greatest[i] * scale

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

    return gqa_decode


def reference(Q, K, V, mask):
    """In float64."""
    group = Q.shape[1] // K.shape[2]
    k, v, seen = (np.repeat(x, group, axis=2) for x in (K.astype(np.float64), V.astype(np.float64), mask))
    scores = np.einsum("bhd,bshd->bhs", Q.astype(np.float64), k) / np.sqrt(Q.shape[-1])
    scores = np.where(seen.transpose(0, 2, 1) != 0, scores, -np.inf)
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return {"O": np.einsum("bhs,bshd->bhd", e / e.sum(axis=-1, keepdims=True), v).astype(np.float16)}


def rows():
    def case(batch, heads, groups, seq, dim, **options):
        def inputs(draw):
            mask = draw.rng.integers(0, 2, (batch, seq, groups)).astype(np.uint8)
            mask[:, seq // 3] = 1
            mask[:, seq - seq // 4 :] = 0  # a whole part of the keys
            return {
                "Q": draw(batch, heads, dim),
                "K": draw(batch, seq, groups, dim),
                "V": draw(batch, seq, groups, dim),
                "mask": mask,
            }

        return Case(
            f"example-gqa-decode-{heads}-of-{groups}-{seq}x{dim}",
            gqa_decode(batch, heads, groups, seq, dim, **options),
            inputs,
            reference,
            exact=False,
            rtol=2e-3,
            atol=2e-3,
        )

    yield Row(
        "example_gqa_decode",
        "32 queries of 128 float16 in 8 groups against 8192 keys with a mask",
        timed=(case(1, 32, 8, 8192, 128),),
        reduced=(case(1, 8, 2, 512, 128, splits=4, block_N=64), case(2, 6, 2, 300, 64, splits=3, block_N=64)),
        tilelang=(0.0487,),
    )


if __name__ == "__main__":
    main(rows())
