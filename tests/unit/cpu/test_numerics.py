"""Conversions against ml_dtypes, exact fractions and the PTX rules; functions against Python; the tensor-core model."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tiledsl.cpu import values
from tiledsl.cpu.numerics import (
    MMA_STEP,
    convert,
    fused_multiply_add,
    largest_finite,
    matmul_accumulate,
    numpy_dtype,
    truncate_tf32,
)
from tiledsl.ir.dtypes import (
    BFLOAT16,
    BOOL,
    DTYPES,
    FLOAT4_E2M1,
    FLOAT6_E3M2,
    FLOAT8_E4M3,
    FLOAT8_E5M2,
    FLOAT8_E8M0,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INDEX,
    INT4,
    INT8,
    INT32,
    INT64,
    TFLOAT32,
    UINT4,
    UINT8,
    UINT32,
    UINT64,
    DType,
)
from tiledsl.ir.nodes import Rounding
from tiledsl.ir.ops import BINARY, FUNCTIONS, UNARY, trunc_div, trunc_rem

Array = np.ndarray[Any, Any]
pytestmark = pytest.mark.filterwarnings("ignore:.*encountered:RuntimeWarning")  # infinities and NaN are meant
NARROW = [t for t in DTYPES.values() if t.is_float and t.bits <= 16 and t is not FLOAT8_E8M0]
RN, RZ, RM, RP, RNA = Rounding


def samples(count: int = 20_000) -> Array:
    """float32 values of all magnitudes, ties of the narrow formats among them."""
    rng = np.random.default_rng(0)
    spread = rng.standard_normal(count) * np.exp2(rng.integers(-30, 20, count))
    ties = rng.integers(-(2**12), 2**12, count) * np.exp2(rng.integers(-20, 8, count))
    return np.concatenate([spread, ties, [0.0, -0.0, np.inf, -np.inf, np.nan]]).astype(np.float32)


def bits(x: Array) -> Array:
    return np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")


def finite_values(dtype: DType) -> list[float]:
    """All finite values of a format of at most 16 bits, ascending."""
    holder = numpy_dtype(dtype)
    raw = np.arange(1 << (16 if holder.itemsize == 2 else 8)).astype(f"u{holder.itemsize}")
    if dtype.exponent + dtype.mantissa + 1 < 8:
        raw = raw[: 1 << (1 + dtype.exponent + dtype.mantissa)]
    found = raw.view(holder).astype(np.float64)
    return sorted(set(found[np.isfinite(found)].tolist()))


@pytest.mark.parametrize("dtype", NARROW, ids=str)
def test_rounding_to_nearest_is_that_of_ml_dtypes(dtype: DType) -> None:
    x = samples()
    expected = x.astype(numpy_dtype(dtype))
    found = convert(x, FLOAT32, dtype)
    if dtype in (FLOAT4_E2M1, FLOAT6_E3M2) or dtype.name == "float6_e2m3fn":
        x, expected, found = x[~np.isnan(x)], expected[~np.isnan(x)], found[~np.isnan(x)]
    wide_expected, wide_found = expected.astype(np.float64), found.astype(np.float64)
    assert np.array_equal(np.isnan(wide_expected), np.isnan(wide_found))
    same = np.isnan(wide_expected) | (wide_expected == wide_found)
    assert same.all(), (x[~same][:5], expected[~same][:5], found[~same][:5])


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16, FLOAT8_E4M3, FLOAT8_E5M2, FLOAT4_E2M1], ids=str)
@pytest.mark.parametrize("rounding", [RZ, RM, RP, RNA], ids=lambda r: r.value)
def test_directed_rounding_picks_the_right_neighbour(dtype: DType, rounding: Rounding) -> None:
    grid = np.array(finite_values(dtype))
    x = samples(2000)
    x = x[np.isfinite(x) & (np.abs(x) <= largest_finite(dtype))]
    found = convert(x, FLOAT32, dtype, rounding).astype(np.float64)
    exact = x.astype(np.float64)
    below = grid[np.searchsorted(grid, exact, "right") - 1]
    above = grid[np.searchsorted(grid, exact, "left")]
    towards_zero = np.where(exact >= 0, below, above)
    match rounding:
        case Rounding.ZERO:
            expected = towards_zero
        case Rounding.DOWN:
            expected = below
        case Rounding.UP:
            expected = above
        case _:
            away = np.where(exact >= 0, above, below)
            expected = np.where(abs(away - exact) <= abs(exact - towards_zero), away, towards_zero)
    assert (found == expected).all()


@pytest.mark.parametrize(
    "dtype, value, plain, saturated",
    [
        (FLOAT8_E4M3, 500.0, math.nan, 448.0),
        (FLOAT8_E4M3, -math.inf, math.nan, -448.0),
        (FLOAT8_E4M3, math.nan, math.nan, math.nan),
        (FLOAT8_E5M2, 1e6, math.inf, 57344.0),
        (FLOAT8_E5M2, math.inf, math.inf, 57344.0),
        (FLOAT16, 1e6, math.inf, 65504.0),
        (FLOAT4_E2M1, 100.0, 6.0, 6.0),
        (FLOAT4_E2M1, math.nan, 6.0, 6.0),
        (FLOAT6_E3M2, -100.0, -28.0, -28.0),
    ],
)
def test_S23_out_of_range(dtype: DType, value: float, plain: float, saturated: float) -> None:
    """S23, PTX ISA "cvt": satfinite gives the largest finite value; e4m3 has no infinity, fp4 and fp6 no NaN either."""
    for saturate, expected in ((False, plain), (True, saturated)):
        found = float(convert(np.float32(value), FLOAT32, dtype, saturate=saturate))
        assert found == expected or (math.isnan(found) and math.isnan(expected))


def test_float64_is_rounded_once_to_bfloat16() -> None:
    tie = 1 + 2.0**-8  # half way between 1 and the next bfloat16; a detour through float32 loses the last bit
    assert float(convert(np.float64(tie + 2.0**-40), FLOAT64, BFLOAT16)) == 1 + 2.0**-7
    assert float(convert(np.float64(tie), FLOAT64, BFLOAT16)) == 1
    assert float(convert(np.int64(2**62 + 2**54 + 1), INT64, BFLOAT16)) == float(2**62 + 2**55)


@pytest.mark.parametrize(
    "source, value, target, expected",
    [
        (FLOAT32, 2.9, INT32, 2),
        (FLOAT32, -2.9, INT32, -2),
        (FLOAT32, 3e9, INT32, 2**31 - 1),
        (FLOAT32, -3e9, INT32, -(2**31)),
        (FLOAT32, -1.0, UINT8, 0),
        (FLOAT32, 300.0, UINT8, 255),
        (FLOAT32, 300.0, INT8, 127),
        (FLOAT32, math.nan, INT32, 0),
        (FLOAT64, math.nan, INT32, -(2**31)),
        (FLOAT32, math.nan, INT64, -(2**63)),
        (FLOAT32, 1e20, INT64, 2**63 - 1),
        (FLOAT32, 1e20, UINT64, 2**64 - 1),
        (FLOAT32, math.inf, INT4, 7),
        (FLOAT16, 5.5, INDEX, 5),
        (FLOAT32, 0.25, BOOL, True),
        (INT32, 300, INT8, 44),
        (INT32, -1, UINT32, 2**32 - 1),
        (INT32, 9, INT4, -7),
        (INT32, 9, UINT4, 9),
        (INDEX, 2**40 + 3, INT32, 3),
    ],
)
def test_to_integers(source: DType, value: float, target: DType, expected: int) -> None:
    """PTX ISA "cvt": float to integer clamps and NaN is 0 or the top bit; integers wrap."""
    given = values.constant(value, source)
    found = convert(given, source, target)
    assert int(found) == expected
    assert isinstance(found, (int, bool)) == (target in (INDEX, BOOL))
    if source is not INDEX:
        array = convert(np.full(3, given), source, target)
        assert array.dtype == numpy_dtype(target) and (array.astype(object) == expected).all()


@pytest.mark.parametrize(
    "rounding, expected", [(RZ, [-1, 1, 2]), (RM, [-2, 1, 2]), (RP, [-1, 2, 3]), (RNA, [-2, 2, 3])]
)
def test_rounding_of_floats_to_integers(rounding: Rounding, expected: list[int]) -> None:
    assert convert(np.float32([-1.5, 1.5, 2.5]), FLOAT32, INT32, rounding).tolist() == expected


def test_saturating_integer_conversion() -> None:
    assert convert(np.int32([300, -300, 5]), INT32, INT8, saturate=True).tolist() == [127, -128, 5]
    assert convert(np.uint64([2**64 - 1, 7]), UINT64, INT64, saturate=True).tolist() == [2**63 - 1, 7]
    assert convert(np.uint64(2**64 - 1), UINT64, INT64, saturate=True) == 2**63 - 1  # a scalar stays a scalar
    assert convert(np.int64(300), INT64, INT8, saturate=True).dtype == np.int8


def test_tf32_truncates_in_the_tensor_core_and_rounds_in_a_cast() -> None:
    x = np.float32([1 + 2**-10 + 2**-11, 1 + 2**-12])
    assert truncate_tf32(x).tolist() == [1 + 2**-10, 1]
    assert convert(x, FLOAT32, TFLOAT32).tolist() == [1 + 2**-9, 1]
    assert convert(x, FLOAT32, TFLOAT32, RNA).tolist() == [1 + 2**-9, 1]


# ------------------------------------------------------------------------------------------------------- functions


def test_every_row_of_the_operator_tables_has_a_meaning() -> None:
    assert set(values.BINARY_TABLE) == set(BINARY)
    assert set(values.UNARY_TABLE) == set(UNARY)
    assert set(values.FUNCTION_TABLE) | values.COLLECTIVES == set(FUNCTIONS)
    assert not set(values.FUNCTION_TABLE) & values.COLLECTIVES


PYTHON = {
    **{n: getattr(math, n) for n in ("exp", "log", "log2", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh")},
    **{n: getattr(math, n) for n in ("asin", "acos", "atan", "tanh", "floor", "ceil", "trunc", "erf", "exp2")},
    **{"abs": abs, "round": round, "exp10": lambda x: 10.0**x, "rsqrt": lambda x: x**-0.5},
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
}


@pytest.mark.parametrize("dtype", [FLOAT64, FLOAT32, FLOAT16, BFLOAT16], ids=str)
@pytest.mark.parametrize("fn", [n for n in PYTHON if hasattr(math, "exp2") or n != "exp2"])
def test_functions_are_those_of_python_rounded(fn: str, dtype: DType) -> None:
    x = np.array([0.25, 0.5, 0.75, 0.9375]).astype(numpy_dtype(dtype))
    found = values.call(fn, [x], dtype)
    exact = np.array([float(PYTHON[fn](float(v))) for v in x])
    assert found.dtype == x.dtype
    tolerance = 4 * float(ml_dtypes.finfo(x.dtype).eps)
    assert np.allclose(found.astype(np.float64), exact, rtol=tolerance, atol=tolerance)
    scalar = values.call(fn, [x[0]], dtype)
    assert not isinstance(scalar, np.ndarray) and scalar == found[0]


def test_bit_functions() -> None:
    x = np.int32([0, 1, -1, 2**30, 12345])
    assert values.call("popcount", [x], INT32).tolist() == [(int(v) & 0xFFFFFFFF).bit_count() for v in x]
    assert values.call("clz", [x], INT32).tolist() == [32 - (int(v) & 0xFFFFFFFF).bit_length() for v in x]
    assert values.call("clz", [np.uint64(1)], UINT64) == 63
    assert values.call("popcount", [np.uint8(255)], UINT8) == 8


def test_prmt_and_dp4a() -> None:
    """PTX ISA "prmt.b32", "dp4a"."""
    a, b = np.uint32(0x33221100), np.uint32(0x77665584)
    assert values.call("prmt", [a, b, np.uint32(0x7250)], UINT32) == 0x77225500
    assert values.call("prmt", [a, b, np.uint32(0x000C)], UINT32) == 0x000000FF  # sign of the byte 0x84
    x, y = np.int8([1, -2, 3, -128]).view(np.int32)[0], np.int8([5, 6, -7, 127]).view(np.int32)[0]
    assert values.call("dp4a", [x, y, np.int32(10)], INT32) == 5 - 12 - 21 - 128 * 127 + 10


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16, BFLOAT16, FLOAT64], ids=str)
def test_fma_rounds_once(dtype: DType) -> None:
    """Against exact fractions, on operands whose product almost cancels."""
    holder = numpy_dtype(dtype)
    rng = np.random.default_rng(1)
    a, b = (rng.standard_normal(500).astype(holder) for _ in range(2))
    c = (-(a.astype(np.float64) * b.astype(np.float64)) * (1 + rng.integers(-1, 2, 500) * 2.0**-9)).astype(holder)
    found = values.call("fma", [a, b, c], dtype)
    for x, y, z, r in zip(a, b, c, found):
        exact = Fraction(float(x)) * Fraction(float(y)) + Fraction(float(z))
        near = [float(v) for v in (np.nextafter(r, holder.type(-np.inf)), r, np.nextafter(r, holder.type(np.inf)))]
        assert min(abs(Fraction(v) - exact) for v in near) == abs(Fraction(near[1]) - exact)


@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16, BFLOAT16], ids=str)
@pytest.mark.parametrize("sign", [1, -1])
def test_fma_sees_what_decides_a_tie(dtype: DType, sign: int) -> None:
    """A product half way between two numbers, and an addend too small for any type between the operands' and exact."""
    number = numpy_dtype(dtype).type
    half = (dtype.mantissa + 1) // 2
    a, b = number(1 + 2.0**-half), number(1 + 2.0 ** (half - dtype.mantissa - 1))  # the product's last bit: half a unit
    tiny = number(sign * 2.0**-24) if dtype is FLOAT16 else number(sign * 2.0**-70)
    found = values.call("fma", [a, b, tiny], dtype)
    exact = Fraction(float(a)) * Fraction(float(b)) + Fraction(float(tiny))
    neighbours = [np.nextafter(found, number(0)), np.nextafter(found, number(4))]
    assert all(abs(Fraction(float(found)) - exact) < abs(Fraction(float(n)) - exact) for n in neighbours)


def test_fma_keeps_infinities_and_nan() -> None:
    assert fused_multiply_add(np.float32(np.inf), np.float32(1), np.float32(1)) == np.inf
    assert np.isnan(fused_multiply_add(np.float32(np.inf), np.float32(0), np.float32(1)))


@pytest.mark.parametrize("a", [7, -7, 0, -1])
@pytest.mark.parametrize("b", [2, -2, 5, -5])
def test_divisions(a: int, b: int) -> None:
    """Floor for // and %, towards zero for div and rem, on Python numbers, machine integers and arrays alike."""
    expected = {"//": a // b, "%": a % b, "div": trunc_div(a, b), "rem": trunc_rem(a, b)}
    for op, result in expected.items():
        assert values.binary(op, a, b, INDEX) == result
        for dtype in (INT8, INT32, INT64, INT4):
            x, y = values.constant(a, dtype), values.constant(b, dtype)
            assert int(values.binary(op, x, y, dtype)) == result
            array = values.binary(op, np.full(2, x), np.full(2, y), dtype)
            assert array.dtype == numpy_dtype(dtype) and array.astype(int).tolist() == [result] * 2


def test_machine_integers_wrap() -> None:
    with np.errstate(all="ignore"):
        for dtype in (INT8, INT32, INT64, INT4):
            low, high = dtype.int_range
            one = values.constant(1, dtype)
            assert int(values.binary("+", values.constant(high, dtype), one, dtype)) == low
    assert int(values.constant(300, UINT8)) == 44 and int(values.constant(-1, UINT64)) == 2**64 - 1


def test_half_precision_rounds_after_every_operation() -> None:
    big, small = np.float16(2048), np.float16(1)
    assert values.binary("+", values.binary("+", big, small, FLOAT16), small, FLOAT16) == 2048


# ---------------------------------------------------------------------------------------------------- tensor core


def test_products_round_once_for_each_step_of_k() -> None:
    """The accumulator swallows 2**-24 steps one at a time, but not their exact sum within one instruction."""
    a = np.full((1, 2 * MMA_STEP), 2.0**-12, np.float16)
    b = np.full((2 * MMA_STEP, 1), 2.0**-13, np.float16)
    c = np.ones((1, 1), np.float32)
    assert matmul_accumulate(c, a, b)[0, 0] == np.float32(1 + 2 * MMA_STEP * 2.0**-25)
    one_step = matmul_accumulate(c, a[:, :1], b[:1])
    assert one_step[0, 0] == 1


@pytest.mark.parametrize("c_type", [np.float32, np.float16, np.int32, np.float64])
def test_exact_inputs_give_exact_products(c_type: Any) -> None:
    rng = np.random.default_rng(2)
    a, b = rng.integers(-1, 2, (8, 50)), rng.integers(-1, 2, (50, 9))
    narrow = np.int8 if c_type is np.int32 else np.float16
    found = matmul_accumulate(np.ones((8, 9), c_type), a.astype(narrow), b.astype(narrow))
    assert found.dtype == c_type and (found == a @ b + 1).all()


def test_int8_products_wrap_at_32_bits() -> None:
    a = np.full((1, 4), 127, np.int8)
    found = matmul_accumulate(np.full((1, 1), 2**31 - 1, np.int32), a, a.T)
    assert found[0, 0] == np.int64(2**31 - 1 + 4 * 127 * 127 - 2**32)
