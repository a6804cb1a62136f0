"""Literals: the C++ text has exactly the value, for every dtype."""

from __future__ import annotations

import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.codegen.spelling import encode, literal, type_name
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.errors import TileError
from tiledsl.ir.dtypes import DTYPES, FLOAT32, FLOAT64, INT4, INT8, INT32, INT64, UINT32, UINT64, DType

SMALL = [t for t in DTYPES.values() if t.is_float and 8 <= t.bits <= 16 and t.name != "float8_e8m0fnu"]


@pytest.mark.parametrize("dtype", SMALL, ids=str)
@given(value=st.floats(width=32))
def test_narrow_floats_have_the_bits_of_ml_dtypes(dtype: DType, value: float) -> None:
    with np.errstate(over="ignore"):
        converted = np.float32(value).astype(numpy_dtype(dtype))
    bits = int(converted.view(f"u{converted.dtype.itemsize}"))
    if math.isnan(value):
        assert np.isnan(decode(encode(value, dtype), dtype)) or "float6" in dtype.name
    else:
        assert encode(value, dtype) == bits


def decode(bits: int, dtype: DType) -> float:
    holder = numpy_dtype(dtype)
    return float(np.array(bits, f"u{holder.itemsize}").view(holder).astype(np.float64))


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float32_text_has_the_value(value: float) -> None:
    text = literal(value, FLOAT32).strip("()")
    assert text.endswith("f") and np.float32(text[:-1]) == np.float32(value)
    assert math.copysign(1.0, float(text[:-1])) == math.copysign(1.0, value)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_float64_text_has_the_value(value: float) -> None:
    assert float(literal(value, FLOAT64).strip("()")) == value


@given(st.floats(allow_nan=False))
def test_float32_constants_round_once(value: float) -> None:
    with np.errstate(over="ignore"):
        expected = np.float32(value)
    assert struct.unpack("<f", struct.pack("<I", encode(value, FLOAT32)))[0] == expected


def test_values_without_decimal_text() -> None:
    assert literal(math.inf, FLOAT32) == "tds::bitcast<float>(0x7f800000u)"
    assert literal(-math.inf, FLOAT64) == "tds::bitcast<double>(0xfff0000000000000ull)"
    assert literal(1e40, FLOAT32) == "tds::bitcast<float>(0x7f800000u)"


def test_integers() -> None:
    assert [literal(v, INT32) for v in (5, -5, -(2**31))] == ["5", "(-5)", "(-2147483647 - 1)"]
    assert literal(-(2**63), INT64) == "(-9223372036854775807ll - 1)"
    assert [literal(-1, UINT32), literal(2**64 - 1, UINT64)] == ["4294967295u", "18446744073709551615ull"]
    assert [literal(300, INT8), literal(-1, INT8)] == ["tds::i8(44)", "tds::i8(-1)"]


def test_types_that_no_address_can_name_are_refused() -> None:
    with pytest.raises(TileError) as raised:
        type_name(INT4)
    assert raised.value.code == "TD0503"
