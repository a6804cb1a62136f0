"""Loops that round float32 values to neighbouring floats of 16 or 8 bits: pairs of lanes share an instruction."""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.codegen.offset import flat_offset, folded, is_even, linear_factor
from tiledsl.ir.dtypes import BFLOAT16, FLOAT8_E4M3, FLOAT8_E5M2, FLOAT16, FLOAT32
from tiledsl.ir.nodes import (
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    Load,
    Rounding,
    Space,
    Store,
    Unrolled,
    Var,
)
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import substitute, walk

# What can be rounded in pairs, not saturating or saturating.
_PAIRED = {FLOAT16: (False,), BFLOAT16: (False,), FLOAT8_E4M3: (False, True), FLOAT8_E5M2: (False, True)}


@dataclass(frozen=True, slots=True)
class Pairs:
    """`buffer[index]` and its neighbour are `low` and `high`, rounded; `count` times over `var` from 0.

    What is too large is the largest number if they `saturate`.
    """

    var: Var
    count: int
    buffer: Buffer
    index: Expr
    low: Expr
    high: Expr
    saturate: bool = False


def as_pairs(loop: For) -> Pairs | None:
    """The loop over pairs that does what `loop` does; None unless it is unrolled and only rounds to registers."""
    match loop:
        case For(var, Const(int(extent)), (Store(buffer, _, Cast(dtype, value, rounding, full)) as s,), Unrolled(0)):
            pass
        case _:
            return None
    rounds = buffer.space is Space.LOCAL and full in _PAIRED.get(dtype, ()) and rounding is Rounding.NEAREST_EVEN
    if not rounds or extent % 2 or dtype_of(value) is not FLOAT32:
        return None
    index = flat_offset(buffer, s.indices)
    reads_itself = any(isinstance(n, Load) and n.buffer is buffer for n in walk(value))
    if reads_itself or linear_factor(index, var) != 1 or not is_even(_at(index, var, Const(0, var.dtype))):
        return None
    pair = Var(var.name, var.dtype)
    first: Expr = Const(0, var.dtype) if extent == 2 else pair * Const(2, var.dtype)
    second: Expr = Const(1, var.dtype) if extent == 2 else first + Const(1, var.dtype)
    low, high = _at(value, var, first), _at(value, var, second)
    return Pairs(pair, extent // 2, buffer, _at(index, var, first), low, high, full)


def _at(e: Expr, var: Var, value: Expr) -> Expr:
    return folded(substitute(e, {var: value}))
