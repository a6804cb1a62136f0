"""Constant style: sizes from the arguments, a result made by T.empty, a compile-time parameter."""

import numpy as np

import tiledsl.language as T

STATIC = {"scale": 2.0}
TENSORS = {"A": ((24, 40), "float32")}


def kernel(A, scale: float, block: int = 16):
    M, N = T.const("M, N")
    A: T.Tensor((M, N), T.float32)
    B = T.empty((M, N), T.float32)
    with T.Kernel(T.ceildiv(M, block)) as bx:
        rows = T.alloc_shared((block, N), T.float32)
        T.copy(A[bx * block, 0], rows)
        for i, j in T.Parallel(block, N):
            rows[i, j] = rows[i, j] * scale
        T.copy(rows, B[bx * block, 0])
    return B


def inputs(rng):
    return {"A": rng.integers(-9, 9, (24, 40)).astype(np.float32), "B": np.zeros((24, 40), np.float32)}


def reference(A, B):
    return {"B": A * 2}


# ruff: noqa
# expect:
# kernel kernel(A: global float32[24, 40], B: global float32[24, 40]) -> B {
#   launch kernel(bx in 2) threads(thread in 128) {
#     alloc rows: shared float32[16, 40]
#     copy A[bx * 16 : 16, 0 : 40] -> rows
#     parallel i in 16, j in 40 {
#       rows[i, j] = rows[i, j] * 2.0
#     }
#     copy rows -> B[bx * 16 : 16, 0 : 40]
#   }
# }
