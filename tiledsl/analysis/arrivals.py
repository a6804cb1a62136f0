"""Which asynchronous accesses are complete after each wait, by executing the commits and waits of a launch.

`cp.async.wait_group N` leaves the N youngest groups in flight (PTX ISA, "cp.async.wait_group"), so what it covers
depends on the commits before it; the same holds for products and for stores of the copy engine, each in a queue of its
own. Loops are executed for a few iterations, in which the pattern repeats; what a wait covers is then told relative to
its loop variable. Branches are taken as executed: a copy that is not issued does no harm. Loads of the copy engine
complete on barriers in shared memory, so no wait covers them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tiledsl.analysis.boxes import Linear
from tiledsl.analysis.footprint import Footprint
from tiledsl.analysis.touches import blocks_of, queue_of
from tiledsl.ir.concurrent import QUEUES, Roles
from tiledsl.ir.nodes import AsyncCommit, AsyncWait, Block, Const, For, If, Stmt, Var, While

Path = tuple[int, ...]  # places in nested blocks; under an If and Roles the number of the block comes between
Issues = list[Footprint]


def blocks_at(s: Stmt, path: Path) -> Iterator[tuple[Path, Block]]:
    """The blocks below `s`, which stands at `path`, with what the paths of their statements begin with."""
    for n, block in enumerate(blocks_of(s)):
        yield (path if isinstance(s, For | While) else (*path, n)), block


@dataclass(slots=True)
class _Machine:
    """Of one queue."""

    queue: str
    own: Mapping[Path, list[Footprint]]
    rounds: int
    relevant: set[Path]  # of issues, commits and waits, and of what is around them
    env: dict[Var, int] = field(default_factory=dict)
    issued: Issues = field(default_factory=list)
    flying: list[Issues] = field(default_factory=list)
    found: dict[Path, Issues] = field(default_factory=dict)
    inner: list[Var] = field(default_factory=list)

    def block(self, block: Block, path: Path) -> None:
        for i, s in enumerate(block):
            here = (*path, i)
            if here in self.relevant:
                self.statement(s, here)

    def statement(self, s: Stmt, path: Path) -> None:
        self.issued += (self.now(f) for f in self.own.get(path, ()) if f.issued)
        match s:
            case AsyncCommit(queue) if queue == self.queue:
                self.flying.append(self.issued)
                self.issued = []
            case AsyncWait(pending, queue) if queue == self.queue:
                arrived = self.flying[: max(0, len(self.flying) - pending)]
                self.flying = self.flying[len(arrived) :]
                known = self.found.setdefault(path, [])
                for f in (self.relative(f) for group in arrived for f in group):
                    if not any(_same(f, g) for g in known):
                        known.append(f)
            case If():
                for inner, block in blocks_at(s, path):
                    self.block(block, inner)
            case Roles():
                self.roles(s, path)
            case For(var, extent, body):
                self.loop(body, path, var, int(extent.value) if isinstance(extent, Const) else None)
            case While(body=body):
                self.loop(body, path, None, None)

    def roles(self, s: Roles, path: Path) -> None:
        """Each goes on from what was in flight before; what they leave behind is one group after that."""
        issued, flying, left = self.issued, self.flying, []
        for inner, block in blocks_at(s, path):
            self.issued, self.flying = [*issued], [*flying]
            self.block(block, inner)
            left += [f for group in (*self.flying, self.issued) for f in group]
        self.issued, self.flying = issued, [*flying, left]

    def loop(self, body: Block, path: Path, var: Var | None, trips: int | None) -> None:
        if not any(_concerns(s, self.queue) for s in _below(body)):
            trips = 1 if trips is None else min(trips, 1)
        rounds = self.rounds if trips is None else min(trips, self.rounds)
        for k in range(rounds):
            if var is not None:
                self.env[var] = k
                self.inner.append(var)
            self.block(body, path)
            if var is not None:
                self.inner.pop()
        if rounds != trips:  # what is still in flight is of later iterations in truth
            self.issued = [replace(f, version=None) for f in self.issued]
            self.flying = [[replace(f, version=None) for f in group] for group in self.flying]

    def now(self, f: Footprint) -> Footprint:
        """With the version as a number, where the loop variables tell it."""
        for v, k in self.env.items():
            f = f.at(v, k)
        if f.version is not None and f.version.terms:
            return replace(f, version=None)
        return f

    def relative(self, f: Footprint) -> Footprint:
        """The version relative to the innermost loop around the wait, each of whose iterations moves on by one."""
        if f.version is None or not self.inner:
            return f
        var = self.inner[-1]
        apart = (f.version.constant - self.env[var]) % f.modulus
        return replace(f, version=Linear({var: 1}, apart) if f.buffer.versions > 1 else f.version)


def _same(f: Footprint, g: Footprint) -> bool:
    return f.stmt is g.stmt and f.buffer is g.buffer and f.version == g.version


def _below(block: Block) -> Iterator[Stmt]:
    for s in block:
        yield s
        for inner in blocks_of(s):
            yield from _below(inner)


def arrivals(body: Block, own: Mapping[Path, list[Footprint]]) -> dict[Path, list[Footprint]]:
    """For each wait, by its path, the issued accesses that it may be the first to cover.

    `own` has the footprints of each statement by its path. With commits or waits of a queue under a branch their
    sequence is not known: every wait then stands for all accesses of the queue, of any version.
    """
    found: dict[Path, list[Footprint]] = {}
    for queue in QUEUES:
        issues = {path: [f for f in at if f.issued and queue_of(f.stmt) == queue] for path, at in own.items()}
        issues = {path: at for path, at in issues.items() if at}
        if issues:
            found |= _arrivals(queue, body, issues)
    return found


def _arrivals(queue: str, body: Block, issues: Mapping[Path, list[Footprint]]) -> dict[Path, list[Footprint]]:
    every = [f for at in issues.values() for f in at]
    points = [(path, s, under) for path, s, under in _paths(body, ()) if _concerns(s, queue)]
    waits = {path: s for path, s, _ in points if isinstance(s, AsyncWait)}
    if any(under for _, _, under in points):
        everything = [replace(f, version=None) for f in every]
        return dict.fromkeys(waits, everything)
    pending = max((s.pending for s in waits.values()), default=0)
    relevant = {path[:n] for path in (*issues, *(p for p, *_ in points)) for n in range(1, len(path) + 1)}
    rounds = 2 * max(f.buffer.versions for f in every) + pending + 2
    machine = _Machine(queue, issues, rounds, relevant)
    machine.block(body, ())
    return machine.found


def _concerns(s: Stmt, queue: str) -> bool:
    return isinstance(s, AsyncCommit | AsyncWait) and s.queue == queue


def _paths(block: Block, path: Path, under: bool = False) -> Iterator[tuple[Path, Stmt, bool]]:
    """All statements with their paths, and whether a branch is around them."""
    for i, s in enumerate(block):
        here = (*path, i)
        yield here, s, under
        for inner, below in blocks_at(s, here):
            yield from _paths(below, inner, under or isinstance(s, If))
