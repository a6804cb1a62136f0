"""Which asynchronous copies have arrived after each wait, by executing the commits and waits of a launch.

`cp.async.wait_group N` leaves the N youngest groups in flight (PTX ISA, "cp.async.wait_group"), so what it covers
depends on the commits before it. Loops are executed for a few iterations, in which the pattern repeats; what a wait
covers is then told relative to its loop variable. Branches are taken as executed: a copy that is not issued
does no harm.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from tiledsl.analysis.boxes import Linear
from tiledsl.analysis.footprint import Footprint, blocks_of
from tiledsl.ir.nodes import AsyncCommit, AsyncWait, Block, Const, For, If, Stmt, Var, While

Path = tuple[int, ...]  # places in nested blocks; under an If, 0 for `then` and 1 for `orelse` come between
Copies = list[Footprint]


@dataclass(slots=True)
class _Machine:
    own: Mapping[Path, list[Footprint]]
    rounds: int
    relevant: set[Path]  # of issues, commits and waits, and of what is around them
    env: dict[Var, int] = field(default_factory=dict)
    issued: Copies = field(default_factory=list)
    flying: list[Copies] = field(default_factory=list)
    found: dict[Path, Copies] = field(default_factory=dict)
    inner: list[Var] = field(default_factory=list)

    def block(self, block: Block, path: Path) -> None:
        for i, s in enumerate(block):
            here = (*path, i)
            if here in self.relevant:
                self.statement(s, here)

    def statement(self, s: Stmt, path: Path) -> None:
        self.issued += (self.now(f) for f in self.own.get(path, ()) if f.issued)
        match s:
            case AsyncCommit():
                self.flying.append(self.issued)
                self.issued = []
            case AsyncWait(pending):
                arrived = self.flying[: max(0, len(self.flying) - pending)]
                self.flying = self.flying[len(arrived) :]
                known = self.found.setdefault(path, [])
                for f in (self.relative(f) for group in arrived for f in group):
                    if not any(_same(f, g) for g in known):
                        known.append(f)
            case If(_, then, orelse):
                self.block(then, (*path, 0))
                self.block(orelse, (*path, 1))
            case For(var, extent, body):
                self.loop(body, path, var, int(extent.value) if isinstance(extent, Const) else None)
            case While(body=body):
                self.loop(body, path, None, None)

    def loop(self, body: Block, path: Path, var: Var | None, trips: int | None) -> None:
        if not any(isinstance(s, (AsyncCommit, AsyncWait)) for s in _below(body)):
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
    return f.stmt is g.stmt and f.version == g.version


def _below(block: Block) -> Iterator[Stmt]:
    for s in block:
        yield s
        for inner in blocks_of(s):
            yield from _below(inner)


def arrivals(body: Block, own: Mapping[Path, list[Footprint]]) -> dict[Path, list[Footprint]]:
    """For each wait, by its path, what the copies write that it may be the first to cover.

    `own` has the footprints of each statement by its path. With commits or waits under a branch the sequence is not
    known: every wait then stands for all copies, of any version.
    """
    copies = [f for found in own.values() for f in found if f.issued]
    if not copies:
        return {}
    waits = {path: s for path, s in _paths(body, ()) if isinstance(s, (AsyncWait, AsyncCommit))}
    if any(under for path, under in _branches(body, (), False) if path in waits and under):
        everything = [replace(f, version=None) for f in copies]
        return {path: everything for path, s in waits.items() if isinstance(s, AsyncWait)}
    pending = max((s.pending for s in waits.values() if isinstance(s, AsyncWait)), default=0)
    ends = [*waits, *(path for path, found in own.items() if any(f.issued for f in found))]
    relevant = {path[:n] for path in ends for n in range(1, len(path) + 1)}
    machine = _Machine(own, 2 * max(f.buffer.versions for f in copies) + pending + 2, relevant)
    machine.block(body, ())
    return machine.found


def _paths(block: Block, path: Path) -> Iterator[tuple[Path, Stmt]]:
    for i, s in enumerate(block):
        here = (*path, i)
        yield here, s
        if isinstance(s, If):
            yield from _paths(s.then, (*here, 0))
            yield from _paths(s.orelse, (*here, 1))
        elif isinstance(s, (For, While)):
            yield from _paths(s.body, here)


def _branches(block: Block, path: Path, under: bool) -> Iterator[tuple[Path, bool]]:
    """All paths, and whether a branch is around them."""
    for i, s in enumerate(block):
        here = (*path, i)
        yield here, under
        if isinstance(s, If):
            yield from _branches(s.then, (*here, 0), True)
            yield from _branches(s.orelse, (*here, 1), True)
        elif isinstance(s, (For, While)):
            yield from _branches(s.body, here, under)
