"""Reductions over one dimension of a tile (algorithms.md D.8).

A fragment is reduced in each thread's registers first, then between lanes by shuffles, the farthest lane first, then
between warps through shared memory. Replicas each reduce their own copy, so nothing is counted twice, and every owner
of a result ends up with the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from tiledsl.errors import error
from tiledsl.ir.combine import COMBINE, Combine, identity
from tiledsl.ir.dtypes import FLOAT32, INT32, UINT32, DType, Kind
from tiledsl.ir.layout import Digit, Fragment, dim_of, split_digits
from tiledsl.ir.nodes import (
    Alloc,
    Binary,
    Block,
    Buffer,
    Call,
    Cast,
    Const,
    Expr,
    For,
    Load,
    Region,
    Serial,
    Space,
    Stmt,
    Store,
    Unrolled,
    eq,
    lt,
    static_shape,
)
from tiledsl.ir.tile import Reduce
from tiledsl.passes.lower_tiles.access import element, register
from tiledsl.passes.lower_tiles.context import Context
from tiledsl.passes.lower_tiles.loops import dealt
from tiledsl.passes.lower_tiles.spread import (
    coordinates,
    digit_loops,
    guarded,
    nest,
    numbered,
    spread,
    thread_digits,
    weighted,
)

WARP = 32


def accumulator(dtype: DType) -> DType:
    """The type in which values of `dtype` are combined: 32 bits at least, as shuffles and sums want it."""
    if dtype.bits >= 32:
        return dtype
    match dtype.kind:
        case Kind.FLOAT:
            return FLOAT32
        case Kind.INT:
            return INT32
    return UINT32


def prepared(c: Combine, value: Expr, dtype: DType, to: DType) -> Expr:
    """An element of `dtype` as a value to combine: converted to the result's dtype `to`, absolute if asked, widened."""
    if dtype is not to:
        value = Cast(to, value)
    if c.absolute and to.kind is not Kind.UINT:
        value = Call("abs", (value,))
    return widened(value, to)


def widened(value: Expr, dtype: DType) -> Expr:
    wide = accumulator(dtype)
    return value if wide is dtype else Cast(wide, value)


def narrowed(value: Expr, dtype: DType) -> Expr:
    return value if accumulator(dtype) is dtype else Cast(dtype, value)


def combined(c: Combine, a: Expr, b: Expr) -> Expr:
    return Binary(c.op, a, b)


# ------------------------------------------------------------------------------------------------------- the statement


def lower_reduce(ctx: Context, s: Reduce) -> Block:
    """The reduction for one thread."""
    if s.src.buffer.space is Space.FRAGMENT:
        return _from_fragment(ctx, s)
    return _from_memory(ctx, s)


def _from_fragment(ctx: Context, s: Reduce) -> Block:
    src = s.src.buffer
    f = ctx.fragment_of(src)
    if s.src.extents != static_shape(src):
        raise error("TD0341", buffer=src.name)
    parts = _parts(f, s.dim)
    if parts is None:
        raise error("TD0342", buffer=src.name, dim=s.dim)
    c, to = COMBINE[s.op], s.dst.buffer.dtype
    partial = ctx.registers(f"{s.dst.buffer.name}_partial", prod(d.extent for d in parts.kept_regs), accumulator(to))
    out: list[Stmt] = [Alloc(partial), *_in_registers(ctx, s, f, parts, partial)]
    out += _between_lanes(ctx, c, parts, partial)
    out += _between_warps(ctx, c, parts, partial)
    return (*out, *_write(ctx, s, parts, partial))


@dataclass(frozen=True, slots=True)
class Parts:
    """A fragment's digits, cut at the dimensions. `result` is where the reduced values are: the reduced dimension's
    thread digits have become replicas; its registers are gone.
    """

    fragment: Fragment
    threads: tuple[Digit, ...]
    along: tuple[bool, ...]  # for each of `threads`: whether it belongs to the reduced dimension
    kept_regs: tuple[Digit, ...]
    gone_regs: tuple[Digit, ...]
    order: tuple[bool, ...]  # the registers' digits in order, whether each is gone
    result: Fragment


def _parts(f: Fragment, dim: int) -> Parts | None:
    threads, regs = split_digits(f.threads, f.shape), split_digits(f.regs, f.shape)
    if threads is None or regs is None:
        return None

    def belongs(d: Digit) -> bool:
        return d.stride > 0 and d.extent > 1 and dim_of(d, f.shape)[0] == dim

    # A ragged tile is padded along its first dimension only, so that of `dim` = 0 has no digits to move down.
    step, extent = prod(f.shape[dim + 1 :]), f.shape[dim]

    def without(d: Digit) -> Digit:
        """The digit in the tile without `dim`."""
        if d.stride == 0 or belongs(d):
            return Digit(d.extent, 0)
        return Digit(d.extent, d.stride if d.stride < step else d.stride // extent)

    shape = f.shape[:dim] + f.shape[dim + 1 :]
    kept = tuple(d for d in regs if not belongs(d) and d.extent > 1)
    result = Fragment(shape, tuple(map(without, threads)), tuple(map(without, kept)))
    gone = tuple(d for d in regs if belongs(d))
    order = tuple(belongs(d) for d in regs if d.extent > 1)
    return Parts(f, threads, tuple(map(belongs, threads)), kept, gone, order, result)


def _in_registers(ctx: Context, s: Reduce, f: Fragment, parts: Parts, partial: Buffer) -> Block:
    """Each thread's own elements, combined into `partial`."""
    c, to, src = COMBINE[s.op], s.dst.buffer.dtype, s.src.buffer
    kept, gone = digit_loops(ctx, parts.kept_regs), digit_loops(ctx, parts.gone_regs)
    rest = {False: iter(kept), True: iter(gone)}
    loops = [next(rest[is_gone]) for is_gone in parts.order]
    value = prepared(c, Load(ctx.store_for(src), (numbered(loops),)), src.dtype, to)
    at = (numbered(kept),)
    guards: list[Expr] = []
    if f.num_threads < ctx.num_threads:
        guards.append(lt(ctx.thread, f.num_threads))
    if f.is_ragged:
        values = [*thread_digits(ctx, parts.threads), *((loop.var, d) for loop, d in loops)]
        guards.append(lt(coordinates(ctx, values, f.shape)[0], f.shape[0]))
    add = Store(partial, at, combined(c, Load(partial, at), value))
    inner = nest([loop for loop, _ in gone], guards, (add,))
    start = Store(partial, at, identity(c, partial.dtype))
    return nest([loop for loop, _ in kept], (), (start, *inner))


def _between_lanes(ctx: Context, c: Combine, parts: Parts, partial: Buffer) -> Block:
    """Butterflies over the lanes of a warp; all lanes of all warps take part."""
    out: list[Stmt] = []
    for extent, distance in _lane_digits(ctx, parts):
        hop = extent * distance // 2
        while hop >= distance:
            out += _hop(ctx, c, partial, hop)
            hop //= 2
    return tuple(out)


def _hop(ctx: Context, c: Combine, partial: Buffer, hop: int) -> Block:
    count = static_shape(partial)[0]
    r = ctx.digit_var("r", count)
    other = Call("shfl_xor", (Load(partial, (r,)), Const(hop, INT32)))
    store = Store(partial, (r,), combined(c, Load(partial, (r,)), other))
    return (For(r, Const(count), (store,), Unrolled()),)


def _placed(parts: Parts) -> list[tuple[Digit, bool, int]]:
    """Each thread digit, whether it belongs to the reduced dimension, and the threads below it."""
    out: list[tuple[Digit, bool, int]] = []
    below = 1
    for d, along in zip(reversed(parts.threads), reversed(parts.along)):
        out.append((d, along, below))
        below *= d.extent
    return out[::-1]


def _lane_digits(ctx: Context, parts: Parts) -> list[tuple[int, int]]:
    """(extent, distance) of the reduced digits, or their low parts, that lie within a warp."""
    out: list[tuple[int, int]] = []
    for d, along, below in _placed(parts):
        inside = _lanes_of(ctx, d, below)
        if along and inside > 1:
            out.append((inside, below))
    return out


def _lanes_of(ctx: Context, d: Digit, below: int) -> int:
    """How many values of the digit lie in one warp and can be combined by butterflies; 1: none.

    In an incomplete warp a lane's partner may not exist.
    """
    if ctx.num_threads % WARP or below & (below - 1) or below >= WARP:
        return 1
    inside = min(d.extent & -d.extent, WARP // below)
    return inside if d.extent == inside or below * inside == WARP else 1


def _between_warps(ctx: Context, c: Combine, parts: Parts, partial: Buffer) -> Block:
    """What shuffles cannot reach: partial results go through shared memory, and each thread combines all of its group.

    Shared memory is indexed by (register, member of the group, group).
    """
    members, groups, firsts = _group_digits(ctx, parts)
    size = prod(extent for _, extent in members)
    if size == 1:
        return ()
    count, number = static_shape(partial)[0], prod(extent for _, extent in groups)
    space = ctx.workspace(f"{partial.name}_shared", count * size * number, partial.dtype)
    r, r2, e = ctx.digit_var("r", count), ctx.digit_var("r", count), ctx.digit_var("e", size)
    member, group = ctx.bind("member", _mixed(members)), ctx.bind("group", _mixed(groups))
    write = Store(space, (ctx.simplify(r * (size * number) + member * number + group),), Load(partial, (r,)))
    guards = [*firsts]
    if parts.fragment.num_threads < ctx.num_threads:
        guards.append(lt(ctx.thread, parts.fragment.num_threads))
    read = Load(space, (ctx.simplify(r2 * (size * number) + e * number + group),))
    add = Store(partial, (r2,), combined(c, Load(partial, (r2,)), read))
    start = Store(partial, (r2,), identity(c, partial.dtype))
    gather = For(e, Const(size), (add,), Unrolled())
    return (
        Alloc(space),
        *guarded(guards, (For(r, Const(count), (write,), Unrolled()),)),
        *guarded(guards[len(firsts) :], (For(r2, Const(count), (start, gather), Unrolled()),)),
    )


def _group_digits(ctx: Context, parts: Parts) -> tuple[list[tuple[Expr, int]], list[tuple[Expr, int]], list[Expr]]:
    """(members, groups, firsts): digits that tell the members of a group apart, those that tell groups apart, and the
    conditions for the first of the lanes that hold the same partial result.
    """
    members: list[tuple[Expr, int]] = []
    groups: list[tuple[Expr, int]] = []
    firsts: list[Expr] = []
    for d, along, below in _placed(parts):
        if not along:
            groups.append((ctx.thread_digit(below, d.extent), d.extent))
            continue
        inside = _lanes_of(ctx, d, below)
        if inside > 1:
            firsts.append(eq(ctx.thread_digit(below, inside), 0))
        if d.extent > inside:
            members.append((ctx.thread_digit(below * inside, d.extent // inside), d.extent // inside))
    return members, groups, firsts


def _mixed(digits: list[tuple[Expr, int]]) -> Expr:
    """The number whose digits, most significant first, have these values and extents."""
    terms: list[tuple[Expr, int]] = []
    below = 1
    for value, extent in reversed(digits):
        terms.append((value, below))
        below *= extent
    return weighted(terms)


def _write(ctx: Context, s: Reduce, parts: Parts, partial: Buffer) -> Block:
    """The results from `partial` to the destination: by all owners of a fragment, by one thread to memory."""
    c, dst = COMBINE[s.op], s.dst.buffer
    fragment = dst.space is Space.FRAGMENT
    shape = parts.result.shape
    target = parts.result
    if fragment:
        held = ctx.fragment_of(dst)
        target = Fragment(shape, held.threads, held.regs)
    points = spread(ctx, target)
    indices = _indices(s.dst, points.coords, s.dim, len(s.src.extents))
    flat, where = element(ctx, dst, indices)
    if fragment:
        where = (points.reg,)
    value: Expr = Load(partial, (register(ctx, parts.result, points.coords) if fragment else points.reg,))
    if not s.clear:
        value = combined(c, widened(Load(flat, where, s.dst.version), dst.dtype), value)
    store = Store(flat, where, narrowed(value, dst.dtype), s.dst.version, span=s.span)
    guards = [*points.guards, *(() if fragment else points.first)]
    return nest(points.loops, [ctx.simplify(g) for g in guards], (store,))


def _indices(dst: Region, coords: tuple[Expr, ...], dim: int, rank: int) -> tuple[Expr, ...]:
    """Where the destination holds the result at `coords` of the source without `dim`."""
    if len(dst.extents) == rank:  # the reduced dimension is kept, with extent 1
        coords = (*coords[:dim], Const(0), *coords[dim:])
    if not coords:
        coords = (Const(0),) * len(dst.extents)
    return tuple(o + i if o != Const(0) else i for o, i in zip(dst.offsets, coords, strict=True))


# ------------------------------------------------------------------------------------------------- source in memory


def _from_memory(ctx: Context, s: Reduce) -> Block:
    """Each thread reduces whole lines: it owns results, and reads their elements one after the other."""
    c, dst, src = COMBINE[s.op], s.dst.buffer, s.src.buffer
    shape = s.src.extents[: s.dim] + s.src.extents[s.dim + 1 :]
    fragment = dst.space is Space.FRAGMENT
    if fragment:
        held = ctx.fragment_of(dst)
        points = spread(ctx, Fragment(shape, held.threads, held.regs))
    else:
        points = spread(ctx, dealt(shape, ctx.num_threads))
    flat, where = element(ctx, dst, _indices(s.dst, points.coords, s.dim, len(s.src.extents)))
    if fragment:
        where = (points.reg,)
    total = ctx.registers(f"{dst.name}_total", 1, accumulator(dst.dtype))
    zero, e = (Const(0),), ctx.digit_var("e", s.src.extents[s.dim])
    ctx.digit_vars.discard(e)
    local = (*points.coords[: s.dim], e, *points.coords[s.dim :])
    from_flat, from_where = element(ctx, src, tuple(o + i for o, i in zip(s.src.offsets, local)))
    value = prepared(c, Load(from_flat, from_where, s.src.version), src.dtype, dst.dtype)
    add = Store(total, zero, combined(c, Load(total, zero), value))
    result: Expr = Load(total, zero)
    if not s.clear:
        result = combined(c, widened(Load(flat, where, s.dst.version), dst.dtype), result)
    body = (
        Store(total, zero, identity(c, total.dtype)),
        For(e, Const(s.src.extents[s.dim]), (add,), Serial()),
        Store(flat, where, narrowed(result, dst.dtype), s.dst.version, span=s.span),
    )
    guards = [*points.guards, *(() if fragment else points.first)]
    return (Alloc(total), *nest(points.loops, [ctx.simplify(g) for g in guards], body, vectors=False))
