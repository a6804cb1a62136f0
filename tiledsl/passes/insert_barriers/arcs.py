"""The fewest points of a circle that hit all given arcs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arc:
    """Positions `first` to `last` inclusive of a circle of `size`; `last` may be beyond the end, and wraps around.

    Position p of a loop body is the point before its statement p.
    """

    first: int
    last: int
    size: int

    def hits(self, position: int) -> bool:
        return (position - self.first) % self.size <= self.last - self.first

    @property
    def length(self) -> int:
        return min(self.last - self.first + 1, self.size)


def fewest_positions(arcs: Sequence[Arc], size: int) -> list[int]:
    """A smallest set of positions that hits every arc, ascending; as late as possible on equal counts.

    Some position of the shortest arc must be taken: each is tried, and the circle, cut open there, is a line, on which
    taking the end of the arc that ends first is optimal.
    """
    if not arcs:
        return []
    shortest = min(arcs, key=lambda a: a.length)
    best: list[int] | None = None
    for step in reversed(range(shortest.length)):
        start = (shortest.first + step) % size
        taken = _on_a_line([a for a in arcs if not a.hits(start)], start, size)
        if best is None or len(taken) + 1 < len(best):
            best = [start, *taken]
    assert best is not None
    return sorted(set(best))


def _on_a_line(arcs: Sequence[Arc], start: int, size: int) -> list[int]:
    """The fewest positions for arcs that do not contain `start`."""
    intervals = sorted(((a.last - start) % size, (a.first - start) % size) for a in arcs)
    taken: list[int] = []
    for last, first in intervals:
        if not taken or taken[-1] < first:
            taken.append(last)
    return [(t + start) % size for t in taken]
