"""Offsets of elements: what NumPy's strides give, in a type that holds them; data wraps where C++ would not."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.codegen.cuda import emit
from tiledsl.codegen.offset import flat_offset, in_bytes, is_even, linear_factor, split_steps
from tiledsl.ir.dtypes import FLOAT32, INT8, INT32, INT64, UINT16, DType
from tiledsl.ir.nodes import Binary, Buffer, Cast, Const, Expr, For, Let, Load, Store, Unary, Unrolled, Var
from tiledsl.ir.ops import BINARY
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import walk
from tiledsl.testing.thread_stage import i32, one_launch, run_on_device


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


@st.composite
def sums(draw: st.DrawFn, variables: tuple[Var, ...], depth: int = 4) -> Expr:
    """Index arithmetic, most of it linear, some of it 64 bits wide."""
    if depth == 0 or draw(st.integers(0, 4)) == 0:
        return draw(st.sampled_from([*variables, i32(draw(st.integers(-9, 9)))]))
    op = draw(st.sampled_from(["+", "+", "-", "*", "*", "^", "wide"]))
    a = draw(sums(variables, depth - 1))
    if op == "wide":
        return a if dtype_of(a) is INT64 else Cast(INT64, a)
    b: Expr = i32(draw(st.integers(-9, 9))) if op == "*" else draw(sums(variables, depth - 1))
    wide = INT64 in (dtype_of(a), dtype_of(b))
    return Binary(op, *((x if dtype_of(x) is INT64 or not wide else Cast(INT64, x)) for x in (a, b)))


FREE, STEPS = (Var("x", INT32), Var("y", INT32)), (Var("r", INT32), Var("v", INT32))
UNROLLED = {STEPS[0]: 4, STEPS[1]: 3}


@given(sums((*FREE, *STEPS)), st.tuples(*[st.integers(0, 20)] * 2), st.integers(0, 3), st.integers(0, 2))
def test_steps_of_unrolled_loops_are_split_off(offset: Expr, free: tuple[int, int], r: int, v: int) -> None:
    """The sum of both parts is the offset; the first is what it is at 0, the second knows the loops alone."""
    rest, steps = split_steps(offset, UNROLLED)
    env = {**dict(zip(FREE, free)), STEPS[0]: r, STEPS[1]: v}
    assert value(rest, env) + value(steps, env) == value(offset, env)
    moved = {n for n in walk(steps) if isinstance(n, Var)}
    assert moved <= set(STEPS)
    assert value(rest, env) == value(offset, {**env, **dict.fromkeys(moved, 0)})
    assert is_even(offset) <= (value(offset, env) % 2 == 0)
    factor = linear_factor(offset, STEPS[0])
    if factor is not None:
        assert value(offset, {**env, STEPS[0]: r + 1}) - value(offset, env) == factor


def test_what_is_split_off_and_what_is_not() -> None:
    x, r = FREE[0], STEPS[0]
    far = Binary("*", r, i32(2**30))
    assert split_steps(Binary("+", x, Binary("*", r, i32(8))), UNROLLED) == (x, Binary("*", r, i32(8)))
    for kept in (Binary("+", x, far), Binary("+", Binary("^", x, r), r), Binary("*", x, r)):
        assert split_steps(kept, UNROLLED) == (kept, i32(0))


@pytest.mark.cxx
def test_unrolled_steps_come_last_in_an_address() -> None:
    source, out, t, r = Buffer("A", (64, 32), INT32), Buffer("B", (64, 32), INT32), Var("t", INT32), Var("r", INT32)
    at = (Binary("+", Binary("*", r, i32(8)), i32(3)), t)
    kernel = one_launch([source, out], (For(r, i32(4), (Store(out, at, Load(source, at)),), Unrolled()),), t)
    assert "A + (96 + t) + (r * 256)" in emit(kernel).text
    a, b = np.arange(64 * 32, dtype=np.int32).reshape(64, 32), np.zeros((64, 32), np.int32)
    run_on_device(kernel, {"A": a, "B": b})
    rows = np.arange(64) % 8 == 3
    np.testing.assert_array_equal(b, np.where((rows & (np.arange(64) < 32))[:, None], a, 0))


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
