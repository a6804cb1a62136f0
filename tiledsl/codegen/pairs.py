"""Loops that round float32 values to neighbouring 16-bit floats: pairs of lanes share an instruction and a register."""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.codegen.offset import flat_offset, folded, is_even, linear_factor
from tiledsl.ir.dtypes import BFLOAT16, FLOAT16, FLOAT32
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


@dataclass(frozen=True, slots=True)
class Pairs:
    """`buffer[index]` and its neighbour are `low` and `high`, rounded; `count` times over `var` from 0."""

    var: Var
    count: int
    buffer: Buffer
    index: Expr
    low: Expr
    high: Expr


def as_pairs(loop: For) -> Pairs | None:
    """The loop over pairs that does what `loop` does; None unless it is unrolled and only rounds to registers."""
    match loop:
        case For(var, Const(int(extent)), (Store(buffer, _, Cast(dtype, value, rounding, False)) as s,), Unrolled(0)):
            pass
        case _:
            return None
    rounds = buffer.space is Space.LOCAL and dtype in (FLOAT16, BFLOAT16) and rounding is Rounding.NEAREST_EVEN
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
    return Pairs(pair, extent // 2, buffer, _at(index, var, first), low, high)


def _at(e: Expr, var: Var, value: Expr) -> Expr:
    return folded(substitute(e, {var: value}))
