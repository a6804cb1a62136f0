"""Expressions that come round: they move as `motions` says for all integers, and what is claimed of them holds."""

from __future__ import annotations

from math import inf

from hypothesis import given
from hypothesis import strategies as st

from tiledsl.analysis.cycles import (
    Cycle,
    continues,
    cycle_of,
    evaluate,
    follows,
    is_phase,
    is_ring,
    motions,
    unwrapped,
    values_of,
)
from tiledsl.ir.dtypes import INT32, INT64
from tiledsl.ir.nodes import Binary, Cast, Const, Expr, Load, Var, wrap
from tiledsl.ir.nodes import Buffer as Tensor

K, I, N = Var("k"), Var("i"), Var("n")
WIDE = (-inf, inf)


def cycle(e: Expr) -> Cycle:
    found = cycle_of(e, lambda _: WIDE)
    assert found is not None
    return found


LEAVES = st.sampled_from([K, I, Const(1), Const(5)])
NUMBERS = st.integers(1, 4).map(Const)
EXPRESSIONS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(Binary, st.sampled_from("+-"), inner, inner),
        st.builds(Binary, st.sampled_from(["*", "//", "%"]), inner, NUMBERS),
    ),
    max_leaves=6,
)
PLACES = st.integers(-50, 50)


@given(EXPRESSIONS, PLACES, PLACES, st.integers(-3, 3))
def test_an_expression_moves_evenly(e: Expr, k: int, i: int, rounds: int) -> None:
    plain = unwrapped(e, lambda _: WIDE)
    here = evaluate(plain, {K: k, I: i})
    assert here == _python(e, k, i)
    for v, m in motions(plain).items():
        there = {K: k, I: i}
        there[v] += rounds * m.period  # type: ignore[index]
        assert evaluate(plain, there) == here + rounds * m.step


def _python(e: Expr, k: int, i: int) -> int:
    match e:
        case Const(value):
            return int(value)
        case Binary(op, a, b):
            x, y = _python(a, k, i), _python(b, k, i)
            return {"+": x + y, "-": x - y, "*": x * y, "//": x // y if y else 0, "%": x % y if y else 0}[op]
    return k if e is K else i


@given(EXPRESSIONS, st.integers(2, 4), PLACES, PLACES)
def test_rings_and_phases_step_as_they_say(e: Expr, n: int, k: int, i: int) -> None:
    ring, phase = cycle(e % n), cycle(e // n % 2)
    now, after = {K: k, I: i}, {K: k + 1, I: i}
    if size := is_ring(ring, K):
        assert ring.at(after) == (ring.at(now) + 1) % size
        if is_phase(phase, ring, K):
            assert phase.at(after) == phase.at(now) ^ (ring.at(after) == 0)
    assert ring.at(now) in values_of(ring)


def test_what_they_are() -> None:
    x = I * 7 + K
    assert is_ring(cycle(x % 3), K) == 3 and is_ring(cycle((x + 2) % 3), K) == 3
    assert is_ring(cycle(x % 3 * 2), K) == is_ring(cycle((x * 2) % 4), K) == 0
    assert is_ring(cycle((x * 2) % 3), K) == 0  # goes round by twos
    assert is_phase(cycle(x // 3 % 2), cycle(x % 3), K)
    assert is_phase(cycle((x // 3 + 1) % 2), cycle(x % 3), K)
    assert is_phase(cycle(x // 3 - (x + 3) // 6 * 2 + 1), cycle(x % 3), K)  # as the simplifier writes the same
    assert not is_phase(cycle(x // 3 % 2), cycle((x + 1) % 3), K)
    assert follows(cycle((x + 1) % 3), cycle(x % 3), K) and not follows(cycle(x % 3), cycle(x % 3), K)


def test_what_goes_on_from_one_loop_to_the_next() -> None:
    x = I * 7 + K
    assert continues(cycle(x % 3), K, Const(7), I) and continues(cycle(x // 3 % 2), K, Const(7), I)
    assert continues(cycle(x % 3), K, Const(10), I) and not continues(cycle(x // 3 % 2), K, Const(10), I)
    steps = Binary("*", I, N) + K
    assert continues(cycle(steps % 3), K, N, I)
    assert not continues(cycle(steps % 3), K, Const(7), I)
    assert not continues(cycle((steps + I) % 3), K, N, I)
    assert not continues(cycle((Binary("*", I + 1, N) + K) % 3), K, N, I)  # a product with more than the variable


def test_what_is_not_one() -> None:
    bounds = {"wide": WIDE, "small": (0, 1000)}
    a = Tensor("a", (4,), INT32)
    k32 = Var("k", INT32)
    for e in (K, K * 3, K // 3, Load(a, (Const(0),)), Binary("%", K, I), Binary("^", K, Const(3)) % 2):
        assert cycle_of(wrap(e), lambda _: bounds["wide"]) is None
    wraps = Binary("%", Binary("+", k32, Const(1, INT32)), Const(3, INT32))
    assert cycle_of(wraps, lambda _: INT32.int_range) is None
    assert cycle_of(wraps, lambda _: bounds["small"]) is not None
    rounds_to_zero = Binary("rem", Binary("+", Cast(INT64, k32), Const(1, INT64)), Const(3, INT64))
    assert cycle_of(rounds_to_zero, lambda _: (-10, 10)) is None
    assert cycle_of(rounds_to_zero, lambda _: bounds["small"]) is not None


def test_a_quotient_that_is_0_or_1_counts_as_its_remainder() -> None:
    assert cycle_of(K // 3, lambda _: (0, 1)) is not None
    assert cycle_of(K + 0, lambda _: (0, 1)) is None  # divides nothing: there is nothing to save
