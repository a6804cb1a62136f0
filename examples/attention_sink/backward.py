"""Attention with sinks, backward: the gradients of Q, K, V and the sinks from that of the output.

Four kernels: the sums of O dO, the gradients of Q, K and V, that of Q in half precision, and that of the sinks. Only
the second one works on tiles of scores; it is the one that is timed.
"""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

LOG2E = 1.4426950408889634


def output_sums(batch, heads, seq, dim, rows=64, threads=128):
    """delta = rowsum(O dO), for each query what its weights' gradients have in common."""
    shape = (batch, heads, seq, dim)

    @tiledsl.kernel(out_idx=-1)
    def output_sums(
        O: T.Tensor(shape, T.float16), dO: T.Tensor(shape, T.float16), delta: T.Tensor((batch, heads, seq), T.float32)
    ):
        with T.Kernel(T.ceildiv(seq, rows), heads, batch, threads=threads) as (bx, by, bz):
            product = T.alloc_fragment((rows, dim), T.float32)
            row_sum = T.alloc_fragment((rows,), T.float32)
            for i, j in T.Parallel(rows, dim):
                product[i, j] = T.cast(O[bz, by, bx * rows + i, j], T.float32) * dO[bz, by, bx * rows + i, j]
            T.reduce_sum(product, row_sum, dim=1)
            T.copy(row_sum, delta[bz, by, bx * rows : (bx + 1) * rows])

    return output_sums


def tiles_of(batch, heads, seq, dim, rows):
    """The shape in which the sums of dQ are kept: of tiles of so many rows. The copy engine knows five dimensions."""
    return batch * heads, -(-seq // rows), dim // 8, rows, 8


def sink_attention_backward(
    batch, heads, seq, dim, kv_heads=None, window=None, block_M=64, block_N=64, num_stages=2, threads=128
):
    """dK and dV, and the sums of dQ * sqrt(dim), of causal attention over (batch, heads, sequence, dim).

    Source: Dao, "FlashAttention-2", algorithm 2. A block has `block_M` keys of one head of queries and goes over the
    queries that see them, `block_N` at a time. All matrices of scores are kept transposed, (keys, queries). Sinks are
    in `lse`, the logarithms of each row's sum of weights: as they have no values, nothing else here knows of them.

    What several blocks work on is added to, in fp32: dQ, and where heads share keys dK and dV. A tile of dQ is one
    run of memory, in the order in which threads can put it into shared memory without meeting a bank twice:
    columns by eights, and of these row after row.
    """
    kv_heads = kv_heads or heads
    group = heads // kv_heads
    scale = dim**-0.5
    shape_q = (batch, heads, seq, dim)
    shape_k = (batch, kv_heads, seq, dim)
    dtype_k = T.float16 if group == 1 else T.float32
    policy = T.GemmWarpPolicy.FullRow

    @tiledsl.kernel(out_idx=[7, 8] if group == 1 else [], fast_math=True)
    def sink_attention_backward(
        Q: T.Tensor(shape_q, T.float16),
        K: T.Tensor(shape_k, T.float16),
        V: T.Tensor(shape_k, T.float16),
        dO: T.Tensor(shape_q, T.float16),
        lse: T.Tensor((batch, heads, seq), T.float32),
        delta: T.Tensor((batch, heads, seq), T.float32),
        dQ: T.Tensor(tiles_of(batch, heads, seq, dim, block_N), T.float32),
        dK: T.Tensor(shape_k, dtype_k),
        dV: T.Tensor(shape_k, dtype_k),
    ):
        with T.Kernel(T.ceildiv(seq, block_M), heads, batch, threads=threads) as (bx, by, bz):
            K_shared = T.alloc_shared((block_M, dim), T.float16)
            V_shared = T.alloc_shared((block_M, dim), T.float16)
            Q_shared = T.alloc_shared((block_N, dim), T.float16)
            dO_shared = T.alloc_shared((block_N, dim), T.float16)
            lse_shared = T.alloc_shared((block_N,), T.float32)
            delta_shared = T.alloc_shared((block_N,), T.float32)
            dS_shared = T.alloc_shared((block_M, block_N), T.float16)
            dQ_shared = T.alloc_shared((dim // 8, block_N, 8), T.float32)
            P = T.alloc_fragment((block_M, block_N), T.float32)
            dP = T.alloc_fragment((block_M, block_N), T.float32)
            P_half = T.alloc_fragment((block_M, block_N), T.float16)
            dS = T.alloc_fragment((block_M, block_N), T.float16)
            dV_sum = T.alloc_fragment((block_M, dim), T.float32)
            dK_sum = T.alloc_fragment((block_M, dim), T.float32)
            dQ_part = T.alloc_fragment((block_N, dim), T.float32)

            first_key = bx * block_M
            T.copy(K[bz, by // group, first_key : first_key + block_M, :], K_shared)
            T.copy(V[bz, by // group, first_key : first_key + block_M, :], V_shared)
            T.clear(dV_sum)
            T.clear(dK_sum)
            end = T.min(seq, first_key + block_M + window - 1) if window else seq
            for n in T.Pipelined(first_key // block_N, T.ceildiv(end, block_N), num_stages=num_stages):
                first = n * block_N
                T.copy(Q[bz, by, first : first + block_N, :], Q_shared)
                T.gemm(K_shared, Q_shared, P, transpose_B=True, clear_accum=True, policy=policy)
                T.copy(lse[bz, by, first : first + block_N], lse_shared)
                for i, j in T.Parallel(block_M, block_N):
                    P[i, j] = T.exp2(P[i, j] * (scale * LOG2E) - lse_shared[j] * LOG2E)
                crossing = first < first_key + block_M
                if window:
                    crossing = crossing or first + block_N > first_key + window
                if crossing:
                    for i, j in T.Parallel(block_M, block_N):
                        key, query = first_key + i, first + j
                        seen = key <= query
                        if window:
                            seen = seen and key > query - window
                        P[i, j] = T.if_then_else(seen, P[i, j], 0.0)
                T.copy(dO[bz, by, first : first + block_N, :], dO_shared)
                T.gemm(V_shared, dO_shared, dP, transpose_B=True, clear_accum=True, policy=policy)
                T.copy(P, P_half)
                T.gemm(P_half, dO_shared, dV_sum, policy=policy)
                T.copy(delta[bz, by, first : first + block_N], delta_shared)
                for i, j in T.Parallel(block_M, block_N):
                    dS[i, j] = P[i, j] * (dP[i, j] - delta_shared[j])
                T.gemm(dS, Q_shared, dK_sum, policy=policy)
                T.copy(dS, dS_shared)
                T.gemm(dS_shared, K_shared, dQ_part, transpose_A=True, clear_accum=True)
                for i, j in T.Parallel(block_N, dim):
                    dQ_shared[j // 8, i, j % 8] = dQ_part[i, j]
                T.atomic_add(dQ[bz * heads + by, n, :, :, :], dQ_shared, use_tma=True)
            for i, j in T.Parallel(block_M, dim):
                dK_sum[i, j] = dK_sum[i, j] * scale
            if group == 1:
                dK_shared, dV_shared = K_shared, V_shared  # which nobody reads any more
            else:
                dK_shared = T.alloc_shared((block_M, dim), T.float32)
                dV_shared = T.alloc_shared((block_M, dim), T.float32)
            T.copy(dV_sum, dV_shared)
            T.copy(dK_sum, dK_shared)
            if group == 1:
                T.copy(dV_shared, dV[bz, by, first_key : first_key + block_M, :])
                T.copy(dK_shared, dK[bz, by, first_key : first_key + block_M, :])
            else:
                T.atomic_add(dV[bz, by // group, first_key : first_key + block_M, :], dV_shared, use_tma=True)
                T.atomic_add(dK[bz, by // group, first_key : first_key + block_M, :], dK_shared, use_tma=True)

    return sink_attention_backward


def query_gradient(batch, heads, seq, dim, rows=32, threads=128):
    """dQ in fp16, of the sums over blocks of keys in tiles of `rows` rows."""

    @tiledsl.kernel(out_idx=-1)
    def query_gradient(
        sums: T.Tensor(tiles_of(batch, heads, seq, dim, rows), T.float32),
        dQ: T.Tensor((batch, heads, seq, dim), T.float16),
    ):
        with T.Kernel(T.ceildiv(seq, rows), heads, batch, threads=threads) as (bx, by, bz):
            for i, j in T.Parallel(rows, dim):
                dQ[bz, by, bx * rows + i, j] = T.cast(
                    sums[bz * heads + by, bx, j // 8, i, j % 8] * dim**-0.5, T.float16
                )

    return query_gradient


def sink_gradient(batch, heads, seq, block=256, threads=256):
    """The gradient of each head's sink: what it takes of each query's weights, times what these have in common."""

    @tiledsl.kernel(out_idx=-1, fast_math=True)
    def sink_gradient(
        sinks: T.Tensor((heads,), T.float16),
        lse: T.Tensor((batch, heads, seq), T.float32),
        delta: T.Tensor((batch, heads, seq), T.float32),
        dsinks: T.Tensor((heads,), T.float16),
    ):
        with T.Kernel(heads, threads=threads) as by:
            sums = T.alloc_fragment((block,), T.float32)
            total = T.alloc_fragment((1,), T.float32)
            sink = T.cast(sinks[by], T.float32)
            T.clear(sums)
            for b in range(batch):
                for n in range(T.ceildiv(seq, block)):
                    for i in T.Parallel(block):
                        if n * block + i < seq:
                            weight = T.exp2((sink - lse[b, by, n * block + i]) * LOG2E)
                            sums[i] = sums[i] - weight * delta[b, by, n * block + i]
            T.reduce_sum(sums, total, dim=0)
            T.copy(total, dsinks[by : by + 1])

    return sink_gradient


def scores_of(Q, K, window=None):
    """The scaled scores in float64, those of each head."""
    q, k = Q.astype(np.float64), np.repeat(K, Q.shape[1] // K.shape[1], 1).astype(np.float64)
    i, j = np.ogrid[: q.shape[2], : k.shape[2]]
    seen = (j <= i) & (j > i - (window or k.shape[2]))
    return np.where(seen, q @ k.swapaxes(2, 3) / np.sqrt(q.shape[-1]), -np.inf)


def forward(Q, K, V, sinks, window=None):
    """In float64: the output, and the logarithms of each row's sum of weights, the sink's among them."""
    scores = scores_of(Q, K, window)
    lse = np.logaddexp(np.logaddexp.reduce(scores, -1), sinks.astype(np.float64)[:, None])
    return np.exp(scores - lse[..., None]) @ np.repeat(V, Q.shape[1] // V.shape[1], 1).astype(np.float64), lse


def backward(Q, K, V, dO, lse, delta, window=None):
    """In float64: dV = P^T dO and, with dS = P (dO V^T - delta) / sqrt(dim), dQ = dS K and dK = dS^T Q."""
    group = Q.shape[1] // K.shape[1]
    q, k, v, do = (x.astype(np.float64) for x in (Q, np.repeat(K, group, 1), np.repeat(V, group, 1), dO))
    p = np.exp(scores_of(Q, K, window) - lse[..., None])
    ds = p * (do @ v.swapaxes(2, 3) - delta[..., None]) / np.sqrt(q.shape[-1])
    dk, dv = ds.swapaxes(2, 3) @ q, p.swapaxes(2, 3) @ do
    dk, dv = (x.reshape(x.shape[0], -1, group, *x.shape[2:]).sum(2) for x in (dk, dv))
    return {"dQ": ds @ k, "dK": dk, "dV": dv}


def sinks_backward(sinks, lse, delta):
    """In float64: a sink takes the part exp(sink - lse) of each query's weights, and gives nothing for it."""
    return {"dsinks": -(np.exp(sinks.astype(np.float64)[:, None] - lse) * delta).sum((0, 2))}


def gradients(Q, K, V, sinks, dO, window=None):
    """In float64: those of Q, K, V and the sinks."""
    out, lse = forward(Q, K, V, sinks, window)
    delta = (out * dO).sum(-1)
    return backward(Q, K, V, dO, lse, delta, window) | sinks_backward(sinks, lse, delta)


def draw_pass(draw, shape, kv_heads, window=None):
    """Inputs of both passes, and what the forward one leaves."""
    shape_k = (shape[0], kv_heads, *shape[2:])
    q, k, v, do, sinks = draw(*shape), draw(*shape_k), draw(*shape_k), draw(*shape), draw(shape[1])
    out, lse = forward(q, k, v, sinks, window)
    delta = (out * do).sum(-1)
    found = {"Q": q, "K": k, "V": v, "sinks": sinks, "dO": do, "O": out.astype(np.float16)}
    return found | {"lse": lse.astype(np.float32), "delta": delta.astype(np.float32)}


def tiles(matrix, rows):
    """(batch, heads, sequence, dim) in the form of the sums of dQ; rows that are missing are 0."""
    batch, heads, seq, dim = matrix.shape
    shape = tiles_of(batch, heads, seq, dim, rows)
    padded = np.pad(matrix, ((0, 0), (0, 0), (0, shape[1] * rows - seq), (0, 0)))
    return padded.reshape(*shape[:2], rows, dim // 8, 8).swapaxes(2, 3)


def matrix_of(tiles, batch):
    """The inverse, with all rows."""
    count, eights, rows = tiles.shape[1:4]
    return tiles.swapaxes(2, 3).reshape(batch, -1, count * rows, eights * 8)


def backward_case(name, shape, kv_heads, window=None, block_N=64, targets=("sm_80", "sm_90a"), **options):
    """Of the main kernel. What the sums begin with is not 0: they are added to."""
    batch, heads, seq, dim = shape
    shape_k = (batch, kv_heads, seq, dim)
    sums = {"dQ": tiles_of(batch, heads, seq, dim, block_N)}
    if kv_heads != heads:
        sums |= {"dK": shape_k, "dV": shape_k}

    def inputs(draw):
        found = draw_pass(draw, shape, kv_heads, window)
        given = {n: found[n] for n in ("Q", "K", "V", "dO", "lse", "delta")}
        return given | {n: draw(*size, dtype=np.float32) for n, size in sums.items()}

    def reference(Q, K, V, dO, lse, delta, **begun):
        found = backward(Q, K, V, dO, lse, delta, window)
        found["dQ"] = tiles(found["dQ"] * np.sqrt(dim), block_N)
        return {n: (x + begun[n]).astype(np.float32) if n in sums else x.astype(np.float16) for n, x in found.items()}

    kernel = sink_attention_backward(*shape, kv_heads, window, block_N=block_N, **options)
    return Case(f"attention-sink-backward-{name}", kernel, inputs, reference, exact=False, targets=targets)


def around_cases(name, batch, heads, seq, dim, rows=32):
    """Of the kernels before and after the main one."""

    def of(names):
        return lambda draw: {n: draw_pass(draw, (batch, heads, seq, dim), heads)[n] for n in names}

    yield Case(
        f"attention-sink-backward-{name}-outputs",
        output_sums(batch, heads, seq, dim),
        of(("O", "dO")),
        lambda O, dO: {"delta": (O.astype(np.float64) * dO).sum(-1).astype(np.float32)},
        exact=False,
    )
    yield Case(
        f"attention-sink-backward-{name}-queries",
        query_gradient(batch, heads, seq, dim, rows),
        lambda draw: {"sums": draw(*tiles_of(batch, heads, seq, dim, rows), dtype=np.float32)},
        lambda sums: {"dQ": (matrix_of(sums, batch)[:, :, :seq] * dim**-0.5).astype(np.float16)},
        exact=False,
    )
    yield Case(
        f"attention-sink-backward-{name}-sinks",
        sink_gradient(batch, heads, seq),
        of(("sinks", "lse", "delta")),
        lambda **given: {n: x.astype(np.float16) for n, x in sinks_backward(**given).items()},
        exact=False,
    )


def rows():
    """Causal, and within a window; of heads that have keys of their own, or share them."""
    # wgmma reads its operands from shared memory; where they take registers, these have room for fewer queries
    forms = {"": {"targets": ("sm_90a",)}, "-mma": {"targets": ("sm_80",), "block_N": 32}}
    for name, heads, group, dim, times in (
        ("mha", 1, 1, 128, (0.0560, 0.0327)),
        ("gqa", 8, 2, 64, (0.0417, 0.0255)),
    ):
        shape = (1, heads, 512, dim)
        text = f"heads {heads}{f' by {group}' if group > 1 else ''}, 512 queries and keys of {dim} float16"
        for window, time in zip((None, 128), times):
            kind = f"{name}-window" if window else name
            small = 40 if window else None
            timed, reduced = [], []
            for tile, options in forms.items():
                timed.append(backward_case(f"{kind}{tile}", shape, heads // group, window, **options))
                for n, size in enumerate(((1, group, 72, dim), (1, 2 * group, 200, dim))):
                    reduced.append(backward_case(f"{kind}{tile}-{n}", size, size[1] // group, small, **options))
            yield Row(
                f"example_{name}_sink_bwd_bhsd{'_sliding_window' if window else ''}",
                f"gradients of causal attention with sinks, {text}{f', window {window}' if window else ''}",
                timed=tuple(timed),
                reduced=(*reduced, *around_cases(kind, 1, heads, 150, dim)),
                tilelang=(time,),
            )


if __name__ == "__main__":
    main(rows())
