"""C += A B: blocks have a part of K each, and add their parts to C in float32, element by element or as tiles."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main


def matmul(M, N, K, tiles, split=4, block=(128, 128, 32), num_stages=0, threads=128):
    """`tiles`: the tile of a block is added by one word, which may add vectors; else each element by its own."""
    block_M, block_N, block_K = block
    part = -(-K // (split * block_K)) * block_K

    @tiledsl.kernel
    def matmul_split(A: T.Tensor((M, K), T.float16), B: T.Tensor((K, N), T.float16), C: T.Tensor((M, N), T.float32)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), split, threads=threads) as (bx, by, bz):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_shared = T.alloc_shared((block_M, block_N), T.float32)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for k in T.Pipelined(part // block_K, num_stages=num_stages):
                T.copy(A[by * block_M, bz * part + k * block_K], A_shared)
                T.copy(B[bz * part + k * block_K, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, C_shared)
            if tiles:
                T.atomic_add(C[by * block_M, bx * block_N], C_shared)
            else:
                for i, j in T.Parallel(block_M, block_N):
                    T.atomic_add(C[by * block_M + i, bx * block_N + j], C_shared[i, j])

    return matmul_split


def reference(A, B, C):
    """In double precision, rounded once."""
    return {"C": (C + A.astype(np.float64) @ B.astype(np.float64)).astype(np.float32)}


def rows():
    def row(name, tiles, how, tilelang):
        def case(M, N, K, split=4):
            def inputs(draw):
                return {"A": draw(M, K), "B": draw(K, N), "C": np.zeros((M, N), np.float32)}

            made = matmul(M, N, K, tiles, split)
            return Case(f"{name.replace('_', '-')}-{M}x{N}x{K}", made, inputs, reference, rtol=1e-4, atol=1e-3)

        return Row(
            name,
            f"C += A B in 4 parts of K, {how}, float16 to float32, 1024 x 1024 x 1024",
            timed=(case(1024, 1024, 1024),),
            reduced=(case(128, 128, 128), case(136, 72, 200, split=2)),
            tilelang=tilelang,
        )

    yield row("example_tilelang_gemm_splitk", False, "element by element", (0.0493, 0.0504))
    yield row("example_tilelang_gemm_splitk_vectorize_atomicadd", True, "as tiles", (0.0493, 0.0504))


if __name__ == "__main__":
    main(rows())
