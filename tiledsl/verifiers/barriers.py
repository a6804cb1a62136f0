"""The independent verifier of insert-barriers.

One block is executed, and threads that touch the same bytes of the arena must have a barrier between them (S10, at all
distances of a loop: S12), which all threads reach (S11). Copies by cp.async are writes by their thread from the wait on
that covers them; before that nobody may touch what they write (P13, P16). Loads of the copy engine are there for all
who wait at their barrier; no phase of it begins while a thread may still wait for the one before (S26). Between threads
of a role a barrier of the role is enough; what orders roles is verified on tiles (`roles`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tiledsl.errors import Span, VerifyError
from tiledsl.ir.nodes import Alloc, Barrier, Buffer, Kernel, Launch, Space, Stmt
from tiledsl.ir.walk import statements
from tiledsl.target import Target
from tiledsl.verifiers.order import Phases
from tiledsl.verifiers.thread_memory import version_bytes
from tiledsl.verifiers.threads import ThreadMachine
from tiledsl.verifiers.values import Mask
from tiledsl.verifiers.watch import Touch, Watcher
from tiledsl.verifiers.world import GivenUp, worlds

NOBODY, FAR = -1, 1 << 20


def verify_barriers(before: Kernel, after: Kernel, target: Target | None = None) -> None:
    """Raises VerifyError P13, P15, S10, S11 or S26 where the barriers of `after` do not order its threads."""
    for launch in after.launches:
        for world in worlds(after, launch):
            watch = _Races(launch)
            try:
                ThreadMachine(after, launch, world, watch, data=False).run()
            except GivenUp:
                continue


def arena_of(launch: Launch) -> dict[Buffer, int]:
    """The offset of each shared buffer; one after the other if none has been planned."""
    found = {s.buffer: s.offset for s in launch.shared}
    end = max((at + size_of(b) for b, at in found.items()), default=0)
    for s in statements(launch):
        if isinstance(s, Alloc) and s.buffer.space is Space.SHARED and s.buffer not in found:
            found[s.buffer] = end
            end += size_of(s.buffer)
    return found


def size_of(b: Buffer) -> int:
    return b.versions * version_bytes(b)


class _Side:
    """Of every byte the least and greatest thread that touched it since the barrier `epoch`, and the statement."""

    def __init__(self, size: int) -> None:
        self.low, self.high = np.full(size, FAR), np.full(size, NOBODY)
        self.epoch, self.stmt = np.full(size, -1), np.full(size, -1)

    def others(self, at: Any, threads: Any, epochs: Sequence[int]) -> Any:
        """Where another thread than `threads` touched the bytes in these epochs."""
        same = (self.low[at] == threads) & (self.high[at] == threads)
        recent = self.epoch[at] == epochs[-1] if len(epochs) == 1 else np.isin(self.epoch[at], epochs)
        return recent & ~same

    def add(self, at: Any, threads: Any, epoch: int, stmt: int) -> None:
        old = self.epoch[at] != epoch
        self.low[at[old]], self.high[at[old]] = FAR, NOBODY
        # Of several threads at one byte the last assignment stays: rising leave the greatest, falling the least.
        self.high[at] = np.maximum(self.high[at], threads)
        back, falling = at[::-1], threads[::-1]
        self.low[back] = np.minimum(self.low[back], falling)
        self.epoch[at], self.stmt[at] = epoch, stmt


class _Races(Watcher):
    wants = (Space.SHARED,)

    def __init__(self, launch: Launch) -> None:
        self.threads = launch.num_threads
        self.arena = arena_of(launch)
        size = max((at + size_of(b) for b, at in self.arena.items()), default=0)
        self.written, self.read = _Side(size), _Side(size)
        self.flying = np.zeros(size, np.int64)
        self.loading = np.zeros(size, np.int64)  # the operation of the copy engine that writes a byte
        self.epochs, self.here = 1, 0
        self.open: list[int] = [0]  # epochs that no barrier has ended for the present group of threads; the last is now
        self.groups: list[tuple[int, list[int]]] = []  # of each role its threads and its open epochs
        self.committed = self.arrived = 0
        self.issued: list[tuple[Any, Any, int]] = []
        self.pending: dict[int, list[tuple[Any, Any, int]]] = {}
        self.stmts: list[Stmt] = []
        self.numbers: dict[int, int] = {}
        self.awaited: list[tuple[Phases, int, Mask, Stmt]] = []  # since the last barrier: phases by number, by whom

    def number(self, s: Stmt) -> int:
        if id(s) not in self.numbers:
            self.numbers[id(s)] = len(self.stmts)
            self.stmts.append(s)
        return self.numbers[id(s)]

    def touch(self, t: Touch) -> None:
        if t.buffer not in self.arena:
            return
        start = np.broadcast_to(t.start, (self.threads,)) + self.arena[t.buffer]
        threads = np.arange(self.threads)
        if t.on is not True:
            on = np.broadcast_to(t.on, (self.threads,))
            start, threads = start[on], threads[on]
        at = np.clip(start[:, None] + np.arange(t.size), 0, len(self.flying) - 1).reshape(-1)
        threads = np.repeat(threads, t.size)
        self.in_flight(t, at)
        self.ordered(t, at, threads, self.written, "was written")
        if t.writes:
            self.ordered(t, at, threads, self.read, "was read")
        number = self.number(t.stmt)
        if t.issued:
            self.flying[at] = self.committed + 1
            self.issued.append((at, threads, number))
        elif t.operation:
            self.loading[at] = t.operation
        else:
            (self.written if t.writes else self.read).add(at, threads, self.open[-1], number)

    def in_flight(self, t: Touch, at: Any) -> None:
        if self.loading[at].any():
            raise VerifyError(
                f"P13: '{t.buffer.name}' is touched while the copy engine may still write it: wait at its barrier "
                "before",
                t.stmt.span,
            )
        late = self.flying[at] > self.arrived
        if late.any():
            group = int(self.flying[at][late][0])
            waiting = self.pending.get(group, self.issued)
            copy = next((self.stmts[n] for where, _, n in waiting if np.isin(at[late][0], where)), t.stmt)
            raise VerifyError(
                f"P13: '{t.buffer.name}' is touched while the copy at {place(copy.span)} may still write it: wait for "
                "its group before",
                t.stmt.span,
            )

    def ordered(self, t: Touch, at: Any, threads: Any, side: _Side, what: str) -> None:
        wrong = side.others(at, threads, self.open)
        if t.atomic:
            wrong &= ~self.is_atomic(side, at)
        if wrong.any():
            n = int(np.argmax(wrong))
            other = self.stmts[int(side.stmt[at[n]])]
            verb, byte = "writes" if t.writes else "reads", int(at[n]) - self.arena[t.buffer]
            raise VerifyError(
                f"S10: thread {int(threads[n])} {verb} byte {byte} of '{t.buffer.name}', which {what} by thread "
                f"{int(side.low[at[n]])} at {place(other.span)}: a barrier is missing between them",
                t.stmt.span,
            )

    def is_atomic(self, side: _Side, at: Any) -> Any:
        kinds = np.array([type(s).__name__ == "AtomicUpdate" for s in self.stmts] + [False])
        return kinds[side.stmt[at]]

    def barrier(self, s: Stmt, on: Mask) -> None:
        assert isinstance(s, Barrier)
        whole = self.here if self.groups else 0
        if s.count != whole:
            if self.groups and not s.count:
                raise VerifyError(
                    "S11: a barrier of the whole block in a role: the other threads never reach it", s.span
                )
            return  # of some threads: it orders less than all of them
        if on is not True and not np.all(on):
            raise VerifyError("S11: not all threads reach this barrier: it must stand outside of the branch", s.span)
        self.open[:] = [self.new_epoch()]
        self.awaited.clear()

    def awaits(self, barrier: Phases, number: int, on: Mask, s: Stmt) -> None:
        if barrier.count >= self.threads:
            self.awaited.clear()  # all threads have come here
        self.awaited.append((barrier, number, on, s))

    def arrives(self, barrier: Phases, on: Mask, s: Stmt) -> None:
        """Threads that do not arrive may be as far behind as the last barrier lets them."""
        if self.groups:
            return
        here = np.broadcast_to(on, (self.threads,))
        for awaited, number, by, wait in self.awaited:
            behind = np.broadcast_to(by, (self.threads,)) & ~here
            if awaited is barrier and number <= len(barrier.over) and behind.any():
                name, thread = barrier.key[0].name, int(np.argmax(behind))
                raise VerifyError(
                    f"S26: a phase of '{name}' begins while thread {thread} may still wait for the one before, at "
                    f"{place(wait.span)}, and find the same parity again: a barrier is missing between them",
                    s.span,
                )

    def new_epoch(self) -> int:
        self.epochs += 1
        return self.epochs - 1

    def roles(self, threads: Sequence[int]) -> None:
        before = [e for _, epochs in self.groups for e in epochs] or self.open
        self.groups = [(n, [*before, self.new_epoch()]) for n in threads]
        self.open = [*dict.fromkeys(before), self.new_epoch()]

    def turn(self, number: int) -> None:
        self.here, self.open = self.groups[number]

    def complete(self, operation: int) -> None:
        self.loading[self.loading == operation] = 0

    def commit(self) -> None:
        if self.groups:
            raise GivenUp  # each role counts its own groups
        self.committed += 1
        self.pending[self.committed], self.issued = self.issued, []

    def wait(self, pending: int) -> None:
        last = self.committed - pending
        for group in range(self.arrived + 1, last + 1):
            for at, threads, number in self.pending.pop(group, ()):
                self.written.add(at, threads, self.open[-1], number)
        self.arrived = max(self.arrived, last)


def place(span: Span) -> str:
    return f"line {span.line}" if span.line else "a place without a line"
