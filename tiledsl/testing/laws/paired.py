"""Law: what is computed on two 16-bit floats in a register is what each half computes, rounded once."""

from __future__ import annotations

from math import isfinite, isnan, nan

import numpy as np
from hypothesis import strategies as st

from tiledsl.cpu import values
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.dtypes import DTYPES, UINT32, DType
from tiledsl.ir.ops import PAIRED, PAIRS
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.laws.directed import expected, same

_ZEROS = (0x0000, 0x8000)
_EDGES = (0x0000, 0x8000, 0x0001, 0x3C00, 0x7BFF, 0x7C00, 0xFC00, 0x7F7F, 0x7F80, 0xFF80, 0x7FFF, 0x8001, 0x3F80)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[str, str, list[int]]:
    """An operation, and words whose halves are any bits, often zeros, infinities, the largest and the least numbers."""
    name, pair = draw(st.sampled_from(sorted(PAIRED))), draw(st.sampled_from(sorted(PAIRS)))
    half = st.one_of(st.integers(0, 0xFFFF), st.sampled_from(_EDGES), st.sampled_from(_ZEROS))
    return name, pair, [draw(half) | draw(half) << 16 for _ in range(PAIRED[name])]


@law("S23", examples=200, case=pairs())
def paired_operations_are_those_of_each_half(case: tuple[str, str, list[int]]) -> None:
    """NaN becomes 0x7fff, and of zeros +0 is the larger one."""
    name, pair, words = case
    dtype = DTYPES[PAIRS[pair]]
    with np.errstate(all="ignore"):
        found = int(values.call(f"{name}_{pair}", [np.uint32(w) for w in words], UINT32))
    for shift in (0, 16):
        wanted = _of_half(name, dtype, [_number(w >> shift & 0xFFFF, dtype) for w in words])
        bits = found >> shift & 0xFFFF
        assert same(_number(bits, dtype), wanted), (name, pair, [hex(w) for w in words], hex(found), wanted)
        assert not isnan(wanted) or bits == 0x7FFF


def _number(bits: int, dtype: DType) -> float:
    return float(np.uint16(bits).view(numpy_dtype(dtype)))


def _of_half(name: str, dtype: DType, operands: list[float]) -> float:
    """What Python and exact fractions say."""
    if any(map(isnan, operands)):
        return nan
    match name:
        case "abs":
            return abs(operands[0])
        case "max" | "min":
            ordered = sorted(operands, key=lambda x: (x, str(x)[0] != "-"))
            return ordered[-1 if name == "max" else 0]
    if all(map(isfinite, operands)):
        return expected(f"{name}_rn", dtype, tuple(operands))
    a, b = operands[:2]
    infinite = {"add": lambda: a + b, "sub": lambda: a - b, "mul": lambda: a * b, "fma": lambda: a * b + operands[2]}
    return infinite[name]()  # Python's, of infinities: exact


LAWS = laws_of(globals())
