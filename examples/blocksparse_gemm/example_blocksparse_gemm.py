"""C = A B over the blocks that a mask names; others are neither loaded nor multiplied."""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

BLOCK = (128, 128, 32)


def matmul(M, N, K, block=BLOCK, num_stages=2, threads=128, panel=10):
    block_M, block_N, block_K = block
    mask_shape = (-(-M // block_M), -(-N // block_N), -(-K // block_K))

    @tiledsl.kernel(out_idx=-1)
    def matmul_blocksparse(
        A: T.Tensor((M, K), T.float16),
        B: T.Tensor((K, N), T.float16),
        BlockMask: T.Tensor(mask_shape, T.bool),
        C: T.Tensor((M, N), T.float16),
    ):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_K, block_N), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            C_shared = T.alloc_shared((block_M, block_N), T.float16)
            T.use_swizzle(panel_size=panel)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                if BlockMask[by, bx, k]:
                    T.copy(A[by * block_M, k * block_K], A_shared)
                    T.copy(B[k * block_K, bx * block_N], B_shared)
                    T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, C_shared)
            T.copy(C_shared, C[by * block_M, bx * block_N])

    return matmul_blocksparse


def reference(A, B, BlockMask):
    """Block by block in double precision, rounded once."""
    total = np.zeros((A.shape[0], B.shape[1]))
    for at in zip(*np.nonzero(BlockMask)):
        rows, columns, depth = (slice(x * b, (x + 1) * b) for x, b in zip(at, BLOCK))
        total[rows, columns] += A[rows, depth].astype(np.float64) @ B[depth, columns].astype(np.float64)
    return {"C": total.astype(np.float16)}


def rows():
    def case(M, N, K, sparsity=0.5):
        shape = tuple(-(-size // b) for size, b in zip((M, N, K), BLOCK))

        def inputs(draw):
            return {"A": draw(M, K), "B": draw(K, N), "BlockMask": draw.rng.random(shape) >= sparsity}

        name = f"example-blocksparse-gemm-{M}x{N}x{K}-{sparsity}"
        return Case(name, matmul(M, N, K), inputs, reference)

    yield Row(
        "example_blocksparse_gemm",
        "C = A B over half of the blocks of 128 x 128 x 32, float16, 1024 x 1024 x 1024",
        timed=(case(1024, 1024, 1024),),
        reduced=(case(256, 128, 256), case(136, 72, 200), case(128, 128, 128, sparsity=1.0)),
        tilelang=(0.0226, 0.0231),
    )


if __name__ == "__main__":
    main(rows())
