"""A check of inferred layouts by brute force over tables; it shares no code with the rules that found them.

Invariants, by their names in algorithms.md: I1 totality, I4 reads by owners, I5 writes by exactly the owners, I6 each
point executed as often as the layout has replicas, I7 no thread executes a point twice, I8 views, I16 reductions,
L1-L3 and L18 of the layouts themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import product
from math import prod
from typing import Any

import numpy as np

from tiledsl.errors import Span, VerifyError
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.layout import Fragment, Layout, linear_at
from tiledsl.ir.nodes import (
    Alloc,
    AtomicUpdate,
    Binary,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    Kernel,
    Launch,
    Let,
    Load,
    Node,
    Select,
    Space,
    Stmt,
    Store,
    Unary,
    Var,
    View,
)
from tiledsl.ir.ops import BINARY, UNARY
from tiledsl.ir.tile import TILE_OPS, Atomic, Copy, Gemm, Parallel, Reduce, Scan
from tiledsl.ir.walk import children, statements, walk
from tiledsl.target import Target

MOST_SAMPLES = 64  # values of variables outside a loop that its indices are tried with
KEPT = (Parallel, Gemm, Reduce, Scan)  # the tile statements that are left after inference


def verify_assigned(before: Kernel, after: Kernel, target: Target | None = None) -> None:
    """`verify_layouts` of what infer-layouts made."""
    verify_layouts(after)


def verify_layouts(kernel: Kernel) -> None:
    """Raises VerifyError where a layout of the kernel, after infer-layouts, breaks an invariant."""
    for launch in kernel.launches:
        _Checker(launch).run()


class _Checker:
    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.threads = launch.num_threads  # that execute the statement in hand
        self.threads_of = {
            s.buffer: role.threads
            for roles in statements(launch)
            if isinstance(roles, Roles)
            for role in roles.roles
            for s in statements(role)
            if isinstance(s, Alloc)
        }
        self.layouts = {a.buffer: a.layout for a in launch.layouts}
        self._owns: dict[Buffer, Any] = {}

    def run(self) -> None:
        for buffer, layout in self.layouts.items():
            if buffer.space is Space.FRAGMENT:
                self.owns(buffer, self.launch.span)
            elif isinstance(layout, Layout) and buffer.space is Space.SHARED:
                _check_shared(buffer, layout)
        for stmt in self.launch.body:
            self.statement(stmt, {}, {})

    def owns(self, buffer: Buffer, span: Span) -> Any:
        """(threads, elements): whether the thread holds the element. Checks I1, L1-L3 once."""
        if buffer not in self._owns:
            layout = self.layouts.get(buffer)
            if not isinstance(layout, Fragment):
                raise VerifyError(f"I1: fragment '{buffer.name}' has no register layout", span)
            threads = self.threads_of.get(buffer, self.launch.num_threads)
            if tuple(layout.shape) != tuple(buffer.shape) or layout.num_threads != threads:
                raise VerifyError(f"I1: the layout of '{buffer.name}' is for another shape or block", span)
            self._owns[buffer] = _executions(layout, f"the layout of '{buffer.name}'", span)
        return self._owns[buffer]

    # ------------------------------------------------------------------------------------------------- statements

    def statement(self, stmt: Stmt, lets: dict[Var, Expr], extents: dict[Var, int]) -> None:
        match stmt:
            case Parallel():
                self.loop(stmt, lets, extents)
                return
            case Roles(roles):
                for role in roles:
                    self.threads = role.threads
                    for inner in role.body:
                        self.statement(inner, dict(lets), extents)
                self.threads = self.launch.num_threads
                return
            case Reduce():
                self.reduction(stmt)
            case View(buffer, source):
                self.view(buffer, source, stmt.span)
            case Let(var, value):
                lets[var] = value
            case For(var, Const(int(extent))):
                extents = {**extents, var: extent}
        by_engine = isinstance(stmt, (Copy, Atomic)) and stmt.bulk
        if isinstance(stmt, TILE_OPS) and not isinstance(stmt, KEPT) and not by_engine:
            raise VerifyError(f"I1: {type(stmt).__name__} is no loop with a layout", stmt.span)
        if isinstance(stmt, Store) and stmt.buffer.space is Space.FRAGMENT:
            self.everywhere(stmt.buffer, stmt.span)
        for child in children(stmt):
            if isinstance(child, Stmt):
                self.statement(child, lets, extents)
            elif isinstance(child, Buffer) and child.space is Space.FRAGMENT and not isinstance(stmt, View):
                self.owns(child, stmt.span)
            else:
                for n in walk(child):
                    if isinstance(n, Load) and n.buffer.space is Space.FRAGMENT:
                        self.everywhere(n.buffer, stmt.span)
                    elif isinstance(n, Buffer) and n.space is Space.FRAGMENT and isinstance(stmt, KEPT):
                        self.owns(n, stmt.span)

    def everywhere(self, buffer: Buffer, span: Span) -> None:
        if not self.owns(buffer, span).all():
            raise VerifyError(f"I14: every thread reads '{buffer.name}', but not every thread holds it", span)

    def reduction(self, stmt: Reduce) -> None:
        src, dst = stmt.src.buffer, stmt.dst.buffer
        if src.space is not Space.FRAGMENT or dst.space is not Space.FRAGMENT:
            return
        fibres = self.owns(src, stmt.span).reshape(self.threads, *src.shape).any(axis=1 + stmt.dim)
        if (self.owns(dst, stmt.span) & ~fibres.reshape(self.threads, -1)).any():
            raise VerifyError(f"I16: threads own a result in '{dst.name}' without holding a part of it", stmt.span)

    def view(self, buffer: Buffer, source: Buffer, span: Span) -> None:
        a, b = self.layouts.get(buffer), self.layouts.get(source)
        if not isinstance(a, Fragment) or not isinstance(b, Fragment) or buffer.dtype.bits != source.dtype.bits:
            return
        if not np.array_equal(_positions(a), _positions(b)):
            raise VerifyError(f"I8: '{buffer.name}' and '{source.name}' place the same element differently", span)

    # ------------------------------------------------------------------------------------------------------- loops

    def loop(self, stmt: Parallel, lets: Mapping[Var, Expr], extents: Mapping[Var, int]) -> None:
        layout = stmt.layout
        if layout is None or tuple(layout.shape) != stmt.extents or layout.num_threads > self.threads:
            raise VerifyError("I1: a loop has no layout, or one of another shape or block", stmt.span)
        _executions(layout, "the loop's layout", stmt.span)
        positions = _positions(layout)
        executed = positions < prod(stmt.extents)
        thread = np.broadcast_to(np.arange(layout.num_threads)[:, None], positions.shape)[executed]
        point = positions[executed]
        coordinates = np.unravel_index(point, stmt.extents)
        env = dict(zip(stmt.vars, coordinates))
        for buffer, indices, writes, bound, inner in _accesses(stmt.body, dict(lets), dict(extents)):
            if buffer.space is Space.FRAGMENT:
                for element in _elements(buffer, indices, env, bound, inner):
                    self.access(buffer, thread, point, element, writes, layout, stmt.span)

    def access(
        self, buffer: Buffer, thread: Any, point: Any, element: Any, writes: bool, layout: Fragment, span: Span
    ) -> None:
        owns = self.owns(buffer, span)
        if not owns[thread, element].all():
            name = "I5: a thread writes" if writes else "I4: a thread reads"
            raise VerifyError(f"{name} an element of '{buffer.name}' that it does not hold", span)
        if writes:
            times = np.bincount(point, minlength=prod(layout.shape))[point]
            if (times != owns.sum(axis=0)[element]).any():
                raise VerifyError(f"I5: not every owner of an element of '{buffer.name}' writes it", span)


def _positions(f: Fragment) -> Any:
    threads, regs = np.arange(f.num_threads)[:, None], np.arange(f.num_regs)[None, :]
    return np.broadcast_to(linear_at(f, threads, regs), (f.num_threads, f.num_regs))


def _executions(f: Fragment, what: str, span: Span) -> Any:
    """(threads, elements): who holds (executes) what. Raises unless each is held alike often, once by each thread."""
    size = prod(f.shape)
    positions = _positions(f)
    if len(np.unique(positions)) != f.padded_size or positions.max() >= f.padded_size or f.padded_size < size:
        raise VerifyError(f"L1: {what} is no mixed radix of the tile", span)
    counts = np.zeros((f.num_threads, f.padded_size), np.int32)
    np.add.at(counts, (np.arange(f.num_threads)[:, None], positions), 1)
    if counts.max() > 1:
        raise VerifyError(f"I7: {what} gives a thread the same element twice", span)
    if (counts.sum(axis=0)[:size] != f.replication).any():
        raise VerifyError(f"I6: {what} does not hold every element {f.replication} times", span)
    first = np.full(f.padded_size, -1)
    for reg in range(f.num_regs):
        known = first[positions[:, reg]]
        if ((known >= 0) & (known != reg)).any():
            raise VerifyError(f"L6: {what} keeps replicas in different registers", span)
        first[positions[:, reg]] = reg
    return counts[:, :size] > 0


def _check_shared(buffer: Buffer, layout: Layout) -> None:
    if tuple(layout.shape) != tuple(buffer.shape):
        raise VerifyError(f"I1: the layout of '{buffer.name}' is for another shape")
    grids = np.meshgrid(*(np.arange(n) for n in layout.shape), indexing="ij")
    offsets = np.asarray(layout.offset([g.ravel() for g in grids]))
    if len(np.unique(offsets)) != prod(layout.shape) or offsets.min() < 0 or offsets.max() >= layout.size:
        raise VerifyError(f"L18: the layout of '{buffer.name}' is not injective or leaves its size")


Found = tuple[Buffer, tuple[Expr, ...], bool, dict[Var, Expr], dict[Var, int]]


def _accesses(block: Iterable[Stmt], lets: dict[Var, Expr], extents: dict[Var, int]) -> Iterator[Found]:
    """(buffer, indices, whether written, binds in scope, extents of serial variables) of every access."""
    for stmt in block:
        if isinstance(stmt, (Store, AtomicUpdate)):
            yield stmt.buffer, stmt.indices, True, dict(lets), extents
        if isinstance(stmt, For) and isinstance(stmt.extent, Const):
            extents = {**extents, stmt.var: int(stmt.extent.value)}
        for child in children(stmt):
            if isinstance(child, Stmt):
                yield from _accesses((child,), lets, extents)
            else:
                for n in walk(child):
                    if isinstance(n, Load):
                        yield n.buffer, n.indices, False, dict(lets), extents
        if isinstance(stmt, Let):
            lets[stmt.var] = stmt.value


def _elements(
    buffer: Buffer,
    indices: tuple[Expr, ...],
    env: Mapping[Var, Any],
    lets: Mapping[Var, Expr],
    extents: Mapping[Var, int],
) -> Iterator[Any]:
    """The linear indices accessed, for sampled values of what the loop does not determine."""
    shape = tuple(e for e in buffer.shape if isinstance(e, int))
    free: dict[Node, int] = {}
    for d, index in enumerate(indices):
        for n in _leaves(index, lets):
            if n not in env:
                free[n] = extents.get(n, shape[d]) if isinstance(n, Var) else shape[d]
    for values in _samples(list(free.values())):
        bound: dict[Node, Any] = {**dict(zip(free, values)), **{v: x for v, x in env.items()}}
        at = [np.asarray(_value(i, bound, lets)) for i in indices]
        inside = [np.clip(i, 0, n - 1) for i, n in zip(at, shape)]
        linear: Any = 0
        for i, extent in zip(inside, shape):
            linear = linear * extent + i
        size = len(next(iter(env.values())))
        yield np.broadcast_to(linear, (size,))


def _samples(extents: list[int]) -> Iterator[tuple[int, ...]]:
    if prod(extents) <= MOST_SAMPLES:
        yield from product(*(range(n) for n in extents))
        return
    draw = np.random.default_rng(0)
    for _ in range(MOST_SAMPLES):
        yield tuple(int(draw.integers(n)) for n in extents)


def _leaves(e: Expr, lets: Mapping[Var, Expr]) -> Iterator[Node]:
    """Variables, loads and calls that decide the value of `e`, binds followed."""
    if isinstance(e, Var) and e in lets:
        yield from _leaves(lets[e], lets)
    elif isinstance(e, (Const, Binary, Unary, Select, Cast)):
        for c in children(e):
            if isinstance(c, Expr):
                yield from _leaves(c, lets)
    else:
        yield e


def _value(e: Expr, env: Mapping[Node, Any], lets: Mapping[Var, Expr]) -> Any:
    if e in env:
        return env[e]
    match e:
        case Const(value):
            return value
        case Var():
            return _value(lets[e], env, lets)
        case Binary(op, a, b):
            x, y = _value(a, env, lets), _value(b, env, lets)
            return getattr(np, BINARY[op].ufunc)(x, y) if BINARY[op].ufunc else np.vectorize(BINARY[op].eval)(x, y)
        case Cast(dtype, a):
            return np.asarray(_value(a, env, lets)).astype(dtype.numpy if dtype.is_integer else np.float64)
        case Unary(op, a):
            return getattr(np, UNARY[op].ufunc)(_value(a, env, lets))
        case Select(c, a, b):
            return np.where(_value(c, env, lets), _value(a, env, lets), _value(b, env, lets))
    raise VerifyError(f"an index holds {type(e).__name__}")
