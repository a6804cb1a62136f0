"""Launches that begin before the one before them is over: what may stand above the wait, and what becomes of it."""

from __future__ import annotations

from functools import cache

import pytest

from tiledsl.compile import Lowered, lower
from tiledsl.errors import TileError
from tiledsl.ir.concurrent import Dependency
from tiledsl.ir.parser import parse
from tiledsl.ir.walk import statements
from tiledsl.passes.normalise import normalise
from tiledsl.target import target_named

SM80, SM90 = target_named("sm_80"), target_named("sm_90a")
KERNEL = """
kernel k(A: global float32[64], B: global float32[64], C: global float32[64], W: global float32[64]) {{
  launch first(b in 1) threads(t in 64) {{
    view V: global float32[8, 8] of B
    alloc S: shared float32[64]
    copy A -> S
    dependency(kind=trigger)
    copy S -> B
  }}
  launch second(c in 1) threads(u in 64) {{
    alloc R: shared float32[64]
    alloc Q: shared float32[8, 8]
    view X: global float32[8, 8] of B
    {above}
    {wait}
    copy B -> R
    copy R -> C
  }}
}}
"""
WAIT = "dependency(kind=wait)"


def text(above: str = "", wait: str = WAIT) -> str:
    return KERNEL.format(above=above, wait=wait)


# What stands above the wait of the second launch, and what is wrong with it.
EARLY = {
    "reads what no launch writes": ("copy W -> R", ""),
    "reads what both read": ("copy A -> R", ""),
    "writes what no earlier launch touches": ("fill C, 0.0", ""),
    "reads what the first writes": ("copy B -> R", "'B' is read before T.pdl_sync, and written by an earlier launch"),
    "through a view": ("copy X -> Q", "'B' is read before T.pdl_sync, and written by an earlier launch"),
    "in a loop": (
        "for k in 4 {\nR[k] = B[k]\n}",
        "'B' is read before T.pdl_sync, and written by an earlier launch",
    ),
    "as an index": (
        "let i = cast<index>(B[0])\nR[i] = 0.0",
        "'B' is read before T.pdl_sync, and written by an earlier launch",
    ),
    "writes it": ("fill B, 0.0", "'B' is written before T.pdl_sync, and written by an earlier launch"),
    "adds to it": ("atomic(add) R -> B", "before T.pdl_sync, and written by an earlier launch"),
    "writes what the first reads": ("fill A, 0.0", "'A' is written before T.pdl_sync, and read by an earlier launch"),
}


@pytest.mark.parametrize("target", [SM80, SM90], ids=["sm_80", "sm_90a"])
@pytest.mark.parametrize(("above", "wrong"), EARLY.values(), ids=EARLY)
def test_what_may_stand_above_the_wait(above: str, wrong: str, target: object) -> None:
    """It is the same question on all targets, so that a kernel does not depend on where it was tried."""
    kernel = parse(text(above))
    if not wrong:
        normalise(kernel, target=target)
        return
    with pytest.raises(TileError, match="TD0508") as caught:
        normalise(kernel, target=target)
    assert wrong in str(caught.value)
    assert caught.value.notes
    normalise(parse(text(above, wait="")), target=target)  # without a wait the launch begins later


def test_every_earlier_launch_counts() -> None:
    """A launch between, which has a wait as well, is only over when those before it are; it may begin when they run."""
    third = "  launch third(d in 1) threads(v in 64) {\n    copy B -> A\n    dependency(kind=wait)\n  }\n}"
    with pytest.raises(TileError, match="TD0508"):
        normalise(parse(text().rstrip()[:-1] + third), target=SM90)


# --------------------------------------------------------------------------------------------------- what becomes of it


@cache
def made(target: str, wait: str = WAIT) -> Lowered:
    return lower(parse(text("copy W -> R", wait)), target_named(target))


def test_only_a_launch_that_waits_may_begin_early() -> None:
    assert [e.dependent for e in made("sm_90a").signature.entries] == [False, True]
    assert [e.dependent for e in made("sm_90a", "").signature.entries] == [False, False]
    assert [e.dependent for e in made("sm_80").signature.entries] == [False, False]


def test_elsewhere_it_is_left_out_with_a_note() -> None:
    final = made("sm_80").final
    assert not any(isinstance(s, Dependency) for s in statements(final))
    said = "T.pdl_sync and T.pdl_trigger do nothing on sm_80: launches run one after the other"
    assert [launch.notes[0] for launch in final.launches] == [said, said]


def test_compilers_do_not_read_ahead_of_the_wait() -> None:
    """A pointer to what the kernel cannot change would let them: so there are none."""
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    first, second = made("sm_90a").compiled.ptx.split(".entry second")
    assert "griddepcontrol.launch_dependents;" in first and "ld.global.nc" in first
    above, below = second.split("griddepcontrol.wait;")
    assert "ld.global.nc" not in second
    assert "ld.global" in above and "ld.global" in below  # W, then B


ROLES = """
kernel k(A: global float16[256, 64], C: global float32[256, 64]) {
  launch main(b in 4) threads(t in 128) {
    alloc S: shared float16[64, 64]
    alloc F: fragment float32[64, 64]
    fill F, 0.0
    dependency(kind=wait)
    for k in 4 pipelined(stages=2) {
      copy A[k * 64 : 64, 0 : 64] -> S
      parallel i in 64, j in 64 { F[i, j] = F[i, j] + cast<float32>(S[i, j]) }
    }
    dependency(kind=trigger)
    copy F -> C[b * 64 : 64, 0 : 64]
  }
}
"""


def test_each_role_waits_and_one_triggers() -> None:
    """The producer copies by itself, so it waits by itself; a block triggers once."""
    source = lower(parse(ROLES), SM90).source
    producer, consumer = source.text.split("} else if (warp >= 4) {")
    assert producer.index("grid_wait()") < producer.index("bulk_load(")
    assert consumer.count("grid_wait()") == consumer.count("grid_launch_dependents()") == 1
    assert "grid_launch_dependents" not in producer
    assert source.entries[0].dependent
