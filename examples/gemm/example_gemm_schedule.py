"""C = A B with a schedule of its own: blocks dealt in panels, and B copied by threads in place of T.copy."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main


def matmul(M, N, K, block=(128, 128, 32), num_stages=3, threads=128, panel=10):
    block_M, block_N, block_K = block

    @tiledsl.kernel(out_idx=-1)
    def matmul_scheduled(
        A: T.Tensor((M, K), T.float16), B: T.Tensor((K, N), T.float16), C: T.Tensor((M, N), T.float16)
    ):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.use_swizzle(panel_size=panel)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A[by * block_M, k * block_K], A_shared)
                for i, j in T.Parallel(block_K, block_N):
                    B_shared[i, j] = B[k * block_K + i, bx * block_N + j]
                T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return matmul_scheduled


def reference(A, B):
    """In double precision, rounded once."""
    return {"C": (A.astype(np.float64) @ B.astype(np.float64)).astype(np.float16)}


def rows():
    def case(M, N, K, **options):
        name, made = f"example-gemm-schedule-{M}x{N}x{K}", matmul(M, N, K, **options)
        return Case(name, made, lambda draw: {"A": draw(M, K), "B": draw(K, N)}, reference)

    yield Row(
        "example_gemm_schedule",
        "C = A B in panels, B copied by threads, float16, 1024 x 1024 x 1024",
        timed=(case(1024, 1024, 1024),),
        reduced=(case(128, 128, 160), case(264, 264, 136, panel=2)),
        tilelang=(0.0324, 0.0331),
    )


if __name__ == "__main__":
    main(rows())
