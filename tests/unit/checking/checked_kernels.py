"""Small kernels with one thing wrong each, and one that is right."""

from __future__ import annotations

import tiledsl
import tiledsl.language as T

N = 64


@tiledsl.kernel(out_idx=-1)
def right(A: T.Tensor((N, N), T.float32), C: T.Tensor((N, N), T.float32)):
    with T.Kernel(2, threads=64) as b:
        tile = T.alloc_shared((N // 2, N), T.float32)
        T.copy(A[b * N // 2, 0], tile)
        for i, j in T.Parallel(N // 2, N):
            C[b * N // 2 + i, j] = tile[i, N - 1 - j]


@tiledsl.kernel(out_idx=-1)
def uncleared(A: T.Tensor((N, N), T.float16), C: T.Tensor((N, N), T.float32)):
    with T.Kernel(1, threads=128):
        tile = T.alloc_shared((N, N), T.float16)
        total = T.alloc_fragment((N, N), T.float32)
        T.copy(A, tile)
        T.gemm(tile, tile, total)
        T.copy(total, C)


@tiledsl.kernel(out_idx=-1)
def unwritten(A: T.Tensor((N,), T.float32), C: T.Tensor((N,), T.float32)):
    with T.Kernel(1, threads=64):
        tile = T.alloc_shared((2 * N,), T.float32)
        T.copy(A, tile[0:N])
        for i in T.Parallel(N):
            C[i] = tile[2 * i]


@tiledsl.kernel
def added(A: T.Tensor((4, N), T.float32), total: T.Tensor((1,), T.float32)):
    with T.Kernel(4, threads=64) as b:
        for i in T.Parallel(N):
            if i == 0:
                total[0] = total[0] + A[b, i]


@tiledsl.kernel
def atomic(A: T.Tensor((4, N), T.float32), total: T.Tensor((1,), T.float32)):
    with T.Kernel(4, threads=64) as b:
        for i in T.Parallel(N):
            T.atomic_add(total[0], A[b, i])


@tiledsl.kernel
def added_by_tiles(A: T.Tensor((4, 8, 64), T.float32), total: T.Tensor((8, 64), T.float32)):
    """On sm_90a by the copy engine."""
    with T.Kernel(4, threads=64) as b:
        tile = T.alloc_shared((8, 64), T.float32)
        T.copy(A[b, :, :], tile)
        T.atomic_add(total, tile, use_tma=True)


@tiledsl.kernel
def sized(A: T.Tensor((T.dynamic("m"), 8), T.float32), B: T.Tensor((T.dynamic("m"), 8), T.float32), s: T.float32):
    with T.Kernel(T.ceildiv(T.dynamic("m"), 16), threads=32) as b:
        for i, j in T.Parallel(16, 8):
            B[b * 16 + i, j] = A[b * 16 + i, j] * s


@tiledsl.kernel
def constant_style(A, rows=16):
    M, K = T.const("M, K")
    A: T.Tensor((M, K), T.float32)
    B = T.empty((M, K), T.float32)
    with T.Kernel(T.ceildiv(M, rows), threads=32) as b:
        T.copy(A[b * rows : b * rows + rows, 0:K], B[b * rows, 0])
    return B
