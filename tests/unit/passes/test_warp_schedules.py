"""Schedules for a producer that the user gives: what is taken, and what is refused with which words.

The law over random kernels is in tiledsl.testing.laws.warp_schedules.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_warp_specialise import PASSES, SM90, every_outcome, outcome

import tiledsl
import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.warp_specialise import warp_plans, warp_specialise
from tiledsl.target import target_named

FRAME = """
kernel g(A: global float16[64, 96], B: global float16[96, 16], D: global float16[96, 16], C: global float32[64, 16]) {{
  launch g(bx in 1) threads(t in {threads}) {registers} {{
    {schedule}
    alloc As: shared float16[64, 16]
    alloc Bs: shared float16[16, 16]
    alloc Ds: shared float16[16, 16]
    alloc Es: shared float16[16, 16]
    alloc acc: fragment float32[64, 16]
    fill acc, 0.0
    fill Es, 0.0
    for k in 6 pipelined(stages=2) {{
      copy A[0 : 64, k * 16 : 16] -> As
      copy D[k * 16 : 16, 0 : 16] -> Ds
      copy B[k * 16 : 16, 0 : 16] -> Bs
      gemm As, Bs, acc
      gemm As, Ds, acc
      {more}
    }}
    copy acc -> C
  }}
}}
"""


def framed(schedule: str, registers: str = "", more: str = "", threads: int = 128) -> Kernel:
    return parse(FRAME.format(schedule=schedule, registers=registers, more=more, threads=threads))


TAKEN: dict[str, tuple[str, list[tuple[list[str], int]], list[str]]] = {
    "a pipeline each": (
        "handover(1) As\n handover(3) Bs\n handover(4) Ds",
        [(["As"], 1), (["Ds"], 4), (["Bs"], 3)],
        [],
    ),
    "in another order": ("handover(2) Bs\n handover(2) As", [(["As"], 2), (["Bs"], 2)], ["Ds"]),
    "one tile": ("handover(5) Ds", [(["Ds"], 5)], ["As", "Bs"]),
}


@pytest.mark.parametrize(("schedule", "channels", "left"), TAKEN.values(), ids=TAKEN)
def test_what_the_user_wants_is_made(schedule: str, channels: list[Any], left: list[str]) -> None:
    kernel = framed(schedule)
    (plan,) = warp_plans(kernel, SM90)
    assert [([b.name for b in c.tiles], c.depth) for c in plan.channels] == channels
    assert sorted(c.dst.buffer.name for c, _ in plan.left) == left  # type: ignore[attr-defined]
    assert all(why == "the schedule leaves it there" for _, why in plan.left)
    expected = outcome(framed(""))
    made = run_pipeline(kernel, PASSES)
    assert not made.launches[0].handovers
    assert all(found == expected for found in every_outcome(made))


REFUSED: dict[str, tuple[Kernel, str, str]] = {
    "a tile that nothing fills from global memory": (
        framed("handover(2) As\n handover(2) Es"),
        "TD0407",
        "cannot copy 'Es': nothing copies a tile to it",
    ),
    "a tile that is written in the loop": (
        framed("handover(2) Bs", more="fill Bs, 0.0"),
        "TD0407",
        "cannot copy 'Bs': 'Bs' is also used outside of the iteration, or written",
    ),
    "a tensor that the kernel writes": (
        framed("handover(2) As, Bs", more="B[0, 0] = float16(0.0)"),
        "TD0407",
        "cannot copy 'Bs': 'B' is written by the kernel",
    ),
    "other readers": (
        framed("handover(2) As, Bs"),
        "TD0408",
        "'As' and 'Bs' cannot share the barriers of a T.WSPipeline: other statements read them: "
        "'As' by lines 16 to 17, 'Bs' by line 16",
    ),
    "roles of the kernel": (
        framed("handover(2) As", threads=64),
        "TD0409",
        "cannot be kept: 64 threads are no whole warpgroups",
    ),
    "more than shared memory": (
        framed("handover(100) As\n handover(60) Ds"),
        "TD0410",
        "(As x100, Ds x60) take 235520 bytes of shared memory, sm_90a allows 232448",
    ),
    "more registers than the block has": (
        framed("handover(2) As", "registers(40, 240)", threads=256),
        "TD0411",
        "128 threads with 40 registers and 256 with 240 need 66560, the block has 64512",
    ),
}


@pytest.mark.parametrize(("kernel", "code", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_made_is_an_error(kernel: Kernel, code: str, words: str) -> None:
    with pytest.raises(TileError) as raised:
        warp_plans(kernel, SM90)
    assert raised.value.code == code and words in raised.value.message


NEIGHBOURS = """
kernel n(A: global float16[64, 96], B: global float16[64, 96], D: global float16[64, 96], C: global float16[64, 16]) {
  launch n(bx in 1) threads(t in 128) {
    handover(2) As, Bs
    handover(2) Ds
    alloc As: shared float16[64, 16]
    alloc Bs: shared float16[64, 16]
    alloc Ds: shared float16[64, 16]
    alloc sum: fragment float16[64, 16]
    fill sum, 0.0
    for k in 6 pipelined(stages=2) {
      copy A[0 : 64, k * 16 : 16] -> As
      copy D[0 : 64, k * 16 : 16] -> Ds
      copy B[0 : 64, k * 16 : 16] -> Bs
      parallel i in 64, j in 16 {
        sum[i, j] = sum[i, j] + As[i, j] * Ds[i, j] + Bs[i, j]
      }
    }
    copy sum -> C
  }
}
"""


def test_no_group_stands_around_another() -> None:
    with pytest.raises(TileError) as raised:
        warp_plans(parse(NEIGHBOURS), SM90)
    assert raised.value.code == "TD0408"
    assert "the copy to 'Ds', which has other barriers, stands between them" in raised.value.message
    (plan,) = warp_plans(parse(NEIGHBOURS.replace("handover(2) Ds", "")), SM90)
    assert [c.name for c in plan.channels] == ["As_Bs"]


def test_zero_registers_are_those_of_the_launch() -> None:
    (plan,) = warp_plans(framed("handover(2) As", "registers(0, 0)"), SM90)
    assert (plan.budget.producer, plan.budget.consumer) == (0, 0)


@pytest.mark.parametrize(
    ("target", "enabled", "why"),
    [("sm_80", True, "sm_80 has no copy engine or does not move registers"), ("sm_90a", False, "is turned off")],
)
def test_where_there_is_no_producer_the_schedule_is_left_aside(target: str, enabled: bool, why: str) -> None:
    kernel = framed("handover(2) As")
    (launch,) = warp_specialise.bind(target_named(target), enabled=enabled)(kernel).launches
    assert launch.body == kernel.launches[0].body and not launch.handovers
    assert launch.notes[-1].startswith("the schedule of T.annotate_ws_schedule is left aside: ")
    assert launch.notes[-1].endswith(why)


# ------------------------------------------------------------------------------------------------- whole kernels


def gemm(schedule: Any = None) -> Any:
    @tiledsl.kernel(out_idx=-1, target="sm_90a")
    def gemm(A: T.Tensor((128, 256), "float16"), B: T.Tensor((256, 64), "float16"), C: T.Tensor((128, 64), "float16")):  # type: ignore[no-untyped-def]
        with T.Kernel(1, 1, threads=256):
            A_shared = T.alloc_shared((128, 64), "float16")
            B_shared = T.alloc_shared((64, 64), "float16")
            acc = T.alloc_fragment((128, 64), "float32")
            if schedule is not None:
                T.annotate_ws_schedule(schedule(A_shared, B_shared))
            T.clear(acc)
            for k in T.Pipelined(4, num_stages=3):
                T.copy(A[0, k * 64], A_shared)
                T.copy(B[k * 64, 0], B_shared)
                T.gemm(A_shared, B_shared, acc)
            T.copy(acc, C)

    return gemm


def test_the_reports_own_schedule_gives_the_same_text() -> None:
    plain = gemm().compile()
    (line,) = (x for x in str(plain.lowered.final.launches[0].notes[0]).splitlines() if x.startswith("as a schedule: "))
    call = line.removeprefix("as a schedule: T.annotate_ws_schedule(").removesuffix(")")
    pasted = gemm(lambda A, B: eval(call, {"T": T, "A_shared": A, "B_shared": B}))
    assert pasted.compile().source == plain.source


@pytest.mark.parametrize(
    "schedule",
    [
        lambda A, B: T.WSSchedule(T.WSPipeline(A, depth=2), T.WSPipeline(B, depth=4)),
        lambda A, B: T.WSSchedule(T.WSPipeline(B, A, depth=1), registers=(40, 232)),
        lambda A, B: T.WSSchedule(T.WSPipeline(B, depth=2)),
    ],
    ids=["apart", "one-version", "one-tile"],
)
def test_another_schedule_computes_the_same(schedule: Any) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-2, 3, shape).astype(np.float16) for shape in ((128, 256), (256, 64)))
    kernel = gemm(schedule)
    assert kernel.compile().source != gemm().compile().source
    result = kernel.check(a, b, schedules=2)
    assert result.ok, result
