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

from hypothesis import strategies as st

from tiledsl.ir.linear import combine
from tiledsl.ir.nodes import Binary, Const, Expr, Select, Unary, Var, lt
from tiledsl.ir.ops import BINARY, UNARY
from tiledsl.ir.printer import text
from tiledsl.ir.simplify import Simplifier, bounds_of, divisible, proves, simplify
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.strategies.indices import ADDRESS, ANY, CONDITION, RANGES, SMALL, XOR_SIDE, I, J, T


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


def check_equal(e: Expr, ranges: Mapping[Var, tuple[int, int]]) -> None:
    s = simplify(e, ranges)
    for env in assignments(ranges):
        assert evaluate(e, env) == evaluate(s, env), f"{text(e)}  became  {text(s)}"


@law(examples=120, e=ADDRESS, ranges=RANGES)
def addresses_keep_their_value(e: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    check_equal(e, ranges)


@law(examples=120, e=ANY, ranges=RANGES)
def expressions_keep_their_value(e: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    check_equal(e, ranges)


@law(e=CONDITION, ranges=RANGES)
def conditions_keep_their_value(e: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    check_equal(e, ranges)


@law(examples=150, a=XOR_SIDE, b=XOR_SIDE, nested=st.booleans())
def swizzles_keep_their_value(a: Expr, b: Expr, nested: bool) -> None:
    check_equal((a ^ b) ^ (a % 8) if nested else a ^ b, {I: (0, 8), J: (0, 3), T: (0, 4)})


@law(e=ANY, ranges=RANGES)
def bounds_are_sound(e: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    low, high = bounds_of(e, ranges)
    values = [evaluate(e, env) for env in assignments(ranges)]
    assert low <= min(values) and max(values) <= high


OPERATORS = ("+", "-", "*", "min", "max", "//", "div", "%", "rem", "&", "|", "^", ">>", "<<")
INTERVAL = st.tuples(st.integers(-6, 9), st.integers(0, 5)).map(lambda t: (t[0], t[0] + t[1]))


@law(a=INTERVAL, b=INTERVAL)
def intervals_hold_every_result(a: tuple[int, int], b: tuple[int, int]) -> None:
    """Bounds of an operator from those of its operands, for all values of both that it is defined for."""
    for op in OPERATORS:
        low, high = combine(op, a, b)
        for x, y in itertools.product(range(a[0], a[1] + 1), range(b[0], b[1] + 1)):
            if not ((y == 0 and op in ("//", "div", "%", "rem")) or (y < 0 and op in ("<<", ">>"))):
                assert low <= BINARY[op].eval(x, y) <= high, f"{x} {op} {y} is not in [{low}, {high}]"


@law(cond=CONDITION, ranges=RANGES)
def proofs_hold(cond: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    values = {bool(evaluate(cond, env)) for env in assignments(ranges)}
    known = proves(cond, ranges)
    assert known is None or values == {known}


@law(e=ADDRESS, c=SMALL, ranges=RANGES)
def divisibility_holds(e: Expr, c: int, ranges: dict[Var, tuple[int, int]]) -> None:
    if divisible(e, c, ranges):
        assert all(evaluate(e, env) % c == 0 for env in assignments(ranges))


@law(
    digits=st.lists(st.tuples(st.sampled_from([2, 3, 4, 8]), st.integers(1, 4)), min_size=1, max_size=3),
    offset=st.integers(0, 3),
)
def bounds_of_digit_sums_are_exact(digits: list[tuple[int, int]], offset: int) -> None:
    """An address made of digits of one number has the bounds that it takes."""
    number, inner = T, 1
    e: Expr = Const(offset)
    for extent, coefficient in digits:
        e = e + number // inner % extent * coefficient
        inner *= extent
    ranges = {T: (0, inner - 1)}
    values = [evaluate(e, env) for env in assignments(ranges)]
    assert bounds_of(e, ranges) == (min(values), max(values))


@law(e=ADDRESS, ranges=RANGES, unit=st.sampled_from([2, 4, 8]))
def known_divisors_keep_values(e: Expr, ranges: dict[Var, tuple[int, int]], unit: int) -> None:
    scaled = {**ranges, I: (0, 4 * unit)}
    simplifier = Simplifier(scaled, divisors={I: unit})
    s = simplifier.simplify(e)
    low, high = simplifier.bounds(e)
    for env in assignments(scaled):
        if env[I] % unit == 0:
            assert evaluate(s, env) == evaluate(e, env), f"{text(e)}  became  {text(s)}"
            assert low <= evaluate(e, env) <= high


@law(e=ADDRESS, limit=ADDRESS, ranges=RANGES)
def limits_prove_only_what_holds(e: Expr, limit: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    cond = lt(e, 6)
    known = Simplifier({**ranges, T: (0, float("inf"))}, limits={T: limit}).proves(cond)
    for env in assignments({**ranges, T: (0, 10)}):
        if known is not None and env[T] < evaluate(limit, env):
            assert bool(evaluate(cond, env)) is known


@law(e=ADDRESS, ranges=RANGES)
def simplifying_twice_keeps_the_size(e: Expr, ranges: dict[Var, tuple[int, int]]) -> None:
    """Not always idempotent where numerators overlap, but never growing: no pass need run until unchanged."""
    once = simplify(e, ranges)
    assert len(text(simplify(once, ranges))) <= len(text(once))


LAWS = laws_of(globals())
