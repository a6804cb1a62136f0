"""Boxes of the copy engine: every element in one box, at the address where the layout has it (S18)."""

from __future__ import annotations

import pytest

from tiledsl.analysis.tensor_boxes import Boxes, boxes_of
from tiledsl.ir.dtypes import FLOAT16, DType
from tiledsl.ir.layout import Layout, Swizzle, row_major
from tiledsl.ir.nodes import Buffer, Const, Region, Space, Var
from tiledsl.ir.swizzle import padded, panelled, swizzled


def region(
    shape: tuple[int, ...], dtype: DType, offsets: tuple[int, ...] = (), extents: tuple[int, ...] = ()
) -> Region:
    at = offsets or (0,) * len(shape)
    return Region(Buffer("x", shape, dtype, Space.SHARED), tuple(map(Const, at)), extents or shape)


@pytest.mark.parametrize(
    ("shape", "span", "number"),
    [((128, 64), 128, 1), ((64, 128), 128, 2), ((64, 96), 64, 3), ((64, 48), 32, 3), ((64, 24), 16, 3)],
)
def test_whole_tiles_take_a_box_for_each_panel(shape: tuple[int, int], span: int, number: int) -> None:
    boxes = boxes_of(region(shape, FLOAT16), panelled(shape, 16, span))
    assert isinstance(boxes, Boxes)
    assert boxes.number == number and boxes.swizzle == (span if span > 16 else 0)


def test_boxes_are_as_large_as_the_hardware_has_them() -> None:
    boxes = boxes_of(region((512, 128), FLOAT16), row_major((512, 128)))
    assert isinstance(boxes, Boxes) and boxes.box == (256, 128)
    rows = boxes_of(region((4, 512), FLOAT16), row_major((4, 512)))  # a row is longer than a box
    assert isinstance(rows, Boxes) and rows.box == (1, 256) and rows.number == 8


def test_what_the_copy_engine_cannot_move() -> None:
    def why(tile: Region, layout: Layout) -> str:
        found = boxes_of(tile, layout)
        assert isinstance(found, str)
        return found

    shape = (64, 64)
    assert "swizzle" in why(region(shape, FLOAT16), Layout(shape, row_major(shape).dims, 4096, Swizzle(2, 2, 4)))
    half = region(shape, FLOAT16, (0, 32), (64, 32))
    assert "whole rows" in why(half, swizzled(shape, 16))
    assert "8 bytes" in why(region((64, 4), FLOAT16), row_major((64, 4)))
    moving = Region(half.buffer, (Var("i"), Const(0)), (8, 64))
    assert "begin at" in why(moving, padded(shape, 16))


def test_a_padded_tile_is_moved_row_by_row_where_rows_are_aligned() -> None:
    assert isinstance(boxes_of(region((8, 64), FLOAT16), padded((8, 64), 16)), str)  # 144 bytes a row
    boxes = boxes_of(region((8, 64), FLOAT16), padded((8, 64), 16, 8))  # 256 bytes
    assert isinstance(boxes, Boxes) and boxes.box == (1, 64)
