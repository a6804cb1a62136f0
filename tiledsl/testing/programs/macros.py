"""Macros with results, by-reference variables and blocks; helper functions; a loop at trace time."""

import tiledsl.language as T


@T.macro
def row_sums(tile, rows, columns):
    sums = T.alloc_fragment((rows,), "float32")
    T.reduce_sum(tile, sums, dim=1)
    if columns > 16:
        for i in T.Parallel(rows):
            sums[i] = sums[i] * 2
    return sums


@T.macro
def increase(counter: T.Ref, by):
    counter = counter + by
    by = by * 2
    counter += by


def double(x):
    return x + x


def kernel(A: T.Tensor((2, 16, 16), "float32"), B: T.Tensor((2, 16), "float32"), C: T.Tensor((2,), "int32")):
    with T.Kernel(2, threads=64) as b:
        tile = T.alloc_fragment((16, 16), "float32")
        T.copy(A[b, :, :], tile)
        for _ in [0, 1]:
            for i, j in T.Parallel(16, 16):
                tile[i, j] = double(tile[i, j])
        T.copy(row_sums(tile, 16, 16), B[b, 0])
        count = T.alloc_var("int32", 1)
        increase(count, b + 1)
        C[b] = count
