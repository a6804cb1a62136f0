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


def _votes(A, Y):
    a = A.reshape(2, 32)
    bit = np.uint32(1) << np.arange(32, dtype=np.uint32)
    some = (((a > 0) * bit).sum(1, dtype=np.uint32)).repeat(32).reshape(a.shape)
    same = ((a[:, :, None] % 4 == a[:, None, :] % 4) * bit).sum(-1, dtype=np.uint32)
    whole = np.full(a.shape, 0xFFFFFFFF, np.uint32)
    each = np.stack([np.bitwise_and.reduce(a, 1), np.bitwise_or.reduce(a, 1)]).astype(np.uint32)[:, :, None]
    positive = (A > 0).sum()
    rows = [some, some, whole, same, np.where(np.arange(2)[:, None] == 1, whole, 0), *each.repeat(32, -1)]
    threads = np.arange(64).reshape(a.shape)
    rows += [np.full(a.shape, n) for n in (positive, positive == 64, positive > 0)]
    rows += [threads // 32, threads // 128, threads // 16, threads % 16 == 0, threads == 0]
    return {"Y": np.stack([np.asarray(r).astype(np.uint32).reshape(64) for r in rows])}


@CASES.computes(
    _votes,
    given(A=drawn(integers, 64), Y=zeros(15, 64, dtype="uint32")),
    ptx=("vote.sync.ballot.b32", "match.any.sync.b32", "popc.b32", "bar.sync"),
)
def votes(A: T.Tensor((64,), "int32"), Y: T.Tensor((15, 64), "uint32")):
    with T.Kernel(1, threads=64):
        t = T.get_thread_binding()
        a = A[t]
        Y[0, t] = T.ballot(a > 0)
        Y[1, t] = T.ballot_sync(0xFFFFFFFF, a > 0)
        Y[2, t] = T.activemask()
        Y[3, t] = T.match_any_sync(0xFFFFFFFF, a % 4)
        Y[4, t] = T.match_all_sync(0xFFFFFFFF, T.if_then_else(t < 32, t, 5))
        Y[5, t] = T.cast(T.warp_reduce_bitand(a), "uint32")
        Y[6, t] = T.cast(T.warp_reduce_bitor(a), "uint32")
        Y[7, t] = T.cast(T.syncthreads_count(a > 0), "uint32")
        Y[8, t] = T.cast(T.syncthreads_and(a > 0), "uint32")
        Y[9, t] = T.cast(T.syncthreads_or(a > 0), "uint32")
        Y[10, t] = T.cast(T.get_warp_idx_sync(), "uint32")
        Y[11, t] = T.cast(T.get_warp_group_idx(), "uint32")
        Y[12, t] = T.cast(T.get_warp_group_idx(8, 2), "uint32")
        Y[13, t] = T.cast(T.shuffle_elect(16), "uint32")
        Y[14, t] = T.cast(T.shuffle_elect(0), "uint32")


def _groups(A, Y):
    lane = np.arange(32)
    inside, first = lane % 8, lane - lane % 8
    up, down = np.where(inside >= 3, lane - 3, lane), np.where(inside + 3 < 8, lane + 3, lane)
    other = np.where((lane ^ 12) < first + 8, lane ^ 12, lane)
    return {"Y": np.stack([A[up], A[down], A[lane ^ 5], A[other], A[first + 2], A[first + 1]])}


@CASES.computes(_groups, given(A=drawn(integers, 32), Y=zeros(6, 32, dtype="int32")))
def shuffles_in_groups(A: T.Tensor((32,), "int32"), Y: T.Tensor((6, 32), "int32")):
    with T.Kernel(1, threads=32):
        t = T.get_thread_binding()
        Y[0, t] = T.shfl_up(A[t], 3, 8)
        Y[1, t] = T.shfl_down(A[t], 3, width=8)
        Y[2, t] = T.shfl_xor(A[t], 5, 8)
        Y[3, t] = T.shfl_xor(A[t], 12, 8)
        Y[4, t] = T.shfl(A[t], 2, 8)
        Y[5, t] = T.shfl_sync(0xFFFFFFFF, A[t], 9, 8)


def _elements(A, Y, F, C):
    return {"Y": np.array([A[5], A[7]], np.int32), "F": F + np.float32([1, 2, 3, 4, 1, 2, 0, 0]) * 32}


@CASES.computes(
    _elements,
    given(A=drawn(integers, 64), Y=zeros(2, dtype="int32"), F=zeros(8), C=np.float32([1, 2, 3, 4])),
    ptx=("atom.global.add.f32",),
)
def atomics_of_elements(
    A: T.Tensor((64,), "int32"), Y: T.Tensor((2,), "int32"), F: T.Tensor((8,), "float32"), C: T.Tensor((4,), "float32")
):
    with T.Kernel(1, threads=32):
        T.atomic_store(Y[0], T.atomic_load(A[5], "acquire"), "release")
        T.atomic_store(Y[1], A[7])
        T.atomic_addx4(F[0], C[0])
        T.atomic_addx2(F[4], C[0])


def _over_threads(A, Y):
    a = A.reshape(4, 2, 16)  # z, y, x
    rows = [a.sum(2, keepdims=True), a.max(1, keepdims=True), a.sum(0, keepdims=True), a.sum((1, 2), keepdims=True)]
    return {"Y": np.stack([np.broadcast_to(r, a.shape).reshape(128) for r in rows]).astype(np.int32)}


@CASES.computes(
    _over_threads, given(A=drawn(integers, 128), Y=zeros(4, 128, dtype="int32")), ptx=("shfl.sync.bfly", "bar.sync")
)
def reductions_over_threads(A: T.Tensor((128,), "int32"), Y: T.Tensor((4, 128), "int32")):
    with T.Kernel(1, threads=(16, 2, 4)):
        tx, ty, tz = T.get_thread_bindings()
        t = (tz * 2 + ty) * 16 + tx
        out = T.alloc_local((1,), "int32")
        for kr in T.thread_binding(16, "threadIdx.x"):
            with T.attr(
                T.comm_reducer(lambda x, y: x + y, [T.int32(0)]), "reduce_scope", T.reinterpret("handle", T.uint64(0))
            ):
                T.evaluate(T.tvm_thread_allreduce(T.uint32(1), A[t], True, out[0], kr, dtype="handle"))
        Y[0, t] = out[0]
        with T.attr(T.comm_reducer(T.max, [T.min_value("int32")]), "reduce_scope", 0):
            T.tvm_thread_allreduce(1, A[t], True, out[0], ty)
        Y[1, t] = out[0]
        T.tvm_thread_allreduce(1, A[t], True, out[0], tz)
        Y[2, t] = out[0]
        T.tvm_thread_allreduce(1, A[t], True, out[0], tx, ty)
        Y[3, t] = out[0]


@CASES.computes(
    lambda A, Y: {"Y": A * 2}, given(A=drawn(integers, 64, 64, dtype="float32"), Y=zeros(64, 64)), ptx=("cp.async.cg",)
)
def stores_by_cp_async(A: T.Tensor((64, 64), "float32"), Y: T.Tensor((64, 64), "float32")):
    with T.Kernel(1, threads=64):
        tile = T.alloc_shared((64, 64), "float32")
        t = T.get_thread_binding()
        with T.attr("default", "async_scope", 1):
            for i in T.serial(16):
                for v in T.vectorized(4):
                    tile[i * 4 + t // 16, t % 16 * 4 + v] = A[i * 4 + t // 16, t % 16 * 4 + v]
        T.ptx_commit_group()
        T.ptx_wait_group(0)
        for i, j in T.Parallel(64, 64):
            Y[i, j] = tile[i, j] * 2


def _met(A, Y):
    t = np.arange(64)
    first, last = A[t ^ 1], np.where(t % 32 < 16, A[t ^ 3], A)
    return {"Y": np.stack([last, first, np.where(t % 32 < 16, A, 0)])}


@CASES.computes(
    _met,
    given(A=drawn(integers, 64), Y=zeros(3, 64, dtype="int32")),
    ptx=("bar.warp.sync \t-1;", "bar.warp.sync \t65535;"),
)
def warps_meet(A: T.Tensor((64,), "int32"), Y: T.Tensor((3, 64), "int32")):
    with T.Kernel(1, threads=64):
        t = T.get_thread_binding()
        Y[0, t] = A[t]
        T.sync_warp()
        Y[1, t] = Y[0, t ^ 1]
        if T.get_lane_idx() < 16:
            Y[2, t] = A[t]
            T.sync_warp(0xFFFF)
            Y[0, t] = Y[2, t ^ 3]
        else:
            Y[2, t] = 0


@CASES.computes(
    lambda A, B: {"B": A.reshape(5, 64, 2)[:, :, ::-1].reshape(5, 128) * 2},
    given(A=drawn(integers, 5, 128), B=zeros(5, 128, dtype="int32")),
    ptx=("bar.arrive", "bar.sync"),
)
def named_arrivals(A: T.Tensor((5, 128), "int32"), B: T.Tensor((5, 128), "int32")):
    with T.Kernel(1, threads=256):
        S = T.alloc_shared((128,), "int32")
        with T.ws(0):
            for k in range(5):
                T.sync_threads(2, 256)
                for i in T.Parallel(128):
                    S[i] = A[k, i] * 2
                T.named_barrier_arrive(1, 256)
        with T.ws(1):
            T.named_barrier_arrive(2, 256)
            for k in range(5):
                T.sync_threads(1, 256)
                for i in T.Parallel(128):
                    B[k, i] = S[i ^ 1]
                if k < 4:
                    T.named_barrier_arrive(2, 256)


def _numbered(A, Y):
    b, r, t, u = np.ogrid[:3, :2, :8, :4]
    return {"Y": np.stack([np.broadcast_to(x, (3, 2, 8, 4)) for x in (b, r, t, u)]).astype(np.int32), "A": A * 2}


@CASES.computes(
    _numbered,
    given(A=drawn(integers, 70), Y=zeros(4, 3, 2, 8, 4, dtype="int32")),
    ptx=("%ctaid.y", "%tid.x"),
)
def launched_threads(A: T.Tensor((70,), "int32"), Y: T.Tensor((4, 3, 2, 8, 4), "int32")):
    with T.launch_thread("blockIdx.x", T.ceildiv(A.shape[0], 32)) as bx, T.launch_thread("threadIdx.x", 32) as tx:
        if bx * 32 + tx < 70:
            A[bx * 32 + tx] = A[bx * 32 + tx] * 2
    b = T.launch_thread("blockIdx.x", 3)
    u = T.launch_thread("threadIdx.y", 4)
    t = T.launch_thread("threadIdx.x", 8)
    r = T.launch_thread("blockIdx.y", 2)
    Y[0, b, r, t, u] = b
    Y[1, b, r, t, u] = r
    Y[2, b, r, t, u] = t
    Y[3, b, r, t, u] = u


def _gathered_sums(A, Y):
    total = A.sum(dtype=np.int32)
    return {"Y": np.stack([np.roll(A, 1) + total, A * 2])}


@CASES.computes(
    _gathered_sums,
    given(A=drawn(integers, 200), Y=zeros(2, 200, dtype="int32")),
    ptx=(".visible .entry grids_meet_0", ".visible .entry grids_meet_1"),
)
def grids_meet(A: T.Tensor((200,), "int32"), Y: T.Tensor((2, 200), "int32")):
    sums = T.alloc_global((4,), "int32")
    with T.Kernel(4, threads=64) as b:
        start = b * 50
        t = T.get_thread_binding()
        own = T.alloc_fragment((50,), "int32")
        total = T.alloc_fragment((1,), "int32")
        kept = T.alloc_shared((50,), "int32")
        T.copy(A[start : start + 50], own)
        T.reduce_sum(own, total)
        if t == 0:
            sums[b] = total[0]
        T.sync_grid()
        T.copy(A[start : start + 50], kept)
        for i in T.Parallel(50):
            Y[0, (start + i + 1) % 200] = kept[i] + sums[0] + sums[1] + sums[2] + sums[3]
        T.sync_global()
        if t < 50:
            Y[1, (start + 50 + t) % 200] = (Y[0, (start + 51 + t) % 200] - sums[0] - sums[1] - sums[2] - sums[3]) * 2
