"""What of an exclusive or lies outside of it: digits that the other side does not reach, constants without carries."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from tiledsl.ir.linear import ONE, Algebra, Linear, Terms, bounds, common_divisor, total


@dataclass(frozen=True)
class Split:
    """x ^ y == outside + step * (self.x ^ self.y ^ flips), with 0 for an empty side."""

    outside: Linear
    step: int
    x: Linear
    y: Linear
    flips: int


def split_xor(algebra: Algebra, x: Linear, y: Linear) -> Split:
    """The smallest exclusive or inside x ^ y: (g*u + v) ^ (g*w) == g*(u ^ w) + v where 0 <= v < g, a power of two.

    So the parts of an address that a swizzle leaves alone stay additions, which unrolled copies share.
    """
    for a, b in ((x, y), (y, x)):
        low, high = algebra.bounds(b)
        if low < 0 or high == inf or not b:
            continue
        above, rest = _above(algebra.digits(a), int(high))
        step = _power_of_two_in(algebra.digits(b))
        below = [(k, atom) for k, atom in rest if k % step]
        middle = [(k // step, atom) for k, atom in rest if k % step == 0]
        low, high = bounds(below)
        if (above or below or step > 1) and middle and low >= 0 and high < step:
            return _without_flips(algebra, total([*above, *below]), step, total(middle), algebra.divide(b, step))
    return _without_flips(algebra, {}, 1, x, y)


def _above(terms: Terms, reach: int) -> tuple[Terms, Terms]:
    """The terms divisible by a power of two beyond `reach` and beyond the sum of the others; and the others."""
    for size in sorted({k & -k for k, _ in terms if k & -k > reach}):
        rest = [(k, atom) for k, atom in terms if k % size]
        low, high = bounds(rest)
        if low >= 0 and high < size:
            return [(k, atom) for k, atom in terms if k % size == 0], rest
    return [], terms


def _without_flips(algebra: Algebra, outside: Linear, step: int, x: Linear, y: Linear) -> Split:
    """A constant that shares no bits with the rest of its sum goes outermost, where unrolled copies differ."""
    flips = 0
    rest: list[Linear] = []
    for side in (x, y):
        digits = algebra.digits(side)  # a digit may have taken the constant of the sum into it
        c = sum(k for k, atom in digits if atom is ONE)
        terms = [(k, atom) for k, atom in digits if atom is not ONE]
        low, high = bounds(terms)
        if c > 0 and low >= 0 and (high < c & -c or _power_of_two_in(terms) > c):
            flips ^= c
            side = total(terms)
        rest.append(side)
    return Split(outside, step, rest[0], rest[1], flips)


def _power_of_two_in(terms: Terms) -> int:
    """The greatest power of two that divides all coefficients."""
    step = common_divisor(terms)
    return step & -step
