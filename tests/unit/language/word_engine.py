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
