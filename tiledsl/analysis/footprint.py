"""Which bytes of shared memory each thread touches, as NumPy tables over all threads and register loops.

A footprint says for every granule of a buffer the least and the greatest thread that touches it. Two footprints meet in
different threads iff some granule is touched by both and not by one thread alone, so the test is exact for the tables.
What cannot be evaluated (a loaded index, the variable of a loop of unknown extent) counts as all bytes, by any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from tiledsl.analysis.access import AccessKind, conflict
from tiledsl.analysis.boxes import Linear, linear
from tiledsl.analysis.touches import version_bytes
from tiledsl.ir.concurrent import Role
from tiledsl.ir.nodes import (
    Binary,
    Buffer,
    Call,
    Cast,
    Const,
    Expr,
    Select,
    Stmt,
    Unary,
    Var,
)
from tiledsl.ir.ops import BINARY, UNARY
from tiledsl.ir.types import dtype_of

Array = np.ndarray[Any, Any]
LANES = 32  # of a warp
MOST_POINTS = 1 << 18  # threads times loop points: beyond that a table costs more than a barrier
NOBODY = np.int32(1 << 30)
LARGEST = 1 << 31  # of constants: beyond, products of two may not fit in the tables


@dataclass(frozen=True, slots=True, eq=False)
class Footprint:
    """One access of shared memory by the whole block.

    `version` is the version's linear form before `% modulus`, None if unknown; a loop may cycle through fewer versions
    than the buffer has. `low` and `high` are the least and greatest thread per granule of one version: NOBODY and -1
    where untouched. `issued`: it is the issue of something asynchronous, which touches the bytes until a wait or a
    barrier in shared memory says that it is complete (`queue_of`).
    """

    buffer: Buffer
    kind: AccessKind
    version: Linear | None
    modulus: int
    low: Array
    high: Array
    stmt: Stmt
    issued: bool = False

    def moved(self, shifts: Mapping[Var, int]) -> Footprint:
        """As seen `shifts[v]` iterations of the loop over v later."""
        if self.version is None or not any(v in self.version.terms for v in shifts):
            return self
        step = sum(c * shifts.get(t, 0) for t, c in self.version.terms.items() if isinstance(t, Var))
        return replace(self, version=Linear(self.version.terms, self.version.constant + step))

    def at(self, var: Var, value: int | None) -> Footprint:
        """With the loop variable `var` known to be `value`, or not known."""
        if self.version is None or var not in self.version.terms:
            return self
        if value is None:
            return replace(self, version=None)
        terms = dict(self.version.terms)
        step = terms.pop(var)
        return replace(self, version=Linear(terms, self.version.constant + step * value))


def same_version(a: Footprint, b: Footprint) -> bool:
    """Whether the two may mean the same version of their buffer."""
    if a.version is None or b.version is None:
        return True
    if not a.version.terms and not b.version.terms:
        return a.version.constant % a.modulus == b.version.constant % b.modulus
    apart = a.version.minus(b.version)
    return a.modulus != b.modulus or bool(apart.terms) or apart.constant % a.modulus == 0


def meet(a: Footprint, b: Footprint) -> bool:
    """Whether two different threads may touch the same byte of one buffer, and the order of the two matters."""
    return conflict(a.kind, b.kind) and same_version(a, b) and _threads_meet(a.low, a.high, b.low, b.high)


def _threads_meet(alow: Array, ahigh: Array, blow: Array, bhigh: Array) -> bool:
    # Touched by both, and not by one and the same thread only.
    touched = (ahigh >= 0) & (bhigh >= 0)
    return bool((touched & (np.minimum(alow, blow) != np.maximum(ahigh, bhigh))).any())


def meet_in_arena(a: Footprint, b: Footprint, slots: Mapping[Buffer, int], granule: int) -> bool:
    """`meet` for two buffers that share bytes of the arena."""
    if not conflict(a.kind, b.kind):
        return False
    low_a, high_a, start_a = _in_arena(a, slots[a.buffer], granule)
    low_b, high_b, start_b = _in_arena(b, slots[b.buffer], granule)
    start, stop = max(start_a, start_b), min(start_a + len(low_a), start_b + len(low_b))
    if stop <= start:
        return False
    x, y = slice(start - start_a, stop - start_a), slice(start - start_b, stop - start_b)
    return _threads_meet(low_a[x], high_a[x], low_b[y], high_b[y])


def _in_arena(f: Footprint, offset: int, granule: int) -> tuple[Array, Array, int]:
    """The tables of all versions that may be meant, and the granule at which they start."""
    versions = f.buffer.versions
    if versions == 1:
        return f.low, f.high, offset // granule
    if f.version is not None and not f.version.terms:
        size = len(f.low)
        return f.low, f.high, offset // granule + f.version.constant % f.modulus * size
    return np.tile(f.low, versions), np.tile(f.high, versions), offset // granule


class Unknown(Exception):
    """An expression that cannot be tabulated."""


@dataclass(slots=True)
class Tables:
    """Evaluates index expressions over all threads (axis 0) and enumerated loops (an axis each, outermost first)."""

    thread: Var
    threads: int
    granules: Mapping[Buffer, int]
    roots: Mapping[Buffer, Buffer]
    lets: dict[Var, Expr] = field(default_factory=dict)
    known: dict[Var, Array | None] = field(default_factory=dict)  # values of lets and the thread; None: unknown
    loops: list[tuple[Var, int]] = field(default_factory=list)
    first: int = 0  # the number in the block of thread 0 of these

    def of_role(self, role: Role, thread: Var) -> Tables:
        """For the statements of a role of the block whose index is `thread`. Owners stay threads of the block."""
        known: dict[Var, Array | None] = {thread: np.arange(role.first, role.first + role.threads)}
        tables = replace(self, thread=role.thread, threads=role.threads, known=known, first=role.first)
        tables.loops = [*self.loops]
        return tables

    # ---- expressions

    def value(self, e: Expr) -> Any:
        """The value of `e` as a number or an array. Raises Unknown."""
        match e:
            case Const(value):
                if abs(value) > LARGEST:
                    raise Unknown
                return value
            case Var():
                return self.variable(e)
            case Binary(op, a, b):
                ufunc = getattr(np, BINARY[op].ufunc, None) if BINARY[op].ufunc else None
                if ufunc is None or dtype_of(a).is_float:
                    raise Unknown
                return ufunc(*_few(self.value(a), self.value(b)))
            case Unary(op, a):
                return getattr(np, UNARY[op].ufunc)(self.value(a))
            case Cast(dtype, a) if dtype.is_integer and dtype_of(a).is_integer:
                return self.value(a)  # exact for the small numbers that index shared memory
            case Select(cond, a, b):
                return np.where(*_few(self.value(cond), self.value(a), self.value(b)))
            case Call("warp_uniform", (a,)):
                return self.value(a)
            case Call("elected", (number,)):
                return self.value(number) % LANES == 0
        raise Unknown

    def variable(self, v: Var) -> Any:
        if v is self.thread:
            return self.axis(0, self.threads)
        for n, (loop, extent) in enumerate(self.loops):
            if loop is v:
                return self.axis(n + 1, extent)
        if v not in self.known:
            if v not in self.lets:
                raise Unknown
            self.known[v] = None
            with suppress(Unknown):
                self.known[v] = self._bound(self.lets[v])
        found = self.known[v]
        if found is None:
            return self.value(self.lets[v])  # it may depend on the enumerated loops
        return found.reshape(found.shape + (1,) * (1 + len(self.loops) - found.ndim)) if found.ndim else found

    def _bound(self, e: Expr) -> Array:
        """The value of a let; it is kept if it depends on the thread alone."""
        loops, self.loops = self.loops, []
        try:
            return np.asarray(self.value(e))
        finally:
            self.loops = loops

    def axis(self, n: int, extent: int) -> Array:
        if extent > MOST_POINTS:
            raise Unknown
        return np.arange(extent).reshape((1,) * n + (extent,) + (1,) * (len(self.loops) - n))

    # ---- footprints

    def footprint(
        self, buffer: Buffer, index: Sequence[Expr], version: Expr | None, size: int, kind: AccessKind, **how: Any
    ) -> Footprint:
        """`size` bytes from element `index` on, or of the version without one, under the masks of `how['masks']`."""
        root = self.roots.get(buffer, buffer)
        granule = self.granules[root]
        count = -(-version_bytes(root) // granule)
        low, high = np.full(count, NOBODY, np.int32), np.full(count, -1, np.int32)
        stmt, issued, masks = how["stmt"], how.get("issued", False), how.get("masks", ())
        try:
            if not index:
                raise Unknown
            start = self.value(index[0]) * buffer.dtype.bits // 8
            self._mark(low, high, start, size, granule, masks)
        except Unknown:
            threads = self.active(masks)
            if len(threads):
                low[:], high[:] = self.first + threads[0], self.first + threads[-1]
        return Footprint(root, kind, *version_of(version, root.versions), low, high, stmt, issued)

    def _mark(self, low: Array, high: Array, start: Any, size: int, granule: int, masks: Sequence[Expr]) -> None:
        owner = self.axis(0, self.threads)
        on = self.mask(masks, np.shape(start))
        # Loops that neither the address nor a mask depends on keep an axis of one point.
        shape = np.broadcast_shapes(np.shape(start), np.shape(on), owner.shape)
        if prod(shape) > MOST_POINTS:
            raise Unknown
        first = np.asarray(start) // granule
        width = int(((np.asarray(start) + (size - 1)) // granule - first).max(initial=0)) + 1
        cells, owner = np.broadcast_to(first, shape).reshape(-1), self.first + np.broadcast_to(owner, shape).reshape(-1)
        if np.shape(on) or not on:
            chosen = np.broadcast_to(on, shape).reshape(-1)
            cells, owner = cells[chosen], owner[chosen]
        if len(cells) < width:  # few long runs: those of the copy engine
            for begin, thread in zip(np.clip(cells, 0, len(low) - 1), owner):
                run = slice(begin, begin + width)
                high[run], low[run] = np.maximum(high[run], thread), np.minimum(low[run], thread)
            return
        # Later assignments win: rising threads leave the greatest behind, falling ones the least.
        for step in range(width):
            at = np.clip(cells + step, 0, len(low) - 1)
            high[at] = np.maximum(high[at], owner)
            back = at[::-1]
            low[back] = np.minimum(low[back], owner[::-1])

    def mask(self, masks: Sequence[Expr], shape: tuple[int, ...]) -> Any:
        """Where all `masks` may hold, over the axes of `shape` that have more than one point."""
        on: Any = np.True_
        for m in masks:
            with suppress(Unknown):  # such a mask may hold
                on = np.logical_and(*_few(on, self.value(m)))
        if not np.shape(on):
            return on
        unused = tuple(n for n in range(1, on.ndim) if not shape or shape[n] == 1)
        return on.any(axis=unused, keepdims=True)

    def active(self, masks: Sequence[Expr]) -> Array:
        """The threads that may get past `masks`, as far as these are known."""
        on = np.broadcast_to(np.reshape(self.mask(masks, ()), -1), (self.threads,))
        return np.nonzero(on)[0]


def _few(*values: Any) -> tuple[Any, ...]:
    """What can be computed with element by element. Raises Unknown where that has more than MOST_POINTS."""
    shapes = [shape for v in values if (shape := np.shape(v))]
    if len(shapes) > 1 and prod(np.broadcast_shapes(*shapes)) > MOST_POINTS:
        raise Unknown
    return values


def version_of(version: Expr | None, versions: int) -> tuple[Linear | None, int]:
    """The linear form of `e % n`, before the remainder, and n; None for other forms."""
    match version:
        case None:
            return Linear({}, 0), versions
        case Const(value):
            return Linear({}, int(value)), versions
        case Binary("%", a, Const(n)):
            return linear(a), int(n)
    return None, versions
