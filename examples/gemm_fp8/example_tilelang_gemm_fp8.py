"""C = A B^T of 8-bit floats, summed in float32 and rounded to 8 bits."""

import ml_dtypes
import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

# name -> (dtype, NumPy's, half a step of the result relative to it)
DTYPES = {
    "e4m3": (T.float8_e4m3fn, ml_dtypes.float8_e4m3fn, 2**-4),
    "e5m2": (T.float8_e5m2, ml_dtypes.float8_e5m2, 2**-3),
}


def matmul(M, N, K, dtype, block=(128, 128, 64), num_stages=3, threads=128):
    block_M, block_N, block_K = block

    @tiledsl.kernel(out_idx=-1)
    def matmul_fp8(A: T.Tensor((M, K), dtype), B: T.Tensor((N, K), dtype), C: T.Tensor((M, N), dtype)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), dtype)
            B_shared = T.alloc_shared((block_N, block_K), dtype)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A[by * block_M, k * block_K], A_shared)
                T.copy(B[bx * block_N, k * block_K], B_shared)
                T.gemm(A_shared, B_shared, C_local, transpose_B=True)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return matmul_fp8


def rows():
    def case(name, M, N, K):
        dtype, numpy, step = DTYPES[name]

        def inputs(draw):
            return {"A": draw(M, K, dtype=numpy), "B": draw(N, K, dtype=numpy)}

        def reference(A, B):
            """In double precision, rounded once."""
            return {"C": (A.astype(np.float64) @ B.astype(np.float64).T).astype(numpy)}

        return Case(
            f"example-gemm-fp8-{name}-{M}x{N}x{K}",
            matmul(M, N, K, dtype),
            inputs,
            reference,
            # A sum near the middle between two results is rounded to either: a whole step.
            rtol=2 * step,
            atol=1e-2,
            whole=1e-3,
            targets=("sm_89", "sm_90a"),
        )

    yield Row(
        "example_tilelang_gemm_fp8",
        "C = A B^T, e4m3 and e5m2 (mean of both), summed in float32, 1024 x 1024 x 1024",
        timed=tuple(case(name, 1024, 1024, 1024) for name in DTYPES),
        reduced=(
            case("e4m3", 128, 128, 256),
            case("e5m2", 128, 128, 256),
            case("e4m3", 144, 80, 272),
            case("e5m2", 144, 80, 272),
        ),
        tilelang=(0.0151, 0.0156),
    )


if __name__ == "__main__":
    main(rows())
