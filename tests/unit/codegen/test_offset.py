"""Offsets of elements: what NumPy's strides give, in a type that holds them; data wraps where C++ would not."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from emission_helpers import i32, one_launch, run_on_device
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.codegen.cuda import emit
from tiledsl.codegen.offset import flat_offset, in_bytes
from tiledsl.ir.dtypes import FLOAT32, INT8, INT32, INT64, UINT16, DType
from tiledsl.ir.nodes import Binary, Buffer, Cast, Const, Expr, Let, Load, Store, Unary, Var
from tiledsl.ir.ops import BINARY
from tiledsl.ir.types import dtype_of


def value(e: Expr, env: dict[Var, int]) -> int:
    match e:
        case Const(v):
            return int(v)
        case Var():
            return env[e]
        case Cast(_, a):
            return value(a, env)
        case Binary(op, a, b):
            assert dtype_of(a) is dtype_of(b)
            return int(BINARY[op].eval(value(a, env), value(b, env)))
    raise TypeError(type(e).__name__)


@st.composite
def accesses(draw: st.DrawFn) -> tuple[tuple[int, ...], tuple[int, ...] | None, tuple[int, ...], tuple[bool, ...]]:
    """Shape, strides, coordinates, and which of those are constants."""
    rank = draw(st.integers(1, 4))
    shape = tuple(draw(st.lists(st.integers(1, 9), min_size=rank, max_size=rank)))
    strided = draw(st.booleans())
    strides = tuple(draw(st.lists(st.integers(0, 50), min_size=rank, max_size=rank))) if strided else None
    at = tuple(draw(st.integers(0, n - 1)) for n in shape)
    return shape, strides, at, tuple(draw(st.lists(st.booleans(), min_size=rank, max_size=rank)))


@given(accesses(), st.sampled_from([INT32, INT64]), st.sampled_from([1, 2, 4, 8]))
def test_offsets_are_those_of_numpy(access: object, dtype: DType, item: int) -> None:
    shape, strides, at, constant = access  # type: ignore[misc]
    env: dict[Var, int] = {}
    indices: list[Expr] = []
    for v, is_constant in zip(at, constant):
        x: Expr = Const(v, dtype)
        if not is_constant:
            x = Var("i", dtype)
            env[x] = v
        indices.append(x)
    buffer = Buffer("b", shape, FLOAT32, strides=strides)
    offset = flat_offset(buffer, indices)
    expected = int(np.ravel_multi_index(at, shape)) if strides is None else sum(a * s for a, s in zip(at, strides))
    assert value(offset, env) == expected
    assert value(in_bytes(offset, item), env) == expected * item


def test_constants_beyond_32_bits_are_64_bits_wide() -> None:
    buffer = Buffer("b", (100_000, 100_000), INT8)
    offset = flat_offset(buffer, (i32(99_999), i32(7)))
    assert offset == Const(prod((99_999, 100_000)) + 7, INT64)
    mixed = flat_offset(buffer, (Var("i", INT64), Var("j", INT32)))
    assert dtype_of(mixed) is INT64


@pytest.mark.cxx
def test_data_wraps_and_counting_stays_plain() -> None:
    source, out, t, x = Buffer("A", (32,), INT32), Buffer("B", (32,), INT32), Var("t", INT32), Var("x", INT32)
    small, small_out = Buffer("S", (32,), UINT16), Buffer("T", (32,), UINT16)
    data = Binary("+", Binary("*", x, i32(1103515245)), i32(12345))
    square = Binary("*", Load(small, (t,)), Load(small, (t,)))
    body = (
        Let(x, Load(source, (Binary("*", t, i32(1)),))),
        Store(out, (t,), Unary("-", data)),
        Store(small_out, (t,), square),
    )
    kernel = one_launch([source, out, small, small_out], body, t)
    text = emit(kernel).text
    assert "(tds::i32)(0 - " not in text and "(tds::u32)x * (tds::u32)1103515245" in text
    assert "A + (t * 1)" in text
    rng = np.random.default_rng(0)
    a = rng.integers(-(2**31), 2**31, 32, dtype=np.int32)
    s = rng.integers(0, 2**16, 32, dtype=np.uint16)
    b, r = np.zeros(32, np.int32), np.zeros(32, np.uint16)
    run_on_device(kernel, {"A": a, "B": b, "S": s, "T": r})
    with np.errstate(over="ignore"):
        np.testing.assert_array_equal(b, -(a * np.int32(1103515245) + np.int32(12345)))
        np.testing.assert_array_equal(r, s * s)
