"""C = A B^T, instruction by instruction: ldmatrix, mma and stores of every warp, through the emitter."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

CHUNK, WARPS = 32, (2, 2)


def matmul(M, N, K, warp_tile=(64, 64), num_stages=2, panel=10):
    emitter = T.TensorCoreIntrinEmitter(
        a_dtype="float16",
        b_dtype="float16",
        accum_dtype="float32",
        b_transposed=True,
        block_row_warps=WARPS[0],
        block_col_warps=WARPS[1],
        warp_row_tiles=warp_tile[0],
        warp_col_tiles=warp_tile[1],
        chunk=CHUNK,
    )
    block_M, block_N = WARPS[0] * warp_tile[0], WARPS[1] * warp_tile[1]

    @tiledsl.kernel(out_idx=-1)
    def matmul_intrinsics(
        A: T.Tensor((M, K), T.float16), B: T.Tensor((N, K), T.float16), C: T.Tensor((M, N), T.float16)
    ):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=emitter.threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, CHUNK), T.float16)
            B_shared = T.alloc_shared((block_N, CHUNK), T.float16)
            C_shared = T.alloc_shared((block_M, block_N), T.float16)
            A_local = T.alloc_local((emitter.warp_rows * emitter.local_size_a,), T.float16)
            B_local = T.alloc_local((emitter.warp_cols * emitter.local_size_b,), T.float16)
            C_local = T.alloc_local((emitter.warp_rows * emitter.warp_cols * emitter.local_size_out,), T.float32)
            T.annotate_layout({tile: T.make_swizzled_layout(tile) for tile in (A_shared, B_shared)})
            T.annotate_layout({C_shared: T.make_swizzled_layout(C_shared)})
            T.use_swizzle(panel_size=panel)
            T.clear(C_local)
            for ko in T.Pipelined(T.ceildiv(K, CHUNK), num_stages=num_stages):
                for i, k in T.Parallel(block_M, CHUNK):
                    A_shared[i, k] = A[by * block_M + i, ko * CHUNK + k]
                for j, k in T.Parallel(block_N, CHUNK):
                    B_shared[j, k] = B[bx * block_N + j, ko * CHUNK + k]
                for ki in T.serial(CHUNK // emitter.micro_size_k):
                    emitter.ldmatrix_a(A_local, A_shared, ki)
                    emitter.ldmatrix_b(B_local, B_shared, ki)
                    emitter.mma(A_local, B_local, C_local)
            emitter.stmatrix(C_local, C_shared)
            T.copy(C_shared, C[by * block_M, bx * block_N])

    return matmul_intrinsics


def reference(A, B):
    """In double precision, rounded once."""
    return {"C": (A.astype(np.float64) @ B.astype(np.float64).T).astype(np.float16)}


def rows():
    def case(M, N, K):
        name = f"example-gemm-intrinsics-{M}x{N}x{K}"
        return Case(name, matmul(M, N, K), lambda draw: {"A": draw(M, K), "B": draw(N, K)}, reference)

    yield Row(
        "example_gemm_intrinsics",
        "C = A B^T by instructions of warps, float16, 1024 x 1024 x 1024",
        timed=(case(1024, 1024, 1024),),
        reduced=(case(128, 128, 96), case(136, 264, 72)),
        tilelang=(0.0351, 0.0364),
    )


if __name__ == "__main__":
    main(rows())
