"""Numbers as the GPU has them: conversions between element types, and the model of the tensor core.

**Conversions** follow PTX ISA, "cvt". Float to integer truncates (or rounds as asked) and always clamps to the range;
NaN gives 0, or the top bit alone where the source is float64 or the result has 64 bits. Float to float rounds once. Out
of range a format with infinities gives infinity, e4m3 and the fnuz formats NaN, and the formats without either (fp6,
fp4) their largest value, which is also what NaN becomes there; `saturate` clamps to the largest finite value and keeps
NaN.

**Tensor core.** Products are exact. Within one instruction the sum of the products and the accumulator is formed in
float64 and rounded once to the accumulator's type; instructions follow each other in the order of k, so a tile-stage
product rounds after each `MMA_STEP` values of k. The hardware's own order and truncation within an instruction are
not documented; results on inputs whose partial sums are exact are the same in any order. Integers wrap.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import ml_dtypes
import numpy as np

from tiledsl.ir.dtypes import BFLOAT16, BOOL, DTYPES, FLOAT16, FLOAT32, FLOAT64, INDEX, TFLOAT32, DType, Kind
from tiledsl.ir.nodes import Rounding

Array = np.ndarray[Any, Any]
MMA_STEP = 16  # values of k that one float16 instruction consumes

_INTEGER_ROUNDING: dict[Rounding, Callable[[Any], Any]] = {
    Rounding.NEAREST_EVEN: np.trunc,  # the IR's default cast truncates
    Rounding.ZERO: np.trunc,
    Rounding.DOWN: np.floor,
    Rounding.UP: np.ceil,
}


def _half_away(x: Array) -> Array:
    return np.copysign(np.floor(np.abs(x) + 0.5), x)


_STEP_ROUNDING: dict[Rounding, Callable[[Any], Any]] = {
    Rounding.NEAREST_EVEN: np.rint,
    Rounding.ZERO: np.trunc,
    Rounding.DOWN: np.floor,
    Rounding.UP: np.ceil,
    Rounding.NEAREST_AWAY: _half_away,
}
# Widening among these, and rounding to nearest from one to the next, NumPy does right in one step.
_NATIVE = {FLOAT64: 0, FLOAT32: 1, FLOAT16: 2}
_SATURATING = frozenset({"float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn"})  # neither infinity nor NaN
_WITH_INFINITY = frozenset({"float64", "float32", "tfloat32", "float16", "bfloat16", "float8_e5m2"})


_HOLDERS = {t.name: np.dtype(getattr(ml_dtypes, t.numpy, t.numpy)) for t in DTYPES.values()}


def numpy_dtype(dtype: DType) -> np.dtype[Any]:
    """The element type of NumPy or ml_dtypes that holds `dtype`; 4- and 6-bit types take a byte each."""
    return _HOLDERS[dtype.name]  # by name: the hash of a string is remembered, that of a dataclass is not


@cache
def largest_finite(dtype: DType) -> float:
    """The largest finite value of a float type."""
    if dtype is TFLOAT32:
        return float.fromhex("0x1.ffcp127")
    return float(ml_dtypes.finfo(numpy_dtype(dtype)).max)


@cache
def _least_exponent(dtype: DType) -> int:
    """log2 of the smallest normal number."""
    if dtype.name == "float8_e8m0fnu":
        return -127
    return int(np.log2(float(ml_dtypes.finfo(numpy_dtype(dtype)).smallest_normal)))


def convert(
    x: Any,
    source: DType,
    target: DType,
    rounding: Rounding = Rounding.NEAREST_EVEN,
    saturate: bool = False,
) -> Any:
    """`x`, a scalar or array of dtype `source`, as `target`; scalars stay scalars. Indices and bools stay Python's."""
    if source is target:
        return x
    if target is INDEX and isinstance(x, int):
        return int(x)
    values = np.asarray(x)
    if target is BOOL:
        result = values.astype(np.float32) != 0 if source.is_float else values != 0
    elif target.kind in (Kind.INT, Kind.UINT, Kind.INDEX, Kind.HANDLE):
        result = _to_integer(values, source, target, rounding, saturate)
    else:
        result = _to_float(values, source, target, rounding, saturate)
    if values.ndim:
        return result
    return result.item() if target is INDEX or target is BOOL else result[()]


def _to_integer(x: Array, source: DType, target: DType, rounding: Rounding, saturate: bool) -> Array:
    low, high = target.int_range if target.kind is not Kind.HANDLE else (0, 2**64 - 1)
    if not source.is_float:
        if not saturate:
            return _wrap(x, target)
        bounded = np.clip(x.astype(object), low, high) if source.bits == 64 else np.clip(x.astype(np.int64), low, high)
        return np.asarray(bounded).astype(numpy_dtype(target))  # of one object, clip gives a Python number
    wide = x.astype(np.float64)
    whole = _INTEGER_ROUNDING.get(rounding, _half_away)(wide)
    nan = low if low else 1 << (target.bits - 1)
    nan_value = nan if source is FLOAT64 or target.bits == 64 else 0
    inside = np.where((whole >= low) & (whole <= high) & (whole < float(high) + 1), whole, 0.0)
    holder = np.uint64 if target.kind is Kind.UINT else np.int64
    result = inside.astype(holder)
    result = np.where(whole < low, holder(low), np.where(whole >= float(high), holder(high), result))
    return np.where(np.isnan(wide), holder(nan_value), result).astype(numpy_dtype(target))


def _wrap(x: Array, target: DType) -> Array:
    """Integers modulo 2**bits; ml_dtypes' own conversions of 4-bit types wrap as well."""
    return x.astype(numpy_dtype(target))


def _to_float(x: Array, source: DType, target: DType, rounding: Rounding, saturate: bool) -> Array:
    holder = numpy_dtype(target)
    nearest = rounding is Rounding.NEAREST_EVEN and not saturate
    if nearest and source in _NATIVE and target in _NATIVE:
        return x.astype(holder)
    if nearest and target is BFLOAT16 and source in (FLOAT32, FLOAT16):
        return x.astype(holder)
    if nearest and not source.is_float and (target is FLOAT64 or target is FLOAT32):
        return x.astype(holder)
    wide = x.astype(np.float64) if source.is_float or source.bits < 64 else _sticky(x)
    if source.is_float and _contains(target, source):
        return wide.astype(holder)
    return round_to(wide, target, rounding, saturate).astype(holder)


def _contains(target: DType, source: DType) -> bool:
    """Whether every value of `source` is one of `target`, both plain IEEE-like formats."""
    wider = target.exponent >= source.exponent and target.mantissa >= source.mantissa
    return wider and target.bits >= 16 and (target.exponent > source.exponent or source.bits >= 16)


def _sticky(x: Array) -> Array:
    """64-bit integers as float64 that round to any narrower type as the integers themselves would."""
    big = (x >= 2**53) | (x <= -(2**53)) if x.dtype.kind == "i" else x >= 2**53
    low = x & x.dtype.type(0x7FF)
    marked = (x & ~x.dtype.type(0x7FF)) | np.where(low != 0, x.dtype.type(0x800), x.dtype.type(0))
    return np.where(big, marked, x).astype(np.float64)


def round_to(x: Array, target: DType, rounding: Rounding = Rounding.NEAREST_EVEN, saturate: bool = False) -> Array:
    """float64 values rounded once to a value of `target`, still as float64."""
    largest = largest_finite(target)
    _, exponent = np.frexp(x)
    step = np.ldexp(1.0, np.maximum(exponent - 1, _least_exponent(target)) - target.mantissa)
    rounded = np.where(np.isfinite(x), _STEP_ROUNDING[rounding](np.where(np.isfinite(x), x, 0) / step) * step, x)
    rounded = np.copysign(rounded, x)
    over = np.abs(rounded) > largest
    if saturate or target.name in _SATURATING:
        rounded = np.where(over, np.copysign(largest, x), rounded)
    else:
        away = np.inf if target.name in _WITH_INFINITY else np.nan
        kept = np.isfinite(x) & _towards_zero(x, rounding)
        rounded = np.where(over, np.where(kept, np.copysign(largest, x), np.copysign(away, x)), rounded)
    return np.where(np.isnan(x), largest, rounded) if target.name in _SATURATING else rounded


def _towards_zero(x: Array, rounding: Rounding) -> Any:
    """Where a finite value out of range is rounded to the largest finite one."""
    match rounding:
        case Rounding.ZERO:
            return np.True_
        case Rounding.DOWN:
            return x > 0
        case Rounding.UP:
            return x < 0
    return np.False_


def truncate_tf32(x: Array) -> Array:
    """float32 values as the tensor core reads them: without the low 13 bits of the mantissa."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    return (bits & np.uint32(0xFFFFE000)).view(np.float32)


def matmul_accumulate(c: Array, a: Array, b: Array, step: int = MMA_STEP) -> Array:
    """c + a @ b in the dtype of `c`, by the model above. a is (m, k), b (k, n), of any element types."""
    if c.dtype.kind in "iu" or c.dtype == np.bool_:
        # Products of 8-bit integers are exact in float64, which is what BLAS is fast in.
        if a.dtype.itemsize == 1 and b.dtype.itemsize == 1:
            product = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
        else:
            product = a.astype(np.int64) @ b.astype(np.int64)
        return (c.astype(np.int64) + product).astype(c.dtype)
    wide_a, wide_b = a.astype(np.float64), b.astype(np.float64)
    if c.dtype == np.float64:
        return c + wide_a @ wide_b
    for k in range(0, a.shape[1], step):
        c = (c.astype(np.float64) + wide_a[:, k : k + step] @ wide_b[k : k + step]).astype(c.dtype)
    return c


def fused_multiply_add(a: Any, b: Any, c: Any) -> Any:
    """a * b + c of float16, bfloat16 or float32 values, rounded once to their type."""
    dtype = np.asarray(a).dtype
    product, addend = np.asarray(a, np.float64) * np.asarray(b, np.float64), np.asarray(c, np.float64)
    total = product + addend
    # Two-sum (Knuth): the part that the addition lost. Rounding the sum to odd makes the second rounding harmless.
    shadow = total - product
    lost = (product - (total - shadow)) + (addend - shadow)
    if not np.any(lost):
        return _rounded_once(total, dtype)
    bits = np.atleast_1d(total).view(np.int64).copy()
    lost = np.atleast_1d(np.broadcast_to(lost, total.shape))
    even = (lost != 0) & np.isfinite(lost) & (bits & 1 == 0)
    bits += np.where(even, np.where((lost > 0) == (np.atleast_1d(total) > 0), 1, -1), 0)
    return _rounded_once(bits.view(np.float64).reshape(total.shape), dtype)


def _rounded_once(x: Any, dtype: np.dtype[Any]) -> Any:
    """float64 values as `dtype`. ml_dtypes goes to bfloat16 by way of float32, which rounds twice."""
    exact = round_to(np.asarray(x), BFLOAT16) if dtype == numpy_dtype(BFLOAT16) else x
    return exact.astype(dtype)[()]
