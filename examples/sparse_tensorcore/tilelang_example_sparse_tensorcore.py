"""C = A B, where of any four neighbours in a row of A two are zero: they are neither stored nor multiplied."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.sparse import compress, expand, prune
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main


def matmul(M, N, K, block=(128, 128, 128), num_stages=2, threads=128):
    """`E` says which elements of A `A_sparse` has: a word for 16 columns (`tiledsl.sparse`)."""
    block_M, block_N, block_K = block

    @tiledsl.kernel(out_idx=-1)
    def matmul_sp(
        A_sparse: T.Tensor((M, K // 2), T.float16),
        E: T.Tensor((M, K // 16), T.uint16),
        B: T.Tensor((K, N), T.float16),
        C: T.Tensor((M, N), T.float16),
    ):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K // 2), T.float16)
            E_shared = T.alloc_shared((block_M, block_K // 16), T.uint16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            if M % block_M or K % block_K:  # what is not there has its first two elements, which are zero
                T.annotate_safe_value({E: 0x4444})
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A_sparse[by * block_M, k * block_K // 2], A_shared)
                T.copy(E[by * block_M, k * block_K // 16], E_shared)
                T.copy(B[k * block_K, bx * block_N], B_shared)
                T.gemm_sp(A_shared, E_shared, B_shared, C_local)
            T.copy(C_local, C[by * block_M, bx * block_N])

    return matmul_sp


def reference(A_sparse, E, B):
    """The dense matrix times B in double precision, rounded once."""
    return {"C": (expand(A_sparse, E).astype(np.float64) @ B.astype(np.float64)).astype(np.float16)}


def rows():
    def case(M, N, K):
        def inputs(draw):
            A_sparse, E = compress(prune(draw(M, K)))
            return {"A_sparse": A_sparse, "E": E, "B": draw(K, N)}

        made = matmul(M, N, K)
        return Case(f"example-sparse-tensorcore-{M}x{N}x{K}", made, inputs, reference, rtol=1e-3, atol=1e-3)

    yield Row(
        "tilelang_example_sparse_tensorcore",
        "C = A B with A sparse (2 of 4), float16, 512 x 1024 x 768",
        timed=(case(512, 1024, 768),),
        reduced=(case(128, 128, 256), case(136, 72, 320)),
        tilelang=(0.0150, 0.0155),
    )


if __name__ == "__main__":
    main(rows())
