"""Kernels of words on threads: who they are, warps, atomics, loops, launches."""

from __future__ import annotations

import numpy as np
from word_case import Table, drawn, given, integers, zeros

import tiledsl.language as T

CASES = Table()


def _who(Y):
    y, x, t = np.meshgrid(np.arange(2), np.arange(3), np.arange(64), indexing="ij")
    tx, ty = t % 32, t // 32
    rows = [x, y, 0 * x, tx, ty, 0 * x, t % 32, t // 32, 0 * x + 3, 0 * x + 2, 0 * x + 32, 0 * x + 2, tx + ty, x + y]
    return {"Y": np.stack(rows, -1).astype(np.int32)}


@CASES.computes(_who, given(Y=zeros(2, 3, 64, 14, dtype="int32")), ptx=("%ctaid.x", "%ctaid.y", "%tid.x"))
def who_am_i(Y: T.Tensor((2, 3, 64, 14), "int32")):
    with T.Kernel(3, 2, threads=(32, 2)) as (bx, by):
        tx, ty = T.get_thread_bindings()
        t = ty * 32 + tx
        blocks, extents = T.get_block_bindings(), T.get_block_extents()
        Y[by, bx, t, 0] = T.get_block_binding()
        Y[by, bx, t, 1] = T.get_block_binding(1)
        Y[by, bx, t, 2] = T.get_block_binding(2)
        Y[by, bx, t, 3] = T.get_thread_binding()
        Y[by, bx, t, 4] = T.get_thread_binding(1)
        Y[by, bx, t, 5] = T.get_thread_binding(2)
        Y[by, bx, t, 6] = T.get_lane_idx()
        Y[by, bx, t, 7] = T.get_warp_idx()
        Y[by, bx, t, 8] = extents[0]
        Y[by, bx, t, 9] = T.get_block_extent(1)
        Y[by, bx, t, 10] = T.get_thread_extents()[0]
        Y[by, bx, t, 11] = T.get_thread_extent(1)
        Y[by, bx, t, 12] = tx + ty
        Y[by, bx, t, 13] = blocks[0] + blocks[1]


def _warps(A, Y):
    a = A.reshape(2, 32)
    lanes = np.arange(32)

    def lane(of):
        return a[:, of]

    whole = [np.broadcast_to(f(a, axis=1)[:, None], a.shape) for f in (np.sum, np.max, np.min)]
    some = np.broadcast_to((a > 90).any(1)[:, None], a.shape)
    every = np.broadcast_to((a > -100).all(1)[:, None], a.shape)
    moved = [lane(lanes ^ 5), lane(np.maximum(lanes - 3, 0)), lane(np.minimum(lanes + 3, 31)), lane(lanes * 7 % 32)]
    moved[1] = np.where(lanes < 3, a, moved[1])
    moved[2] = np.where(lanes > 28, a, moved[2])
    return {"Y": np.stack([*whole, some, every, *moved]).reshape(9, 64).astype(np.int32)}


@CASES.computes(
    _warps,
    given(A=drawn(integers, 64), Y=zeros(9, 64, dtype="int32")),
    ptx=("shfl.sync.bfly", "shfl.sync.up", "shfl.sync.down", "shfl.sync.idx", "vote.sync.any", "vote.sync.all"),
)
def warps(A: T.Tensor((64,), "int32"), Y: T.Tensor((9, 64), "int32")):
    with T.Kernel(1, threads=64):
        t = T.get_thread_binding()
        a = A[t]
        Y[0, t] = T.warp_reduce_sum(a)
        Y[1, t] = T.warp_reduce_max(a)
        Y[2, t] = T.warp_reduce_min(a)
        Y[3, t] = T.any_sync(a > 90)
        Y[4, t] = T.all_sync(a > -100)
        Y[5, t] = T.shfl_xor(a, 5)
        Y[6, t] = T.shfl_up(a, 3)
        Y[7, t] = T.shfl_down(a, 3)
        Y[8, t] = T.shfl(a, t * 7 % 32)


@CASES.computes(
    lambda A, Y, F: {"Y": np.array([A.sum(), A.max(), A.min(), np.bitwise_or.reduce(A & 255)], np.int32), "F": F + 6},
    given(A=drawn(integers, 64), Y=np.array([0, -1000, 1000, 0], np.int32), F=zeros(8, 8)),
    ptx=("atom.global.add.u32", "atom.global.max.s32", "atom.global.min.s32", "atom.global.add.f32"),
)
def atomics(A: T.Tensor((64,), "int32"), Y: T.Tensor((4,), "int32"), F: T.Tensor((8, 8), "float32")):
    with T.Kernel(2, threads=32) as bx:
        t = bx * 32 + T.get_thread_binding()
        T.atomic_add(Y[0], A[t])
        T.atomic_max(Y[1], A[t])
        T.atomic_min(Y[2], A[t])
        T.atomic_or(Y[3], A[t] & 255)
        tile = T.alloc_fragment((8, 8), "float32")
        T.fill(tile, 3)
        T.atomic_add(F, tile)


def _loops(A, Y, Z):
    total = A[3:50:2].sum()
    found = next(i for i, a in enumerate(A) if a > 50)
    odd = sum(int(a) for a in A[:found] if a % 2)
    return {
        "Y": np.array([total, found, odd, 2**7, sum(range(10, 0, -3)), *A[:4]], np.int32),
        "Z": A.reshape(16, 4).repeat(1, 0).reshape(64) * 2,
    }


@CASES.computes(
    _loops,
    given(
        A=lambda rng: np.concatenate([integers(rng, 20, low=0, high=50), [77], integers(rng, 43)]).astype(np.int32),
        Y=zeros(9, dtype="int32"), Z=zeros(64, dtype="int32"),
    ),
    ptx=("ld.global.nc.v4", "st.global.v4"),
)  # fmt: skip
def loops(A: T.Tensor((64,), "int32"), Y: T.Tensor((9,), "int32"), Z: T.Tensor((64,), "int32")):
    with T.Kernel(1, threads=16):
        total = T.alloc_var("int32", 0)
        for i in T.serial(3, 50, 2):
            total += A[i]
        found, odd = T.alloc_var("int32", 0), T.alloc_var("int32", 0)
        for i in range(64):
            if A[i] > 50:
                found = i
                T.loop_break()
            if A[i] % 2 == 0:
                continue
            odd += A[i]
        doubled = T.alloc_var("int32", 1)
        while doubled < 100:
            doubled *= 2
        down = T.alloc_var("int32", 0)
        for i in range(10, 0, -3):
            down += i
        for tx in T.thread_binding(16, "threadIdx.x"):
            for v in T.vectorized(4):
                Z[tx * 4 + v] = A[tx * 4 + v] * 2
        if T.get_thread_binding() == 0:
            Y[0] = total
            Y[1] = found
            Y[2] = odd
            Y[3] = doubled
            Y[4] = down
            for i in T.unroll(4):
                Y[5 + i] = A[i]
