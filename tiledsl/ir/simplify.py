"""Simplification of index and boolean expressions, their bounds, and proofs from them.

Index arithmetic goes through the normal form of `ir/linear.py`; comparisons, min, max and selects are decided by bounds
of the difference. Fixed-width and float arithmetic is left alone, but for folding constants exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import inf
from typing import TypeAlias

from tiledsl.ir.compare import compare, connect
from tiledsl.ir.dtypes import BOOL, INDEX, Kind
from tiledsl.ir.fold import fold
from tiledsl.ir.linear import (
    ONE,
    Algebra,
    Atom,
    Interval,
    Linear,
    add_scaled,
    bounds,
    combine,
    constant,
    floor_quotient,
    is_constant,
    total,
)
from tiledsl.ir.nodes import FALSE, TRUE, Binary, Call, Cast, Const, Expr, Extern, Load, Node, Select, Unary, Var
from tiledsl.ir.ops import BINARY, FUNCTIONS, Effect
from tiledsl.ir.split_xor import split_xor
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import children, map_children

Ranges: TypeAlias = Mapping[Var, Interval]  # inclusive
UNBOUNDED: Interval = (-inf, inf)
_COMPARISONS = frozenset({"<", "<=", ">", ">=", "==", "!="})
_NEGATED = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "==": "!=", "!=": "=="}


class _Effectful(Exception):
    """Raised inside on meeting an expression that must be evaluated exactly once: it is then left as it is."""


class Simplifier:
    """Simplification under fixed `ranges` of variables. Reuse one object: it remembers what it has seen.

    `divisors` says that a variable is a multiple of a number; `limits` that it is less than an expression (the
    dynamic extent of its loop), which `proves` uses.
    """

    def __init__(
        self,
        ranges: Ranges,
        divisors: Mapping[Var, int] | None = None,
        limits: Mapping[Var, Expr] | None = None,
    ) -> None:
        self.ranges = ranges
        self.divisors = {} if divisors is None else divisors
        self.limits = {} if limits is None else limits
        self.algebra = Algebra()
        self._opaque: dict[object, Atom] = {}
        self._linear: dict[int, tuple[Expr, Linear]] = {}  # by identity; holds the expression, so that it stays unique
        self._variables: dict[Var, Linear] = {}
        self._names: dict[str, int] = {}
        self._simplified: dict[int, tuple[Expr, Expr]] = {}

    # ------------------------------------------------------------------------------------------------- entry points

    def simplify(self, e: Expr) -> Expr:
        """An expression equal to `e` for all values of its variables in range."""
        if isinstance(e, Const) or (isinstance(e, Var) and e.dtype is not INDEX):
            return e
        known = self._simplified.get(id(e))
        if known is None:
            try:
                known = e, self._simplify(e)
            except _Effectful:
                known = e, e
            self._simplified[id(e)] = known
        return known[1]

    def bounds(self, e: Expr) -> Interval:
        """Inclusive bounds of an index, fixed-width integer or boolean expression."""
        dtype = dtype_of(e)
        try:
            if dtype is INDEX:
                return self.algebra.bounds(self.linear(e))
            if dtype is BOOL:
                known = self.proves(e)
                return (0, 1) if known is None else (int(known), int(known))
        except _Effectful:
            return UNBOUNDED
        return self._fixed_width_bounds(e)

    def proves(self, cond: Expr) -> bool | None:
        """Whether `cond` always holds (True), never does (False), or is not known."""
        match self.simplify(cond):
            case Const(value):
                return bool(value)
            case Binary("and", a, b):
                return self.proves(b) if self.proves(a) else None
            case Binary("<" | "<=" as op, a, b) if dtype_of(a) is INDEX:
                difference = self._difference(a, b, 0 if op == "<" else -1)
                return True if self._negative_by_limits(difference) else None
        return None

    def divisible(self, e: Expr, c: int) -> bool:
        """Whether the index `e` is always a multiple of `c` > 0."""
        return is_constant(rest := self.algebra.modulo(self.linear(e), c)) and not rest

    def linear(self, e: Expr) -> Linear:
        """The normal form of an index expression. The caller must not change it."""
        # By identity: address computations share operands, and hashing whole expressions costs more than it saves.
        known = self._linear.get(id(e))
        if known is None:
            result: Linear = {}
            self._add(result, e, 1)
            known = self._linear[id(e)] = (e, result)
        return known[1]

    # ---------------------------------------------------------------------------------------------- index arithmetic

    def _add(self, into: Linear, e: Expr, k: int) -> None:
        """`into += k * e`. An if-chain, not a match: this is the inner loop of the compiler."""
        if isinstance(e, Binary):
            self._add_binary(into, e, k)
        elif isinstance(e, Const):
            if e.value:
                add_scaled(into, ONE_TERM, k * int(e.value))
        elif isinstance(e, Var):
            add_scaled(into, self._variables.get(e) or self._variable(e), k)
        elif isinstance(e, Unary) and e.op == "-":
            self._add(into, e.a, -k)
        else:
            add_scaled(into, self._other(e), k)

    def _add_binary(self, into: Linear, e: Binary, k: int) -> None:
        op, a, b = e.op, e.a, e.b
        if op == "+":
            self._add(into, a, k)
            self._add(into, b, k)
        elif op == "-":
            self._add(into, a, k)
            self._add(into, b, -k)
        elif op == "*" and isinstance(b, Const):
            self._add(into, a, k * int(b.value))
        elif op == "*" and isinstance(a, Const):
            self._add(into, b, k * int(a.value))
        else:
            add_scaled(into, self._other(e), k)

    def _variable(self, v: Var) -> Linear:
        if v not in self._variables:
            low, high = self.ranges.get(v, UNBOUNDED)
            if low == high:
                self._variables[v] = constant(int(low))
            elif (unit := self.divisors.get(v, 1)) > 1:
                low, high = floor_quotient((low, high), unit)
                self._variables[v] = {Atom(v // unit, self._name(v), low, high, unit=unit, whole=v): unit}
            else:
                self._variables[v] = {Atom(v, self._name(v), low, high): 1}
        return self._variables[v]

    def _name(self, v: Var) -> str:
        count = self._names[v.name] = self._names.get(v.name, 0) + 1
        return v.name if count == 1 else f"{v.name}#{count:04}"

    def _other(self, e: Expr) -> Linear:
        match e:
            case Binary("*" | "//" | "%" | "<<" | ">>" | "&" | "div" | "rem" as op, a, b):
                return self._binary(op, self.linear(a), self.linear(b))
            case Binary("^", a, b):
                return self._xor(self.linear(a), self.linear(b))
            case Binary("min" | "max" as op, a, b):
                return self._extremum(op, self.linear(a), self.linear(b))
            case Select(cond, a, b):
                return self._select(self._nested(cond), self.linear(a), self.linear(b))
            case Cast(_, Const(value)) if isinstance(value, int):
                return constant(value)
            case Cast(_, Cast(dtype, a)) if dtype.kind in (Kind.INT, Kind.UINT) and dtype_of(a) is INDEX:
                low, high = self.bounds(a)
                if dtype.int_range[0] <= low and high <= dtype.int_range[1]:  # the cast there did not wrap
                    return self.linear(a)
        return {self._atom(self._simplify_below(e)): 1}

    def _binary(self, op: str, x: Linear, y: Linear) -> Linear:
        algebra = self.algebra
        if is_constant(y):
            c = y.get(ONE, 0)
            match op:
                case "*":
                    return total([(k * c, atom) for atom, k in x.items()])
                case "//" | "%" if c < 0:  # x // c == -x // -c
                    negated = {atom: -k for atom, k in x.items()}
                    quotient = algebra.divide(negated, -c)
                    return quotient if op == "//" else self._sum(x, quotient, -c)
                case "//" if c > 0:
                    return algebra.divide(x, c)
                case "%" if c > 0:
                    return algebra.modulo(x, c)
                case "<<" if 0 <= c < 64:
                    return total([(k << c, atom) for atom, k in x.items()])
                case ">>" if 0 <= c < 64:
                    return algebra.divide(x, 1 << c)
                case "&" if c >= 0 and (c + 1) & c == 0:
                    return algebra.modulo(x, c + 1)
                case "div" | "rem" if c > 0 and algebra.bounds(x)[0] >= 0:  # rounds down on what is not negative
                    return algebra.divide(x, c) if op == "div" else algebra.modulo(x, c)
        if op == "*" and is_constant(x):
            return total([(k * x.get(ONE, 0), atom) for atom, k in y.items()])
        if op in ("//", "%") and algebra.bounds(x)[0] >= 0 and algebra.bounds(self._sum(x, y, -1))[1] < 0:
            return {} if op == "//" else x  # 0 <= x < y
        return self._opaque_binary(op, x, y)

    def _opaque_binary(self, op: str, x: Linear, y: Linear) -> Linear:
        key = op, frozenset(x.items()), frozenset(y.items())
        if key in self._opaque:
            return {self._opaque[key]: 1}
        (a, first), (b, second) = self.algebra.spelled(x), self.algebra.spelled(y)
        if op in ("*", "&", "|", "^") and (isinstance(a, Const), first) > (isinstance(b, Const), second):
            a, b = b, a
        if isinstance(a, Const) and isinstance(b, Const):
            try:
                return constant(int(BINARY[op].eval(a.value, b.value)))
            except (ZeroDivisionError, ValueError):
                pass  # has no value: left as it is
        self._opaque[key] = atom = self._atom(Binary(op, a, b))
        return {atom: 1}

    def _sum(self, x: Linear, y: Linear, k: int) -> Linear:
        result = dict(x)
        add_scaled(result, y, k)
        return result

    def _xor(self, x: Linear, y: Linear) -> Linear:
        split = split_xor(self.algebra, x, y)
        inner = self._opaque_binary("^", split.x, split.y) if split.x and split.y else split.x or split.y
        if split.flips:
            inner = self._opaque_binary("^", inner, constant(split.flips))
        return self._sum(split.outside, inner, split.step)

    def _extremum(self, op: str, x: Linear, y: Linear) -> Linear:
        low, high = self.algebra.bounds(self._sum(x, y, -1))
        if high <= 0:
            return x if op == "min" else y
        if low >= 0:
            return y if op == "min" else x
        return self._opaque_binary(op, x, y)

    def _select(self, cond: Expr, x: Linear, y: Linear) -> Linear:
        if isinstance(cond, Const):
            return x if cond.value else y
        if x == y:
            return x
        return {self._atom(Select(cond, self.algebra.expr(x), self.algebra.expr(y))): 1}

    def _atom(self, e: Expr) -> Atom:
        if e not in self._opaque:
            self._opaque[e] = Atom(e, self._spell(e), *self._opaque_bounds(e))
        return self._opaque[e]

    def _spell(self, e: Node) -> str:
        match e:
            case Var():
                own = next((atom.key for atom in self._variable(e)), e.name)
                return own or e.name
            case Const(value):
                return str(value)
            case Binary(op, a, b):
                return f"({self._spell(a)}{op}{self._spell(b)})"
            case Load(buffer, indices):
                return f"{buffer.name}[{','.join(map(self._spell, indices))}]"
        return f"{type(e).__name__}({','.join(self._spell(c) for c in children(e))})"

    # ------------------------------------------------------------------------------------------------------- bounds

    def _opaque_bounds(self, e: Expr) -> Interval:
        match e:
            case Binary(op, a, b):
                return combine(op, self.bounds(a), self.bounds(b))
            case Select(_, a, b):
                (l, h), (m, n) = self.bounds(a), self.bounds(b)
                return min(l, m), max(h, n)
            case Cast(_, a) | Call("warp_uniform", (a,)) if dtype_of(a).kind is not Kind.FLOAT:
                return self._fixed_width_bounds(a)
        return UNBOUNDED

    def _fixed_width_bounds(self, e: Expr) -> Interval:
        """Bounds of an integer that wraps: those of its dtype, unless the value is known to fit in them."""
        dtype = dtype_of(e)
        if dtype is INDEX:
            return self.bounds(e)
        if dtype.kind not in (Kind.BOOL, Kind.INT, Kind.UINT):
            return UNBOUNDED
        least, greatest = dtype.int_range
        low: float = least
        high: float = greatest
        match e:
            case Const(value):
                low = high = int(value)
            case Var():
                low, high = self.ranges.get(e, UNBOUNDED)
            case Cast(_, a) | Call("warp_uniform", (a,)) if dtype_of(a).kind is not Kind.FLOAT:
                low, high = self.bounds(a)
            case Binary(op, a, b) if op not in _COMPARISONS and op not in ("and", "or"):
                low, high = combine(op, self.bounds(a), self.bounds(b))
            case Select(_, a, b):
                (l, h), (m, n) = self.bounds(a), self.bounds(b)
                low, high = min(l, m), max(h, n)
        return (low, high) if least <= low and high <= greatest else (least, greatest)

    # ------------------------------------------------------------------------------------------- conditions and rest

    def _simplify(self, e: Expr) -> Expr:
        match e:
            case Binary(op, a) if op in _COMPARISONS:
                if dtype_of(a) is INDEX:
                    return compare(self.algebra, op, self.linear(a), self.linear(e.b))
            case Binary("and" | "or" as op, a, b):
                return connect(op, self._nested(a), self._nested(b))
            case Unary("not", a):
                return self._negate(self._nested(a))
            case Select(cond, a, b) if dtype_of(a) is not INDEX:
                cond, a, b = self._nested(cond), self._nested(a), self._nested(b)
                if isinstance(cond, Const):
                    return a if cond.value else b
                return a if a == b else Select(cond, a, b)
            case _ if dtype_of(e) is INDEX:
                return self.algebra.expr(self.linear(e))
        return fold(self._simplify_below(e))

    def _simplify_below(self, e: Expr) -> Expr:
        match e:
            case Extern(pure=False):
                raise _Effectful
            case Call(fn) if FUNCTIONS[fn].effect is Effect.EFFECT:
                raise _Effectful
        return map_children(e, lambda n: self._nested(n) if isinstance(n, Expr) else n)

    def _nested(self, e: Expr) -> Expr:
        """Like `simplify`, but an effect anywhere inside leaves the whole outer expression alone."""
        return e if isinstance(e, Const) else self._simplify(e)

    def _difference(self, a: Expr, b: Expr, plus: int) -> Linear:
        return self._sum(self._sum(self.linear(a), self.linear(b), -1), ONE_TERM, plus)

    def _negate(self, e: Expr) -> Expr:
        match e:
            case Const(value):
                return FALSE if value else TRUE
            case Unary("not", a):
                return a
            case Binary(op, a, b) if op in _COMPARISONS and dtype_of(a).is_integer:
                if dtype_of(a) is INDEX:
                    return compare(self.algebra, _NEGATED[op], self.linear(a), self.linear(b))
                return Binary(_NEGATED[op], a, b)
        return Unary("not", e)

    def _negative_by_limits(self, x: Linear) -> bool:
        """Whether x < 0, taking each variable with a dynamic limit at that limit."""
        for _ in range(4):  # a limit may mention a variable that has one itself
            terms = self.algebra.digits(x)
            if bounds(terms)[1] < 0:
                return True
            for k, atom in terms:
                if k > 0 and isinstance(atom.expr, Var) and atom.expr in self.limits:
                    greatest = self._sum(self.linear(self.limits[atom.expr]), ONE_TERM, -1)
                    x = self._sum(self._sum(x, {atom: 1}, -k), greatest, k)
                    break
            else:
                return False
        return False


ONE_TERM: Linear = {ONE: 1}


def simplify(e: Expr, ranges: Ranges) -> Expr:
    """An expression equal to `e` for every assignment of its variables within `ranges`."""
    return Simplifier(ranges).simplify(e)


def bounds_of(e: Expr, ranges: Ranges) -> Interval:
    """Inclusive bounds of an integer or boolean expression; exact for address-like sums of digits."""
    return Simplifier(ranges).bounds(e)


def proves(cond: Expr, ranges: Ranges) -> bool | None:
    """True if `cond` holds for all values in `ranges`, False if for none, None if that is not known."""
    return Simplifier(ranges).proves(cond)


def divisible(e: Expr, c: int, ranges: Ranges) -> bool:
    """Whether the index `e` is a multiple of `c` for all values in `ranges`."""
    return Simplifier(ranges).divisible(e, c)
