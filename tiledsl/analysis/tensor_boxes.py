"""How the copy engine of sm_90 moves a region of a shared tile: in boxes that lie row-major in shared memory, or with
one of the hardware's swizzles. Every element is in exactly one box (law S18).

Rules: `tensor_map.py`; PTX ISA, "Tensor Copies", "Swizzling Modes".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import gcd, prod

from tiledsl.analysis.vector_width import divisor
from tiledsl.ir.layout import Digit, Layout, read_digits, row_major
from tiledsl.ir.nodes import Assigned, Const, Region, static_shape
from tiledsl.ir.swizzle import SPANS, UNIT, hardware_swizzle, panelled

MAX_BOX = 256  # elements of a box along a dimension
ALIGNMENT = 128  # bytes, of a box in shared memory


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes of `box` elements, one extent for each dimension of the shared tile, and their swizzle in bytes."""

    box: tuple[int, ...]
    swizzle: int
    counts: tuple[int, ...]  # of boxes along each dimension

    @property
    def number(self) -> int:
        return prod(self.counts)


def boxes_of(region: Region, layout: Layout) -> Boxes | str:
    """The fewest boxes for a region of a shared tile, or why there are none."""
    bits = region.buffer.dtype.bits
    swizzle = hardware_swizzle(layout, bits)
    if swizzle is None:
        return "its swizzle is none of the hardware's"
    starts = [divisor(o, {}) for o in region.offsets]
    box: list[int] = []
    dense = 1  # elements of the box so far, which lie one after the other
    for extent, digits, start in reversed(list(zip(region.extents, layout.dims, starts))):
        n = _run(extent, digits, start, dense)
        box.append(n)
        dense *= n
    box.reverse()
    counts = tuple(e // n for e, n in zip(region.extents, box))
    why = _inner(box, bits, swizzle) or _aligned(region, layout, box, counts)
    return why or Boxes(tuple(box), swizzle, counts)


def why_no_boxes(region: Region, layouts: Sequence[Assigned]) -> str:
    """Why no layout of the tile lies in boxes, or not the one among `layouts`, which the user has given; else empty."""
    tile = region.buffer
    given = [a.layout for a in layouts if a.buffer is tile and isinstance(a.layout, Layout)]
    found = [boxes_of(region, layout) for layout in given or copyable(static_shape(tile), tile.dtype.bits)]
    return "" if any(isinstance(x, Boxes) for x in found) else str(found[0])


def _run(extent: int, digits: Sequence[Digit], start: int, dense: int) -> int:
    """Elements along a dimension that a box can take if it has `dense` elements below: they must follow on."""
    moving = [d for d in digits if d.extent > 1]
    if extent == 1 or not moving or moving[-1].stride != dense:
        return 1
    n = extent
    if len(moving) > 1:
        n = gcd(extent, moving[-1].extent, start)
    return max(m for m in range(1, min(n, MAX_BOX) + 1) if n % m == 0)


def _inner(box: Sequence[int], bits: int, swizzle: int) -> str:
    inner = box[-1] * bits // 8
    if inner % UNIT:
        return f"its rows have runs of {inner} bytes, no multiple of {UNIT}"
    if swizzle and inner != swizzle:
        return f"a swizzle of {swizzle} bytes needs whole rows of as many bytes, here of {inner}"
    return ""


def _aligned(region: Region, layout: Layout, box: Sequence[int], counts: Sequence[int]) -> str:
    """Whether all boxes begin at multiples of `ALIGNMENT` bytes if the tile does."""
    step = step_of(region, layout, box, counts)
    bits = region.buffer.dtype.bits
    if step * bits // 8 % ALIGNMENT:
        return f"its boxes begin at multiples of {step * bits // 8} bytes, not of {ALIGNMENT}"
    return ""


def step_of(region: Region, layout: Layout, box: Sequence[int], counts: Sequence[int]) -> int:
    """What divides the offsets of all boxes of a region, in elements and without the swizzle."""
    step = layout.size
    for offset, n, count, whole, digits in zip(region.offsets, box, counts, layout.shape, layout.dims):
        starts = [int(offset.value)] if isinstance(offset, Const) else range(0, whole, divisor(offset, {}))
        for first in starts:
            step = gcd(step, *(read_digits(first + i * n, digits) for i in range(count)))
    return step


def copyable(shape: Sequence[int], bits: int) -> Iterator[Layout]:
    """Layouts of a tile that the copy engine fills: row-major, then the panels of its swizzles, widest first."""
    yield row_major(shape)
    for span in (*SPANS, UNIT):
        if len(shape) >= 2 and shape[-2] % 8 == 0 and shape[-1] * bits % (span * 8) == 0:
            yield panelled(shape, bits, span)
