"""Layouts of shared tiles that the copy engine moves: between global memory and a tile it has row-major ones and its
own swizzles, from the tile of one block to that of another it needs runs of bytes that are alike on both sides.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tiledsl.analysis.bank_conflicts import fewest_conflicts
from tiledsl.analysis.block_copies import Runs, runs_of
from tiledsl.analysis.tensor_boxes import boxes_of, copyable
from tiledsl.errors import Span, error
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.nodes import Buffer, Region, static_shape

Moved: TypeAlias = Mapping[Buffer, tuple[Region, ...]]  # the regions of each tile that the copy engine moves
Sent: TypeAlias = tuple[tuple[Region, Region], ...]  # the two sides of copies to other blocks


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


def layouts_to_send(buffer: Buffer, sent: Sent, moved: Moved, known: Mapping[Buffer, Layout]) -> list[Layout]:
    """The layouts of a tile in which all copies to other blocks can be made whose other side is `known`, or a tile that
    can have the same layout: those of known ones first.
    """
    shape = static_shape(buffer)
    partners = [b for pair in sent for b in (pair[0].buffer, pair[1].buffer) if any(r.buffer is buffer for r in pair)]
    choices = [known[b] for b in partners if b in known and known[b].shape == shape]
    choices += copyable(shape, buffer.dtype.bits)

    def fits(layout: Layout) -> bool:
        tried = {**known, buffer: layout}
        ends = [(a, b) for a, b in sent if any(r.buffer is buffer for r in (a, b))]
        if any(isinstance(_runs(a, b, tried, layout), str) for a, b in ends):
            return False
        return buffer not in moved or number_of_boxes(buffer, layout, moved) > 0

    return [layout for layout in dict.fromkeys(choices) if fits(layout)]


def _runs(a: Region, b: Region, known: Mapping[Buffer, Layout], default: Layout) -> Runs | str:
    """The runs of a copy; where one side is not known, as if it had the layout of the other."""
    layouts = [known.get(r.buffer, default) for r in (a, b)]
    if any(r.buffer not in known and static_shape(r.buffer) != default.shape for r in (a, b)):
        return Runs(0, (), ())  # decided when its turn comes
    return runs_of(a, b, *layouts)


def check_sent(
    places: Sequence[tuple[Region, Region, Span]], layouts: Mapping[Buffer, tuple[Fragment | Layout, str, Span]]
) -> None:
    """Raises TD0262 where the copy engine cannot move a tile to another block; `layouts` as for `check_moved`."""
    for source, target, span in places:
        a, b = (layouts[r.buffer][0] for r in (source, target))
        assert isinstance(a, Layout) and isinstance(b, Layout)
        found = runs_of(source, target, a, b)
        if isinstance(found, str):
            named = {r.buffer: layouts[r.buffer] for r in (source, target)}
            notes = tuple((f"'{x.name}' got its layout from {why}", whence) for x, (_, why, whence) in named.items())
            raise error("TD0262", span, notes, src=source.buffer.name, dst=target.buffer.name, why=found)


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
