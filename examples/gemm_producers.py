"""Matrix products for Hopper (sm_90a) whose tiles the copy engine cannot bring.

Rows that are not aligned, rows that a table names, weights of 8 bits that become float16 on the way, a matrix that is
stored the other way round: the warpgroup that copies then does so with all its threads, by cp.async or through their
registers, beside the copy engine for what that can bring. Those who multiply do not notice: a product stays in flight.
"""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case


def gemm_unaligned(M, N, K, block=(128, 128, 64), num_stages=3, threads=256):
    """C = A B for any K and N: rows of A and B begin where they may."""
    block_M, block_N, block_K = block

    @tiledsl.kernel(out_idx=-1)
    def gemm_unaligned(A: T.Tensor((M, K), T.float16), B: T.Tensor((K, N), T.float16), C: T.Tensor((M, N), T.float16)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A[by * block_M, k * block_K], A_shared)
                T.copy(B[k * block_K, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return gemm_unaligned


def gemm_unaligned_dynamic(block=(128, 64, 64), num_stages=3, threads=256):
    """The same for all sizes: nothing is known of rows, so every element is copied for itself."""
    block_M, block_N, block_K = block
    m, n, k = T.dynamic("m"), T.dynamic("n"), T.dynamic("k")

    @tiledsl.kernel(out_idx=-1)
    def gemm_unaligned_dynamic(
        A: T.Tensor((m, k), T.float16), B: T.Tensor((k, n), T.float16), C: T.Tensor((m, n), T.float16)
    ):
        with T.Kernel(T.ceildiv(n, block_N), T.ceildiv(m, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for ko in T.Pipelined(T.ceildiv(k, block_K), num_stages=num_stages):
                T.copy(A[by * block_M, ko * block_K], A_shared)
                T.copy(B[ko * block_K, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return gemm_unaligned_dynamic


def gemm_gathered(M, N, K, rows, block=(128, 128, 64), num_stages=3, threads=256):
    """C[i, :] = A[Rows[i], :] B: a table names the rows of A, as in a mixture of experts."""
    block_M, block_N, block_K = block

    @tiledsl.kernel(out_idx=-1)
    def gemm_gathered(
        A: T.Tensor((rows, K), T.float16),
        Rows: T.Tensor((M,), T.int32),
        B: T.Tensor((K, N), T.float16),
        C: T.Tensor((M, N), T.float16),
    ):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                for i, j in T.Parallel(block_M, block_K):
                    A_shared[i, j] = A[Rows[by * block_M + i], k * block_K + j]
                T.copy(B[k * block_K, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return gemm_gathered


def gemm_dequantised(M, N, K, where="producer", block=(128, 128, 64), num_stages=3, threads=256):
    """C = A (W * Scales) with weights W of 8 bits and a scale for each column.

    They become float16 `where` they are copied, or where they are multiplied: then the copy engine brings bytes, and
    the threads that multiply convert them into another tile first.
    """
    block_M, block_N, block_K = block

    @tiledsl.kernel(out_idx=-1)
    def gemm_dequantised(
        A: T.Tensor((M, K), T.float16),
        W: T.Tensor((K, N), T.int8),
        Scales: T.Tensor((N,), T.float16),
        C: T.Tensor((M, N), T.float16),
    ):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            W_shared = T.alloc_shared((block_K, block_N), T.int8)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A[by * block_M, k * block_K], A_shared)
                if where == "producer":
                    for i, j in T.Parallel(block_K, block_N):
                        column = bx * block_N + j
                        B_shared[i, j] = T.cast(W[k * block_K + i, column], T.float16) * Scales[column]
                else:
                    T.copy(W[k * block_K, bx * block_N], W_shared)
                    for i, j in T.Parallel(block_K, block_N):
                        B_shared[i, j] = T.cast(W_shared[i, j], T.float16) * Scales[bx * block_N + j]
                T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return gemm_dequantised


def gemm_turned(M, N, K, block=(128, 64, 64), num_stages=3, threads=256):
    """C = A B of tfloat32 numbers, which the tensor core reads along k only: B, stored along n, turns on the way."""
    block_M, block_N, block_K = block

    @tiledsl.kernel(out_idx=-1)
    def gemm_turned(A: T.Tensor((M, K), T.float32), B: T.Tensor((K, N), T.float32), C: T.Tensor((M, N), T.float32)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float32)
            B_shared = T.alloc_shared((block_N, block_K), T.float32)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A[by * block_M, k * block_K], A_shared)
                for i, j in T.Parallel(block_N, block_K):
                    B_shared[i, j] = B[k * block_K + j, bx * block_N + i]
                T.gemm(A_shared, B_shared, C_local, transpose_B=True, precision="tf32")
            T.copy(C_local, C[by * block_M, bx * block_N])

    return gemm_turned


def product(A, B, result=np.float16):
    return (A.astype(np.float64) @ B.astype(np.float64)).astype(result)


def plain_cases():
    for name, kernel, (M, N, K), dtype in (
        ("words", gemm_unaligned, (200, 130, 356), np.float16),
        ("halves", gemm_unaligned, (130, 72, 357), np.float16),
        ("dynamic", lambda *_: gemm_unaligned_dynamic(), (130, 72, 357), np.float16),
        ("turned", gemm_turned, (130, 72, 356), np.float32),
    ):
        yield Case(
            f"gemm-producers-{name}-{M}x{N}x{K}",
            kernel(M, N, K),
            lambda draw, M=M, N=N, K=K, dtype=dtype: {"A": draw(M, K, dtype=dtype), "B": draw(K, N, dtype=dtype)},
            lambda A, B, dtype=dtype: {"C": product(A, B, dtype)},
            targets=("sm_90a",),
            **({"rtol": 4e-2, "atol": 4e-2} if dtype is np.float32 else {}),
        )


def gathered_cases():
    for M, N, K, rows in ((200, 136, 328, 77), (128, 64, 384, 5)):

        def inputs(draw, M=M, N=N, K=K, rows=rows):
            return {"A": draw(rows, K), "Rows": draw.rng.integers(0, rows, M).astype(np.int32), "B": draw(K, N)}

        yield Case(
            f"gemm-producers-gathered-{M}x{N}x{K}", gemm_gathered(M, N, K, rows), inputs,
            lambda A, Rows, B: {"C": product(A[Rows], B)}, targets=("sm_90a",),
        )  # fmt: skip


def dequantised_cases():
    for where in ("producer", "consumer"):
        for M, N, K in ((200, 144, 328), (128, 128, 384)):

            def inputs(draw, M=M, N=N, K=K):
                return {"A": draw(M, K), "W": draw(K, N, dtype=np.int8), "Scales": draw(N)}

            yield Case(
                f"gemm-producers-dequantised-{where}-{M}x{N}x{K}", gemm_dequantised(M, N, K, where), inputs,
                lambda A, W, Scales: {"C": product(A, W * Scales)}, rtol=2e-2, atol=2e-2, targets=("sm_90a",),
            )  # fmt: skip


def cases():
    yield from plain_cases()
    yield from gathered_cases()
    yield from dequantised_cases()
