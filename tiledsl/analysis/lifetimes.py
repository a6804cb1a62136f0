"""From which statement to which each shared buffer of a launch is needed.

A lifetime reaches from the first access to the last, in program order. An access inside a loop counts for the whole
loop if the buffer is allocated outside of it. Bytes that cp.async writes belong to the buffer from the issue on; they
stay its own until the read that waits for them, or to the end where no read follows. What the copy engine or the tensor
core touches stays the buffer's until the wait for it that no thread passes over. Roles work at the same time, so what
one of them touches lives through all of their statement, and barriers in memory live from their initialisation to the
end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tiledsl.analysis.access import statements_below, storage_roots
from tiledsl.analysis.touches import queue_of, touches
from tiledsl.errors import Span
from tiledsl.ir.concurrent import Arrive, Await, BulkMove, Roles, TensorCopy, reaches_blocks, sends
from tiledsl.ir.nodes import (
    Alloc,
    AsyncWait,
    Block,
    Buffer,
    Const,
    For,
    If,
    Launch,
    Space,
    Stmt,
    While,
)
from tiledsl.ir.walk import may_leave


@dataclass(frozen=True, slots=True)
class LiveRange:
    """`buffer`, allocated at `span`, is needed from statement number `first` to `last` inclusive.

    Statements are numbered from 1 in program order; the end of a loop and that of roles count too.
    """

    buffer: Buffer
    first: int
    last: int
    span: Span


def live_ranges(launch: Launch) -> tuple[LiveRange, ...]:
    """One for each shared buffer of a thread-stage launch, and for each buffer of barriers, as they are allocated."""
    scanner = _Scanner(storage_roots(launch.body))
    scanner.block(launch.body)
    moves = [s for s in statements_below(launch.body) if isinstance(s, TensorCopy | BulkMove) and reaches_blocks(s)]
    copied, sent = {s.dst.buffer for s in moves}, {s.src.buffer for s in moves if sends(s)}
    found: list[LiveRange] = []
    for buffer, span in scanner.made:
        first, last = scanner.touched.get(buffer, (scanner.number, scanner.number))
        if buffer in scanner.in_flight or scanner.engaged.get(buffer):
            last = scanner.number
        if buffer.space is Space.BARRIER:  # others may still arrive, or look whether a phase is over
            first, last = 0, scanner.number
        if buffer in copied:  # by blocks of the cluster that may be ahead
            first = 0
        if buffer in sent:  # the other block is told when it has been read, not this one
            last = scanner.number
        found.append(LiveRange(buffer, first, last, span))
    return tuple(found)


Around = tuple[int, ...]  # numbers of the stretches around a statement that may be passed over, outermost first


@dataclass(slots=True)
class _Scanner:
    """Numbers the statements; `touched` has the first and last of each buffer."""

    roots: Mapping[Buffer, Buffer]
    number: int = 0
    loops: list[list[Buffer]] = field(default_factory=list)  # what the open loops have touched
    touched: dict[Buffer, list[int]] = field(default_factory=dict)
    home: dict[Buffer, int] = field(default_factory=dict)  # the number of loops around the allocation
    made: list[tuple[Buffer, Span]] = field(default_factory=list)
    in_flight: set[Buffer] = field(default_factory=set)  # cp.async writes them
    # Queues and barriers that say when it is over, and the loops and branches around the accesses.
    engaged: dict[Buffer, dict[object, set[Around]]] = field(default_factory=dict)
    around: Around = ()
    entered: int = 0  # so many of them

    def block(self, block: Block) -> None:
        outside = self.around
        for s in block:
            self.number += 1
            match s:
                case Alloc(buffer) if buffer.space in (Space.SHARED, Space.BARRIER):
                    self.home[buffer] = len(self.loops)
                    self.made.append((buffer, s.span))
                case For(extent=extent, body=body):
                    self.touch(s)
                    self.loop(body, certain=isinstance(extent, Const) and extent.value > 0)
                case While(body=body):
                    self.loop(body, s)
                case If(_, then, orelse):
                    self.touch(s)
                    self.inside(then)
                    self.inside(orelse)
                case Roles(roles):
                    self.together([role.body for role in roles])
                case AsyncWait(pending, queue):
                    self.over(queue, last=pending == 0)
                case Await(barrier, buffers=buffers):
                    self.touch(s)
                    self.hand(buffers)
                    self.over(barrier.buffer, last=True)
                case Arrive(buffers=buffers):
                    self.touch(s)
                    self.hand(buffers)
                case _:
                    self.touch(s)
            if may_leave((s,)):  # what stands behind it may be passed over
                self.enter()
        self.around = outside

    def inside(self, block: Block) -> None:
        """A block that may be passed over."""
        outside = self.around
        self.enter()
        self.block(block)
        self.around = outside

    def enter(self) -> None:
        """What follows may be passed over."""
        self.entered += 1
        self.around = (*self.around, self.entered)

    def loop(self, body: Block, head: Stmt | None = None, *, certain: bool = False) -> None:
        """`certain`: it has an iteration at least."""
        start, inside = self.number, list[Buffer]()
        self.loops.append(inside)
        if head is not None:
            self.touch(head)
        (self.block if certain else self.inside)(body)
        self.loops.pop()
        self.number += 1
        for b in inside:
            if self.home[b] <= len(self.loops):
                self.extend(b, start)
                self.extend(b, self.number)
                if self.loops:
                    self.loops[-1].append(b)

    def together(self, bodies: Sequence[Block]) -> None:
        """Roles: whatever one of them touches lives from the first statement to the last of all."""
        start, inside = self.number, list[Buffer]()
        self.loops.append(inside)
        for body in bodies:
            self.block(body)
        self.loops.pop()
        self.number += 1
        for b in inside:
            self.extend(b, start)
            self.extend(b, self.number)
            if self.loops and self.home[b] <= len(self.loops):
                self.loops[-1].append(b)

    def touch(self, s: Stmt) -> None:
        for buffer, _, _, _, _, issued, _ in touches(s):
            b = self.roots.get(buffer, buffer)
            if b not in self.home:
                continue
            self.at(b)
            if not issued:
                self.in_flight.discard(b)
            elif (end := _end_of(s)) == "copy":
                self.in_flight.add(b)
            else:
                self.engaged.setdefault(b, {}).setdefault(end, set()).add(self.around)

    def hand(self, buffers: Sequence[Buffer]) -> None:
        for b in buffers:
            if (root := self.roots.get(b, b)) in self.home:
                self.at(root)

    def over(self, end: object, last: bool) -> None:
        """A wait: what it is for was needed up to here. `last`: and nothing of it is on its way any more, if the wait
        happens whenever the access did."""
        for b, ends in self.engaged.items():
            if end in ends:
                self.at(b)
                if last:
                    depth = len(self.around)
                    ends[end] = {around for around in ends[end] if around[:depth] != self.around}
                    if not ends[end]:
                        del ends[end]

    def at(self, b: Buffer) -> None:
        self.extend(b, self.number)
        if self.loops:
            self.loops[-1].append(b)

    def extend(self, b: Buffer, number: int) -> None:
        span = self.touched.setdefault(b, [number, number])
        span[0], span[1] = min(span[0], number), max(span[1], number)


def _end_of(s: Stmt) -> object:
    """What says that the asynchronous accesses of `s` are complete: the name of a queue, or a barrier."""
    if isinstance(s, TensorCopy | BulkMove) and s.barrier is not None:
        return s.barrier.buffer
    return queue_of(s)
