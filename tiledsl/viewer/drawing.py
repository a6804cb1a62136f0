"""Where the lanes and marks of a timeline stand in its picture, in pixels."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tiledsl.viewer.timeline import Lane, Mark, Timeline

LEFT, TOP, RIGHT, BOTTOM = 150, 34, 24, 10
HEIGHTS = {"warp": 30, "phase": 18, "copy": 14}  # of a track
GAP, SECTION = 7, 16  # below a lane, above the first of another kind
WIDTH = 1000  # of the time axis as it is first drawn
MOST_TICKS, STEPS = 12, (1, 2, 5)


@dataclass(frozen=True)
class Box:
    mark: Mark
    top: int
    height: int


@dataclass(frozen=True)
class DrawnLane:
    lane: Lane
    top: int
    height: int
    boxes: tuple[Box, ...]


@dataclass(frozen=True)
class Drawing:
    """`scale` is pixels per tick of time."""

    timeline: Timeline
    width: int
    height: int
    scale: float
    lanes: tuple[DrawnLane, ...]
    ticks: tuple[int, ...]

    def x(self, time: int) -> float:
        return round(LEFT + time * self.scale, 2)


def drawing_of(t: Timeline) -> Drawing:
    lanes = tuple(_lanes(t))
    bottom = max((lane.top + lane.height for lane in lanes), default=TOP) + BOTTOM
    return Drawing(t, LEFT + WIDTH + RIGHT, bottom, WIDTH / max(1, t.end), lanes, ticks(t.end))


def ticks(end: int) -> tuple[int, ...]:
    """At most MOST_TICKS + 1 round times from 0 to `end`."""
    step = next(s * 10**n for n in range(12) for s in STEPS if end // (s * 10**n) <= MOST_TICKS)
    return tuple(range(0, end + 1, step))


def _lanes(t: Timeline) -> Iterator[DrawnLane]:
    top, kind = TOP, ""
    for lane in t.lanes:
        top += SECTION if kind and lane.kind != kind else 0
        kind, track = lane.kind, HEIGHTS[lane.kind]
        boxes = tuple(Box(m, top + n * track + 1, track - 2) for n, row in enumerate(lane.tracks) for m in row)
        height = max(1, len(lane.tracks)) * track
        yield DrawnLane(lane, top, height, boxes)
        top += height + GAP
