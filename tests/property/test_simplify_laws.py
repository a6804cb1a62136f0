"""Laws of the simplifier, against Python integers over all assignments.

Ranges and divisors are drawn from one small set, so that a value often lands exactly on a boundary: with arbitrary
ranges an off-by-one in "a small remainder is dropped" went unnoticed.

Mutations of the simplifier that these laws were seen to catch: `high < g` as `high <= g`, and `low >= 0` left out, in
without_remainder; `d % c` left out of the first nested rule; `d * c` as `c`, and the constant left out, in the second;
`high >= c` left out of a remainder's bounds; `<=` as `<`; equality of multiples decided by the wrong remainder; min as
max; the reach of an exclusive or one short; its flipped constant or dropped digits overlapping the rest by one; and/or
absorbing the other's constant; a limit applied to a falling variable. Flooring coefficients where they are truncated
changes no value, only which of two normal forms is found.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from tiledsl.ir.nodes import Binary, Const, Expr, Select, Unary, Var, lt
from tiledsl.ir.ops import BINARY, UNARY
from tiledsl.ir.printer import text
from tiledsl.ir.simplify import Simplifier, bounds_of, divisible, proves, simplify

I, J, T = VARIABLES = [Var("i"), Var("j"), Var("t")]
SMALL = st.sampled_from([1, 2, 3, 4, 6, 8])
RANGE = st.sampled_from([(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (0, 6), (0, 7), (0, 8), (-2, 3)])
RANGES = st.tuples(RANGE, RANGE, RANGE).map(lambda r: dict(zip(VARIABLES, r)))
LEAF = st.one_of(st.sampled_from(VARIABLES), st.integers(-3, 8).map(Const))
COMPARISON = st.sampled_from(["<", "<=", ">", ">=", "==", "!="])


def evaluate(e: Expr, env: Mapping[Var, int]) -> int:
    match e:
        case Const(value):
            return int(value)
        case Var():
            return env[e]
        case Unary(op, a):
            return int(UNARY[op].eval(evaluate(a, env)))
        case Binary(op, a, b):
            return int(BINARY[op].eval(evaluate(a, env), evaluate(b, env)))
        case Select(cond, a, b):
            return evaluate(a, env) if evaluate(cond, env) else evaluate(b, env)
    raise TypeError(f"{type(e).__name__} is not an index expression")


def assignments(ranges: Mapping[Var, tuple[int, int]]) -> Iterator[dict[Var, int]]:
    for values in itertools.product(*(range(low, high + 1) for low, high in ranges.values())):
        yield dict(zip(ranges, values))


def _binary(ops: list[str], a: st.SearchStrategy[Expr], b: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    return st.builds(Binary, st.sampled_from(ops), a, b)


CONSTANT = SMALL.map(Const)
ADDRESS: st.SearchStrategy[Expr] = st.recursive(
    LEAF,
    lambda e: st.one_of(_binary(["+", "-"], e, e), _binary(["*", "//", "%"], e, CONSTANT)),
    max_leaves=8,
)


def _extended(e: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    modulus = st.sampled_from([1, 2, 4, 8]).map(Const)
    natural = st.builds(lambda a, c: Binary("%", a, c), e, modulus)
    return st.one_of(
        _binary(["+", "-", "*", "min", "max"], e, e),
        _binary(["*", "//", "%"], e, st.sampled_from([-4, -3, -1, 2, 3, 4]).map(Const)),
        _binary(["^", "&", "|"], e, natural),
        _binary(["<<", ">>"], e, st.integers(0, 3).map(Const)),
        _binary(["div", "rem"], e, CONSTANT),
        st.builds(Unary, st.just("-"), e),
        st.builds(lambda op, a, b, x, y: Select(Binary(op, a, b), x, y), COMPARISON, e, e, e, e),
    )


ANY: st.SearchStrategy[Expr] = st.recursive(ADDRESS, _extended, max_leaves=5)
CONDITION: st.SearchStrategy[Expr] = st.recursive(
    st.builds(Binary, COMPARISON, ADDRESS, ADDRESS),
    lambda c: st.one_of(_binary(["and", "or"], c, c), st.builds(Unary, st.just("not"), c)),
    max_leaves=3,
)


def check_equal(e: Expr, ranges: Mapping[Var, tuple[int, int]]) -> None:
    s = simplify(e, ranges)
    for env in assignments(ranges):
        assert evaluate(e, env) == evaluate(s, env), f"{text(e)}  became  {text(s)}"


CHAIN_OPS = [(op, c) for op in ("//", "%", "*", "+") for c in (2, 3, 4, 6)]


def test_all_chains_of_three_operations_keep_their_value() -> None:
    """Exhaustive, since random expressions seldom stack a quotient on an offset on a quotient."""
    low, high = -5, 23
    simplifier = Simplifier({T: (low, high)})
    for chain in itertools.product(CHAIN_OPS, repeat=3):
        e: Expr = T
        for op, c in chain:
            e = Binary(op, e, Const(c))
        s = simplifier.simplify(e)
        for t in range(low, high + 1):
            value = t
            for op, c in chain:
                value = BINARY[op].eval(value, c)
            assert evaluate(s, {T: t}) == value, f"{text(e)}  became  {text(s)}"


@settings(max_examples=120)
@given(ADDRESS, RANGES)
def test_addresses_keep_their_value(e: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    check_equal(e, ranges)


@settings(max_examples=120)
@given(ANY, RANGES)
def test_expressions_keep_their_value(e: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    check_equal(e, ranges)


@given(CONDITION, RANGES)
def test_conditions_keep_their_value(e: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    check_equal(e, ranges)


XOR_SIDE = st.lists(
    st.tuples(st.sampled_from([1, 2, 4, 8, 16]), st.sampled_from([I, I % 8, J % 4, T // 2 % 4, T % 2, Const(1)])),
    min_size=1,
    max_size=3,
).map(lambda terms: sum((e * k for k, e in terms[1:]), terms[0][1] * terms[0][0]))


@settings(max_examples=150)
@given(XOR_SIDE, XOR_SIDE, st.booleans())
def test_swizzles_keep_their_value(a: Expr, b: Expr, nested: bool) -> None:
    check_equal((a ^ b) ^ (a % 8) if nested else a ^ b, {I: (0, 8), J: (0, 3), T: (0, 4)})


def test_a_swizzle_whose_parts_just_meet_keeps_its_value() -> None:
    """One more than the largest digit carries into the next: each of these is one short of falling apart."""
    ranges = {I: (0, 8), J: (0, 3), T: (0, 4)}
    for e in ((T * 8 + J) ^ I, (I + 8) ^ J, (I * 4 + T) ^ (J * 4), (I * 16 + T * 4) ^ (I * 2), (T * 2 + 8) ^ (I * 2)):
        check_equal(e, ranges)


@given(ANY, RANGES)
def test_bounds_are_sound(e: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    low, high = bounds_of(e, ranges)
    values = [evaluate(e, env) for env in assignments(ranges)]
    assert low <= min(values) and max(values) <= high


@given(CONDITION, RANGES)
def test_proofs_hold(cond: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    values = {bool(evaluate(cond, env)) for env in assignments(ranges)}
    known = proves(cond, ranges)
    assert known is None or values == {known}


@given(ADDRESS, SMALL, RANGES)
def test_divisibility_holds(e: Expr, c: int, ranges: dict[Var, tuple[int, int]]) -> None:
    if divisible(e, c, ranges):
        assert all(evaluate(e, env) % c == 0 for env in assignments(ranges))


@given(st.lists(st.tuples(st.sampled_from([2, 3, 4, 8]), st.integers(1, 4)), min_size=1, max_size=3), st.integers(0, 3))
def test_bounds_of_digit_sums_are_exact(digits: list[tuple[int, int]], offset: int) -> None:
    """An address made of digits of one number has the bounds that it takes."""
    number, e, inner = T, Const(offset), 1
    for extent, coefficient in digits:
        e = e + number // inner % extent * coefficient
        inner *= extent
    ranges = {T: (0, inner - 1)}
    values = [evaluate(e, env) for env in assignments(ranges)]
    assert bounds_of(e, ranges) == (min(values), max(values))


@given(ADDRESS, RANGES, st.sampled_from([2, 4, 8]))
def test_known_divisors_keep_values(e: Expr, ranges: dict[Var, tuple[int, int]], unit: int) -> None:
    scaled = {**ranges, I: (0, 4 * unit)}
    simplifier = Simplifier(scaled, divisors={I: unit})
    s = simplifier.simplify(e)
    low, high = simplifier.bounds(e)
    for env in assignments(scaled):
        if env[I] % unit == 0:
            assert evaluate(s, env) == evaluate(e, env), f"{text(e)}  became  {text(s)}"
            assert low <= evaluate(e, env) <= high


@given(ADDRESS, ADDRESS, RANGES)
def test_limits_prove_only_what_holds(e: Expr, limit: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    cond = lt(e, 6)
    known = Simplifier({**ranges, T: (0, float("inf"))}, limits={T: limit}).proves(cond)
    for env in assignments({**ranges, T: (0, 10)}):
        if known is not None and env[T] < evaluate(limit, env):
            assert bool(evaluate(cond, env)) is known


@given(ADDRESS, RANGES)
def test_simplifying_twice_keeps_the_size(e: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    """Not always idempotent where numerators overlap, but never growing: no pass need run until unchanged."""
    once = simplify(e, ranges)
    assert len(text(simplify(once, ranges))) <= len(text(once))
