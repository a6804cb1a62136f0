"""The independent verifier of ping-pong: the named barriers of every warp, as a run of the block comes to them.

A block is executed on tokens. What each warp does at named barriers, in the order of its program, is then played: all
warps come to their ends (W3), no phase has more arrivals than it counts, or two of one warp (W5), and none stays open.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tiledsl.errors import VerifyError
from tiledsl.ir.concurrent import NamedArrive, NamedSync
from tiledsl.ir.nodes import Kernel, Stmt
from tiledsl.ir.walk import statements
from tiledsl.target import Target
from tiledsl.verifiers.threads import ThreadMachine
from tiledsl.verifiers.values import Mask
from tiledsl.verifiers.watch import Watcher
from tiledsl.verifiers.world import GivenUp, worlds

WARP = 32


@dataclass(frozen=True, slots=True)
class Meeting:
    """A warp at barrier `number`: `threads` of it, of the `count` that make a phase. It waits, or goes on."""

    number: int
    count: int
    threads: int
    waits: bool
    stmt: Stmt


def verify_turns(before: Kernel, after: Kernel, target: Target | None = None) -> None:
    """Raises VerifyError W3, W5 or W12 where the named barriers of `after` do not let all warps through."""
    for old, new in zip(before.launches, after.launches, strict=True):
        if old.body is new.body or not any(isinstance(s, NamedSync | NamedArrive) for s in statements(new)):
            continue
        for world in worlds(after, new):
            watch = Meetings()
            try:
                ThreadMachine(after, new, world, watch, data=False).run()
            except GivenUp:
                continue
            play(watch.met)


class Meetings(Watcher):
    """What each warp of the block does at named barriers, in order."""

    def __init__(self) -> None:
        self.met: dict[int, list[Meeting]] = defaultdict(list)

    def named(self, s: NamedSync | NamedArrive, numbers: Any, first: int, on: Mask) -> None:
        threads = np.flatnonzero(np.broadcast_to(on, numbers.shape))
        for warp in np.unique((threads + first) // WARP):
            lanes = threads[(threads + first) // WARP == warp]
            found = np.unique(numbers[lanes])
            if len(found) != 1:
                raise VerifyError(f"W12: the lanes of warp {warp} name several barriers", s.span)
            meeting = Meeting(int(found[0]), s.count, len(lanes), isinstance(s, NamedSync), s)
            self.met[int(warp)].append(meeting)


@dataclass(slots=True)
class _Phase:
    """Who has arrived in the phase in progress, and who of them waits."""

    arrived: dict[int, int] = field(default_factory=dict)  # threads by warp
    count: int = 0


def play(programs: Mapping[int, Sequence[Meeting]]) -> None:
    """Lets the warps go on in turn, each until it waits. What comes out is the same in every order."""
    at = dict.fromkeys(programs, 0)
    waiting: dict[int, int] = {}  # the barrier where a warp waits
    phases: dict[int, _Phase] = defaultdict(_Phase)
    moved = True
    while moved:
        moved = False
        for warp, program in programs.items():
            while warp not in waiting and at[warp] < len(program):
                m = program[at[warp]]
                at[warp], moved = at[warp] + 1, True
                if m.waits:
                    waiting[warp] = m.number
                if _arrive(phases[m.number], warp, m):
                    waiting = {w: n for w, n in waiting.items() if n != m.number}
                    phases[m.number] = _Phase()
    for warp, number in waiting.items():
        stmt = programs[warp][at[warp] - 1].stmt
        raise VerifyError(f"W3: warp {warp} waits for ever at the named barrier {number}", stmt.span)
    for number, phase in phases.items():
        for warp in phase.arrived:
            stmt = programs[warp][-1].stmt
            raise VerifyError(f"W5: a phase of the named barrier {number} does not end", stmt.span)


def _arrive(phase: _Phase, warp: int, m: Meeting) -> bool:
    """Whether the phase ends by it."""
    if warp in phase.arrived:
        raise VerifyError(f"W5: warp {warp} arrives twice in a phase of the named barrier {m.number}", m.stmt.span)
    phase.arrived[warp] = m.threads
    if phase.count not in (0, m.count) or sum(phase.arrived.values()) > m.count:
        raise VerifyError(f"W5: the counts at the named barrier {m.number} do not fit", m.stmt.span)
    phase.count = m.count
    return sum(phase.arrived.values()) == m.count
