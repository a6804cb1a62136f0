"""The powers of two that divide addresses."""

from __future__ import annotations

from math import gcd

from tiledsl.ir.linear import ONE, Atom
from tiledsl.ir.nodes import Binary, Buffer, Const, Expr, Select, wrap
from tiledsl.ir.simplify import Simplifier

GREATEST = 1 << 16  # what 0 counts as


def alignment(e: Expr, simplifier: Simplifier) -> int:
    """The largest power of two that divides the index `e` for sure, at most GREATEST.

    Divisors of variables are the simplifier's.
    """
    result = 0
    for atom, k in simplifier.linear(e).items():
        result = gcd(result, k * _atom_alignment(atom, simplifier))
    return min(result & -result, GREATEST) or GREATEST


def _atom_alignment(atom: Atom, simplifier: Simplifier) -> int:
    if atom is ONE or atom.divisor or atom.unit > 1:
        return 1
    match atom.expr:
        case Binary("*", a, b):
            return alignment(a, simplifier) * alignment(b, simplifier)
        case Binary("^" | "|" | "min" | "max", a, b) | Select(_, a, b):
            return min(alignment(a, simplifier), alignment(b, simplifier))
    return 1


def row_strides(buffer: Buffer) -> tuple[Expr, ...]:
    """The strides of a buffer in elements, as expressions; row-major where it has none of its own."""
    if buffer.strides is not None:
        return tuple(wrap(s) for s in buffer.strides)
    strides: list[Expr] = []
    step: Expr = Const(1)
    for extent in reversed(buffer.shape):
        strides.append(step)
        step = Const(step.value * extent) if isinstance(step, Const) and isinstance(extent, int) else step * extent
    return tuple(reversed(strides))


def offset_of(buffer: Buffer, indices: tuple[Expr, ...]) -> Expr:
    """The distance of an element from the first, in elements."""
    offset: Expr = Const(0)
    for index, stride in zip(indices, row_strides(buffer), strict=True):
        offset = offset + index * stride
    return offset


def element_alignment(buffer: Buffer, indices: tuple[Expr, ...], simplifier: Simplifier) -> int:
    """The power of two, in elements, that divides the distance of the element from the start of the buffer.

    With several versions each starts at a multiple of the buffer's size, which counts too.
    """
    result = alignment(offset_of(buffer, indices), simplifier)
    if buffer.versions > 1:
        size = alignment(offset_of(buffer, (wrap(buffer.shape[0]), *(Const(0) for _ in indices[1:]))), simplifier)
        result = min(result, size)
    return result
