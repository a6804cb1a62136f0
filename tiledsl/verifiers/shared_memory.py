"""The independent verifier of plan-shared-memory. S6: while a buffer holds what will be read, or a copy into it is in
flight, nobody writes its bytes through another buffer; S7 alignment; S8 the arena holds all buffers and fits."""

from __future__ import annotations

from typing import Any

import numpy as np

from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import Alloc, AtomCall, Buffer, Kernel, Launch, Move, Space, Stmt
from tiledsl.ir.walk import statements
from tiledsl.target import Target
from tiledsl.verifiers.barriers import place, size_of
from tiledsl.verifiers.threads import ThreadMachine
from tiledsl.verifiers.watch import Touch, Watcher
from tiledsl.verifiers.world import GivenUp, worlds


def verify_shared(before: Kernel, after: Kernel, target: Target | None = None) -> None:
    """Raises VerifyError S6, S7 or S8."""
    for launch in after.launches:
        _check_slots(launch, target)
        if not launch.shared:
            continue
        for world in worlds(after, launch):
            try:
                ThreadMachine(after, launch, world, _Owners(launch), data=False).run()
            except GivenUp:
                continue


def _check_slots(launch: Launch, target: Target | None) -> None:
    slots = {s.buffer: s.offset for s in launch.shared}
    for s in statements(launch):
        if isinstance(s, Alloc) and s.buffer.space is Space.SHARED and s.buffer not in slots:
            raise VerifyError(f"S8: '{s.buffer.name}' has no place in the arena", s.span)
    for b, at in slots.items():
        if at < 0 or at + size_of(b) > launch.shared_bytes:
            raise VerifyError(
                f"S8: '{b.name}' at {at} reaches out of the arena of {launch.shared_bytes} bytes", launch.span
            )
        if at % 16:
            raise VerifyError(f"S7: '{b.name}' stands at byte {at}, no multiple of 16", launch.span)
    if target is not None and launch.shared_bytes > target.shared_per_block:
        raise VerifyError(f"S8: {launch.shared_bytes} bytes are more than {target.name} has", launch.span)


class _Owners(Watcher):
    """Of every byte of the arena the buffer that wrote it last, and the copy that is on its way to it."""

    wants = (Space.SHARED,)

    def __init__(self, launch: Launch) -> None:
        self.slots = {s.buffer: s.offset for s in launch.shared}
        self.buffers = list(self.slots)
        size = max((at + size_of(b) for b, at in self.slots.items()), default=0)
        self.owner = np.full(size, -1)
        self.writer = np.full(size, -1)
        self.flying = np.zeros(size, np.int64)
        self.loading = np.zeros(size, np.int64)  # the operation of the copy engine that writes a byte
        self.sent = np.full(size, -1)  # the buffer whose byte the copy engine may still take to another block
        self.ever: dict[Buffer, Any] = {b: np.zeros(size_of(b), bool) for b in self.buffers}
        self.committed = self.arrived = 0
        self.stmts: list[Stmt] = []
        self.threads = launch.num_threads

    def touch(self, t: Touch) -> None:
        if t.buffer not in self.slots:
            return
        base, number = self.slots[t.buffer], self.buffers.index(t.buffer)
        start = np.broadcast_to(t.start, (self.threads,))
        if t.on is not True:
            start = start[np.broadcast_to(t.on, (self.threads,))]
        inside = np.clip(start[:, None] + np.arange(t.size), 0, size_of(t.buffer) - 1).reshape(-1)
        self.aligned(t, start + base)
        at = inside + base
        foreign = (self.owner[at] != number) & (self.owner[at] >= 0)
        in_flight = (self.flying[at] > self.arrived) | (self.loading[at] > 0)
        lost = foreign & (in_flight if t.writes else self.ever[t.buffer][inside])
        taken = t.writes & (self.sent[at] != number) & (self.sent[at] >= 0)
        if lost.any() or taken.any():
            n = int(np.argmax(lost | taken))
            other = self.buffers[int(self.owner[at[n]] if lost[n] else self.sent[at[n]])]
            where = place(self.stmts[int(self.writer[at[n]])].span)
            raise VerifyError(
                f"S6: '{t.buffer.name}' and '{other.name}', written at {where}, "
                "share bytes and live at the same time: give them bytes of their own",
                t.stmt.span,
            )
        if t.writes:
            self.stmts.append(t.stmt)
            self.owner[at], self.writer[at] = number, len(self.stmts) - 1
            self.ever[t.buffer][inside] = True
            if t.issued:
                self.flying[at] = self.committed + 1
            self.loading[at] = t.operation

    def sends(self, t: Touch) -> None:
        """To the end, as the other block is told when it is over."""
        if t.buffer in self.slots:
            starts = np.broadcast_to(t.start, (self.threads,))[np.broadcast_to(t.on, (self.threads,))]
            at = np.unique(starts)[:, None] + np.arange(t.size) + self.slots[t.buffer]
            self.sent[at.reshape(-1)] = self.buffers.index(t.buffer)

    def aligned(self, t: Touch, address: Any) -> None:
        if isinstance(t.stmt, (Move, AtomCall)) and t.size in (2, 4, 8, 16) and np.any(address % t.size):
            raise VerifyError(
                f"S7: an access of {t.size} bytes to '{t.buffer.name}' is not aligned in the arena", t.stmt.span
            )

    def complete(self, operation: int) -> None:
        self.loading[self.loading == operation] = 0

    def commit(self) -> None:
        self.committed += 1

    def wait(self, pending: int) -> None:
        self.arrived = max(self.arrived, self.committed - pending)
