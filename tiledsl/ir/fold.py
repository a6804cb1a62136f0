"""Constant folding outside index arithmetic, where the result is exactly what the machine computes.

Integers wrap around. Floats are folded only where no rounding can take place.
"""

from __future__ import annotations

from math import copysign

from tiledsl.ir.dtypes import BOOL, DType, Kind
from tiledsl.ir.nodes import Binary, Cast, Const, Expr, Unary
from tiledsl.ir.ops import BINARY, UNARY, Result


def wrapped(value: int, dtype: DType) -> int:
    """`value` modulo 2**bits, in the range of the fixed-width integer `dtype`."""
    least, _ = dtype.int_range
    return value if dtype.kind is Kind.INDEX else (value - least) % (1 << dtype.bits) + least


def fold(e: Expr) -> Expr:
    """The constant that `e` is, if its operands are constants; else `e`."""
    match e:
        case Unary(op, Const(value, dtype)) if dtype.kind in (Kind.INT, Kind.UINT) and op in ("-", "~"):
            return Const(wrapped(int(UNARY[op].eval(value)), dtype), dtype)
        case Unary("-", Const(value, dtype)) if dtype.is_float:
            return Const(-value, dtype)
        case Binary(op, Const(a, dtype), Const(b)) if dtype.kind in (Kind.INT, Kind.UINT, Kind.BOOL):
            return _fold_integers(e, op, int(a), int(b), dtype)
        case Cast(dtype, Const(value, source)):
            return _fold_cast(e, dtype, value, source)
    return e


def _fold_integers(e: Expr, op: str, a: int, b: int, dtype: DType) -> Expr:
    row = BINARY[op]
    if (
        (op in ("<<", ">>") and not 0 <= b < dtype.bits)
        or (op in ("//", "%", "div", "rem") and b == 0)
        or op in ("/", "pow")
    ):
        return e  # no value, or not one that integers have
    value = row.eval(a, b)
    if row.result is Result.BOOL or dtype is BOOL:
        return Const(bool(value), BOOL)
    return Const(wrapped(int(value), dtype), dtype)


def _fold_cast(e: Cast, dtype: DType, value: float, source: DType) -> Expr:
    if not abs(value) < 2**63 or value != int(value):  # also turns away nan and infinities
        return e
    number = int(value)
    if dtype.kind is Kind.BOOL:
        return Const(bool(number), BOOL) if number in (0, 1) else e
    if dtype.is_float:
        is_exact = dtype.exponent >= 4 and dtype.mantissa >= 1 and abs(number) <= 1 << (dtype.mantissa + 1)
        return Const(float(number), dtype) if is_exact and (number or copysign(1, value) > 0) else e
    if dtype.is_integer:
        least, greatest = dtype.int_range
        if least <= number <= greatest:
            return Const(number, dtype)
        if not source.is_float and not e.saturate:
            return Const(wrapped(number, dtype), dtype)
    return e
