"""Which tiles the blocks of a cluster load for each other, and why not; and every change of what the planner makes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiledsl.cpu import tile_interp
from tiledsl.cpu.turns import ORDERS
from tiledsl.errors import TileError
from tiledsl.ir.concurrent import Arrive, members
from tiledsl.ir.nodes import Alloc, Block, Buffer, Const, Kernel, Space, Stmt, static_shape
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.tile import Copy
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import map_blocks, statements
from tiledsl.passes.warp_specialise import warp_plans, warp_specialise
from tiledsl.target import target_named
from tiledsl.verifiers.roles import verify_roles

SM90 = target_named("sm_90a")

# Row blocks of A, of which those tiles are summed that `row` and `column` say.
SUMS = """
kernel k(A: global float32[512, 256], C: global float32[{grid_x}, {grid_y}, {rows}, {columns}], n) {{
  launch k(x in {grid_x}, y in {grid_y}) threads(t in 128) cluster({cluster}) {{
    {before}
    alloc S: shared float32[{rows}, {columns}]
    alloc sum: fragment float32[{rows}, {columns}]
    fill sum, 0.0
    for k in {trips} pipelined(stages={stages}) {{
      copy A[{row} : {rows}, {column} : {columns}] -> S
      parallel i in {rows}, j in {columns} {{
        sum[i, j] = sum[i, j] + S[i, j]
      }}
    }}
    copy sum -> C[x : 1, y : 1, 0 : {rows}, 0 : {columns}]
  }}
}}
"""
DEFAULTS = {
    "grid_x": 4, "grid_y": 2, "rows": 16, "columns": 32, "cluster": "2, 1", "before": "", "trips": 4, "stages": 2,
    "row": "y * 64 + k * 16", "column": "0",
}  # fmt: skip


def sums(**changed: Any) -> Kernel:
    made = parse(SUMS.format(**(DEFAULTS | changed)))
    verify(made)
    return made


def outcome(kernel: Kernel, mode: Any, roles: Any, seed: int = 0) -> bytes:
    shapes = {p.name: static_shape(p) for p in kernel.params if isinstance(p, Buffer)}
    A = np.random.default_rng(0).integers(-4, 5, shapes["A"]).astype(np.float32)
    C = np.full(shapes["C"], np.nan, np.float32)
    tile_interp.run(kernel, {"A": A, "C": C, "n": 3}, mode=mode, roles=roles, seed=seed)
    return C.tobytes()


def specialised(kernel: Kernel) -> Kernel:
    made: Kernel = warp_specialise.bind(SM90, enabled=True)(kernel)
    verify(made)
    return made


def shared_by(kernel: Kernel) -> set[int]:
    """The masks of the copies to shared memory."""
    return {s.ranks for s in statements(kernel) if isinstance(s, Copy) and s.bulk}


# ------------------------------------------------------------------------------------------------------------- plans

ON_X = "it depends on 'x', in which the blocks of a cluster differ"
# What is changed, and the blocks that each load goes to, or why only to its own.
PLANS: dict[str, tuple[dict[str, Any], int | str]] = {
    "along x": ({}, 3),
    "along y": ({"cluster": "1, 2", "row": "x * 64 + k * 16"}, 3),
    "all of a cluster of two dimensions": ({"cluster": "2, 2", "rows": 32, "row": "k * 16"}, 15),
    "four along x": ({"cluster": "4, 1", "rows": 32}, 15),
    "by its columns": ({"rows": 12, "columns": 64}, 3),
    "what clusters count": ({"row": "x // 2 * 64 + k * 16"}, 3),
    "a multiple of it": ({"row": "x // 4 * 64 + k * 16"}, 3),
    "through a name": ({"before": "let at = x // 2 * 32 + y", "row": "at // 2 * 16"}, 3),
    "it differs": ({"row": "x * 64 + k * 16"}, ON_X),
    "through names": (
        {"before": "let a = x + y\n let b = a * 16", "row": "b"}, ON_X,
    ),
    "half of what clusters count": (
        {"cluster": "4, 1", "rows": 32, "row": "x // 2 * 32"}, ON_X,
    ),
    "only along one of two dimensions": ({"cluster": "2, 2"}, ON_X.replace("'x'", "'y'")),
    "through what is computed": (
        {"before": "alloc at: var index = 0\n at = x * 16", "row": "at"},
        ON_X,
    ),
    "how often": ({"trips": "x + 1"}, "how often depends on 'x', in which the blocks of a cluster differ"),
    "rows of no two swizzles": (
        {"rows": 12, "columns": 32}, "a tile of 12 x 32 has no 2 equal parts that begin where a swizzle begins",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PLANS)
def test_plans(name: str) -> None:
    changed, expected = PLANS[name]
    kernel = sums(**changed)
    (plan,) = warp_plans(kernel, SM90)
    assert not plan.refused
    made = specialised(kernel)
    if isinstance(expected, int):
        assert shared_by(made) == {expected} and not plan.alone
        blocks = len(members(expected))
        assert f"{blocks} blocks load parts of S for each other" in str(plan)
        (channel,) = plan.channels
        assert channel.bytes == 4 * (DEFAULTS | changed)["rows"] * (DEFAULTS | changed)["columns"]
    else:
        assert shared_by(made) == {0} and [why for _, why in plan.alone] == [expected]
        assert f"copy to S is not shared by the cluster: {expected}" in str(plan)
    verify_roles(kernel, made)
    assert {outcome(made, mode, roles) for mode in ("early", "late") for roles in ORDERS} == {
        outcome(kernel, "early", "first")
    }


def test_without_clusters_nothing_is_said() -> None:
    (plan,) = warp_plans(sums(cluster="1, 1"), SM90)
    assert not plan.alone and "cluster" not in str(plan) and "each other" not in str(plan)


# --------------------------------------------------------------------------------------------------------------- law


@st.composite
def programs(draw: Callable[..., Any]) -> Kernel:
    cluster = draw(st.sampled_from([(2, 1), (1, 2), (2, 2), (4, 1), (1, 4)]))
    grid = [n * draw(st.integers(1, 2)) for n in cluster]
    terms = draw(st.lists(st.sampled_from(["x", "y", "k", "x // 2", "y // 2", "x // 4", "n"]), max_size=3, unique=True))
    row = " + ".join(f"{t} * {draw(st.sampled_from([8, 16, 24]))}" for t in terms) or "0"
    return sums(
        grid_x=grid[0], grid_y=grid[1], cluster=f"{cluster[0]}, {cluster[1]}", row=row,
        column=draw(st.sampled_from(["0", "k * 8", "240"])),
        rows=draw(st.sampled_from([4, 8, 16, 32, 48])),
        columns=draw(st.sampled_from([4, 8, 32, 64])),
        trips=draw(st.sampled_from(["0", "1", "2", "5", "n", "y + 1", "x // 2 + 1"])),
        stages=draw(st.integers(1, 4)),
    )  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(programs(), st.sampled_from(["early", "late"]), st.integers(0, 99))
def test_clusters_compute_what_their_blocks_compute(kernel: Kernel, mode: str, seed: int) -> None:
    made = specialised(kernel)
    verify_roles(kernel, made)
    assert outcome(made, mode, "random", seed) == outcome(kernel, "early", "first")


# ----------------------------------------------------------------------------------------------------------- mutation


def exchanged(kernel: Kernel, old: Stmt, new: Block) -> Kernel:
    def block(body: Block) -> Block:
        return tuple(x for s in body for x in (new if s is old else (map_blocks(s, block),)))

    return replace(kernel, launches=tuple(replace(x, body=block(x.body)) for x in kernel.launches))


def changes(s: Stmt) -> Iterator[tuple[str, Block]]:
    if isinstance(s, Copy) and s.ranks:
        for rank in members(s.ranks):
            yield f"not to block {rank}", (replace(s, ranks=s.ranks & ~(1 << rank)),)
        yield "the part of block 0", (replace(s, dst=replace(s.dst, offsets=tuple(Const(0) for _ in s.dst.offsets))),)
        yield "none", ()
    if isinstance(s, Arrive) and s.ranks:
        for rank in members(s.ranks):
            yield f"not at block {rank}", (replace(s, ranks=s.ranks & ~(1 << rank)),)
        yield "at its own block", (replace(s, ranks=0),)
        yield "at one more", (replace(s, ranks=s.ranks | 1 << s.ranks.bit_length()),)
    if isinstance(s, Arrive) and s.bytes:
        yield "half of the bytes", (replace(s, bytes=s.bytes // 2),)
    if isinstance(s, Alloc) and s.buffer.space is Space.BARRIER:
        assert isinstance(s.init, Const)
        for more in (-1, 1, -int(s.init.value) // 2):
            yield f"{more:+} arrivals", (replace(s, init=replace(s.init, value=s.init.value + more)),)


@pytest.mark.parametrize("name", ["along x", "all of a cluster of two dimensions"])
def test_every_change_of_a_cluster_is_refused(name: str) -> None:
    """By the interpreter and by the verifier, each for itself."""
    kernel = sums(**PLANS[name][0])
    made = specialised(kernel)
    expected = outcome(kernel, "early", "first")
    found = [(f"{what}: {text(s)}", exchanged(made, s, new)) for s in statements(made) for what, new in changes(s)]
    assert len(found) > 10
    for what, mutant in found:
        with pytest.raises(TileError):
            verify_roles(kernel, mutant)
            pytest.fail(f"the verifier passes {what}")
        try:
            same = all(outcome(mutant, mode, roles) == expected for mode in ("early", "late") for roles in ORDERS)
        except TileError:
            same = False
        assert not same, f"the interpreter passes {what}"
