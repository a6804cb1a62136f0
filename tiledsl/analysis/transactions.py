"""What a loop layout costs in global memory: the 32-byte sectors that a warp touches."""

from __future__ import annotations

from typing import Any

import numpy as np

from tiledsl.analysis.loop_access import coordinates, first_points
from tiledsl.analysis.vector_width import ACCESS_BITS, Divisors, access_width, memory_accesses
from tiledsl.ir.layout import Fragment
from tiledsl.ir.layout_ops import vector_width
from tiledsl.ir.nodes import Space
from tiledsl.ir.tile import Parallel

SECTOR_BYTES = 32
SAMPLES = 2  # accesses of a warp that are looked at


def sectors(loop: Parallel, layout: Fragment, known: Divisors) -> int:
    """Sectors that the first warp touches in all global accesses of the loop, each access on its own.

    Rows of a tensor count as far apart, and what the loop does not determine as 0.
    """
    total = 0
    for access in memory_accesses(loop):
        buffer = access.buffer
        if buffer.space is not Space.GLOBAL or not access.indices:
            continue
        bits = buffer.dtype.bits
        width = min(vector_width(layout), max(1, ACCESS_BITS // bits))
        width = access_width(buffer, access.indices, loop.vars[-1], width, {}, known)
        points = first_points(layout, width, SAMPLES)
        at = coordinates(access.indices, loop.vars, loop.extents, points)
        touched = sum(_count(at, row, bits, width) for row in range(len(points)))
        total += touched * layout.num_regs // (width * len(points))
    return total


def _count(at: list[Any], row: int, bits: int, width: int) -> int:
    """Distinct sectors of one access: lanes at `at[...][row]`, `width` elements each."""
    first = at[-1][row] * bits // 8
    last = first + max(1, width * bits // 8) - 1
    outer = [a[row] for a in at[:-1]]
    ends = np.stack([*outer, first // SECTOR_BYTES]), np.stack([*outer, last // SECTOR_BYTES])
    return len(np.unique(np.concatenate(ends, axis=1), axis=1).T)
