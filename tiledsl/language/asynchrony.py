"""Words that start work which goes on beside the threads, and wait for it: copies, stores, products.

`T.copy`, `T.gemm` and `T.Pipelined` need none of these: the compiler places waits and fences for them.
"""

from __future__ import annotations

from math import prod
from typing import Any

from tiledsl.frontend.proxies import describe
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tile, tile_of
from tiledsl.ir.concurrent import Expect, Fence
from tiledsl.ir.nodes import AsyncCommit, AsyncWait, Const, Region, Space, Stmt
from tiledsl.ir.tile import Copy
from tiledsl.language.arguments import whole
from tiledsl.language.barriers import barrier_address
from tiledsl.language.clusters import mask_of
from tiledsl.language.tiles import GemmWarpPolicy, begin, copy_width, emit_tile, gemm, regions
from tiledsl.language.unsupported import reject


def _emit(word: str, stmt: Stmt) -> None:
    tracer = begin(word)
    emit_tile(tracer, word, stmt)


# ---------------------------------------------------------------------------------------------------------- copies


def moved(word: str, src: Any, dst: Any, *ways: tuple[Space, Space]) -> tuple[Region, Region]:
    """The regions of a copy that no thread may convert on its way. Raises TileError TD0254 for other copies."""
    a, b = (t if isinstance(t, Tile) else tile_of(t, word, n) for t, n in ((src, "src"), (dst, "dst")))
    if a.is_start and b.is_start:
        raise fail("TD0254", word=word, src=a.shown(), dst=b.shown(), rule="give one side its extents: A[i, j : j + 8]")
    x, y = regions(a, b, word)
    if (a.buffer.space, b.buffer.space) not in ways:
        rule = " or ".join(f"it copies from {x.value} to {y.value} memory" for x, y in ways)
        raise fail(
            "TD0254",
            word=word,
            src=f"{a.shown()} in {a.tensor.scope()}",
            dst=f"{b.shown()} in {b.tensor.scope()}",
            rule=rule,
        )
    if a.buffer.dtype is not b.buffer.dtype:
        src_, dst_ = (f"{t.shown()} of {t.buffer.dtype}" for t in (a, b))
        raise fail("TD0254", word=word, src=src_, dst=dst_, rule="it converts nothing: use T.copy, or equal dtypes")
    return x, y


def async_copy(
    src: Any, dst: Any, *, coalesced_width: int | None = None, annotations: Any = None, loop_layout: Any = None
) -> None:
    """Starts a copy of a tile from global to shared memory, and commits it as a group of its own (cp.async).

    `T.async_copy(A[by * 64, k * 32], A_shared)`; `T.ptx_wait_group(0)` waits for it, `T.cp_async_barrier_noinc(bar)`
    tells others of its end. Both sides have one dtype. Raises TileError TD0213 where extents differ, TD0254 for other
    memory or dtypes. Source: PTX ISA, "cp.async".
    """
    word = "T.async_copy"
    tracer = begin(word)
    reject("async_copy", annotations=annotations, loop_layout=loop_layout)
    source, target = moved(word, src, dst, (Space.GLOBAL, Space.SHARED))
    width = copy_width(word, coalesced_width)
    emit_tile(tracer, word, Copy(source, target, width, asynchronous=True, span=tracer.here()))
    tracer.emit(AsyncCommit(span=tracer.here()))


def ptx_commit_group() -> None:
    """Closes the group of what this thread has started to copy with cp.async since the last commit.

    `T.ptx_commit_group()`. Source: PTX ISA, "cp.async.commit_group".
    """
    _emit("T.ptx_commit_group", AsyncCommit(span=begin("T.ptx_commit_group").here()))


def ptx_wait_group(num: int) -> None:
    """Waits until at most `num` groups of this thread's cp.async copies are in flight.

    `T.ptx_wait_group(0)`; TD0226 for a number that is no constant. Source: PTX ISA, "cp.async.wait_group".
    """
    word = "T.ptx_wait_group"
    _emit(word, AsyncWait(whole(word, "num", num), span=begin(word).here()))


def tma_copy(
    src: Any,
    dst: Any,
    *,
    barrier: Any = None,
    cluster_mask: int | None = None,
    leader_scope_threads: int | None = None,
    eviction_policy: Any = None,
    annotations: Any = None,
) -> None:
    """Has the copy engine move a tile between global and shared memory, and does not wait (sm_90).

    A load, `T.tma_copy(A[by * 64, k * 32], A_shared, barrier=bar)`, completes on `barrier`, which expects its bytes:
    let `T.barrier_arrive(bar)` follow in the threads that load, and `T.barrier_wait(bar, k % 2)` in those that use the
    tile. A store, `T.tma_copy(C_shared, C[by * 64, bx * 64])`, is a group of its own: `T.tma_store_wait(0)` waits.
    Elements outside of the tensor are loaded as 0, and not stored. With `cluster_mask` a load goes to the same place of
    each of these blocks of the cluster (bit r: the block of rank r), and completes on `barrier` there. The copy then
    expects no bytes: each block says by T.mbarrier_expect_tx how many come from all of them.

    Raises TileError TD0213 where extents differ, TD0226 for a store with a barrier or mask, TD0250 for a load without
    barrier, TD0254 for other memory or two dtypes. Source: PTX ISA, "cp.async.bulk.tensor".
    """
    word = "T.tma_copy"
    tracer = begin(word)
    reject("tma_copy", annotations=annotations, leader_scope_threads=leader_scope_threads)
    ways = ((Space.GLOBAL, Space.SHARED), (Space.SHARED, Space.GLOBAL))
    source, target = moved(word, src, dst, *ways)
    ranks = mask_of(word, "cluster_mask", cluster_mask)
    at = tracer.here()
    if target.buffer.space is Space.GLOBAL:
        if barrier is not None or ranks:
            name, value = ("barrier", barrier) if barrier is not None else ("cluster_mask", cluster_mask)
            raise fail("TD0226", word=word, name=name, value=describe(value), allowed="nothing: this is a store")
        emit_tile(tracer, word, Copy(source, target, bulk=True, span=at))
        tracer.emit(AsyncCommit("store", span=at))
        return
    if barrier is None:
        raise fail("TD0250", word=word, value="nothing", hint="say where the load completes: barrier=bar")
    if not ranks:
        bits = prod(target.extents) * target.buffer.dtype.bits
        emit_tile(tracer, word, Expect(barrier_address(barrier, word), Const(bits // 8), span=at))
    load(word, source, target, barrier, ranks)


def load(word: str, source: Region, target: Region, barrier: Any, ranks: int = 0) -> None:
    """A load by the copy engine that completes on `barrier`, where somebody else expects its bytes."""
    tracer = begin(word)
    bar = barrier_address(barrier, word)
    emit_tile(tracer, word, Copy(source, target, bulk=True, barrier=bar, ranks=ranks, span=tracer.here()))


def fence_proxy_async() -> None:
    """Orders this thread's accesses to shared memory before those of the copy engine and the tensor core.

    `T.fence_proxy_async()`, between storing a tile and `T.tma_copy(C_shared, C[by * 64, bx * 64])`. Source: PTX ISA,
    "fence.proxy.async".
    """
    _emit("T.fence_proxy_async", Fence("async_proxy", span=begin("T.fence_proxy_async").here()))


def tma_store_arrive() -> None:
    """Closes the group of the stores of the copy engine since the last; T.tma_copy does it by itself.

    `T.tma_store_arrive()`. Source: PTX ISA, "cp.async.bulk.commit_group".
    """
    _emit("T.tma_store_arrive", AsyncCommit("store", span=begin("T.tma_store_arrive").here()))


def tma_store_wait(count: int = 0, read: bool = True) -> None:
    """Waits until at most `count` stores of the copy engine are in flight; with `read`, until they have read.

    `T.tma_store_wait(0)`. Source: PTX ISA, "cp.async.bulk.wait_group".
    """
    word = "T.tma_store_wait"
    _emit(word, AsyncWait(whole(word, "count", count), "store", bool(read), span=begin(word).here()))


# -------------------------------------------------------------------------------------------------------- products


def wgmma_gemm(
    A: Any,
    B: Any,
    C: Any,
    transpose_A: bool = False,
    transpose_B: bool = False,
    policy: Any = GemmWarpPolicy.Square,
    clear_accum: bool = False,
) -> None:
    """T.gemm with `wg_wait=-1`: starts the product and does not wait for it.

    Shapes, dtypes and errors are those of T.gemm. `T.wgmma_gemm(A_shared, B_shared, C_local)`.
    """
    gemm(A, B, C, transpose_A, transpose_B, policy, clear_accum, wg_wait=-1)


def wait_wgmma(num_mma: int) -> None:
    """Waits until at most `num_mma` of the products that T.gemm started with `wg_wait=-1` are in flight.

    `T.wait_wgmma(0)`. Source: PTX ISA, "wgmma.wait_group".
    """
    _wait("T.wait_wgmma", num_mma)


def warpgroup_wait(num_mma: int) -> None:
    """Another name of T.wait_wgmma: `T.warpgroup_wait(0)`."""
    _wait("T.warpgroup_wait", num_mma)


def _wait(word: str, count: Any) -> None:
    _emit(word, AsyncWait(whole(word, "num_mma", count), "product", span=begin(word).here()))


def warpgroup_arrive() -> None:
    """Orders uses of accumulators before products that follow; T.gemm does it by itself. `T.warpgroup_arrive()`.

    Source: PTX ISA, "wgmma.fence".
    """
    _emit("T.warpgroup_arrive", Fence("product", span=begin("T.warpgroup_arrive").here()))


def warpgroup_commit_batch() -> None:
    """Closes the group of products started since the last; T.gemm does it by itself. `T.warpgroup_commit_batch()`.

    Source: PTX ISA, "wgmma.commit_group".
    """
    _emit("T.warpgroup_commit_batch", AsyncCommit("product", span=begin("T.warpgroup_commit_batch").here()))


def warpgroup_fence_operand(buffer: Any, offset: Any = 0, num_regs: Any = None, dtype: Any = None) -> None:
    """Keeps uses of the accumulator `buffer` in their place. Every wait does that, so this does nothing.

    `T.warpgroup_fence_operand(C_local)`.
    """
    begin("T.warpgroup_fence_operand")
    tile_of(buffer, "T.warpgroup_fence_operand", "buffer")
