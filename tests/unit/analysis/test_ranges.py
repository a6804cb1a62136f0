"""Ranges, divisors, limits and known conditions; alignment; uniformity; how lanes move."""

from __future__ import annotations

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.analysis.alignment import alignment, element_alignment
from tiledsl.analysis.lanes import is_invariant, run_of
from tiledsl.analysis.ranges import GREATEST_SIZE, Facts, launch_facts, under, variable_ranges
from tiledsl.analysis.uniform import is_uniform, uniform_values
from tiledsl.ir.dtypes import FLOAT16, FLOAT32
from tiledsl.ir.nodes import Binary, Buffer, Const, Expr, Kernel, Let, Load, Space, Var, ge, lt
from tiledsl.ir.parser import parse
from tiledsl.ir.simplify import Simplifier
from tiledsl.ir.walk import walk

I, J, N = Var("i"), Var("j"), Var("n")


def kernel(body: str, params: str = "A: global int32[64]", sizes: str = "", launch: str = "b in 4") -> Kernel:
    return parse(f"kernel k{sizes}({params}) {{\n launch k({launch}) threads(t in 32) {{\n{body}\n}}\n}}")


def named(k: Kernel) -> dict[str, Var]:
    return {n.name: n for n in walk(k) if isinstance(n, Var)}


def test_ranges_of_all_that_is_bound() -> None:
    body = """
  let e = b * 32 + t
  for i in e + 1 {
    let x = i % 4 * 8
    A[x] = int32(1)
  }
  parallel p in 5, q in 6 {
    A[p * 6 + q] = int32(1)
  }
  let y = cast<index>(A[t])
  A[y] = int32(0)"""
    ranges = variable_ranges(kernel(body))
    by_name = {v.name: r for v, r in ranges.items()}
    assert by_name == {
        **{"b": (0, 3), "t": (0, 31), "e": (0, 127), "i": (0, 127), "x": (0, 24), "p": (0, 4), "q": (0, 5)},
        "y": (-(2**31), 2**31 - 1),
    }


def test_dynamic_sizes_and_grids() -> None:
    k = kernel("  A[t] = int32(1)", "A: global int32[n]", "<n>", "b in (n + 31) // 32")
    facts = launch_facts(k, k.launches[0])
    v = named(k)
    assert facts.ranges[v["n"]] == (0, GREATEST_SIZE)
    assert facts.ranges[v["b"]] == (0, (GREATEST_SIZE + 31) // 32 - 1)
    assert facts.limits[v["b"]] == k.launches[0].grid[0]


def test_assumptions_at_the_top_hold_everywhere() -> None:
    k = kernel("  assume n < 100 and n % 16 == 0\n  let x = n * 2\n  A[x] = int32(1)", "A: global int32[n]", "<n>")
    facts, v = launch_facts(k, k.launches[0]), named(k)
    assert facts.ranges[v["n"]] == (0, 96), "the greatest multiple of 16 below 100"
    assert facts.divisors == {v["n"]: 16, v["x"]: 32}
    assert v["n"] not in launch_facts(k, k.launches[0], assume=False).divisors


@pytest.mark.parametrize(
    ("cond", "expected"),
    [
        (lt(I, 5), (0, 4)),
        (lt(4, I), (5, 9)),
        (lt(I * 2, 7), (0, 3)),
        (ge(I * 3 - 2, 4), (2, 9)),
        (Binary("==", I, Const(3)), (3, 3)),
        (Binary("and", lt(1, I), lt(I, 4)), (2, 3)),
        (lt(I + J, 5), (0, 4)),
        (lt(I - J, 5), (0, 7)),
        (Binary("or", lt(I, 5), lt(I, 3)), (0, 9)),
        (lt(I, N), (0, 9)),
        (lt(I, -5), (0, 9)),  # never: nothing here is executed
    ],
)
def test_conditions_refine_ranges(cond: Expr, expected: tuple[int, int]) -> None:
    assert under(cond, {I: (0, 9), J: (0, 3), N: (0, inf)})[I] == expected


TERM = st.sampled_from([1, 2, 3, -1, -2])
LIMIT = st.integers(-6, 20)


@given(TERM, TERM, LIMIT, st.sampled_from(["<", "<=", ">", ">=", "=="]))
def test_refined_ranges_hold_wherever_the_condition_does(a: int, b: int, limit: int, op: str) -> None:
    cond = Binary(op, I * a + J * b, Const(limit))
    refined = under(cond, {I: (0, 7), J: (-2, 3)})
    facts = Facts({I: (0, 7), J: (-2, 3)}).under_not(cond)
    test = {"<": int.__lt__, "<=": int.__le__, ">": int.__gt__, ">=": int.__ge__, "==": int.__eq__}[op]
    for i in range(8):
        for j in range(-2, 4):
            table = refined if test(i * a + j * b, limit) else facts.ranges
            assert table[I][0] <= i <= table[I][1] and table[J][0] <= j <= table[J][1]


def test_a_condition_follows_from_a_stronger_one() -> None:
    facts = Facts({I: (0, 99), J: (0, 7), N: (0, inf)}).under(lt(I * 8 + J, N))
    assert facts.proves(lt(I * 8 + J, N)) is True
    assert facts.proves(lt(I * 8, N)) is True
    assert facts.proves(lt(I * 8 + J - 3, N)) is True
    assert facts.proves(lt(I * 8 + J + 1, N)) is None


@pytest.mark.parametrize(
    ("e", "expected"),
    [
        (I * 8 + J * 4, 4),
        (I * 6, 2),
        (I // 4 * 16 + I % 4 * 32, 16),
        (N * I, 8),
        (N // 2, 4),
        ((I * 8) ^ (J * 16), 8),
        (Const(24), 8),
        (I * 8 + 4, 4),
        (Binary("max", I * 4, Const(0)), 4),
        (I // 2, 1),
    ],
)
def test_alignment(e: Expr, expected: int) -> None:
    assert alignment(e, Simplifier({I: (0, 99), J: (0, 99), N: (0, inf)}, {N: 8})) == expected


def test_elements_are_aligned_by_all_their_strides() -> None:
    s = Simplifier({I: (0, 7), J: (0, 7), N: (0, inf)}, {N: 4})
    assert element_alignment(Buffer("a", (8, 24), FLOAT32), (I, J * 16), s) == 8
    assert element_alignment(Buffer("a", (8, N), FLOAT32), (I, J * 16), s) == 4
    assert element_alignment(Buffer("a", (8, 8), FLOAT32, strides=(10, 1)), (I, J * 8), s) == 2
    assert element_alignment(Buffer("s", (20,), FLOAT32, Space.SHARED, versions=2), (J * 8,), s) == 4


def test_runs_and_invariant_loads() -> None:
    s = Simplifier({I: (0, 7), J: (0, 7)})
    a = Buffer("a", (64,), FLOAT16)
    run = run_of(Load(a, (I * 8 + J,)), J, 8, s)
    assert run is not None and run.width == 8 and run.indices == (I * 8,)
    assert run_of(Load(a, (I + J * 8,)), J, 8, s) is None
    assert run_of(Load(a, (J * 2,)), J, 8, s) is None
    assert is_invariant(Load(a, ((I * 8 + J) // 8,)), J, s)
    assert not is_invariant(Load(a, (I * 8 + J,)), J, s)
    assert run_of(Load(Buffer("a", (8, 8), FLOAT16, strides=(1, 8)), (I, J)), J, 8, s) is None


UNIFORM = """
  alloc x: var int32 = int32(0)
  alloc y: var int32 = int32(0)
  alloc z: var int32 = int32(0)
  alloc s: shared int32[4]
  let from_block = b * 3
  let from_thread = t + 1
  let from_memory: int32 = I[b]
  let from_written: int32 = A[b]
  let from_shared: int32 = s[0]
  let exchanged: int32 = shfl_xor(from_memory, int32(1))
  for i in 4 {
    x = x + int32(1)
    if t < 3 {
      y = int32(1)
    }
  }
  for j in 4 {
    if t < j {
      break
    }
    z = z + int32(1)
  }
  A[t] = from_memory
  let from_x: int32 = x
  let from_y: int32 = y
  let from_z: int32 = z
"""


def test_what_is_uniform() -> None:
    k = kernel(UNIFORM, "A: global int32[64], I: global int32[64]")
    uniform = uniform_values(k, k.launches[0])
    lets = {s.var.name: s.var for s in walk(k) if isinstance(s, Let)}
    found = {name for name, var in lets.items() if uniform(var)}
    assert found == {"from_block", "from_memory", "from_x"}
    assert not is_uniform(k.launches[0].thread, k, k.launches[0])
    assert is_uniform(k.launches[0].blocks[0] * 2, k, k.launches[0])
