"""All that the timeline page shows: the recorded events of a block, arranged in tracks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tiledsl.compile import Lowered
from tiledsl.cpu.record import Event, Record
from tiledsl.ir.printer import lines
from tiledsl.viewer.places import Places, SourceFile, places_of, source_files

# What events of warps are coloured by: the first row with a word that the text begins with, else "compute".
FAMILIES = (
    ("mma", ("mma", "mma_sp", "wgmma")),
    ("shared", ("ldmatrix", "stmatrix")),
    ("issue", ("cp_async", "bulk", "tma")),
    ("shuffle", ("a shuffle", "shfl", "shuffle", "vote")),
    ("load", ("load",)),
    ("store", ("store", "atomic")),
)


@dataclass(frozen=True)
class Mark:
    """An event on a track. `needed` is -1 and `stage` -1 where there is none; `warp` -1 where it is not said."""

    family: str
    start: int
    end: int
    place: str
    text: str
    buffer: str
    stage: int
    bytes: int
    warp: int
    needed: int


@dataclass(frozen=True)
class Lane:
    """A warp, the phases of barriers, or the copies into one buffer, as tracks whose marks do not overlap.

    `busy` and `waiting` are ticks, of all tracks together.
    """

    name: str
    kind: str
    busy: int
    waiting: int
    tracks: tuple[tuple[Mark, ...], ...]


@dataclass(frozen=True)
class Timeline:
    """One block's run, in ticks of the recorder's virtual time."""

    kernel: str
    target: str
    block: tuple[int, int, int]
    threads: int
    latency: int
    end: int
    mode: str
    lanes: tuple[Lane, ...]
    sources: tuple[SourceFile, ...]


def timeline_of(record: Record, lowered: Lowered, mode: str = "") -> Timeline:
    """Warps first, then barriers, then the copies by buffer; `mode` says when copies delivered their data."""
    printed = lines(lowered.stages[0].kernel)
    places = places_of(line.node.span for line in printed)
    lanes = [_lane(f"warp {w}", "warp", record.of(w), places) for w in range(record.warps)]
    if record.of("barrier"):
        lanes.append(_lane("barriers", "phase", record.of("barrier"), places))
    copies = record.of("copy")
    for buffer in dict.fromkeys(e.buffer for e in copies):
        lanes.append(_lane(buffer or "copies", "copy", [e for e in copies if e.buffer == buffer], places))
    return Timeline(
        record.kernel,
        lowered.target.name,
        record.block,
        record.threads,
        record.latency,
        record.end,
        mode,
        tuple(lanes),
        source_files(places, printed),
    )


def _lane(name: str, kind: str, events: Iterable[Event], places: Places) -> Lane:
    marks = [_mark(e, places) for e in events]
    waiting = sum(m.end - m.start for m in marks if m.family == "wait")
    busy = sum(m.end - m.start for m in marks) - waiting
    return Lane(name, kind, busy, waiting, tuple(map(tuple, tracks(marks))))


def tracks(marks: Iterable[Mark]) -> list[list[Mark]]:
    """The marks dealt to as few rows as it takes that none overlap in a row."""
    rows: list[list[Mark]] = []
    for m in sorted(marks, key=lambda m: (m.start, m.end)):
        free = next((row for row in rows if row[-1].end <= m.start), None)
        if free is None:
            rows.append([m])
        else:
            free.append(m)
    return rows


def _mark(e: Event, places: Places) -> Mark:
    def number(n: int | None) -> int:
        return -1 if n is None else n

    numbers = number(e.stage), e.bytes, number(e.warp), number(e.needed)
    return Mark(_family(e), e.start, e.end, places.at(*e.site), e.text, e.buffer, *numbers)


def _family(e: Event) -> str:
    if e.kind in ("wait", "copy", "phase"):
        return e.kind
    return next((name for name, words in FAMILIES if e.text.startswith(words)), "compute")
