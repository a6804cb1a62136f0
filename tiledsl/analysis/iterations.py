"""Whether the iterations of a `Parallel` loop, which run in any order, depend on each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from tiledsl.analysis.loop_access import MOST_POINTS, LoopAccess, certain_accesses
from tiledsl.ir.nodes import static_shape
from tiledsl.ir.tile import Parallel


@dataclass(frozen=True)
class Dependence:
    """Iteration `writer` stores element `element` of a buffer, and the iteration `reader` loads it."""

    write: LoopAccess
    read: LoopAccess
    writer: tuple[int, ...]
    reader: tuple[int, ...]
    element: tuple[int, ...]


def dependence(loop: Parallel) -> Dependence | None:
    """An element of a fragment or shared tile that one iteration surely stores and another surely loads.

    Only what happens in every iteration counts, at indices that the loop's own variables determine: what is under a
    condition, or depends on data, may well be meant. Atomic updates are no dependence.
    """
    writes: list[LoopAccess] = []
    reads: list[LoopAccess] = []
    for a in certain_accesses(loop):
        (writes if a.writes else reads).append(a)
    for w in writes:
        for r in reads:
            if r.buffer is w.buffer and not (r.indices == w.indices and _is_one_to_one(w)):
                found = _meeting(w, r)
                if found:
                    return found
    return None


def _is_one_to_one(a: LoopAccess) -> bool:
    """Whether it is plain that no two iterations access the same element: every variable is an index by itself."""
    return all(v in a.indices for v, n in zip(a.vars, a.extents) if n > 1)


def _meeting(write: LoopAccess, read: LoopAccess) -> Dependence | None:
    if any(a.foreign is not None or _points(a) > MOST_POINTS for a in (write, read)):
        return None
    stored, loaded = _elements(write), _elements(read)
    points = np.arange(len(stored))[:, None]
    size = prod(static_shape(write.buffer))
    first, last = np.full(size + 1, len(stored)), np.full(size + 1, -1)
    np.minimum.at(first, stored, points)
    np.maximum.at(last, stored, points)
    first[size], last[size] = len(stored), -1  # out of bounds: nothing is stored there
    foreign = np.where(first[loaded] != points, first[loaded], last[loaded])
    wrong = (last[loaded] >= 0) & (foreign != points)
    if not wrong.any():
        return None
    reader, n = (int(x) for x in np.argwhere(wrong)[0])
    return Dependence(
        *(write, read, _at(int(foreign[reader, n]), write.extents), _at(reader, read.extents)),
        _at(int(loaded[reader, n]), static_shape(write.buffer)),
    )


def _points(a: LoopAccess) -> int:
    return prod(a.extents) * prod(n for _, n in a.serial)


def _elements(a: LoopAccess) -> Any:
    """(points, accesses): the linear index of each element, and the size of the buffer for what is out of bounds."""
    shape = static_shape(a.buffer)
    inside: Any = np.True_
    linear: Any = np.int64(0)
    for v, n in zip(a.values, shape):
        inside = inside & (np.asarray(v) >= 0) & (np.asarray(v) < n)
        linear = linear * n + v
    whole = tuple(n for _, n in (*zip(a.vars, a.extents), *a.serial))
    return np.broadcast_to(np.where(inside, linear, prod(shape)), whole).reshape(prod(a.extents), -1)


def _at(linear: int, shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(int(i) for i in np.unravel_index(linear, tuple(shape)))
