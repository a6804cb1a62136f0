"""The event log of one block's run on the CPU device: what `tiledsl timeline` draws.

Time is virtual and the same in every schedule. Each thread has a clock: one tick for each operation that the device API
performs for it (an access, a copy's issue, a shuffle, an mma). Lanes that meet in an operation of their warp leave it
together, one tick after the last came; a barrier lets all go one tick after the last arrival; a copy is complete
`latency` ticks after its issue, and a wait for it ends no earlier. Arithmetic between operations takes no time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

# compute: accesses and other operations of single lanes; collective: operations that the whole warp performs together;
# wait: nothing until others have arrived or a copy is complete; copy: from the issue to the completion; phase: of a
# barrier, from the first arrival to the last.
Kind = Literal["compute", "collective", "wait", "copy", "phase"]
Lane = int | Literal["copy", "barrier"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that lasted from `start` to `end` (ticks, start < end).

    `lane` is the number of a warp, or "copy" for data in flight, or "barrier" for phases. `site` is the user's file and
    line, ("", 0) if unknown. `text` is what happened: "load", "mma_m16n8k16_f32_f16" (as often as it has ticks),
    "barrier 0", "wait for copies", "mbarrier full[stage 1]". `buffer` is empty, and `stage` None, where none has a part
    in it; `stage` counts the versions of a pipelined buffer. `bytes` are those of an access or a copy, all lanes
    together. `warp` says who issued a copy, and `needed` when somebody waited for it first (None: nobody did).
    """

    kind: Kind
    lane: Lane
    start: int
    end: int
    site: tuple[str, int]
    text: str
    buffer: str = ""
    stage: int | None = None
    bytes: int = 0
    warp: int | None = None
    needed: int | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """The events of `block`, ordered by lane and start: warps first, then "barrier", then "copy".

    The events of a warp do not overlap. `kernel` is the name of the `__global__` function,
    `latency` the ticks of a copy.
    """

    events: tuple[Event, ...]
    kernel: str = ""
    block: tuple[int, int, int] = (0, 0, 0)
    threads: int = 0
    latency: int = 0

    @property
    def warps(self) -> int:
        return -(-self.threads // 32)

    @property
    def end(self) -> int:
        """The tick at which the last event ends."""
        return max((e.end for e in self.events), default=0)

    def of(self, lane: Lane) -> tuple[Event, ...]:
        return tuple(e for e in self.events if e.lane == lane)


_KINDS: tuple[Kind, ...] = ("compute", "collective", "wait", "copy", "phase")
_LANES: dict[int, Lane] = {-1: "copy", -2: "barrier"}  # numbers of native/record.h for what is no warp


def parse(text: str, *, kernel: str, block: tuple[int, int, int], threads: int, latency: int) -> Record:
    """The record that native/record.cpp wrote, one event a line."""
    events = [_event(line) for line in text.splitlines()]
    order: dict[Lane, int] = {"barrier": threads, "copy": threads + 1}
    events.sort(key=lambda e: (order.get(e.lane, e.lane), e.start, e.end, e.text, e.buffer, e.stage or 0, e.site))
    return Record(tuple(events), kernel, block, threads, latency)


def _event(line: str) -> Event:
    kind, lane, start, end, file, number, buffer, stage, text, size, warp, needed = line.split("\x1f")
    return Event(
        kind=_KINDS[int(kind)],
        lane=_LANES.get(int(lane), int(lane)),
        start=int(start),
        end=int(end),
        site=(file, int(number)),
        text=text,
        buffer=buffer,
        stage=_known(stage),
        bytes=int(size),
        warp=_known(warp),
        needed=_known(needed),
    )


def _known(number: str) -> int | None:
    return None if number == "-1" else int(number)
