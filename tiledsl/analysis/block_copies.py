"""How the copy engine moves a tile from shared memory to that of another block: in runs of bytes that lie one after the
other, and in the same order, on both sides. It knows nothing of layouts there, so both must be alike within a run.

Source: PTX ISA, "cp.async.bulk": sizes and addresses are multiples of 16 bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import gcd, prod

from tiledsl.analysis.tensor_boxes import step_of
from tiledsl.analysis.vector_width import divisor
from tiledsl.ir.layout import Digit, Layout
from tiledsl.ir.nodes import Const, Region, static_shape
from tiledsl.ir.swizzle import UNIT


@dataclass(frozen=True, slots=True)
class Runs:
    """`lanes` elements each, as boxes of `box` elements along the dimensions of more than one; `counts` of them."""

    lanes: int
    box: tuple[int, ...]
    counts: tuple[int, ...]


def moving(region: Region) -> tuple[int, ...]:
    """The dimensions of a region with more than one element."""
    return tuple(d for d, n in enumerate(region.extents) if n != 1)


def runs_of(source: Region, target: Region, a: Layout, b: Layout) -> Runs | str:
    """The fewest runs for a copy of `source`, in layout `a`, to `target`, in layout `b`; or why there are none."""
    bits = source.buffer.dtype.bits
    extents = tuple(source.extents[d] for d in moving(source))
    size = prod(extents)
    if _is_whole(source, a) and _is_whole(target, b) and a == b:
        if size * bits % (8 * UNIT):
            return f"it has {size * bits // 8} bytes, no multiple of {UNIT}"
        return Runs(size, extents, (1,) * len(extents))
    if a.swizzle != b.swizzle:
        return f"'{source.buffer.name}' and '{target.buffer.name}' have different layouts"
    box: list[int] = []
    dense = 1  # elements of a run so far
    for extent, *sides in reversed(list(zip(extents, _sides(source, a), _sides(target, b)))):
        box.append(gcd(*(_follow(extent, digits, start, dense) for digits, start in sides)))
        dense *= box[-1]
    box.reverse()
    unit = UNIT * 8 // gcd(bits, UNIT * 8)
    if a.swizzle is not None:  # it permutes what lies in one of its periods
        s = a.swizzle
        unit = max(unit, 1 << s.bits + s.base + s.shift)
    counts = tuple(n // m for n, m in zip(extents, box))
    steps = [step_of(r, layout, _along(r, box), _along(r, counts)) for r, layout in ((source, a), (target, b))]
    if any(n % unit for n in (dense, *steps)):
        runs = f"its parts have {dense * bits // 8} bytes and begin at multiples of {gcd(*steps) * bits // 8}"
        return f"{runs}, and both must be multiples of {unit * bits // 8}"
    return Runs(dense, tuple(box), counts)


def _is_whole(region: Region, layout: Layout) -> bool:
    """Whether it is all of a tile that lies without gaps."""
    shape = static_shape(region.buffer)
    inside = all(o == Const(0) for o in region.offsets)
    return inside and region.extents == shape and layout.size == prod(shape)


def _sides(region: Region, layout: Layout) -> list[tuple[tuple[Digit, ...], int]]:
    """Of each dimension with more than one element its digits, and what divides where the region begins there."""
    return [(layout.dims[d], divisor(region.offsets[d], {})) for d in moving(region)]


def _along(region: Region, values: Sequence[int]) -> tuple[int, ...]:
    """`values` along the dimensions with more than one element, 1 along the others."""
    found = iter(values)
    return tuple(next(found) if n != 1 else 1 for n in region.extents)


def _follow(extent: int, digits: Sequence[Digit], start: int, dense: int) -> int:
    """Elements along a dimension that lie one after the other if `dense` elements are below."""
    stepping = [d for d in digits if d.extent > 1]
    if not stepping or stepping[-1].stride != dense:
        return 1
    return extent if len(stepping) == 1 else gcd(extent, stepping[-1].extent, start)
