"""The record of a block: what its warps do in virtual time, the same in every schedule."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from test_hopper_kernels import gemm

from tiledsl.backends import Backend, run_on_cpu
from tiledsl.cpu.observe import Observation
from tiledsl.cpu.record import Event, Record
from tiledsl.runtime.arguments import bind
from tiledsl.testing.case import Draw
from tiledsl.tools.loading import load_tile_kernel

pytestmark = pytest.mark.cxx
EXAMPLES = Path(__file__).parents[3] / "examples"


@cache
def recorded(stages: int, latency: int = 64, block: tuple[int, int, int] = (0, 0, 0), **how: Any) -> Record:
    """A product of 64 x 64 x 32 tiles, 5 of them along k, by 4 warps."""
    spec = str(EXAMPLES / "gemm.py:gemm")
    static = {"M": 128, "N": 128, "K": 160, "block": (64, 64, 32), "num_stages": stages}
    kernel, rest = load_tile_kernel(spec, static)
    lowered = kernel.compile(target="sm_80", **rest).lowered
    draw = Draw(0)
    bound = bind(lowered.signature, (), {"A": draw(128, 160), "B": draw(160, 128)})
    seen = Observation(count=False, block=block, latency=latency)
    run_on_cpu(lowered, bound, Backend.CPU, check=True, observe=seen, **how)
    assert seen.counters == {}
    return seen.records["gemm"]


def test_the_events_of_a_warp_follow_each_other() -> None:
    r = recorded(3)
    assert (r.kernel, r.block, r.threads, r.warps) == ("gemm", (0, 0, 0), 128, 4)
    for warp in range(4):
        events = r.of(warp)
        assert events[0].start == 0 and events[-1].end == r.end
        assert all(a.end == b.start for a, b in pairwise(events)), "no hole, no overlap"
        assert all(e.site[0].endswith("gemm.py") and e.site[1] > 0 for e in events)
        assert {e.kind for e in events} == {"compute", "collective", "wait"}


def test_products_and_copies_of_a_gemm() -> None:
    r = recorded(3)
    products = [e for e in r.of(0) if e.text.startswith("mma_")]
    assert sum(e.end - e.start for e in products) == 5 * 2 * 2 * 4, "5 tiles, k steps of 16, 2 x 4 tiles of 16 x 8"
    loads = [e for e in r.of(0) if e.text == "ldmatrix_x4"]
    assert {e.buffer for e in loads} == {"A_shared"} and [e.stage for e in loads[::2]] == [0, 1, 2, 0, 1]
    copies = [e for e in r.of("copy") if e.buffer == "A_shared"]
    assert [e.stage for e in copies] == [0, 1, 2, 0, 1], "three versions in turn"
    assert all(e.bytes == 64 * 32 * 2 and e.warp is None and e.needed is not None for e in copies)
    assert all(e.end - e.start >= r.latency for e in copies)
    assert len(r.of("barrier")) == sum(e.text == "barrier 0" for e in r.of(0)) == 5


def test_waits_for_copies_end_when_the_data_is_there() -> None:
    r = recorded(2)
    waits = [e for e in r.of(0) if e.text == "wait for copies"]
    ends = {e.end for e in r.of("copy")}
    assert waits and all(w.end in ends for w in waits)


def test_more_stages_hide_more_latency() -> None:
    def waited(r: Record) -> int:
        return sum(e.end - e.start for e in r.of(0) if e.text == "wait for copies")

    assert waited(recorded(4)) < waited(recorded(3)) < waited(recorded(2)) and recorded(4).end < recorded(2).end
    assert waited(recorded(2, latency=1)) == 0 or waited(recorded(2, latency=1)) < waited(recorded(2))


@pytest.mark.parametrize(
    "how",
    [{"schedule": "reverse"}, {"mode": "late"}, {"mode": "random", "seed": 3}, {"workers": 1}],
    ids=lambda how: "-".join(map(str, how.values())),
)
def test_the_record_does_not_depend_on_the_schedule(how: dict[str, Any]) -> None:
    assert recorded(3, **how) == recorded(3)


def test_another_block_is_another_record() -> None:
    other = recorded(3, block=(1, 1, 0))
    assert other.block == (1, 1, 0)
    assert [(e.kind, e.start, e.end) for e in other.events] == [(e.kind, e.start, e.end) for e in recorded(3).events]


def test_no_such_block_no_record() -> None:
    assert Observation(block=(2, 0, 0)).number_of_block((2, 2, 1)) == -1
    assert Observation(block=(1, 1, 0)).number_of_block((2, 2, 1)) == 3
    assert Observation().number_of_block((2, 2, 1)) == -1


@pytest.mark.parametrize("how", [{}, {"schedule": "reverse", "mode": "late"}, {"mode": "random", "seed": 5}], ids=str)
def test_a_specialised_kernel_waits_at_mbarriers(how: dict[str, Any]) -> None:
    """Warp 0 loads 5 tiles into 3 stages for two consumers of 4 warps, which tell it when a stage is free."""
    seen = Observation(block=(0, 0, 0))
    assert gemm(observe=seen, **how).found == []
    r = seen.records["gemm"]
    loads = [e for e in r.of("copy") if e.text == "bulk load" and e.buffer == "a"]
    assert [e.stage for e in loads] == [0, 1, 2, 0, 1] and all(e.warp == 0 and e.bytes == 16384 for e in loads)
    phases = [e.text for e in r.of("barrier") if e.text.startswith("mbarrier full")]
    assert phases == [f"mbarrier full[stage {k % 3}]" for k in range(5)]
    first = next(e for e in r.of(4) if e.text == "mbarrier full[stage 0]")
    tile = [e for e in r.of("copy") if e.text == "bulk load" and e.stage == 0 and e.start < first.end]
    assert first.kind == "wait" and first.end == max(e.end for e in tile) + 1, "it waits for both operands"
    again = next(e for e in r.of(0) if e.text == "mbarrier empty[stage 0]")
    freed = [e for w in (4, 8) for e in r.of(w) if e.text == "mbarrier_arrive"]
    assert again.end == max(e.end for e in freed if e.start < again.end) + 1, "it waits for both consumers"
    assert sum(e.end - e.start for e in r.of(4) if e.text == "wgmma") == 5 * 4, "5 tiles of 64, 16 at a time"
    assert r.events == specialised().events


@cache
def specialised() -> Record:
    seen = Observation(block=(0, 0, 0))
    gemm(observe=seen)
    return seen.records["gemm"]


def test_events_are_plain_data() -> None:
    e = Event("wait", 0, 1, 3, ("f.py", 4), "barrier 0")
    assert Record((e,)).end == 3 and Record((e,)).of(0) == (e,) and Record(()).end == 0
