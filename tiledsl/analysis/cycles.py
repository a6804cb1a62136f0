"""Integer expressions that come back to where they were, such as `x % 3` and `x // 3 % 2`.

With + - * // % by constants an expression f moves evenly in each variable: f(x + P) = f(x) + d for some P and d,
whatever x is. Where d is 0 in all variables f takes each of its values within one period of each, so what is claimed of
f for all integers is checked on a table. Products of two variables count as variables of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import gcd, inf, lcm, prod
from typing import Any, TypeAlias

import numpy as np

from tiledsl.ir.dtypes import INDEX, DType, Kind
from tiledsl.ir.linear import Interval, combine, floor_quotient
from tiledsl.ir.nodes import Binary, Cast, Const, Expr, For, Launch, Let, Unary, Var
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import statements, walk

MOST_POINTS = 1 << 16
Bounds: TypeAlias = Callable[[Expr], Interval]
Values: TypeAlias = Mapping[Expr, Any]  # of variables, and of products of two
_DIVISIONS = ("//", "%", "div", "rem", ">>", "&")


class Unclear(Exception):
    """Not such an expression."""


@dataclass(frozen=True, slots=True)
class Motion:
    """f(x + period) = f(x) + step."""

    period: int
    step: int

    def times(self, rounds: int) -> Motion:
        return Motion(self.period * rounds, self.step * rounds)


@dataclass(frozen=True, slots=True, eq=False)
class Cycle:
    """An expression that takes finitely many values: `periods` has one for each of its variables."""

    expr: Expr
    periods: Mapping[Expr, int]

    def at(self, values: Values) -> Any:
        return evaluate(self.expr, values)


def cycle_of(e: Expr, bounds: Bounds) -> Cycle | None:
    """`e` as a cycle, if it is one. One that is 0 or 1 where it stands counts as its remainder by 2.

    `bounds` are those of integer expressions. None too where arithmetic may wrap around, or C's division not be floor.
    """
    try:
        plain = unwrapped(e, bounds)
        moves = motions(plain)
        if any(m.step for m in moves.values()):
            low, high = bounds(e)
            if not (has_division(e) and low >= 0 and high <= 1):
                return None
            plain = Binary("%", plain, Const(2))
            moves = motions(plain)
    except Unclear:
        return None
    return Cycle(plain, {v: m.period for v, m in moves.items()})


def bounds_in(launch: Launch, ranges: Mapping[Var, Interval]) -> Bounds:
    """Bounds of integer expressions of a launch, step by step; `ranges` are those of what is bound outside of it.

    Division of what may be negative keeps its bounds here, which matters for the extents of loops.
    """
    extents = {s.var: s.extent for s in statements(launch) if isinstance(s, For)}
    lets = {s.var: s.value for s in statements(launch) if isinstance(s, Let)}
    known: dict[Var, Interval] = {}

    def variable(v: Var) -> Interval:
        if v not in known:
            if v in extents:
                known[v] = (0, max(0, bounds(extents[v])[1] - 1))
            else:
                known[v] = bounds(lets[v]) if v in lets else ranges.get(v, _whole(v.dtype))
        return known[v]

    def bounds(e: Expr) -> Interval:
        match e:
            case Const(int(value)):
                found: Interval = (value, value)
            case Var():
                return variable(e)
            case Cast(_, a) if dtype_of(a) is INDEX or dtype_of(a).is_integer:
                found = bounds(a)
            case Binary("//" | "div", a, Const(int(c))) if c > 0:
                found = floor_quotient(bounds(a), c)
            case Binary(">>", a, Const(int(c))) if 0 <= c < 32:
                found = floor_quotient(bounds(a), 1 << c)
            case Binary(op, a, b):
                found = combine(op, bounds(a), bounds(b))
            case _:
                return _whole(dtype_of(e))
        low, high = _whole(dtype_of(e))
        return found if low <= found[0] and found[1] <= high else (low, high)

    return bounds


def _whole(dtype: DType) -> Interval:
    return (-inf, inf) if dtype.kind not in (Kind.INT, Kind.UINT, Kind.BOOL) else dtype.int_range


def has_division(e: Expr) -> bool:
    return any(isinstance(n, Binary) and n.op in _DIVISIONS for n in walk(e))


def always(claim: Callable[[Values], Any], *periods: Mapping[Expr, int]) -> bool:
    """Whether `claim` holds for all values of the variables, each of which repeats after all its periods."""
    whole: dict[Expr, int] = {}
    for some in periods:
        for v, p in some.items():
            whole[v] = lcm(whole.get(v, 1), p)
    if prod(whole.values()) > MOST_POINTS:
        return False
    axes = np.ix_(*(np.arange(p) for p in whole.values()))
    return bool(np.all(claim(dict(zip(whole, axes)))))


def values_of(c: Cycle) -> tuple[int, ...]:
    """Everything that it can be, ascending; empty where that takes too long to say."""
    if prod(c.periods.values()) > MOST_POINTS:
        return ()
    axes = np.ix_(*(np.arange(p) for p in c.periods.values()))
    return tuple(int(x) for x in np.unique(c.at(dict(zip(c.periods, axes)))))


# -------------------------------------------------------------------------------------------------------- structure


def unwrapped(e: Expr, bounds: Bounds) -> Expr:
    """`e` as arithmetic of mathematical integers with floor division: no casts, no masks, no C division.

    Raises Unclear where machine arithmetic may differ from that.
    """
    match e:
        case Const(int(value), dtype) if dtype is INDEX or dtype.is_integer:
            return Const(value)
        case Var(_, dtype) if dtype is INDEX or dtype.is_integer:
            return e
        case Cast(dtype, a) if dtype.is_integer and (dtype_of(a).is_integer or dtype_of(a) is INDEX):
            _must_fit(bounds(a), e)
            return unwrapped(a, bounds)
        case Unary("-", a):
            return Binary("*", unwrapped(a, bounds), Const(-1))
        case Binary(op, a, b):
            if op not in ("//", "div", ">>"):  # these cannot grow
                _must_fit(combine(op, bounds(a), bounds(b)), e)
            if op in ("div", "rem") and bounds(a)[0] < 0:
                raise Unclear
            return _plain(op, unwrapped(a, bounds), unwrapped(b, bounds))
    raise Unclear


def _must_fit(known: Interval, e: Expr) -> None:
    dtype = dtype_of(e)
    if dtype is INDEX:
        return
    if dtype.kind not in (Kind.INT, Kind.UINT):
        raise Unclear
    low, high = dtype.int_range
    if not (low <= known[0] and known[1] <= high):
        raise Unclear


def _plain(op: str, a: Expr, b: Expr) -> Expr:
    match op, b:
        case ("+" | "-", _):
            return Binary(op, a, b)
        case ("*", _):
            return Binary("*", b, a) if isinstance(a, Const) else Binary("*", a, b)
        case ("//" | "div", Const(int(c))) if c > 0:
            return Binary("//", a, b)
        case ("%" | "rem", Const(int(c))) if c > 0:
            return Binary("%", a, b)
        case (">>", Const(int(c))) if 0 <= c < 32:
            return Binary("//", a, Const(1 << c))
        case ("&", Const(int(mask))) if mask > 0 and mask & (mask + 1) == 0:
            return Binary("%", a, Const(mask + 1))
    raise Unclear


def is_product(e: Expr) -> bool:
    """Whether it is one of two variable things, which is a variable of its own here."""
    return isinstance(e, Binary) and e.op == "*" and not isinstance(e.b, Const)


def motions(e: Expr) -> dict[Expr, Motion]:
    """How `e`, an unwrapped expression, moves in each of its variables."""
    match e:
        case Const():
            return {}
        case Var():
            return {e: Motion(1, 1)}
        case Binary("*", a, Const(int(c))):
            return {v: Motion(m.period, m.step * c) for v, m in motions(a).items()}
        case Binary("*"):
            return {e: Motion(1, 1)}
        case Binary("+" | "-" as op, a, b):
            return _sum(motions(a), motions(b), 1 if op == "+" else -1)
        case Binary("//" | "%" as op, a, Const(int(c))):
            whole = {v: m.times(c // gcd(c, m.step)) for v, m in motions(a).items()}
            return {v: Motion(m.period, m.step // c if op == "//" else 0) for v, m in whole.items()}
    raise Unclear


def _sum(a: Mapping[Expr, Motion], b: Mapping[Expr, Motion], sign: int) -> dict[Expr, Motion]:
    result: dict[Expr, Motion] = {}
    for v in dict.fromkeys((*a, *b)):
        x, y = a.get(v, Motion(1, 0)), b.get(v, Motion(1, 0))
        period = lcm(x.period, y.period)
        step = x.step * (period // x.period) + sign * y.step * (period // y.period)
        result[v] = Motion(period, step)
    return result


def evaluate(e: Expr, values: Values) -> Any:
    """The value of an unwrapped expression; `values` are numbers or arrays."""
    match e:
        case Const(value):
            return value
        case Var():
            return values[e]
        case Binary("*", a, Const(int(c))):
            return evaluate(a, values) * c
        case Binary("*"):
            return values[e]
        case Binary("+", a, b):
            return evaluate(a, values) + evaluate(b, values)
        case Binary("-", a, b):
            return evaluate(a, values) - evaluate(b, values)
        case Binary("//", a, Const(int(c))):
            return evaluate(a, values) // c
        case Binary("%", a, Const(int(c))):
            return evaluate(a, values) % c
    raise Unclear


# -------------------------------------------------------------------------------------------------------- questions


def stepped(values: Values, v: Var) -> dict[Expr, Any]:
    """The values when `v` is one more; a product of it and something grows by that."""
    result = dict(values)
    for e in values:
        if e is v:
            result[e] = values[e] + 1
        elif is_product(e) and v in (e.a, e.b):  # type: ignore[attr-defined]
            other = e.b if e.a is v else e.a  # type: ignore[attr-defined]
            result[e] = values[e] + values[other]
    return result


def clear(c: Cycle, v: Var) -> bool:
    """Whether each product with `v` is that of `v` itself and of something without it."""
    return all(
        (e.a is v) != (e.b is v) and sum(x is v for x in variables(e)) == 1  # type: ignore[attr-defined]
        for e in c.periods
        if is_product(e) and v in variables(e)
    )


def factors(c: Cycle, v: Var) -> dict[Expr, int]:
    """What `v` is multiplied with in `c`, with the period of the product."""
    found: dict[Expr, int] = {}
    for e, p in c.periods.items():
        if is_product(e):
            pair = (e.a, e.b)  # type: ignore[attr-defined]
            if v in pair:
                found[pair[1] if pair[0] is v else pair[0]] = p
    return found


def is_ring(c: Cycle, v: Var) -> int:
    """n if the next value, when `v` is one more, is always that plus 1 modulo n, and n > 1; else 0."""
    seen = values_of(c) if clear(c, v) else ()
    n = len(seen)
    if n < 2 or seen != tuple(range(n)):
        return 0
    turns = always(lambda at: c.at(stepped(at, v)) == (c.at(at) + 1) % n, c.periods, factors(c, v))
    return n if turns else 0


def is_phase(c: Cycle, ring: Cycle, v: Var) -> bool:
    """Whether `c` changes between 0 and 1 exactly where `ring` comes back to 0, as `v` becomes one more."""

    def turns(at: Values) -> Any:
        after = stepped(at, v)
        return c.at(after) == c.at(at) ^ (ring.at(after) == 0)

    if not clear(c, v) or values_of(c) != (0, 1):
        return False
    return always(turns, c.periods, ring.periods, factors(c, v), factors(ring, v))


def follows(c: Cycle, other: Cycle, v: Var) -> bool:
    """Whether `c` is always what `other` is when `v` is one more."""
    periods = (c.periods, other.periods, factors(other, v))
    return clear(other, v) and always(lambda at: c.at(at) == other.at(stepped(at, v)), *periods)


def continues(c: Cycle, inner: Var, extent: Expr, outer: Var) -> bool:
    """Whether `c` goes on where it was when the loop over `inner` ends and begins again, `outer` being one more.

    `extent`, unwrapped, is that of the inner loop.
    """

    def same(at: Values) -> Any:
        trips = extent.value if isinstance(extent, Const) else at[extent]
        again = {**stepped(at, outer), inner: 0}
        return c.at(again) == c.at({**at, inner: trips})

    if not clear(c, outer) or any(inner in variables(e) for e in c.periods if e is not inner):
        return False
    trips = {} if isinstance(extent, Const) else {extent: c.periods.get(inner, 1)}
    return always(same, c.periods, trips, factors(c, outer))


def variables(e: Expr) -> Iterator[Var]:
    return (n for n in walk(e) if isinstance(n, Var))
