"""What operators and functions compute on NumPy values.

A value is a Python bool or int (bool and index), a NumPy scalar (any other type), or an array over the lanes. The
tables of `ir/ops.py` name the NumPy function of each row; the few rows without one have their meaning here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from typing import Any

import numpy as np

from tiledsl.cpu.directed import rounded
from tiledsl.cpu.numerics import fused_multiply_add, numpy_dtype
from tiledsl.cpu.paired import paired
from tiledsl.cpu.philox import random_bits
from tiledsl.ir.dtypes import BOOL, INDEX, DType, Kind
from tiledsl.ir.ops import BINARY, DIRECTIONS, FUNCTIONS, PAIRED, PAIRS, ROUNDED, UNARY, Effect, Result

Value = Any  # see the module's text; kept loose because NumPy's own types are


def in_64_bits(value: int) -> int:
    """An index as machines have it. The language gives it no meaning beyond 64 bits; there it wraps, as lanes' do."""
    return value if -(2**63) <= value < 2**63 else (value + 2**63) % 2**64 - 2**63


def constant(value: float, dtype: DType) -> Value:
    """A literal as a value of `dtype`; integers out of range wrap."""
    if dtype is INDEX:
        return in_64_bits(int(value))
    if dtype is BOOL:
        return bool(value)
    holder = numpy_dtype(dtype)
    if dtype.is_integer or dtype.kind is Kind.HANDLE:
        low, high = dtype.int_range if dtype.is_integer else (0, 2**64 - 1)
        value = (int(value) - low) % (high - low + 1) + low
    return holder.type(value)


def is_uniform(value: Value) -> bool:
    """Whether all lanes have the same value because there is only one."""
    return not isinstance(value, np.ndarray)


def tidy(value: Value, dtype: DType) -> Value:
    """`value` with the holder of `dtype`: 4-bit operations, for one, come back from ml_dtypes as int8."""
    if isinstance(value, np.ndarray):
        holder = numpy_dtype(dtype)
        return value if value.dtype == holder else value.astype(holder)
    if dtype is INDEX:
        return int(value)
    if dtype is BOOL:
        return bool(value)
    holder = numpy_dtype(dtype)
    return value if getattr(value, "dtype", None) == holder else np.asarray(value).astype(holder)[()]


def _trunc_div(a: Value, b: Value) -> Value:
    # fmod has the sign of `a`, so the division is exact.
    return np.floor_divide(np.subtract(a, np.fmod(a, b)), b)


def _ufunc(name: str) -> Callable[..., Value]:
    return getattr(np, name)  # type: ignore[no-any-return]


def _in_float64(fn: Callable[..., Value]) -> Callable[..., Value]:
    """Computed in float64 and rounded, by way of float32 to what is narrower, as threads and the CPU device do it.

    At least as exact as the GPU's function, and the same in all executions, whatever NumPy and the C library do to the
    last bit of a float32.
    """

    def apply(*operands: Value) -> Value:
        dtype = np.asarray(operands[0]).dtype
        exact = np.asarray(fn(*(np.asarray(x).astype(np.float64) for x in operands)))
        return exact.astype(np.promote_types(dtype, np.float32)).astype(dtype)[()]

    return apply


def _for_floats(fn: Callable[[Value, Value], Value]) -> Callable[[Value, Value], Value]:
    """The function of float64 for floats; integers are computed in their type."""
    of_floats = _in_float64(fn)
    return lambda a, b: of_floats(a, b) if "float" in np.asarray(a).dtype.name else fn(a, b)


BINARY_TABLE: dict[str, Callable[[Value, Value], Value]] = {
    **{symbol: _ufunc(op.ufunc) if op.ufunc else _trunc_div for symbol, op in BINARY.items()},
    **{symbol: _for_floats(_ufunc(BINARY[symbol].ufunc)) for symbol in ("pow", "atan2")},
}
UNARY_TABLE: dict[str, Callable[[Value], Value]] = {symbol: _ufunc(op.ufunc) for symbol, op in UNARY.items()}


def _python(value: Any) -> Value:
    return value if isinstance(value, bool) else in_64_bits(value)


def binary(op: str, a: Value, b: Value, dtype: DType) -> Value:
    """`a op b` of operands of `dtype`. Python numbers are computed in 64 bits, others in their type."""
    row = BINARY[op]
    if isinstance(a, (int, bool)) and isinstance(b, (int, bool)):
        if b == 0 and op in ("//", "%", "div", "rem"):
            return 0  # undefined on the GPU; lanes that are switched off may come here
        return _python(row.eval(a, b))
    return tidy(BINARY_TABLE[op](a, b), BOOL if row.result is Result.BOOL else dtype)


def unary(op: str, a: Value, dtype: DType) -> Value:
    row = UNARY[op]
    if isinstance(a, (int, bool)):
        return _python(row.eval(a))
    return tidy(UNARY_TABLE[op](a), BOOL if row.result is Result.BOOL else dtype)


# ------------------------------------------------------------------------------------------------------ functions

_TRANSCENDENTAL = (
    *("exp", "exp2", "log", "log2", "log10"),
    *("sin", "cos", "tan", "sinh", "cosh", "asin", "acos", "atan", "tanh"),
)
_ERF = np.frompyfunc(math.erf, 1, 1)


def _in_float32(fn: Callable[[Value], Value]) -> Callable[[Value], Value]:
    """For types narrower than float32; float32 and float64 are computed in their own type."""

    def apply(x: Value) -> Value:
        values = np.asarray(x)
        if values.dtype.kind == "f" and values.dtype.itemsize >= 4:
            return fn(values)[()]
        return np.asarray(fn(values.astype(np.float32))).astype(values.dtype)[()]

    return apply


def _exact_fma(a: float, b: float, c: float) -> float:
    if not (math.isfinite(a) and math.isfinite(b) and math.isfinite(c)):
        return a * b + c
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    try:
        return float(exact) if exact else a * b + c
    except OverflowError:
        return math.inf if exact > 0 else -math.inf  # as a fraction, too large for copysign too


_FMA64 = np.frompyfunc(_exact_fma, 3, 1)


def _fma(a: Value, b: Value, c: Value) -> Value:
    dtype = np.asarray(a).dtype
    if dtype.kind in "iu":
        return np.add(np.multiply(a, b), c)
    if dtype == np.float64:
        return np.asarray(_FMA64(a, b, c)).astype(np.float64)[()]
    return fused_multiply_add(a, b, c)


def _unsigned(x: Value) -> Value:
    values = np.asarray(x)
    return values.astype(np.uint8) & 0xF if values.dtype.kind == "V" else values.view(f"u{values.dtype.itemsize}")


def _popcount(x: Value) -> Value:
    octets = np.ascontiguousarray(_unsigned(x))[..., None].view(np.uint8)
    return np.unpackbits(octets, axis=-1).sum(axis=-1, dtype=np.int32)[()]


def _clz(x: Value) -> Value:
    bits = np.asarray(x).dtype.itemsize * 8
    values, zeros = _unsigned(x).astype(np.uint64), np.full(np.shape(x), bits, np.int32)
    for i in range(bits):  # the highest set bit wins, as it is written last
        zeros = np.where(values >> np.uint64(i) & np.uint64(1), np.int32(bits - 1 - i), zeros)
    return zeros[()]


def _prmt(a: Value, b: Value, selector: Value) -> Value:
    """PTX ISA, "prmt.b32", default mode: bit 3 of a nibble replicates the sign of the chosen byte."""
    low, high = np.asarray(a).astype(np.uint32), np.asarray(b).astype(np.uint32)
    pool = low.astype(np.uint64) | high.astype(np.uint64) << np.uint64(32)
    choice = np.asarray(selector).astype(np.uint32)
    total = np.zeros(np.broadcast_shapes(pool.shape, choice.shape), np.uint32)
    for i in range(4):
        nibble = choice >> np.uint32(4 * i) & np.uint32(15)
        byte = (pool >> (nibble & np.uint32(7)).astype(np.uint64) * np.uint64(8) & np.uint64(0xFF)).astype(np.uint32)
        sign = np.where(byte & np.uint32(0x80), np.uint32(0xFF), np.uint32(0))
        total = total | np.where(nibble & np.uint32(8), sign, byte) << np.uint32(8 * i)
    return total.astype(np.asarray(a).dtype)[()]


def _dp4a(a: Value, b: Value, c: Value) -> Value:
    """Four products of the bytes of a and b, signed or unsigned as their type, added to c."""

    def octets(x: Value) -> Value:
        values = np.ascontiguousarray(x)
        return values[..., None].view(np.uint8 if values.dtype.kind == "u" else np.int8).astype(np.int64)

    return (np.sum(octets(a) * octets(b), axis=-1) + np.asarray(c)).astype(np.asarray(c).dtype)[()]


def _rounded(operation: str, direction: str, *operands: Value) -> Value:
    return rounded(operation, direction, _fma, operands)


def _sigmoid(x: Value) -> Value:
    return 1 / (1 + FUNCTION_TABLE["exp"](-x))


def _special() -> dict[str, Callable[..., Value]]:
    table: dict[str, Callable[..., Value]] = {
        **{name: _in_float64(_ufunc(FUNCTIONS[name].ufunc)) for name in _TRANSCENDENTAL},
        "exp10": _in_float64(lambda x: np.power(10.0, x)),
        "rsqrt": _in_float64(lambda x: 1 / np.sqrt(x)),
        "erf": _in_float64(lambda x: np.asarray(_ERF(x)).astype(np.float64)),
        "sigmoid": _in_float32(_sigmoid),
        "popcount": _popcount,
        "clz": _clz,
        "fma": _fma,
        "fast_rcp": _in_float64(lambda x: 1 / x),
        "elected": lambda x: x % 32 == 0,
        "prmt": _prmt,
        "dp4a": _dp4a,
        "random_bits": random_bits,
        # Rounding twice is no different: no float32 has its exact value so near to the middle of two (all were tried).
        "rsqrt_rn": _in_float64(lambda x: 1 / np.sqrt(x)),
    }
    for operation in ROUNDED:
        for direction in DIRECTIONS:
            table[f"{operation}_{direction}"] = partial(_rounded, operation, direction)
    for operation in PAIRED:
        for pair in PAIRS:
            table[f"{operation}_{pair}"] = partial(paired, operation, pair)
    for name, row in FUNCTIONS.items():
        if row.ufunc and name not in table:
            # What is left is exact, in any type.
            table[name] = _ufunc(row.ufunc)
    for name in ("exp", "exp2", "exp10", "log", "log2", "log10", "sin", "cos", "tan"):
        table[f"fast_{name}"] = table[name]  # the exact function stands in for the approximation
    return table


FUNCTION_TABLE: dict[str, Callable[..., Value]] = _special()
COLLECTIVES = frozenset(n for n, f in FUNCTIONS.items() if f.effect is Effect.COLLECTIVE or n == "warp_sync")


def call(fn: str, args: list[Value], dtype: DType) -> Value:
    """A function of `ops.FUNCTIONS` without effect; `dtype` is that of the first argument."""
    match FUNCTIONS[fn].result:
        case Result.BOOL:
            result = BOOL
        case Result.INT32:
            return FUNCTION_TABLE[fn](*[_typed(a, dtype) for a in args])
        case _:
            result = dtype
    return tidy(FUNCTION_TABLE[fn](*[_typed(a, dtype) for a in args]), result)


def _typed(value: Value, dtype: DType) -> Value:
    """Python integers as their machine type, so that bit functions know the width."""
    return numpy_dtype(dtype).type(value) if isinstance(value, (int, bool)) else value
