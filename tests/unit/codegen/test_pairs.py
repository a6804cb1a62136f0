"""Rounding to floats of 16 and 8 bits in pairs: the bits of lane by lane, and only where a pair is aligned."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tiledsl.codegen.cuda import emit
from tiledsl.codegen.pairs import as_pairs
from tiledsl.cpu.numerics import convert, numpy_dtype
from tiledsl.ir.dtypes import BFLOAT16, FLOAT8_E4M3, FLOAT8_E5M2, FLOAT16, FLOAT32, INT32, DType
from tiledsl.ir.nodes import (
    Alloc,
    Binary,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    Kernel,
    Load,
    Rounding,
    Serial,
    Space,
    Store,
    Unrolled,
    Var,
)
from tiledsl.ir.walk import walk
from tiledsl.testing.thread_stage import compile_for, i32, one_launch, random_values, run_on_device

T, V = Var("t", INT32), Var("v", INT32)


def lanes(dtype: DType, extent: int, start: Expr, halve: bool = False) -> For:
    """narrow[start + v] = wide[v]"""
    wide, narrow = Buffer("wide", (16,), FLOAT32, Space.LOCAL), Buffer("narrow", (16,), dtype, Space.LOCAL)
    value: Expr = Load(wide, (V,))
    if halve:
        value = Binary("*", value, Const(0.5, FLOAT32))
    return For(V, i32(extent), (Store(narrow, (Binary("+", start, V),), Cast(dtype, value)),), Unrolled())


def around(loop: For) -> Kernel:
    """Each thread rounds 16 floats of A into B."""
    (store,) = loop.body
    assert isinstance(store, Store)
    a, b = Buffer("A", (32, 16), FLOAT32), Buffer("B", (32, 16), store.buffer.dtype)
    (wide,) = {n.buffer for n in _loads(store.value)}
    r, s = Var("r", INT32), Var("s", INT32)
    body = (
        Alloc(wide),
        Alloc(store.buffer),
        For(r, i32(16), (Store(wide, (r,), Load(a, (T, r))),), Unrolled()),
        loop,
        For(s, loop.extent, (Store(b, (T, s), Load(store.buffer, (s,))),), Unrolled()),
    )
    return one_launch([a, b], body, T)


def _loads(e: Expr) -> list[Load]:
    return [n for n in walk(e) if isinstance(n, Load)]


@pytest.mark.cxx
@pytest.mark.parametrize("halve", [False, True])
@pytest.mark.parametrize("extent", [2, 8, 16])
@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
def test_pairs_are_rounded_as_lanes(dtype: DType, extent: int, halve: bool) -> None:
    kernel = around(lanes(dtype, extent, i32(0), halve))
    assert f"{'bf16' if dtype is BFLOAT16 else 'f16'}_pair(" in emit(kernel).text
    a = random_values(np.random.default_rng(extent), FLOAT32, (32, 16))
    b = np.zeros((32, 16), numpy_dtype(dtype))
    run_on_device(kernel, {"A": a, "B": b})
    with np.errstate(over="ignore", invalid="ignore"):
        expected = (a * np.float32(0.5) if halve else a).astype(b.dtype)
    known = ~np.isnan(a[:, :extent])
    np.testing.assert_array_equal(b[:, :extent].view(np.uint16)[known], expected[:, :extent].view(np.uint16)[known])
    assert np.isnan(b[:, :extent].astype(np.float32)[~known]).all()


EIGHT_BITS = {FLOAT8_E4M3: "e4m3x2", FLOAT8_E5M2: "e5m2x2"}


def eighths(dtype: DType, saturate: bool) -> For:
    """`lanes` of 8-bit floats, 16 of them."""
    loop = lanes(dtype, 16, i32(0))
    (store,) = loop.body
    assert isinstance(store, Store) and isinstance(store.value, Cast)
    return replace(loop, body=(replace(store, value=replace(store.value, saturate=saturate)),))


@pytest.mark.cxx
@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize("dtype", EIGHT_BITS, ids=str)
def test_pairs_of_8_bits_are_rounded_as_lanes(dtype: DType, saturate: bool) -> None:
    """As the tables in NumPy round, whose laws are elsewhere; numbers are about the largest ones too."""
    kernel = around(eighths(dtype, saturate))
    assert f"_pair{'<true>' if saturate else ''}(" in emit(kernel).text
    a = random_values(np.random.default_rng(7), FLOAT32, (32, 16))
    a[0] = [440, 448, 456, 463.9, 464, 464.1, 480, -464.1, 57344, 61439, 61440, 65504, -61440, np.inf, -np.inf, np.nan]
    b = np.zeros((32, 16), numpy_dtype(dtype))
    run_on_device(kernel, {"A": a, "B": b})
    expected = convert(a, FLOAT32, dtype, saturate=saturate).astype(np.float32)
    np.testing.assert_array_equal(b.astype(np.float32), expected)


@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize("dtype", EIGHT_BITS, ids=str)
def test_a_pair_of_8_bits_is_one_instruction(dtype: DType, saturate: bool) -> None:
    """From sm_89 on; what is not saturated is put right after it. Before, it is computed with integers."""
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    source, name = emit(around(eighths(dtype, saturate))), f"cvt.rn.satfinite.{EIGHT_BITS[dtype]}.f32"
    assert compile_for(source, "sm_90a").ptx.count(name) == 8
    older = compile_for(source, "sm_80")
    assert name not in older.ptx and older.cubin


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=str)
def test_a_pair_is_one_instruction(dtype: DType) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    ptx = compile_for(emit(around(lanes(dtype, 16, i32(0)))), "sm_80").ptx
    assert ptx.count(f"cvt.rn.{'bf16' if dtype is BFLOAT16 else 'f16'}x2.f32") == 8


def test_other_loops_stay_loops() -> None:
    good = lanes(FLOAT16, 4, i32(2))
    (store,) = good.body
    assert isinstance(store, Store) and isinstance(store.value, Cast) and as_pairs(good) is not None
    assert as_pairs(lanes(FLOAT16, 4, Binary("*", T, i32(6)))) is not None
    assert as_pairs(lanes(FLOAT16, 4, i32(1))) is None  # not aligned
    assert as_pairs(lanes(FLOAT16, 4, T)) is None
    assert as_pairs(lanes(FLOAT16, 3, i32(0))) is None
    assert as_pairs(replace(good, kind=Serial())) is None
    assert as_pairs(replace(good, body=(store, store))) is None
    itself = Cast(FLOAT32, Load(store.buffer, (V,)))
    far = Binary("*", V, i32(2))
    for other in (
        replace(store, value=replace(store.value, rounding=Rounding.ZERO)),
        replace(store, value=replace(store.value, saturate=True)),
        replace(store, value=replace(store.value, a=itself)),  # a lane may read what another stores
        replace(store, indices=(far,)),
        replace(store, buffer=Buffer("C", (16,), FLOAT16)),
    ):
        assert as_pairs(replace(good, body=(other,))) is None
