"""Copies by the copy engine: one thread starts it for each box of the tile."""

from __future__ import annotations

from tiledsl.analysis.tensor_boxes import Boxes, boxes_of
from tiledsl.errors import error
from tiledsl.ir.concurrent import TensorCopy
from tiledsl.ir.nodes import Address, Block, Const, Expr, For, Region, Space, Stmt, Unrolled, Var, eq
from tiledsl.ir.tile import Atomic, Copy
from tiledsl.passes.lower_tiles.access import root_coordinates
from tiledsl.passes.lower_tiles.context import Context
from tiledsl.passes.lower_tiles.expressions import expression, optional
from tiledsl.passes.lower_tiles.scope import Scope
from tiledsl.passes.lower_tiles.spread import guarded
from tiledsl.passes.lower_tiles.wgmma import unswizzled


def lower_bulk(ctx: Context, s: Copy | Atomic, scope: Scope) -> Block:
    """The boxes of a bulk copy or bulk atomic, by the first thread."""
    load = s.dst.buffer.space is Space.SHARED
    tile, tensor = (s.dst, s.src) if load else (s.src, s.dst)
    root, _ = root_coordinates(ctx, tile.buffer, tile.offsets)
    boxes = boxes_of(tile, ctx.shared_layout(tile.buffer if root is tile.buffer else root))
    if isinstance(boxes, str):
        raise error("TD0320", s.span, buffer=tile.buffer.name, why=boxes)
    numbers = [ctx.digit_var("box", n) if n > 1 else Const(0) for n in boxes.counts]
    steps = [ctx.simplify(v * n) for v, n in zip(numbers, boxes.box)]
    shared = _address(ctx, tile, steps)
    moves = _matched(tile, tensor, steps)
    corner = tuple(ctx.simplify(expression(ctx, o, {}) + x) for o, x in zip(tensor.offsets, moves))
    outside = Address(tensor.buffer, corner, optional(ctx, tensor.version, {}))
    box = _box(tile, tensor, boxes)
    copy: Stmt
    if isinstance(s, Atomic):
        copy = TensorCopy(outside, shared, box, boxes.swizzle, op=s.op)
    elif load:
        assert s.barrier is not None
        copy = TensorCopy(shared, outside, box, boxes.swizzle, _barrier(ctx, s.barrier), ranks=s.ranks)
    else:
        copy = TensorCopy(outside, shared, box, boxes.swizzle)
    body: Block = (copy,)
    for v, n in reversed(list(zip(numbers, boxes.counts))):
        if isinstance(v, Var):
            body = (For(v, Const(n), body, Unrolled()),)
    return guarded(() if scope.single else (eq(ctx.thread, 0),), body)


def _barrier(ctx: Context, a: Address) -> Address:
    return Address(a.buffer, tuple(ctx.simplify(i) for i in a.indices), optional(ctx, a.version, {}))


def _address(ctx: Context, tile: Region, steps: list[Expr]) -> Address:
    """Where a box begins in flat shared memory."""
    at = tuple(ctx.simplify(expression(ctx, o, {}) + x) for o, x in zip(tile.offsets, steps))
    root, coords = root_coordinates(ctx, tile.buffer, at)
    offset = unswizzled(ctx, ctx.shared_layout(root), coords)
    return Address(ctx.store_for(root), (offset,), optional(ctx, tile.version, {}))


def _matched(tile: Region, tensor: Region, steps: list[Expr]) -> list[Expr]:
    """`steps` along the tile as steps along the tensor: dimensions in order, those of extent 1 aside."""
    moving = iter([x for x, n in zip(steps, tile.extents) if n != 1])
    return [next(moving) if n != 1 else Const(0) for n in tensor.extents]


def _box(tile: Region, tensor: Region, boxes: Boxes) -> tuple[int, ...]:
    """The box as the tensor has it."""
    moving = iter([b for b, n in zip(boxes.box, tile.extents) if n != 1])
    return tuple(next(moving) if n != 1 else 1 for n in tensor.extents)
