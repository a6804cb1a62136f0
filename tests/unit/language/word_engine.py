"""Kernels of words on the copy engine and on the blocks of a cluster (sm_90a)."""

from __future__ import annotations

import numpy as np
from word_case import Table, drawn, given, integers, zeros

import tiledsl.language as T

CASES = Table()


def _boxes(A, B, C):
    rows = np.zeros((128, 256), A.dtype)
    rows[:100] = A
    return {"B": rows[:, 128:].reshape(2, 64, 128), "C": rows[:, 128:].reshape(2, 64, 128)[:, :8, :32]}


@CASES.computes(
    _boxes,
    given(A=drawn(integers, 100, 256, dtype="float16"), B=zeros(2, 64, 128, dtype="float16"),
          C=zeros(2, 8, 32, dtype="float16")),
    ptx=("cp.async.bulk.tensor.2d.shared::cluster.global", "mbarrier.arrive.expect_tx"),
    target="sm_90a",
)  # fmt: skip
def tma_loads(
    A: T.Tensor((100, 256), "float16"), B: T.Tensor((2, 64, 128), "float16"), C: T.Tensor((2, 8, 32), "float16")
):
    with T.Kernel(2, threads=128) as b:
        S = T.alloc_shared((64, 128), "float16")
        R = T.alloc_shared((8, 32), "float16")
        bar = T.alloc_barrier(1)
        by_numbers = T.create_tma_descriptor(6, 2, A.data, 256, 100, 2, 512, 64, 64, 1, 1, 0, 3, 2, 0)
        rows = T.create_tma_descriptor(A, box=(8, 32))
        for k in T.serial(2):
            T.mbarrier_arrive_expect_tx(bar, (64 * 128 + 8 * 32) * 2)
            T.tma_load(by_numbers, bar, S, k * 128, b * 64)
            T.tma_load(by_numbers, bar, T.address_of(S[0, 64]), k * 128 + 64, b * 64, 0)
            T.tma_load(rows, bar, R, k * 128, b * 64)
            T.barrier_wait(bar, k)
            if k == 1:
                T.copy(S, B[b, 0, 0])
                T.copy(R, C[b, 0, 0])
            T.sync_threads()


def _clusters(A, B, C):
    b = A.copy()
    b[2] = A[1]
    return {"B": b, "C": np.stack([A[0, 2]] * 4)}


@CASES.computes(
    _clusters,
    given(A=drawn(integers, 4, 3, 32, 64, dtype="float16"), B=zeros(4, 3, 32, 64, dtype="float16"),
          C=zeros(4, 32, 64, dtype="float16")),
    ptx=(".multicast::cluster", "barrier.cluster.arrive"),
    target="sm_90a",
)  # fmt: skip
def cluster_copies(
    A: T.Tensor((4, 3, 32, 64), "float16"),
    B: T.Tensor((4, 3, 32, 64), "float16"),
    C: T.Tensor((4, 32, 64), "float16"),
):
    with T.ClusterKernel(4, cluster_dims=4, threads=128) as b:
        S = T.alloc_shared((32, 64), "float16")
        for k in T.serial(3):
            T.copy_cluster(A[b, k, 0, 0], S, cluster_mask=0b0110)
            T.copy(S, B[b, k, 0, 0])
        R = T.alloc_shared((32, 64), "float16")
        T.copy_cluster(A[b, 2, 0, 0], R, cluster_mask=0b1111)
        T.copy(R, C[b, 0, 0])
        T.copy_cluster(C[b, 0, 0], S)
        T.copy(S, C[b, 0, 0])


def _around(A, B, C):
    parts = A.reshape(2, 4, 32, 64).astype(np.float32)
    sums = sum(np.roll(parts, k, axis=1) * (k + 1) for k in range(4)).reshape(8, 32, 64).astype(np.float16)
    pairs = A.reshape(4, 2, 32, 64)[:, ::-1].reshape(8, 32, 64)
    return {"B": sums, "C": pairs}


@CASES.computes(
    _around,
    given(A=drawn(integers, 8, 32, 64, low=-4, high=5, dtype="float16"), B=zeros(8, 32, 64, dtype="float16"),
          C=zeros(8, 32, 64, dtype="float16")),
    ptx=("cp.async.bulk.shared::cluster.shared::cta.mbarrier::complete_tx::bytes", "mapa.shared::cluster",
         "mbarrier.try_wait.parity.acquire.cluster"),
    target="sm_90a",
)  # fmt: skip
def rings_of_tiles(
    A: T.Tensor((8, 32, 64), "float16"), B: T.Tensor((8, 32, 64), "float16"), C: T.Tensor((8, 32, 64), "float16")
):
    """Each tile goes round a cluster of 4, in two tiles in turn; block 4 * i + r weighs what it gets in step k."""
    with T.ClusterKernel(8, cluster_dims=4, threads=128) as b:
        S = T.alloc_shared((2, 32, 64), "float16")
        sums = T.alloc_fragment((32, 64), "float16")
        bar = T.alloc_barrier(1)
        rank = T.block_rank_in_cluster()
        T.copy(A[b, 0, 0], S[0, :, :])
        T.copy(S[0, :, :], sums)
        for k in T.serial(3):
            T.mbarrier_arrive_expect_tx(bar, 32 * 64 * 2)
            T.copy_cluster(S[k % 2, :, :], S[(k + 1) % 2, :, :], dst_block=(rank + 1) % 4, remote_barrier=bar)
            T.barrier_wait(bar, k % 2)
            for i, j in T.Parallel(32, 64):
                sums[i, j] += S[(k + 1) % 2, i, j] * T.cast(k + 2, "float16")
            T.cluster_sync()
        T.copy(sums, B[b, 0, 0])
        T.copy(A[b, 0, 0], S[0, :, :])
        T.copy_cluster(S[0, :, :], S[1, :, :], dst_block=rank ^ 1)
        T.copy(S[1, :, :], C[b, 0, 0])


def _gathered(A, B):
    whole = A.reshape(2, 2, 16, 128).reshape(2, 32, 128)
    halves = np.concatenate([whole[:, :, 64:], whole[:, :, :64]], axis=2)
    return {"B": np.stack([whole, halves], axis=1).reshape(4, 32, 128)}


@CASES.computes(
    _gathered,
    given(A=drawn(integers, 4, 16, 128, dtype="float32"), B=zeros(4, 32, 128)),
    ptx=("cp.async.bulk.shared::cluster.shared::cta", "fence.proxy.async",
         "mbarrier.arrive.expect_tx.release.cluster.shared::cluster"),
    target="sm_90a",
)  # fmt: skip
def tiles_of_a_cluster(A: T.Tensor((4, 16, 128), "float32"), B: T.Tensor((4, 32, 128), "float32")):
    """The first of two blocks gets the rows of both, then sends their halves to the second, exchanged."""
    with T.ClusterKernel(4, cluster_dims=2, threads=128) as b:
        S = T.alloc_shared((16, 128), "float32")
        G = T.alloc_shared((32, 128), "float32")
        H = T.alloc_shared((32, 128), "float32")
        rank = T.block_rank_in_cluster()
        T.copy(A[b, 0, 0], S)
        T.copy_cluster(S, G[rank * 16, 0], dst_block=0)
        if rank == 0:
            T.copy(G, B[b, 0, 0])
        else:
            T.fill(G, 0.0)
        for half in T.serial(2):
            T.copy_cluster(
                G[:, half * 64 : half * 64 + 64], H[:, (1 - half) * 64 : (1 - half) * 64 + 64], dst_block=1 - rank
            )
        if rank == 1:
            T.copy(H, B[b, 0, 0])


def _viewed(A, B):
    found = 2 * A[::-1]
    found[:, 16:32, 32:64] = 2 * A[:, 0:16, 0:32]
    return {"B": found + np.float16(1)}


@CASES.computes(
    _viewed,
    given(A=drawn(integers, 2, 32, 64, dtype="float16"), B=zeros(2, 32, 64, dtype="float16")),
    ptx=("cp.async.bulk.shared::cluster.shared::cta",),
    target="sm_90a",
)  # fmt: skip
def sent_views(A: T.Tensor((2, 32, 64), "float16"), B: T.Tensor((2, 32, 64), "float16")):
    """Bytes of tiles, whole to the other block and in part to the own one."""
    with T.ClusterKernel(2, cluster_dims=2, threads=128) as b:
        S = T.alloc_shared((32, 64), "float16")
        R = T.alloc_shared((32, 64), "float16")
        V = T.view(S, (32, 128), "int8")
        W = T.view(R, (32, 128), "int8")
        for i, j in T.Parallel(32, 64):
            S[i, j] = A[b, i, j] * T.cast(2, "float16")
        T.copy_cluster(V, W, dst_block=1 - b % 2)
        T.copy_cluster(V[0:16, 0:64], W[16:32, 64:128], dst_block=b % 2)
        for i, j in T.Parallel(32, 64):
            B[b, i, j] = R[i, j] + T.cast(1, "float16")


def _sent(A, B):
    tiles = A.reshape(2, 2, 64, 64)[:, ::-1].reshape(4, 64, 64).astype(np.float32)
    return {"B": tiles @ tiles}


@CASES.computes(
    _sent,
    given(A=drawn(integers, 4, 64, 64, low=-2, high=3, dtype="float16"), B=zeros(4, 64, 64)),
    ptx=("cp.async.bulk.shared::cluster.shared::cta", "wgmma.mma_async"),
    target="sm_90a",
)  # fmt: skip
def sent_by_a_role(A: T.Tensor((4, 64, 64), "float16"), B: T.Tensor((4, 64, 64), "float32")):
    """One role loads a tile and sends it on, the other multiplies what comes, in the layout that it wants."""
    with T.ClusterKernel(4, cluster_dims=2, threads=256) as b:
        S = T.alloc_shared((64, 64), "float16")
        R = T.alloc_shared((64, 64), "float16")
        sums = T.alloc_fragment((64, 64), "float32")
        loaded, there = T.alloc_barrier(1), T.alloc_barrier(1)
        with T.ws(1):
            T.mbarrier_arrive_expect_tx(loaded, 64 * 64 * 2)
            T.tma_load(T.create_tma_descriptor(A, box=(1, 64, 64), swizzle=128), loaded, S, 0, 0, b)
            T.barrier_wait(loaded, 0)
            T.mbarrier_arrive_expect_tx(there, 64 * 64 * 2)
            T.copy_cluster(S, R, dst_block=1 - T.block_rank_in_cluster(), remote_barrier=there)
        with T.ws(0):
            T.clear(sums)
            T.barrier_wait(there, 0)
            T.gemm(R, R, sums)
            T.copy(sums, B[b, 0, 0])


def _scheduled(A, B, C):
    return {"C": A.astype(np.float32) @ B.astype(np.float32)}


@CASES.computes(
    _scheduled,
    given(A=drawn(integers, 128, 256, low=-2, high=3, dtype="float16"),
          B=drawn(integers, 256, 64, low=-2, high=3, dtype="float16"), C=zeros(128, 64)),
    ptx=("setmaxnreg.dec.sync.aligned.u32 40", "cp.async.bulk.tensor.2d", "mbarrier.try_wait", "wgmma.mma_async"),
    target="sm_90a",
)  # fmt: skip
def schedules_of_roles(
    A: T.Tensor((128, 256), "float16"), B: T.Tensor((256, 64), "float16"), C: T.Tensor((128, 64), "float32")
):
    with T.Kernel(2, threads=128) as by:
        A_shared, B_shared = T.alloc_shared((64, 64), "float16"), T.alloc_shared((64, 64), "float16")
        sums = T.alloc_fragment((64, 64), "float32")
        ab = T.WSSync
        T.annotate_ws_schedule(
            T.WSSchedule(
                num_warps=8,
                roles=[
                    T.WSRole("load", warps_lo=4, warps_hi=8, max_nreg=40),
                    T.WSRole("multiply", warps_lo=0, warps_hi=4, max_nreg=232),
                ],
                pipelines=[T.WSPipeline("ab", [A_shared, B_shared], depth=2)],
                scopes=[
                    T.WSScope(
                        "k",
                        {
                            "load": [ab.producer_acquire("ab"), "a", T.WSOpRef("b"), ab.producer_commit("ab")],
                            "multiply": [ab.consumer_wait("ab", 1), "gemm", ab.consumer_release("ab", 1)],
                        },
                    ),
                    T.WSScope(T.WSScope.ROOT, {"load": ["k"], "multiply": ["clear", "k", "store"]}),
                ],
            )
        )
        with T.ws_op("clear"):
            T.clear(sums)
        with T.ws_op("k"):
            for k in T.serial(4):
                with T.ws_op("a"):
                    T.copy(A[by * 64, k * 64], A_shared)
                with T.ws_op("b"):
                    T.copy(B[k * 64, 0], B_shared)
                with T.ws_op("gemm"):
                    T.gemm(A_shared, B_shared, sums)
        with T.ws_op("store"):
            T.copy(sums, C[by * 64, 0])
