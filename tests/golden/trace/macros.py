"""Macros with results, by-reference variables and blocks; helper functions; a loop at trace time."""

import numpy as np

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


def inputs(rng):
    a = rng.integers(-9, 9, (2, 16, 16)).astype(np.float32)
    return {"A": a, "B": np.zeros((2, 16), np.float32), "C": np.zeros(2, np.int32)}


def reference(A, B, C):
    return {"B": A.sum(2) * 4, "C": np.array([4, 7], np.int32)}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[2, 16, 16], B: global float32[2, 16], C: global int32[2]) {
#   launch kernel(b in 2) threads(thread in 64) {
#     alloc tile: fragment float32[16, 16]
#     copy A[b, 0 : 16, 0 : 16] -> tile
#     parallel i in 16, j in 16 {
#       tile[i, j] = tile[i, j] + tile[i, j]
#     }
#     parallel i_1 in 16, j_1 in 16 {
#       tile[i_1, j_1] = tile[i_1, j_1] + tile[i_1, j_1]
#     }
#     alloc sums: fragment float32[16]
#     reduce(sum, dim=1) tile -> sums
#     copy sums -> B[b, 0 : 16]
#     alloc count: var int32 = 1
#     count = cast<int32>(cast<index>(count) + (b + 1))
#     let by = (b + 1) * 2
#     count = cast<int32>(cast<index>(count) + by)
#     C[b] = count
#   }
# }
