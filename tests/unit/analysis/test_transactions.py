"""Sectors of global memory that a loop layout touches."""

from __future__ import annotations

import pytest

from tiledsl.analysis.transactions import sectors
from tiledsl.ir.dtypes import FLOAT16, FLOAT32
from tiledsl.ir.layout import Digit, Fragment, fully_replicated, partition
from tiledsl.ir.nodes import Buffer, Load, Space, Store, Var
from tiledsl.ir.tile import Parallel

I, J, K = Var("i"), Var("j"), Var("k")


def copy(dtype=FLOAT32, turned: bool = False) -> Parallel:
    g = Buffer("g", (64, 64), dtype)
    f = Buffer("f", (64, 64), dtype, Space.FRAGMENT)
    return Parallel((I, J), (64, 64), (Store(f, (I, J), Load(g, (J, I) if turned else (I, K * 64 + J))),))


ROWS = Fragment((64, 64), (Digit(64, 64),), (Digit(64, 1),))  # a thread per row


@pytest.mark.parametrize(("width", "each"), [(4, 16), (2, 8), (1, 4)])
def test_coalesced_rows_touch_what_they_read(width: int, each: int) -> None:
    layout = partition((64, 64), 128, width)
    assert sectors(copy(), layout, {}) == each * layout.num_regs // width  # 32 lanes of `width` floats, 8 to a sector


def test_columns_touch_a_sector_for_each_lane() -> None:
    assert sectors(copy(turned=True), partition((64, 64), 128, 1), {}) == 32 * 32
    assert sectors(copy(), ROWS, {}) == 32 * 64 // 4  # 16 bytes of each of 32 rows, 16 times


def test_halves_share_sectors_and_replicas_share_everything() -> None:
    assert sectors(copy(FLOAT16), partition((64, 64), 128, 1), {}) == 2 * 32
    assert sectors(copy(), fully_replicated((64, 64), 128), {}) == 1024  # one sector for each access of 4 floats


def test_loops_without_global_memory_cost_nothing() -> None:
    f = Buffer("f", (64, 64), FLOAT32, Space.FRAGMENT)
    loop = Parallel((I, J), (64, 64), (Store(f, (I, J), Load(f, (I, J))),))
    assert sectors(loop, ROWS, {}) == 0
