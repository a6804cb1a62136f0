"""Scalar semantics in all executions: NumPy at the tile stage and after all passes, emitted C++ on the CPU device."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tiledsl.compile import lower
from tiledsl.cpu import device, interp, tile_interp
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.dtypes import (
    BFLOAT16,
    FLOAT8_E4M3,
    FLOAT8_E5M2,
    FLOAT16,
    FLOAT32,
    FLOAT64,
    INDEX,
    INT8,
    INT16,
    INT32,
    INT64,
    UINT8,
    UINT16,
    UINT32,
    UINT64,
    DType,
)
from tiledsl.ir.nodes import Binary, Buffer, Call, Cast, Const, Expr, Kernel, Launch, Load, Rounding, Store, Unary, Var
from tiledsl.ir.ops import BINARY, FUNCTIONS
from tiledsl.ir.tile import Parallel
from tiledsl.ir.types import dtype_of
from tiledsl.target import target_named

Array = np.ndarray[Any, Any]
N = 256
I = Var("i")
FLOATS = (FLOAT64, FLOAT32, FLOAT16, BFLOAT16, FLOAT8_E4M3, FLOAT8_E5M2)
INTEGERS = (INT8, INT16, INT32, INT64, UINT8, UINT16, UINT32, UINT64)


def samples(dtype: DType, seed: int) -> Array:
    """Values of all magnitudes, the greatest and least among them; for floats infinities and NaN too."""
    rng, holder = np.random.default_rng(seed), numpy_dtype(dtype)
    if not dtype.is_float:
        low, high = dtype.int_range
        edges = [low, low + 1, high, high - 1, 0, 1]
        small = rng.integers(max(low, -300), min(high, 300), N // 2, endpoint=True)
        wide = rng.integers(low, high, N - len(edges) - len(small), dtype=holder, endpoint=True)
        return np.concatenate([np.array(edges, holder), small.astype(holder), wide])
    with np.errstate(all="ignore"):
        spread = rng.standard_normal(N - 6) * np.exp2(rng.integers(-12, 70 if dtype.bits > 16 else 12, N - 6))
        return np.concatenate([spread, [0.0, -0.0, np.inf, -np.inf, np.nan, 0.5]]).astype(holder)


def run_everywhere(results: dict[str, Expr], inputs: dict[Buffer, Array]) -> dict[str, dict[str, Array]]:
    """Each expression over I, stored to a tensor of its own, by execution."""

    outputs = {Buffer(name, (N,), dtype_of(e)): e for name, e in results.items()}
    loop = Parallel((I,), (N,), tuple(Store(y, (I,), e) for y, e in outputs.items()))
    launch = Launch("k", (Const(1),), (Var("b"),), (64,), Var("t"), (loop,))
    kernel = Kernel("k", (*inputs, *outputs), (launch,))
    lowered = lower(kernel, target_named("sm_80"))

    def fresh() -> dict[str, Array]:
        given = {b.name: a.copy() for b, a in inputs.items()}
        return given | {y.name: np.zeros(N, numpy_dtype(y.dtype)) for y in outputs}

    found: dict[str, dict[str, Array]] = {}
    tile_interp.run(kernel, found.setdefault("tile stage", fresh()))
    interp.run(lowered.final, found.setdefault("thread stage", fresh()))
    module = device.compile_source(lowered.source.text, ["k"])
    on_device = found.setdefault("C++", fresh())
    entry = lowered.signature.entries[0]
    module.launch("k", (1,), entry.threads, entry.shared_bytes, [on_device[a] for a in entry.arguments])
    return {how: {name: arrays[name] for name in results} for how, arrays in found.items()}


def bits(x: Array) -> Array:
    """The bits, of NaN one pattern: which NaN it is does not matter."""
    raw = np.ascontiguousarray(x).view(f"u{x.dtype.itemsize}")
    if x.dtype.kind in "iub":
        return raw
    return np.where(np.isnan(x.astype(np.float64)), raw.dtype.type(0xAA), raw)


def assert_agree(found: dict[str, dict[str, Array]], inputs: dict[Buffer, Array]) -> None:
    reference = found.pop("tile stage")
    for how, arrays in found.items():
        for name, expected in reference.items():
            wrong = np.flatnonzero(bits(arrays[name]) != bits(expected))
            given = [a[wrong[:3]] for a in inputs.values()] if len(wrong) else []
            assert not len(wrong), (how, name, given, arrays[name][wrong[:3]], expected[wrong[:3]])


@pytest.mark.cxx
@pytest.mark.parametrize("saturate", [False, True])
@pytest.mark.parametrize("source", [FLOAT64, FLOAT32, FLOAT16, BFLOAT16, FLOAT8_E4M3, INT32, INT64, UINT8], ids=str)
def test_S23_conversions(source: DType, saturate: bool) -> None:
    x = Buffer("x", (N,), source)
    targets = (*FLOATS, *INTEGERS) if not saturate else (FLOAT16, FLOAT8_E4M3, FLOAT8_E5M2, *INTEGERS)
    results = {
        f"to_{t.name}": Cast(t, Load(x, (I,)), Rounding.NEAREST_EVEN, saturate) for t in targets if t is not source
    }
    inputs = {x: samples(source, 1)}
    assert_agree(run_everywhere(results, inputs), inputs)


@pytest.mark.cxx
@pytest.mark.parametrize("dtype", [INT8, INT32, UINT32, INT64, UINT64, FLOAT64, FLOAT32, FLOAT16, BFLOAT16], ids=str)
def test_S23_operators(dtype: DType) -> None:
    x, y = Buffer("x", (N,), dtype), Buffer("y", (N,), dtype)
    a, b = Load(x, (I,)), Load(y, (I,))
    undefined = {"pow", "atan2", "fmod", "and", "or"} | ({"//", "%", "<<", ">>"} if dtype.is_float else {"/"})
    ops = [op for op in BINARY.values() if op.symbol not in undefined and not (op.integers_only and dtype.is_float)]
    low = Const(1, dtype)
    results: dict[str, Expr] = {}
    for number, op in enumerate(ops):
        divisor = Binary("max", b, low) if op.symbol in ("//", "%", "div", "rem") else b
        shift = Binary("&", b, Const(dtype.bits - 1, dtype)) if op.symbol in ("<<", ">>") else divisor
        results[f"y{number}"] = Binary(op.symbol, a, shift)
    results["negated"] = Unary("-", a)
    results["absolute"] = Call("abs", (a,))
    if dtype.is_float:
        results["fma"] = Call("fma", (a, b, a))
        results["root"] = Call("sqrt", (Call("abs", (a,)),))
    for f in FUNCTIONS.values():
        if dtype.name in f.dtypes:  # operations of IEEE 754 with a direction of rounding
            results[f.name] = Call(f.name, (a, b, Binary("-", a, b), b, a, b)[: f.arity])
    inputs = {x: samples(dtype, 2), y: np.roll(samples(dtype, 3), 7)}
    assert_agree(run_everywhere(results, inputs), inputs)


@pytest.mark.cxx
def test_an_index_beyond_64_bits_wraps_whether_all_lanes_have_it_or_each_its_own() -> None:
    """The language gives it no meaning (docs/architecture.md); still no execution breaks down, and a cast is modulo."""
    x = Buffer("x", (N,), UINT32)
    own, all_lanes = Cast(INDEX, Load(x, (I,))), Cast(INDEX, Load(x, (Const(0),)))
    squares: dict[str, Expr] = {"own": own * own, "shared": all_lanes * all_lanes}
    squares |= {f"{name}_negated": Unary("-", e) for name, e in squares.items()}
    results: dict[str, Expr] = {name: Cast(INT64, e + 3) for name, e in squares.items()}
    found = run_everywhere(results, {x: np.full(N, 2**32 - 1, np.uint32)})
    square = (2**32 - 1) ** 2 - 2**64  # as an int64
    for arrays in found.values():
        assert set(arrays["own"].tolist()) == set(arrays["shared"].tolist()) == {square + 3}
        assert set(arrays["own_negated"].tolist()) == set(arrays["shared_negated"].tolist()) == {-square + 3}
