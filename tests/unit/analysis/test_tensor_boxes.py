"""Boxes of the copy engine: every element in one box, at the address where the layout has it (S18)."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.analysis.tensor_boxes import ALIGNMENT, MAX_BOX, Boxes, boxes_of, copyable
from tiledsl.ir.dtypes import FLOAT16, FLOAT32, INT8, DType
from tiledsl.ir.layout import Layout, Swizzle, row_major
from tiledsl.ir.nodes import Buffer, Const, Region, Space, Var
from tiledsl.ir.swizzle import padded, panelled, swizzled
from tiledsl.tensor_map import tensor_map

DTYPES = st.sampled_from([INT8, FLOAT16, FLOAT32])


def region(
    shape: tuple[int, ...], dtype: DType, offsets: tuple[int, ...] = (), extents: tuple[int, ...] = ()
) -> Region:
    at = offsets or (0,) * len(shape)
    return Region(Buffer("x", shape, dtype, Space.SHARED), tuple(map(Const, at)), extents or shape)


def written_by_hardware(boxes: Boxes, tile: Region, layout: Layout) -> dict[tuple[int, ...], int]:
    """Where the copy engine puts each element, in elements: dense boxes, bits 7 and up XORed into bits 4 and up."""
    size = tile.buffer.dtype.bits // 8
    plain = Layout(layout.shape, layout.dims, layout.size)
    first = [int(o.value) for o in tile.offsets if isinstance(o, Const)]
    out: dict[tuple[int, ...], int] = {}
    for number in product(*(range(n) for n in boxes.counts)):
        corner = [o + i * b for o, i, b in zip(first, number, boxes.box)]
        start = int(plain.offset(corner)) * size
        assert start % ALIGNMENT == 0
        for i, inside in enumerate(product(*(range(b) for b in boxes.box))):
            address = start + i * size
            if boxes.swizzle:
                address ^= (address // 128) % (boxes.swizzle // 16) * 16
            at = tuple(c + x for c, x in zip(corner, inside))
            assert at not in out
            out[at] = address // size
    return out


@given(st.data())
def test_S18_each_element_is_in_one_box_where_the_layout_has_it(data: st.DataObject) -> None:
    dtype = data.draw(DTYPES)
    unit = 128 // dtype.bits
    shape = (data.draw(st.integers(1, 5)) * 8, data.draw(st.sampled_from([1, 2, 3, 4, 8, 12, 16, 17])) * unit)
    if data.draw(st.booleans()):
        shape = (data.draw(st.integers(1, 3)), *shape)
    layout = data.draw(st.sampled_from(list(copyable(shape, dtype.bits))))
    extents = tuple(data.draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0])) for n in shape)
    offsets = tuple(data.draw(st.integers(0, n // e - 1)) * e for n, e in zip(shape, extents))
    tile = region(shape, dtype, offsets, extents)
    boxes = boxes_of(tile, layout)
    if isinstance(boxes, str):
        return
    assert all(n <= MAX_BOX for n in boxes.box)
    tensor_map("x", dtype.name, shape, boxes.box, swizzle=boxes.swizzle)  # the driver's rules
    found = written_by_hardware(boxes, tile, layout)
    assert len(found) == prod(extents)
    points = np.array(list(found))
    np.testing.assert_array_equal(layout.offset(list(points.T)), list(found.values()))


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
