"""Attention, backward: the gradients of Q, K and V from that of the output, and the sums that the forward pass kept."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case

LOG2E = 1.4426950408889634


def flash_attention_backward(
    batch, heads, seq, dim, causal=False, kv_heads=None, block_M=128, block_N=64, num_stages=2, threads=256
):
    """dQ, dK and dV in fp16 over (batch, sequence, heads, dim); `lse`: of the sum of each row's weights.

    Source: Dao, "FlashAttention-2", algorithm 2. A block has `block_M` keys of one head and goes over all queries of
    the heads that share it, `block_N` at a time: it holds dK and dV, and adds to dQ, on which all blocks of keys work.
    All matrices of scores are kept transposed, (keys, queries), so that they enter the products for dK and dV from
    registers; for that of dQ one goes through shared memory.
    """
    kv_heads = kv_heads or heads
    group = heads // kv_heads
    scale = dim**-0.5
    rows = 64
    shape_q = (batch, seq, heads, dim)
    shape_k = (batch, seq, kv_heads, dim)
    policy = T.GemmWarpPolicy.FullRow

    @tiledsl.kernel(out_idx=[6, 7, 8], fast_math=True)
    def flash_attention_backward(
        Q: T.Tensor(shape_q, T.float16),
        K: T.Tensor(shape_k, T.float16),
        V: T.Tensor(shape_k, T.float16),
        O: T.Tensor(shape_q, T.float16),
        dO: T.Tensor(shape_q, T.float16),
        lse: T.Tensor((batch, heads, seq), T.float32),
        dQ: T.Tensor(shape_q, T.float16),
        dK: T.Tensor(shape_k, T.float16),
        dV: T.Tensor(shape_k, T.float16),
    ):
        delta = T.alloc_global((batch, heads, seq), T.float32)
        sums = T.alloc_global(shape_q, T.float32)

        with T.Kernel(T.ceildiv(seq, rows), heads, batch, threads=128) as (bx, by, bz):
            product = T.alloc_fragment((rows, dim), T.float32)
            row_sum = T.alloc_fragment((rows,), T.float32)
            for i, j in T.Parallel(rows, dim):
                product[i, j] = T.cast(O[bz, bx * rows + i, by, j], T.float32) * dO[bz, bx * rows + i, by, j]
            T.reduce_sum(product, row_sum, dim=1)
            T.copy(row_sum, delta[bz, by, bx * rows : (bx + 1) * rows])
            T.clear(sums[bz, bx * rows : (bx + 1) * rows, by, :])

        with T.Kernel(T.ceildiv(seq, block_M), kv_heads, batch, threads=threads) as (bx, by, bz):
            K_shared = T.alloc_shared((block_M, dim), T.float16)
            V_shared = T.alloc_shared((block_M, dim), T.float16)
            Q_shared = T.alloc_shared((block_N, dim), T.float16)
            dO_shared = T.alloc_shared((block_N, dim), T.float16)
            lse_shared = T.alloc_shared((block_N,), T.float32)
            delta_shared = T.alloc_shared((block_N,), T.float32)
            dS_shared = T.alloc_shared((block_M, block_N), T.float16)
            P = T.alloc_fragment((block_M, block_N), T.float32)
            dP = T.alloc_fragment((block_M, block_N), T.float32)
            P_half = T.alloc_fragment((block_M, block_N), T.float16)
            dS = T.alloc_fragment((block_M, block_N), T.float16)
            dV_sum = T.alloc_fragment((block_M, dim), T.float32)
            dK_sum = T.alloc_fragment((block_M, dim), T.float32)
            dQ_part = T.alloc_fragment((block_N, dim), T.float32)

            T.copy(K[bz, bx * block_M : (bx + 1) * block_M, by, :], K_shared)
            T.copy(V[bz, bx * block_M : (bx + 1) * block_M, by, :], V_shared)
            T.clear(dV_sum)
            T.clear(dK_sum)
            start = bx * block_M // block_N if causal else 0
            for g in range(group):
                head = by * group + g
                for n in T.Pipelined(start, T.ceildiv(seq, block_N), num_stages=num_stages):
                    first = n * block_N
                    T.copy(Q[bz, first : first + block_N, head, :], Q_shared)
                    T.gemm(K_shared, Q_shared, P, transpose_B=True, clear_accum=True, policy=policy)
                    T.copy(lse[bz, head, first : first + block_N], lse_shared)
                    for i, j in T.Parallel(block_M, block_N):
                        P[i, j] = T.exp2(P[i, j] * (scale * LOG2E) - lse_shared[j] * LOG2E)
                    if causal:
                        if first < (bx + 1) * block_M:
                            for i, j in T.Parallel(block_M, block_N):
                                P[i, j] = T.if_then_else(bx * block_M + i <= first + j, P[i, j], 0.0)
                    elif seq % block_M:
                        for i, j in T.Parallel(block_M, block_N):
                            P[i, j] = T.if_then_else(bx * block_M + i < seq, P[i, j], 0.0)
                    T.copy(dO[bz, first : first + block_N, head, :], dO_shared)
                    T.gemm(V_shared, dO_shared, dP, transpose_B=True, clear_accum=True, policy=policy)
                    T.copy(P, P_half)
                    T.gemm(P_half, dO_shared, dV_sum, policy=policy)
                    T.copy(delta[bz, head, first : first + block_N], delta_shared)
                    for i, j in T.Parallel(block_M, block_N):
                        dS[i, j] = P[i, j] * (dP[i, j] - delta_shared[j])
                    T.gemm(dS, Q_shared, dK_sum, policy=policy)
                    T.copy(dS, dS_shared)
                    T.gemm(dS_shared, K_shared, dQ_part, transpose_A=True, clear_accum=True)
                    T.atomic_add(sums[bz, first : first + block_N, head, :], dQ_part)
            for i, j in T.Parallel(block_M, dim):
                dK_sum[i, j] = dK_sum[i, j] * scale
            T.copy(dV_sum, dV[bz, bx * block_M : (bx + 1) * block_M, by, :])
            T.copy(dK_sum, dK[bz, bx * block_M : (bx + 1) * block_M, by, :])

        with T.Kernel(T.ceildiv(seq, rows), heads, batch, threads=128) as (bx, by, bz):
            for i, j in T.Parallel(rows, dim):
                dQ[bz, bx * rows + i, by, j] = T.cast(sums[bz, bx * rows + i, by, j] * scale, T.float16)

    return flash_attention_backward


def scores(Q, K, causal):
    """The scaled scores (batch, heads, queries, keys) in float64."""
    q, k = (x.astype(np.float64).transpose(0, 2, 1, 3) for x in (Q, K))
    found = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    i, j = np.ogrid[: q.shape[2], : k.shape[2]]
    return np.where(j <= i, found, -np.inf) if causal else found


def forward(Q, K, V, causal=False):
    """What the forward pass leaves: O, and the logarithms of the sums."""
    group = Q.shape[2] // K.shape[2]
    s = scores(Q, np.repeat(K, group, axis=2), causal)
    lse = np.logaddexp.reduce(s, axis=-1)
    out = np.exp(s - lse[..., None]) @ np.repeat(V, group, axis=2).astype(np.float64).transpose(0, 2, 1, 3)
    out = np.ascontiguousarray(out.transpose(0, 2, 1, 3).astype(np.float16))
    return {"O": out, "lse": lse.astype(np.float32)}


def reference(Q, K, V, O, dO, lse, causal=False):
    """In float64: P = softmax(S), dV = P^T dO, dS = P (dO V^T - rowsum(O dO)), dQ = dS K, dK = dS^T Q."""
    group = Q.shape[2] // K.shape[2]
    q, k, v, o, do = (x.astype(np.float64).transpose(0, 2, 1, 3) for x in (Q, K, V, O, dO))
    k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
    p = np.exp(scores(Q, np.repeat(K, group, axis=2), causal) - lse[..., None])
    ds = p * (do @ v.transpose(0, 1, 3, 2) - (o * do).sum(-1)[..., None]) / np.sqrt(Q.shape[-1])
    dq, dk, dv = ds @ k, ds.transpose(0, 1, 3, 2) @ q, p.transpose(0, 1, 3, 2) @ do
    dk, dv = (x.reshape(x.shape[0], -1, group, *x.shape[2:]).sum(2) for x in (dk, dv))
    return {n: x.transpose(0, 2, 1, 3).astype(np.float16) for n, x in (("dQ", dq), ("dK", dk), ("dV", dv))}


def cases():
    for dim, seq, causal in ((64, 136, False), (128, 320, True)):

        def inputs(draw, dim=dim, seq=seq, causal=causal):
            q, k, v, do = draw(1, seq, 2, dim), draw(1, seq, 1, dim), draw(1, seq, 1, dim), draw(1, seq, 2, dim)
            return {"Q": q, "K": k, "V": v, "dO": do, **forward(q, k, v, causal)}

        yield Case(
            f"attention-backward-d{dim}{'-causal' if causal else ''}-{seq}",
            flash_attention_backward(1, 2, seq, dim, causal, kv_heads=1),
            inputs,
            lambda causal=causal, **tensors: reference(**tensors, causal=causal),
            exact=False,
            # of 128 numbers dK and dV take half of the registers of a thread, and on other GPUs a pair is spilled
            targets=("sm_80", "sm_89", "sm_90a") if dim <= 64 else ("sm_90a",),
        )
