"""Layouts of shared tiles that the copy engine moves: it has row-major ones and its own swizzles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tiledsl.analysis.bank_conflicts import fewest_conflicts
from tiledsl.analysis.tensor_boxes import boxes_of, copyable
from tiledsl.errors import Span, error
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.nodes import Buffer, Region, static_shape

Moved: TypeAlias = Mapping[Buffer, tuple[Region, ...]]  # the regions of each tile that the copy engine moves


def movable(buffer: Buffer, wanted: Layout, moved: Moved, reader: Fragment | None = None) -> Layout:
    """`wanted`; if the copy engine cannot move that, the widest swizzle that it has for the tile.

    If threads read the tile element by element, as `reader` holds it, the layout in which that conflicts least.
    """
    if number_of_boxes(buffer, wanted, moved):
        return wanted
    choices = movable_layouts(buffer, moved)
    if reader is not None and choices:
        return fewest_conflicts(reader, buffer.dtype.bits, tuple(choices))
    return next((x for x in choices if x.swizzle), choices[0] if choices else wanted)


def movable_layouts(buffer: Buffer, moved: Moved) -> list[Layout]:
    """The layouts in which the copy engine moves all that it has to of a tile: those of fewest boxes first."""
    layouts = copyable(static_shape(buffer), buffer.dtype.bits)
    counted = [(n, x) for x in layouts if (n := number_of_boxes(buffer, x, moved))]
    return [x for _, x in sorted(counted, key=lambda c: c[0])]


def number_of_boxes(buffer: Buffer, layout: Layout, moved: Moved) -> int:
    """The boxes of all bulk copies of the tile; 0 if one of them cannot be made."""
    total = 0
    for region in moved[buffer]:
        boxes = boxes_of(region, layout)
        if isinstance(boxes, str):
            return 0
        total += boxes.number
    return total


def check_moved(
    places: Mapping[Buffer, Sequence[tuple[Region, Span]]],
    layouts: Mapping[Buffer, tuple[Fragment | Layout, str, Span]],
) -> None:
    """Raises TD0320 where the copy engine does not have a tile's layout; `layouts` say who demanded it, and where."""
    for buffer, regions in places.items():
        layout, why, whence = layouts[buffer]
        assert isinstance(layout, Layout)
        for region, span in regions:
            found = boxes_of(region, layout)
            if isinstance(found, str):
                note = ((f"'{buffer.name}' got its layout from {why}", whence),)
                raise error("TD0320", span, note, buffer=buffer.name, why=found)
