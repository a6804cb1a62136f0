"""C = A B for all sizes with one binary: m, n and k are known when it runs."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main


def matmul(block=(128, 128, 32), num_stages=3, threads=128, alignment=8):
    """`alignment`: what n and k are multiples of; with 8, rows begin where 16 bytes can be copied at once."""
    block_M, block_N, block_K = block
    m, n, k = T.dynamic("m, n, k")

    @tiledsl.kernel
    def matmul_dynamic(A: T.Tensor((m, k), T.float16), B: T.Tensor((k, n), T.float16), C: T.Tensor((m, n), T.float16)):
        with T.Kernel(T.ceildiv(n, block_N), T.ceildiv(m, block_M), threads=threads) as (bx, by):
            T.assume(n % alignment == 0)
            T.assume(k % alignment == 0)
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for ko in T.Pipelined(T.ceildiv(k, block_K), num_stages=num_stages):
                T.copy(A[by * block_M, ko * block_K], A_shared)
                T.copy(B[ko * block_K, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return matmul_dynamic


def reference(A, B, C):
    """In double precision, rounded once."""
    return {"C": (A.astype(np.float64) @ B.astype(np.float64)).astype(np.float16)}


def rows():
    aligned, any_size = matmul(), matmul(alignment=1)

    def case(M, N, K, kernel=aligned):
        def inputs(draw):
            return {"A": draw(M, K), "B": draw(K, N), "C": np.zeros((M, N), np.float16)}

        return Case(f"example-dynamic-{M}x{N}x{K}", kernel, inputs, reference)

    yield Row(
        "example_dynamic",
        "C = A B of run-time sizes, of which N and K are multiples of 8, float16, 1024 x 1024 x 1024",
        timed=(case(1024, 1024, 1024),),
        reduced=(case(136, 128, 160), case(100, 133, 45, any_size), case(128, 256, 32)),
        tilelang=(0.0280, 0.0284),
    )


if __name__ == "__main__":
    main(rows())
