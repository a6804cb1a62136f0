"""The independent verifier of insert-fences.

One block is executed. What a thread wrote in memory may be touched through the async proxy (by the copy engine
or the tensor core) only if a fence lies on the way: the thread itself executed it before it published what it wrote,
at a barrier or by an arrival, or before an access of its own; or whoever accesses did, after he had met others at a
barrier. What cp.async wrote by itself, on arrivals that nobody makes, only the latter can fence. Whether there is a
way, barriers and roles are verified for (S10, W7). Of a tensor in global memory one byte stands for all that a thread
wrote there. Source: PTX ISA, "Proxies", "Causality order".
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np

from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import Buffer, Kernel, Launch, Space, Stmt
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
    wants = (Space.SHARED, Space.GLOBAL)

    def __init__(self, launch: Launch) -> None:
        self.arena = arena_of(launch)
        self.shared = max((at + size_of(b) for b, at in self.arena.items()), default=0)
        self.state = np.full(self.shared, CLEAN)
        self.writer, self.time, self.stmt = (np.zeros(self.shared, np.int64) for _ in range(3))
        self.tensors: dict[Buffer, int] = {}  # that threads have written: where their bytes begin
        self.now = 1  # counts what threads meet at
        self.met = np.zeros(launch.num_threads, np.int64)  # of each thread: when it last met others
        # ... when it last had, as of its last fence of a kind
        self.fenced = {kind: np.zeros(launch.num_threads, np.int64) for kind in ("async_proxy", "async_proxy_global")}
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
            if (n := self.unordered(at, threads, "async_proxy")) is not None:
                self.missing(f"byte {int(at[n]) - self.arena[t.buffer]} of '{t.buffer.name}'", int(at[n]), t.stmt)
            if t.writes:
                self.state[at] = CLEAN
        elif t.writes:
            self.write(t.stmt, at, threads, FLYING if t.issued else DIRTY)
            if t.issued:
                self.issued.append(at)

    def tensor(self, b: Buffer, writes: bool, on: Mask, s: Stmt, engine: bool = False) -> None:
        threads = np.flatnonzero(self.threads(on))
        if not engine:
            if writes:
                self.write(s, self.of_tensor(b) + threads, threads, DIRTY)
        elif b in self.tensors:
            at = self.of_tensor(b) + np.arange(self.block.stop)
            for thread in threads:
                if (n := self.unordered(at, np.full(at.shape, thread), "async_proxy_global")) is not None:
                    self.missing(f"'{b.name}'", int(at[n]), s)
            if writes:
                self.state[at] = CLEAN

    def of_tensor(self, b: Buffer) -> int:
        if b not in self.tensors:
            self.tensors[b] = len(self.state)
            none = np.zeros(self.block.stop, np.int64)
            self.state = np.append(self.state, np.full(none.shape, CLEAN))
            self.writer, self.time, self.stmt = (np.append(x, none) for x in (self.writer, self.time, self.stmt))
        return self.tensors[b]

    def unordered(self, at: Any, threads: Any, kind: str) -> int | None:
        """The first of these bytes that the async proxy may not see as `threads` do."""
        state = self.state[at]
        own = (state == FENCED) & (self.writer[at] == threads)
        fine = (state == CLEAN) | (state == PUBLISHED) | own | (self.fenced[kind][threads] > self.time[at])
        return None if fine.all() else int(np.argmin(fine))

    def missing(self, what: str, at: int, s: Stmt) -> NoReturn:
        write = self.stmts[int(self.stmt[at])]
        raise VerifyError(
            f"S20: {what} is touched through the async proxy, but thread {int(self.writer[at])} wrote it at "
            f"{place(write.span)}: a fence is missing between that and what publishes it",
            s.span,
        )

    def write(self, s: Stmt, at: Any, threads: Any, state: int) -> None:
        if id(s) not in self.numbers:
            self.numbers[id(s)] = len(self.stmts)
            self.stmts.append(s)
        self.state[at] = state
        self.writer[at], self.time[at], self.stmt[at] = threads, self.now, self.numbers[id(s)]

    # ---- fences, and where threads meet

    def fence(self, s: Stmt, on: Mask) -> None:
        if (kind := getattr(s, "kind", "")) not in self.fenced:
            return
        threads = self.threads(on)
        of_kind = (np.arange(len(self.state)) < self.shared) == (kind == "async_proxy")
        self.state[of_kind & (self.state == DIRTY) & threads[self.writer]] = FENCED
        self.fenced[kind][threads] = self.met[threads]

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
