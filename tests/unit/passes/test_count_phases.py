"""count-versions where loops wait at barriers: versions and phases from counters, across nested loops too."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.cpu import interp
from tiledsl.ir.concurrent import Await
from tiledsl.ir.nodes import Alloc, Binary, For, Kernel, Launch, Node, Space
from tiledsl.ir.parser import parse
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import rewrite, walk
from tiledsl.passes.pipeline import PASSES
from tiledsl.target import target_named

SM90 = target_named("sm_90a")
KERNELS = Path(__file__).parent / "kernels"
LATE = ("simplify-indices", "remove-dead", "legalise-dtypes", "narrow-indices")
_DIVISIONS = ("%", "//", "rem", "div", "&", ">>")


def counted(source: str, *passes: str) -> Kernel:
    k = parse(source)
    for name in (*passes, "count-versions"):
        k = PASSES[name].bind(SM90)(k)
    verify(k)
    return k


def divisions(node: Node) -> int:
    return sum(isinstance(n, Binary) and n.op in _DIVISIONS for n in walk(node))


def loops(node: Node) -> list[For]:
    return [n for n in walk(node) if isinstance(n, For)]


def run(k: Kernel, size: int, **scalars: int) -> list[int]:
    """What the stores to `out` leave, without the waits."""
    quiet = rewrite(k, lambda n: () if isinstance(n, Await) else n)
    out = np.full(4096, -1, np.int32)
    interp.run(quiet, {"out": out, **scalars})
    return [int(x) for x in out[:size]]


def nested(outer: int | str, inner: int | str, step: int | str, value: str, params: str = "") -> str:
    """`value` of i and k, for each pair, one after the other."""
    return f"""kernel c(out: global int32[4096]{params}) {{
      launch c(b in 1) threads(t in 1) {{
        alloc full: barrier uint64[8]
        alloc n: var int32 = 0
        for i in {outer} {{
          for k in {inner} {{
            await full[0], 0
            out[cast<index>(n)] = cast<int32>({value.format(x=f"(i * {step} + k)")})
            n = n + 1
          }}
        }}
      }}
    }}"""


VALUES = ("{x} % S", "{x} // S % 2", "({x} // S + 1) % 2", "({x} + 1) % S * 2 + {x} // S % 2", "({x} + c) // S % 2")


@st.composite
def programs(draw: st.DrawFn) -> tuple[str, str, int, int, int]:
    s, c = draw(st.integers(1, 4)), draw(st.integers(0, 5))
    value = draw(st.sampled_from(VALUES)).replace("S", str(s)).replace("c", str(c))
    outer, inner = draw(st.integers(0, 5)), draw(st.integers(0, 9))
    step = draw(st.sampled_from((inner, inner, inner + 1, inner + 2, 0, 1, 7)))  # more: the first turns stand before
    return value, value.replace("{x}", "x"), outer, inner, step


@given(programs(), st.booleans(), st.booleans())
def test_counters_are_the_integers_that_they_stand_for(
    program: tuple[str, str, int, int, int], late: bool, dynamic: bool
) -> None:
    value, python, outer, inner, step = program
    size = outer * inner
    if dynamic:
        extents = ("cast<index>(p)", "cast<index>(q)", "cast<index>(r)")
        source = nested(*extents, value, ", p: int32, q: int32, r: int32")
        scalars = {"p": outer, "q": inner, "r": step}
    else:
        source, scalars = nested(outer, inner, step, value), {}
    after = counted(source, *(LATE if late else ()))
    expected = [eval(python, {"x": i * step + k}) for i in range(outer) for k in range(inner)]
    assert run(after, size + 1, **scalars) == [*expected, -1]


@pytest.mark.parametrize("versions", [1, 2, 3, 4])
@pytest.mark.parametrize("value", ["{x} % S", "{x} // S % 2", "({x} // S + 1) % 2", "({x} + 2) // S % 2"])
@pytest.mark.parametrize("extents", [(3, 4, 4), (2, 7, 7), (5, 1, 1), (1, 13, 0), (13, 13, 13)])
def test_no_division_is_left_in_a_loop_that_runs_on(versions: int, value: str, extents: tuple[int, int, int]) -> None:
    source = nested(*extents, value.replace("S", str(versions)))
    after = counted(source, *LATE)
    assert not any(map(divisions, after.launches[0].body))
    python = value.replace("S", str(versions)).replace("{x}", "x")
    expected = [eval(python, {"x": i * extents[2] + k}) for i in range(extents[0]) for k in range(extents[1])]
    assert run(after, len(expected)) == expected


@pytest.mark.parametrize("versions, step", [(3, 5), (4, 7), (4, 6), (4, 2)])
@pytest.mark.parametrize("ahead", range(4))
def test_phases_of_a_number_that_grows_by_more_than_one(versions: int, step: int, ahead: int) -> None:
    """As where a turn stands before the inner loop: `i * 5 % 3` goes 0, 2, 1, and is no counter of the outer loop."""
    after = counted(nested(6, 4, step, f"({{x}} + {ahead}) // {versions} % 2"), *LATE)
    assert run(after, 24) == [(i * step + k + ahead) // versions % 2 for i in range(6) for k in range(4)]


def test_a_counter_of_a_dynamic_inner_loop_lives_outside_of_both() -> None:
    steps = "cast<index>(q)"
    source = nested("cast<index>(p)", steps, steps, "{x} % 3 * 10 + {x} // 3 % 2", ", p: int32, q: int32")
    after = counted(source, *LATE)
    body = after.launches[0].body
    outer = next(s for s in body if isinstance(s, For))
    assert not divisions(outer)
    counters = [s for s in body if isinstance(s, Alloc) and s.buffer.space is Space.VAR]
    assert [s.buffer.name for s in counters] == ["n", "slot", "phase"]
    assert not any(isinstance(n, Alloc) for n in walk(outer))
    assert run(after, 35, p=7, q=5) == [x % 3 * 10 + x // 3 % 2 for x in range(35)]


def test_extents_that_are_computed() -> None:
    """As persistent kernels have them: the steps of a tile are the same quotient in the extent and in the number."""
    steps = "((cast<index>(q) + 63) // 64)"
    value = "{x} % 3 * 10 + ({x} // 3 + 1) % 2"
    after = counted(nested("cast<index>(p)", steps, steps, value, ", p: int32, q: int32"), *LATE)
    outer = next(s for s in after.launches[0].body if isinstance(s, For))
    inner = next(s for s in outer.body if isinstance(s, For))
    assert not any(map(divisions, inner.body))
    assert not any(isinstance(n, Alloc) for n in walk(outer))
    assert run(after, 12, p=4, q=129) == [x % 3 * 10 + (x // 3 + 1) % 2 for x in range(12)]


def test_two_inner_loops_with_a_common_counter_begin_by_division() -> None:
    """Between two runs of one the other went on: only the outer loop divides."""
    source = """kernel c(out: global int32[4096]) {
      launch c(b in 1) threads(t in 1) {
        alloc full: barrier uint64[3]
        for i in 4 {
          for k in 5 {
            await full[0], 0
            out[i * 8 + k] = cast<int32>((i * 8 + k) % 3)
          }
          for k in 3 {
            await full[0], 0
            out[i * 8 + 5 + k] = cast<int32>((i * 8 + 5 + k) % 3)
          }
        }
      }
    }"""
    after = counted(source)
    assert [divisions(s) for loop in loops(after)[1:] for s in loop.body] == [0] * 10
    assert run(after, 32) == [x % 3 for x in range(32)]


LEAVING = """kernel c(out: global int32[4096]) {
  launch c(b in 1) threads(t in 1) {
    alloc full: barrier uint64[3]
    for i in 4 {
      %s
      for k in 5 {
        await full[0], 0
        %s
        out[i * 5 + k] = cast<int32>((i * 5 + k) %% 3)
      }
    }
  }
}"""


@pytest.mark.parametrize("outside, inside, skipped", [
    ("", "if k == 3 { break }", [x for x in range(20) if x % 5 >= 3]),
    ("", "if k == 1 { continue }", [x for x in range(20) if x % 5 == 1]),
    ("if i == 1 { continue }", "", range(5, 10)),
    ("if i == 2 { break }", "", range(10, 20)),
])  # fmt: skip
def test_what_leaves_an_iteration_early(outside: str, inside: str, skipped: list[int]) -> None:
    after = counted(LEAVING % (outside, inside))
    assert run(after, 20) == [-1 if x in skipped else x % 3 for x in range(20)]


def test_an_inner_loop_under_a_condition_begins_anew() -> None:
    source = LEAVING.replace("for k in 5 {", "if i %% 2 == 0 { for k in 5 {").replace(
        "    }\n  }\n}", "    } }\n  }\n}"
    )
    after = counted(source % ("", ""))
    assert run(after, 20) == [x % 3 if x // 5 % 2 == 0 else -1 for x in range(20)]


def test_arithmetic_that_may_wrap_is_left_alone() -> None:
    source = """kernel c(out: global int32[4096], n: int32) {
      launch c(b in 1) threads(t in 1) {
        alloc full: barrier uint64[3]
        for k in 5 {
          await full[0], 0
          out[k] = (n + cast<int32>(k)) % 3
        }
      }
    }"""
    after = counted(source)
    assert divisions(loops(after)[0]) == 1
    biggest = (1 << 31) - 1
    wrapped = [(biggest + k + (1 << 31)) % (1 << 32) - (1 << 31) for k in range(5)]
    assert run(after, 5, n=biggest) == [x % 3 for x in wrapped]


def test_loops_without_waits_are_counted_as_ever() -> None:
    source = nested(3, 4, 4, "{x} // 3 % 2").replace("await full[0], 0", "")
    assert divisions(loops(counted(source))[1]) == 2


def test_the_gemm_divides_in_no_loop() -> None:
    k = counted((KERNELS / "gemm_roles.tir").read_text(), "unroll", *LATE)
    waiting = [loop for loop in loops(k) if any(isinstance(n, Await) for n in walk(loop))]
    assert len(waiting) == 2
    for loop in waiting:
        in_versions = [
            n for n in walk(loop) if isinstance(n, Binary) and n.op in _DIVISIONS and loop.var in set(walk(n))
        ]
        assert not in_versions


def test_the_launch_is_found() -> None:
    assert isinstance(counted(nested(1, 1, 1, "{x} % 2")).launches[0], Launch)
