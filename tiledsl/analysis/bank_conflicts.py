"""Bank conflicts of shared accesses, counted exactly from the layout: 32 banks of 4 bytes, 128 bytes a wavefront."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import numpy as np

from tiledsl.ir.layout import Fragment, Layout, linear_at, row_major
from tiledsl.ir.layout_ops import vector_width
from tiledsl.ir.swizzle import SPANS, chunk, contiguous_run, padded, swizzled
from tiledsl.isa.descriptor import UNIT, Descriptor

BANKS, BANK_BYTES = 32, 4
CORE_ROWS = 8  # of a matrix that ldmatrix, or wgmma by itself, reads at once
SAMPLES = 8  # accesses of a warp that are looked at: further ones differ by a constant


def wavefronts(addresses: Any, width: int) -> tuple[int, int]:
    """(wavefronts needed, least possible) for accesses of a warp: `width` bytes at each of `addresses` (bytes).

    `addresses` has shape (lanes,), or (accesses, lanes) for the sum over several. Lanes of one phase (128 bytes
    together) go in one wavefront unless two of them want different words of a bank.
    """
    rows = np.atleast_2d(np.asarray(addresses)) // BANK_BYTES
    lanes = max(1, min(rows.shape[1], BANKS * BANK_BYTES // max(width, BANK_BYTES)))
    if rows.shape[1] % lanes:  # a last phase of fewer lanes: repeating one adds no word
        rows = np.pad(rows, ((0, 0), (0, -rows.shape[1] % lanes)), mode="edge")
    phases = rows.reshape(-1, lanes)
    words = (phases[:, :, None] + np.arange(max(1, width // BANK_BYTES))).reshape(len(phases), -1)
    words.sort(axis=1)
    new = np.ones(words.shape, bool)
    new[:, 1:] = words[:, 1:] != words[:, :-1]
    banks = (words % BANKS + np.arange(len(words))[:, None] * BANKS)[new]
    counts = np.bincount(banks, minlength=len(words) * BANKS).reshape(-1, BANKS)
    return int(counts.max(axis=1).sum()), len(words)


def conflicts(layout: Layout, coords: Any, bits: int, width: int = 1) -> int:
    """Wavefronts beyond the least possible of a warp's accesses: `width` elements at each lane's `coords`.

    `coords` has one array of shape (lanes,) or (accesses, lanes) for each dimension.
    """
    addresses = layout.offset(coords) * bits // 8
    needed, least = wavefronts(addresses, width * bits // 8)
    return needed - least


def ldmatrix_conflicts(layout: Layout, row: int, column: int, bits: int) -> int:
    """Wavefronts beyond one of reading the 8 rows of one matrix at (row, column) of the last two dimensions."""
    rows = np.arange(row, row + 8)
    lead = [np.zeros(8, int)] * (len(layout.shape) - 2)
    addresses = layout.offset([*lead, rows, np.full(8, column)]) * bits // 8
    needed, least = wavefronts(addresses, 16)
    return needed - least


@cache
def matrix_wavefronts(matrix: Descriptor, lines: int, units: int, k_major: bool) -> tuple[int, int]:
    """(wavefronts needed, least possible) of wgmma reading an operand: `lines` rows of `units` 16-byte units.

    It is read in core matrices, whose 8 rows of 16 bytes go in one wavefront if they fall in different banks (PTX ISA,
    "Shared Memory Matrix Layout", "Core matrices"). Rows and units as in `Descriptor.unit_address`.
    """
    row = np.arange(lines).reshape(-1, 1, CORE_ROWS)
    return wavefronts(matrix.unit_address(row, np.arange(units)[:, None], k_major).reshape(-1, CORE_ROWS), UNIT)


@cache
def fewest_conflicts(reader: Fragment, bits: int, choices: tuple[Layout, ...] = ()) -> Layout:
    """The layout for a tile read element by element as `reader` holds it, with the fewest conflicts of the first warp.

    Of `choices`, or else of those that keep 16-byte chunks whole; the first, which is the simplest, on a tie.
    """
    step = max(1, vector_width(reader))
    regs = np.arange(0, reader.num_regs, step)[:SAMPLES]
    linear = linear_at(reader, np.arange(32)[None, :], regs[:, None])
    points = (linear // reader.shape[1], linear % reader.shape[1])
    best, least = row_major(reader.shape), -1
    for layout in choices or candidates(reader.shape, bits):
        width = min(step, contiguous_run(layout), chunk(bits))
        cost = conflicts(layout, points, bits, width)
        if least < 0 or cost < least:
            best, least = layout, cost
        if cost == 0:
            break
    return best


def candidates(shape: tuple[int, ...], bits: int) -> Iterable[Layout]:
    """Row-major, padded and swizzled layouts of a matrix with whole 16-byte chunks, simplest first."""
    yield row_major(shape)
    if shape[-1] % chunk(bits) == 0:
        for chunks in (1, 2, 4):
            yield padded(shape, bits, chunks)
    for span in SPANS:
        if shape[-2] % 8 == 0 and shape[-1] * bits % (span * 8) == 0:
            yield swizzled(shape, bits, span)
