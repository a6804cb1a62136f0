"""Conversions with every rounding, and functions that no two libraries compute alike to the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from tiledsl.codegen.cuda import emit
from tiledsl.ir.dtypes import FLOAT32, FLOAT64
from tiledsl.ir.nodes import Binary, Call, Cast, Const, Expr, Load, Rounding
from tiledsl.ir.printer import text
from tiledsl.testing.laws.conversions import kernel_of, run_both, same_bits
from tiledsl.testing.strategies.values import COMPUTING, FLOATS, ROUGH_FUNCTIONS, TYPES, ValueMaker, can_saturate
from tiledsl.testing.thread_stage import compile_for

pytestmark = pytest.mark.cxx


def conversions(inputs: ValueMaker) -> list[Expr]:
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
    draw = ValueMaker(0)
    for e, device, numpy in run_both(draw, conversions(draw), 1):
        wrong = np.flatnonzero(~same_bits(device, numpy))
        lane = wrong[0] if wrong.size else 0
        assert not wrong.size, f"lane {lane}: {device[lane]!r}, NumPy {numpy[lane]!r} for {text(e)}"


@pytest.mark.parametrize("arch", ["sm_80", "sm_90a"])
def test_every_conversion_and_function_compiles_for_the_gpu(arch: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    draw = ValueMaker(0)
    values = {t: Load(draw.inputs[t], (draw.thread,)) for t in TYPES}
    functions = [Call(fn, (values[t],)) for fn in ROUGH_FUNCTIONS for t in COMPUTING]
    random_ones = [draw.expr(draw.random.choice(TYPES), 3) for _ in range(15)]
    kernel = kernel_of(draw, [*conversions(draw)[::6], *functions, *random_ones])
    assert compile_for(emit(kernel), arch).cubin


def test_functions_of_floats_of_up_to_32_bits_are_the_same_to_the_last_bit() -> None:
    """No two libraries agree on float32; all executions compute in float64, and round: any number, NaN too."""
    draw = ValueMaker(0)
    expressions: list[Expr] = []
    for dtype in (t for t in COMPUTING if t.bits <= 32):
        x = Load(draw.inputs[dtype], (draw.thread,))
        expressions += [Call(fn, (x,)) for fn in ROUGH_FUNCTIONS]
        expressions += [Binary(op, Call("abs", (x,)), Binary("*", x, Const(0.375, dtype))) for op in ("pow", "atan2")]
    for seed in range(3):
        for e, device, numpy in run_both(draw, expressions, seed):
            wrong = np.flatnonzero(~same_bits(device, numpy))
            lane = wrong[0] if wrong.size else 0
            assert not wrong.size, f"lane {lane}: {device[lane]!r}, NumPy {numpy[lane]!r} for {text(e)}"


def test_functions_of_float64_are_close() -> None:
    """Here the last bit is that of each library."""
    draw = ValueMaker(0)
    x = Call("abs", (Load(draw.inputs[FLOAT64], (draw.thread,)),))
    bounded = Binary("min", Binary("max", x, Const(0.0625, FLOAT64)), Const(4.0, FLOAT64))
    for e, device, numpy in run_both(draw, [Call(fn, (bounded,)) for fn in ROUGH_FUNCTIONS], 3):
        np.testing.assert_allclose(device, numpy, rtol=1e-12, atol=1e-12, err_msg=text(e))
