"""Operations on two 16-bit floats that share an uint32 (PTX ISA, "add.f16x2" and its like)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tiledsl.cpu.numerics import fused_multiply_add, numpy_dtype
from tiledsl.ir.dtypes import DTYPES
from tiledsl.ir.ops import PAIRS

Value = Any  # NumPy numbers and arrays, as in values.py
_NAN = np.uint16(0x7FFF)


def paired(operation: str, pair: str, *operands: Value) -> Value:
    """An operation of `ops.PAIRED` on the halves of its operands, each rounded once."""
    holder = numpy_dtype(DTYPES[PAIRS[pair]])
    halves = [np.array(x, np.uint32, order="C")[..., None].view(np.uint16) for x in np.broadcast_arrays(*operands)]
    with np.errstate(all="ignore"):
        result = _OPERATIONS[operation](*(h.view(holder) for h in halves)).astype(holder)
    bits = np.where(np.isnan(result), _NAN, result.view(np.uint16))
    if operation in ("max", "min"):
        a, b = halves
        zeros = ((a | b) & 0x7FFF) == 0  # +0 is the larger one
        bits = np.where(zeros, a & b if operation == "max" else a | b, bits)
    return bits.astype(np.uint16).view(np.uint32)[..., 0][()]


_OPERATIONS: dict[str, Callable[..., Value]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "fma": fused_multiply_add,
    "max": np.maximum,
    "min": np.minimum,
    "abs": np.abs,
}
