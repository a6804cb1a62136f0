"""What barrier placement works on: statements as items of a block, the hazards between them, and the plan."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from tiledsl.analysis.arrivals import Path
from tiledsl.analysis.footprint import Footprint
from tiledsl.analysis.touches import blocks_of
from tiledsl.ir.concurrent import ClusterBarrier, NamedSync
from tiledsl.ir.nodes import (
    AsyncCommit,
    AsyncWait,
    Barrier,
    Block,
    Break,
    Buffer,
    Const,
    Continue,
    Expr,
    If,
    Stmt,
    Var,
)
from tiledsl.passes.placed import described, listed

_SYNCHRONISATION = (Barrier, ClusterBarrier, NamedSync, AsyncWait, AsyncCommit)


@dataclass(frozen=True, slots=True)
class Hazard:
    """Why a barrier is needed: `first` and `second` touch `buffer` in different threads."""

    buffer: Buffer
    first: Stmt
    second: Stmt
    kind: str

    def __str__(self) -> str:
        return f"{self.kind} of '{self.buffer.name}': {described(self.first)}, then {described(self.second)}"


@dataclass(frozen=True, slots=True)
class BarrierPlan:
    """For each barrier the hazards that asked for it, keyed by the path of the statement that it goes before."""

    barriers: Mapping[Path, tuple[Hazard, ...]]

    def __str__(self) -> str:
        return listed(self.barriers, "no barriers")


@dataclass(frozen=True, slots=True)
class Item:
    """A statement as seen from its block: accesses before its first barrier and after its last.

    `through`: there is a way past it without a barrier. `leaves`: it may end the iteration around it.
    """

    enter: tuple[Footprint, ...] = ()
    leave: tuple[Footprint, ...] = ()
    through: bool = True
    leaves: bool = False


def seen_at(found: Iterable[Footprint], var: Var | None, value: int | None) -> list[Footprint]:
    """As seen from outside of the loop over `var`, of the iteration `value`, or of some iteration."""
    return [f.at(var, value) for f in found] if var is not None else list(found)


def over(found: Iterable[Footprint], var: Var | None, trips: int | None) -> list[Footprint]:
    """As seen from outside of the loop over `var`, of all its iterations."""
    if var is None:
        return list(found)
    out: list[Footprint] = []
    for f in found:
        few = trips is not None and trips < f.modulus
        out += [f.at(var, k) for k in (range(trips) if few and trips is not None else (None,))]
    return out


def trip_count(extent: Expr | None) -> int | None:
    return int(extent.value) if isinstance(extent, Const) else None


def leaf(found: tuple[Footprint, ...], s: Stmt) -> Item:
    return Item(found, tuple(f for f in found if not f.issued), leaves=may_leave(s))


def exposed(items: Sequence[Item], before: Sequence[bool]) -> tuple[list[Footprint], list[Footprint]]:
    """What is reached from the start, and what reaches the end, without a barrier; `before[i]`: one before item i."""
    first: list[Footprint] = []
    for item, barrier in zip(items, before):
        if barrier:
            break
        first += item.enter
        if not item.through:
            break
    last: list[Footprint] = []
    for item, barrier in reversed(list(zip(items, before))):
        last += item.leave
        if barrier or not item.through:
            break
    return first, last


def synchronises(s: Stmt) -> bool:
    return any(isinstance(x, _SYNCHRONISATION) or synchronises(x) for block in blocks_of(s) for x in block)


def may_leave(s: Stmt) -> bool:
    match s:
        case Break() | Continue():
            return True
        case If(_, then, orelse):
            return any(may_leave(x) for x in (*then, *orelse))
    return False


def own_level(body: Block) -> Iterable[Stmt]:
    """Statements of an iteration, not those of loops inside."""
    for s in body:
        yield s
        if isinstance(s, If):
            yield from own_level((*s.then, *s.orelse))
