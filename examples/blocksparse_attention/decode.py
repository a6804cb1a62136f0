"""Decoding with chosen blocks of a cache of keys: one query a head, sequences of their own lengths in the cache.

Each group of heads that shares keys chooses blocks of them, by a list of their numbers or by a mask. The blocks are
dealt to `splits` parts, which several multiprocessors attend to; a second kernel combines what they found.
"""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

LOG2E = 1.4426950408889634
MULTIPROCESSORS = 132  # of an H100 or H200


def splits_for(batch, kv_heads, most):
    """How many parts the blocks are dealt to, of which at most `most` are chosen: enough for all multiprocessors."""
    return max(1, min(most, MULTIPROCESSORS // (batch * kv_heads)))


def sparse_decode(batch, heads, kv_heads, dim, dim_v, listed, block_N=32, num_stages=2, threads=128):
    """O = softmax(Q K^T / sqrt(dim)) V in fp16 of the chosen blocks: queries (batch, heads, dim), cache (batch, length,
    kv_heads, dim) of which `lengths` are in use.

    `chosen` has for each of the `kv_heads` heads of keys the numbers of blocks in any order, negative ones standing
    for none (`listed`), or a mask over all of them. A head that sees no key gives 0. `lse` and `partial` are room for
    what the parts found. All of `length`, the number of blocks and of parts are known only at the call.

    The queries that share keys are rows of one tile. Of its 16 rows, those of the tensor core's smallest product, the
    rest belong to other heads and is dropped: that costs nothing, as the kernel waits for its keys anyway.
    """
    group = heads // kv_heads
    rows = -(-group // 16) * 16
    scale = dim**-0.5 * LOG2E
    length, blocks, splits = T.dynamic("length, blocks, splits")

    @tiledsl.kernel(out_idx=-1, fast_math=True)
    def sparse_decode(
        Q: T.Tensor((batch, heads, dim), T.float16),
        K: T.Tensor((batch, length, kv_heads, dim), T.float16),
        V: T.Tensor((batch, length, kv_heads, dim_v), T.float16),
        chosen: T.Tensor((batch, kv_heads, blocks), T.int32 if listed else T.bool),
        lengths: T.Tensor((batch,), T.int32),
        lse: T.Tensor((batch, heads, splits), T.float32),
        partial: T.Tensor((batch, heads, splits, dim_v), T.float32),
        O: T.Tensor((batch, heads, dim_v), T.float16),
    ):
        with T.Kernel(kv_heads, batch, splits, threads=threads) as (bh, bb, bs):
            Q_shared = T.alloc_shared((rows, dim), T.float16)
            K_shared = T.alloc_shared((block_N, dim), T.float16)
            V_shared = T.alloc_shared((block_N, dim_v), T.float16)
            weights_shared = T.alloc_shared((rows, block_N), T.float16)
            scores = T.alloc_fragment((rows, block_N), T.float32)
            out = T.alloc_fragment((rows, dim_v), T.float32)
            greatest = T.alloc_fragment((rows,), T.float32)
            previous = T.alloc_fragment((rows,), T.float32)
            rescale = T.alloc_fragment((rows,), T.float32)
            row_sum = T.alloc_fragment((rows,), T.float32)
            total = T.alloc_fragment((rows,), T.float32)

            T.copy(Q[bb, bh * group : bh * group + rows, :], Q_shared)
            T.clear(out)
            T.clear(total)
            T.fill(greatest, -1e30)
            part = T.ceildiv(blocks, splits)
            start = bs * part
            in_use = lengths[bb]
            for n in T.Pipelined(start, T.min(start + part, blocks), num_stages=num_stages):
                entry = chosen[bb, bh, n]
                first = (entry if listed else n) * block_N
                if (entry >= 0 if listed else entry) and first < in_use:
                    T.copy(K[bb, first : first + block_N, bh, :], K_shared)
                    T.gemm(Q_shared, K_shared, scores, transpose_B=True, clear_accum=True)
                    for i, j in T.Parallel(rows, block_N):
                        scores[i, j] = T.if_then_else(first + j < in_use, scores[i, j], -T.infinity(T.float32))
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
                    for i, j in T.Parallel(rows, dim_v):
                        out[i, j] = out[i, j] * rescale[i]
                    T.copy(V[bb, first : first + block_N, bh, :], V_shared)
                    T.gemm(weights_shared, V_shared, out)
            for i, j in T.Parallel(rows, dim_v):
                if i < group:
                    partial[bb, bh * group + i, bs, j] = T.if_then_else(total[i] > 0.0, out[i, j] / total[i], 0.0)
            for i in T.Parallel(rows):
                if i < group:
                    lse[bb, bh * group + i, bs] = T.if_then_else(
                        total[i] > 0.0, T.log2(total[i]) + greatest[i] * scale, -T.infinity(T.float32)
                    )

        with T.Kernel(heads, batch, threads=threads) as (bh, bb):
            sums = T.alloc_fragment((dim_v,), T.float32)
            highest = T.alloc_var(T.float32, init=-1e30)
            norm = T.alloc_var(T.float32, init=0.0)
            T.pdl_sync()
            T.clear(sums)
            for s in range(splits):
                highest = T.max(highest, lse[bb, bh, s])
            for s in range(splits):
                weight = T.exp2(lse[bb, bh, s] - highest)
                norm = norm + weight
                for j in T.Parallel(dim_v):
                    sums[j] = sums[j] + weight * partial[bb, bh, s, j]
            for j in T.Parallel(dim_v):
                O[bb, bh, j] = T.cast(T.if_then_else(norm > 0.0, sums[j] / norm, 0.0), T.float16)

    return sparse_decode


def reference(Q, K, V, chosen, lengths, block=32, **room):
    """In float64."""
    batch, length, kv_heads = K.shape[:3]
    group = Q.shape[1] // kv_heads
    q, k, v = Q.astype(np.float64), K.astype(np.float64).swapaxes(1, 2), V.astype(np.float64).swapaxes(1, 2)
    mask = chosen
    if chosen.dtype != bool:
        mask = np.zeros((batch, kv_heads, -(-length // block)), bool)
        for b, h, n in np.argwhere(chosen >= 0):
            mask[b, h, chosen[b, h, n]] = True
    seen = mask.repeat(block, axis=2)[:, :, :length] & (np.arange(length) < lengths[:, None, None])
    scores = np.einsum("bhd,bhld->bhl", q, k.repeat(group, 1))
    scores = np.where(seen.repeat(group, 1), scores / np.sqrt(Q.shape[2]), -np.inf)
    e = np.exp(scores - np.maximum(scores.max(-1, keepdims=True), -1e300))
    out = np.einsum("bhl,bhld->bhd", e / np.maximum(e.sum(-1, keepdims=True), 1e-300), v.repeat(group, 1))
    return {"O": out.astype(np.float16)}


def chosen_blocks(rng, lengths, kv_heads, blocks, count, block, listed):
    """For each head of keys `count` of the blocks in use, or all of them; listed, or as a mask."""
    mask = np.zeros((len(lengths), kv_heads, blocks), bool)
    lists = np.full((len(lengths), kv_heads, count), -1, np.int32)
    for b, h in np.ndindex(mask.shape[:2]):
        used = -(-int(lengths[b]) // block)
        found = rng.permutation(used)[:count]
        mask[b, h, found] = True
        lists[b, h, : len(found)] = found
    return lists if listed else mask


def decode_case(name, batch, heads, kv_heads, length, dim, dim_v, listed, count, splits, lengths=None, block=32):
    """Of the cache of `length` positions each sequence uses as many as `lengths` says, or a random number of them."""

    def inputs(draw):
        used = np.array(lengths, np.int32) if lengths else draw.rng.integers(1, length + 1, batch).astype(np.int32)
        return {
            "Q": draw(batch, heads, dim),
            "K": draw(batch, length, kv_heads, dim),
            "V": draw(batch, length, kv_heads, dim_v),
            "chosen": chosen_blocks(draw.rng, used, kv_heads, -(-length // block), count, block, listed),
            "lengths": used,
            "lse": np.zeros((batch, heads, splits), np.float32),
            "partial": np.zeros((batch, heads, splits, dim_v), np.float32),
        }

    return Case(
        f"sparse-decode-{name}",
        sparse_decode(batch, heads, kv_heads, dim, dim_v, listed, block),
        inputs,
        lambda **given: reference(**given, block=block),
        exact=False,
        targets=("sm_80", "sm_90a"),
    )


def rows():
    """Of 64 blocks of 32 keys each head of keys has chosen 12, a fifth."""
    for kind, listed, time in (("indice", True, 0.0170), ("mask", False, 0.0233)):
        splits = splits_for(1, 8, 12 if listed else 64)
        yield Row(
            f"example_tilelang_sparse_gqa_decode_varlen_{kind}",
            f"one query a head against 12 of 64 blocks of 32 keys, {'listed' if listed else 'by a mask'}: "
            "batch 1, heads 32 by 4, cache of 2048, 128 float16",
            timed=(decode_case(kind, 1, 32, 8, 2048, 128, 128, listed, 12, splits),),
            reduced=(
                decode_case(f"{kind}-small", 1, 4, 2, 150, 64, 64, listed, 3, 2, (140,)),
                decode_case(f"{kind}-lengths", 3, 8, 2, 300, 128, 64, listed, 6, 3, (300, 33, 0)),
                decode_case(f"{kind}-one-part", 2, 6, 1, 260, 64, 128, listed, 7, 1),
            ),
            tilelang=(time,),
        )


if __name__ == "__main__":
    main(rows())
