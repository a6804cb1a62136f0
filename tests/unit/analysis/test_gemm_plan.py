"""Plans of tile products: warps, layouts of the operands, how they are read, and the errors."""

from __future__ import annotations

from itertools import product
from math import prod

import numpy as np
import pytest

from tiledsl.analysis.bank_conflicts import conflicts, ldmatrix_conflicts
from tiledsl.analysis.gemm_plan import Read, plan_gemm, warp_partitions
from tiledsl.analysis.layout_tables import is_injective, is_injective_layout, thread_table
from tiledsl.errors import Span, TileError
from tiledsl.ir.dtypes import (
    BFLOAT16,
    FLOAT8_E4M3,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INT8,
    INT32,
    UINT8,
    DType,
)
from tiledsl.ir.layout import Fragment, Layout, linear_at, row_major
from tiledsl.ir.layout_ops import vector_width
from tiledsl.ir.nodes import Buffer, Const, Region, Space, Var
from tiledsl.ir.swizzle import contiguous_run, swizzled
from tiledsl.ir.tile import Gemm
from tiledsl.target import target_named

SM80, SM89 = target_named("sm_80"), target_named("sm_89")
SPAN = Span("kernel.py", 7, 0, 7, 9)
DTYPES = [
    (FLOAT16, FLOAT32, "ieee", 16),
    (BFLOAT16, FLOAT32, "ieee", 16),
    (FLOAT16, FLOAT16, "ieee", 16),
    (FLOAT32, FLOAT32, "tf32", 8),
    (INT8, INT32, "ieee", 32),
    (UINT8, INT32, "ieee", 32),
    (FLOAT64, FLOAT64, "ieee", 4),
    (FLOAT32, FLOAT32, "ieee", 1),
]


def region(name: str, shape: tuple[int, ...], dtype: DType, space: Space = Space.SHARED) -> Region:
    return Region(Buffer(name, shape, dtype, space), tuple(Const(0) for _ in shape), shape)


def gemm(
    m: int,
    n: int,
    k: int,
    a: DType = FLOAT16,
    c: DType = FLOAT32,
    ta: bool = False,
    tb: bool = False,
    **options: object,
) -> Gemm:
    ra = region("A", (k, m) if ta else (m, k), a)
    rb = region("B", (n, k) if tb else (k, n), a)
    return Gemm(ra, rb, region("C", (m, n), c, Space.FRAGMENT), ta, tb, span=SPAN, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("warps", [4, 8])
@pytest.mark.parametrize("tile", [(64, 64), (96, 96), (128, 128), (256, 128), (64, 256), (128, 96)])
@pytest.mark.parametrize(("a", "c", "precision", "step"), DTYPES)
def test_every_tile_dtype_and_order_has_a_consistent_plan(tile, warps, a, c, precision, step) -> None:
    m, n = tile
    for ta, tb in product((False, True), repeat=2):
        plan = plan_gemm(gemm(m, n, 64, a, c, ta, tb, precision=precision), 32 * warps, SM80)
        assert plan.kind == ("fma" if step == 1 else "mma") and plan.k_steps == 64 // step
        assert plan.c.shape == (m, n) and plan.c.num_threads == 32 * warps
        assert plan.c.replication == 1 and not plan.c.is_ragged and is_injective(plan.c)
        for operand, shape in ((plan.a, (64, m) if ta else (m, 64)), (plan.b, (n, 64) if tb else (64, n))):
            assert isinstance(operand.layout, Layout) and operand.layout.shape == shape
            assert is_injective_layout(operand.layout)
            assert contiguous_run(operand.layout) * a.bits % 128 == 0  # 16-byte chunks stay whole for cp.async
        assert plan.a.fragment.shape == (m, 64) and plan.b.fragment.shape == (64, n)


def warp_sets(f: Fragment, axis: int) -> list[set[int]]:
    """For each row (axis 1: column) the warps that hold all of it."""
    table = thread_table(f) // 32
    grid = np.moveaxis(table.reshape(*f.shape, -1), axis, 0)
    return [set.intersection(*(set(e) for e in row.reshape(-1, row.shape[-1]).tolist())) for row in grid]


@pytest.mark.parametrize("policy", ["square", "full_row", "full_col"])
@pytest.mark.parametrize(("a", "c", "precision", "step"), DTYPES[:-1])
def test_L29_each_warp_holds_the_rows_and_columns_that_it_multiplies(policy, a, c, precision, step) -> None:
    plan = plan_gemm(gemm(64, 64, 2 * step, a, c, policy=policy, precision=precision), 128, SM80)
    owners = thread_table(plan.c)[:, 0].reshape(64, 64) // 32
    rows, columns = warp_sets(plan.a.fragment, 0), warp_sets(plan.b.fragment, 1)
    for i, j in product(range(0, 64, 3), range(0, 64, 3)):
        assert owners[i, j] in rows[i] and owners[i, j] in columns[j]


@pytest.mark.parametrize(
    ("bits16", "ta", "tb", "reads"),
    [
        (FLOAT16, False, False, (Read.LDMATRIX, Read.LDMATRIX_TRANS)),
        (FLOAT16, False, True, (Read.LDMATRIX, Read.LDMATRIX)),
        (FLOAT16, True, False, (Read.LDMATRIX_TRANS, Read.LDMATRIX_TRANS)),
        (FLOAT16, True, True, (Read.LDMATRIX_TRANS, Read.LDMATRIX)),
        (INT8, False, True, (Read.LDMATRIX, Read.LDMATRIX)),
        (INT8, True, False, (Read.ELEMENTS, Read.ELEMENTS)),
        (FLOAT64, False, True, (Read.ELEMENTS, Read.ELEMENTS)),
    ],
)
def test_trans_moves_16_bit_elements_only(bits16, ta, tb, reads) -> None:
    c = {FLOAT16: FLOAT32, INT8: INT32, FLOAT64: FLOAT64}[bits16]
    plan = plan_gemm(gemm(64, 64, 64, bits16, c, ta, tb), 128, SM80)
    assert (plan.a.read, plan.b.read) == reads


@pytest.mark.parametrize(
    ("dtype", "columns"), [*((FLOAT16, n) for n in (16, 32, 64, 128, 96)), *((INT8, n) for n in (32, 64, 128, 96))]
)
def test_L22_ldmatrix_rows_hit_distinct_banks(dtype: DType, columns: int) -> None:
    """Panels of 128, 64 and 32 bytes a row alike: the XOR spreads 8 rows over all banks."""
    plan = plan_gemm(gemm(64, 64, columns, dtype, INT32 if dtype is INT8 else FLOAT32, tb=True), 128, SM80)
    layout = plan.a.layout
    assert isinstance(layout, Layout)
    chunk = 128 // dtype.bits
    for row, column in product(range(0, 64, 8), range(0, columns, chunk)):
        assert ldmatrix_conflicts(layout, row, column, dtype.bits) == 0


@pytest.mark.parametrize(("a", "c", "precision"), [(FLOAT32, FLOAT32, "tf32"), (FLOAT64, FLOAT64, "ieee")])
def test_element_loads_have_no_conflicts(a, c, precision) -> None:
    plan = plan_gemm(gemm(64, 64, 32, a, c, True, False, precision=precision), 128, SM80)
    for operand, turned in ((plan.a, True), (plan.b, False)):
        assert operand.read is Read.ELEMENTS and isinstance(operand.layout, Layout)
        f = operand.fragment
        for reg in range(0, f.num_regs, vector_width(f)):
            linear = linear_at(f, np.arange(32), reg)
            at = [linear // f.shape[1], linear % f.shape[1]]
            assert conflicts(operand.layout, at[::-1] if turned else at, a.bits) == 0


def test_policies() -> None:
    def warps(m: int, n: int, count: int, policy: str) -> tuple[int, int]:
        return plan_gemm(gemm(m, n, 32, policy=policy), 32 * count, SM80).warps

    assert warps(128, 128, 4, "square") == (2, 2)
    assert warps(128, 128, 8, "square") == (4, 2)
    assert warps(256, 128, 8, "square") == (4, 2)
    assert warps(64, 256, 4, "square") == (1, 4)
    assert warps(128, 128, 4, "full_row") == (4, 1)
    assert warps(128, 128, 4, "full_col") == (1, 4)
    assert warps(16, 128, 4, "full_row") == (1, 4)  # as many along m as fit


def test_partitions_cut_into_whole_atoms() -> None:
    assert warp_partitions((96, 96), (16, 8), 8) == [(2, 4)]
    assert warp_partitions((16, 16), (16, 8), 4) == []
    assert all(prod(p) == 12 for p in warp_partitions((192, 192), (16, 8), 12))


def test_a_known_layout_decides_how_an_operand_is_read() -> None:
    g = gemm(64, 64, 64)
    padded_by_two = row_major((64, 64), 2)
    plan = plan_gemm(g, 128, SM80, {g.a.buffer: padded_by_two})
    assert plan.a.layout == padded_by_two and plan.a.read is Read.ELEMENTS  # 16 bytes do not lie together
    plan = plan_gemm(g, 128, SM80, {g.a.buffer: row_major((64, 64), 8)})
    assert plan.a.read is Read.LDMATRIX


def test_parts_of_a_tile_that_start_within_16_bytes_are_read_element_by_element() -> None:
    k = Var("k")
    a = Buffer("A", (64, 128), FLOAT16, Space.SHARED)
    for offset, read in ((k * 64, Read.LDMATRIX), (k * 8, Read.LDMATRIX), (k * 4, Read.ELEMENTS), (k, Read.ELEMENTS)):
        g = gemm(64, 64, 64)
        part = Region(a, (Const(0), offset), (64, 64))
        assert plan_gemm(Gemm(part, g.b, g.c), 128, SM80).a.read is read


def test_leading_extents_of_one_are_kept() -> None:
    a = region("A", (1, 64, 64), FLOAT16)
    g = Gemm(a, region("B", (64, 64), FLOAT16), region("C", (64, 64), FLOAT32, Space.FRAGMENT))
    layout = plan_gemm(g, 128, SM80).a.layout
    assert (
        isinstance(layout, Layout) and layout.shape == (1, 64, 64) and layout.swizzle == swizzled((64, 64), 16).swizzle
    )


def refused(code: str, g: Gemm, threads: int = 128, target=SM80) -> TileError:
    with pytest.raises(TileError) as raised:
        plan_gemm(g, threads, target)
    assert raised.value.code == code and raised.value.span == SPAN
    return raised.value


def test_errors_name_what_would_work() -> None:
    raised = refused("TD0310", gemm(16, 16, 32), 128)
    assert "4 warps" in raised.message and raised.hint.startswith("32, 64 threads")
    assert "mma_fp8" in refused("TD0311", gemm(64, 64, 32, FLOAT8_E4M3)).message
    assert plan_gemm(gemm(64, 64, 32, FLOAT8_E4M3), 128, SM89).kind == "mma"
    refused("TD0312", gemm(64, 64, 32, FLOAT8_E4M3, INT32), target=SM89)
    refused("TD0312", gemm(64, 64, 32, BFLOAT16, BFLOAT16))
    assert "multiple of 16" in refused("TD0313", gemm(64, 64, 24)).hint
    refused("TD0315", gemm(64, 64, 32), 100)
    refused("TD0316", gemm(7, 7, 8, FLOAT32), 128)


def test_operands_in_the_wrong_place() -> None:
    g = gemm(64, 64, 32)
    c = region("C", (64, 64), FLOAT32, Space.SHARED)
    refused("TD0314", Gemm(g.a, g.b, c, span=SPAN))
    refused("TD0314", Gemm(region("A", (64, 32), FLOAT16, Space.GLOBAL), g.b, g.c, span=SPAN))
    half = Region(Buffer("C", (64, 128), FLOAT32, Space.FRAGMENT), (Const(0), Const(0)), (64, 64))
    refused("TD0314", Gemm(g.a, g.b, half, span=SPAN))


# ------------------------------------------------------------------------------------------------------------- wgmma

SM90 = target_named("sm_90a")


@pytest.mark.parametrize(
    ("m", "n", "threads", "policy", "warpgroups", "repeats", "columns"),
    [
        (64, 64, 128, "square", (1, 1), (1, 1), 64),
        (128, 128, 256, "square", (2, 1), (1, 1), 128),
        (128, 256, 256, "square", (2, 1), (1, 1), 256),
        (256, 128, 256, "square", (2, 1), (2, 1), 128),
        (64, 256, 256, "square", (1, 2), (1, 1), 128),
        (128, 256, 256, "full_col", (1, 2), (2, 1), 128),
        (256, 256, 256, "full_row", (2, 1), (2, 1), 256),
        (64, 272, 128, "square", (1, 1), (1, 2), 136),
        (192, 128, 384, "square", (3, 1), (1, 1), 128),
    ],
)
def test_warpgroups_read_as_little_as_they_can(m, n, threads, policy, warpgroups, repeats, columns) -> None:
    plan = plan_gemm(gemm(m, n, 64, policy=policy), threads, SM90)
    assert plan.kind == "wgmma" and plan.atom is not None and f"n{columns}k16" in plan.atom.name
    assert (plan.warps, plan.repeats, plan.k_steps) == (warpgroups, repeats, 4)
    assert plan.c.shape == (m, n) and plan.c.num_threads == threads and is_injective(plan.c)
    assert plan.refused == "" and plan.a.read is plan.b.read is Read.DESCRIPTOR


def test_each_warpgroup_owns_a_block_of_rows() -> None:
    """A.3: thread = (Wn, wg, w, i0, j1), slot = (atomM, jN, i1, j0)."""
    plan = plan_gemm(gemm(256, 128, 64), 256, SM90)
    owners = thread_table(plan.c)[:, 0].reshape(256, 128)
    assert set((owners[:128] // 128).ravel()) == {0} and set((owners[128:] // 128).ravel()) == {1}
    assert set((owners[64 + 16 : 64 + 32] // 32).ravel()) == {1}  # the second atom of warp 1
    assert owners[8, 2] == 1 and owners[1, 0] == 4


def test_integers_have_fewer_widths() -> None:
    plan = plan_gemm(gemm(64, 40, 64, INT8, INT32, tb=True), 128, SM90)
    assert plan.atom is not None and plan.repeats == (1, 5) and "n8k32" in plan.atom.name


@pytest.mark.parametrize(
    ("g", "threads", "why"),
    [
        (gemm(64, 64, 64), 64, "64 threads are no whole warpgroups of 128"),
        (gemm(32, 64, 64), 128, "32 x 64 does not split into multiples of 64 x 8 for 1 warpgroups"),
        (gemm(64, 64, 64, FLOAT64, FLOAT64), 128, "wgmma does not multiply float64 by float64 into float64"),
        (gemm(64, 64, 16, INT8, INT32, tb=True), 128, "in steps of 32"),
        (gemm(64, 64, 64, INT8, INT32, True, True), 128, "operand a, 'A', is not contiguous along k"),
        (gemm(64, 64, 64, INT8, INT32), 128, "operand b, 'B', is not contiguous along k"),
    ],
    ids=["threads", "tile", "types", "depth", "a_along_m", "b_along_n"],
)
def test_other_products_say_why_they_are_none_of_wgmma(g: Gemm, threads: int, why: str) -> None:
    asynchronous = Gemm(g.a, g.b, g.c, g.transpose_a, g.transpose_b, asynchronous=True, span=SPAN)
    assert why in refused("TD0319", asynchronous, threads, SM90).message
    if "steps" not in why:  # the depth is no multiple of mma's either
        plan = plan_gemm(g, threads, SM90)
        assert plan.kind == "mma" and why in plan.refused
        assert plan_gemm(g, threads, SM89).refused == ""  # that there is none needs no reason


def test_b_in_registers_and_foreign_layouts_are_refused_with_a_reason() -> None:
    g = gemm(64, 64, 64)
    held = Region(Buffer("B", (64, 64), FLOAT16, Space.FRAGMENT), (Const(0), Const(0)), (64, 64))
    assert "'B', is not in shared memory" in plan_gemm(Gemm(g.a, held, g.c), 128, SM90).refused
    plan = plan_gemm(g, 128, SM90, {g.a.buffer: row_major((64, 64), 8)})
    assert plan.kind == "mma" and plan.refused == "no matrix descriptor describes the layout of 'A'"


def test_asynchronous_products_need_the_instruction() -> None:
    g = gemm(64, 64, 64)
    raised = refused("TD0319", Gemm(g.a, g.b, g.c, asynchronous=True, span=SPAN), 128, SM80)
    assert "sm_80" in raised.message


@pytest.mark.parametrize(
    ("columns", "span"), [(64, 128), (128, 128), (32, 64), (96, 64), (16, 32), (48, 32), (24, 0), (8, 0)]
)
def test_tiles_get_the_widest_swizzle_that_their_rows_have(columns: int, span: int) -> None:
    plan = plan_gemm(gemm(64, columns, 64), 128, SM90)
    assert plan.b.matrix is not None and plan.b.matrix.swizzle == span
