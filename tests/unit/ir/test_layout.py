"""Layouts: notation, composition, operations on digits, swizzles, recovery from tables; golden values of the design."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from tiledsl.analysis.gemm_plan import plan_gemm
from tiledsl.analysis.layout_tables import equal, offset_table, reg_table, thread_table
from tiledsl.ir.dtypes import FLOAT16, FLOAT32
from tiledsl.ir.layout import Digit, Fragment, Layout, Swizzle, fragment, fully_replicated, partition, row_major
from tiledsl.ir.layout_ops import (
    canonical,
    dereplicate,
    expand_dim,
    permute_dims,
    reduce_dim,
    repeat,
    replicate,
    separable_partition,
    thread_digits_along,
    vector_width,
)
from tiledsl.ir.nodes import Buffer, Const, Region, Space
from tiledsl.ir.recover import recover_fragment, recover_layout
from tiledsl.ir.swizzle import (
    alignment,
    choose_swizzle,
    contiguous_run,
    expand,
    merge_swizzles,
    padded,
    span_of,
    swizzled,
)
from tiledsl.ir.tile import Gemm
from tiledsl.ir.views import view_layout
from tiledsl.target import target_named

# ------------------------------------------------------------------------------------------- golden: A.3, G2

# (name, shape, lane, slot): the table of algorithms.md A.3, i = row, j = column of the tile as it is named there.
A3 = [
    ("A 16-bit", (16, 16), lambda i, j: 4 * (i % 8) + j % 8 // 2, lambda i, j: 4 * (j // 8) + 2 * (i // 8) + j % 2),
    ("B 16-bit", (16, 16), lambda i, j: 4 * (i % 8) + j % 8 // 2, lambda i, j: 4 * (i // 8) + 2 * (j // 8) + j % 2),
    ("A 32-bit", (16, 8), lambda i, j: 4 * (i % 8) + j % 4, lambda i, j: 2 * (j // 4) + i // 8),
    ("B 32-bit", (16, 8), lambda i, j: 4 * (i % 8) + j % 4, lambda i, j: 2 * (i // 8) + j // 4),
    ("A 8-bit", (16, 32), lambda i, j: 4 * (i % 8) + j % 16 // 4, lambda i, j: 8 * (j // 16) + 4 * (i // 8) + j % 4),
    ("B 8-bit", (16, 32), lambda i, j: 4 * (i % 8) + j % 16 // 4, lambda i, j: 8 * (i // 8) + 4 * (j // 16) + j % 4),
    ("C f64", (8, 8), lambda i, j: 4 * i + j // 2, lambda i, j: j % 2),
]
A3_DIGITS = {
    "A 16-bit": ("i8 j4*2", "j2*8 i2*8 j2"),
    "B 16-bit": ("i8 j4*2", "i2*8 j2*8 j2"),
    "A 32-bit": ("i8 j4", "j2*4 i2*8"),
    "B 32-bit": ("i8 j4", "i2*8 j2*4"),
    "A 8-bit": ("i8 j4*4", "j2*16 i2*8 j4"),
    "B 8-bit": ("i8 j4*4", "i2*8 j2*16 j4"),
    "C f64": ("i8 j4*2", "j2"),
}


@pytest.mark.parametrize(("name", "shape", "lane", "slot"), A3, ids=[row[0] for row in A3])
def test_A3_table_in_digits(name, shape, lane, slot) -> None:
    f = fragment("ij", *A3_DIGITS[name])
    assert f.shape == shape
    points = list(product(*(range(n) for n in shape)))
    assert thread_table(f)[:, 0].tolist() == [lane(i, j) for i, j in points]
    assert reg_table(f).tolist() == [slot(i, j) for i, j in points]


def _gemm(m: int, n: int, k: int, a_space=Space.SHARED, b_space=Space.SHARED, **options) -> Gemm:
    def whole(name, shape, dtype, space):
        return Region(Buffer(name, shape, dtype, space), (Const(0), Const(0)), shape)

    return Gemm(
        whole("A", (m, k), FLOAT16, a_space),
        whole("B", (k, n), FLOAT16, b_space),
        whole("C", (m, n), FLOAT32, Space.FRAGMENT),
        **options,
    )


def _block_c(wm: int, wn: int, rm: int, rn: int) -> tuple[list[int], list[int]]:
    """A.3, "Block-level C for mma": thread = (Wn, Wm, i0, j1), slot = (Rm, Rn, j2, i1, j0)."""
    threads, slots = [], []
    for i in range(wm * rm * 16):
        for j in range(wn * rn * 16):
            w_m, r_m, i1, i0 = i // (rm * 16), i // 16 % rm, i // 8 % 2, i % 8
            w_n, r_n, j2, j1, j0 = j // (rn * 16), j // 16 % rn, j // 8 % 2, j % 8 // 2, j % 2
            threads.append(((w_n * wm + w_m) * 8 + i0) * 4 + j1)
            slots.append((((r_m * rn + r_n) * 2 + j2) * 2 + i1) * 2 + j0)
    return threads, slots


def test_G2_block_level_accumulator() -> None:
    plan = plan_gemm(_gemm(128, 128, 32), 128, target_named("sm_80"))
    assert plan.warps == (2, 2)
    threads, slots = _block_c(2, 2, 4, 4)
    assert thread_table(plan.c)[:, 0].tolist() == threads
    assert reg_table(plan.c).tolist() == slots


def test_G2_block_level_operands_in_registers() -> None:
    """A: thread = (Rep(Wn), Wm, lane), slot = (Kr, Rm, atom).
    B: thread = (Wn, Rep(Wm), lane), slot = (Kr, Rn, atom).
    """
    plan = plan_gemm(_gemm(64, 64, 32, Space.FRAGMENT, Space.FRAGMENT), 128, target_named("sm_80"))
    (wm, wn), rm = plan.warps, plan.repeats[0]
    a, b = plan.a.layout, plan.b.layout
    assert isinstance(a, Fragment) and isinstance(b, Fragment)
    for i, k in product(range(64), range(32)):
        w, r = i // (rm * 16), i // 16 % rm
        lane = 4 * (i % 8) + k % 8 // 2
        assert sorted(thread_table(a)[i * 32 + k]) == [(x * wm + w) * 32 + lane for x in range(wn)]
        atom = 4 * (k % 16 // 8) + 2 * (i % 16 // 8) + k % 2
        assert reg_table(a)[i * 32 + k] == (k // 16 * rm + r) * 8 + atom
    rn = plan.repeats[1]
    for k, j in product(range(32), range(64)):
        w, r = j // (rn * 8), j // 8 % rn
        lane = 4 * (j % 8) + k % 8 // 2
        assert sorted(thread_table(b)[k * 64 + j]) == [(w * wm + x) * 32 + lane for x in range(wm)]
        assert reg_table(b)[k * 64 + j] == (k // 16 * rn + r) * 4 + 2 * (k % 16 // 8) + k % 2


def test_G2_wgmma_accumulator() -> None:
    """i = (w:4, i1:2, i0:8), j = (N/8, 4, 2): thread = (w, i0, j1), slot = (jN, i1, j0)."""
    f = fragment("mn", "m4*16 m8 n4*2", "n8*8 m2*8 n2")
    for i, j in product(range(64), range(64)):
        assert thread_table(f)[i * 64 + j, 0] == (i // 16 * 8 + i % 8) * 4 + j % 8 // 2
        assert reg_table(f)[i * 64 + j] == (j // 8 * 2 + i // 8 % 2) * 2 + j % 2


def test_G2_reduction_of_the_accumulator_over_columns() -> None:
    """Thread digits of the columns become replicas in place, registers (Rn, j2, j0) vanish, (Rm, i1) stay."""
    c = plan_gemm(_gemm(128, 128, 32), 128, target_named("sm_80")).c
    rows = reduce_dim(c, 1)
    assert rows is not None and rows.shape == (128,)
    assert rows.threads == (Digit(2, 0), Digit(2, 64), Digit(8, 1), Digit(4, 0))
    assert rows.regs == (Digit(8, 8),)  # Rm continues i1: 4 times 16 rows, 2 times 8
    assert thread_digits_along(c, 1) == ((2, 64), (4, 1))


def test_G2_reduction_of_the_accumulator_over_rows() -> None:
    """Butterflies: i0 (8 lanes, 4 apart) in the warp, Wm (2 warps, 32 apart) through the workspace."""
    c = plan_gemm(_gemm(128, 128, 32), 128, target_named("sm_80")).c
    assert thread_digits_along(c, 0) == ((2, 32), (8, 4))
    columns = reduce_dim(c, 0)
    assert columns is not None and columns.replication == 16


# --------------------------------------------------------------------------------------------------------- digits


def test_linear_digits_need_no_dimensions() -> None:
    """(9, 8) over 12 threads is radix (6, 12): runs that cross the rows (A.6)."""
    f = partition((9, 8), 12, 1)
    assert thread_table(f)[:, 0].tolist() == [e % 12 for e in range(72)]
    assert reduce_dim(f, 1) is None and permute_dims(f, (1, 0)) is None


def test_ragged_partition_holds_every_element_once() -> None:
    f = partition((1000,), 128, 4)
    assert f.is_ragged and f.padded_size == 1024
    places = set(zip(thread_table(f)[:, 0].tolist(), reg_table(f).tolist()))
    assert len(places) == 1000


def test_canonical_merges_what_continues() -> None:
    split = Fragment((64,), (Digit(2, 16), Digit(4, 4)), (Digit(2, 32), Digit(2, 2), Digit(1, 7), Digit(2, 1)))
    assert canonical(split) == Fragment((64,), (Digit(8, 4),), (Digit(2, 32), Digit(4, 1)))
    assert equal(split, canonical(split))


def test_replicas_do_not_merge_with_other_digits() -> None:
    f = Fragment((8,), (Digit(2, 0), Digit(3, 0), Digit(8, 1)), ())
    assert canonical(f).threads == (Digit(6, 0), Digit(8, 1))


def test_equality_sees_shapes_and_ignores_the_order_of_replicas() -> None:
    """G7: the peer's is_equal is true for different input shapes."""
    assert not equal(partition((4, 8), 32, 1), partition((8, 4), 32, 1))
    a = Fragment((4,), (Digit(2, 0), Digit(4, 1), Digit(3, 0)), ())
    assert equal(a, Fragment((4,), (Digit(2, 0), Digit(4, 1), Digit(3, 0)), ()))
    assert not equal(a, Fragment((4,), (Digit(3, 0), Digit(4, 1), Digit(2, 0)), ()))


def test_separable_partition_deals_to_every_shape() -> None:
    for shape, threads in product([(64, 40), (8, 13), (1, 1024), (96, 24), (7,), (2, 3, 5)], [32, 96, 128, 384]):
        f = separable_partition(shape, threads)
        assert f.num_threads == threads and not f.is_ragged
        for dim in range(len(shape)):
            assert reduce_dim(f, dim) is not None


def test_vector_width_stops_at_rows() -> None:
    assert vector_width(partition((4, 64), 32, 8)) == 8
    assert vector_width(Fragment((4, 6), (Digit(3, 8),), (Digit(8, 1),))) == 2
    assert vector_width(fragment("mn", "m8 n4*2", "m2*8 n2")) == 2


def test_expanded_dimension_is_held_by_every_owner() -> None:
    f = partition((32,), 32, 1)
    tile = expand_dim(f, 1, 5)
    assert tile is not None and tile.shape == (32, 5) and tile.num_regs == 5
    assert thread_table(tile).reshape(32, 5).tolist() == [[t] * 5 for t in range(32)]
    assert reduce_dim(tile, 1) == canonical(f)


def test_repeat_numbers_the_last_dimension_fastest_or_the_first() -> None:
    f = partition((2, 2), 4, 1)
    last, first = repeat(f, (2, 3)), repeat(f, (2, 3), last_fastest=False)
    assert last is not None and first is not None
    for i, j in product(range(4), range(6)):
        assert reg_table(last)[i * 6 + j] == i // 2 * 3 + j // 2
        assert reg_table(first)[i * 6 + j] == j // 2 * 2 + i // 2


# ---------------------------------------------------------------------------------------------------- shared layouts


@pytest.mark.parametrize("span", [128, 64, 32])
@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("panels", [1, 2])
def test_L21_swizzles_equal_the_formulas_of_A2(span: int, bits: int, panels: int) -> None:
    """full: (c % 8) ^ (i % 8); half: (c % 4) ^ (i % 8 // 2); quarter: (c % 2) ^ (i % 8 // 4); panels outermost."""
    v = 128 // bits
    width = span // 16 * v
    rows, cols = 16, width * panels
    found = offset_table(swizzled((rows, cols), bits, span))
    chunks, divisor = {128: (8, 1), 64: (4, 2), 32: (2, 4)}[span]
    for i, j in product(range(rows), range(cols)):
        chunk = (j // v % chunks) ^ (i % 8 // divisor)
        inner = i % 8 * width + chunk * v + j % v
        assert found[i, j] == (j // width * (rows // 8) + i // 8) * 8 * width + inner


def test_choice_of_swizzles() -> None:
    assert [span_of(choose_swizzle((64, n), 16), 16) for n in (64, 128, 32, 96, 16)] == [128, 128, 64, 64, 32]
    assert span_of(choose_swizzle((64, 64), 8), 8) == 64
    assert choose_swizzle((12, 64), 16) == padded((12, 64), 16)  # rows are no multiple of 8
    assert choose_swizzle((8, 24), 16) == row_major((8, 24))


def test_merging_swizzles_keeps_the_smaller_span() -> None:
    full, half = swizzled((64, 64), 16, 128), swizzled((64, 64), 16, 64)
    assert merge_swizzles(full, half, 16) == half == merge_swizzles(half, full, 16)
    assert merge_swizzles(full, row_major((64, 64)), 16) is None


def test_runs_and_alignment() -> None:
    assert contiguous_run(swizzled((64, 64), 16, 128)) == 8
    assert contiguous_run(row_major((64, 64), 2)) == 2
    assert contiguous_run(row_major((4, 65))) == 65
    assert contiguous_run(Layout((4, 4), ((Digit(4, 1),), (Digit(4, 4),)), 16)) == 1
    assert [alignment(swizzled((64, 64), 16, s), 16) for s in (128, 64, 32)] == [1024, 512, 256]
    assert alignment(row_major((64, 64)), 16) == 16


def test_expand_refuses_to_break_the_period() -> None:
    with pytest.raises(ValueError):
        expand(Layout((8, 32), row_major((8, 32)).dims, 260, Swizzle(2, 3, 3)), (2,))


# ----------------------------------------------------------------------------------------------------------- views


def test_L15_views_of_fragments() -> None:
    f = partition((16, 32), 32, 4)
    assert view_layout(f, 32, (8, 64), 32) == Fragment((8, 64), f.threads, f.regs)
    narrow = view_layout(f, 32, (16, 64), 16)
    assert isinstance(narrow, Fragment) and narrow.num_regs == 2 * f.num_regs
    for e in range(0, 512, 37):
        for half in range(2):
            assert thread_table(narrow)[2 * e + half, 0] == thread_table(f)[e, 0]
            assert reg_table(narrow)[2 * e + half] == 2 * reg_table(f)[e] + half
    again = view_layout(narrow, 16, (16, 32), 32)
    assert isinstance(again, Fragment) and equal(again, f)
    assert view_layout(partition((16, 32), 32, 1), 16, (16, 16), 32) is None  # would split a pair


def test_L15_views_of_shared_tiles() -> None:
    layout = swizzled((64, 64), 16)
    for shape, bits in (((32, 128), 16), ((4096,), 16), ((64, 32), 32), ((64, 128), 8)):
        seen = view_layout(layout, 16, shape, bits)
        assert isinstance(seen, Layout)
        unit = min(16, bits)  # compare the places of the smallest units
        a = offset_table(layout).ravel()[:, None] * (16 // unit) + np.arange(16 // unit)
        b = offset_table(seen).ravel()[:, None] * (bits // unit) + np.arange(bits // unit)
        assert np.array_equal(a.ravel(), b.ravel())


# -------------------------------------------------------------------------------------------------------- recovery


@pytest.mark.parametrize(
    "layout",
    [
        row_major((24, 40)),
        row_major((8, 16), 4),
        *(swizzled((64, 64), 16, s) for s in (128, 64, 32)),
        swizzled((16, 128), 16),
        swizzled((8, 128), 8),
    ],
)
def test_L7_shared_layouts_are_recovered(layout: Layout) -> None:
    found = recover_layout(layout.shape, offset_table(layout).ravel().tolist())
    assert found is not None and np.array_equal(offset_table(found), offset_table(layout))


def test_L27_recovery_refuses_what_is_not_regular() -> None:
    assert recover_layout((8,), [0, 1, 3, 2, 4, 5, 6, 7]) is None
    assert recover_layout((4, 4), [i * 4 + (j + i) % 4 for i in range(4) for j in range(4)]) is None
    assert recover_fragment((8,), [[e * e % 8 for e in range(8)]], [0] * 8) is None
    assert recover_fragment((8,), [[e * 2 for e in range(8)]], [0] * 8) is None  # threads 1, 3, ... hold nothing
    assert recover_fragment((4,), [[0, 1, 2, 3], [4, 6, 5, 7]], [0] * 4) is None  # replicas arranged differently


def test_dereplicate_moves_registers_to_replicas() -> None:
    f = dereplicate(fully_replicated((64,), 32))
    assert f.replication == 1 and f.num_regs == 2 and f.num_threads == 32
    full = replicate(partition((32,), 32, 1), 3)
    assert dereplicate(full) == canonical(full)
