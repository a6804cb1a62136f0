"""Laws: the emitted C++ computes what the NumPy tables compute, and these round as exact fractions do.

Expressions are drawn many at a time, since one kernel compiles as fast as the other: each stores its value for every
lane in an output of its own, and the test names the expression that differs.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from math import ceil, floor, inf, ldexp, trunc
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tiledsl.cpu import interp
from tiledsl.cpu.numerics import convert, numpy_dtype
from tiledsl.ir.dtypes import BFLOAT16, FLOAT8_E5M2, FLOAT16, FLOAT32, FLOAT64, INT64, TFLOAT32, UINT64, DType
from tiledsl.ir.nodes import (
    Buffer,
    Expr,
    Kernel,
    Rounding,
    Stmt,
    Store,
)
from tiledsl.ir.printer import text
from tiledsl.ir.types import dtype_of
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.strategies.values import LANES, TYPES, ValueMaker
from tiledsl.testing.thread_stage import one_launch, random_values, run_on_device


def kernel_of(draw: ValueMaker, expressions: list[Expr]) -> Kernel:
    outputs = [Buffer(f"out_{i}", (LANES,), dtype_of(e)) for i, e in enumerate(expressions)]
    body: list[Stmt] = [Store(o, (draw.thread,), e) for o, e in zip(outputs, expressions)]
    return one_launch([*draw.inputs.values(), *outputs], tuple(body), draw.thread, LANES)


def arguments_of(kernel: Kernel, draw: ValueMaker, seed: int) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    out: dict[str, Any] = {}
    for b in kernel.params:
        assert isinstance(b, Buffer)
        is_input = b in draw.inputs.values()
        out[b.name] = random_values(rng, b.dtype, (LANES,)) if is_input else np.zeros(LANES, numpy_dtype(b.dtype))
    return out


def run_both(draw: ValueMaker, expressions: list[Expr], seed: int) -> list[tuple[Expr, Any, Any]]:
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


@law(examples=4, compiler=True, seed=st.integers(0, 2**32 - 1))
def expressions_agree_with_numpy(seed: int) -> None:
    draw = ValueMaker(seed)
    expressions = [draw.expr(draw.random.choice(TYPES), draw.random.choice([1, 2, 3])) for _ in range(40)]
    for e, device, numpy in run_both(draw, expressions, seed):
        wrong = np.flatnonzero(~same_bits(device, numpy))
        assert not wrong.size, f"lane {wrong[0]}: {device[wrong[0]]!r}, NumPy {numpy[wrong[0]]!r} for {text(e)}"


_TO_INTEGER: dict[Rounding, Callable[[Fraction], int]] = {
    Rounding.NEAREST_EVEN: round,
    Rounding.ZERO: trunc,
    Rounding.DOWN: floor,
    Rounding.UP: ceil,
    Rounding.NEAREST_AWAY: lambda q: trunc(q + Fraction(1 if q > 0 else -1, 2)),
}


def rounded(x: Fraction, target: DType, rounding: Rounding) -> float:
    """The value of `target`, a format as IEEE 754 has them, that `x` is rounded to."""
    beyond = 1 << (target.exponent - 1)  # every finite value is below 2**beyond
    exponent = abs(x.numerator).bit_length() - x.denominator.bit_length()
    exponent -= abs(x) < Fraction(2) ** exponent
    step = Fraction(2) ** (max(exponent, 2 - beyond) - target.mantissa)
    result = _TO_INTEGER[rounding](x / step) * step
    if abs(result) < Fraction(2) ** beyond:
        return float(result)
    towards_zero = {Rounding.ZERO: True, Rounding.DOWN: x > 0, Rounding.UP: x < 0}.get(rounding, False)
    largest = Fraction(2) ** beyond - Fraction(2) ** (beyond - 1 - target.mantissa)
    return (1 if x > 0 else -1) * (float(largest) if towards_zero else inf)


@st.composite
def halfway(draw: st.DrawFn) -> tuple[int, DType]:
    """An integer in the middle between two neighbours of a float type, or next to it; often one that no float64 is."""
    target = draw(st.sampled_from([FLOAT64, FLOAT32, TFLOAT32, BFLOAT16]))
    digits = target.mantissa + 2
    bits = draw(st.integers(digits if draw(st.booleans()) else max(digits, 54), 64))
    middle = (draw(st.integers(2 ** (digits - 2), 2 ** (digits - 1) - 1)) * 2 + 1) << (bits - digits)
    return middle + draw(st.integers(-1, 1)), target


@law("S23", examples=100, case=halfway(), negative=st.booleans())
def integers_are_rounded_once(case: tuple[int, DType], negative: bool) -> None:
    """Of 64 bits too, whose way to a short float is by another float."""
    x, target = case
    source = UINT64 if x >= 2**63 else INT64
    x = -x if negative and source is INT64 else x
    found = convert(numpy_dtype(source).type(x), source, target)
    assert float(found) == rounded(Fraction(x), target, Rounding.NEAREST_EVEN)


@st.composite
def beside(draw: st.DrawFn) -> tuple[float, DType]:
    """A float64 with a few digits more than a shorter type, often among its subnormal numbers or its largest ones."""
    target = draw(st.sampled_from([FLOAT32, TFLOAT32, FLOAT16, BFLOAT16, FLOAT8_E5M2]))
    beyond = 1 << (target.exponent - 1)
    ends = st.sampled_from([1 - beyond, 2 - beyond, beyond - 1, beyond - 1])
    exponent = draw(st.one_of(ends, st.integers(-beyond, beyond)))
    most = 16 << target.mantissa
    digits = draw(st.one_of(st.integers(0, most), st.integers(most - 16, most + 16)))
    return draw(st.sampled_from([1, -1])) * ldexp(digits, exponent - target.mantissa - 3), target


@law("S23", examples=100, case=beside(), rounding=st.sampled_from(Rounding))
def floats_are_rounded_once(case: tuple[float, DType], rounding: Rounding) -> None:
    """Subnormal numbers have fewer digits; what is too large becomes infinite, or the largest number, as asked."""
    x, target = case
    assert float(convert(np.float64(x), FLOAT64, target, rounding)) == rounded(Fraction(x), target, rounding)


LAWS = laws_of(globals())
