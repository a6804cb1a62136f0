"""Copies by the copy engine: one thread starts it, for each box of the tile or for all of it at once."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tiledsl.analysis.block_copies import Runs, runs_of
from tiledsl.analysis.tensor_boxes import Boxes, boxes_of
from tiledsl.errors import error
from tiledsl.ir.concurrent import BulkMove, TensorCopy
from tiledsl.ir.im2col import place_in
from tiledsl.ir.layout import row_major
from tiledsl.ir.nodes import Address, Block, Const, Expr, For, Region, Space, Stmt, Unrolled, Var, eq, static_shape
from tiledsl.ir.simplify import bounds_of, divisible
from tiledsl.ir.swizzle import UNIT
from tiledsl.ir.tile import Atomic, Copy, Im2col, region_of
from tiledsl.passes.lower_tiles.access import root_coordinates, unswizzled
from tiledsl.passes.lower_tiles.context import Context
from tiledsl.passes.lower_tiles.expressions import expression, optional
from tiledsl.passes.lower_tiles.scope import Scope
from tiledsl.passes.lower_tiles.spread import guarded


def lower_bulk(ctx: Context, s: Copy | Atomic, scope: Scope) -> Block:
    """A bulk copy or bulk atomic, by the first thread."""
    only = () if scope.single else (eq(ctx.thread, 0),)
    if isinstance(s, Copy) and isinstance(s.src, Im2col):
        return guarded(only, _pixels(ctx, s, s.src))
    source = region_of(s.src)
    if isinstance(s, Copy) and s.rank is not None:
        return guarded(only, _to_a_block(ctx, s, source, s.rank))
    tile, tensor = (s.dst, source) if s.dst.buffer.space is Space.SHARED else (source, s.dst)
    body = _one_move(ctx, s, tile, tensor) if isinstance(s, Copy) else None
    return guarded(only, body or _boxes(ctx, s, tile, tensor))


def _one_move(ctx: Context, s: Copy, tile: Region, tensor: Region) -> Block | None:
    """The copy as one run of bytes; None where it is none on both sides, or may leave the tensor."""
    bits = tile.buffer.dtype.bits
    lanes = prod(tile.extents)
    shape = static_shape(tile.buffer)
    contiguous = ctx.shared_layout(tile.buffer) == row_major(shape) and _is_run(tile.extents, shape)
    whole = tensor.buffer.strides is None and _is_run(tensor.extents, tensor.buffer.shape)
    if not contiguous or not whole or lanes * bits // 8 % UNIT or not _inside(ctx, tensor):
        return None
    here, there = _address(ctx, tile, None), _corner(ctx, tensor, None)
    if not ctx.divisible(here.indices[0], UNIT * 8 // bits) or not _starts_aligned(ctx, tensor):
        return None
    if s.dst.buffer.space is not Space.SHARED:
        return (BulkMove(there, here, lanes),)
    return (BulkMove(here, there, lanes, _barrier(ctx, s), s.ranks),)


def _is_run(extents: Sequence[int], shape: Sequence[object]) -> bool:
    """Whether a box of `extents` is one run of a row-major tile: whole rows below the first dimension that it cuts."""
    moving = next((i for i, n in enumerate(extents) if n != 1), len(extents))
    return all(n == whole for n, whole in zip(extents[moving + 1 :], shape[moving + 1 :]))


def _inside(ctx: Context, tensor: Region) -> bool:
    ranges = {**ctx.ranges, **ctx.blocks}
    for offset, extent, whole in zip(tensor.offsets, tensor.extents, tensor.buffer.shape):
        low, high = bounds_of(offset, ranges)
        if not isinstance(whole, int) or low < 0 or high + extent > whole:
            return False
    return True


def _starts_aligned(ctx: Context, tensor: Region) -> bool:
    """Whether the first element is a multiple of 16 bytes into the tensor."""
    unit, below = UNIT * 8 // tensor.buffer.dtype.bits, 1
    for offset, whole in zip(reversed(tensor.offsets), reversed(tensor.buffer.shape)):
        if not divisible(offset * below, unit, {**ctx.ranges, **ctx.blocks}):
            return False
        assert isinstance(whole, int)
        below *= whole
    return True


def _boxes(ctx: Context, s: Copy | Atomic, tile: Region, tensor: Region) -> Block:
    """The copy box by box."""
    boxes = _boxes_of(ctx, s, tile)
    numbers, steps = _steps(ctx, boxes)
    here, there = _address(ctx, tile, steps), _corner(ctx, tensor, _matched(tile, tensor, steps))
    box = _box(tile, tensor, boxes)
    if box[-1] * tile.buffer.dtype.bits // 8 % UNIT:
        why = f"what follows on in it is apart in '{tensor.buffer.name}'"
        raise error("TD0320", s.span, buffer=tile.buffer.name, why=why)
    copy: Stmt
    if isinstance(s, Atomic):
        copy = TensorCopy(there, here, box, boxes.swizzle, op=s.op)
    elif s.barrier is None:
        copy = TensorCopy(there, here, box, boxes.swizzle)
    else:
        copy = TensorCopy(here, there, box, boxes.swizzle, _barrier(ctx, s), ranks=s.ranks)
    return _each(copy, numbers, boxes)


def _pixels(ctx: Context, s: Copy, source: Im2col) -> Block:
    """A load of the matrix of a convolution box by box. Each is of one tap: `why_not_bulk` has seen to that."""
    boxes = _boxes_of(ctx, s, s.dst)
    numbers, steps = _steps(ctx, boxes)
    row, column = (expression(ctx, o, {}) + x for o, x in zip(source.offsets, steps[-2:]))
    place = place_in(source.buffer, source.window, ctx.simplify(row), ctx.simplify(column))
    first = tuple(map(ctx.simplify, (place.image, *place.pixel, place.channel)))
    copy = TensorCopy(
        _address(ctx, s.dst, steps),
        Address(source.buffer, first),
        boxes.box[-2:],
        boxes.swizzle,
        _barrier(ctx, s),
        ranks=s.ranks,
        window=(source.kernel, source.stride, source.dilation, source.pad),
        tap=tuple(map(ctx.simplify, place.tap)),
    )
    return _each(copy, numbers, boxes)


def _to_a_block(ctx: Context, s: Copy, source: Region, rank: Expr) -> Block:
    """A copy to the shared memory of another block, run by run."""
    runs = runs_of(source, s.dst, *(ctx.shared_layout(b) for b in (source.buffer, s.dst.buffer)))
    if isinstance(runs, str):
        raise error("TD0262", s.span, src=source.buffer.name, dst=s.dst.buffer.name, why=runs)
    numbers, steps = _steps(ctx, runs)
    here, there = (_address(ctx, r, _spread(r, steps)) for r in (source, s.dst))
    to = ctx.simplify(expression(ctx, rank, {}))
    return _each(BulkMove(there, here, runs.lanes, _barrier(ctx, s), rank=to), numbers, runs)


def _spread(region: Region, steps: Sequence[Expr]) -> list[Expr]:
    """`steps` along the dimensions with more than one element, 0 along the others."""
    found = iter(steps)
    return [next(found) if n != 1 else Const(0) for n in region.extents]


def _boxes_of(ctx: Context, s: Copy | Atomic, tile: Region) -> Boxes:
    """The boxes of a tile. Raises TD0320 where its layout has none."""
    boxes = boxes_of(tile, ctx.shared_layout(tile.buffer))
    if isinstance(boxes, str):
        raise error("TD0320", s.span, buffer=tile.buffer.name, why=boxes)
    return boxes


def _steps(ctx: Context, boxes: Boxes | Runs) -> tuple[list[Expr], list[Expr]]:
    """The number of a box along each dimension, and where it begins in the tile."""
    numbers: list[Expr] = [ctx.digit_var("box", n) if n > 1 else Const(0) for n in boxes.counts]
    return numbers, [ctx.simplify(v * n) for v, n in zip(numbers, boxes.box)]


def _each(copy: Stmt, numbers: Sequence[Expr], boxes: Boxes | Runs) -> Block:
    body: Block = (copy,)
    for v, n in reversed(list(zip(numbers, boxes.counts))):
        if isinstance(v, Var):
            body = (For(v, Const(n), body, Unrolled()),)
    return body


def _barrier(ctx: Context, s: Copy) -> Address:
    a = s.barrier
    assert a is not None
    return Address(a.buffer, tuple(ctx.simplify(i) for i in a.indices), optional(ctx, a.version, {}))


def _address(ctx: Context, tile: Region, steps: Sequence[Expr] | None) -> Address:
    """Where the tile, or a box of it, begins in flat shared memory."""
    at = _moved(ctx, tile, steps)
    root, coords = root_coordinates(ctx, tile.buffer, at)
    offset = unswizzled(ctx, ctx.shared_layout(root), coords)
    return Address(ctx.store_for(root), (offset,), optional(ctx, tile.version, {}))


def _corner(ctx: Context, tensor: Region, steps: Sequence[Expr] | None) -> Address:
    """Where the region of the tensor, or a box of it, begins."""
    return Address(tensor.buffer, _moved(ctx, tensor, steps), optional(ctx, tensor.version, {}))


def _moved(ctx: Context, region: Region, steps: Sequence[Expr] | None) -> tuple[Expr, ...]:
    offsets = (expression(ctx, o, {}) for o in region.offsets)
    return tuple(ctx.simplify(o + x if steps else o) for o, x in zip(offsets, steps or region.offsets))


def _matched(tile: Region, tensor: Region, steps: Sequence[Expr]) -> list[Expr]:
    """`steps` along the tile as steps along the tensor: dimensions in order, those of extent 1 aside."""
    moving = iter([x for x, n in zip(steps, tile.extents) if n != 1])
    return [next(moving) if n != 1 else Const(0) for n in tensor.extents]


def _box(tile: Region, tensor: Region, boxes: Boxes) -> tuple[int, ...]:
    """The box as the tensor has it."""
    moving = iter([b for b, n in zip(boxes.box, tile.extents) if n != 1])
    return tuple(next(moving) if n != 1 else 1 for n in tensor.extents)
