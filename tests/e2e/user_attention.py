"""Attention as users write it: backward with atomics, sequences of their own lengths, pages."""

import numpy as np

import tiledsl
import tiledsl.language as T

f16, f32 = np.float16, np.float32

LOG2E = 1.4426950408889634


def soft(s):
    e = np.exp(s - s.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def attention_backward():
    S, D, bm, bn = (64, 32, 32, 32)
    scale = D ** (-0.5)

    @tiledsl.kernel
    def bwd(
        Q: T.Tensor((S, D), T.float16),
        K: T.Tensor((S, D), T.float16),
        V: T.Tensor((S, D), T.float16),
        dO: T.Tensor((S, D), T.float16),
        lse: T.Tensor((S,), T.float32),
        delta: T.Tensor((S,), T.float32),
        dQ: T.Tensor((S, D), T.float32),
        dK: T.Tensor((S, D), T.float32),
        dV: T.Tensor((S, D), T.float32),
    ):
        with T.Kernel(S // bn, threads=64) as bx:
            Ks = T.alloc_shared((bn, D), T.float16)
            Vs = T.alloc_shared((bn, D), T.float16)
            Qs = T.alloc_shared((bm, D), T.float16)
            dOs = T.alloc_shared((bm, D), T.float16)
            ls = T.alloc_shared((bm,), T.float32)
            des = T.alloc_shared((bm,), T.float32)
            pT = T.alloc_fragment((bn, bm), T.float32)
            dsT = T.alloc_fragment((bn, bm), T.float32)
            pc = T.alloc_fragment((bn, bm), T.float16)
            dsc = T.alloc_fragment((bn, bm), T.float16)
            dss = T.alloc_shared((bn, bm), T.float16)
            dv = T.alloc_fragment((bn, D), T.float32)
            dk = T.alloc_fragment((bn, D), T.float32)
            dq = T.alloc_fragment((bm, D), T.float32)
            T.copy(K[bx * bn, 0], Ks)
            T.copy(V[bx * bn, 0], Vs)
            T.clear(dv)
            T.clear(dk)
            P = T.GemmWarpPolicy.FullRow
            for k in T.Pipelined(S // bm, num_stages=2):
                T.copy(Q[k * bm : (k + 1) * bm, :], Qs)
                T.clear(pT)
                T.gemm(Ks, Qs, pT, transpose_B=True, policy=P)
                T.copy(lse[k * bm : (k + 1) * bm], ls)
                for i, j in T.Parallel(bn, bm):
                    pT[i, j] = T.exp2(pT[i, j] * scale * LOG2E - ls[j])
                T.copy(dO[k * bm : (k + 1) * bm, :], dOs)
                T.clear(dsT)
                T.gemm(Vs, dOs, dsT, transpose_B=True, policy=P)
                T.copy(pT, pc)
                T.gemm(pc, dOs, dv, policy=P)
                T.copy(delta[k * bm : (k + 1) * bm], des)
                for i, j in T.Parallel(bn, bm):
                    dsc[i, j] = pT[i, j] * (dsT[i, j] - des[j]) * scale
                T.gemm(dsc, Qs, dk, policy=P)
                T.copy(dsc, dss)
                T.clear(dq)
                T.gemm(dss, Ks, dq, transpose_A=True)
                T.atomic_add(dQ[k * bm, 0], dq)
            T.copy(dv, dV[bx * bn, 0])
            T.copy(dk, dK[bx * bn, 0])

    def inputs(d):
        Q, K, V, dO = (d(S, D) for _ in range(4))
        s = Q.astype(float) @ K.astype(float).T * scale
        lse = (np.log(np.exp(s).sum(-1)) * LOG2E).astype(f32)
        o = soft(s) @ V.astype(float)
        delta = (o * dO).sum(-1).astype(f32)
        return dict(
            Q=Q,
            K=K,
            V=V,
            dO=dO,
            lse=lse,
            delta=delta,
            dQ=np.zeros((S, D), f32),
            dK=np.zeros((S, D), f32),
            dV=np.zeros((S, D), f32),
        )

    def ref(Q, K, V, dO, lse, delta, dQ, dK, dV):
        q, k, v, do = (x.astype(float) for x in (Q, K, V, dO))
        p = soft(q @ k.T * scale)
        dp = do @ v.T
        ds = p * (dp - delta[:, None]) * scale
        return dict(dV=(p.T @ do).astype(f32), dK=(ds.T @ q).astype(f32), dQ=(ds @ k).astype(f32))

    return (bwd, inputs, ref)


def attention_of_own_lengths():
    _H, D, bm, bn = (1, 32, 16, 16)
    scale = D ** (-0.5) * LOG2E
    tot = 90
    B = 3
    maxlen = 48
    cu = np.array([0, 20, 65, 90], np.int32)

    @tiledsl.kernel(out_idx=-1)
    def fa(
        Q: T.Tensor((tot, D), T.float16),
        K: T.Tensor((tot, D), T.float16),
        V: T.Tensor((tot, D), T.float16),
        cu: T.Tensor((B + 1,), T.int32),
        O: T.Tensor((tot, D), T.float16),
    ):
        with T.Kernel(T.ceildiv(maxlen, bm), B, threads=32) as (bx, bz):
            Qs = T.alloc_shared((bm, D), T.float16)
            Ks = T.alloc_shared((bn, D), T.float16)
            Vs = T.alloc_shared((bn, D), T.float16)
            s = T.alloc_fragment((bm, bn), T.float32)
            p = T.alloc_fragment((bm, bn), T.float16)
            o = T.alloc_fragment((bm, D), T.float32)
            m = T.alloc_fragment((bm,), T.float32)
            mp = T.alloc_fragment((bm,), T.float32)
            r = T.alloc_fragment((bm,), T.float32)
            rs = T.alloc_fragment((bm,), T.float32)
            l = T.alloc_fragment((bm,), T.float32)
            q0 = cu[bz]
            q1 = cu[bz + 1]
            n = q1 - q0
            if bx * bm < n:
                T.copy(Q[q0 + bx * bm, 0], Qs)
                T.clear(o)
                T.clear(l)
                T.fill(m, -1e30)
                for k in T.Pipelined(T.ceildiv(n, bn), num_stages=2):
                    T.copy(K[q0 + k * bn, 0], Ks)
                    for i, j in T.Parallel(bm, bn):
                        s[i, j] = T.if_then_else(k * bn + j < n, 0.0, -1e30)
                    T.gemm(Qs, Ks, s, transpose_B=True)
                    T.copy(m, mp)
                    T.reduce_max(s, m, dim=1, clear=False)
                    for i in T.Parallel(bm):
                        r[i] = T.exp2((mp[i] - m[i]) * scale)
                    for i, j in T.Parallel(bm, bn):
                        s[i, j] = T.exp2(s[i, j] * scale - m[i] * scale)
                    T.reduce_sum(s, rs, dim=1)
                    for i in T.Parallel(bm):
                        l[i] = l[i] * r[i] + rs[i]
                    T.copy(s, p)
                    for i, j in T.Parallel(bm, D):
                        o[i, j] *= r[i]
                    T.copy(V[q0 + k * bn, 0], Vs)
                    T.gemm(p, Vs, o)
                for i, j in T.Parallel(bm, D):
                    if bx * bm + i < n:
                        O[q0 + bx * bm + i, j] = T.cast(o[i, j] / l[i], T.float16)

    def ref(Q, K, V, cu):
        out = np.zeros((tot, D))
        for b in range(B):
            x = slice(cu[b], cu[b + 1])
            out[x] = soft(Q[x].astype(float) @ K[x].astype(float).T / np.sqrt(D)) @ V[x].astype(float)
        return {"O": out.astype(f16)}

    return (fa, lambda d: {"Q": d(tot, D), "K": d(tot, D), "V": d(tot, D), "cu": cu}, ref)


def attention_of_pages():
    D, bn, pages = (32, 16, 12)
    heads = 16
    scale = D ** (-0.5) * LOG2E
    B = 2
    maxp = 5
    lens = np.array([70, 33], np.int32)
    table = np.array([[3, 7, 1, 9, 11], [0, 4, 2, 0, 0]], np.int32)

    @tiledsl.kernel(out_idx=-1)
    def fa(
        Q: T.Tensor((B, heads, D), T.float16),
        K: T.Tensor((pages * bn, D), T.float16),
        V: T.Tensor((pages * bn, D), T.float16),
        table: T.Tensor((B, maxp), T.int32),
        lens: T.Tensor((B,), T.int32),
        O: T.Tensor((B, heads, D), T.float16),
    ):
        with T.Kernel(B, threads=32) as bz:
            bm = heads
            Qs = T.alloc_shared((bm, D), T.float16)
            Ks = T.alloc_shared((bn, D), T.float16)
            Vs = T.alloc_shared((bn, D), T.float16)
            s = T.alloc_fragment((bm, bn), T.float32)
            p = T.alloc_fragment((bm, bn), T.float16)
            o = T.alloc_fragment((bm, D), T.float32)
            m = T.alloc_fragment((bm,), T.float32)
            mp = T.alloc_fragment((bm,), T.float32)
            r = T.alloc_fragment((bm,), T.float32)
            rs = T.alloc_fragment((bm,), T.float32)
            l = T.alloc_fragment((bm,), T.float32)
            n = lens[bz]
            T.copy(Q[bz, :, :], Qs)
            T.clear(o)
            T.clear(l)
            T.fill(m, -1e30)
            for k in T.Pipelined(T.ceildiv(n, bn), num_stages=2):
                page = table[bz, k]
                T.copy(K[page * bn : (page + 1) * bn, :], Ks)
                for i, j in T.Parallel(bm, bn):
                    s[i, j] = T.if_then_else(k * bn + j < n, 0.0, -1e30)
                T.gemm(Qs, Ks, s, transpose_B=True)
                T.copy(m, mp)
                T.reduce_max(s, m, dim=1, clear=False)
                for i in T.Parallel(bm):
                    r[i] = T.exp2((mp[i] - m[i]) * scale)
                for i, j in T.Parallel(bm, bn):
                    s[i, j] = T.exp2(s[i, j] * scale - m[i] * scale)
                T.reduce_sum(s, rs, dim=1)
                for i in T.Parallel(bm):
                    l[i] = l[i] * r[i] + rs[i]
                T.copy(s, p)
                for i, j in T.Parallel(bm, D):
                    o[i, j] *= r[i]
                T.copy(V[page * bn : (page + 1) * bn, :], Vs)
                T.gemm(p, Vs, o)
            for i, j in T.Parallel(bm, D):
                o[i, j] /= l[i]
            T.copy(o, O[bz, :, :])

    def ref(Q, K, V, table, lens):
        out = np.zeros((B, heads, D))
        for b in range(B):
            rows = np.concatenate([np.arange(t * bn, t * bn + bn) for t in table[b]])[: lens[b]]
            out[b] = soft(Q[b].astype(float) @ K[rows].astype(float).T / np.sqrt(D)) @ V[rows].astype(float)
        return {"O": out.astype(f16)}

    return (
        fa,
        lambda d: {"Q": d(B, heads, D), "K": d(pages * bn, D), "V": d(pages * bn, D), "table": table, "lens": lens},
        ref,
    )


PROGRAMS = (attention_backward, attention_of_own_lengths, attention_of_pages)
