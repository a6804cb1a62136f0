"""Producers that are not the copy engine: which copies their threads make, how, and what speaks against it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from test_warp_specialise import PASSES, SM90, every_outcome, outcome

from tiledsl.compile import lower
from tiledsl.ir.concurrent import Arrive, Roles
from tiledsl.ir.nodes import Alloc, Const, For, Kernel, Region, Space
from tiledsl.ir.parser import parse
from tiledsl.ir.tile import Copy, Parallel
from tiledsl.ir.walk import statements
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.warp_specialise import warp_plans
from tiledsl.passes.warp_specialise.budget import Budget, budget
from tiledsl.passes.warp_specialise.fills import CP_ASYNC, ENGINE, REGISTERS, in_parts

FRAME = """
kernel g(A: global float16[128, 112], U: global float16[64, 101], V: global float16[64, 102], O: global int8[64, 112],
         B: global float16[112, 16], table: global int32[64], C: global float32[64, 16]) {{
  launch g(bx in 1) threads(t in 128) {{
    alloc As: shared float16[64, 16]
    alloc Bs: shared float16[16, 16]
    alloc acc: fragment float32[64, 16]
    fill acc, 0.0
    {before}
    for k in 7 pipelined(stages=3) {{
      {fill}
      copy B[k * 16 : 16, 0 : 16] -> Bs
      gemm As, Bs, acc
      {after}
    }}
    copy acc -> C
  }}
}}
"""


def framed(fill: str, before: str = "", after: str = "") -> Kernel:
    return parse(FRAME.format(fill=fill, before=before, after=after))


def element(value: str) -> str:
    return f"parallel i in 64, j in 16 {{\n As[i, j] = {value}\n}}"


HELD = "alloc held: fragment int32[64]\n copy table -> held"
FILLS = {
    "rows of whole words": (framed("copy V[0 : 64, k * 16 : 16] -> As"), CP_ASYNC),
    "a width that is given": (framed("copy(width=2) A[0 : 64, k * 16 : 16] -> As"), CP_ASYNC),
    "rows of halves of words": (framed("copy U[0 : 64, k * 16 : 16] -> As"), REGISTERS),
    "a conversion": (framed("copy O[0 : 64, k * 16 : 16] -> As"), REGISTERS),
    "rows that a table names": (framed(element("A[cast<index>(table[i]), k * 16 + j]")), CP_ASYNC),
    "the same, where it is in registers": (framed(element("A[cast<index>(held[i]), k * 16 + j]"), HELD), CP_ASYNC),
    "transposed": (framed(element("A[k * 16 + j, i]")), REGISTERS),
    "arithmetic on the way": (framed(element("min(A[i, k * 16 + j], float16(1.0))")), REGISTERS),
    "zero where it is masked": (framed(element("select(j < 8, A[i, k * 16 + j], float16(0.0))")), CP_ASYNC),
    "one where it is masked": (framed(element("select(j < 8, A[i, k * 16 + j], float16(1.0))")), REGISTERS),
    "the copy engine": (framed("copy A[0 : 64, k * 16 : 16] -> As"), ENGINE),
}
ARRIVALS = {ENGINE: 1, CP_ASYNC: 129, REGISTERS: 129}  # one of the copy engine for B is among them


@pytest.mark.parametrize(("kernel", "how"), FILLS.values(), ids=FILLS)
def test_how_a_tile_is_brought(kernel: Kernel, how: str) -> None:
    (plan,) = warp_plans(kernel, SM90)
    assert not plan.refused and not plan.left
    (channel,) = plan.channels
    assert [c.how for c in channel.copies] == [how, ENGINE]
    made = run_pipeline(kernel, PASSES)
    full = next(s for s in statements(made) if isinstance(s, Alloc) and s.buffer.space is Space.BARRIER)
    assert isinstance(full.init, Const) and full.init.value == channel.arrivals == ARRIVALS[how]
    expected = outcome(kernel)
    assert all(found == expected for found in every_outcome(made))


WHOLE = "copy A[0 : 64, k * 16 : 16] -> As"
ODD = "copy U[0 : 64, k * 16 : 16] -> As"
STRIDE = "the stride of dimension 0 of 'U' is no known multiple of 16 bytes"
PLACES = "alloc places: shared int32[64]\n fill places, 1"
STAYS = {
    "where threads wait by themselves": (
        framed(f"async {ODD}\n async_commit\n async_wait(pending=0)"),
        "it is a cp.async copy",
    ),
    "a part of a tile": (
        framed("parallel i in 64, j in 8 {\n As[i, j] = A[i, k * 16 + j]\n}", "fill As, 1.0"),
        "it does not write all of 'As'",
    ),
    "at some places only": (
        framed("parallel i in 64, j in 16 {\n if i < k {\n As[i, j] = A[i, k * 16 + j]\n}\n}", "fill As, 1.0"),
        "it does not write all of 'As'",
    ),
    "what the kernel writes": (framed(ODD, after="U[0, 0] = float16(0.0)"), "'U' is written by the kernel"),
    "a tile that is used later": (
        framed(ODD, after="As[0, 0] = float16(0.0)"),
        "'As' is also used outside of the iteration, or written",
    ),
    "rows that only those who compute know": (
        framed(element("A[cast<index>(places[i]), k * 16 + j]"), PLACES),
        "'places', which says where to copy, is in shared memory",
    ),
    "the number of the thread": (
        framed(element("A[(i + t) % 64, k * 16 + j]")),
        "it depends on the number of the thread",
    ),
}


@pytest.mark.parametrize(("kernel", "reason"), STAYS.values(), ids=STAYS)
def test_what_stays_says_why(kernel: Kernel, reason: str) -> None:
    (plan,) = warp_plans(kernel, SM90)
    assert [(c.tile.name, c.how) for channel in plan.channels for c in channel.copies] == [("Bs", ENGINE)]
    assert [why for _, why in plan.left] == [reason]


def test_threads_copy_for_tensor_cores_only() -> None:
    """Those who compute element by element copy as well for themselves."""
    source = FRAME.replace(
        "gemm As, Bs, acc",
        "parallel i in 64, j in 16 {{\n acc[i, j] = acc[i, j] + cast<float32>(As[i, j] + Bs[0, j])\n}}",
    )
    (plan,) = warp_plans(parse(source.format(fill=ODD, before="", after="")), SM90)
    assert [why for _, why in plan.left] == [STRIDE]


def test_the_plan_says_why_it_is_not_the_copy_engine() -> None:
    (plan,) = warp_plans(framed(ODD), SM90)
    assert str(plan).splitlines()[-1].endswith(f"by 128 threads, registers: {STRIDE}")


def _with_rows(region: Region, rows: int) -> Region:
    return replace(region, buffer=replace(region.buffer, shape=(rows, *region.buffer.shape[1:])), extents=(rows, 16))


def test_small_tiles_have_no_versions_where_boxes_may_begin() -> None:
    """A table of 64 bytes, of which the products' threads take a factor."""
    table = "copy table[k * 9 : 16] -> few"
    scaled = "parallel i in 64, j in 16 {\n acc[i, j] = acc[i, j] * cast<float32>(few[j])\n}"
    kernel = framed(f"copy A[0 : 64, k * 16 : 16] -> As {table}", "alloc few: shared int32[16]", scaled)
    (plan,) = warp_plans(kernel, SM90)
    assert "'few' has 64 bytes, no multiple of 128" in str(plan)
    made = run_pipeline(kernel, PASSES)
    assert all(found == outcome(kernel) for found in every_outcome(made))
    lower(kernel, SM90)


@pytest.mark.parametrize(("rows", "parts"), [(64, 1), (256, 1), (512, 2), (1024, 4), (192 * 4, 3)])
def test_large_tiles_come_in_parts(rows: int, parts: int) -> None:
    """A thread has registers for 32 elements at a time: here 128 threads bring rows of 16."""
    kernel = framed("copy U[0 : 64, k * 16 : 16] -> As")
    (copy,) = (s for s in statements(kernel) if isinstance(s, Copy) and s.dst.buffer.name == "As")
    source, target = (_with_rows(r, rows) for r in (copy.src, copy.dst) if isinstance(r, Region))
    made = in_parts(replace(copy, src=source, dst=target), 128)
    if parts == 1:
        assert isinstance(made, Copy)
        return
    assert isinstance(made, For) and made.extent == Const(parts)
    (piece,) = made.body
    assert isinstance(piece, Parallel) and piece.extents == (rows // parts, 16)


def test_parts_bring_what_the_whole_does() -> None:
    wide = FRAME.replace("[64, 101]", "[512, 101]").replace("[64, 16]", "[512, 16]")
    kernel = parse(wide.format(fill="copy U[0 : 512, k * 16 : 16] -> As", before="", after=""))
    made = run_pipeline(kernel, PASSES)
    assert any(isinstance(s, For) and s.extent == Const(2) for s in statements(made))
    expected = outcome(kernel)
    assert all(found == expected for found in every_outcome(made))


@pytest.mark.parametrize("warpgroups", [2, 3])
@pytest.mark.parametrize("way", [ENGINE, CP_ASYNC, REGISTERS])
def test_registers_are_those_that_the_block_has(way: str, warpgroups: int) -> None:
    made = budget(warpgroups * 128, frozenset({ENGINE, way}))
    dealt = 65536 // ((warpgroups + 1) * 128) // 8 * 8
    assert made.producer + warpgroups * made.consumer <= (warpgroups + 1) * dealt
    assert 24 <= made.producer < dealt < made.consumer and not (made.producer % 8 or made.consumer % 8)
    assert budget(128, frozenset({way})) == Budget()


def test_one_warpgroup_waits_and_arrives_as_a_whole() -> None:
    """Where its threads copy; the copy engine alone needs one thread."""
    for how, agents in ((CP_ASYNC, 1), (ENGINE, 0)):
        kernel = next(k for k, found in FILLS.values() if found == how)
        made = run_pipeline(kernel, PASSES[:1])
        (roles,) = (s for s in statements(made) if isinstance(s, Roles))
        arrivals = [s for s in statements(roles.roles[0]) if isinstance(s, Arrive)]
        assert [s.by for s in arrivals] == ["one", *("threads",) * agents]
        assert all(s.copies and [b.name for b in s.buffers] == ["As"] for s in arrivals[1:])
