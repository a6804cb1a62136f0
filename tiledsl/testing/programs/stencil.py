"""A stencil: indices that leave the tile, a manual schedule, an index load, an assertion, printing."""

import tiledsl.language as T

n = T.dynamic("n")


def kernel(
    A: T.Tensor((n, 70), "float32"),
    M: T.Tensor((8,), "bool"),
    I: T.Tensor((8,), "int32"),
    B: T.Tensor((n, 70), "float32"),
):
    with T.Kernel(T.ceildiv(70, 32), T.ceildiv(n, 8), threads=96) as (bx, by):
        T.annotate_safe_value({A: -7.0})
        T.use_swizzle(2)
        S = T.alloc_shared((8, 32), "float32")
        F = T.alloc_fragment((8, 32), "float32")
        T.annotate_layout({S: T.Layout((8, 32), lambda i, j: i * 32 + (j ^ i))})
        for k in T.Pipelined(3, num_stages=2, order=[0, 1], stage=[0, 1]):
            T.copy(A[by * 8 + k - 1, bx * 32], S)
            for i, j in T.Parallel(8, 32, coalesced_width=2):
                F[i, j] = S[i, j] + A[by * 8 + i, bx * 32 + j - 1]
        if M[by % 8]:
            T.copy(S[0:4, :], F[0:4, :])
        where = I[by % 8]
        for i, j in T.Parallel(8, 32):
            if where + i < n and j < 30:
                B[where + i, bx * 32 + j] = T.max(F[i, j], S[i, T.min(j + 1, 31)])
        T.device_assert(where >= 0)
        T.print(F)
