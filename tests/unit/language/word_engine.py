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
