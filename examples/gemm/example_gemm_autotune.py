"""C = A B^T, whose tiles, stages and threads the autotuner finds: `python example_gemm_autotune.py --tune`."""

import sys
from itertools import product

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main


def matmul(M, N, K, block=(128, 256, 64), num_stages=3, threads=256, panel=10):
    """`panel`: rows of blocks that are neighbours in time, 0 for none."""
    block_M, block_N, block_K = block

    @tiledsl.kernel(out_idx=-1)
    def matmul_nt(A: T.Tensor((M, K), T.float16), B: T.Tensor((N, K), T.float16), C: T.Tensor((M, N), T.float16)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=threads) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), T.float16)
            B_shared = T.alloc_shared((block_N, block_K), T.float16)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            C_shared = T.alloc_shared((block_M, block_N), T.float16)
            T.use_swizzle(panel_size=max(panel, 1), enable=panel > 0)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A[by * block_M, k * block_K], A_shared)
                T.copy(B[bx * block_N, k * block_K], B_shared)
                T.gemm(A_shared, B_shared, C_local, transpose_B=True)
            T.copy(C_local, C_shared)
            T.copy(C_shared, C[by * block_M, bx * block_N])

    return matmul_nt


def reference(A, B):
    """In double precision, rounded once."""
    return {"C": (A.astype(np.float64) @ B.astype(np.float64).T).astype(np.float16)}


def configurations():
    """What may be best on some GPU; the autotuner leaves out what a GPU has no room for."""
    tiles = [(64, 64), (64, 128), (128, 128), (128, 256), (256, 128)]
    return [
        {"block": (*tile, depth), "num_stages": stages, "threads": 128 if tile[0] * tile[1] <= 128 * 64 else 256}
        for tile, depth, stages in product(tiles, (32, 64), (2, 3, 4))
    ]


def tuned(M=1024, N=1024, K=1024):
    """The best of the configurations: by its time on a GPU, without one by the report's roofline."""
    search = tiledsl.autotune(configs=configurations(), ref=lambda A, B: reference(A, B)["C"], verify="tile")
    return search(matmul).tune(M, N, K)


def rows():
    def case(M, N, K, **options):
        name, made = f"example-gemm-autotune-{M}x{N}x{K}", matmul(M, N, K, **options)
        return Case(name, made, lambda draw: {"A": draw(M, K), "B": draw(N, K)}, reference)

    yield Row(
        "example_gemm_autotune",
        "C = A B^T, float16, 1024 x 1024 x 1024, the tile that the autotuner's rules choose for sm_90a",
        timed=(case(1024, 1024, 1024),),
        reduced=(case(128, 256, 264), case(264, 136, 200, panel=0)),
        tilelang=(0.0224, 0.0231),
    )


if __name__ == "__main__":
    if sys.argv[1:] == ["--tune"]:
        print(tuned())
    else:
        main(rows())
