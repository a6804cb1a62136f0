"""Layouts of shared tiles: swizzled, padded, with further dimensions in front. Formulas: algorithms.md A.2.

Rows and columns are the last two dimensions. A swizzled tile is cut into panels of `width` columns, one after the
other; inside a panel the 16-byte chunks of a row are exchanged by an XOR with the row's number.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import gcd, prod

from tiledsl.ir.layout import Digit, Layout, Swizzle, row_major

# Bytes of a panel's row -> bits of the XOR. The hardware's names: 128-byte (full), 64-byte (half), 32-byte (quarter).
SPANS: dict[int, int] = {128: 3, 64: 2, 32: 1}
UNIT = 16  # bytes of a chunk: what the XOR moves as a whole


def chunk(bits: int) -> int:
    """Elements of `bits` bits in 16 bytes."""
    return 128 // bits


def swizzled(shape: Sequence[int], bits: int, span: int = 128) -> Layout:
    """Panels of `span` bytes a row, chunk' = chunk ^ row-dependent bits. Bank-conflict free for ldmatrix.

    Raises ValueError unless the rows are a multiple of 8 and the columns of the panel's width.
    """
    *lead, rows, cols = shape
    width = span * 8 // bits
    if rows % 8 or cols % width:
        raise ValueError(f"no {span}-byte swizzle for rows x columns {rows} x {cols} of {bits} bits")
    # The panel's rows lie `width` elements apart, so the row number starts at bit log2(width) of the offset.
    swizzle = Swizzle(SPANS[span], chunk(bits).bit_length() - 1, 3)
    columns = (Digit(cols // width, rows * width), Digit(width, 1)) if cols != width else (Digit(width, 1),)
    tile = Layout((rows, cols), ((Digit(rows, width),), columns), rows * cols, swizzle)
    return expand(tile, lead)


def panelled(shape: Sequence[int], bits: int, span: int) -> Layout:
    """`swizzled`, or with a span of 16 bytes panels one chunk wide, which have nothing to exchange.

    What the tensor cores of sm_90 read through descriptors and the copy engine writes. Raises ValueError as `swizzled`.
    """
    if span != UNIT:
        return swizzled(shape, bits, span)
    *lead, rows, cols = shape
    width = chunk(bits)
    if rows % 8 or cols % width:
        raise ValueError(f"no panels of {UNIT} bytes for rows x columns {rows} x {cols} of {bits} bits")
    columns = (Digit(cols // width, rows * width), Digit(width, 1)) if cols != width else (Digit(width, 1),)
    return expand(Layout((rows, cols), ((Digit(rows, width),), columns), rows * cols), lead)


def padded(shape: Sequence[int], bits: int, chunks: int = 1) -> Layout:
    """Row-major, each row followed by `chunks` unused chunks of 16 bytes."""
    return row_major(shape, chunks * chunk(bits))


def choose_swizzle(shape: Sequence[int], bits: int) -> Layout:
    """The widest swizzle that fits the rows; else padding, where rows are a multiple of 32 bytes; else row-major."""
    if len(shape) >= 2 and shape[-2] % 8 == 0:
        for span in SPANS:
            if shape[-1] * bits % (span * 8) == 0:
                return swizzled(shape, bits, span)
    if len(shape) >= 2 and shape[-1] * bits % 256 == 0:
        return padded(shape, bits)
    return row_major(shape)


def expand(layout: Layout, lead: Sequence[int]) -> Layout:
    """`layout` repeated for further dimensions in front, one whole tile after the other."""
    if not lead:
        return layout
    # A tile's start must be a multiple of the swizzle's period, or the XOR would read bits of the tile's number.
    steps = [prod(lead[i + 1 :]) * layout.size for i in range(len(lead))]
    dims = tuple((Digit(extent, step),) for extent, step in zip(lead, steps))
    period = swizzle_period(layout)
    if layout.size % period:
        raise ValueError(f"tiles of {layout.size} elements break the swizzle's period {period}")
    return Layout((*lead, *layout.shape), dims + layout.dims, prod(lead) * layout.size, layout.swizzle)


def swizzle_period(layout: Layout) -> int:
    """Elements after which the swizzle repeats; 1 without swizzle. A tile's base must be a multiple of it."""
    s = layout.swizzle
    return 1 << (s.base + s.shift + s.bits) if s else 1


def alignment(layout: Layout, bits: int) -> int:
    """Bytes to which the tile's base must be aligned: 16, or the swizzle's period."""
    return max(16, swizzle_period(layout) * bits // 8)


def contiguous_run(layout: Layout) -> int:
    """The largest n such that every aligned run of n elements of the last dimension is consecutive and n-aligned."""
    if not layout.dims or not layout.dims[-1]:
        return 1
    *outer, inner = layout.dims[-1]
    if inner.stride != 1:
        return 1
    run = inner.extent
    for digits in (*layout.dims[:-1], tuple(outer)):
        for d in digits:
            if d.extent > 1:
                run = gcd(run, d.stride)
    if layout.swizzle:
        run = gcd(run, 1 << layout.swizzle.base)
    return run


def span_of(layout: Layout, bits: int) -> int:
    """128, 64, 32 or 16 for a layout that `panelled` makes, else 0."""
    for span in (*SPANS, UNIT):
        try:
            if layout == panelled(layout.shape, bits, span):
                return span
        except ValueError:
            continue
    return 0


def hardware_swizzle(layout: Layout, bits: int) -> int | None:
    """The swizzle as the copy engine and matrix descriptors know it: 0 (none), 32, 64, 128 bytes; None if another."""
    if layout.swizzle is None:
        return 0
    for span, width in SPANS.items():
        if layout.swizzle == Swizzle(width, chunk(bits).bit_length() - 1, 3):
            return span
    return None


def merge_swizzles(a: Layout, b: Layout, bits: int) -> Layout | None:
    """The layout that serves two readers which ask for different swizzles: the smaller span. None for other layouts."""
    spans = span_of(a, bits), span_of(b, bits)
    if 0 in spans:
        return None
    return a if spans[0] <= spans[1] else b
