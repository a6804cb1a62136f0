"""Where loops are split, that both parts together do what the loop did, and that the verifier sees if they do not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiledsl.cpu import interp
from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import Alloc, Const, For, If, Kernel, Node, Serial
from tiledsl.ir.parser import parse
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import map_children, statements
from tiledsl.passes.split_loops import split_loops
from tiledsl.verifiers.split import verify_split

KERNEL = """\
kernel k(out: global int32[64], n: index, m: index) {{
  launch k(b in 1) threads(t in 64) {{
    alloc L: local int32[2]
    for r in 2 unrolled {{
      L[r] = int32(1)
    }}
    for k in {extent} {{
      async_commit(queue=product)
      async_wait(pending=0, queue=product)
      for i in 2 unrolled {{
        L[i] = L[i] * int32(3) + cast<int32>(k)
      }}
      if {guard} {{
        for j in 2 unrolled {{
          L[j] = L[j] + cast<int32>(k * 7 + t)
        }}
      }}
    }}
    out[t] = L[0] + L[1]
  }}
}}
"""


def made(guard: str, extent: str = "n") -> Kernel:
    return parse(KERNEL.format(guard=guard, extent=extent))


def loops(k: Kernel) -> list[For]:
    return [s for s in statements(k) if isinstance(s, For) and isinstance(s.kind, Serial)]


def result(k: Kernel, n: int, m: int) -> bytes:
    out = np.zeros(64, np.int32)
    interp.run(k, {"out": out, "n": n, "m": m})
    return out.tobytes()


def conditions(k: Kernel) -> list[Any]:
    return [s.cond for s in statements(k) if isinstance(s, If)]


@pytest.mark.parametrize("guard", ["k < m", "m <= k * 3", "k * 128 + 127 > m * 64", "m - k * 2 >= 3", "3 < k"])
def test_a_loop_with_a_comparison_becomes_two_that_do_not_compare(guard: str) -> None:
    k = split_loops(made(guard))
    assert len(loops(k)) == 2
    assert sorted(c.value for c in conditions(k) if isinstance(c, Const)) == [False, True]
    fixed = made(guard.replace("m", "3"), "5")
    verify_split(fixed, split_loops(fixed))


@pytest.mark.parametrize("guard", ["k < m or m * 2 < k", "k < m and 3 < k"])
def test_of_several_comparisons_one_is_decided(guard: str) -> None:
    assert len(loops(split_loops(made(guard)))) == 2


UNSPLIT = {
    "no order": "k == m",
    "not affine": "k * k < m",
    "a remainder": "k % 2 < 1",
    "of no iteration": "n < m",
    "of each thread": "k < t",
    "of what is computed": "k < cast<index>(L[0])",
}


@pytest.mark.parametrize("guard", UNSPLIT.values(), ids=UNSPLIT)
def test_loops_that_stay_as_they_are(guard: str) -> None:
    k = made(guard)
    assert split_loops(k) is k


def test_loops_without_products_or_left_early_stay_as_they_are() -> None:
    text = KERNEL.format(guard="k < m", extent="n")
    for old, new in (("queue=product", "queue=copy"), ("if k < m {", "if k == m { break }\n if k < m {")):
        k = parse(text.replace(old, new))
        assert split_loops(k) is k
    assert split_loops.run(made("k < m"), enabled=False) is not split_loops(made("k < m"))
    assert len(loops(split_loops.run(made("k < m"), enabled=False))) == 1


sides = st.tuples(st.integers(-4, 4), st.sampled_from(["", " + m", " - m", " + n"]), st.integers(-9, 9))


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(sides, sides),
    st.sampled_from(["<", "<=", ">", ">="]),
    st.integers(0, 6),
    st.integers(-8, 12),
    st.sampled_from(["n", "n + 1", "5"]),
)
def test_all_iterations_are_executed_in_their_order(both: Any, op: str, n: int, m: int, extent: str) -> None:
    a, b = (f"(k * {step}{more} + {plus})" for step, more, plus in both)
    before = made(f"{a} {op} {b}", extent)
    after = split_loops(before)
    verify(after)
    assert result(after, n, m) == result(before, n, m)


def test_the_verifier_sees_a_wrong_place() -> None:
    before = made("k < 3", "7")
    after = split_loops(before)

    def moved(node: Node) -> Node:
        node = map_children(node, moved)
        if isinstance(node, For) and isinstance(node.kind, Serial):
            return replace(node, extent=node.extent + 1)
        return node

    wrong = moved(after)
    assert isinstance(wrong, Kernel)
    with pytest.raises(VerifyError, match="P3"):
        verify_split(before, wrong)


def test_tiles_of_the_body_keep_their_places() -> None:
    """Both loops use the one tile for which shared memory is planned."""
    with_tile = KERNEL.replace("threads(t in 64) {{", "threads(t in 64) shared_bytes(256) {{\n    slot S = 0")
    with_tile = with_tile.replace("      async_commit", "      alloc S: shared int32[64]\n      async_commit")
    with_tile = with_tile.replace("cast<int32>(k)\n", "cast<int32>(k)\n        S[t] = L[i]\n        L[i] = S[t]\n")
    before = parse(with_tile.format(extent="n", guard="k < m"))
    after = split_loops(before)
    verify(after)
    assert len(loops(after)) == 2
    assert sum(isinstance(s, Alloc) and s.buffer.name == "S" for s in statements(after)) == 1
    assert result(before, 5, 3) == result(after, 5, 3)
