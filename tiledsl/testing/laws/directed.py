"""Law: arithmetic with a direction rounds the exact result, which is a fraction here, once and in that direction."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import copysign, isfinite, isqrt, nan
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tiledsl.cpu import values
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.dtypes import FLOAT32, FLOAT64, DType
from tiledsl.ir.nodes import Rounding
from tiledsl.ir.ops import DIRECTIONS, FUNCTIONS, ROUNDED
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.laws.conversions import rounded

_ROUNDINGS = dict(zip(DIRECTIONS, (Rounding.NEAREST_EVEN, Rounding.ZERO, Rounding.UP, Rounding.DOWN), strict=True))
_FINE = 1200  # binary digits behind the point in which roots are looked at


def root(x: Fraction) -> Fraction:
    """The square root, or what lies so near to it, on its side of every float, that it is rounded alike."""
    scaled = x * 4**_FINE
    whole = isqrt(scaled.numerator // scaled.denominator)
    return Fraction(2 * whole + (whole * whole != scaled), 2 * 2**_FINE)


_EXACT: dict[str, Callable[..., Fraction]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "rcp": lambda a: 1 / a,
    "sqrt": root,
    "fma": lambda a, b, c: a * b + c,
    "rsqrt": lambda a: root(1 / a),
}


def expected(function: str, dtype: DType, operands: tuple[float, ...]) -> float:
    """What `add_rz` and its like give for finite operands that have a result (`special`)."""
    name, direction = function.rsplit("_", 1)
    exact = _EXACT[name](*map(Fraction, operands))
    if exact:
        value = rounded(exact, dtype, _ROUNDINGS[direction])
        return value if value else copysign(0.0, 1 if exact > 0 else -1)
    return _zero(name, direction, operands)


def _zero(name: str, direction: str, operands: tuple[float, ...]) -> float:
    """Which zero (IEEE 754, 6.3): of products by their signs; of sums the addends' own, else -0 if rounded down."""
    signs = [copysign(1.0, x) for x in operands]
    match name:
        case "mul" | "div":
            return copysign(0.0, signs[0] * signs[1])
        case "sqrt":
            return operands[0]
        case "add" | "sub":
            addends = {signs[0], signs[1] if name == "add" else -signs[1]}
        case _:
            addends = {signs[0] * signs[1], signs[2]}
    return copysign(0.0, addends.pop() if len(addends) == 1 else -1.0 if direction == "rd" else 1.0)


def same(found: float, wanted: float) -> bool:
    """Equal with their signs; NaN is NaN."""
    return repr(float(found)) == repr(float(wanted)) or (found != found and wanted != wanted)


@st.composite
def operations(draw: st.DrawFn) -> tuple[str, DType, tuple[float, ...]]:
    """A function and operands of all sizes; now and then of few digits, so that results are between floats or not."""
    name = draw(st.sampled_from([*(f"{n}_{d}" for n in ROUNDED for d in DIRECTIONS), "rsqrt_rn"]))
    dtype = draw(st.sampled_from([d for d in (FLOAT32, FLOAT64) if d.name in FUNCTIONS[name].dtypes]))
    number: Any = st.floats(allow_nan=False, allow_infinity=False, width=32 if dtype is FLOAT32 else 64)
    short = st.integers(-64, 64).map(float)
    operands = [draw(st.one_of(number, number, short)) for _ in range(FUNCTIONS[name].arity)]
    if draw(st.booleans()):  # sums that cancel, and addends far below or above the product
        operands[-1] = float(numpy_dtype(dtype).type(-operands[0]))
    return name, dtype, tuple(operands)


@law("S23", examples=200, case=operations())
def directed_operations_round_as_fractions_do(case: tuple[str, DType, tuple[float, ...]]) -> None:
    """Subnormal results, those too large, and zeros have their side and their sign."""
    name, dtype, operands = case
    holder = numpy_dtype(dtype).type
    with np.errstate(all="ignore"):
        found = values.call(name, [holder(x) for x in operands], dtype)
    wanted = special(name, operands)
    if wanted is None:
        wanted = expected(name, dtype, operands)
    assert found.dtype == numpy_dtype(dtype)
    assert same(found, wanted), (name, dtype, operands, found, wanted)


def special(function: str, operands: tuple[float, ...]) -> float | None:
    """What has no exact result: NaN, or infinities; None of all others."""
    name = function.rsplit("_", 1)[0]
    first, last = operands[0], operands[-1]
    assert all(map(isfinite, operands))
    match name:
        case "rcp" if not first:
            return copysign(np.inf, first)
        case "div" if not last:
            return nan if not first else copysign(np.inf, copysign(1.0, first) * copysign(1.0, last))
        case "rsqrt" if not first:
            return copysign(np.inf, first)
        case "sqrt" | "rsqrt" if first < 0:
            return nan
    return None


LAWS = laws_of(globals())
