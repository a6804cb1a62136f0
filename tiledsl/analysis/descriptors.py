"""Matrix descriptors of shared tiles: which layouts the tensor cores of sm_90 can read, and with which fields.

The fields are derived from the layout and then tried: a descriptor is only given out if the address of every 16 bytes
that an instruction reads is the one that the layout says (algorithms.md, L28).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from tiledsl.ir.layout import Layout
from tiledsl.ir.swizzle import UNIT, chunk, hardware_swizzle, swizzle_period
from tiledsl.isa.descriptor import Descriptor, mode_of

ROWS = 8  # of a core matrix


@dataclass(frozen=True, slots=True)
class Matrix:
    """How descriptors of a shared tile look, whatever part of it they name; all in bytes. See isa/descriptor.py.

    `k_major`: rows of the tile run along m or n and are contiguous along k, else the other way round.
    """

    k_major: bool
    leading: int
    stride: int
    swizzle: int

    def at(self, start: int) -> Descriptor:
        """The descriptor of what begins `start` bytes into shared memory."""
        return Descriptor(start, self.leading, self.stride, mode_of(self.swizzle))


@dataclass(frozen=True, slots=True)
class Piece:
    """What one instruction reads of a tile, in elements: rows and columns as they are stored."""

    rows: int
    columns: int


def start_of(layout: Layout, coords: Iterable[int]) -> int:
    """The element offset that a descriptor names for the element at `coords`: as if there were no swizzle."""
    return int(Layout(layout.shape, layout.dims, layout.size).offset(list(coords)))


@cache
def describe(layout: Layout, bits: int, k_major: bool) -> Matrix | None:
    """The descriptors of a layout of `bits` bits an element, before they are tried; None where there are none."""
    swizzle = hardware_swizzle(layout, bits)
    if swizzle is None or len(layout.shape) < 2 or layout.size % swizzle_period(layout):
        return None
    lead = (0,) * (len(layout.shape) - 2)
    width = max(swizzle, UNIT) * 8 // bits
    rows, columns = layout.shape[-2:]
    # The distances to the next 8 rows and to the next panel of columns, if there are such.
    down = start_of(layout, (*lead, ROWS, 0)) if rows > ROWS else 0
    across = start_of(layout, (*lead, 0, width)) if columns > width else 0
    down, across = down * bits // 8, across * bits // 8
    if any(n % UNIT or not 0 <= n < 1 << 18 for n in (down, across)):
        return None
    if swizzle == 0 and not k_major:
        return Matrix(k_major, down, across, swizzle)
    if swizzle and k_major:
        return Matrix(k_major, UNIT, down, swizzle)  # an instruction never leaves a panel: leading is not used
    return Matrix(k_major, across, down, swizzle)


@cache
def reads_layout(layout: Layout, bits: int, matrix: Matrix, piece: Piece, origins: tuple[tuple[int, ...], ...]) -> bool:
    """Whether the descriptors of the pieces that begin at `origins` name the very bytes where the layout has them."""
    unit = chunk(bits)
    rows, units = np.arange(piece.rows)[:, None], np.arange(piece.columns // unit)[None, :]
    for *lead, row, column in origins:
        if row + piece.rows > layout.shape[-2] or column + piece.columns > layout.shape[-1]:
            return False
        start = start_of(layout, (*lead, row, column)) * bits // 8
        if start % UNIT:
            return False
        named = matrix.at(start).unit_address(rows, units, matrix.k_major)
        coords = [np.full(named.shape, c) for c in lead]
        first = layout.offset([*coords, rows + row + 0 * units, units * unit + column + 0 * rows])
        last = layout.offset([*coords, rows + row + 0 * units, units * unit + unit - 1 + column + 0 * rows])
        if not np.array_equal(named, first * bits // 8) or not np.array_equal(
            last - first, np.full_like(first, unit - 1)
        ):
            return False
    return True
