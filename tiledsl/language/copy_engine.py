"""The copy engine of sm_90 by its parts: what it is told of a tensor, one box at a time, and copies to other blocks.

`T.tma_copy` takes tiles instead of boxes, and `T.copy` needs none of this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from tiledsl.frontend.proxies import Scalar, Variable, describe, index_of, operand
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Tensor, Tile, size_of, tile_of
from tiledsl.frontend.tracer import Tracer
from tiledsl.ir.dtypes import INT32, UINT64
from tiledsl.ir.layout import Layout, row_major
from tiledsl.ir.nodes import Address, Alloc, Assigned, Buffer, Const, Expr, Extent, Region, Space
from tiledsl.ir.simplify import simplify
from tiledsl.ir.swizzle import swizzled
from tiledsl.ir.tile import Copy
from tiledsl.language.arguments import whole, wrong
from tiledsl.language.asynchrony import load, moved
from tiledsl.language.barriers import (
    arrive_for_all,
    barrier_address,
    barrier_wait,
    mbarrier_arrive_expect_tx,
)
from tiledsl.language.clusters import block_rank_in_cluster, cluster_sync, mask_of
from tiledsl.language.macros import macro
from tiledsl.language.tiles import begin, copy, emit_tile
from tiledsl.language.unsupported import reject
from tiledsl.tensor_map import data_type_number

_DESCRIBE, _LOAD, _CLUSTER = "T.create_tma_descriptor", "T.tma_load", "T.copy_cluster"
_SWIZZLES = (0, 32, 64, 128)  # bytes, by their number; CUDA Driver API, CUtensorMapSwizzle


# --------------------------------------------------------------------------------------------------- single boxes


@dataclass(frozen=True, eq=False)
class TensorMap:
    """A tensor and the box of one copy, outermost first. `swizzle` in bytes; None leaves it to the compiler."""

    tensor: Tensor
    box: tuple[int, ...]
    swizzle: int | None


def create_tma_descriptor(*args: Any, box: Sequence[int] | None = None, swizzle: int | None = None) -> TensorMap:
    """What the copy engine is told of a tensor: `T.create_tma_descriptor(A, box=(64, 32), swizzle=64)`, for T.tma_load.

    `box` are the extents of one copy, a constant for each dimension of the tensor `A`, at most 256 each. `swizzle` (0,
    32, 64 or 128 bytes) fixes the layout of the tiles that are loaded by it, the rows of its box have so many bytes;
    without it the layout is inferred, and the copy engine told. The map itself is made when the kernel is launched.
    TileLang's numbers are taken too, all of them innermost dimension first: `(data type, rank, A.data, *sizes,
    *strides in bytes, *box, *element strides, interleave, swizzle, L2 promotion, fill)`. They must describe `A` as it
    is: its type, sizes and strides, element strides 1, no interleave, zeros outside. L2 promotion is accepted for its
    spelling. Raises TileError TD0226. Source: CUDA Driver API, cuTensorMapEncodeTiled.
    """
    begin(_DESCRIBE)
    if len(args) > 2:
        return _by_numbers(args)
    if len(args) != 1 or not isinstance(args[0], Tensor) or args[0].buffer.space is not Space.GLOBAL:
        raise wrong(_DESCRIBE, "tensor", describe(args[0]) if args else "nothing", "a tensor in global memory")
    rank = args[0].ndim
    given = tuple(box) if isinstance(box, (tuple, list)) else ()
    if len(given) != rank or any(type(n) is not int or not 0 < n <= 256 for n in given):
        raise wrong(_DESCRIBE, "box", describe(box), f"{rank} ints from 1 to 256, one for each dimension")
    if swizzle is not None and swizzle not in _SWIZZLES:
        raise wrong(_DESCRIBE, "swizzle", describe(swizzle), "0, 32, 64 or 128 bytes")
    return TensorMap(args[0], given, swizzle)


def _by_numbers(args: Sequence[Any]) -> TensorMap:
    """TileLang's form: everything about the tensor is said again, and has to be true."""
    number, rank, data, *rest = args
    tensor = _tensor(data)
    buffer = tensor.buffer
    n = len(buffer.shape)
    if len(rest) != 4 * n + 4:
        raise wrong(_DESCRIBE, "arguments", f"{len(args)} numbers", f"{4 * n + 7}: {tensor.shown()} has rank {n}")
    sizes, strides, box, steps = (rest[i * n : (i + 1) * n][::-1] for i in range(4))
    interleave, swizzle, _promotion, fill = rest[4 * n :]
    size = buffer.dtype.bits // 8
    elements = buffer.strides or _contiguous(buffer.shape)
    _same("data type", number, data_type_number(tensor.name, buffer.dtype.name))
    _same("rank", rank, n)
    for axis in range(n):
        _same(f"the size of dimension {axis}", sizes[axis], buffer.shape[axis])
        _same(f"the stride of dimension {axis}", strides[axis], _times(elements[axis], size))
        _same(f"the element stride of dimension {axis}", steps[axis], 1)
    _same("interleave", interleave, 0)
    _same("fill", fill, 0)
    whole(_DESCRIBE, "swizzle", swizzle, high=len(_SWIZZLES) - 1, allowed="0 to 3: none, 32, 64 or 128 bytes")
    return create_tma_descriptor(tensor, box=tuple(box), swizzle=_SWIZZLES[swizzle])


def _tensor(value: Any) -> Tensor:
    """The tensor of `A`, `A.data`, or a pointer to its first element. Raises TileError TD0226."""
    if isinstance(value, Scalar) and isinstance(value.expr, Address) and all(_is_zero(i) for i in value.expr.indices):
        value = Tensor(value.expr.buffer)
    if not isinstance(value, Tensor) or value.buffer.space is not Space.GLOBAL:
        raise wrong(_DESCRIBE, "tensor", describe(value), "a tensor in global memory: A.data")
    return value


def _is_zero(e: Expr) -> bool:
    return isinstance(e, Const) and e.value == 0


def _contiguous(shape: Sequence[Extent]) -> list[Extent]:
    """The strides of a contiguous tensor, in elements."""
    strides: list[Extent] = [1]
    for extent in reversed(shape[1:]):
        strides.insert(0, _times(extent, strides[0]))
    return strides


def _times(a: Extent, b: Extent) -> Extent:
    return a * b if isinstance(a, int) and isinstance(b, int) else _as_expr(a) * b


def _as_expr(extent: Extent) -> Expr:
    return Const(extent) if isinstance(extent, int) else extent


def _same(name: str, value: Any, wanted: Extent) -> None:
    """What was said must be what is. Raises TileError TD0226."""
    given = operand(value)
    expr = index_of(given, name)
    if simplify(expr - _as_expr(wanted), {}) != Const(0):
        shown = wanted if isinstance(wanted, int) else describe(size_of(wanted))
        raise wrong(_DESCRIBE, name, describe(given), f"{shown}: the copy engine is told of the tensor as it is")


def tma_load(descriptor: TensorMap, barrier: Any, dst: Any, *coordinates: Any) -> None:
    """Has the copy engine load the box of a T.create_tma_descriptor into shared memory, and does not wait (sm_90).

    `T.tma_load(T.create_tma_descriptor(A, box=(64, 32)), bar, A_shared, k * 32, by * 64)`: the coordinates are the
    place of the box in the tensor, innermost dimension first; `dst` is where it goes: a shared tile, an element in it
    where the box begins, or its T.address_of. What lies outside of the tensor is loaded as 0. The load completes on
    `barrier`, and expects no bytes: `T.mbarrier_arrive_expect_tx(bar, 64 * 32 * 2)` does, for all the loads of a phase,
    and `T.barrier_wait(bar, k % 2)` waits. It is started once for all threads of the block, or of the T.ws block, that
    come here. One more number after the coordinates, how long the L2 cache keeps what is read, is accepted for its
    spelling.

    Raises TileError TD0213, TD0226, TD0250, TD0254, TD0307. Source: PTX ISA, "cp.async.bulk.tensor".
    """
    begin(_LOAD)
    if not isinstance(descriptor, TensorMap):
        raise wrong(_LOAD, "descriptor", describe(descriptor), "what T.create_tma_descriptor makes")
    rank = len(descriptor.box)
    if len(coordinates) not in (rank, rank + 1):
        allowed = f"{rank} for {descriptor.tensor.shown()}, innermost dimension first"
        raise wrong(_LOAD, "coordinates", f"{len(coordinates)} numbers", allowed)
    offsets = tuple(index_of(c, "a coordinate") for c in reversed(coordinates[:rank]))
    source = Tile(descriptor.tensor, offsets, descriptor.box)
    target = _place(dst, descriptor.box)
    _pin(target.buffer, descriptor)
    load(_LOAD, *moved(_LOAD, source, target, (Space.GLOBAL, Space.SHARED)), barrier)


def _place(dst: Any, box: tuple[int, ...]) -> Tile:
    """Where in a shared tile the box goes: it begins at `dst`, and dimensions of extent 1 may be missing there."""
    if isinstance(dst, Scalar) and isinstance(dst.expr, Address):
        start = Tile(Tensor(dst.expr.buffer, dst.frame), dst.expr.indices, ())
    else:
        start = tile_of(dst, _LOAD, "dst")
    rank = len(start.offsets)
    kept = box if len(box) == rank else tuple(n for n in box if n != 1)
    return replace(start, extents=((1,) * rank + kept)[-rank:], is_start=False)


def _pin(buffer: Buffer, of: TensorMap) -> None:
    """Fixes the layout of a tile to the one that the descriptor writes, as T.annotate_layout does."""
    if of.swizzle is None or buffer.space is not Space.SHARED:
        return
    wanted = _layout(buffer, of.swizzle, of.box[-1])
    frame = begin(_LOAD).launch(_LOAD)
    given = [a.layout for a in frame.layouts if a.buffer is buffer]
    if any(layout != wanted for layout in given):
        why = f"{_LOAD} writes it with a swizzle of {of.swizzle} bytes, it has another layout already"
        raise fail("TD0307", buffer=buffer.name, why=why)
    if not given:
        frame.layouts.append(Assigned(buffer, wanted))


def _layout(buffer: Buffer, swizzle: int, width: int) -> Layout:
    """The layout of a shared tile of boxes with rows of `width` elements."""
    shape = tuple(e for e in buffer.shape if isinstance(e, int))
    if swizzle == 0 and width == shape[-1]:
        return row_major(shape)
    if width * buffer.dtype.bits != swizzle * 8:
        allowed = f"a box with rows of {swizzle} bytes" if swizzle else "a tile as wide as the box"
        row = f"{width} elements of {buffer.dtype} a row of the box, {shape[-1]} a row of '{buffer.name}'"
        raise wrong(_DESCRIBE, f"swizzle={swizzle}", row, allowed)
    try:
        return swizzled(shape, buffer.dtype.bits, swizzle)
    except ValueError as raised:
        raise fail("TD0307", buffer=buffer.name, why=str(raised)) from None


# ------------------------------------------------------------------------------------------------ blocks of a cluster


def copy_cluster(
    src: Any,
    dst: Any,
    *,
    dst_block: Any = None,
    cluster_mask: int | None = None,
    remote_barrier: Any = None,
    eviction_policy: Any = None,
    coalesced_width: int | None = None,
    loop_layout: Any = None,
) -> None:
    """Copies a tile to the shared memory of other blocks of the cluster: a global one to several, or its own to one.

    `T.copy_cluster(A[by * 64, k * 32], A_shared, cluster_mask=0b11)` in all blocks: the first block in the mask (bit r:
    the block of rank r) has the copy engine load its tile to `dst` in each of these, whatever the others name; blocks
    outside of the mask load their own. All blocks of the cluster meet before it, so that nobody still reads what was in
    `dst`: the word stands where all of them come, outside of T.ws blocks. Without a mask it is T.copy.

    With `dst_block=` both tiles are in shared memory: `src` goes to the tile `dst` of the block of that rank, a number
    from 0 to the size of the cluster (exclusively) that may be known at run time only, and that all threads of a block
    agree on. Afterwards the tile is there. All blocks of the cluster meet before and after it, so all come here:
    `T.copy_cluster(C_shared[:32, :], C_shared[32:, :], dst_block=1 - T.block_rank_in_cluster())`.

    With `remote_barrier=` too it is only started, by one thread, and whoever comes here does it:
    `T.copy_cluster(C_shared[:32, :], C_shared[32:, :], dst_block=n % 2, remote_barrier=bar)`. It completes on the
    barrier in the same place of the block that gets the tile. That block says how much it expects, by
    `T.mbarrier_arrive_expect_tx(bar, 32 * 64 * 4)`, and waits, `T.barrier_wait(bar, k % 2)`. The tile `dst` must be
    free there before the copy is started, and `src` must not be written until this block knows that the other one has
    waited, as by `T.cluster_sync()` after that.

    The copy moves bytes as they are, in runs of 16 bytes or more that lie alike in both tiles. Raises TileError TD0103,
    TD0129, TD0213, TD0226, TD0250, TD0254, TD0262. Source: PTX ISA, "cp.async.bulk.tensor" with .multicast::cluster;
    "cp.async.bulk", from .shared::cta to .shared::cluster.
    """
    tracer = begin(_CLUSTER)
    reject("copy_cluster", loop_layout=loop_layout)
    if dst_block is not None or remote_barrier is not None:
        reject("copy_cluster", coalesced_width=coalesced_width)
        if cluster_mask is not None:
            allowed = "nothing beside dst_block=, which names the one block that gets the tile"
            raise wrong(_CLUSTER, "cluster_mask", describe(cluster_mask), allowed)
        _to_one_block(tracer, moved(_CLUSTER, src, dst, (Space.SHARED, Space.SHARED)), dst_block, remote_barrier)
        return
    if cluster_mask is None:
        copy(src, dst, coalesced_width)
        return
    mask = mask_of(_CLUSTER, "cluster_mask", cluster_mask)
    _require_whole_blocks(tracer, "cluster_mask=", "in a T.ws block, load by T.tma_copy(..., barrier=, cluster_mask=)")
    source, target = moved(_CLUSTER, src, dst, (Space.GLOBAL, Space.SHARED))
    barrier, phase = _at_the_head(tracer, 1)
    _to_the_blocks(source, target, mask, barrier)
    barrier_wait(barrier, phase)
    phase.store(1 - phase)


def _require_whole_blocks(tracer: Tracer, how: str, hint: str) -> None:
    if tracer.enclosing("parallel") is not None:
        raise fail("TD0129", word=_CLUSTER)
    if tracer.role() is not None:
        raise fail("TD0103", word=f"copy_cluster(..., {how}) in a T.ws block", hint=hint)


def _at_the_head(tracer: Tracer, arrivals: int) -> tuple[Tensor, Variable]:
    """A barrier and the parity of its present phase, which the whole launch has: the word may stand in loops."""
    launch = tracer.launch(_CLUSTER)
    barrier, phase = Buffer("arrived", (1,), UINT64, Space.BARRIER), Buffer("phase", (), INT32, Space.VAR)
    at = tracer.here()
    launch.block[:0] = [Alloc(barrier, Const(arrivals, UINT64), span=at), Alloc(phase, Const(0, INT32), span=at)]
    variable = Variable(phase, launch)
    variable.named = True
    return Tensor(barrier, launch), variable


@macro
def _to_the_blocks(source: Region, target: Region, mask: int, barrier: Tensor) -> None:
    cluster_sync()
    mbarrier_arrive_expect_tx(barrier, prod(target.extents) * target.buffer.dtype.bits // 8)
    rank = block_rank_in_cluster()
    if rank == (mask & -mask).bit_length() - 1:
        load(_CLUSTER, source, target, barrier, mask)
    elif (mask >> rank) % 2 == 0:
        load(_CLUSTER, source, target, barrier)


def _to_one_block(tracer: Tracer, tiles: tuple[Region, Region], block: Any, remote_barrier: Any) -> None:
    if block is None:
        raise wrong(
            _CLUSTER, "dst_block", "not given", "the rank of the block that gets the tile, beside remote_barrier="
        )
    blocks = prod(tracer.launch(_CLUSTER).cluster)
    if blocks == 1:
        allowed = "nothing: the kernel has no cluster, give T.Kernel cluster_dims="
        raise wrong(_CLUSTER, "dst_block", describe(block), allowed)
    rank = operand(block)
    expr = index_of(rank, "the rank of a block")
    if isinstance(expr, Const) and not 0 <= expr.value < blocks:
        raise wrong(_CLUSTER, "dst_block", describe(rank), f"0 to {blocks - 1}: the cluster has {blocks} blocks")
    if remote_barrier is not None:
        _send(tiles, rank, remote_barrier)
        return
    _require_whole_blocks(tracer, "dst_block=", "in a T.ws block, give it remote_barrier= and wait there")
    barrier, phase = _at_the_head(tracer, blocks)
    _exchange(*tiles, rank, [*range(blocks)], barrier)
    barrier_wait(barrier, phase)
    phase.store(1 - phase)
    cluster_sync()


def _send(tiles: tuple[Region, Region], rank: Any, barrier: Any) -> None:
    tracer = begin(_CLUSTER)
    there, rank = barrier_address(barrier, _CLUSTER), index_of(rank, "the rank of a block")
    emit_tile(tracer, _CLUSTER, Copy(*tiles, bulk=True, barrier=there, rank=rank, span=tracer.here()))


@macro
def _exchange(source: Region, target: Region, to: Any, blocks: list[int], barrier: Tensor) -> None:
    """Every block arrives at the barriers of all, as only the sender knows who gets the bytes, and tells that one."""
    cluster_sync()
    for rank in blocks:
        if to == rank:
            arrive_for_all(_CLUSTER, barrier, 1 << rank, prod(target.extents) * target.buffer.dtype.bits // 8)
        else:
            arrive_for_all(_CLUSTER, barrier, 1 << rank)
    _send((source, target), to, barrier)
