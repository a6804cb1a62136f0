"""What the statements of a launch touch of shared memory, by their paths: the tables that barriers are placed by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tiledsl.analysis.access import AccessKind, negated
from tiledsl.analysis.arrivals import Path, arrivals
from tiledsl.analysis.footprint import Footprint, Tables
from tiledsl.analysis.touches import binds_of, is_shared, touches
from tiledsl.ir.concurrent import WARPGROUP, Arrive, Await, InitBarrier, Roles
from tiledsl.ir.nodes import Block, Buffer, Const, Expr, For, If, Launch, Stmt, While
from tiledsl.ir.walk import statements

_BARRIER_BYTES = 8


@dataclass(frozen=True, slots=True)
class Measured:
    """`own` has the footprints of each statement, with its loops enumerated and its branches as masks; `arrived` what
    each wait for a queue tells the waiting thread; `groups` the warpgroups that have a thread at an arrival."""

    own: dict[Path, list[Footprint]] = field(default_factory=dict)
    arrived: dict[Path, list[Footprint]] = field(default_factory=dict)
    groups: dict[int, frozenset[int]] = field(default_factory=dict)


def measured(launch: Launch, granules: Mapping[Buffer, int], roots: Mapping[Buffer, Buffer]) -> Measured:
    lets = {let.var: let.value for let in binds_of(launch.body)}
    rings = _rings(launch)
    walker = _Walker(launch, Measured(), rings)
    granules = {**granules, **dict.fromkeys(rings, _BARRIER_BYTES)}
    walker.block(Tables(launch.thread, launch.num_threads, granules, roots, lets), launch.body, (), ())
    walker.found.arrived.update(arrivals(launch.body, walker.found.own))
    return walker.found


def _rings(launch: Launch) -> frozenset[Buffer]:
    """Barriers at which one thread announces what all wait for, if nothing but barriers of the block orders threads."""
    every = list(statements(launch))
    counts = {s.barrier.buffer: s.count for s in every if isinstance(s, InitBarrier)}
    ordered = any(n > 1 for n in counts.values()) or any(isinstance(s, Roles) for s in every)
    return frozenset() if ordered else frozenset(counts)


@dataclass(slots=True)
class _Walker:
    launch: Launch
    found: Measured
    rings: frozenset[Buffer] = frozenset()

    def block(self, tables: Tables, block: Block, path: Path, masks: tuple[Expr, ...]) -> None:
        for i, s in enumerate(block):
            self.statement(tables, s, (*path, i), masks)

    def statement(self, tables: Tables, s: Stmt, path: Path, masks: tuple[Expr, ...]) -> None:
        touched = [t for t in touches(s) if is_shared(t[0])]
        if touched:
            self.found.own[path] = [
                tables.footprint(buffer, index, version, size, kind, stmt=s, issued=issued, masks=(*masks, *when))
                for buffer, index, version, size, kind, issued, when in touched
            ]
        match s:
            case Arrive() | Await() if s.barrier.buffer in self.rings:
                self.turn(tables, s, path, masks)
            case Arrive():
                self.arrive(tables, s, path, masks)
            case For(extent=Const(extent)):
                tables.loops.append((s.var, int(extent)))
                self.block(tables, s.body, path, masks)
                tables.loops.pop()
            case For() | While():
                self.block(tables, s.body, path, masks)
            case If(cond, then, orelse):
                self.block(tables, then, (*path, 0), (*masks, cond))
                self.block(tables, orelse, (*path, 1), (*masks, negated(cond)))
            case Roles(roles):
                for n, role in enumerate(roles):
                    self.block(tables.of_role(role, self.launch.thread), role.body, (*path, n), masks)

    def turn(self, tables: Tables, s: Arrive | Await, path: Path, masks: tuple[Expr, ...]) -> None:
        """A phase begins, or is awaited. Who is slow must not find a later phase of the same parity: so all threads
        have awaited one before the next begins, as if it overwrote what they read. The slot counts as a version."""
        (slot,) = s.barrier.indices
        kind, begins = (AccessKind.WRITE, True) if isinstance(s, Arrive) else (AccessKind.READ, False)
        made = tables.footprint(s.barrier.buffer, (), slot, 0, kind, stmt=s, issued=begins, masks=masks)
        self.found.own.setdefault(path, []).append(made)

    def arrive(self, tables: Tables, s: Arrive, path: Path, masks: tuple[Expr, ...]) -> None:
        """A thread that arrives for others hands over what they touched: they must have come to a barrier before.

        So it counts as its write of the tiles; but only towards what was before, for what comes after awaits a barrier.
        """
        active = tables.active(masks)
        if len(active) == tables.threads:
            return
        self.found.groups[id(s)] = frozenset((tables.first + int(t)) // WARPGROUP for t in active)
        for b in s.buffers:
            if is_shared(b) and tables.roots.get(b, b) in tables.granules:
                write = tables.footprint(b, (), None, 0, AccessKind.WRITE, stmt=s, issued=True, masks=masks)
                self.found.own.setdefault(path, []).append(write)
