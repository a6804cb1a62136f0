"""The independent verifier of insert-fences.

One block is executed. What a thread wrote in shared memory may be touched through the async proxy (by the copy engine
or the tensor core) only if a fence lies on the way: the thread itself executed it before it published what it wrote,
at a barrier or by an arrival, or before an access of its own; or whoever accesses did, after he had met others at a
barrier. What cp.async wrote by itself, on arrivals that nobody makes, only the latter can fence. Whether there is a
way, barriers and roles are verified for (S10, W7). Source: PTX ISA, "Proxies", "Causality order".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import Kernel, Launch, Space, Stmt
from tiledsl.target import Target
from tiledsl.verifiers.barriers import arena_of, place, size_of
from tiledsl.verifiers.order import Phases
from tiledsl.verifiers.threads import ThreadMachine
from tiledsl.verifiers.values import Mask
from tiledsl.verifiers.watch import Touch, Watcher
from tiledsl.verifiers.world import GivenUp, worlds

CLEAN, DIRTY, FENCED, PUBLISHED, FLYING = range(5)  # of a byte: what happened since a thread wrote it


def verify_fences(before: Kernel, after: Kernel, target: Target | None = None) -> None:
    """Raises VerifyError S20 where the copy engine or the tensor core touches what threads wrote without a fence."""
    for launch in after.launches:
        for world in worlds(after, launch):
            try:
                ThreadMachine(after, launch, world, _Proxies(launch), data=False).run()
            except GivenUp:
                continue


class _Proxies(Watcher):
    wants = (Space.SHARED,)

    def __init__(self, launch: Launch) -> None:
        self.arena = arena_of(launch)
        size = max((at + size_of(b) for b, at in self.arena.items()), default=0)
        self.state, self.writer = np.full(size, CLEAN), np.zeros(size, np.int64)
        self.time, self.stmt = np.zeros(size, np.int64), np.zeros(size, np.int64)
        self.now = 1  # counts what threads meet at
        self.met = np.zeros(launch.num_threads, np.int64)  # of each thread: when it last met others
        self.fenced = np.zeros(launch.num_threads, np.int64)  # ... when it last had, as of its last fence
        self.block = self.group = slice(0, launch.num_threads)
        self.groups: list[slice] = []
        self.committed = self.arrived = 0
        self.issued: list[Any] = []  # bytes that cp.async writes, since the last commit
        self.pending: dict[int, list[Any]] = {}
        self.stmts: list[Stmt] = []
        self.numbers: dict[int, int] = {}

    # ---- who is at work

    def roles(self, threads: Sequence[int]) -> None:
        ends = np.cumsum([0, *threads]).tolist()
        self.groups = [slice(a, b) for a, b in pairwise(ends)]
        self.group = self.block

    def turn(self, number: int) -> None:
        self.group = self.groups[number]

    def threads(self, on: Mask) -> Any:
        """Which threads of the block these of the group are."""
        found = np.zeros(self.block.stop, bool)
        found[self.group] = on
        return found

    # ---- memory

    def touch(self, t: Touch) -> None:
        if t.buffer not in self.arena:
            return
        count = self.block.stop
        start = np.broadcast_to(t.start, (count,)) + self.arena[t.buffer]
        threads = np.arange(count)[np.broadcast_to(t.on, (count,))]
        at = np.clip(start[threads][:, None] + np.arange(t.size), 0, len(self.state) - 1).reshape(-1)
        threads = np.repeat(threads, t.size)
        if t.engine:
            self.ordered(t, at, threads)
            if t.writes:
                self.state[at] = CLEAN
        elif t.writes:
            self.write(t, at, threads)

    def ordered(self, t: Touch, at: Any, threads: Any) -> None:
        state = self.state[at]
        own = (state == FENCED) & (self.writer[at] == threads)
        fine = (state == CLEAN) | (state == PUBLISHED) | own | (self.fenced[threads] > self.time[at])
        if not fine.all():
            n = int(np.argmin(fine))
            write = self.stmts[int(self.stmt[at[n]])]
            raise VerifyError(
                f"S20: byte {int(at[n]) - self.arena[t.buffer]} of '{t.buffer.name}' is touched through the async "
                f"proxy, but thread {int(self.writer[at[n]])} wrote it at {place(write.span)}: a fence is missing "
                "between that and what publishes it",
                t.stmt.span,
            )

    def write(self, t: Touch, at: Any, threads: Any) -> None:
        if id(t.stmt) not in self.numbers:
            self.numbers[id(t.stmt)] = len(self.stmts)
            self.stmts.append(t.stmt)
        self.state[at] = FLYING if t.issued else DIRTY
        self.writer[at], self.time[at], self.stmt[at] = threads, self.now, self.numbers[id(t.stmt)]
        if t.issued:
            self.issued.append(at)

    # ---- fences, and where threads meet

    def fence(self, s: Stmt, on: Mask) -> None:
        if getattr(s, "kind", "") == "async_proxy":
            threads = self.threads(on)
            self.state[(self.state == DIRTY) & threads[self.writer]] = FENCED
            self.fenced[threads] = self.met[threads]

    def publish(self, threads: Any) -> None:
        self.state[(self.state == FENCED) & threads[self.writer]] = PUBLISHED

    def barrier(self, s: Stmt, on: Mask) -> None:
        self.publish(self.threads(on))
        self.meet(on)

    def arrives(self, barrier: Phases, on: Mask, s: Stmt) -> None:
        self.publish(self.threads(on))

    def awaits(self, barrier: Phases, number: int, on: Mask, s: Stmt) -> None:
        self.meet(on)

    def meet(self, on: Mask) -> None:
        self.now += 1
        self.met[self.threads(on)] = self.now

    # ---- cp.async

    def commit(self) -> None:
        if self.groups:
            raise GivenUp  # each role counts its own groups
        self.committed += 1
        self.pending[self.committed], self.issued = self.issued, []

    def wait(self, pending: int) -> None:
        for group in range(self.arrived + 1, self.committed - pending + 1):
            for at in self.pending.pop(group, ()):
                self.state[at[self.state[at] == FLYING]] = DIRTY
                self.time[at] = self.now
        self.arrived = max(self.arrived, self.committed - pending)
