"""Channels: how the tiles are handed over from the producer to the consumers. The plan consists of them.

A *channel* is a ring of `depth` versions of some tiles with two barriers for each: `full` ends a phase when the tiles
have arrived, `empty` when the consumers have read them. Iteration n of the copies uses version n % depth, in phase
n // depth. Both sides count n for themselves: it must be the same number on both, so both execute the same loops and
guards.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.analysis.arrivals import Path
from tiledsl.analysis.copy_engine import bulk_bytes
from tiledsl.analysis.touches import version_bytes
from tiledsl.analysis.turns import nest_of
from tiledsl.ir.concurrent import WARPGROUP, members
from tiledsl.ir.nodes import Block, Buffer, For, If, Stmt
from tiledsl.ir.tile import Copy
from tiledsl.passes.warp_specialise.budget import AS_LAUNCHED, Budget
from tiledsl.passes.warp_specialise.fills import ENGINE, tile_of


@dataclass(frozen=True, slots=True)
class Candidate:
    """A copy that the producer can make: `first` and `last` number the statements of its block that read its tile.

    `how`: by the copy engine, or by the producer's threads (`fills`), and then `why` the copy engine cannot.
    """

    path: Path
    copy: Stmt
    around: tuple[Stmt, ...]  # loops and conditionals, outermost first
    first: int
    last: int
    tile: Buffer
    how: str = ENGINE
    why: str = ""

    @property
    def bytes(self) -> int:
        """What the copy engine adds to the bytes of a barrier: here, or also from the other blocks of the cluster."""
        if not isinstance(self.copy, Copy) or self.how != ENGINE:
            return 0
        return bulk_bytes(self.copy) * max(1, len(members(self.ranks)))

    @property
    def ranks(self) -> int:
        """The blocks of the cluster whose tiles the copy writes, as a mask; 0: only its own."""
        return self.copy.ranks if isinstance(self.copy, Copy) else 0

    @property
    def block(self) -> Path:
        return self.path[:-1]

    @property
    def nest(self) -> tuple[Stmt, ...]:
        """What is around from the outermost loop on: what stands outside of that is executed at most once."""
        return nest_of(self.around)


@dataclass(frozen=True, slots=True)
class Channel:
    """Copies with the same readers, and their barriers. `by` says who tells that the tiles have been read.

    `counted`: n cannot be computed from the loops around, so both sides keep count: of the iterations of the innermost
    loop before each run of it (`by_run`) where that says n, which keeps the loop free of it, else of the iterations.
    """

    copies: tuple[Candidate, ...]
    depth: int
    by: str
    counted: bool

    @property
    def tiles(self) -> tuple[Buffer, ...]:
        return tuple(dict.fromkeys(c.tile for c in self.copies))

    @property
    def size(self) -> int:
        """Bytes of a version of the tiles."""
        return sum(map(version_bytes, self.tiles))

    @property
    def bytes(self) -> int:
        """Of a version: what this block loads of it by the copy engine, or all blocks of the cluster together."""
        return sum(c.bytes for c in self.copies)

    @property
    def ranks(self) -> int:
        """The blocks of the cluster whose tiles this block writes, as a mask; 0: only its own."""
        return max(c.ranks for c in self.copies)

    @property
    def ways(self) -> frozenset[str]:
        return frozenset(c.how for c in self.copies)

    @property
    def by_threads(self) -> bool:
        """Whether all threads of the producer take part, not only the one that starts the copy engine."""
        return self.ways != {ENGINE}

    @property
    def arrivals(self) -> int:
        """How many arrivals say that the tiles have come: cp.async and what threads write have one of each thread."""
        return (ENGINE in self.ways) + WARPGROUP * len(self.ways - {ENGINE})

    @property
    def nest(self) -> tuple[Stmt, ...]:
        return self.copies[0].nest

    @property
    def by_run(self) -> bool:
        return self.counted and isinstance(self.nest[-1], For)

    @property
    def name(self) -> str:
        return "_".join(b.name for b in self.tiles)

    def __str__(self) -> str:
        tiles = ", ".join(b.name for b in self.tiles)
        how = "by runs of the loop" if self.by_run else "both sides count" if self.counted else "by the loops"
        rows = [
            f"copy to {c.tile.name} at line {c.copy.span.line} by 128 threads, {c.how}: {c.why}"
            for c in self.copies
            if c.how != ENGINE
        ]
        dealt = [c.tile.name for c in self.copies if c.ranks]
        blocks = f"; {len(members(self.ranks))} blocks load parts of {', '.join(dealt)} for each other" if dealt else ""
        line = f"{tiles}: {self.depth} versions of {self.size} bytes, read by {self.by}, counted {how}{blocks}"
        return "\n".join([line, *rows])


@dataclass(frozen=True, slots=True)
class WarpPlan:
    """What warp-specialise decided for a launch: its channels, or `refused`, why it left the launch as it was.

    `left` are copies of pipelined loops that the consumers make themselves, each with the reason; `alone` those that
    the producer of each block of a cluster makes for itself.
    """

    consumers: int = 0  # threads
    channels: tuple[Channel, ...] = ()
    budget: Budget = AS_LAUNCHED
    refused: str = ""
    left: tuple[tuple[Stmt, str], ...] = ()
    alone: tuple[tuple[Stmt, str], ...] = ()

    def __str__(self) -> str:
        if self.refused:
            return f"not specialised: {self.refused}"
        head = f"producer: {WARPGROUP} threads, {self.budget.producer or 'its share of'} registers"
        other = f"consumer: {self.consumers} threads, {self.budget.consumer or 'their share of'} registers"
        asked = f"as a schedule: {schedule_text(self)}"
        rows = [f"copy to {_name(c)} at line {c.span.line} stays: {why}" for c, why in self.left]
        rows += [f"copy to {_name(c)} is not shared by the cluster: {why}" for c, why in self.alone]
        return "\n".join([head, other, asked, *map(str, self.channels), *rows])


def _name(copy: Stmt) -> str:
    tile = tile_of(copy)
    return tile.name if tile else "no tile"


def schedule_text(plan: WarpPlan) -> str:
    """What a user writes to get the plan."""
    rings = [f"T.WSPipeline({', '.join(b.name for b in c.tiles)}, depth={c.depth})" for c in plan.channels]
    registers = f"registers=({plan.budget.producer}, {plan.budget.consumer})"
    return f"T.annotate_ws_schedule(T.WSSchedule({', '.join([*rings, registers])}))"


def block_at(body: Block, path: Path) -> Block:
    """The block in which the statement `path` stands."""
    block, at = body, 0
    while at < len(path) - 1:
        match block[path[at]]:
            case For(body=inner):
                block, at = inner, at + 1
            case If(_, then, orelse):
                block, at = (then, orelse)[path[at + 1]], at + 2
            case other:
                raise TypeError(f"{type(other).__name__} has no block")
    return block
