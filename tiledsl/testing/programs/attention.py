"""Online softmax over pipelined blocks of keys."""

import tiledsl.language as T


def kernel(
    Q: T.Tensor((64, 32), T.float16),
    K: T.Tensor((80, 32), T.float16),
    V: T.Tensor((80, 32), T.float16),
    O: T.Tensor((64, 32), T.float16),
):
    with T.Kernel(2, threads=64) as b:
        Qs = T.alloc_shared((32, 32), T.float16)
        Ks = T.alloc_shared((32, 32), T.float16)
        Vs = T.alloc_shared((32, 32), T.float16)
        scores = T.alloc_fragment((32, 32), T.float32)
        weights = T.alloc_fragment((32, 32), T.float16)
        out = T.alloc_fragment((32, 32), T.float32)
        greatest = T.alloc_fragment((32,), T.float32)
        rescale = T.alloc_fragment((32,), T.float32)
        row = T.alloc_fragment((32,), T.float32)
        total = T.alloc_fragment((32,), T.float32)
        T.annotate_layout({Qs: T.make_swizzled_layout(Qs)})
        T.copy(Q[b * 32 : (b + 1) * 32, :], Qs)
        T.clear(out)
        T.clear(total)
        T.fill(greatest, -T.infinity("float32"))
        for k in T.Pipelined(T.ceildiv(80, 32), num_stages=2):
            T.copy(K[k * 32 : (k + 1) * 32, :], Ks)
            for i, j in T.Parallel(32, 32):
                scores[i, j] = T.if_then_else(k * 32 + j < 80, 0, -T.infinity("float32"))
            T.gemm(Qs, Ks, scores, transpose_B=True, policy=T.GemmWarpPolicy.FullRow)
            T.copy(greatest, rescale)
            T.reduce_max(scores, greatest, dim=1, clear=False)
            for i in T.Parallel(32):
                rescale[i] = T.exp2(rescale[i] - greatest[i])
            for i, j in T.Parallel(32, 32):
                scores[i, j] = T.exp2(scores[i, j] - greatest[i])
            T.reduce_sum(scores, row, dim=1)
            for i in T.Parallel(32):
                total[i] = total[i] * rescale[i] + row[i]
            for i, j in T.Parallel(32, 32):
                out[i, j] *= rescale[i]
            T.copy(scores, weights)
            T.copy(V[k * 32, 0], Vs)
            T.gemm(weights, Vs, out, policy=T.GemmWarpPolicy.FullRow)
        for i, j in T.Parallel(32, 32):
            out[i, j] /= total[i]
        T.copy(out, O[b * 32, 0])
