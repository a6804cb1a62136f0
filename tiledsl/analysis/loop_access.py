"""What a Parallel loop does to tiles: which element each of its points reads or writes, as tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, cast

import numpy as np

from tiledsl.errors import Span
from tiledsl.ir.dtypes import INDEX, INT32, INT64
from tiledsl.ir.layout import Fragment, linear_at
from tiledsl.ir.nodes import (
    AtomicUpdate,
    Binary,
    Block,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    If,
    Let,
    Load,
    Node,
    Select,
    Space,
    Store,
    Unary,
    Var,
    While,
    static_shape,
)
from tiledsl.ir.ops import BINARY, UNARY
from tiledsl.ir.tile import Parallel, Reduce
from tiledsl.ir.walk import children, map_children, substitute, walk

WARP = 32
WIDE = (INDEX, INT64, INT32)  # integers that an index into a tile cannot overflow
MOST_POINTS = 1 << 22  # of a table; serial variables beyond count as "any value"


@dataclass(frozen=True)
class LoopAccess:
    """One access inside a Parallel loop. `serial` are the loop variables in scope with their constant extents."""

    buffer: Buffer
    indices: tuple[Expr, ...]
    writes: bool
    vars: tuple[Var, ...]
    extents: tuple[int, ...]
    serial: tuple[tuple[Var, int], ...]
    span: Span

    @cached_property
    def dims(self) -> tuple[int | None, ...] | None:
        """For each dimension of the buffer the loop dimension that walks it: a permutation of some of them.

        None where a dimension has extent 1; the whole is None if the indices are anything else.
        """
        out: list[int | None] = []
        for index, extent in zip(self.indices, self.buffer.shape, strict=True):
            if index in self.vars and isinstance(index, Var):
                dim = self.vars.index(index)
                if self.extents[dim] != extent or dim in out:
                    return None
                out.append(dim)
            elif extent == 1:
                out.append(None)
            else:
                return None
        return tuple(out)

    @property
    def is_identity(self) -> bool:
        """Whether point v accesses element v, extents of 1 aside."""
        dims = self.dims
        if dims is None:
            return False
        walked = [d for d in dims if d is not None]
        return walked == [d for d, e in enumerate(self.extents) if e != 1 or d in walked]

    @property
    def is_pointless(self) -> bool:
        """Whether the indices are the same at every point of the loop."""
        return not any(n in self.vars for i in self.indices for n in walk(i) if isinstance(n, Var))

    @cached_property
    def foreign(self) -> Expr | None:
        """An index that depends on something other than loop variables of known range (a serial variable, a load)."""
        known = {*self.vars, *(v for v, _ in self.serial)}
        for index in self.indices:
            if not _evaluable(index, known):
                return index
        return None

    @property
    def values(self) -> list[Any]:
        """Each index over the grid of the loop's and the serial variables; all must be determined by these."""
        env = _grid(self.axes(self.serial))
        return [evaluate(i, env) for i in self.indices]

    def axes(self, serial: Sequence[tuple[Var, int]]) -> list[tuple[Var, int]]:
        """Of a grid. A loop without iterations counts as one of one: what it holds must have a layout all the same."""
        return [*zip(self.vars, self.extents), *((v, max(n, 1)) for v, n in serial)]

    @cached_property
    def elements(self) -> Any:
        """(points, accesses): the linear indices of all elements that each point of the loop may access.

        An index that cannot be evaluated stands for every value. Out-of-range indices are clipped: they belong to
        points that a guard of the user's excludes.
        """
        shape = static_shape(self.buffer)
        serial = list(self.serial)
        used = {n for i in self.indices for n in walk(i) if isinstance(n, Var)}
        serial = [(v, n) for v, n in serial if v in used]
        if prod(self.extents) * prod(n for _, n in serial) > MOST_POINTS:
            serial = []
        axes = self.axes(serial)
        env = _grid(axes)
        free = [d for d, i in enumerate(self.indices) if not _evaluable(i, set(env))]
        points = prod(self.extents)
        linear: Any = np.zeros([n for _, n in axes], np.int64)
        for d, index in enumerate(self.indices):
            value = 0 if d in free else np.clip(evaluate(index, env), 0, shape[d] - 1)
            linear = linear * shape[d] + value
        linear = linear.reshape(points, -1)
        for d in free:
            steps = np.arange(shape[d]) * prod(shape[d + 1 :])
            linear = (linear[:, :, None] + steps).reshape(points, -1)
        return linear


def _grid(axes: Sequence[tuple[Var, int]]) -> dict[Var, Any]:
    """The values of each variable, along an axis of its own."""
    values = np.meshgrid(*(np.arange(n) for _, n in axes), indexing="ij", sparse=True)
    return {v: x for (v, _), x in zip(axes, values)}


def _evaluable(e: Expr, known: set[Var]) -> bool:
    match e:
        case Const():
            return True
        case Var():
            return e in known
        case Binary(_, a, b):
            return _evaluable(a, known) and _evaluable(b, known)
        case Unary(_, a):
            return _evaluable(a, known)
        case Cast(dtype, a):
            return dtype in WIDE and _evaluable(a, known)
        case Select(c, a, b):
            return all(_evaluable(x, known) for x in (c, a, b))
    return False


def evaluate(e: Expr, env: Mapping[Var, Any]) -> Any:
    """`e` on NumPy arrays of its variables."""
    match e:
        case Const(value):
            return value
        case Var():
            return env[e]
        case Binary(op, a, b):
            x, y = evaluate(a, env), evaluate(b, env)
            ufunc = BINARY[op].ufunc
            return getattr(np, ufunc)(x, y) if ufunc else np.vectorize(BINARY[op].eval)(x, y)
        case Cast(_, a):
            return evaluate(a, env)
        case Unary(op, a):
            return getattr(np, UNARY[op].ufunc)(evaluate(a, env))
        case Select(c, a, b):
            return np.where(evaluate(c, env), evaluate(a, env), evaluate(b, env))
    raise TypeError(f"{type(e).__name__} in an index")


def first_points(layout: Fragment, width: int, most: int) -> Any:
    """The row-major points of a loop at which the first warp makes its first accesses of `width` neighbours each.

    An array (at most `most` accesses, threads of the warp). Padding is taken for the last point.
    """
    regs = np.arange(0, layout.num_regs, width)[:most, None]
    threads = np.arange(min(WARP, layout.num_threads))[None, :]
    points = np.minimum(linear_at(layout, threads, regs), prod(layout.shape) - 1)
    return np.broadcast_to(points, (len(regs), threads.size))


def coordinates(indices: Sequence[Expr], variables: Sequence[Var], extents: Sequence[int], points: Any) -> list[Any]:
    """The values of `indices` at the row-major `points` of a loop, with what the loop does not determine taken as 0."""
    env = dict(zip(variables, np.unravel_index(points, tuple(extents))))

    def known(n: Node) -> Node:
        if isinstance(n, (Const, Binary, Unary, Select, Cast)) or (isinstance(n, Var) and n in env):
            return map_children(n, known)
        return Const(0)

    return [np.broadcast_to(evaluate(cast(Expr, known(i)), env), points.shape) for i in indices]


def loop_accesses(
    loop: Parallel, lets: Mapping[Var, Expr], serial: Sequence[tuple[Var, int]] = ()
) -> tuple[LoopAccess, ...]:
    """The accesses of fragments and shared memory by `loop`, in program order, loads in indices and lets included.

    `lets` are the binds in scope outside; `serial` the enclosing loops of constant extent.
    """
    return tuple(dict.fromkeys(a for a, _ in _collect(loop.body, loop, lets, tuple(serial), certain=True)))


def certain_accesses(loop: Parallel) -> tuple[LoopAccess, ...]:
    """Those that happen in every iteration of `loop`: under no condition, and in no loop that might not run.

    Atomic updates are none, since they may meet.
    """
    return tuple(a for a, certain in _collect(loop.body, loop, {}, (), certain=True) if certain)


def reduced_lines(s: Reduce, serial: Sequence[tuple[Var, int]] = ()) -> tuple[LoopAccess, ...]:
    """How the results of a reduction read the first element of their lines: a loop over the result's points.

    None for fragments, whose elements stay in their threads, and for a single result.
    """
    if s.src.buffer.space is not Space.SHARED or len(s.src.extents) < 2:
        return ()
    along = [Var(f"i{d}") for d in range(len(s.src.extents))]
    at = tuple(o if d == s.dim else o + v for d, (o, v) in enumerate(zip(s.src.offsets, along)))
    kept = [d for d in range(len(along)) if d != s.dim]
    extents = tuple(s.src.extents[d] for d in kept)
    return (LoopAccess(s.src.buffer, at, False, tuple(along[d] for d in kept), extents, tuple(serial), s.span),)


def _collect(
    block: Block, loop: Parallel, lets: Mapping[Var, Expr], serial: tuple[tuple[Var, int], ...], *, certain: bool
) -> Iterator[tuple[LoopAccess, bool]]:
    """The accesses of `block`, and whether each happens in every iteration, as far as `block` itself does."""

    def access(
        buffer: Buffer, indices: tuple[Expr, ...], writes: bool, sure: bool
    ) -> Iterator[tuple[LoopAccess, bool]]:
        if buffer.space in (Space.FRAGMENT, Space.SHARED):
            at = tuple(inlined(i, lets) for i in indices)
            yield LoopAccess(buffer, at, writes, loop.vars, loop.extents, serial, span), sure

    def loads(node: Node, sure: bool) -> Iterator[tuple[LoopAccess, bool]]:
        if isinstance(node, Load):
            yield from access(node.buffer, node.indices, False, sure)
        for child in children(node):
            yield from loads(child, sure and (not isinstance(node, Select) or child is node.cond))

    for stmt in block:
        span = stmt.span if stmt.span.line else loop.span
        match stmt:
            case Let(var, value):
                yield from loads(value, certain)
                lets = {**lets, var: inlined(value, lets)}
            case Store(buffer, indices, value) | AtomicUpdate(_, buffer, indices, value):
                sure = certain and isinstance(stmt, Store)
                for e in (*indices, value):
                    yield from loads(e, sure)
                yield from access(buffer, indices, True, sure)
            case For(var, extent, body):
                yield from loads(extent, False)
                trips = int(extent.value) if isinstance(extent, Const) else 0
                inner = ((var, trips),) if isinstance(extent, Const) else ()
                yield from _collect(body, loop, lets, (*serial, *inner), certain=certain and trips > 0)
            case Parallel(inner_vars, extents, body):
                yield from _collect(body, loop, lets, (*serial, *zip(inner_vars, extents)), certain=False)
            case If(cond, then, orelse):
                yield from loads(cond, False)
                for side in (then, orelse):
                    yield from _collect(side, loop, lets, serial, certain=False)
            case While(cond, body):
                yield from loads(cond, False)
                yield from _collect(body, loop, lets, serial, certain=False)
            case _:
                for child in children(stmt):
                    yield from loads(child, False)


def inlined(e: Expr, lets: Mapping[Var, Expr]) -> Expr:
    """`e` with the values of the binds that it uses; these are inlined already."""
    if not lets or not any(isinstance(n, Var) and n in lets for n in walk(e)):
        return e
    return substitute(e, {v: x for v, x in lets.items()})
