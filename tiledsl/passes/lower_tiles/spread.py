"""A register layout as one thread sees it: loops over its registers, and the coordinates of the element in each.

The thread's digits become variables that are bound once at the top of the kernel, the registers' digits loop variables.
An element's coordinates are then sums of digits, without division wherever the layout's digits respect the dimensions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tiledsl.ir.layout import Digit, Fragment, dim_of, split_digits, unravel
from tiledsl.ir.layout_ops import merge
from tiledsl.ir.nodes import (
    Block,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Node,
    Stmt,
    Store,
    Unrolled,
    Var,
    Vectorized,
    all_of,
    eq,
    lt,
)
from tiledsl.ir.walk import walk
from tiledsl.passes.lower_tiles.context import Context

WIDEST = 32  # lanes of a vector access: 16 bytes of 4-bit elements


@dataclass(frozen=True, slots=True)
class Loop:
    """One unrolled or vectorised loop over a digit of the register number."""

    var: Var
    extent: int
    vector: bool = False


@dataclass(frozen=True, slots=True)
class Spread:
    """What `spread` returns. `coords` and `reg` are in terms of the thread's digits and the loops' variables.

    `guards` must all hold for there to be an element (idle threads, ragged tiles); `first` are the conditions under
    which this thread is the one replica that causes effects outside the thread.
    """

    fragment: Fragment
    loops: tuple[Loop, ...]
    coords: tuple[Expr, ...]
    reg: Expr
    guards: tuple[Expr, ...] = ()
    first: tuple[Expr, ...] = ()


def cut(digits: Sequence[Digit], inner: int) -> tuple[tuple[Digit, ...], tuple[Digit, ...]] | None:
    """The digits as (outer, inner), the latter counting `inner` values; None if no digit can be cut there."""
    outer, taken = list(digits), []
    while inner > 1:
        if not outer:
            return None
        d = outer.pop()
        if d.extent > inner:
            if d.extent % inner:
                return None
            outer.append(Digit(d.extent // inner, d.stride * inner))
            d = Digit(inner, d.stride)
        elif inner % d.extent:
            return None
        taken.append(d)
        inner //= d.extent
    return tuple(outer), tuple(reversed(taken))


def pieces(digits: Sequence[Digit], shape: Sequence[int]) -> tuple[Digit, ...]:
    """The digits merged, then cut at the dimensions of `shape` where that can be done."""
    joined = merge(digits)
    return split_digits(joined, shape) or joined


def thread_digits(ctx: Context, digits: Sequence[Digit], inner: int = 1) -> list[tuple[Expr, Digit]]:
    """Each digit of the thread number with its value. `inner` is the number of threads below the last digit."""
    out: list[tuple[Expr, Digit]] = []
    for d in reversed(digits):
        out.append((ctx.thread_digit(inner, d.extent), d))
        inner *= d.extent
    return out[::-1]


def register_loops(ctx: Context, digits: Sequence[Digit]) -> list[tuple[Loop, Digit]]:
    """A loop for each digit of the register number; the last is a vector if its elements are neighbours."""
    cuts = list(digits)
    if cuts and cuts[-1].stride == 1 and cuts[-1].extent > WIDEST:
        lanes = max(w for w in range(1, WIDEST + 1) if cuts[-1].extent % w == 0 and w & (w - 1) == 0)
        if lanes > 1:
            cuts[-1:] = [Digit(cuts[-1].extent // lanes, lanes), Digit(lanes, 1)]
    out: list[tuple[Loop, Digit]] = []
    for i, d in enumerate(cuts):
        vector = i == len(cuts) - 1 and d.stride == 1
        out.append((Loop(ctx.digit_var("v" if vector else "r", d.extent), d.extent, vector), d))
    return out


def digit_loops(ctx: Context, digits: Sequence[Digit]) -> list[tuple[Loop, Digit]]:
    """One unrolled loop for each digit of the register number, none of them a vector."""
    return [(Loop(ctx.digit_var("r", d.extent), d.extent), d) for d in digits]


def weighted(terms: Iterable[tuple[Expr, int]]) -> Expr:
    """sum(value * weight); 0 if empty."""
    total: Expr | None = None
    for value, weight in terms:
        if weight == 0 or value == Const(0):
            continue
        term = value if weight == 1 else value * weight
        total = term if total is None else total + term
    return total if total is not None else Const(0)


def coordinates(ctx: Context, parts: Sequence[tuple[Expr, Digit]], shape: Sequence[int]) -> tuple[Expr, ...]:
    """The coordinates in a tile of `shape` of the element to which the digits' values add up."""
    if not shape:
        return ()
    moving = [(value, d) for value, d in parts if d.stride]
    if split_digits([d for _, d in moving], shape) == tuple(d for _, d in moving):
        sums: list[list[tuple[Expr, int]]] = [[] for _ in shape]
        for value, d in moving:
            dim, stride = dim_of(d, shape)
            sums[dim].append((value, stride))
        return tuple(weighted(s) for s in sums)
    linear = weighted((value, d.stride) for value, d in moving)
    return tuple(ctx.simplify(c) for c in unravel(linear, shape))


def numbered(loops: Sequence[tuple[Loop, Digit]]) -> Expr:
    """The register number that the loops' variables spell."""
    terms: list[tuple[Expr, int]] = []
    below = 1
    for loop, _ in reversed(loops):
        terms.append((loop.var, below))
        below *= loop.extent
    return weighted(reversed(terms))


def spread(ctx: Context, f: Fragment) -> Spread:
    """The loops of one thread over its registers of `f`."""
    threads = thread_digits(ctx, pieces(f.threads, f.shape))
    loops = register_loops(ctx, pieces(f.regs, f.shape))
    coords = coordinates(ctx, threads + [(loop.var, d) for loop, d in loops], f.shape)
    guards: list[Expr] = []
    if f.num_threads < ctx.num_threads:
        guards.append(lt(ctx.thread, f.num_threads))
    if f.is_ragged:
        guards.append(lt(coords[0], f.shape[0]))
    first = [eq(value, 0) for value, d in threads if d.stride == 0]
    reg = numbered(loops)
    ctx.note_register(f, coords, reg)
    return Spread(f, tuple(loop for loop, _ in loops), coords, reg, tuple(guards), tuple(first))


def filled(ctx: Context, registers: Buffer, count: int, value: Const) -> Block:
    """All registers of an array set to `value`: their coordinates do not matter."""
    r = ctx.digit_var("r", count)
    return (For(r, Const(count), (Store(registers, (r,), value),), Unrolled()),)


def nest(loops: Sequence[Loop], guards: Sequence[Expr], body: Block, *, vectors: bool = True) -> Block:
    """`body` inside the loops; each guard stands outside of the loops whose variables it does not use."""
    pending = [(g, variables(g)) for g in guards]
    for loop in reversed(loops):
        body = guarded([g for g, used in pending if loop.var in used], body)
        pending = [(g, used) for g, used in pending if loop.var not in used]
        kind = Vectorized() if loop.vector and vectors else Unrolled()
        body = (For(loop.var, Const(loop.extent), body, kind),)
    return guarded([g for g, _ in pending], body)


def guarded(conditions: Sequence[Expr], body: Sequence[Stmt]) -> Block:
    """`body` if all conditions hold."""
    return (If(all_of(list(conditions)), tuple(body)),) if conditions else tuple(body)


def variables(node: Node) -> set[Var]:
    return {n for n in walk(node) if isinstance(n, Var)}
