"""Law: the emitted C++ computes what the NumPy tables compute, for every operator, dtype and conversion.

Expressions are drawn many at a time, since one kernel compiles as fast as the other: each stores its value for every
lane in an output of its own, and the test names the expression that differs.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from emission_helpers import compile_for, i32, one_launch, random_values, run_on_device
from hypothesis import given, settings
from hypothesis import strategies as st

from tiledsl.codegen.cuda import emit
from tiledsl.cpu import interp
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.dtypes import BOOL, DTYPES, FLOAT16, FLOAT32, FLOAT64, INDEX, INT32, TFLOAT32, UINT32, DType, Kind
from tiledsl.ir.nodes import (
    Binary,
    Buffer,
    Call,
    Cast,
    Const,
    Expr,
    Kernel,
    Load,
    Reinterpret,
    Rounding,
    Select,
    Stmt,
    Store,
    Unary,
    Var,
)
from tiledsl.ir.printer import text
from tiledsl.ir.types import dtype_of

pytestmark = pytest.mark.cxx

LANES = 64
TYPES = [t for t in DTYPES.values() if t.bits >= 8 and t.kind is not Kind.HANDLE and t is not INDEX]
INTEGERS = [t for t in TYPES if t.kind in (Kind.INT, Kind.UINT)]
FLOATS = [t for t in TYPES if t.is_float]
COMPUTING = [t for t in FLOATS if t in (FLOAT64, FLOAT32, FLOAT16) or t.name == "bfloat16"]
ARITHMETIC = ("+", "-", "*", "min", "max")
COMPARISONS = ("<", "<=", ">", ">=", "==", "!=")
EXACT_FUNCTIONS = ("floor", "ceil", "trunc", "round", "abs", "sqrt", "fma")
ROUGH_FUNCTIONS = (
    "exp",
    "exp2",
    "log",
    "sin",
    "cos",
    "tanh",
    "erf",
    "sigmoid",
    "rsqrt",
    "exp10",
    "fast_exp",
    "fast_rcp",
)


def can_saturate(target: DType) -> bool:
    """Whether the IR says what saturation means: for integers and floats of at most 8 bits."""
    return target in INTEGERS or (target.is_float and target.bits <= 8)


class Draw:
    """Random well-typed expressions over one input buffer for each dtype."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.inputs = {t: Buffer(f"in_{t}", (LANES,), t) for t in TYPES}
        self.thread = Var("t", INT32)

    def leaf(self, dtype: DType) -> Expr:
        if self.random.random() < 0.2:
            return self.constant(dtype)
        shift = Binary("%", Binary("+", self.thread, i32(self.random.randrange(LANES))), i32(LANES))
        return Load(self.inputs[dtype], (shift,))

    def constant(self, dtype: DType) -> Const:
        if dtype is BOOL:
            return Const(self.random.random() < 0.5, BOOL)
        if dtype.is_float:
            holder = numpy_dtype(dtype).type
            return Const(float(holder(self.random.choice([0.0, 1.0, 0.5, 3.0, 100.0, 1e-3, 7.25]))), dtype)
        low, high = dtype.int_range
        return Const(self.random.choice([low, high, max(low, -1), 0, 1, 2, 7, self.random.randint(low, high)]), dtype)

    def expr(self, dtype: DType, depth: int) -> Expr:
        if depth == 0:
            return self.leaf(dtype)
        rules = [self.cast, self.select, self.reinterpret]
        if dtype is BOOL:
            rules += [self.comparison, self.logic]
        elif dtype.is_integer:
            rules += [self.integer, self.integer]
        elif dtype in COMPUTING:
            rules += [self.floating, self.floating]
        return self.random.choice(rules)(dtype, depth - 1)

    def cast(self, dtype: DType, depth: int) -> Expr:
        source = self.random.choice(TYPES)
        value = self.expr(source, depth)
        rounding, saturate = Rounding.NEAREST_EVEN, self.random.random() < 0.4
        if dtype.is_float and source.is_float and self.random.random() < 0.5:
            rounding = self.random.choice(list(Rounding))
        return Cast(dtype, value, rounding, saturate and can_saturate(dtype))

    def select(self, dtype: DType, depth: int) -> Expr:
        return Select(self.expr(BOOL, depth), self.expr(dtype, depth), self.expr(dtype, depth))

    def reinterpret(self, dtype: DType, depth: int) -> Expr:
        if dtype is BOOL or dtype is TFLOAT32 or "float6" in dtype.name:  # not every pattern of bits is a value
            return self.expr(dtype, depth)
        same = [t for t in INTEGERS if t.bits == dtype.bits]
        return Reinterpret(dtype, self.expr(self.random.choice(same), depth)) if same else self.expr(dtype, depth)

    def comparison(self, _: DType, depth: int) -> Expr:
        dtype = self.random.choice([*INTEGERS, *COMPUTING])
        if dtype.is_float and self.random.random() < 0.3:
            return Call(self.random.choice(["isnan", "isinf", "isfinite"]), (self.expr(dtype, depth),))
        return Binary(self.random.choice(COMPARISONS), self.expr(dtype, depth), self.expr(dtype, depth))

    def logic(self, _: DType, depth: int) -> Expr:
        if self.random.random() < 0.3:
            return Unary("not", self.expr(BOOL, depth))
        return Binary(self.random.choice(["and", "or"]), self.expr(BOOL, depth), self.expr(BOOL, depth))

    def integer(self, dtype: DType, depth: int) -> Expr:
        a = self.expr(dtype, depth)
        match self.random.randrange(8):
            case 0:
                return Unary(self.random.choice(["-", "~"]), a)
            case 1:
                amount = Const(self.random.randrange(dtype.bits), dtype)
                return Binary(self.random.choice(["<<", ">>"]), a, amount)
            case 2:
                return Call("abs", (a,))
            case 3 if dtype is INT32:
                return Call(self.random.choice(["popcount", "clz"]), (self.expr(self.random.choice(INTEGERS), depth),))
            case 4 if dtype is UINT32:
                return Call("prmt", (a, self.expr(dtype, depth), self.expr(dtype, depth)))
            case 5 if dtype in (INT32, UINT32):
                return Call("dp4a", (a, self.expr(dtype, depth), self.expr(dtype, depth)))
        op = self.random.choice([*ARITHMETIC, "|", "^", "&", "//", "%", "div", "rem"])
        b = self.expr(dtype, depth)
        return Binary(op, a, self.nonzero(b) if op in ("//", "%", "div", "rem") else b)

    @staticmethod
    def nonzero(b: Expr) -> Expr:
        """A divisor that is not 0, nor -1 (whose quotient with the least number NumPy does not define)."""
        dtype = dtype_of(b)
        return Binary("max", Binary("&", b, Const(dtype.int_range[1], dtype)), Const(1, dtype))

    def floating(self, dtype: DType, depth: int) -> Expr:
        a = self.expr(dtype, depth)
        match self.random.randrange(4):
            case 0:
                return Unary("-", a)
            case 1:
                fn = self.random.choice(EXACT_FUNCTIONS)
                return Call(fn, (a, self.expr(dtype, depth), self.expr(dtype, depth)) if fn == "fma" else (a,))
        return Binary(self.random.choice([*ARITHMETIC, "/"]), a, self.expr(dtype, depth))


def kernel_of(draw: Draw, expressions: list[Expr]) -> Kernel:
    outputs = [Buffer(f"out_{i}", (LANES,), dtype_of(e)) for i, e in enumerate(expressions)]
    body: list[Stmt] = [Store(o, (draw.thread,), e) for o, e in zip(outputs, expressions)]
    return one_launch([*draw.inputs.values(), *outputs], tuple(body), draw.thread, LANES)


def arguments_of(kernel: Kernel, draw: Draw, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    out: dict[str, Any] = {}
    for b in kernel.params:
        assert isinstance(b, Buffer)
        is_input = b in draw.inputs.values()
        out[b.name] = random_values(rng, b.dtype, (LANES,)) if is_input else np.zeros(LANES, numpy_dtype(b.dtype))
    return out


def run_both(draw: Draw, expressions: list[Expr], seed: int) -> list[tuple[Expr, Any, Any]]:
    kernel = kernel_of(draw, expressions)
    device, numpy = arguments_of(kernel, draw, seed), arguments_of(kernel, draw, seed)
    run_on_device(kernel, device, checked=False)
    interp.run(kernel, numpy)
    return [(e, device[f"out_{i}"], numpy[f"out_{i}"]) for i, e in enumerate(expressions)]


def same_bits(a: Any, b: Any) -> Any:
    """Equal values lane by lane; NaNs are equal whatever their bits, and so are zeros of both signs."""
    if a.dtype.kind in "iub":
        return a == b
    x, y = a.astype(np.float64), b.astype(np.float64)
    return (x == y) | (np.isnan(x) & np.isnan(y))


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=4)
def test_expressions_agree_with_numpy(seed: int) -> None:
    draw = Draw(seed)
    expressions = [draw.expr(draw.random.choice(TYPES), draw.random.choice([1, 2, 3])) for _ in range(40)]
    for e, device, numpy in run_both(draw, expressions, seed):
        wrong = np.flatnonzero(~same_bits(device, numpy))
        assert not wrong.size, f"lane {wrong[0]}: {device[wrong[0]]!r}, NumPy {numpy[wrong[0]]!r} for {text(e)}"


def conversions(inputs: Draw) -> list[Expr]:
    """Each pair of dtypes (one integer for each way to convert); each rounding, saturating and not, between floats."""
    chosen = [t for t in TYPES if t.name not in ("int16", "uint8", "uint32", "uint64")]
    out: list[Expr] = []
    for source in chosen:
        value = Load(inputs.inputs[source], (inputs.thread,))
        out += [Cast(target, value) for target in chosen]
        if source.is_float:
            out += [
                Cast(t, value, Rounding.NEAREST_EVEN, True) for t in chosen if can_saturate(t) and source is FLOAT32
            ]
            modes = [r for r in Rounding if r is not Rounding.NEAREST_EVEN and source in (FLOAT32, FLOAT64)]
            targets = [t for t in FLOATS if source is FLOAT32 or t is FLOAT32]
            out += [Cast(t, value, r, can_saturate(t) and t.exponent == 4) for t in targets for r in modes]
    return out


def test_every_conversion_with_every_rounding() -> None:
    draw = Draw(0)
    for e, device, numpy in run_both(draw, conversions(draw), 1):
        wrong = np.flatnonzero(~same_bits(device, numpy))
        lane = wrong[0] if wrong.size else 0
        assert not wrong.size, f"lane {lane}: {device[lane]!r}, NumPy {numpy[lane]!r} for {text(e)}"


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_every_conversion_and_function_compiles_for_the_gpu(arch: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    draw = Draw(0)
    values = {t: Load(draw.inputs[t], (draw.thread,)) for t in TYPES}
    functions = [Call(fn, (values[t],)) for fn in ROUGH_FUNCTIONS for t in COMPUTING]
    random_ones = [draw.expr(draw.random.choice(TYPES), 3) for _ in range(15)]
    kernel = kernel_of(draw, [*conversions(draw)[::6], *functions, *random_ones])
    assert compile_for(emit(kernel), arch).cubin


def test_rough_functions_are_close() -> None:
    """Functions that no two libraries compute to the last bit."""
    draw = Draw(0)
    expressions: list[Expr] = []
    for dtype in COMPUTING:
        x = Call("abs", (Load(draw.inputs[dtype], (draw.thread,)),))
        bounded = Binary("min", Binary("max", x, Const(0.0625, dtype)), Const(4.0, dtype))
        expressions += [Call(fn, (bounded,)) for fn in ROUGH_FUNCTIONS]
    for e, device, numpy in run_both(draw, expressions, 3):
        tolerance = {64: 1e-12, 32: 1e-6, 16: 1e-2}[dtype_of(e).bits]
        np.testing.assert_allclose(
            device.astype(np.float64), numpy.astype(np.float64), rtol=tolerance, atol=tolerance, err_msg=text(e)
        )
