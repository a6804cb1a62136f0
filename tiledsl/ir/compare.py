"""Conditions. Comparisons of linear forms get one shape: no common terms, no common factor, no minus signs."""

from __future__ import annotations

from tiledsl.ir.linear import ONE, Algebra, Linear, Terms, add_scaled, common_divisor, sum_of
from tiledsl.ir.nodes import FALSE, TRUE, Binary, Expr


def compare(algebra: Algebra, op: str, x: Linear, y: Linear) -> Expr:
    """The condition `x op y`, a constant where bounds decide it; `<=`, `>` and `>=` are written with `<`."""
    if op in (">", ">="):
        op, x, y = ("<" if op == ">" else "<="), y, x
    difference = dict(x)
    add_scaled(difference, y, -1)
    if op in ("==", "!="):
        return _compare_equal(algebra, op, difference)
    if op == "<=":
        add_scaled(difference, {ONE: 1}, -1)  # x <= y is x - y - 1 < 0
    low, high = algebra.bounds(difference)
    if high < 0 or low >= 0:
        return TRUE if high < 0 else FALSE
    terms = algebra.digits(difference)
    # g*u + v < 0 is u < 0 where 0 <= v < g.
    for g in sorted({abs(k) for k, atom in terms if atom is not ONE and abs(k) > 1}, reverse=True):
        reduced = algebra.without_remainder(difference, terms, g)
        if reduced is not None:
            terms = algebra.digits(reduced)
            break
    left, right = _sides(terms)
    return Binary("<", left, right)


def _compare_equal(algebra: Algebra, op: str, difference: Linear) -> Expr:
    low, high = algebra.bounds(difference)
    if low == high == 0:
        return TRUE if op == "==" else FALSE
    terms = algebra.digits(difference)
    step = common_divisor([(k, atom) for k, atom in terms if atom is not ONE])
    if low > 0 or high < 0 or difference.get(ONE, 0) % step:
        return FALSE if op == "==" else TRUE
    left, right = _sides([(k // step, atom) for k, atom in terms])
    return Binary(op, left, right)


def _sides(terms: Terms) -> tuple[Expr, Expr]:
    """The two sides of a comparison of the sum with 0, without minus signs in front of variables.

    A constant is subtracted where it can be: an extent minus a constant fits in the extent's width, a sum may not.
    """
    left = [(k, atom) for k, atom in terms if k > 0 and atom is not ONE]
    right = [(-k, atom) for k, atom in terms if k < 0 and atom is not ONE]
    c = next((k for k, atom in terms if atom is ONE), 0)
    if c and (not left or (right and c < 0)):
        left.append((c, ONE))
    elif c:
        right.append((-c, ONE))
    return sum_of(left)[0], sum_of(right)[0]


def connect(op: str, a: Expr, b: Expr) -> Expr:
    """`a op b` for the operators `and` and `or`, without constants and repetition."""
    absorbing, neutral = (FALSE, TRUE) if op == "and" else (TRUE, FALSE)
    if a == absorbing or b == absorbing:
        return absorbing
    if a in (neutral, b):
        return b
    return a if b == neutral else Binary(op, a, b)
