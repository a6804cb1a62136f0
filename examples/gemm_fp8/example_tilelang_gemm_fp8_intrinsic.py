"""C = A B^T of 8-bit floats by instructions: ldmatrix, mma and stores of every warp, through the emitter."""

import ml_dtypes
import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

CHUNK, WARPS, WARP_TILE = 64, (2, 2), (32, 32)
DTYPES = {
    "e4m3": ("float8_e4m3fn", ml_dtypes.float8_e4m3fn),
    "e5m2": ("float8_e5m2", ml_dtypes.float8_e5m2),
}


def matmul(M, N, K, dtype, num_stages=2):
    emitter = T.TensorCoreIntrinEmitter(
        a_dtype=dtype,
        b_dtype=dtype,
        accum_dtype="float32",
        b_transposed=True,
        block_row_warps=WARPS[0],
        block_col_warps=WARPS[1],
        warp_row_tiles=WARP_TILE[0],
        warp_col_tiles=WARP_TILE[1],
        chunk=CHUNK,
    )
    block_M, block_N = WARPS[0] * WARP_TILE[0], WARPS[1] * WARP_TILE[1]
    # Four rows of 32 bytes, as half of a warp stores them, then lie in all banks.
    padded = T.Layout((block_M, block_N), lambda i, j: i * (block_N + 8) + j)

    @tiledsl.kernel(out_idx=-1)
    def matmul_fp8_intrinsics(A: T.Tensor((M, K), dtype), B: T.Tensor((N, K), dtype), C: T.Tensor((M, N), T.float32)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=emitter.threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, CHUNK), dtype)
            B_shared = T.alloc_shared((block_N, CHUNK), dtype)
            C_shared = T.alloc_shared((block_M, block_N), T.float32)
            A_local = T.alloc_local((emitter.warp_rows * emitter.local_size_a,), dtype)
            B_local = T.alloc_local((emitter.warp_cols * emitter.local_size_b,), dtype)
            C_local = T.alloc_local((emitter.warp_rows * emitter.warp_cols * emitter.local_size_out,), T.float32)
            T.annotate_layout({tile: T.make_swizzled_layout(tile) for tile in (A_shared, B_shared)})
            T.annotate_layout({C_shared: padded})
            T.clear(C_local)
            for ko in T.Pipelined(T.ceildiv(K, CHUNK), num_stages=num_stages):
                T.copy(A[by * block_M, ko * CHUNK], A_shared)
                T.copy(B[bx * block_N, ko * CHUNK], B_shared)
                for ki in T.serial(CHUNK // emitter.micro_size_k):
                    emitter.ldmatrix_a(A_local, A_shared, ki)
                    emitter.ldmatrix_b(B_local, B_shared, ki)
                    emitter.mma(A_local, B_local, C_local)
            emitter.stmatrix(C_local, C_shared)
            T.copy(C_shared, C[by * block_M, bx * block_N], disable_tma=True)  # its rows are padded

    return matmul_fp8_intrinsics


def reference(A, B):
    """In double precision, rounded once."""
    return {"C": (A.astype(np.float64) @ B.astype(np.float64).T).astype(np.float32)}


def rows():
    def case(name, M, N, K):
        dtype, numpy = DTYPES[name]

        def inputs(draw):
            return {"A": draw(M, K, dtype=numpy), "B": draw(N, K, dtype=numpy)}

        shown = f"example-gemm-fp8-intrinsic-{name}-{M}x{N}x{K}"
        return Case(shown, matmul(M, N, K, dtype), inputs, reference, whole=1e-3, targets=("sm_89", "sm_90a"))

    yield Row(
        "example_tilelang_gemm_fp8_intrinsic",
        "C = A B^T by instructions of warps, e4m3 and e5m2 (mean of both), to float32, 128 x 128 x 128",
        timed=tuple(case(name, 128, 128, 128) for name in DTYPES),
        reduced=(case("e4m3", 64, 64, 192), case("e5m2", 80, 144, 208)),
        tilelang=(0.0027, 0.0027),
    )


if __name__ == "__main__":
    main(rows())
