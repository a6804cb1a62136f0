"""Kernels of words that name an instruction of the tensor core."""

from __future__ import annotations

import numpy as np
from word_case import Array, Table, drawn, given, integers, zeros

import tiledsl.language as T

CASES = Table()


def small(rng: np.random.Generator, *shape: int, dtype: str = "float16") -> Array:
    return integers(rng, *shape, low=-2, high=3, dtype=dtype)


def _stored(A, B, C, D, E):
    product = A.astype(np.float32) @ B.astype(np.float32).T
    e = E.copy()
    e.reshape(-1)[5 : 5 + 16 * 20].reshape(16, 20)[:, :16] = product
    return {"C": product, "D": product[:, :8].astype(np.float16), "E": e}


@CASES.computes(
    _stored,
    given(A=drawn(small, 16, 32), B=drawn(small, 16, 32), C=zeros(16, 16), D=zeros(16, 8, dtype="float16"),
          E=zeros(3, 8, 16)),
    ptx=("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32", "st.global.v2.f32"),
)  # fmt: skip
def stored_products(
    A: T.Tensor((16, 32), "float16"),
    B: T.Tensor((16, 32), "float16"),
    C: T.Tensor((16, 16), "float32"),
    D: T.Tensor((16, 8), "float16"),
    E: T.Tensor((3, 8, 16), "float32"),
):
    with T.Kernel(1, threads=32):
        A_shared, B_shared = T.alloc_shared((16, 32), "float16"), T.alloc_shared((16, 32), "float16")
        R = T.alloc_shared((2, 16, 8), "float16")
        T.copy(A, A_shared)
        T.copy(B, B_shared)
        lane = T.get_lane_idx()
        a, b, c = T.alloc_local((8,), "float16"), T.alloc_local((8,), "float16"), T.alloc_local((2, 4), "float32")
        T.clear(c)
        for k in T.serial(2):
            T.ptx_ldmatrix("float16", False, 4, ".b16", a, 0, A_shared[lane % 16, k * 16 + lane // 16 * 8])
            row = lane // 16 * 8 + lane % 8
            T.ptx_ldmatrix("float16", False, 4, ".b16", b, 0, B_shared[row, k * 16 + lane // 8 % 2 * 8])
            for j in range(2):
                T.ptx_mma("float32", "m16n8k16", "row", "col", "fp16", "fp16", "fp32", a, 0, b, j * 4, c, j * 4)
        T.mma_store("float32", 16, 16, C[0, 0], c, 0, 16)
        T.mma_store("float16", 16, 8, T.address_of(R[1, 0, 0]), c, 0, 8)
        T.mma_store("float32", 16, 16, E[0, 0, 5], c, 0, 20)
        T.copy(R[1, :, :], D)


def _by_warpgroups(A, B, P, C):
    a, b, p = (x.astype(np.float32) for x in (A, B, P))
    return {"C": np.stack([a @ b.T, p @ b[:, :16].T])}


@CASES.computes(
    _by_warpgroups,
    given(A=drawn(small, 128, 64), B=drawn(small, 64, 64), P=drawn(small, 128, 16), C=zeros(2, 128, 64)),
    ptx=("wgmma.mma_async.sync.aligned.m64n64k16.f32.f16.f16", "wgmma.commit_group", "wgmma.wait_group"),
    target="sm_90a",
)
def products_of_warpgroups(
    A: T.Tensor((128, 64), "float16"),
    B: T.Tensor((64, 64), "float16"),
    P: T.Tensor((128, 16), "float16"),
    C: T.Tensor((2, 128, 64), "float32"),
):
    with T.Kernel(1, threads=256):
        A_shared, B_shared = T.alloc_shared((128, 64), "float16"), T.alloc_shared((64, 64), "float16")
        held = T.alloc_fragment((128, 16), "float16")
        c, d = T.alloc_fragment((128, 64), "float32"), T.alloc_fragment((128, 64), "float32")
        T.copy(A, A_shared)
        T.copy(B, B_shared)
        T.copy(P, held)
        T.warpgroup_arrive()
        types = ("fp16", "fp16", "fp32")
        for k in [0, 1, 2, 3]:
            place = (A_shared[0, k * 16], 0, T.address_of(B_shared[0, k * 16]), 0)
            T.ptx_wgmma_ss("float32", "m64n64k16", True, True, *types, *place, c, 0, k > 0)
        T.ptx_wgmma_rs("float32", "m64n64k16", True, *types, held, 0, B_shared[:, 0:16], 0, d, 0, False)
        T.warpgroup_commit_batch()
        T.warpgroup_wait(0)
        T.copy(c, C[0, 0, 0])
        T.copy(d, C[1, 0, 0])
