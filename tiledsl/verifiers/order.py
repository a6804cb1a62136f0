"""Who knows what has happened: the roles of a block, their queues, and barriers in shared memory.

A role is an *agent* with a clock. What it does at a time of its clock has happened for another agent that knows of this
time. What goes on beside the agents (a copy, a product) is an *operation*: it has happened for those who waited for its
group, or for the phase of the barrier on which it completes. Agents learn from phases of barriers what those who
arrived knew. Two accesses that conflict must be ordered by what is known; in which order the verifier happens to
execute the roles does not matter then, but that they all come to an end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from tiledsl.errors import Span, VerifyError
from tiledsl.ir.concurrent import QUEUES, WARPGROUP
from tiledsl.ir.nodes import Buffer, Stmt

Array = np.ndarray[Any, Any]
Place = tuple[Any, ...]  # of elements: version and indices
Key = tuple[Buffer, int, tuple[int, ...], int]  # a barrier: buffer, version, indices, rank of the block
T = TypeVar("T")
WARP = 32


@dataclass
class Knowledge:
    """The time of each agent, the operations (as bits), and the phases of each barrier that are known to be over."""

    clock: dict[int, int] = field(default_factory=dict)
    operations: int = 0
    phases: dict[Key, int] = field(default_factory=dict)

    def learn(self, other: Knowledge) -> None:
        self.operations |= other.operations
        _raise(self.clock, other.clock)
        _raise(self.phases, other.phases)

    def copy(self) -> Knowledge:
        return Knowledge(dict(self.clock), self.operations, dict(self.phases))


def _raise(mine: dict[T, int], theirs: dict[T, int]) -> None:
    for key, time in theirs.items():
        mine[key] = max(time, mine.get(key, 0))


@dataclass
class Queue:
    """Operations as bits: those since the last commit, and the groups that have not been waited for."""

    issued: int = 0
    groups: list[int] = field(default_factory=list)


@dataclass
class Agent:
    """The whole block (number 0), or the threads of a role. `scalars` are its own variables in memory."""

    number: int
    name: str
    threads: int
    knows: Knowledge = field(default_factory=Knowledge)
    queues: dict[str, Queue] = field(default_factory=lambda: {q: Queue() for q in QUEUES})
    scalars: dict[Buffer, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tick()

    @property
    def now(self) -> int:
        return self.knows.clock[self.number]

    def tick(self) -> None:
        """What it does from here on is not known to whoever learns from what it knew."""
        self.knows.clock[self.number] = self.knows.clock.get(self.number, 0) + 1

    def role(self, number: int, name: str, threads: int) -> Agent:
        queues = {name: Queue(q.issued, [*q.groups]) for name, q in self.queues.items()}
        return Agent(number, f"role '{name}'", threads, self.knows.copy(), queues, dict(self.scalars))

    def commit(self, queue: str) -> None:
        q = self.queues[queue]
        q.groups.append(q.issued)
        q.issued = 0

    def wait(self, queue: str, pending: int) -> None:
        groups = self.queues[queue].groups
        over = groups[: max(0, len(groups) - pending)]
        del groups[: len(over)]
        for group in over:
            self.knows.operations |= group

    def in_queue(self, queue: str) -> int:
        """Operations that may be in flight."""
        q = self.queues[queue]
        return q.issued | sum(q.groups)  # groups have no bit in common

    def arrivals(self, by: str) -> int:
        agents = {"threads": self.threads, "warps": self.threads // WARP, "warpgroups": self.threads // WARPGROUP}
        return agents.get(by, 1)


@dataclass
class Phases:
    """A barrier: what has come in the phase in progress, and what was known at the end of each phase before it."""

    key: Key
    count: int
    arrived: int = 0
    bytes: int = 0
    gathered: Knowledge = field(default_factory=Knowledge)
    over: list[Knowledge] = field(default_factory=list)

    def arrive(self, knows: Knowledge, times: int, stmt: Stmt) -> None:
        if self.arrived + times > self.count:
            raise VerifyError(f"W5: {times} arrivals more at barrier {self} are too many for its phase", stmt.span)
        self.gathered.learn(knows)
        self.arrived += times
        self.end()

    def expect(self, count: int) -> None:
        """More bytes, or fewer where they have come."""
        self.bytes += count
        self.end()

    def deliver(self, operation: int, count: int) -> None:
        self.gathered.operations |= operation
        self.expect(-count)

    def end(self) -> None:
        if self.arrived < self.count or self.bytes:
            return
        self.arrived = 0
        self.gathered.phases[self.key] = len(self.over) + 1
        self.over.append(self.gathered.copy())

    def pass_by(self, agent: Agent, parity: int, stmt: Stmt) -> Iterator[None]:
        """Yields until the phase that `agent` waits for is over: the next of that parity, as far as it knows."""
        known = agent.knows.phases.get(self.key, 0)
        needed = known + (known % 2 == parity)
        while len(self.over) < needed:
            yield
        if len(self.over) > needed:
            raise VerifyError(
                f"W4: {agent.name} waits for phase {needed} of '{self.key[0].name}', which may be in phase "
                f"{len(self.over) + 1} already and have the same parity again: a wait or an arrival is missing",
                stmt.span,
            )
        if needed:
            agent.knows.learn(self.over[needed - 1])

    def __str__(self) -> str:
        to_come = f", {self.bytes} bytes to come" if self.bytes else ""
        block = f" of block {self.key[3]} of the cluster" if self.key[3] else ""
        return f"'{self.key[0].name}'{list(self.key[2])}{block} ({self.arrived} of {self.count} arrivals{to_come})"


@dataclass
class Tile:
    """A buffer on chip: tokens of (versions, *shape). `marks` say of every element who touched it, `stmts` where.

    Marks: ("writing",): the operation that writes it; ("reading", agent): the last one that reads it for the agent;
    ("wrote",): the agent, plus 1, and ("wrote at",): its time; ("read at", agent): the time of its last reading.
    """

    tokens: Array
    marks: dict[tuple[Any, ...], Array] = field(default_factory=dict)
    stmts: dict[tuple[str, int], Stmt] = field(default_factory=dict)  # by operation, or by agent

    def mark(self, *key: Any) -> Array:
        if key not in self.marks:
            self.marks[key] = np.zeros(self.tokens.size, np.int32)
        return self.marks[key].reshape(self.tokens.shape)

    def of_kind(self, kind: str) -> list[tuple[int, Array]]:
        return [(key[1], self.mark(*key)) for key in self.marks if key[0] == kind and len(key) > 1]

    def under(self, shape: tuple[int, ...]) -> Tile:
        """The same memory in another shape."""
        return Tile(self.tokens.reshape(shape), self.marks, self.stmts)


@dataclass
class Ordering:
    """Checks accesses to tiles by what agents know. `roles`: whether there is more than one agent."""

    roles: bool

    def read(self, agent: Agent, name: str, tile: Tile, at: Place, stmt: Stmt, allowed: int = 0) -> None:
        """Raises VerifyError P13, W7. `allowed` are operations that may go on."""
        self._complete(agent, name, tile, at, stmt, allowed)
        if self.roles:
            self._after_writes(agent, name, tile, at, stmt, "W7", "reads")
            tile.mark("read at", agent.number)[at] = agent.now
            tile.stmts["read", agent.number] = stmt

    def write(self, agent: Agent, name: str, tile: Tile, at: Place, stmt: Stmt, allowed: int = 0) -> None:
        """Raises VerifyError P13, W7, W8, W10."""
        self._complete(agent, name, tile, at, stmt, allowed)
        for _, reading in tile.of_kind("reading"):
            if unknown := _unknown(agent.knows.operations | allowed, reading[at]):
                raise VerifyError(
                    f"W10: {agent.name} writes '{name}' while what was issued at "
                    f"{where(tile.stmts['operation', unknown].span)} may still read it; wait for it, and hand the tile "
                    "over, before",
                    stmt.span,
                )
        if self.roles:
            self._after_writes(agent, name, tile, at, stmt, "W8", "writes")
            self._after_reads(agent, name, tile, at, stmt)
            tile.mark("wrote")[at], tile.mark("wrote at")[at] = agent.number + 1, agent.now
            tile.stmts["write", agent.number] = stmt

    def issue(self, tile: Tile, at: Place, operation: int, stmt: Stmt) -> None:
        """From here on `operation` writes the elements; that it is over says more than that it was issued."""
        tile.mark("writing")[at] = operation
        tile.stmts["operation", operation] = stmt
        if self.roles:
            tile.mark("wrote")[at] = 0

    def borrow(self, agent: Agent, tile: Tile, at: Place, operation: int, stmt: Stmt) -> None:
        """From here on `operation` reads the elements."""
        tile.mark("reading", agent.number)[at] = operation
        tile.stmts["operation", operation] = stmt

    def _complete(self, agent: Agent, name: str, tile: Tile, at: Place, stmt: Stmt, allowed: int) -> None:
        if ("writing",) in tile.marks and (
            unknown := _unknown(agent.knows.operations | allowed, tile.mark("writing")[at])
        ):
            issued = tile.stmts["operation", unknown]
            raise VerifyError(
                f"P13: a statement uses '{name}' while the {work(issued)} at {where(issued.span)} may still write it; "
                "wait for its group before",
                stmt.span,
            )

    def _after_writes(self, agent: Agent, name: str, tile: Tile, at: Place, stmt: Stmt, law: str, does: str) -> None:
        by, times = tile.mark("wrote")[at], tile.mark("wrote at")[at]
        for number in np.unique(by):
            other = int(number) - 1
            if other in (-1, agent.number):
                continue
            if times[by == number].max() > agent.knows.clock.get(other, 0):
                self._unordered(agent, name, tile.stmts["write", other], stmt, law, does, "written")

    def _after_reads(self, agent: Agent, name: str, tile: Tile, at: Place, stmt: Stmt) -> None:
        for other, times in tile.of_kind("read at"):
            if other != agent.number and times[at].max(initial=0) > agent.knows.clock.get(other, 0):
                self._unordered(agent, name, tile.stmts["read", other], stmt, "W8", "writes", "read")

    def _unordered(self, agent: Agent, name: str, other: Stmt, stmt: Stmt, law: str, does: str, done: str) -> None:
        raise VerifyError(
            f"{law}: {agent.name} {does} '{name}', which is {done} at {where(other.span)}, and nothing that it has "
            "waited for says that this is over: a wait or an arrival is missing, or is of another phase",
            stmt.span,
        )


def _unknown(known: int, operations: Any) -> int:
    """An operation of those that is not known to be over; 0 if there is none."""
    return next((int(n) for n in np.unique(operations) if n and not known >> int(n) & 1), 0)


def work(s: Stmt) -> str:
    return "product" if type(s).__name__ == "Gemm" else "copy"


def where(span: Span) -> str:
    return f"line {span.line}" if span.line else "a place that is not known"
