"""C = A B: tiles copied ahead to shared memory, multiplied into registers."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main


def matmul(M, N, K, block=(128, 128, 32), num_stages=3, threads=128):
    block_M, block_N, block_K = block

    @tiledsl.kernel(out_idx=-1)
    def matmul(A: T.Tensor((M, K), T.float16), B: T.Tensor((K, N), T.float16), C: T.Tensor((M, N), T.float16)):
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

    return matmul


def reference(A, B):
    """In double precision, rounded once."""
    return {"C": (A.astype(np.float64) @ B.astype(np.float64)).astype(np.float16)}


def rows():
    def case(M, N, K):
        return Case(
            f"example-gemm-{M}x{N}x{K}", matmul(M, N, K), lambda draw: {"A": draw(M, K), "B": draw(K, N)}, reference
        )

    yield Row(
        "example_gemm",
        "C = A B, float16, 1024 x 1024 x 1024",
        timed=(case(1024, 1024, 1024),),
        reduced=(case(128, 256, 160), case(136, 72, 136)),
        tilelang=(0.0227, 0.0233),
    )


if __name__ == "__main__":
    main(rows())
