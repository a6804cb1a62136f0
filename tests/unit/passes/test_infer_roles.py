"""Layouts where threads have roles, and of tiles that the copy engine moves."""

from __future__ import annotations

import pytest

from tiledsl.analysis.bank_conflicts import ldmatrix_conflicts
from tiledsl.analysis.tensor_boxes import Boxes, boxes_of
from tiledsl.errors import TileError
from tiledsl.ir.concurrent import Role
from tiledsl.ir.layout import Fragment, Layout, row_major
from tiledsl.ir.nodes import Kernel, static_shape
from tiledsl.ir.parser import parse
from tiledsl.ir.swizzle import panelled
from tiledsl.ir.tile import Atomic, Copy, Parallel
from tiledsl.ir.walk import statements, walk
from tiledsl.passes.infer_layouts import infer_layouts
from tiledsl.target import target_named
from tiledsl.verifiers.layouts import verify_layouts

SM90 = target_named("sm_90a")


def inferred(source: str, target: str = "sm_90a") -> Kernel:
    result: Kernel = infer_layouts.bind(target_named(target))(parse(source))
    verify_layouts(result)
    return result


def layouts(k: Kernel) -> dict[str, Fragment | Layout]:
    return {row.buffer.name: row.layout for row in k.launches[0].layouts}


def launch(
    body: str, params: str = "A: global float16[256, 256], C: global float16[256, 256]", threads: int = 128
) -> str:
    return f"kernel k({params}) {{\n launch k(bx in 1) threads(t in {threads}) {{\n{body}\n }}\n}}\n"


ROLES = """
  alloc Cs: shared float16[64, 64]
  roles {
    role one(first=0, threads=128) t1 {
      alloc x: fragment float32[64, 64]
      fill x, 1.0
      copy x -> Cs
    }
    role two(first=128, threads=256) t2 {
      alloc y: fragment float32[64, 64]
      alloc s: fragment float32[64]
      fill y, 2.0
      reduce(op=sum, dim=1) y -> s
    }
  }
"""


def test_fragments_are_laid_out_for_the_threads_of_their_role() -> None:
    k = inferred(launch(ROLES, threads=384))
    found = layouts(k)
    assert isinstance(found["x"], Fragment) and found["x"].num_threads == 128
    assert isinstance(found["y"], Fragment) and found["y"].num_threads == 256
    assert isinstance(found["s"], Fragment) and found["s"].num_threads == 256
    for role in (n for n in walk(k) if isinstance(n, Role)):
        loops = [s for s in statements(role) if isinstance(s, Parallel)]
        assert loops and all(s.layout is not None and s.layout.num_threads == role.threads for s in loops)


def test_a_fragment_of_a_role_cannot_be_given_to_more_threads() -> None:
    given = "  layout x = fragment[64, 64] threads(384:1) regs(32:384)\n"
    with pytest.raises(TileError) as raised:
        inferred(launch(given + ROLES, threads=384))
    assert raised.value.code == "TD0307" and "the role has 128" in raised.value.message


BULK = """
  alloc As: shared float16[{shape}]
  alloc full: barrier uint64[1] = uint64(1)
  alloc x: fragment float16[{shape}]
  bulk copy A[0 : {rows}, 0 : {columns}] -> As on full[0]
  await full[0], 0 of As
  {use}
"""


def bulk(rows: int, columns: int, use: str, given: str = "") -> Kernel:
    body = BULK.format(shape=f"{rows}, {columns}", rows=rows, columns=columns, use=use)
    return inferred(launch(given + body))


def moves(k: Kernel) -> Boxes:
    """The boxes of the one bulk copy."""
    (copy,) = (s for s in statements(k) if isinstance(s, Copy | Atomic) and s.bulk)
    tile = copy.dst if copy.dst.buffer.name == "As" else copy.src
    layout = layouts(k)[tile.buffer.name]
    assert isinstance(layout, Layout)
    boxes = boxes_of(tile, layout)
    assert isinstance(boxes, Boxes)
    return boxes


def test_a_bulk_copy_is_no_loop() -> None:
    k = bulk(64, 64, "copy As -> x")
    assert len([s for s in statements(k) if isinstance(s, Copy)]) == 1
    assert len([s for s in statements(k) if isinstance(s, Parallel)]) == 1


def test_rows_read_as_they_lie_stay_row_major() -> None:
    k = bulk(64, 64, "copy As -> x")
    assert layouts(k)["As"] == row_major((64, 64)) and moves(k).number == 1


def test_columns_read_across_get_a_swizzle_of_the_hardware() -> None:
    """Another layout would conflict less, but the copy engine does not have it."""
    k = bulk(64, 64, "transpose As -> x")
    assert moves(k).swizzle in (32, 64, 128)


def test_long_rows_lie_in_panels() -> None:
    """Row by row 256 boxes would be needed."""
    k = inferred(
        launch(
            "alloc As: shared float16[128, 512]\n alloc full: barrier uint64[1] = uint64(1)\n"
            "alloc x: fragment float16[128, 512]\n bulk copy A -> As on full[0]\n copy As -> x",
            params="A: global float16[128, 512]",
        )
    )
    assert moves(k).number == 8


def test_the_tile_of_an_epilogue_is_free_of_conflicts() -> None:
    source = launch(
        "alloc As: shared float16[128, 64]\n alloc Bs: shared float16[64, 128]\n"
        "alloc acc: fragment float32[128, 128]\n"
        "alloc Cs: shared float16[128, 128]\n gemm(clear) As, Bs, acc\n copy acc -> Cs\n"
        "bulk copy Cs -> C[0 : 128, 0 : 128]"
    )
    layout = layouts(inferred(source))["Cs"]
    assert layout == panelled((128, 128), 16, 128)
    assert isinstance(layout, Layout) and all(ldmatrix_conflicts(layout, 8, c, 16) == 0 for c in range(0, 128, 8))


@pytest.mark.parametrize("target", ["sm_90a", "sm_120a"])
@pytest.mark.parametrize("columns", [16, 32, 64, 128])
def test_an_operand_lies_as_both_the_copy_engine_and_the_product_want_it(columns: int, target: str) -> None:
    """sm_120a has the copy engine and mma.sync."""
    source = launch(
        f"alloc As: shared float16[64, {columns}]\n alloc Bs: shared float16[{columns}, 64]\n"
        f"alloc acc: fragment float32[64, 64]\n alloc full: barrier uint64[1] = uint64(1)\n"
        f"bulk copy A[0 : 64, 0 : {columns}] -> As on full[0]\n gemm(clear) As, Bs, acc"
    )
    k = inferred(source, target)
    assert moves(k).swizzle == min(128, columns * 2)


def test_two_products_that_share_a_tile_agree_on_one_swizzle() -> None:
    """As in attention: V along n, its transpose's use along k."""
    source = launch(
        "alloc As: shared float16[64, 64]\n alloc Bs: shared float16[64, 32]\n alloc c1: fragment float32[64, 32]\n"
        "alloc c2: fragment float32[64, 64]\n gemm(clear) As, Bs, c1\n gemm(transpose_b, clear) Bs, Bs, c2"
    )
    found = layouts(inferred(source))
    assert found["Bs"] == panelled((64, 32), 16, 64) and found["As"] == panelled((64, 64), 16, 128)


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("dims([64:72], [64:1]) size(4608)", "its boxes begin at multiples"),
        ("dims([64:64], [64:1]) size(4096) swizzle(2, 2, 4)", "none of the hardware's"),
        ("dims([64:1], [64:64]) size(4096)", "runs of"),
    ],
    ids=["padded", "fine swizzle", "transposed"],
)
def test_a_given_layout_that_the_copy_engine_does_not_have(given: str, why: str) -> None:
    with pytest.raises(TileError) as raised:
        bulk(64, 64, "copy As -> x", f"layout As = shared[64, 64] {given}\n")
    assert raised.value.code == "TD0320" and why in raised.value.message and raised.value.span.line
    assert "got its layout from user" in str(raised.value)


def test_rows_that_are_no_multiple_of_16_bytes() -> None:
    with pytest.raises(TileError) as raised:
        bulk(64, 4, "copy As -> x")
    assert raised.value.code == "TD0320" and "8 bytes" in raised.value.message


def test_versions_do_not_change_a_layout() -> None:
    source = launch(
        "alloc As: shared float16[64, 64] versions(3)\n alloc full: barrier uint64[3] = uint64(1)\n"
        "for k in 4 {\n bulk copy A[k * 64 : 64, 0 : 64] -> As@(k % 3) on full[k % 3]\n }"
    )
    k = inferred(source)
    (row,) = (r for r in k.launches[0].layouts if r.buffer.name == "As")
    assert row.layout == row_major((64, 64)) and static_shape(row.buffer) == (64, 64)
