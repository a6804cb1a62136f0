"""Element-wise kernels: addition of two matrices, and a transpose through shared memory."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case


def add(M, N, block_M=32, block_N=64, dtype=T.float32, threads=128):
    """C = A + B, any M and N."""

    @tiledsl.kernel(out_idx=-1)
    def add(A: T.Tensor((M, N), dtype), B: T.Tensor((M, N), dtype), C: T.Tensor((M, N), dtype)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            for i, j in T.Parallel(block_M, block_N):
                row = by * block_M + i
                column = bx * block_N + j
                C[row, column] = A[row, column] + B[row, column]

    return add


def transpose(M, N, block=64, dtype=T.float16, threads=128):
    """B = A^T: both global accesses are coalesced, the turn happens in shared memory."""

    @tiledsl.kernel(out_idx=-1)
    def transpose(A: T.Tensor((M, N), dtype), B: T.Tensor((N, M), dtype)):
        with T.Kernel(T.ceildiv(N, block), T.ceildiv(M, block), threads=threads) as (bx, by):
            tile = T.alloc_shared((block, block), dtype)
            turned = T.alloc_shared((block, block), dtype)
            T.copy(A[by * block, bx * block], tile)
            T.transpose(tile, turned)
            T.copy(turned, B[bx * block, by * block])

    return transpose


def cases():
    for M, N in ((64, 128), (33, 71)):
        yield Case(
            f"add-{M}x{N}",
            add(M, N),
            lambda draw, M=M, N=N: {"A": draw(M, N, dtype=np.float32), "B": draw(M, N, dtype=np.float32)},
            lambda A, B: {"C": A + B},
            rtol=0,
            atol=0,
        )
    for M, N in ((128, 64), (70, 45)):
        yield Case(
            f"transpose-{M}x{N}",
            transpose(M, N),
            lambda draw, M=M, N=N: {"A": draw(M, N)},
            lambda A: {"B": A.T.copy()},
            rtol=0,
            atol=0,
        )
