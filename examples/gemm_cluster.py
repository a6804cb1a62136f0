"""Matrix products by clusters of two blocks, which load for each other what both need (sm_90a).

Neighbours along x work on the same rows of A, neighbours along y on the same columns of B. Each loads half of such a
tile and has the copy engine write it into the shared memory of both: a third to a half less comes from the L2 cache.
"""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case

WARPGROUP = 128


def gemm(M, N, K, block=(128, 256, 64), cluster=(2, 1), num_stages=3, threads=256, dtype=T.float16):
    """C = A B. `cluster` is all that is said of clusters: the compiler finds out which tiles they share."""
    block_M, block_N, block_K = block
    across, down = cluster
    columns = -(-N // (across * block_N)) * across  # whole clusters; blocks beyond C store nothing
    rows = -(-M // (down * block_M)) * down

    @tiledsl.kernel(out_idx=-1)
    def gemm(A: T.Tensor((M, K), dtype), B: T.Tensor((K, N), dtype), C: T.Tensor((M, N), dtype)):
        with T.Kernel(columns, rows, threads=threads, cluster_dims=cluster) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), dtype)
            B_shared = T.alloc_shared((block_K, block_N), dtype)
            C_shared = T.alloc_shared((block_M, block_N), dtype)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                T.copy(A[by * block_M, k * block_K], A_shared)
                T.copy(B[k * block_K, bx * block_N], B_shared)
                T.gemm(A_shared, B_shared, C_local)
            T.copy(C_local, C_shared)
            T.copy(C_shared, C[by * block_M, bx * block_N])

    return gemm


def gemm_persistent(
    M, N, K, block=(128, 256, 64), num_stages=3, threads=256, blocks=132, group=8, dtype=T.float16
):  # fmt: skip
    """The same, on as many blocks as the GPU runs at a time: clusters are dealt tiles of C in pairs, which share A."""
    block_M, block_N, block_K = block
    tiles = [-(-M // block_M), -(-N // (2 * block_N))]

    @tiledsl.kernel(out_idx=-1)
    def gemm_persistent(A: T.Tensor((M, K), dtype), B: T.Tensor((K, N), dtype), C: T.Tensor((M, N), dtype)):
        with T.Kernel(blocks, threads=threads, cluster_dims=2) as number:
            A_shared = T.alloc_shared((block_M, block_K), dtype)
            B_shared = T.alloc_shared((block_K, block_N), dtype)
            C_shared = T.alloc_shared((block_M, block_N), dtype)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            for by, pair in T.Persistent(tiles, blocks // 2, number // 2, group_size=group):
                bx = 2 * pair + T.block_rank_in_cluster()
                T.clear(C_local)
                for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                    T.copy(A[by * block_M, k * block_K], A_shared)
                    T.copy(B[k * block_K, bx * block_N], B_shared)
                    T.gemm(A_shared, B_shared, C_local)
                T.copy(C_local, C_shared)
                T.copy(C_shared, C[by * block_M, bx * block_N])

    return gemm_persistent


def gemm_by_hand(M, N, K, block=(128, 64, 64), slots=2, dtype=T.float16):
    """The same with roles written by hand, for clusters along x.

    Each block loads its half of A for both, so before it does, the consumers of both must have read the slot. The bytes
    that come are those of two halves, of which only one is its own to load.
    """
    block_M, block_N, block_K = block
    half = block_M // 2
    both = 0b11

    @tiledsl.kernel(out_idx=-1)
    def gemm_by_hand(A: T.Tensor((M, K), dtype), B: T.Tensor((K, N), dtype), C: T.Tensor((M, N), dtype)):
        columns = -(-N // (2 * block_N)) * 2
        with T.Kernel(columns, T.ceildiv(M, block_M), threads=2 * WARPGROUP, cluster_dims=(2, 1)) as (bx, by):
            A_shared = T.alloc_shared((slots, block_M, block_K), dtype)
            B_shared = T.alloc_shared((slots, block_K, block_N), dtype)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            loaded = T.alloc_barrier([WARPGROUP] * slots)
            consumed = T.alloc_barrier([2 * WARPGROUP] * slots)
            first = T.block_rank_in_cluster() * half
            with T.ws(0):
                T.clear(C_local)
            for k in range(T.ceildiv(K, block_K)):
                stage, turn = k % slots, k // slots % 2
                with T.ws(1):
                    T.barrier_wait(consumed[stage], turn ^ 1)  # passes at once in the first turn
                    T.mbarrier_expect_tx(loaded[stage], block_M * block_K * dtype.bits // 8)
                    T.tma_copy(
                        A[by * block_M + first, k * block_K], A_shared[stage, first : first + half, :],
                        barrier=loaded[stage], cluster_mask=both,
                    )  # fmt: skip
                    T.tma_copy(B[k * block_K, bx * block_N], B_shared[stage, :, :], barrier=loaded[stage])
                    T.barrier_arrive(loaded[stage])
                with T.ws(0):
                    T.barrier_wait(loaded[stage], turn)
                    T.gemm(A_shared[stage, :, :], B_shared[stage, :, :], C_local)
                    T.barrier_arrive(consumed[stage], cluster_mask=both)
            with T.ws(0):
                T.copy(C_local, C[by * block_M, bx * block_N])

    return gemm_by_hand


def reference(A, B):
    """In double precision, rounded once."""
    return {"C": (A.astype(np.float64) @ B.astype(np.float64)).astype(np.float16)}


SMALL = {"block": (128, 64, 64)}
# name -> (program, its options, shapes)
VARIANTS = {
    "2x1": (gemm, {**SMALL, "cluster": (2, 1)}, ((128, 128, 320), (200, 136, 328))),
    "1x2": (gemm, {**SMALL, "cluster": (1, 2)}, ((200, 72, 328),)),
    "2x1-128x256x64": (gemm, {"cluster": (2, 1)}, ((128, 512, 256),)),
    "1x2-128x256x64": (gemm, {"cluster": (1, 2)}, ((256, 256, 256),)),
    "persistent": (gemm_persistent, {**SMALL, "blocks": 4, "group": 2}, ((200, 200, 264),)),
    "by-hand": (gemm_by_hand, {}, ((136, 200, 136),)),
}


def check(name, M=256, N=512, K=256, seed=0):
    """Runs a variant on what is here, and compares with the reference."""
    program, options, _ = VARIANTS[name]
    rng = np.random.default_rng(seed)
    A, B = (rng.standard_normal(shape).astype(np.float16) for shape in ((M, K), (K, N)))
    np.testing.assert_allclose(program(M, N, K, **options)(A, B), reference(A, B)["C"], rtol=1e-2, atol=1e-2)


def cases():
    for name, (program, options, shapes) in VARIANTS.items():
        for M, N, K in shapes:
            yield Case(
                f"gemm-cluster-{name}-{M}x{N}x{K}",
                program(M, N, K, **options),
                lambda draw, M=M, N=N, K=K: {"A": draw(M, K), "B": draw(K, N)},
                reference,
                targets=("sm_90a",),
            )


if __name__ == "__main__":
    for variant in VARIANTS:
        check(variant)
        print(f"{variant:16} right")
