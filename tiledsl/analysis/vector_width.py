"""The widest vector access that a Parallel loop allows, from contiguity and alignment of its memory accesses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import gcd

from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.linear import Interval
from tiledsl.ir.nodes import (
    Assume,
    AtomicUpdate,
    Binary,
    Buffer,
    Const,
    Expr,
    Extent,
    For,
    If,
    Load,
    Node,
    Space,
    Stmt,
    Store,
    Var,
    While,
    wrap,
)
from tiledsl.ir.simplify import bounds_of
from tiledsl.ir.swizzle import contiguous_run
from tiledsl.ir.tile import Parallel
from tiledsl.ir.walk import children, walk

ACCESS_BITS = 128
ZERO_DIVISOR = 1 << 30  # every number divides 0
Layouts = Mapping[Buffer, Fragment | Layout]
Divisors = Mapping[Var, int]  # what each variable is known to be a multiple of
Ranges = Mapping[Var, Interval]


def divisors_from(assumptions: Iterable[Expr]) -> dict[Var, int]:
    """Divisors of variables, from conditions of the form `v % c == 0`."""
    found: dict[Var, int] = {}
    for cond in assumptions:
        match cond:
            case Binary("and", a, b):
                for v, c in divisors_from((a, b)).items():
                    found[v] = max(found.get(v, 1), c)
            case Binary("==", Binary("%", Var() as v, Const(int(c))), Const(0)) if c > 0:
                found[v] = max(found.get(v, 1), c)
    return found


def assumed_divisors(node: Node) -> dict[Var, int]:
    """`divisors_from` every Assume below `node`."""
    return divisors_from(n.cond for n in walk(node) if isinstance(n, Assume))


def divisor(e: Expr, known: Divisors) -> int:
    """A number that divides `e`: at least 1, as large as is easily seen."""
    match e:
        case Const(int(value)):
            return abs(value) or ZERO_DIVISOR
        case Var():
            return known.get(e, 1)
        case Binary("+" | "-" | "min" | "max", a, b):
            return gcd(divisor(a, known), divisor(b, known))
        case Binary("*", a, b):
            return min(divisor(a, known) * divisor(b, known), ZERO_DIVISOR)
        case Binary("//", a, Const(int(c))) if c > 0 and divisor(a, known) % c == 0:
            return divisor(a, known) // c
        case Binary("%", a, b):
            return gcd(divisor(a, known), divisor(b, known))
    return 1


def steps(e: Expr, x: Var, lanes: int, known: Divisors) -> int | None:
    """How `e` moves while `x` runs through an aligned group of `lanes`: 0 not at all, 1 with x, None otherwise."""
    match e:
        case Const():
            return 0
        case Var():
            return int(e is x)
        case Binary("+" | "-" as op, a, b):
            left, right = steps(a, x, lanes, known), steps(b, x, lanes, known)
            if left is None or right is None:
                return None
            move = left + right if op == "+" else left - right
            return move if move in (0, 1) else None
        case Binary("//", a, Const(int(c))) if c % lanes == 0 and _aligned_run(a, x, lanes, known):
            return 0
        case Binary("%", a, Const(int(c))) if c % lanes == 0 and _aligned_run(a, x, lanes, known):
            return 1
    still = all(steps(n, x, lanes, known) == 0 for n in children(e) if isinstance(n, Expr))
    return 0 if still else None


def _aligned_run(e: Expr, x: Var, lanes: int, known: Divisors) -> bool:
    """Whether `e` takes lanes consecutive values that start at a multiple of `lanes`."""
    return steps(e, x, lanes, known) == 1 and divisor(e, {**known, x: lanes}) % lanes == 0


def memory_accesses(loop: Parallel) -> list[Load | Store | AtomicUpdate]:
    """The accesses of global and shared memory in the loop's body."""
    found: list[Load | Store | AtomicUpdate] = []
    for stmt in loop.body:
        for n in walk(stmt):
            if isinstance(n, (Load, Store, AtomicUpdate)) and n.buffer.space in (Space.GLOBAL, Space.SHARED):
                found.append(n)
    return found


def widest_vector(loop: Parallel, layouts: Layouts, known: Divisors, ranges: Ranges | None = None) -> int:
    """Elements of the innermost variable that one access may cover: a power of two, 1 if nothing can be proven.

    Every access of memory must be contiguous and aligned, or (reads only) the same for the whole vector; neither
    conditions nor the end of a tensor, which `ranges` may prove to be out of reach, may cut it. Loops whose
    iterations move no memory get the width of 16 bytes of their smallest element.
    """
    x, extent = loop.vars[-1], loop.extents[-1]
    accesses = memory_accesses(loop)
    if any(isinstance(a, AtomicUpdate) for a in accesses):
        return 1
    moved = [a for a in accesses if _depends(a.indices, x)]
    bits = [a.buffer.dtype.bits for a in moved] or [a.buffer.dtype.bits for a in _fragment_accesses(loop)] or [32]
    width = max(1, ACCESS_BITS // max(bits))
    width = 1 << (width.bit_length() - 1)
    guards = list(_conditions(loop.body))
    ends = [e for a in moved if (e := _end_in_reach(a, loop, ranges or {})) is not None]
    while width > 1 and not (
        extent % width == 0
        and all(_access_allows(a, x, width, layouts, known) for a in accesses)
        and all(_lane_invariant(g, x, width, known) for g in guards)
        and all(divisor(e, known) % width == 0 for e in ends)
    ):
        width //= 2
    return width


def access_width(buffer: Buffer, indices: Sequence[Expr], x: Var, width: int, layouts: Layouts, known: Divisors) -> int:
    """The largest power of two up to `width` for which `buffer[indices]` is contiguous and aligned along `x`."""
    while width > 1 and not _contiguous(buffer, indices, x, width, layouts, known):
        width //= 2
    return width


def _end_in_reach(a: Load | Store | AtomicUpdate, loop: Parallel, ranges: Ranges) -> Expr | None:
    """The extent of the last dimension of a global tensor, unless all indices provably lie below it."""
    if a.buffer.space is not Space.GLOBAL or not a.indices:
        return None
    extent, points = a.buffer.shape[-1], {v: (0, n - 1) for v, n in zip(loop.vars, loop.extents)}
    if isinstance(extent, int) and bounds_of(a.indices[-1], {**ranges, **points})[1] < extent:
        return None
    return wrap(extent)


def _depends(indices: Iterable[Expr], x: Var) -> bool:
    return any(n is x for i in indices for n in walk(i))


def _fragment_accesses(loop: Parallel) -> list[Load | Store]:
    return [n for stmt in loop.body for n in walk(stmt) if isinstance(n, (Load, Store))]


def _conditions(block: Iterable[Stmt]) -> Iterable[Expr]:
    for stmt in block:
        for n in walk(stmt):
            if isinstance(n, (If, While)):
                yield n.cond
            elif isinstance(n, For):
                yield n.extent


def _lane_invariant(cond: Expr, x: Var, lanes: int, known: Divisors) -> bool:
    """Whether a condition is the same for a whole vector: comparisons of an aligned run with a multiple of it are."""
    match cond:
        case Binary("and" | "or", a, b):
            return _lane_invariant(a, x, lanes, known) and _lane_invariant(b, x, lanes, known)
        case Binary("<" | ">=", a, b) if _aligned_run(a, x, lanes, known) and not _depends((b,), x):
            return divisor(b, known) % lanes == 0
        case Binary(">" | "<=", a, b) if _aligned_run(b, x, lanes, known) and not _depends((a,), x):
            return divisor(a, known) % lanes == 0
    return not _depends((cond,), x)


def _access_allows(a: Load | Store | AtomicUpdate, x: Var, width: int, layouts: Layouts, known: Divisors) -> bool:
    if all(steps(i, x, width, known) == 0 for i in a.indices):
        return isinstance(a, Load)  # one value for the whole vector
    return isinstance(a, (Load, Store)) and _contiguous(a.buffer, a.indices, x, width, layouts, known)


def _contiguous(buffer: Buffer, indices: Sequence[Expr], x: Var, width: int, layouts: Layouts, known: Divisors) -> bool:
    if not indices:
        return False
    *outer, last = indices
    if any(steps(i, x, width, known) != 0 for i in outer) or not _aligned_run(last, x, width, known):
        return False
    layout = layouts.get(buffer)
    if buffer.space is Space.SHARED and isinstance(layout, Layout):
        return contiguous_run(layout) % width == 0
    strides = row_strides(buffer)
    aligned = {**known, x: width}
    rows = zip(strides[:-1], outer, strict=True)
    return strides[-1] == 1 and all(divisor(wrap(s), known) * divisor(i, aligned) % width == 0 for s, i in rows)


def row_strides(buffer: Buffer) -> tuple[Extent, ...]:
    """The buffer's strides in elements; those of a contiguous one from its shape."""
    if buffer.strides is not None:
        return buffer.strides
    out: list[Extent] = []
    step: Extent = 1
    for extent in reversed(buffer.shape):
        out.append(step)
        step = step * extent if isinstance(step, int) and isinstance(extent, int) else wrap(step) * wrap(extent)
    return tuple(reversed(out))
