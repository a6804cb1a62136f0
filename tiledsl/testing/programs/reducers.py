"""A reducer accumulates in a fragment of the shape of its loop, which is reduced once."""

import tiledsl.language as T


def kernel(A: T.Tensor((24, 16), "float32"), S: T.Tensor((8,), "float32"), G: T.Tensor((1,), "float32")):
    with T.Kernel(1, threads=32):
        s = T.alloc_reducer((8,), "float32")
        g = T.alloc_reducer((1,), "float32", op="max")
        T.clear(s)
        T.reducer_init(g, -5.0)
        for k in range(3):
            for i, j in T.Parallel(8, 16):
                s[i] += A[k * 8 + i, j]
            for i, j in T.Parallel(8, 16):
                T.reducer_update(g[0], A[k * 8 + i, j])
        T.finalize_reducer(s)
        T.finalize_reducer(g, G)
        T.copy(s, S)
