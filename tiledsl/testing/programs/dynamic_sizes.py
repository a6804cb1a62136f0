"""Run-time sizes and scalars; a size used as a value."""

import tiledsl.language as T

m, n = T.dynamic("m, n")


def kernel(A: T.Tensor((m, n), "float32"), C: T.Tensor((n,), "float32"), alpha: T.float32, first: T.int32):
    with T.Kernel(T.ceildiv(n, 32), threads=32) as b:
        column = T.alloc_fragment((32,), "float32")
        T.clear(column)
        for row in range(first, m):
            for j in T.Parallel(32):
                if b * 32 + j < n:
                    column[j] += A[row, b * 32 + j] * alpha
        for j in T.Parallel(32):
            column[j] = column[j] + n
        T.copy(column, C[b * 32])
