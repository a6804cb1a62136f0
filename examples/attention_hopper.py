"""Attention for Hopper (sm_90a): the fused forward pass of whole and of packed sequences.

The loop over the keys says only what is computed. Of it the compiler makes a warpgroup that copies tiles by the copy
engine, and two that multiply: the product of the weights with V runs beside the softmax of the next scores.
"""

from itertools import pairwise

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case

LOG2E = 1.4426950408889634


@T.macro
def soften(scores, greatest, total, out, scale):
    """One step of the softmax over blocks: scores become weights, in units of the greatest score of each row so far."""
    rows, columns = scores.shape
    previous = T.alloc_fragment((rows,), T.float32)
    rescale = T.alloc_fragment((rows,), T.float32)
    row_sum = T.alloc_fragment((rows,), T.float32)
    T.copy(greatest, previous)
    T.reduce_max(scores, greatest, dim=1, clear=False)
    for i in T.Parallel(rows):
        rescale[i] = T.exp2((previous[i] - greatest[i]) * scale)
    for i, j in T.Parallel(rows, columns):
        scores[i, j] = T.exp2(scores[i, j] * scale - greatest[i] * scale)
    T.reduce_sum(scores, row_sum, dim=1)
    for i in T.Parallel(rows):
        total[i] = total[i] * rescale[i] + row_sum[i]
    for i, j in T.Parallel(*out.shape):
        out[i, j] = out[i, j] * rescale[i]


def flash_attention(
    batch,
    heads,
    seq_q,
    seq_k,
    dim,
    causal=False,
    kv_heads=None,
    window=None,
    block_M=128,
    block_N=None,
    num_stages=2,
    threads=256,
    specialise=True,
):
    """O = softmax(Q K^T / sqrt(dim)) V in fp16 over (batch, sequence, heads, dim).

    Source: Dao, "FlashAttention-2", algorithm 1; Shah et al., "FlashAttention-3", for what runs beside what.
    Causal: query i sees the keys 0 .. i; with a window of w only the last w of them. Neighbouring heads share one of
    `kv_heads` heads of keys. A block of scores takes `block_N` keys; of wide heads fewer fit into the registers.
    Without `specialise` all threads of a block do the same work.
    """
    kv_heads = kv_heads or heads
    block_N = block_N or (128 if dim <= 128 else 80)
    group = heads // kv_heads
    scale = dim**-0.5 * LOG2E
    last = -(-seq_q // block_M) - 1
    shape_q = (batch, seq_q, heads, dim)
    shape_k = (batch, seq_k, kv_heads, dim)

    @tiledsl.kernel(out_idx=-1, fast_math=True, options={"warp-specialise": {"enabled": specialise}})
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
            total = T.alloc_fragment((block_M,), T.float32)

            first_query = (last - bx if causal else bx) * block_M  # the blocks that see most keys come first
            T.copy(Q[bz, first_query : first_query + block_M, by, :], Q_shared)
            T.clear(out)
            T.clear(total)
            T.fill(greatest, -1e30)
            end = T.min(seq_k, first_query + block_M) if causal else seq_k
            start = T.max(0, first_query - window + 1) // block_N if window else 0
            for k in T.Pipelined(start, T.ceildiv(end, block_N), num_stages=num_stages):
                first_key = k * block_N
                T.copy(K[bz, first_key : first_key + block_N, by // group, :], K_shared)
                T.gemm(Q_shared, K_shared, scores, transpose_B=True, clear_accum=True, policy=T.GemmWarpPolicy.FullRow)
                if causal:
                    crossing = first_key + block_N > first_query + 1
                    if window:
                        crossing = crossing or first_key <= first_query + block_M - 1 - window
                    if crossing:
                        for i, j in T.Parallel(block_M, block_N):
                            query, key = first_query + i, first_key + j
                            seen = key <= query
                            if window:
                                seen = seen and key > query - window
                            scores[i, j] = T.if_then_else(seen, scores[i, j], -T.infinity(T.float32))
                elif seq_k % block_N and first_key + block_N > seq_k:
                    for i, j in T.Parallel(block_M, block_N):
                        scores[i, j] = T.if_then_else(first_key + j < seq_k, scores[i, j], -T.infinity(T.float32))
                soften(scores, greatest, total, out, scale)
                T.copy(scores, weights)
                T.copy(V[bz, first_key : first_key + block_N, by // group, :], V_shared)
                T.gemm(weights, V_shared, out, policy=T.GemmWarpPolicy.FullRow)
            for i in T.Parallel(block_M):
                total[i] = 1.0 / total[i]  # one division a row, not one an element
            for i, j in T.Parallel(block_M, dim):
                out[i, j] = out[i, j] * total[i]
            if dim <= 128:
                O_shared = T.alloc_shared((block_M, dim), T.float16)
                T.copy(out, O_shared)
                T.copy(O_shared, O[bz, first_query : first_query + block_M, by, :])
            else:  # there is no room in shared memory
                T.copy(out, O[bz, first_query : first_query + block_M, by, :])

    return flash_attention


def flash_attention_packed(
    batch, heads, longest, dim, causal=False, kv_heads=None, block_M=128, block_N=None, num_stages=2, threads=256
):
    """The same for sequences of their own lengths, packed one after the other: (tokens, heads, dim).

    Sequence b has the tokens `starts[b]` up to `starts[b + 1]`, at most `longest`. Tiles reach over the end of a
    sequence into the next one: those keys are masked, and those rows are not written.
    """
    kv_heads = kv_heads or heads
    block_N = block_N or (128 if dim <= 128 else 80)
    group = heads // kv_heads
    scale = dim**-0.5 * LOG2E
    tokens = T.dynamic("tokens")

    @tiledsl.kernel(out_idx=-1, fast_math=True)
    def flash_attention_packed(
        Q: T.Tensor((tokens, heads, dim), T.float16),
        K: T.Tensor((tokens, kv_heads, dim), T.float16),
        V: T.Tensor((tokens, kv_heads, dim), T.float16),
        starts: T.Tensor((batch + 1,), T.int32),
        O: T.Tensor((tokens, heads, dim), T.float16),
    ):
        with T.Kernel(T.ceildiv(longest, block_M), heads, batch, threads=threads) as (bx, by, bz):
            Q_shared = T.alloc_shared((block_M, dim), T.float16)
            K_shared = T.alloc_shared((block_N, dim), T.float16)
            V_shared = T.alloc_shared((block_N, dim), T.float16)
            scores = T.alloc_fragment((block_M, block_N), T.float32)
            weights = T.alloc_fragment((block_M, block_N), T.float16)
            out = T.alloc_fragment((block_M, dim), T.float32)
            greatest = T.alloc_fragment((block_M,), T.float32)
            total = T.alloc_fragment((block_M,), T.float32)

            begin = starts[bz]
            length = starts[bz + 1] - begin
            first_query = bx * block_M
            if first_query < length:
                T.copy(Q[begin + first_query : begin + first_query + block_M, by, :], Q_shared)
                T.clear(out)
                T.clear(total)
                T.fill(greatest, -1e30)
                end = T.min(length, first_query + block_M) if causal else length
                for k in T.Pipelined(T.ceildiv(end, block_N), num_stages=num_stages):
                    first_key = k * block_N
                    T.copy(K[begin + first_key : begin + first_key + block_N, by // group, :], K_shared)
                    T.gemm(
                        Q_shared, K_shared, scores, transpose_B=True, clear_accum=True, policy=T.GemmWarpPolicy.FullRow
                    )
                    if first_key + block_N > (first_query + 1 if causal else length):
                        for i, j in T.Parallel(block_M, block_N):
                            seen = first_key + j <= first_query + i if causal else first_key + j < length
                            scores[i, j] = T.if_then_else(seen, scores[i, j], -T.infinity(T.float32))
                    soften(scores, greatest, total, out, scale)
                    T.copy(scores, weights)
                    T.copy(V[begin + first_key : begin + first_key + block_N, by // group, :], V_shared)
                    T.gemm(weights, V_shared, out, policy=T.GemmWarpPolicy.FullRow)
                for i in T.Parallel(block_M):
                    total[i] = 1.0 / total[i]
                for i, j in T.Parallel(block_M, dim):
                    if first_query + i < length:
                        O[begin + first_query + i, by, j] = T.cast(out[i, j] * total[i], T.float16)

    return flash_attention_packed


def block_sparse_attention(batch, heads, seq, dim, listed=False, kv_heads=None, block=64, num_stages=2):
    """Causal attention to chosen blocks of keys only: in `chosen` for each block of queries.

    As it comes `chosen` is a mask over all blocks of keys, (batch, heads, blocks, blocks): each is asked for. `listed`:
    it has the numbers of the blocks in any order, and `counts` how many they are; the loop then has no branches, and
    products stay in flight from one block to the next.
    """
    kv_heads = kv_heads or heads
    group = heads // kv_heads
    scale = dim**-0.5 * LOG2E
    blocks = -(-seq // block)
    shape_q = (batch, seq, heads, dim)
    shape_k = (batch, seq, kv_heads, dim)

    @tiledsl.kernel(out_idx=-1, fast_math=True)
    def block_sparse_attention(
        Q: T.Tensor(shape_q, T.float16),
        K: T.Tensor(shape_k, T.float16),
        V: T.Tensor(shape_k, T.float16),
        chosen: T.Tensor((batch, heads, blocks, blocks), T.int32 if listed else T.int8),
        counts: T.Tensor((batch, heads, blocks), T.int32),
        O: T.Tensor(shape_q, T.float16),
    ):
        with T.Kernel(blocks, heads, batch, threads=2 * block) as (bx, by, bz):
            Q_shared = T.alloc_shared((block, dim), T.float16)
            K_shared = T.alloc_shared((block, dim), T.float16)
            V_shared = T.alloc_shared((block, dim), T.float16)
            scores = T.alloc_fragment((block, block), T.float32)
            weights = T.alloc_fragment((block, block), T.float16)
            out = T.alloc_fragment((block, dim), T.float32)
            greatest = T.alloc_fragment((block,), T.float32)
            total = T.alloc_fragment((block,), T.float32)

            T.copy(Q[bz, bx * block : (bx + 1) * block, by, :], Q_shared)
            T.clear(out)
            T.clear(total)
            T.fill(greatest, -1e30)
            for n in T.Pipelined(counts[bz, by, bx] if listed else bx + 1, num_stages=num_stages):
                entry = chosen[bz, by, bx, n]
                k = entry if listed else n
                if listed or entry != 0:
                    T.copy(K[bz, k * block : (k + 1) * block, by // group, :], K_shared)
                    T.gemm(
                        Q_shared, K_shared, scores, transpose_B=True, clear_accum=True, policy=T.GemmWarpPolicy.FullRow
                    )
                    if k == bx:
                        for i, j in T.Parallel(block, block):
                            scores[i, j] = T.if_then_else(j <= i, scores[i, j], -T.infinity(T.float32))
                    soften(scores, greatest, total, out, scale)
                    T.copy(scores, weights)
                    T.copy(V[bz, k * block : (k + 1) * block, by // group, :], V_shared)
                    T.gemm(weights, V_shared, out, policy=T.GemmWarpPolicy.FullRow)
            for i in T.Parallel(block):
                total[i] = T.if_then_else(total[i] > 0.0, 1.0 / total[i], 0.0)
            for i, j in T.Parallel(block, dim):
                out[i, j] = out[i, j] * total[i]
            T.copy(out, O[bz, bx * block : (bx + 1) * block, by, :])

    return block_sparse_attention


def attention_reference(Q, K, V, causal=False, window=None, mask=True):
    """In float64; (batch, sequence, heads, dim), heads of keys shared by neighbouring heads of queries.

    A query that sees no key gives 0.
    """
    group = Q.shape[2] // K.shape[2]
    q, k, v = (x.astype(np.float64).transpose(0, 2, 1, 3) for x in (Q, np.repeat(K, group, 2), np.repeat(V, group, 2)))
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    i, j = np.ogrid[: q.shape[2], : k.shape[2]]
    if causal:
        scores = np.where(j <= i, scores, -np.inf)
    if window:
        scores = np.where(j > i - window, scores, -np.inf)
    scores = np.where(mask, scores, -np.inf)
    e = np.exp(scores - np.maximum(scores.max(axis=-1, keepdims=True), -1e300))
    out = (e / np.maximum(e.sum(axis=-1, keepdims=True), 1e-300)) @ v
    return {"O": out.transpose(0, 2, 1, 3).astype(np.float16)}


def forward_cases():
    """Ragged and whole sequences, of more blocks than the pipeline is deep."""
    for dim, seq_q, seq_k, heads, block_N, options in (
        (64, 128, 556, 1, 128, {}),
        (64, 200, 328, 1, 64, {"block_M": 192, "threads": 384}),  # three warpgroups
        (64, 200, 200, 2, 16, {"causal": True, "window": 50}),
        (96, 100, 256, 1, 64, {}),
        (128, 100, 556, 1, 128, {}),
        (128, 150, 150, 2, 32, {"causal": True}),
        (256, 130, 130, 1, 32, {"causal": True}),
    ):
        masks = {name: options[name] for name in ("causal", "window") if name in options}
        yield Case(
            "-".join(["attention-hopper", f"d{dim}", *options, f"{seq_q}x{seq_k}"]),
            flash_attention(1, heads, seq_q, seq_k, dim, kv_heads=1, block_N=block_N, **options),
            lambda draw, q=(1, seq_q, heads, dim), k=(1, seq_k, 1, dim): {"Q": draw(*q), "K": draw(*k), "V": draw(*k)},
            lambda Q, K, V, masks=masks: attention_reference(Q, K, V, **masks),
            exact=False,
        )


def one_role_cases():
    for dim, seq, block_N, options in ((64, 150, 32, {}), (128, 150, 16, {"causal": True})):
        yield Case(
            "-".join(["attention-hopper-one-role", f"d{dim}", *options]),
            flash_attention(1, 1, seq, seq, dim, block_M=64, block_N=block_N, threads=128, specialise=False, **options),
            lambda draw, shape=(1, seq, 1, dim): {"Q": draw(*shape), "K": draw(*shape), "V": draw(*shape)},
            lambda Q, K, V, options=options: attention_reference(Q, K, V, **options),
            exact=False,
        )


def packed_reference(Q, K, V, starts, causal=False):
    out = np.zeros(Q.shape, np.float16)
    for begin, end in pairwise(starts):
        if begin < end:
            one = attention_reference(*(x[None, begin:end] for x in (Q, K, V)), causal)
            out[begin:end] = one["O"][0]
    return {"O": out}


def packed_cases():
    """Short ones beside one of several blocks, and one without tokens."""
    starts = np.cumsum([0, 20, 150, 0, 129]).astype(np.int32)
    for dim, causal in ((64, True), (128, False)):
        yield Case(
            f"attention-hopper-packed-d{dim}{'-causal' if causal else ''}",
            flash_attention_packed(len(starts) - 1, 1, 150, dim, causal, block_N=32),
            lambda draw, shape=(starts[-1], 1, dim): {**{n: draw(*shape) for n in "QKV"}, "starts": starts},
            lambda Q, K, V, starts, causal=causal: packed_reference(Q, K, V, starts, causal),
            exact=False,
        )


def block_mask(rng, batch, heads, blocks):
    """Half of the blocks, with some rows full and some empty."""
    mask = rng.integers(0, 2, (batch, heads, blocks, blocks))
    mask[:, 0, -1], mask[:, -1, 1] = 1, 0
    return mask.astype(np.int8)


def lists_of(mask):
    """The numbers of the causal blocks of a mask, the last one first, and how many they are."""
    mask = np.tril(mask)
    chosen = np.where(mask, np.arange(mask.shape[-1]), -1)
    return np.maximum(-np.sort(-chosen, axis=-1), 0).astype(np.int32), mask.sum(axis=-1).astype(np.int32)


def sparse_reference(Q, K, V, chosen, counts, block=64):
    if chosen.dtype != np.int8:
        lists, chosen = chosen, np.zeros(chosen.shape, np.int8)
        for at in np.ndindex(counts.shape):
            chosen[at][lists[at][: counts[at]]] = 1
    seq = Q.shape[1]
    mask = chosen.repeat(block, axis=2).repeat(block, axis=3)[:, :, :seq, :seq]
    return attention_reference(Q, K, V, causal=True, mask=mask != 0)


def sparse_cases():
    for dim, listed in ((64, False), (64, True), (128, True)):

        def inputs(draw, dim=dim, listed=listed):
            mask = block_mask(draw.rng, 1, 2, 4)
            lists, counts = lists_of(mask)
            shapes = {"Q": (1, 254, 2, dim), "K": (1, 254, 1, dim), "V": (1, 254, 1, dim)}
            return {n: draw(*shape) for n, shape in shapes.items()} | {
                "chosen": lists if listed else mask,
                "counts": counts,
            }

        yield Case(
            f"attention-hopper-block-sparse-d{dim}{'-listed' if listed else ''}",
            block_sparse_attention(1, 2, 254, dim, listed, kv_heads=1),
            inputs,
            sparse_reference,
            exact=False,
        )


def cases():
    yield from forward_cases()
    yield from one_role_cases()
    yield from packed_cases()
    yield from sparse_cases()
