"""normalise on persistent loops, on tiles with slots, and on what a target does not have."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_thread import executed

from tiledsl.errors import TileError
from tiledsl.ir.nodes import For, Serial
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.walk import statements
from tiledsl.passes.normalise import normalise
from tiledsl.target import target_named

HEAD = """
kernel k(A: global float16[512, 256], B: global float16[256, 256], N: global int32[8]) {
  launch k(bx in 2) threads(t in 256) {
"""


def shown(body: str) -> str:
    return text(normalise(parse(HEAD + body + "}}")))


def ws(first: int, body: str) -> str:
    return f"roles {{ role r(first={first}, threads=128) t{first} {{ {body} }} }}\n"


def test_slots_become_versions() -> None:
    made = shown("alloc S: shared float16[3, 64, 64]\n" + ws(0, "for k in 8 { fill S[k % 3, 0 : 64, 0 : 64], 0.0 }"))
    assert "alloc S: shared float16[64, 64] versions(3)" in made and "fill S@(k % 3), 0.0" in made
    kept = shown("alloc S: shared float16[3, 64, 64]\n" + ws(0, "fill S, 0.0\nfill S[1, 0 : 64, 0 : 64], 1.0"))
    assert "alloc S: shared float16[3, 64, 64]" in kept


# -------------------------------------------------------------------------------------------------- persistent loops


@given(st.integers(0, 40), st.integers(1, 3), st.integers(1, 5), st.integers(1, 4))
def test_each_tile_is_dealt_to_one_block(count: int, width: int, height: int, group: int) -> None:
    kernel = parse(
        f"""
kernel k(A: global index[400, 400]) {{
  launch k(bx in {width}, by in {height}) threads(t in 1) {{
    for tile in {count} persistent(group={group}) {{ A[0, tile] = tile }}
  }}
}}"""
    )
    launch = normalise(kernel).launches[0]
    assert all(isinstance(s.kind, Serial) for s in statements(launch) if isinstance(s, For))
    turns: list[list[int]] = []
    for y, x in itertools.product(range(height), range(width)):
        found = executed(launch.body, 0, dict(zip(launch.blocks, (x, y))))
        turns.append([event[2] for event in found])
    assert sorted(itertools.chain(*turns)) == list(range(count))
    in_turn = [tile for wave in itertools.zip_longest(*turns) for tile in wave if tile is not None]
    assert in_turn == list(range(count)), "in each wave, the blocks work on tiles that follow each other"


# --------------------------------------------------------------------------------------------------------- targets


def test_products_are_waited_for_where_nothing_else_exists() -> None:
    body = """
    alloc S: shared float16[64, 64]
    alloc F: fragment float32[64, 64]
    for k in 2 {
      fence(kind=product)
      async gemm S, S, F
      async_commit(queue=product)
      async_wait(pending=0, queue=product)
    }
"""
    kernel = parse(HEAD + body + "}}")
    old, new = (text(normalise(kernel, target=target_named(t))) for t in ("sm_80", "sm_90a"))
    assert "  gemm S, S, F" in old and "async" not in old and "fence" not in old
    assert "async gemm S, S, F" in new and "async_wait" in new


@pytest.mark.parametrize(
    "body",
    [
        "alloc bar: barrier uint64[1] = 1\narrive bar[0]",
        "alloc bar: barrier uint64[1] = 1\nawait bar[0], 0",
        "async_commit(queue=store)",
        "set_registers(count=40)",
        "roles { role r(first=0, threads=128, registers=40) u { } }",
    ],
)
def test_what_a_target_lacks_is_an_error(body: str) -> None:
    kernel = parse(HEAD + body + "}}")
    normalise(kernel, target=target_named("sm_90a"))
    with pytest.raises(TileError) as caught:
        normalise(kernel, target=target_named("sm_80"))
    assert caught.value.code == "TD0507"


def test_loops_and_views_in_roles_are_normalised_too() -> None:
    body = "alloc S: shared float16[64, 64]\n" + ws(
        0, "view V: shared float16[4096] of S\nfor tile in 8 persistent { fill V[tile * 64 : 64], 0.0 }"
    )
    made = shown(body)
    assert "alloc V: shared float16[4096]" in made and "view" not in made
    assert "for turn in (8 - bx + (2 - 1)) // 2 {" in made
