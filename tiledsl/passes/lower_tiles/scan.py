"""Prefix operations along one dimension of a tile in shared memory (algorithms.md D.8); fragments go through it.

A warp takes a line: segments of 32 elements are scanned by shuffles, the total of one segment carried into the next.
Where the elements of a line are no neighbours, but there are lines for a warp, each thread takes a line: the lanes of
a warp then access neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod

from tiledsl.errors import error
from tiledsl.ir.combine import COMBINE, Combine, identity
from tiledsl.ir.dtypes import INT32, DType
from tiledsl.ir.layout import unravel
from tiledsl.ir.nodes import (
    Alloc,
    Block,
    Buffer,
    Call,
    Const,
    Expr,
    For,
    If,
    Let,
    Load,
    Region,
    Select,
    Serial,
    Space,
    Stmt,
    Store,
    Var,
    ge,
    lt,
    static_shape,
    wrap,
)
from tiledsl.ir.tile import Scan
from tiledsl.passes.lower_tiles.access import element
from tiledsl.passes.lower_tiles.context import Context
from tiledsl.passes.lower_tiles.reduce import accumulator, combined, narrowed, prepared
from tiledsl.passes.lower_tiles.spread import guarded, nest, spread

WARP = 32
Place = Callable[[Sequence[Expr]], tuple[Buffer, tuple[Expr, ...], Expr | None]]  # of a point of the tile


def lower_scan(ctx: Context, s: Scan) -> Block:
    """The scan for one thread."""
    out: list[Stmt] = []
    source, target = _in_memory(ctx, s.src), _in_memory(ctx, s.dst)
    if source is None:
        staged, source = _stage(ctx, s.src, s.src.extents)
        out += [Alloc(staged), *_to_stage(ctx, s.src, source)]
        if target is None and s.src.buffer.dtype is s.dst.buffer.dtype:
            target = source
            return (*out, *_scan(ctx, s, source, target), *_from_stage(ctx, s.dst, target, s.src.extents))
    if target is not None:
        return (*out, *_scan(ctx, s, source, target))
    staged, target = _stage(ctx, s.dst, s.src.extents)
    return (*out, Alloc(staged), *_scan(ctx, s, source, target), *_from_stage(ctx, s.dst, target, s.src.extents))


# ----------------------------------------------------------------------------------------------------------- staging


def _in_memory(ctx: Context, r: Region) -> Place | None:
    """Where the region's points are in memory; None for a fragment."""
    if r.buffer.space is Space.FRAGMENT:
        if r.extents != static_shape(r.buffer):
            raise error("TD0341", buffer=r.buffer.name)
        return None

    def place(point: Sequence[Expr]) -> tuple[Buffer, tuple[Expr, ...], Expr | None]:
        rest = iter(point if len(point) == len(r.extents) else [p for p in point if p != Const(0)])
        flat, where = element(ctx, r.buffer, tuple(o + next(rest) for o in r.offsets))
        return flat, where, r.version

    return place


def _stage(ctx: Context, r: Region, extents: tuple[int, ...]) -> tuple[Buffer, Place]:
    space = ctx.workspace(f"{r.buffer.name}_shared", prod(extents), r.buffer.dtype)

    def place(point: Sequence[Expr]) -> tuple[Buffer, tuple[Expr, ...], Expr | None]:
        linear: Expr = Const(0)
        for i, extent in zip(point, extents):
            linear = linear * extent + i
        return space, (ctx.simplify(linear),), None

    return space, place


def _to_stage(ctx: Context, r: Region, place: Place) -> Block:
    points = spread(ctx, ctx.fragment_of(r.buffer))
    space, where, _ = place(points.coords)
    store = Store(space, where, Load(ctx.store_for(r.buffer), (points.reg,)))
    return nest(points.loops, [ctx.simplify(g) for g in (*points.guards, *points.first)], (store,))


def _from_stage(ctx: Context, r: Region, place: Place, extents: tuple[int, ...]) -> Block:
    points = spread(ctx, ctx.fragment_of(r.buffer))
    space, where, _ = place(points.coords)
    store = Store(ctx.store_for(r.buffer), (points.reg,), Load(space, where))
    return nest(points.loops, [ctx.simplify(g) for g in points.guards], (store,))


# -------------------------------------------------------------------------------------------------------- the lines


def _scan(ctx: Context, s: Scan, source: Place, target: Place) -> Block:
    step = prod(s.src.extents[s.dim + 1 :])
    if ctx.num_threads % WARP or step >= WARP:
        return _by_threads(ctx, s, source, target)
    return _by_warps(ctx, s, source, target)


def _point(ctx: Context, s: Scan, line: Expr, position: Expr) -> list[Expr]:
    """The tile's point number `position` from the start of the scan, on line number `line`."""
    extents = s.src.extents
    others = [wrap(c) for c in unravel(line, extents[: s.dim] + extents[s.dim + 1 :])]
    along = Const(extents[s.dim] - 1) - position if s.reverse else position
    return [ctx.simplify(c) for c in (*others[: s.dim], along, *others[s.dim :])]


def _lines(s: Scan) -> int:
    return prod(s.src.extents) // s.src.extents[s.dim]


def _read(ctx: Context, s: Scan, source: Place, point: Sequence[Expr]) -> Expr:
    flat, where, version = source(point)
    return prepared(COMBINE[s.op], Load(flat, where, version), s.src.buffer.dtype, s.dst.buffer.dtype)


def _written(s: Scan, target: Place, point: Sequence[Expr], value: Expr) -> Store:
    flat, where, version = target(point)
    return Store(flat, where, narrowed(value, s.dst.buffer.dtype), version, span=s.span)


def _by_threads(ctx: Context, s: Scan, source: Place, target: Place) -> Block:
    """One thread a line; also for blocks with an incomplete warp, where shuffles have no full set of lanes."""
    c, dtype = COMBINE[s.op], accumulator(s.dst.buffer.dtype)
    sofar = ctx.registers("sofar", 1, dtype)
    zero = (Const(0),)
    turns = -(-_lines(s) // ctx.num_threads)
    turn, i = _loop_var(ctx, "turn", turns), _loop_var(ctx, "i", s.src.extents[s.dim])
    line = ctx.simplify(turn * ctx.num_threads + ctx.thread)
    point = _point(ctx, s, line, i)
    body = (
        Store(sofar, zero, identity(c, dtype)),
        For(
            i,
            Const(s.src.extents[s.dim]),
            (
                Store(sofar, zero, combined(c, Load(sofar, zero), _read(ctx, s, source, point))),
                _written(s, target, point, Load(sofar, zero)),
            ),
            Serial(),
        ),
    )
    guards = [] if turns * ctx.num_threads == _lines(s) else [lt(line, _lines(s))]
    return (Alloc(sofar), For(turn, Const(turns), guarded(guards, body), Serial()))


def _by_warps(ctx: Context, s: Scan, source: Place, target: Place) -> Block:
    c, dtype = COMBINE[s.op], accumulator(s.dst.buffer.dtype)
    length, warps = s.src.extents[s.dim], ctx.num_threads // WARP
    lane, warp = ctx.thread_digit(1, WARP), ctx.thread_digit(WARP, warps)
    segments, turns = -(-length // WARP), -(-_lines(s) // warps)
    carry = ctx.registers("carry", 1, dtype)
    zero = (Const(0),)
    turn, segment = _loop_var(ctx, "turn", turns), _loop_var(ctx, "segment", segments)
    line = ctx.simplify(turn * warps + warp)
    position = ctx.simplify(segment * WARP + lane)
    point = _point(ctx, s, line, position)
    inside = ctx.simplify(lt(position, length))
    value = _read(ctx, s, source, point)
    start = Var("x", dtype)
    whole, sums = _segment(c, start, lane, dtype)
    done = Var("y", dtype)
    body: Block = (
        Let(start, value if inside == lt(0, 1) else Select(inside, value, identity(c, dtype))),
        *sums,
        Let(done, combined(c, Load(carry, zero), whole)),
        *_if(inside, (_written(s, target, point, done),)),
        Store(carry, zero, Call("shfl_idx", (done, Const(WARP - 1, INT32)))),
    )
    lines = (Store(carry, zero, identity(c, dtype)), For(segment, Const(segments), body, Serial()))
    guards = [] if turns * warps == _lines(s) else [lt(line, _lines(s))]
    return (Alloc(carry), For(turn, Const(turns), guarded(guards, lines), Serial()))


def _if(cond: Expr, body: Block) -> Block:
    return body if isinstance(cond, Const) and cond.value else (If(cond, body),)


def _segment(c: Combine, start: Var, lane: Expr, dtype: DType) -> tuple[Var, list[Stmt]]:
    """Statements that scan the values of `start` over the lanes of a warp, and the variable with the results."""
    out: list[Stmt] = []
    value = start
    hop = 1
    while hop < WARP:
        below, following = Var("below", dtype), Var("x", dtype)
        out.append(Let(below, Call("shfl_up", (value, Const(hop, INT32)))))
        out.append(Let(following, Select(ge(lane, hop), combined(c, below, value), value)))
        value = following
        hop *= 2
    return value, out


def _loop_var(ctx: Context, name: str, extent: int) -> Var:
    var = Var(name)
    ctx.loop_var(var, Const(extent))
    return var
