"""The blocks of a cluster, for both NumPy executions: each is a player of the same turns (`cpu/turns.py`), and reaches
the shared memory and the barriers of the others.

What a block needs of another one is there once the other one has made it. At the tile stage whoever is ahead waits for
that, as lower-tiles has all blocks meet first; at the thread stage it is an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product, zip_longest
from math import prod
from typing import TYPE_CHECKING, Any

from tiledsl.cpu.binding import Block
from tiledsl.cpu.mbarrier import Mbarrier
from tiledsl.cpu.named import NamedBarrier
from tiledsl.cpu.turns import Player, Turns
from tiledsl.ir.concurrent import ClusterBarrier, reaches_blocks
from tiledsl.ir.nodes import Buffer, Launch
from tiledsl.ir.walk import statements

if TYPE_CHECKING:
    from tiledsl.cpu.concurrent import Concurrent

MAX_THREADS = 1024  # of a block
NOWHERE = -1


@dataclass(slots=True)
class Meeting:
    """The barrier of a cluster: `phase` ends when `expected` threads have arrived. `knowledge` and `known` are as those
    of an Mbarrier."""

    expected: int = 0
    arrived: int = 0
    phase: int = 0
    knowledge: int = 0
    known: int = 0

    def arrive(self, threads: int, knowledge: int) -> bool:
        """Whether all have come now."""
        self.arrived += threads
        self.knowledge |= knowledge
        if self.arrived != self.expected:
            return False
        self.phase += 1
        self.arrived = 0
        self.known |= self.knowledge
        self.knowledge = 0
        return True


@dataclass(slots=True)
class Common:
    """What all agents of a block share: whose turn it is, barriers, and where each bulk copy went (cpu/mbarrier.py).

    `peers` are those of all blocks of the cluster, by rank, which have turns, copies and the barrier of the cluster in
    common. `memory` is what others can reach of this block's shared memory; it has `ended` when it is gone. `visits`
    are the numbers, among those of copies, of uses by other blocks: each must be known to this block when it ends.
    """

    turns: Turns
    rank: int = 0
    copies: list[tuple[int, Buffer]] = field(default_factory=list)  # the rank of the block, and the tile
    meeting: Meeting = field(default_factory=Meeting)
    barriers: dict[Buffer, list[Mbarrier]] = field(default_factory=dict)
    named: dict[int, NamedBarrier] = field(default_factory=dict)
    memory: dict[Buffer, Any] = field(default_factory=dict)
    shared: Any = None
    ended: bool = False
    visits: list[int] = field(default_factory=list)
    peers: list[Common] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.peers = self.peers or [self]

    def new_copy(self, into: Buffer) -> int:
        """The number of one more copy, to this block."""
        self.copies.append((self.rank, into))
        return len(self.copies) - 1

    def note(self, about: Buffer) -> int:
        """The number of something else that others must know of."""
        self.copies.append((NOWHERE, about))
        return len(self.copies) - 1


def commons(turns: Turns, blocks: int, threads: int) -> list[Common]:
    """Those of the blocks of a cluster."""
    first = Common(turns, meeting=Meeting(blocks * threads))
    made = [first, *(Common(turns, rank, first.copies, first.meeting) for rank in range(1, blocks))]
    for common in made:
        common.peers = made
    return made


def meets_others(launch: Launch) -> bool:
    """Whether the blocks of a cluster have to do with each other."""
    return prod(launch.cluster) > 1 and any(
        reaches_blocks(s) or isinstance(s, ClusterBarrier) for s in statements(launch)
    )


def clusters_of(launch: Launch, blocks: Iterable[Block]) -> Iterator[list[Block]]:
    """The blocks of each cluster that has one of `blocks`, by rank: x fastest."""
    size = [n for _, n in zip_longest(launch.grid, launch.cluster, fillvalue=1)]
    for corner in dict.fromkeys(tuple(i // n for i, n in zip(b, size)) for b in blocks):
        inside = product(*(range(n) for n in reversed(size)))
        yield [tuple(c * n + i for c, n, i in zip(corner, size, reversed(at))) for at in inside]


def run_blocks(machines: Sequence[Concurrent], names: Sequence[str]) -> None:
    """Runs a block, or the blocks of a cluster together, to the end."""
    if len(machines) == 1:
        machines[0].finish()
    else:
        for m, name in zip(machines, names):
            m.player = Player(name, m.finish)
        machines[0].common.turns.run([m.player for m in machines if m.player], f"cluster of {names[0]}")
    for m in machines:
        m.require_phases_ended()
