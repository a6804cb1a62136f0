"""Matrix products whose warpgroups have programs of their own, written by hand with T.ws and mbarriers (sm_90a).

`producer` copies tiles to shared memory, `consumer` multiplies them; two barriers a slot hand tiles over and back.
The compiler makes such programs of `T.Pipelined` loops by itself (examples/gemm.py): here one sees what it writes.
Four of the variants are rows of docs/rows.md.
"""

import numpy as np

import tiledsl
import tiledsl.language as T
from tiledsl.testing import Case, Row
from tiledsl.testing.row import main

WARPGROUP = 128


def gemm_roles(M, N, K, block=(128, 128, 64), producer=0, consumer=1, slots=1, num_stages=0, tma=True, dtype=T.float16):
    """C = A B, one warpgroup copies and the other multiplies. `slots` tiles of A and B are on their way at a time.

    `num_stages` is that of the loop around the roles: barriers order all that is in it, so it changes nothing.
    Without `tma` the 128 threads of the producer copy, instead of the copy engine on behalf of them.
    """
    block_M, block_N, block_K = block

    @tiledsl.kernel(out_idx=-1)
    def gemm_roles(A: T.Tensor((M, K), dtype), B: T.Tensor((K, N), dtype), C: T.Tensor((M, N), dtype)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=2 * WARPGROUP) as (bx, by):
            A_shared = T.alloc_shared((slots, block_M, block_K), dtype)
            B_shared = T.alloc_shared((slots, block_K, block_N), dtype)
            C_local = T.alloc_fragment((block_M, block_N), T.float32)
            loaded = T.alloc_barrier([WARPGROUP] * slots)
            consumed = T.alloc_barrier([WARPGROUP] * slots)
            with T.ws(consumer):
                T.clear(C_local)
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=num_stages):
                stage, turn = k % slots, k // slots % 2
                with T.ws(producer):
                    T.barrier_wait(consumed[stage], turn ^ 1)  # passes at once in the first turn
                    if tma:
                        T.tma_copy(A[by * block_M, k * block_K], A_shared[stage, :, :], barrier=loaded[stage])
                        T.tma_copy(B[k * block_K, bx * block_N], B_shared[stage, :, :], barrier=loaded[stage])
                    else:
                        T.copy(A[by * block_M, k * block_K], A_shared[stage, :, :])
                        T.copy(B[k * block_K, bx * block_N], B_shared[stage, :, :])
                    T.barrier_arrive(loaded[stage])
                with T.ws(consumer):
                    T.barrier_wait(loaded[stage], turn)
                    T.gemm(A_shared[stage, :, :], B_shared[stage, :, :], C_local)
                    T.barrier_arrive(consumed[stage])
            with T.ws(consumer):
                T.copy(C_local, C[by * block_M, bx * block_N])

    return gemm_roles


def gemm_halves(M, N, K, block=(128, 128, 64), dtype=T.float16):
    """C = A B: the block copies the tile of A, each of two warpgroups its half of the tile of B, and multiplies it."""
    block_M, block_N, block_K = block
    half = block_N // 2

    @tiledsl.kernel(out_idx=-1)
    def gemm_halves(A: T.Tensor((M, K), dtype), B: T.Tensor((K, N), dtype), C: T.Tensor((M, N), dtype)):
        with T.Kernel(T.ceildiv(N, block_N), T.ceildiv(M, block_M), threads=2 * WARPGROUP) as (bx, by):
            A_shared = T.alloc_shared((block_M, block_K), dtype)
            B_shared = [T.alloc_shared((block_K, half), dtype) for _ in range(2)]
            C_local = [T.alloc_fragment((block_M, half), T.float32) for _ in range(2)]
            for group in (0, 1):
                with T.ws(group):
                    T.clear(C_local[group])
            for k in T.Pipelined(T.ceildiv(K, block_K), num_stages=0):
                T.copy(A[by * block_M, k * block_K], A_shared)
                for group in (0, 1):
                    with T.ws(group):
                        T.copy(B[k * block_K, bx * block_N + group * half], B_shared[group])
                        T.gemm(A_shared, B_shared[group], C_local[group])
            for group in (0, 1):
                with T.ws(group):
                    T.copy(C_local[group], C[by * block_M, bx * block_N + group * half])

    return gemm_halves


# name -> (program, its options)
VARIANTS = {
    "copy_0_gemm_1": (gemm_roles, {"producer": 0, "consumer": 1}),
    "copy_1_gemm_0": (gemm_roles, {"producer": 1, "consumer": 0}),
    "softpipe_stage2": (gemm_roles, {"producer": 1, "consumer": 0, "num_stages": 2}),
    "barrierpipe_stage2": (gemm_roles, {"producer": 1, "consumer": 0, "slots": 2}),
    "barrierpipe_threads": (gemm_roles, {"producer": 1, "consumer": 0, "slots": 2, "tma": False}),
    "copy_gemm_0_1": (gemm_halves, {}),
}


# What the variants that are rows are.
SAID = {
    "barrierpipe_stage2": "two tiles on their way",
    "copy_0_gemm_1": "warpgroup 0 copies, 1 multiplies",
    "copy_1_gemm_0": "warpgroup 1 copies, 0 multiplies",
    "softpipe_stage2": "warpgroup 1 copies, 0 multiplies, in a loop of two stages",
}


def gemm(M, N, K, variant="copy_1_gemm_0", **options):
    """The kernel of a row of VARIANTS."""
    program, chosen = VARIANTS[variant]
    return program(M, N, K, **chosen, **options)


def reference(A, B):
    """In double precision, rounded once."""
    return {"C": (A.astype(np.float64) @ B.astype(np.float64)).astype(np.float16)}


def cases():
    for variant in VARIANTS:
        for M, N, K in ((128, 128, 192), (136, 72, 168)):
            yield Case(
                f"gemm-warp-specialized-{variant}-{M}x{N}x{K}",
                gemm(M, N, K, variant),
                lambda draw, M=M, N=N, K=K: {"A": draw(M, K), "B": draw(K, N)},
                reference,
                targets=("sm_90a",),
            )


# name -> TileLang's milliseconds, current and original
TILELANG = {
    "barrierpipe_stage2": (0.0379, 0.0396),
    "copy_0_gemm_1": (0.0394, 0.0397),
    "copy_1_gemm_0": (0.0386, 0.0382),
    "softpipe_stage2": (0.0394, 0.0388),
}


def rows():
    for variant, tilelang in TILELANG.items():

        def case(M, N, K, variant=variant):
            name = f"example-warp-specialize-gemm-{variant}-{M}x{N}x{K}"
            made = gemm(M, N, K, variant)
            return Case(name, made, lambda draw: {"A": draw(M, K), "B": draw(K, N)}, reference, targets=("sm_90a",))

        yield Row(
            f"example_warp_specialize_gemm_{variant}",
            f"C = A B with roles written by hand ({SAID[variant]}), float16, 1024 x 1024 x 1024",
            timed=(case(1024, 1024, 1024),),
            reduced=(case(128, 128, 256), case(264, 136, 72)),
            tilelang=tilelang,
        )


if __name__ == "__main__":
    main(rows())
