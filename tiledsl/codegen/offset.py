"""Offsets of elements from the start of a buffer, as expressions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tiledsl.ir.dtypes import INT32, INT64, DType
from tiledsl.ir.nodes import (
    Binary,
    Buffer,
    Call,
    Cast,
    Const,
    Expr,
    Extent,
    Extern,
    Load,
    Node,
    Reinterpret,
    Select,
    Unary,
    Var,
)
from tiledsl.ir.ops import FUNCTIONS, Result
from tiledsl.ir.walk import rewrite, substitute, walk


def flat_offset(buffer: Buffer, indices: Sequence[Expr]) -> Expr:
    """The element offset of `indices` by the strides, as int64 if an index or a stride is, else as int32."""
    if len(indices) == 1 and buffer.strides is None:
        return indices[0]
    if not indices:
        return Const(0, INT32)
    if buffer.strides is not None:
        return _sum_of_products(indices, buffer.strides)
    total, *rest = indices
    for index, extent in zip(rest, buffer.shape[1:], strict=True):
        total = plus(times(total, _number(extent)), index)
    return total


def _sum_of_products(indices: Sequence[Expr], strides: Sequence[Extent]) -> Expr:
    total: Expr = Const(0, INT32)
    for index, stride in zip(indices, strides, strict=True):
        total = plus(total, times(index, _number(stride)))
    return total


def _number(extent: Extent) -> Expr:
    return Const(extent, INT32) if isinstance(extent, int) else extent


def is_zero(e: Expr) -> bool:
    """Whether `e` is the constant 0."""
    return isinstance(e, Const) and e.value == 0


def times(a: Expr, b: Expr) -> Expr:
    """Their product in the wider of their types, without what constants make superfluous."""
    match a, b:
        case (Const(x), Const(y)):
            return _constant(int(x) * int(y))
        case (_, Const(1)):
            return a
        case (Const(0), _) | (_, Const(0)):
            return Const(0, INT32)
    return _same_width("*", a, b)


def plus(a: Expr, b: Expr) -> Expr:
    """Their sum, as `times`."""
    match a, b:
        case (Const(x), Const(y)):
            return _constant(int(x) + int(y))
        case (_, Const(0)):
            return a
        case (Const(0), _):
            return b
    return _same_width("+", a, b)


def _constant(value: int) -> Const:
    return Const(value, INT64 if abs(value) >= 2**31 else INT32)


def _same_width(op: str, a: Expr, b: Expr) -> Expr:
    dtype = _wider(a, b)
    return Binary(op, _as(a, dtype), _as(b, dtype))


def _as(e: Expr, dtype: DType) -> Expr:
    if isinstance(e, Const):
        return Const(e.value, dtype)
    return e if _width(e) is dtype else Cast(dtype, e)


def _wider(a: Expr, b: Expr) -> DType:
    """int64 if one of them, not a constant that fits, is wider than 32 bits."""
    widths = [_width(e) for e in (a, b) if not isinstance(e, Const) or abs(int(e.value)) >= 2**31]
    return INT64 if any(w is INT64 for w in widths) else INT32


def _width(e: Expr) -> DType:
    """int64 for 64-bit integers and indices, else int32; looks down the left spine only as far as needed."""
    match e:
        case Const(value):
            return INT64 if abs(int(value)) >= 2**31 else INT32
        case Var(_, dtype) | Cast(dtype) | Reinterpret(dtype) | Extern(_, _, dtype):
            return INT64 if dtype.bits == 64 else INT32
        case Load(buffer):
            return INT64 if buffer.dtype.bits == 64 else INT32
        case Binary(_, a, b) | Select(_, a, b):  # a constant takes the type of the other side
            return _width(b) if isinstance(a, Const) else _width(a)
        case Unary(_, a):
            return _width(a)
        case Call(fn, args):
            return INT32 if FUNCTIONS[fn].result is Result.INT32 else _width(args[0])
    raise TypeError(f"{type(e).__name__} is not an index")


def in_bytes(offset: Expr, item: int) -> Expr:
    """`offset` elements of `item` bytes, the factor in each summand: the C++ compiler does not distribute it."""
    match offset:
        case Const(value, dtype):
            return Const(int(value) * item, dtype)
        case Binary("+" | "-" as op, a, b):
            return _same_width(op, in_bytes(a, item), in_bytes(b, item))
        case Binary("*", a, Const() as b):
            return times(a, in_bytes(b, item))
    return times(offset, Const(item, INT32))


def divided(offset: Expr, by: int) -> Expr | None:
    """`offset // by`, where each summand is seen to be a multiple of `by`; None where one is not."""
    match offset:
        case Const(value, dtype):
            return Const(int(value) // by, dtype) if int(value) % by == 0 else None
        case Binary("+" | "-" as op, a, b):
            left, right = divided(a, by), divided(b, by)
            if left is None or right is None:
                return None
            return plus(left, right) if op == "+" else _same_width("-", left, right)
        case Binary("*", a, Const(int(factor))) if factor % by == 0:
            return times(a, _constant(factor // by))
        case Cast(dtype, a) if dtype is INT64 and (inner := divided(a, by)) is not None:
            return Cast(INT64, inner)
    return None


def split_steps(offset: Expr, unrolled: Mapping[Var, int]) -> tuple[Expr, Expr]:
    """`offset` as the sum of two: its value where all `unrolled` variables are 0, and what they add to it.

    The second is built of constants and of variables of unrolled loops alone (given with their extents), so that it
    becomes a constant displacement of a pointer that the copies of the body share. No overflow is new: each step of the
    first is one that `offset` takes itself, and the second is 0 where its greatest value needs more than 32 bits.
    """
    found: dict[Var, int] = {}
    nonlinear: set[Var] = set()
    _coefficients(offset, 1, unrolled, found, nonlinear)
    steps = {v: k for v, k in found.items() if k and v not in nonlinear}
    if not steps or sum(abs(k) * (unrolled[v] - 1) for v, k in steps.items()) >= 2**31:
        return offset, Const(0, INT32)
    total: Expr = Const(0, INT32)
    for v, k in steps.items():
        total = plus(total, times(v, Const(k, INT32)))
    return folded(substitute(offset, {v: Const(0, v.dtype) for v in steps})), total


def _coefficients(e: Expr, k: int, unrolled: Mapping[Var, int], found: dict[Var, int], nonlinear: set[Var]) -> None:
    """Adds the factors of `unrolled` variables in `k * e` to `found`; those not in a linear term to `nonlinear`."""
    match e:
        case Const():
            pass
        case Var() if e in unrolled:
            found[e] = found.get(e, 0) + k
        case Binary("+" | "-" as op, a, b):
            _coefficients(a, k, unrolled, found, nonlinear)
            _coefficients(b, k if op == "+" else -k, unrolled, found, nonlinear)
        case Binary("*", a, Const(int(c))) | Binary("*", Const(int(c)), a):
            _coefficients(a, k * c, unrolled, found, nonlinear)
        case Cast(dtype, a) if dtype is INT64 and _width(a) is INT32:
            _coefficients(a, k, unrolled, found, nonlinear)
        case _:
            nonlinear.update(n for n in walk(e) if isinstance(n, Var) and n in unrolled)


def linear_factor(e: Expr, var: Var) -> int | None:
    """What `e` grows by when `var` does by 1; None if that is no constant."""
    found: dict[Var, int] = {}
    nonlinear: set[Var] = set()
    _coefficients(e, 1, {var: 2}, found, nonlinear)
    return None if nonlinear else found.get(var, 0)


def is_even(e: Expr) -> bool:
    """Whether the sum of products `e` is even for all values of its variables; False where that is not seen."""
    match e:
        case Const(value):
            return int(value) % 2 == 0
        case Binary("+" | "-", a, b):
            return is_even(a) and is_even(b)
        case Binary("*", a, b):
            return is_even(a) or is_even(b)
        case Cast(dtype, a) if dtype is INT64:
            return is_even(a)
    return False


def folded(e: Expr) -> Expr:
    """`e` without the integer sums and products that constants make superfluous; floats stay as they are."""

    def fold(n: Node) -> Node:
        match n:
            case Cast(dtype, Const(int(value))) if dtype is INT64:
                return Const(value, INT64)
            case Binary("*", Const(int(x), dtype), Const(int(y))) if dtype.is_integer and _holds(dtype, x * y):
                return Const(x * y, dtype)
            case Binary("+" | "-", a, Const(int(c))) if c == 0:
                return a
            case Binary("+", Const(int(c)), a) if c == 0:
                return a
        return n

    result = rewrite(e, fold)
    assert isinstance(result, Expr)
    return result


def _holds(dtype: DType, value: int) -> bool:
    least, greatest = dtype.int_range
    return least <= value <= greatest
