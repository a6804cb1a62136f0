"""C = A B^T of 8-bit floats, in two accumulators: what the tensor core sums over 128 numbers is added in float32.

Tensor cores add products of 8-bit floats with fewer bits than float32 has. Over a long K that is seen; so short sums
go to an accumulator that is added to as usual.
"""

import ml_dtypes
import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

SPAN = 128  # numbers that the tensor core sums
DTYPES = {"e4m3": (T.float8_e4m3fn, ml_dtypes.float8_e4m3fn), "e5m2": (T.float8_e5m2, ml_dtypes.float8_e5m2)}


def matmul(M, N, K, dtype, block=(128, 128, 64), num_stages=3, threads=256):
    block_M, block_N, block_K = block
    interval = SPAN // block_K

    @tiledsl.kernel(out_idx=-1)
    def matmul_fp8_2xacc(A: T.Tensor((M, K), dtype), B: T.Tensor((N, K), dtype), C: T.Tensor((M, N), T.float32)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), dtype)
            B_shared = T.alloc_shared((block_N, block_K), dtype)
            C_shared = T.alloc_shared((block_M, block_N), T.float32)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            C_total = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            T.clear(C_total)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A[by * block_M, k * block_K], A_shared)
                T.copy(B[bx * block_N, k * block_K], B_shared)
                T.gemm(A_shared, B_shared, C_local, transpose_B=True)
                if (k + 1) % interval == 0:
                    for i, j in T.Parallel(block_M, block_N):
                        C_total[i, j] += C_local[i, j]
                    T.clear(C_local)
            if -(-K // block_K) % interval != 0:
                for i, j in T.Parallel(block_M, block_N):
                    C_total[i, j] += C_local[i, j]
            T.copy(C_total, C_shared)
            T.copy(C_shared, C[by * block_M, bx * block_N])

    return matmul_fp8_2xacc


def reference(A, B):
    """In double precision, rounded once."""
    return {"C": (A.astype(np.float64) @ B.astype(np.float64).T).astype(np.float32)}


def rows():
    def case(name, M, N, K):
        dtype, numpy = DTYPES[name]

        def inputs(draw):
            return {"A": draw(M, K, dtype=numpy), "B": draw(N, K, dtype=numpy)}

        return Case(
            f"example-gemm-fp8-2xacc-{name}-{M}x{N}x{K}",
            matmul(M, N, K, dtype),
            inputs,
            reference,
            whole=1e-3,
            targets=("sm_89", "sm_90a"),
        )

    yield Row(
        "example_tilelang_gemm_fp8_2xAcc",
        "C = A B^T, e4m3 and e5m2 (mean of both), summed in two accumulators, to float32, 1024 x 1024 x 8192",
        timed=tuple(case(name, 1024, 1024, 8192) for name in DTYPES),
        reduced=(case("e4m3", 128, 128, 384), case("e5m2", 128, 128, 320), case("e4m3", 144, 80, 464)),
        tilelang=(0.1855, 0.1970),
    )


if __name__ == "__main__":
    main(rows())
