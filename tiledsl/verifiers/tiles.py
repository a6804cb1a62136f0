"""Runs the tile stage of one block on tokens, with copies and products in flight, and records what every statement left
behind. Roles are executed in turn; that their order does not matter is checked by what each of them knows (`order`)."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np

from tiledsl.ir.concurrent import (
    Await,
    ClusterBarrier,
    Roles,
)
from tiledsl.ir.nodes import (
    Alloc,
    Assert,
    Assume,
    AsyncCommit,
    AsyncWait,
    AtomicUpdate,
    Block,
    Break,
    Continue,
    Evaluate,
    For,
    If,
    Let,
    Print,
    Space,
    Stmt,
    Store,
    View,
    While,
)
from tiledsl.ir.tile import Atomic, Copy, Fill, Gemm, Parallel, Rearrangement, Reduce, Scan, region_of
from tiledsl.verifiers.tile_memory import Trace
from tiledsl.verifiers.tile_roles import Steps, TileRoles
from tiledsl.verifiers.values import Mask, as_number, as_token, both, initial, mix, none
from tiledsl.verifiers.world import GivenUp

MOST_STATEMENTS = 6000  # executions after which a run is given up: it says nothing of the kernel
MOST_ROUNDS = 8  # of a loop whose condition depends on data


class _Leaves(Exception):
    def __init__(self, again: bool) -> None:
        self.again = again


class TileMachine(TileRoles):
    """One block. `run` raises VerifyError P13, P15, P17 for a copy that is touched in flight or never awaited, P8 for a
    version out of range, W3 to W17 for roles and blocks that are not ordered; GivenUp."""

    most = MOST_STATEMENTS

    # ------------------------------------------------------------------------------------------------- control flow

    def run(self) -> Trace:
        for _ in self.block(self.launch.body):
            raise self.stuck(self.blocked)
        self.finish()
        return self.trace

    def block(self, block: Block) -> Steps:
        for s in block:
            yield from self.execute(s)

    def execute(self, s: Stmt) -> Steps:
        self.count += 1
        if self.count > self.most:
            raise GivenUp
        self.statement = s
        match s:
            case For(extent=extent):
                yield from self.loop(s, int(np.max(self.value(extent, True))))
            case While(cond, body):
                rounds = 0
                while rounds < MOST_ROUNDS and bool(np.all(self.truth(cond, True))):
                    rounds += 1
                    if (yield from self.leaves(body)):
                        return
                    self.statement = s
            case If(cond, then, orelse):
                yield from self.block(then if bool(np.all(self.truth(cond, True))) else orelse)
            case Break() | Continue():
                raise _Leaves(isinstance(s, Continue))
            case AsyncCommit(queue):
                self.agent.commit(queue)
            case AsyncWait(pending, queue):
                self.agent.wait(queue, pending)
            case Roles(roles):
                yield from self.roles(roles)
            case ClusterBarrier(part):
                yield from self.meet(part)
            case Await(barrier, parity):
                phases, wanted = self.phases(barrier), int(np.max(self.value(parity, True)))
                self.waiting[self.agent.number] = f"{phases} for phases of parity {wanted}", s
                yield from phases.pass_by(self.agent, wanted, s)
            case Parallel():
                self.parallel(s)
            case _:
                if not self.tile_operation(s) and not self.at_barrier(s):
                    self.scalar(s, True)

    def loop(self, s: For, extent: int) -> Steps:
        for k in range(extent):
            self.env[s.var] = k
            if (yield from self.leaves(s.body)):
                return

    def leaves(self, body: Block) -> Generator[None, None, bool]:
        try:
            yield from self.block(body)
        except _Leaves as left:
            return not left.again
        return False

    # ----------------------------------------------------------------------------------------------- single elements

    def scalar(self, s: Stmt, on: Mask) -> None:
        """A statement on elements, for all points of a loop together or once."""
        match s:
            case Let(var, value):
                self.env[var] = self.value(value, on)
            case Alloc(buffer, init):
                if buffer.space is Space.VAR:
                    self.agent.scalars[buffer] = 0 if init is None else self.value(init, on)
            case View(buffer, source):
                self.view(buffer, source)
            case Store(buffer, indices, value, version, issue):
                found = self.value(value, on)
                if buffer.space is Space.VAR:
                    old = self.agent.scalars.get(buffer, 0)
                    self.agent.scalars[buffer] = found if on is True else np.where(on, as_token(found), as_token(old))
                    return
                at = [np.asarray(self.value(i, on)) for i in indices]
                shape = np.broadcast_shapes(np.shape(found), np.shape(on), *(i.shape for i in at))
                found = np.broadcast_to(as_token(found), shape)
                self.put(
                    buffer,
                    self.version(buffer, version, on),
                    at,
                    found,
                    on,
                    operation=self.operation("copy") if issue else 0,
                )
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

    def effect(self, s: Stmt, *what: Any) -> None:
        tokens = (mix(w) if isinstance(w, str) else as_token(w) for w in what)
        self.trace.effects.append((hash(tuple(np.asarray(t).tobytes() for t in tokens)), s))

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
            case Copy():
                self.copy(s)
            case Rearrangement(src, dst):
                tokens = self.read(src)
                points = np.indices([n for n in dst.extents if n != 1])
                self.write(dst, tokens[s.comes_from(tuple(points), tokens.shape)])
            case Fill(dst, value):
                self.write(dst, as_token(self.value(value, True)))
            case Gemm():
                self.gemm(s)
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
                if s.bulk:
                    self.lend(src, self.operation("store"))
            case _:
                return False
        return True

    def copy(self, s: Copy) -> None:
        """By threads, at once or as an operation of theirs, or by the copy engine."""
        tokens = self.read(s.src)
        if s.src.buffer.dtype is not s.dst.buffer.dtype:
            tokens = initial(mix(s.dst.buffer.dtype.name, tokens), s.dst.buffer.dtype)
        if s.barrier is not None:
            ranks = s.ranks if s.rank is None else self.mask_of(s.rank)
            for block in self.reached(ranks):
                operation = self.bring(block, s.dst, tokens)
                if s.rank is not None:
                    self.lend(region_of(s.src), operation)
                phases = self.phases(s.barrier, block)
                phases.deliver(1 << operation, prod(s.dst.extents) * s.dst.buffer.dtype.bits // 8)
        else:
            self.write(s.dst, tokens, operation=self.operation("copy") if s.asynchronous else 0)
            if s.bulk:
                self.lend(region_of(s.src), self.operation("store"))

    def gemm(self, s: Gemm) -> None:
        """Products follow each other into one accumulator; nobody else touches it while they are in flight."""
        before = self.agent.in_queue("product") if s.asynchronous else 0
        a, b, c = self.read(s.a), self.read(s.b), self.read(s.c, allowed=before)
        rows = _folded(a, 0 if s.transpose_a else 1)
        if s.e is not None:
            rows = mix(rows, _folded(self.read(s.e), 1))
        columns = _folded(b, 1 if s.transpose_b else 0)
        product = mix("product", rows[:, None], columns[None, :]).reshape(c.shape)
        operation = self.operation("product") if s.asynchronous else 0
        self.write(s.c, product if s.clear else mix(c, product), operation=operation, allowed=before)
        for r in (s.a, s.b) if s.asynchronous else ():
            self.lend(r, operation)


def _folded(tokens: Any, dim: int) -> Any:
    """A token of each line along `dim`, in which the order matters."""
    with np.errstate(over="ignore"):
        return mix(tokens, _along(tokens.shape, dim)).sum(axis=dim, dtype=np.uint64)


def _along(shape: tuple[int, ...], dim: int) -> Any:
    """The position along `dim`."""
    return np.arange(shape[dim]).reshape([-1 if d == dim else 1 for d in range(len(shape))])
