"""The normal form of index expressions: linear combinations, digits, floor division.

Two equivalent forms do all the work. In the *linear* form a value is a sum of coefficient * atom, and `x % c` does not
exist: it is `x - c * (x // c)`, so that div/mod pairs cancel by ordinary addition. In the *digit* form
`m*y + k*(y // c)` reads `m * (y % c) + (k + m*c) * (y // c)`: mixed-radix digits, whose ranges are tight and which
print like an address. Values are kept linear; bounds, division and the final text use digits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from math import gcd, inf, isinf
from typing import Any, TypeAlias

from tiledsl.ir.nodes import Binary, Const, Expr
from tiledsl.ir.ops import trunc_div

Interval: TypeAlias = tuple[float, float]  # inclusive; integers, or infinite where unknown


@dataclass(eq=False, slots=True)
class Atom:
    """What a linear combination is made of: a variable, an opaque expression, `y // divisor`, or (in digit form only)
    `y % divisor`. Atoms are unique within one Algebra and compare by identity.

    `unit` > 1 says that the atom is `whole // unit` for a `whole` known to be a multiple of `unit`.
    """

    expr: Expr
    key: str  # orders terms: the same in every process
    low: float
    high: float
    numerator: Linear = field(default_factory=dict)
    divisor: int = 0
    family: frozenset[tuple[Atom, int]] = frozenset()  # the numerator's items
    value: Linear = field(default_factory=dict)  # the linear form of a remainder; empty: the atom itself
    unit: int = 1
    whole: Expr | None = None


Linear: TypeAlias = dict[Atom, int]  # no coefficient is 0; the constant is the coefficient of ONE
Terms: TypeAlias = list[tuple[int, Atom]]

ONE = Atom(Const(1), "", 1, 1)


def constant(value: int) -> Linear:
    return {ONE: value} if value else {}


def add_scaled(into: Linear, x: Linear, k: int) -> None:
    """`into += k * x`, in place."""
    for atom, c in x.items():
        if new := into.get(atom, 0) + c * k:
            into[atom] = new
        elif atom in into:
            del into[atom]


def is_constant(x: Linear) -> bool:
    return not x or (len(x) == 1 and ONE in x)


def common_divisor(terms: Terms) -> int:
    """The greatest divisor of all coefficients; 1 if there are none."""
    return gcd(*(k for k, _ in terms)) or 1


def total(terms: Iterable[tuple[int, Atom]]) -> Linear:
    """The linear form of a sum of digit terms."""
    result: Linear = {}
    for k, atom in terms:
        if k:
            add_scaled(result, atom.value or {atom: 1}, k)
    return result


def times(a: Interval, b: Interval) -> Interval:
    """Products of the two; 0 times infinity is 0, since the infinity stands for some finite unknown."""
    products = [x * y if x and y else 0 for x in a for y in b]
    return min(products), max(products)


def combine(op: str, a: Interval, b: Interval) -> Interval:
    """Bounds of `a op b` on mathematical integers."""
    (l, h), (m, n) = a, b
    match op:
        case "+":
            return l + m, h + n
        case "-":
            return l - n, h - m
        case "*":
            return times(a, b)
        case "min":
            return min(l, m), min(h, n)
        case "max":
            return max(l, m), max(h, n)
        case "//" | "div" if l >= 0 and m >= 0:
            return 0, (h if h == inf or m <= 1 else h // m)
        case "%" | "rem" if m >= 0 and (op == "%" or l >= 0):
            return 0, (min(h, n - 1) if l >= 0 else n - 1)
        case "&" if l >= 0 or m >= 0:
            return 0, min(h if l >= 0 else inf, n if m >= 0 else inf)
        case "|" | "^" if l >= 0 and m >= 0 and max(h, n) < inf:
            return 0, (1 << int(max(h, n)).bit_length()) - 1
        case ">>" if l >= 0 and m >= 0:
            return 0, h
    return -inf, inf


def floor_quotient(a: Interval, c: int) -> Interval:
    low, high = a
    return (low if isinf(low) else low // c), (high if isinf(high) else high // c)


def bounds(terms: Iterable[tuple[int, Atom]]) -> Interval:
    low: float = 0
    high: float = 0
    for k, atom in terms:
        if k > 0:
            low += k * atom.low
            high += k * atom.high
        else:
            low += k * atom.high
            high += k * atom.low
    return low, high


class Division(Atom):
    """`numerator // divisor` or `numerator % divisor`. Most are only reasoned about, so `expr` and `key` are made when
    first asked for."""

    __slots__ = ("algebra", "op")

    def __init__(
        self,
        algebra: Algebra,
        op: str,
        numerator: Linear,
        divisor: int,
        low: float,
        high: float,
        family: frozenset[tuple[Atom, int]],
        value: Linear | None = None,
    ) -> None:
        self.algebra, self.op, self.numerator, self.divisor = algebra, op, numerator, divisor
        self.low, self.high, self.family, self.value = low, high, family, value or {}
        self.unit, self.whole = 1, None

    def __getattr__(self, name: str) -> Any:
        """Python asks here for slots without a value."""
        if name not in ("expr", "key"):
            raise AttributeError(name)
        expr, spelled = self.algebra.spelled(self.numerator)
        self.expr = Binary(self.op, expr, Const(self.divisor))
        self.key = f"({spelled}){self.op}{self.divisor:08}"
        return getattr(self, name)


class Algebra:
    """The atoms of one set of ranges, and memoised arithmetic on them."""

    def __init__(self) -> None:
        self._quotients: dict[tuple[frozenset[tuple[Atom, int]], int], Atom] = {}
        self._remainders: dict[tuple[frozenset[tuple[Atom, int]], int], Atom] = {}
        self._divided: dict[tuple[frozenset[tuple[Atom, int]], int], Linear] = {}
        self._digits: dict[frozenset[tuple[Atom, int]], Terms] = {}

    def bounds(self, x: Linear) -> Interval:
        return bounds(self.digits(x))

    def divide(self, x: Linear, c: int) -> Linear:
        """x // c, for c > 0."""
        if c == 1:
            return x
        key = frozenset(x.items()), c
        if key not in self._divided:
            self._divided[key] = self._divide(x, c)
        return self._divided[key]

    def modulo(self, x: Linear, c: int) -> Linear:
        """x % c, for c > 0."""
        result = dict(x)
        add_scaled(result, self.divide(x, c), -c)
        return result

    def _divide(self, x: Linear, c: int) -> Linear:
        terms = self.digits(x)
        low, high = floor_quotient(bounds(terms), c)
        if low == high:
            return constant(int(low))
        # Whole multiples leave: (c*q + r) // c == q + r // c. Coefficients truncate, so that r keeps their signs.
        q = total((k // c if atom is ONE else trunc_div(k, c), atom) for k, atom in terms)
        if q:
            rest = dict(x)
            add_scaled(rest, q, -c)
            result = dict(q)
            add_scaled(result, self.divide(rest, c), 1)
            return result
        for attempt in (self._divide_by_dropping(x, terms, c), self._divide_nested(terms, c)):
            if attempt is not None:
                return attempt
        return {self._quotient(x, c): 1}

    def _divide_by_dropping(self, x: Linear, terms: Terms, c: int) -> Linear | None:
        """A small remainder is dropped: (g*u + v) // c == u // (c/g), where g divides c and 0 <= v < g."""
        for g in sorted({gcd(k, c) for k, _ in terms} - {1}, reverse=True):
            u = self.without_remainder(x, terms, g)
            if u is not None:
                return self.divide(u, c // g)
        return None

    def without_remainder(self, x: Linear, terms: Terms, g: int) -> Linear | None:
        """u where x == g*u + v and 0 <= v < g, if the digit `terms` of x fall apart into such u and v."""
        u = total((k // g, atom) for k, atom in terms if k % g == 0 or atom is ONE)
        v = dict(x)
        add_scaled(v, u, -g)
        low, high = self.bounds(v)
        return u if low >= 0 and high < g else None

    def _divide_nested(self, terms: Terms, c: int) -> Linear | None:
        parts = [term for term in terms if term[1] is not ONE]
        if len(parts) != 1 or parts[0][0] != 1 or not parts[0][1].divisor:
            return None
        atom, k = parts[0][1], total(term for term in terms if term[1] is ONE)
        y, d = atom.numerator, atom.divisor
        if atom.value:  # (y % d) // c == (y // c) % (d/c)
            if k or d % c:
                return None
            result = dict(self.divide(y, c))
            add_scaled(result, self.divide(y, d), -(d // c))
            return result
        moved = dict(y)  # (y // d + k) // c == (y + k*d) // (d*c)
        add_scaled(moved, k, d)
        return self.divide(moved, d * c)

    def _quotient(self, y: Linear, c: int) -> Atom:
        key = frozenset(y.items()), c
        if key not in self._quotients:
            low, high = floor_quotient(self.bounds(y), c)
            self._quotients[key] = Division(self, "//", y, c, low, high, key[0])
        return self._quotients[key]

    def _remainder(self, y: Linear, c: int) -> Atom:
        key = frozenset(y.items()), c
        if key not in self._remainders:
            low, high = self.bounds(y)
            if low < 0 or high >= c:
                low, high = 0, c - 1
            self._remainders[key] = Division(self, "%", y, c, low, high, key[0], self.modulo(y, c))
        return self._remainders[key]

    def digits(self, x: Linear) -> Terms:
        """The terms of x, with m*y + k*(y // c) regrouped as m * (y % c) + (k + m*c) * (y // c)."""
        quotients = [atom for atom in x if atom.divisor]
        if not quotients:
            return [(k, atom) for atom, k in x.items()]
        key = frozenset(x.items())
        if key not in self._digits:
            self._digits[key] = self._regroup(x, quotients)
        return self._digits[key]

    def _regroup(self, x: Linear, quotients: list[Atom]) -> Terms:
        quotients.sort(key=lambda a: (-len(a.numerator), a.divisor, a.key))
        for a in quotients:
            finer = [(q, k) for q in quotients if q.divisor < a.divisor and (k := _steps(q, a)) is not None]
            numerators = [({q: 1, **constant(k)}, a.divisor // q.divisor) for q, k in reversed(finer)]
            for y, c in [*numerators, (a.numerator, a.divisor)]:
                lead = next((atom for atom in y if atom in x and atom is not ONE), None)
                if lead is None or x[lead] % y[lead]:
                    continue
                m = x[lead] // y[lead]
                rest = dict(x)
                add_scaled(rest, y, -m)
                add_scaled(rest, {a: 1}, m * c)
                if not any(atom in rest for atom in y if atom is not ONE):
                    return [(m, self._remainder(y, c)), *self.digits(rest)]
        return [(k, atom) for atom, k in x.items()]

    def expr(self, x: Linear) -> Expr:
        """The expression of x: digits in falling order of their coefficients, the constant last."""
        return self.spelled(x)[0]

    def spelled(self, x: Linear) -> tuple[Expr, str]:
        """The expression of x and a text that orders it among others."""
        return sum_of(self.digits(x))


def _steps(finer: Atom, coarser: Atom) -> int | None:
    """k where `coarser` is `(finer + k) // c`, c the quotient of their divisors; None if it is nothing of that kind."""
    d = finer.divisor
    apart = coarser.numerator.get(ONE, 0) - finer.numerator.get(ONE, 0)
    if coarser.divisor % d or apart % d:
        return None
    if not apart:
        return 0 if finer.family == coarser.family else None
    same = {t for t in finer.family if t[0] is not ONE} == {t for t in coarser.family if t[0] is not ONE}
    return apart // d if same else None


def sum_of(terms: Terms) -> tuple[Expr, str]:
    """The expression of a sum of digit terms and a text that orders it among others."""
    result: Expr | None = None
    key = ""
    for k, atom in sorted(terms, key=lambda t: (t[1] is ONE, t[0] < 0, -abs(t[0]), t[1].key)):
        size, signed = _scaled(abs(k), atom), k > 0
        key += f"{k:+}*{atom.key}" if k != 1 or atom is ONE else f"+{atom.key}"
        if result is not None:
            result = Binary("+" if signed else "-", result, size)
        elif signed:
            result = size
        else:
            result = _scaled(k, atom)
    return (result, key) if result is not None else (Const(0), "")


def _scaled(k: int, atom: Atom) -> Expr:
    if atom is ONE:
        return Const(k)
    base = atom.expr
    if atom.unit > 1 and atom.whole is not None and k % atom.unit == 0:
        base, k = atom.whole, k // atom.unit
    return base if k == 1 else Binary("*", base, Const(k))
