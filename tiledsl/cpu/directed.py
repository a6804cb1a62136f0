"""Arithmetic of IEEE 754 with a direction of rounding, on float32 and float64.

NumPy rounds to nearest even. What that lost is looked at in exact fractions, and a result on the wrong side of the
exact one gives way to its neighbour.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

Value = Any  # NumPy numbers and arrays, as in values.py

_NEAREST: dict[str, Callable[..., Value]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "rcp": lambda x: np.divide(np.asarray(x).dtype.type(1), x),
    "sqrt": np.sqrt,
}
# A number with the sign of the exact result less `r`, the rounded one. Divisors are not 0.
_LOST: dict[str, Callable[..., Fraction]] = {
    "add": lambda r, a, b: a + b - r,
    "sub": lambda r, a, b: a - b - r,
    "mul": lambda r, a, b: a * b - r,
    "div": lambda r, a, b: (a - r * b) * b,
    "rcp": lambda r, a: (1 - r * a) * a,
    "sqrt": lambda r, a: a - r * r,
    "fma": lambda r, a, b, c: a * b + c - r,
}
_DIVISOR = {"div": 1, "rcp": 0}  # which operand
# Rounded down, a sum that is exactly 0 is -0 unless both addends are +0 (IEEE 754, 6.3): that they are, of the signs.
_POSITIVE_ZERO: dict[str, Callable[..., Value]] = {
    "add": lambda a, b: ~a & ~b,
    "sub": lambda a, b: ~a & b,
    "fma": lambda a, b, c: ~(a ^ b) & ~c,
}


def rounded(operation: str, direction: str, fused: Callable[..., Value], operands: tuple[Value, ...]) -> Value:
    """An operation of `ops.ROUNDED` in a direction of `ops.DIRECTIONS`; `fused` is a multiply-add that rounds once."""
    nearest = np.asarray(_NEAREST.get(operation, fused)(*operands))
    if direction == "rn":
        return nearest[()]
    side = np.frompyfunc(lambda *numbers: _side(operation, *map(float, numbers)), len(operands) + 1, 1)
    lost = np.asarray(side(nearest, *operands)).astype(np.int8)
    down = (lost < 0) & (nearest > 0 if direction == "rz" else direction == "rd")
    up = (lost > 0) & (nearest < 0 if direction == "rz" else direction == "ru")
    result = np.where(down, np.nextafter(nearest, nearest.dtype.type(-np.inf)), nearest)
    result = np.where(up, np.nextafter(nearest, nearest.dtype.type(np.inf)), result)
    if direction == "rd" and operation in _POSITIVE_ZERO:
        zero = (nearest == 0) & (lost == 0) & ~_POSITIVE_ZERO[operation](*map(np.signbit, operands))
        result = np.where(zero, np.copysign(nearest, -1), result)
    return result.astype(nearest.dtype)[()]


def _side(operation: str, r: float, *operands: float) -> int:
    """The sign of the exact result less `r`; 0 where the result is infinite or no number by itself."""
    if math.isnan(r) or not all(map(math.isfinite, operands)):
        return 0
    if operation in _DIVISOR and operands[_DIVISOR[operation]] == 0:
        return 0
    if math.isinf(r):  # too large, but not infinite
        return -1 if r > 0 else 1
    lost = _LOST[operation](Fraction(r), *map(Fraction, operands))
    return (lost > 0) - (lost < 0)
