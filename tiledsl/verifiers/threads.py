"""Runs the thread stage of one block on tokens, all threads of it together, and tells a watcher what memory they touch.

Statements are executed in program order, each by all threads that reach it; what the order of threads could change is
for the watcher to notice. Roles are executed in turn, each until it has to wait (`beside`). Long loops are cut: the
first iterations, then the last ones, with a distance that is a multiple of every count of versions, so that the
schedule is that of the whole loop; but not where barriers in shared memory count the iterations too.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from math import lcm, prod
from typing import Any

import numpy as np

from tiledsl.errors import VerifyError
from tiledsl.ir.concurrent import Arrive, Await, ClusterBarrier
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    Assert,
    Assume,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    AtomicUpdate,
    Barrier,
    Block,
    Break,
    Buffer,
    Continue,
    Evaluate,
    Expr,
    Extern,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Move,
    Print,
    Space,
    Stmt,
    Store,
    Unrolled,
    Var,
    Vectorized,
    View,
    While,
)
from tiledsl.ir.walk import statements
from tiledsl.isa.table import atom_named
from tiledsl.verifiers.beside import BESIDE, Beside, Steps, line
from tiledsl.verifiers.values import (
    Mask,
    as_number,
    as_token,
    both,
    is_token,
    mix,
    none,
)
from tiledsl.verifiers.watch import Touch, Watcher
from tiledsl.verifiers.world import GivenUp, World

MOST_STEPS = 50_000  # statements where loops are not cut: a longer run is given up
MOST_LANES = 16  # of one access, which may become a loop
FEW = 4  # iterations from the start and the end of a loop in which nothing is synchronised
MOST_ROUNDS = 4  # of a loop whose condition depends on data
ON_CHIP = (Space.SHARED, Space.LOCAL)


class ThreadMachine(Beside):
    """`data`: whether tokens are kept in memory; if not, loads find tokens of their places.

    `whole` are variables of loops that are not cut, beside those of vectors.
    """

    def __init__(
        self,
        kernel: Kernel,
        launch: Launch,
        world: World,
        watch: Watcher,
        *,
        data: bool,
        whole: frozenset[Var] = frozenset(),
    ) -> None:
        threads = np.arange(launch.num_threads)
        super().__init__(kernel, launch, world, {**world.values, launch.thread: threads}, data=data)
        self.watch = watch
        self.whole = whole
        self.stmt: Stmt = AsyncCommit()
        self.effects: list[int] = []
        self.quiet = {
            id(n) for n in statements(launch) if isinstance(n, For) and not any(map(_synchronises, statements(n)))
        }
        versions = [b.versions for b in (s.buffer for s in statements(launch) if isinstance(s, Alloc))]
        self.period = lcm(*versions) if versions else 1
        self.counted = any(isinstance(n, Await) for n in statements(launch))

    def run(self) -> None:
        for _ in self.block(self.launch.body, True):
            raise self.stuck([self.group])
        self.finish()

    # ------------------------------------------------------------------------------------------------------- memory

    def touched(
        self,
        b: Buffer,
        indices: list[Any],
        version: Any,
        on: Mask,
        *,
        lanes: int = 1,
        writes: bool = False,
        **how: bool,
    ) -> None:
        if b.space in self.watch.wants:
            if b.space is Space.GLOBAL:
                self.watch.element(self.stmt, b, indices, lanes, on)
                self.watch.tensor(b, writes, on, self.stmt)
            else:
                start, size = self.places(b, indices, version, lanes)
                root = self.roots.get(b, b)
                self.tell(Touch(root, start, size, writes, on, self.stmt, **how))
                self.watch.element(self.stmt, b, indices, lanes, on)

    def tell(self, t: Touch) -> None:
        """Watchers count the threads of the block."""
        first, count = self.group.first, self.launch.num_threads
        if self.threads != count:
            start, on = np.zeros(count, np.int64), np.zeros(count, bool)
            start[first : first + self.threads] = t.start
            on[first : first + self.threads] = t.on
            t = replace(t, start=start, on=on)
        self.watch.touch(t)

    def version(self, e: Expr | None, on: Mask) -> Any:
        return 0 if e is None else self.value(e, on)

    def load(self, e: Load, on: Mask) -> Any:
        b = e.buffer
        if b.space is Space.VAR:
            return self.scalars.get(b, 0)
        indices, version = [self.value(i, on) for i in e.indices], self.version(e.version, on)
        self.touched(b, indices, version, on)
        found = self.fetch(b, indices, version, on)
        found = np.broadcast_to(found, (len(found), 1))[:, 0] if np.ndim(found) == 2 else found
        return as_number(np.ascontiguousarray(found), b.dtype)

    def call(self, e: Expr, values: list[Any], on: Mask) -> Any:
        if isinstance(e, Extern):
            for a in e.args:
                if isinstance(a, Address) and a.buffer.space in ON_CHIP:
                    for writes in (False, True):
                        whole = prod(n for n in a.buffer.shape if isinstance(n, int))
                        origin = [0] * len(a.buffer.shape)
                        self.touched(a.buffer, origin, self.version(a.version, on), on, lanes=whole, writes=writes)
        return super().call(e, values, on)

    # --------------------------------------------------------------------------------------------------- statements

    def block(self, block: Block, on: Mask) -> Steps:
        """Executes `block`; the threads that reach its end."""
        for s in block:
            if none(on):
                return on
            on = yield from self.execute(s, on)
        return on

    def execute(self, s: Stmt, on: Mask) -> Steps:
        self.stmt = s
        self.steps += 1
        if self.counted and self.steps > MOST_STEPS:
            raise GivenUp
        match s:
            case For():
                return (yield from self.loop(s, on))
            case While():
                self.left.append(False)
                yield from self.rounds(s, on)
                self.left.pop()
            case If(cond, then, orelse):
                return (yield from self.branch(self.truth(cond, on), then, orelse, on))
            case Break() | Continue():
                self.leave(on, for_good=isinstance(s, Break))
                return np.zeros(self.threads, bool)
            case Barrier(count=count):
                if not count:
                    self.fresh.clear()
                self.watch.barrier(s, on)
            case ClusterBarrier(part):
                if part == "sync":
                    self.fresh.clear()
                    self.watch.barrier(Barrier(span=s.span), on)
            case AsyncCommit("copy"):
                self.watch.commit()
            case AsyncWait(pending, "copy"):
                self.watch.wait(pending)
            case _ if isinstance(s, BESIDE):
                yield from self.beside(s, on)
            case _:
                self.simple(s, on)
        return on

    def leave(self, on: Mask, *, for_good: bool) -> None:
        if for_good:
            self.left[-1] = self.left[-1] | np.broadcast_to(on, (self.threads,))

    def branch(self, cond: Any, then: Block, orelse: Block, on: Mask) -> Steps:
        if isinstance(cond, bool) or cond.size == 1 or cond.all() or not cond.any():
            return (yield from self.block(then if bool(np.all(cond)) else orelse, on))
        a = (yield from self.block(then, both(on, cond))) if then else both(on, cond)
        b = (yield from self.block(orelse, both(on, ~cond))) if orelse else both(on, ~cond)
        joined = np.broadcast_to(a, (self.threads,)) | np.broadcast_to(b, (self.threads,))
        return True if joined.all() else joined

    def loop(self, s: For, on: Mask) -> Steps:
        extent = self.value(s.extent, on)
        self.left.append(False)
        for k in self.iterations(s, int(np.max(np.where(on, extent, 0)))):
            self.env[s.var] = k
            here = both(on, ~self.left[-1]) if self.left[-1] is not False else on
            here = here if np.ndim(extent) == 0 else both(here, k < extent)
            if none(here):
                break
            yield from self.block(s.body, here)
        self.left.pop()
        return on

    def iterations(self, s: For, extent: int) -> Iterator[int]:
        quiet = id(s) in self.quiet
        few, period = (FEW, 1) if quiet else (2 * self.period + 2, self.period)
        whole = self.counted or isinstance(s.kind, Unrolled)
        lanes = isinstance(s.kind, Vectorized) or s.var in self.whole or extent <= MOST_LANES
        if lanes or (whole and not quiet) or extent <= 3 * few:
            return iter(range(extent))
        skipped = (extent - 2 * few) // period * period
        return iter([*range(few), *range(few + skipped, extent)])

    def rounds(self, s: While, on: Mask) -> Steps:
        for _ in range(MOST_ROUNDS):
            self.stmt = s
            here = both(on, ~self.left[-1]) if self.left[-1] is not False else on
            here = both(here, self.truth(s.cond, here))
            if none(here):
                break
            yield from self.block(s.body, here)
        return on

    def simple(self, s: Stmt, on: Mask) -> None:
        match s:
            case Let(var, value):
                self.env[var] = self.value(value, on)
            case Alloc(buffer, init):
                if buffer.space is Space.VAR:
                    self.scalars[buffer] = 0 if init is None else self.value(init, on)
            case View(source=source):
                if source.space is Space.GLOBAL:
                    raise GivenUp
            case Store():
                self.store(s, on)
            case AtomicUpdate():
                self.atomic(s, on)
            case Move(dst, src, lanes):
                found = self.read(src, lanes, on)
                self.write(dst, found, lanes, on)
            case AtomCall(atom, args):
                self.atom(atom, args, on)
            case Print(_, args):
                self.effect(s, [self.value(a, on) for a in args])
            case Evaluate(value):
                self.effect(s, [self.value(value, on)])
            case Assert(cond):
                self.effect(s, [self.truth(cond, on)])
            case Assume(cond):
                if not np.all(np.logical_or(self.truth(cond, on), np.logical_not(on))):
                    raise GivenUp
            case _:
                raise VerifyError(f"{type(s).__name__} is no statement of a thread", s.span)

    def effect(self, s: Stmt, values: list[Any]) -> None:
        self.effects.append(hash((type(s).__name__, *(np.asarray(as_token(v)).tobytes() for v in values))))

    def store(self, s: Store, on: Mask) -> None:
        value = self.value(s.value, on)
        if s.buffer.space is Space.VAR:
            self.assign(s.buffer, value, on)
            return
        indices, version = [self.value(i, on) for i in s.indices], self.version(s.version, on)
        self.touched(s.buffer, indices, version, on, writes=True, issued=s.asynchronous)
        token = as_token(value)
        self.put(s.buffer, indices, version, np.reshape(token, (-1, 1)) if np.ndim(token) else token, on)

    def assign(self, b: Buffer, value: Any, on: Mask) -> None:
        if on is not True:
            old = self.scalars.get(b, 0)
            if is_token(value) or is_token(old):
                value, old = as_token(value), as_token(old)
            value = np.where(on, value, old)
        self.scalars[b] = value

    def atomic(self, s: AtomicUpdate, on: Mask) -> None:
        indices, value = [self.value(i, on) for i in s.indices], self.value(s.value, on)
        self.touched(s.buffer, indices, 0, on, writes=s.op != "load", atomic=True)
        old = self.fetch(s.buffer, indices, 0, on)
        if s.result is not None:
            self.env[s.result] = as_number(
                np.ascontiguousarray(np.broadcast_to(old, (self.threads, 1))[:, 0]), s.buffer.dtype
            )
        added = mix(s.op, old, np.reshape(as_token(value), (-1, 1)))
        self.put(s.buffer, indices, 0, added, on)

    def read(self, a: Address, lanes: int, on: Mask) -> Any:
        indices, version = [self.value(i, on) for i in a.indices], self.version(a.version, on)
        self.touched(a.buffer, indices, version, on, lanes=lanes)
        return self.fetch(a.buffer, indices, version, on, lanes=lanes) if self.data else np.uint64(0)

    def write(self, a: Address, tokens: Any, lanes: int, on: Mask, *, issued: bool = False) -> None:
        indices, version = [self.value(i, on) for i in a.indices], self.version(a.version, on)
        self.touched(a.buffer, indices, version, on, lanes=lanes, writes=True, issued=issued)
        if self.data or a.buffer.space is Space.GLOBAL:
            self.put(a.buffer, indices, version, tokens, on, lanes=lanes)

    def atom(self, name: str, args: tuple[Expr, ...], on: Mask) -> None:
        """One instruction. What it computes is a token of all that it reads."""
        row = atom_named(name)
        assert row is not None, name
        if row.kind == "wgmma":
            self.product(row, args, on)
            return
        places = [a for a in args if isinstance(a, Address)]
        if row.kind == "cp_async":
            dst, src = places
            given = both(on, self.truth(args[2], on)) if len(args) > 2 else on
            lanes = max(1, row.bytes * 8 // dst.buffer.dtype.bits)
            zero = np.zeros((self.threads, lanes), np.uint64)
            found = zero if none(given) else self.read(src, lanes, given)
            keep = np.reshape(np.broadcast_to(given, (self.threads,)), (-1, 1))
            self.write(dst, np.where(keep, found, zero), lanes, on, issued=True)
            return
        registers = [a for a in places if a.buffer.space is Space.LOCAL]
        memory = [a for a in places if a.buffer.space is not Space.LOCAL]
        counts = [op.fragment.num_regs * op.dtype.bits // a.buffer.dtype.bits for op, a in zip(row.operands, registers)]
        read = [self.read(a, n, on) for a, n in zip(registers, counts)] if self.data else []
        in_row = [max(1, row.bytes * 8 // a.buffer.dtype.bits) for a in memory]
        stores = row.kind == "stmatrix"
        if not stores:
            read += [self.read(a, n, on) for a, n in zip(memory, in_row)]
        whole = mix(name, *map(line, read)) if self.data else np.uint64(0)
        target, lanes = (memory[0], in_row[0]) if stores else (registers[0], counts[0])
        if self.data or stores:
            self.write(target, mix(whole, np.arange(lanes)), lanes, on)


def _synchronises(s: Stmt) -> bool:
    return isinstance(s, (AsyncCommit, AsyncWait, Barrier, ClusterBarrier, Await, Arrive))
