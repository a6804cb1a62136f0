"""Runs the tile stage of one block on tokens, with copies in flight, and records what every statement left behind."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tiledsl.errors import Span, VerifyError
from tiledsl.ir.nodes import (
    Alloc,
    Assert,
    Assume,
    AsyncCommit,
    AsyncWait,
    AtomicUpdate,
    Block,
    Break,
    Buffer,
    Continue,
    Evaluate,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Print,
    Region,
    Space,
    Stmt,
    Store,
    View,
    While,
    static_shape,
)
from tiledsl.ir.tile import Atomic, Copy, Fill, Gemm, Im2col, Parallel, Reduce, Scan, Transpose
from tiledsl.verifiers.values import (
    Array,
    Evaluator,
    GlobalMemory,
    Mask,
    as_number,
    as_token,
    both,
    initial,
    mix,
    none,
)
from tiledsl.verifiers.world import GivenUp, World, tensors

MOST_STATEMENTS = 6000  # executions after which a run is given up: it says nothing of the kernel
MOST_ROUNDS = 8  # of a loop whose condition depends on data


class _Leaves(Exception):
    def __init__(self, again: bool) -> None:
        self.again = again


@dataclass
class Tile:
    """A buffer on chip: tokens of (versions, *shape), and the number of the group that still writes an element."""

    tokens: Array
    flying: Array
    writer: dict[int, Stmt] = field(default_factory=dict)  # group -> the copy, for messages


@dataclass
class Trace:
    """What a run did: `left` counts (statement's kind, buffer, content) of every write, `first` has its order."""

    left: Counter[int] = field(default_factory=Counter)
    events: list[tuple[int, Stmt, str]] = field(default_factory=list)
    effects: list[tuple[int, Stmt]] = field(default_factory=list)
    memory: GlobalMemory = field(default_factory=lambda: GlobalMemory({}))


def run(kernel: Kernel, launch: Launch, world: World) -> Trace:
    """Raises VerifyError P13, P15, P17 for a copy that is touched in flight or never awaited, P8 for a version out of
    range; GivenUp."""
    machine = _TileMachine(kernel, launch, world)
    machine.block(launch.body)
    machine.finish()
    return machine.trace


class _TileMachine(Evaluator):
    def __init__(self, kernel: Kernel, launch: Launch, world: World) -> None:
        super().__init__({**world.values, launch.thread: 0})
        self.names = tensors(kernel)
        self.trace = Trace(memory=GlobalMemory(world.shapes))
        self.tiles: dict[Buffer, Tile] = {}
        self.scalars: dict[Buffer, Any] = {}
        self.count = 0
        self.committed = 0  # groups
        self.arrived = 0
        self.issued: list[Stmt] = []
        self.pending: dict[int, list[Stmt]] = {}
        self.statement: Stmt = AsyncCommit()

    # ------------------------------------------------------------------------------------------------------- memory

    def version(self, b: Buffer, version: Expr | None, on: Mask) -> Any:
        if version is None:
            if b.versions > 1:
                raise VerifyError(f"P8: an access to '{b.name}' names none of its versions", self.statement.span)
            return 0
        found = self.value(version, on)
        if np.any(np.asarray(found) < 0) or np.any(np.asarray(found) >= b.versions):
            raise VerifyError(f"P8: version {found} of '{b.name}', which has {b.versions}", self.statement.span)
        return found

    def tile(self, b: Buffer) -> Tile:
        if b not in self.tiles:
            extents = static_shape(b)
            one = initial(mix("nothing", *np.ogrid[tuple(slice(n) for n in extents)]), b.dtype)
            tokens = np.broadcast_to(one.reshape(extents), (b.versions, *extents)).copy()
            self.tiles[b] = Tile(tokens, np.zeros(tokens.shape, np.int32))
        return self.tiles[b]

    def settled(self, b: Buffer, tile: Tile, at: Any) -> None:
        flying = tile.flying[at]
        late = flying[flying > self.arrived]
        if late.size:
            copy = tile.writer[int(late.flat[0])]
            raise VerifyError(
                f"P13: a statement uses '{b.name}' while the copy at {_where(copy.span)} may still write it; "
                "wait for its group before",
                self.statement.span,
            )

    def fetch(self, b: Buffer, version: Any, indices: list[Any]) -> Any:
        """Tokens of elements."""
        if b.space is Space.VAR:
            return as_token(self.scalars.get(b, 0))
        if b.space is Space.GLOBAL:
            return self.trace.memory.read(self.names[b], b.dtype, indices)
        tile = self.tile(b)
        at, inside = _clipped(b, version, indices)
        self.settled(b, tile, at)
        return np.where(inside, tile.tokens[at], mix("outside", *indices))

    def put(self, b: Buffer, version: Any, indices: list[Any], tokens: Any, on: Mask, *, issue: bool = False) -> None:
        if b.space is Space.GLOBAL:
            self.trace.memory.write(self.names[b], indices, tokens, on)
        else:
            tile = self.tile(b)
            at, inside = _clipped(b, version, indices)
            where, tokens, *spread = np.broadcast_arrays(both(inside, on), as_token(tokens), *at)
            at = tuple(x[where] for x in spread)
            self.settled(b, tile, at)
            tile.tokens[at] = tokens[where]
            if issue:
                tile.flying[at] = self.committed + 1
                tile.writer[self.committed + 1] = self.statement
        chosen, tokens, *spread = np.broadcast_arrays(on, as_token(tokens), *indices)
        self.record(b, tokens[chosen], *(i[chosen] for i in spread))

    def record(self, b: Buffer, *content: Any) -> None:
        digest = hash((b.name, *(np.asarray(as_token(c)).tobytes() for c in content)))
        self.trace.left[digest] += 1
        self.trace.events.append((digest, self.statement, b.name))

    def load(self, e: Load, on: Mask) -> Any:
        b = e.buffer
        if b.space is Space.VAR:
            return self.scalars.get(b, 0)
        indices = [self.value(i, on) for i in e.indices]
        token = self.fetch(b, self.version(b, e.version, on), [np.asarray(i) for i in indices])
        return as_number(token, b.dtype)

    def box(self, r: Region) -> list[Any]:
        rank = len(r.extents)
        offsets = [self.value(o, True) for o in r.offsets]
        return [
            np.reshape(np.max(o) + np.arange(n), (1,) * d + (n,) + (1,) * (rank - d - 1))
            for d, (o, n) in enumerate(zip(offsets, r.extents))
        ]

    def read(self, r: Region) -> Any:
        """Tokens of the region, dimensions of extent 1 dropped."""
        return self.whole(r).reshape([n for n in r.extents if n != 1])

    def whole(self, r: Region) -> Any:
        """Tokens of the region."""
        return np.broadcast_to(self.fetch(r.buffer, self.version(r.buffer, r.version, True), self.box(r)), r.extents)

    def write(self, r: Region, tokens: Any, *, issue: bool = False) -> None:
        shaped = np.broadcast_to(tokens, [n for n in r.extents if n != 1]).reshape(r.extents)
        self.put(r.buffer, self.version(r.buffer, r.version, True), self.box(r), shaped, True, issue=issue)

    # --------------------------------------------------------------------------------------------------- statements

    def block(self, block: Block) -> None:
        for s in block:
            self.execute(s)

    def execute(self, s: Stmt) -> None:
        self.count += 1
        if self.count > MOST_STATEMENTS:
            raise GivenUp
        self.statement = s
        match s:
            case For(extent=extent):
                self.loop(s, int(np.max(self.value(extent, True))))
            case While(cond, body):
                rounds = 0
                while rounds < MOST_ROUNDS and bool(np.all(self.truth(cond, True))):
                    rounds += 1
                    if self.leaves(body):
                        return
                    self.statement = s
            case If(cond, then, orelse):
                self.block(then if bool(np.all(self.truth(cond, True))) else orelse)
            case Break() | Continue():
                raise _Leaves(isinstance(s, Continue))
            case AsyncCommit():
                self.committed += 1
                self.pending[self.committed] = self.issued
                self.issued = []
            case AsyncWait(pending):
                self.arrived = max(self.arrived, self.committed - pending)
            case Parallel():
                self.parallel(s)
            case _:
                if not self.tile_operation(s):
                    self.scalar(s, True)

    def loop(self, s: For, extent: int) -> None:
        for k in range(extent):
            self.env[s.var] = k
            if self.leaves(s.body):
                return

    def leaves(self, body: Block) -> bool:
        try:
            self.block(body)
        except _Leaves as left:
            return not left.again
        return False

    def scalar(self, s: Stmt, on: Mask) -> None:
        """A statement on elements, for all points of a loop together or once."""
        match s:
            case Let(var, value):
                self.env[var] = self.value(value, on)
            case Alloc(buffer, init):
                if buffer.space is Space.VAR:
                    self.scalars[buffer] = 0 if init is None else self.value(init, on)
            case View(buffer, source):
                self.view(buffer, source)
            case Store(buffer, indices, value, version, issue):
                found = self.value(value, on)
                if buffer.space is Space.VAR:
                    old = self.scalars.get(buffer, 0)
                    self.scalars[buffer] = found if on is True else np.where(on, as_token(found), as_token(old))
                    return
                at = [np.asarray(self.value(i, on)) for i in indices]
                shape = np.broadcast_shapes(np.shape(found), np.shape(on), *(i.shape for i in at))
                found = np.broadcast_to(as_token(found), shape)
                self.put(buffer, self.version(buffer, version, on), at, found, on, issue=issue)
                self.issued += [s] if issue else []
            case AtomicUpdate(op, buffer, indices, value, _, result):
                at = [np.asarray(self.value(i, on)) for i in indices]
                version = self.version(buffer, None, on)
                old = self.fetch(buffer, version, at)
                if result is not None:
                    self.env[result] = as_number(old, buffer.dtype)
                self.put(buffer, version, at, mix(op, old, self.value(value, on)), on)
            case Print(message, args, buffer):
                tile = [] if buffer is None else [self.fetch_all(buffer)]
                self.effect(s, message, *(self.value(a, on) for a in args), *tile)
            case Evaluate(value):
                self.effect(s, "evaluate", self.value(value, on))
            case Assert(cond):
                self.effect(s, "assert", self.truth(cond, on))
            case Assume(cond):
                if not np.all(self.truth(cond, on)):
                    raise GivenUp
            case _:
                raise GivenUp

    def fetch_all(self, b: Buffer) -> Any:
        return self.tile(b).tokens if b.space is not Space.VAR else as_token(self.scalars.get(b, 0))

    def effect(self, s: Stmt, *what: Any) -> None:
        tokens = (mix(w) if isinstance(w, str) else as_token(w) for w in what)
        self.trace.effects.append((hash(tuple(np.asarray(t).tobytes() for t in tokens)), s))

    def view(self, b: Buffer, source: Buffer) -> None:
        if b.dtype.bits != source.dtype.bits or source.space is Space.GLOBAL:
            raise GivenUp
        tile = self.tile(source)
        shape = (source.versions, *static_shape(b))
        self.tiles[b] = Tile(tile.tokens.reshape(shape), tile.flying.reshape(shape), tile.writer)

    def parallel(self, s: Parallel) -> None:
        points = np.meshgrid(*(np.arange(n) for n in s.extents), indexing="ij")
        self.env.update(zip(s.vars, points))
        self.points(s.body, np.ones(s.extents, bool) if s.extents else True, s)

    def points(self, block: Block, on: Mask, around: Stmt) -> None:
        for s in block:
            if none(on):
                return
            match s:
                case If(cond, then, orelse):
                    taken = self.truth(cond, on)
                    self.points(then, both(on, taken), around)
                    self.points(orelse, both(on, np.logical_not(taken)), around)
                case For(var, extent, body):
                    last = self.value(extent, on)
                    for k in range(int(np.max(last, initial=0))):
                        self.env[var] = k
                        self.points(body, both(on, np.asarray(k < last)), around)
                case Parallel() | While() | Break() | Continue():
                    raise GivenUp
                case _:
                    self.count += 1
                    self.statement = s if s.span.line else replace(s, span=around.span)
                    self.scalar(s, on)

    def tile_operation(self, s: Stmt) -> bool:
        match s:
            case Copy(src, dst, _, issue):
                tokens = self.read(src)
                if src.buffer.dtype is not dst.buffer.dtype:
                    tokens = initial(mix(dst.buffer.dtype.name, tokens), dst.buffer.dtype)
                self.write(dst, tokens, issue=issue)
                self.issued += [s] if issue else []
            case Transpose(src, dst):
                self.write(dst, self.read(src).T)
            case Fill(dst, value):
                self.write(dst, as_token(self.value(value, True)))
            case Gemm(a, b, c):
                self.gemm(s, self.read(a), self.read(b), self.read(c))
            case Reduce(src, dst, op, dim, clear):
                folded = _folded(self.whole(src), dim)
                kept = [n for d, n in enumerate(src.extents) if d != dim and n != 1]
                folded = mix(op, folded).reshape(kept)
                self.write(dst, folded if clear else mix(folded, self.read(dst)))
            case Scan(src, dst, op, dim, reverse):
                folded = np.expand_dims(_folded(self.whole(src), dim), dim)
                found = mix(op, int(reverse), folded, _along(src.extents, dim))
                self.write(dst, found.reshape([n for n in src.extents if n != 1]))
            case Atomic(op, dst, src):
                self.write(dst, self.read(dst) + mix(op, self.read(src)))
            case Im2col(image, dst, row, column):
                whole = [np.zeros(1, np.int64) for _ in image.extents]
                tokens = mix(self.fetch(image.buffer, 0, whole), self.value(row, True), self.value(column, True))
                places = np.ogrid[tuple(slice(n) for n in dst.extents if n != 1)]
                self.write(dst, mix(tokens, *places))
            case _:
                return False
        return True

    def gemm(self, s: Gemm, a: Any, b: Any, c: Any) -> None:
        rows = _folded(a, 0 if s.transpose_a else 1)
        columns = _folded(b, 1 if s.transpose_b else 0)
        product = mix("product", rows[:, None], columns[None, :])
        self.write(s.c, product.reshape(c.shape) if s.clear else mix(c, product.reshape(c.shape)))

    def finish(self) -> None:
        left = [*self.issued, *(s for n, found in self.pending.items() if n > self.arrived for s in found)]
        if left:
            raise VerifyError(
                "P15: this copy is still in flight when the kernel ends; commit it and wait for its group",
                left[0].span,
            )


def _folded(tokens: Any, dim: int) -> Any:
    """A token of each line along `dim`, in which the order matters."""
    with np.errstate(over="ignore"):
        return mix(tokens, _along(tokens.shape, dim)).sum(axis=dim, dtype=np.uint64)


def _along(shape: tuple[int, ...], dim: int) -> Any:
    """The position along `dim`."""
    return np.arange(shape[dim]).reshape([-1 if d == dim else 1 for d in range(len(shape))])


def _clipped(b: Buffer, version: Any, indices: list[Any]) -> tuple[tuple[Any, ...], Any]:
    inside: Any = np.True_
    at = []
    for i, n in zip(indices, b.shape):
        assert isinstance(n, int)
        inside = inside & (i >= 0) & (i < n)
        at.append(np.clip(i, 0, n - 1))
    return (np.asarray(version), *at), inside


def _where(span: Span) -> str:
    return f"line {span.line}" if span.line else "a place that is not known"
