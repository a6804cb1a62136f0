"""Matrix descriptors of layouts (L28): what the tensor core reads is where the layout has it."""

from __future__ import annotations

import numpy as np
import pytest

from tiledsl.analysis.descriptors import Matrix, Piece, describe, reads_layout
from tiledsl.ir.layout import Layout, Swizzle, row_major
from tiledsl.ir.swizzle import padded, panelled

SPANS = (128, 64, 32, 16)


@pytest.mark.parametrize("span", SPANS)
@pytest.mark.parametrize("k_major", [True, False])
def test_canonical_panels_have_the_strides_of_the_manual(span: int, k_major: bool) -> None:
    """PTX ISA, "Strides": K-major ones advance by 8 rows, MN-major ones by 8 of k and by panels."""
    shape = (64, 2 * span // 2)  # two panels
    matrix = describe(panelled(shape, 16, span), 16, k_major)
    down, across = 8 * span, 64 * span
    expected = {
        (True, True): Matrix(True, 16, down, span),
        (True, False): Matrix(True, across, down, 0),
        (False, True): Matrix(False, across, down, span),
        (False, False): Matrix(False, down, across, 0),
    }
    assert matrix == expected[k_major, span > 16]


def reads(layout: Layout, matrix: Matrix | None, rows: int, columns: int) -> bool:
    origins = tuple((r, c) for r in range(0, layout.shape[0], rows) for c in range(0, layout.shape[1], columns))
    return matrix is not None and reads_layout(layout, 16, matrix, Piece(rows, columns), origins)


@pytest.mark.parametrize("span", SPANS)
def test_every_piece_of_a_panelled_tile_is_found(span: int) -> None:
    k_major = panelled((128, 64), 16, span)
    assert reads(k_major, describe(k_major, 16, True), 64, 16)
    along_m = panelled((64, 128), 16, span)
    assert reads(along_m, describe(along_m, 16, False), 16, 64)


def test_mutated_descriptors_are_caught() -> None:
    """Each field matters: another leading, stride or swizzle reads other bytes."""
    layout = panelled((64, 128), 16, 64)
    right = describe(layout, 16, False)
    assert right is not None and reads(layout, right, 16, 64)
    for wrong in (
        Matrix(False, right.leading + 16, right.stride, right.swizzle),
        Matrix(False, right.leading, right.stride * 2, right.swizzle),
        Matrix(False, right.leading, right.stride, 128),
        Matrix(False, right.stride, right.leading, right.swizzle),
    ):
        assert not reads(layout, wrong, 16, 64)


@pytest.mark.parametrize(
    "layout",
    [
        row_major((64, 64)),
        padded((64, 64), 16),
        Layout((64, 64), row_major((64, 64)).dims, 4096, Swizzle(2, 2, 4)),
        Layout((64, 64), row_major((64, 64)).dims, 4096, Swizzle(3, 3, 4)),
    ],
    ids=["row_major", "padded", "fine_swizzle", "shifted_swizzle"],
)
def test_other_layouts_have_no_descriptor(layout: Layout) -> None:
    for k_major, rows, columns in ((True, 64, 16), (False, 16, 64)):
        if layout == row_major((64, 64)) and not k_major:
            continue
        assert not reads(layout, describe(layout, 16, k_major), rows, columns)


def test_pieces_that_leave_the_tile_are_refused() -> None:
    layout = panelled((64, 64), 16, 128)
    matrix = describe(layout, 16, True)
    assert matrix is not None
    assert not reads_layout(layout, 16, matrix, Piece(64, 16), ((8, 0),))
    assert np.prod(layout.shape) == layout.size
