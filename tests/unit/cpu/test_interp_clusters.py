"""Clusters in both NumPy executions: blocks that load for each other, and each way to get that wrong."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from tiledsl.cpu import interp, tile_interp
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.cpu.turns import ORDERS
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Buffer, Kernel, static_shape
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.pipeline import pipeline
from tiledsl.target import target_named

# Each of two blocks loads a half of every tile for both. Both store all tiles.
SHARED = """
kernel k(A: global float32[48, 32], C: global float32[4, 48, 32]) {
  launch main(b in 4) threads(t in 256) cluster(2) {
    alloc S: shared float32[16, 32] versions(2)
    alloc full: barrier uint64[2] = 1
    alloc empty: barrier uint64[2] = 2
    roles {
      role p(first=0, threads=128) q {
        for k in 3 {
          await(by=one) empty[k % 2], (k // 2 + 1) % 2 of S
          arrive(bytes=2048, by=one) full[k % 2]
          bulk copy(ranks=3) A[k * 16 + b % 2 * 8 : 8, 0 : 32] -> S@(k % 2)[b % 2 * 8 : 8, 0 : 32] on full[k % 2]
        }
      }
      role c(first=128, threads=128) r {
        for j in 3 {
          await full[j % 2], j // 2 % 2 of S
          copy(engine=threads) S@(j % 2)[0 : 16, 0 : 32] -> C[b : 1, j * 16 : 16, 0 : 32]
          arrive(by=warpgroups, ranks=3) empty[j % 2] of S
        }
      }
    }
  }
}
"""
# The barrier of a cluster in two parts, and a block that has not begun cannot be waited for.
MEETING = """
kernel k(C: global int32[4]) {
  launch main(b in 4) threads(t in 128) cluster(4) {
    alloc bar: barrier uint64[1] = 4
    cluster_barrier
    cluster_barrier(part=arrive)
    arrive(by=one, ranks=15) bar[0]
    cluster_barrier(part=wait)
    await bar[0], 0
    if t == 0 { C[b] = int32(1) }
  }
}
"""

# Each of four blocks sends what it has to the next one, three times; they meet before S is written again.
RING = """
kernel k(A: global float32[8, 32], C: global float32[4, 3, 8, 32]) {
  launch main(b in 4) threads(t in 128) cluster(4) {
    alloc S: shared float32[8, 32]
    alloc R: shared float32[8, 32]
    alloc bar: barrier uint64[1] = 1
    for k in 3 {
      parallel i in 8, j in 32 { S[i, j] = A[i, j] * cast<float32>(b + k) }
      arrive(bytes=1024, by=one) bar[0]
      bulk copy S -> R at (b + 1) % 4 on bar[0]
      await bar[0], k % 2
      parallel i in 8, j in 32 { C[b, k, i, j] = R[i, j] }
      cluster_barrier
    }
  }
}
"""


def parsed(source: str) -> Kernel:
    made = parse(source)
    verify(made)
    return made


@cache
def lowered(source: str) -> Kernel:
    return run_pipeline(parsed(source), pipeline(target_named("sm_90a")))


STAGES = {"tile": (tile_interp.run, parsed), "thread": (interp.run, lowered)}
SCHEDULES = [(stage, mode, roles) for stage in STAGES for mode in ("early", "late") for roles in ORDERS]


def run(kernel: Kernel, execute: Any, mode: str, roles: str, **how: Any) -> dict[str, Any]:
    """The tensors after it; A counts its elements, the others are 0 before."""
    given = {p.name: np.zeros(static_shape(p), numpy_dtype(p.dtype)) for p in kernel.params if isinstance(p, Buffer)}
    if "A" in given:
        given["A"][...] = np.arange(given["A"].size).reshape(given["A"].shape)
    execute(kernel, given, mode=mode, roles=roles, **how)
    return given


@pytest.mark.parametrize(("stage", "mode", "roles"), SCHEDULES)
def test_each_block_loads_half_for_both(stage: str, mode: str, roles: str) -> None:
    execute, made = STAGES[stage]
    given = run(made(SHARED), execute, mode, roles)
    np.testing.assert_array_equal(given["C"], np.stack([given["A"]] * 4))


@pytest.mark.parametrize(("stage", "mode", "roles"), SCHEDULES)
def test_tiles_go_from_block_to_block(stage: str, mode: str, roles: str) -> None:
    execute, made = STAGES[stage]
    given = run(made(RING), execute, mode, roles)
    factors = (np.arange(4)[:, None] - 1) % 4 + np.arange(3)
    np.testing.assert_array_equal(given["C"], factors[..., None, None] * given["A"])


@pytest.mark.parametrize(("stage", "mode", "roles"), SCHEDULES)
def test_blocks_meet_and_arrive_at_each_other(stage: str, mode: str, roles: str) -> None:
    execute, made = STAGES[stage]
    assert run(made(MEETING), execute, mode, roles)["C"].tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("stage", STAGES)
def test_clusters_of_some_blocks_are_whole(stage: str) -> None:
    """Asked for block 2, its cluster runs."""
    execute, made = STAGES[stage]
    given = run(made(SHARED), execute, "late", "first", blocks=lambda grid: [(2,)])
    np.testing.assert_array_equal(given["C"][2:], np.stack([given["A"]] * 2))
    assert not given["C"][:2].any()


@pytest.mark.parametrize("stage", STAGES)
def test_a_grid_without_whole_clusters_does_not_run(stage: str) -> None:
    execute, made = STAGES[stage]
    with pytest.raises(TileError) as caught:
        run(made(SHARED.replace("b in 4", "b in 3")), execute, "early", "first")
    assert caught.value.code == "TD0654"


# What is changed at the tile stage, and what may be said of it there and, once lowered, at the thread stage.
MISTAKES: dict[str, tuple[str, str, str, set[str]]] = {
    "arrives only at its own block": (SHARED, ", ranks=3) empty", ") empty", {"TD0830"}),
    "arrives only at block 0": (SHARED, "ranks=3) empty", "ranks=1) empty", {"TD0830"}),
    "nobody waits for the other block": (
        SHARED, "alloc empty: barrier uint64[2] = 2", "alloc empty: barrier uint64[2] = 1",
        {"TD0805", "TD0859", "TD0804", "TD0861", "TD0858", "TD0830", "TD0843"},
    ),
    "half of the bytes": (SHARED, "bytes=2048", "bytes=1024", {"TD0805", "TD0803", "TD0830", "TD0843", "TD0858"}),
    "loads only for itself": (SHARED, "copy(ranks=3)", "copy", {"TD0830", "TD0803"}),
    "loads for block 1 only": (SHARED, "copy(ranks=3)", "copy(ranks=2)", {"TD0858", "TD0830", "TD0803"}),
    "loads for a block that there is not": (SHARED, "copy(ranks=3)", "copy(ranks=7)", {"TD0857"}),
    "both load the same half": (
        SHARED, "S@(k % 2)[b % 2 * 8 : 8", "S@(k % 2)[0 : 8", {"TD0805", "TD0803", "TD0804"},
    ),
    "writes what is on its way": (RING, "await bar[0], k % 2", "fill S, 0.0 await bar[0], k % 2", {"TD0865"}),
    "writes what others have not got": (RING, "      cluster_barrier\n", "", {"TD0865", "TD0805", "TD0804"}),
    "reads before it has come": (RING, "await bar[0], k % 2", "", {"TD0803", "TD0805", "TD0858"}),
    "expects half of a tile": (RING, "bytes=1024", "bytes=512", {"TD0858", "TD0830", "TD0805", "TD0859", "TD0843"}),
    "expects nothing": (RING, "arrive(bytes=1024, by=one) bar[0]", "", {"TD0830", "TD0858", "TD0805", "TD0804"}),
    "sends to a block that there is not": (RING, "(b + 1) % 4 on", "b + 1 on", {"TD0857"}),
    "sends to a block before the first": (RING, "(b + 1) % 4 on", "b - 1 on", {"TD0857"}),
    "all send to one": (RING, "(b + 1) % 4 on", "0 on", {"TD0805", "TD0858", "TD0830"}),
    "waits without an arrival": (MEETING, "cluster_barrier(part=arrive)", "", {"TD0856"}),
    "arrives twice": (MEETING, "part=arrive)", "part=arrive) cluster_barrier(part=arrive_relaxed)", {"TD0856"}),
    "one block stays away": (MEETING, "    cluster_barrier(part=wait)", "if b < 3 { cluster_barrier }", {"TD0856"}),
}  # fmt: skip


@pytest.mark.parametrize("what", MISTAKES)
@pytest.mark.parametrize(("stage", "mode", "roles"), SCHEDULES)
def test_mistakes_are_found(what: str, stage: str, mode: str, roles: str) -> None:
    source, old, new, codes = MISTAKES[what]
    assert source.count(old) == 1
    execute, made = STAGES[stage]
    with pytest.raises(TileError) as caught:
        run(made(source.replace(old, new)), execute, mode, roles)
    assert caught.value.code in codes, caught.value


@pytest.mark.parametrize("roles", ORDERS)
@pytest.mark.parametrize(("which", "codes"), [(0, {"TD0840", "TD0845"}), (-1, {"TD0857"})])
def test_blocks_meet_at_the_start_and_at_the_end(which: int, codes: set[str], roles: str) -> None:
    """lower-tiles puts these barriers in: one that the others need first, one that needs the others at the end."""
    lines = text(lowered(SHARED)).splitlines()
    barriers = [i for i, line in enumerate(lines) if line.strip() == "cluster_barrier"]
    assert len(barriers) == 2
    lines[barriers[which]] = ""
    with pytest.raises(TileError) as caught:
        run(parsed("\n".join(lines)), interp.run, "late", roles)
    assert caught.value.code in codes


def test_some_threads_do_not_meet() -> None:
    kernel = parsed("kernel k() { launch main(b in 2) threads(t in 64) cluster(2) { if t < 32 { cluster_barrier } } }")
    with pytest.raises(TileError) as caught:
        run(kernel, interp.run, "early", "first")
    assert caught.value.code == "TD0807"


def test_who_waits_is_named() -> None:
    source = SHARED.replace(", ranks=3) empty", ") empty")
    with pytest.raises(TileError) as caught:
        run(parsed(source), tile_interp.run, "early", "first")
    for name in ("role 'p' of block (0,)", "role 'c' of block (1,)"):
        assert name in caught.value.message, caught.value.message
