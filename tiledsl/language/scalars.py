"""Words on numbers: arithmetic, mathematics, selection, conversion, bits, and exchange within a warp.

On Python numbers they compute at trace time where Python has the function; on traced values they build expressions.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from tiledsl.frontend.proxies import (
    Scalar,
    apply,
    at_trace_time,
    binary,
    call,
    condition,
    describe,
    divide,
    either,
    operand,
    power,
    reinterpreted,
    scalar,
    select,
)
from tiledsl.frontend.proxies import (
    cast as _cast,
)
from tiledsl.frontend.source import fail
from tiledsl.frontend.typenames import dtype_named, largest_float, literal
from tiledsl.ir.dtypes import INT32, DType
from tiledsl.ir.nodes import Const, Rounding
from tiledsl.ir.ops import trunc_div, trunc_rem

Word = Callable[[Any], Any]


def is_traced(*values: Any) -> bool:
    """Whether any of the values is known only when the kernel runs."""
    return any(isinstance(operand(v), Scalar) for v in values)


# ------------------------------------------------------------------------------------------------------ arithmetic


def maximum(*values: Any) -> Any:
    """The largest of two or more numbers. `z = T.max(x, y, 0)`, of the dtype that the operands have together."""
    return _fold_all("T.max", "max", max, values)


def minimum(*values: Any) -> Any:
    """The smallest of two or more numbers. `z = T.min(x, y, 1)`, of the dtype that the operands have together."""
    return _fold_all("T.min", "min", min, values)


def _fold_all(word: str, op: str, python: Callable[[Any, Any], Any], values: tuple[Any, ...]) -> Any:
    if not values:
        raise fail("TD0202", value=f"no values for {word}")
    result = operand(values[0])
    for v in values[1:]:
        result = either(op, python, result, v)
    return result


def absolute(x: Any) -> Any:
    """The magnitude of a number, of its dtype. `y = T.abs(x)`."""
    return call("abs", x) if is_traced(x) else at_trace_time(abs, x)


def ceildiv(a: Any, b: Any) -> Any:
    """The quotient of integers rounded up: the number of tiles of size `b` that cover `a`.

    `tiles = T.ceildiv(n, 128)`. TD0244 for a `b` that is the constant 0.
    """
    _no_zero("T.ceildiv", b)
    if not is_traced(a, b):
        return at_trace_time(lambda x, y: -(-x // y), a, b)
    return (scalar(a, _integer(b)) + b - 1) // b if isinstance(operand(b), int) else (a + b - 1) // b


def _integer(value: Any) -> DType | None:
    value = operand(value)
    return value.type if isinstance(value, Scalar) else None


def fdiv(a: Any, b: Any) -> Any:
    """`a / b` on floats; `/` is the same. `z = T.fdiv(x, y)`."""
    return divide(a, b) if is_traced(a, b) else at_trace_time(operator.truediv, a, b)


def floordiv(a: Any, b: Any) -> Any:
    """The quotient rounded down; `//` is the same. `q = T.floordiv(n, 8)`. TD0244 for a `b` that is the constant 0."""
    _no_zero("T.floordiv", b)
    return either("//", lambda x, y: x // y, a, b)


def floormod(a: Any, b: Any) -> Any:
    """The remainder with the sign of `b`; `%` is the same.

    `r = T.floormod(n, 8)`. TD0244 for a `b` that is the constant 0.
    """
    _no_zero("T.floormod", b)
    return either("%", lambda x, y: x % y, a, b)


def truncdiv(a: Any, b: Any) -> Any:
    """The quotient of integers rounded towards zero, as in C.

    `q = T.truncdiv(n, 8)`. TD0223 for floats, TD0244 for a `b` that is the constant 0.
    """
    _no_zero("T.truncdiv", b)
    return _integers("T.truncdiv", "div", trunc_div, a, b)


def truncmod(a: Any, b: Any) -> Any:
    """The remainder of integers with the sign of `a`, as in C.

    `r = T.truncmod(n, 8)`. TD0223 for floats, TD0244 for a `b` that is the constant 0.
    """
    _no_zero("T.truncmod", b)
    return _integers("T.truncmod", "rem", trunc_rem, a, b)


def _integers(word: str, op: str, python: Callable[[Any, Any], Any], a: Any, b: Any) -> Any:
    result = either(op, python, a, b)
    if isinstance(result, float) or (isinstance(result, Scalar) and result.type.is_float):
        raise fail("TD0223", op=word, a=describe(a), b=describe(b))
    return result


def _no_zero(word: str, b: Any) -> None:
    b = operand(b)
    if not isinstance(b, Scalar) and b == 0:
        raise fail("TD0244", word=word)


def pow_(a: Any, b: Any) -> Any:
    """`a` to the power `b`, in floating point. `z = T.pow(x, 2)`."""
    return power(a, b) if is_traced(a, b) else at_trace_time(operator.pow, a, b)


def clamp(value: Any, low: Any, high: Any) -> Any:
    """`value`, but at least `low` and at most `high`. `y = T.clamp(x, 0, 1)`."""
    return minimum(maximum(value, low), high)


def infinity(dtype: Any = "float32") -> Scalar:
    """Infinity of a float dtype; the largest finite value of a dtype without one.

    `top = T.infinity(T.float16)`. TD0245 for integers.
    """
    found = dtype_named(dtype)
    if not found.is_float:
        raise fail("TD0245", word="T.infinity", dtype=found)
    has_infinity = found.bits >= 16 or found.name == "float8_e5m2"
    return Scalar(Const(math.inf if has_infinity else largest_float(found), found), found)


def max_value(dtype: Any) -> Scalar:
    """The largest finite value of a dtype. `top = T.max_value(T.int8)`."""
    found = dtype_named(dtype)
    top = largest_float(found) if found.is_float else found.int_range[1]
    return Scalar(literal(top, found), found)


def min_value(dtype: Any) -> Scalar:
    """The smallest (most negative) finite value of a dtype. `bottom = T.min_value(T.float16)`."""
    found = dtype_named(dtype)
    bottom = -largest_float(found) if found.is_float else found.int_range[0]
    return Scalar(literal(bottom, found), found)


# ------------------------------------------------------------------------------------------- selection, conversion


def if_then_else(cond: Any, a: Any, b: Any) -> Any:
    """`a` where `cond` holds, else `b`; only the chosen one is evaluated. A Python condition chooses at trace time.

    `y = T.if_then_else(i < n, X[i], 0)`, or `y = T.Select(x > 0, x, 0)`.
    """
    if not is_traced(cond):
        return a if operand(cond) else b
    return select(cond, a, b)


def cast(value: Any, dtype: Any, rounding_mode: str = "rn", saturate: bool = False) -> Scalar:
    """`value` converted to `dtype`: `h = T.cast(x, T.float16)`.

    Float to integer truncates; `saturate` clamps to the range instead of wrapping. `rounding_mode` is rn (to even), rz,
    rm, rp or rna (TD0226). Neighbours that are rounded to float16, bfloat16, float8_e4m3fn or float8_e5m2 share an
    instruction: cvt.rn.f16x2.f32, .bf16x2, and from sm_89 on .satfinite.e4m3x2 and .e5m2x2, after which what is not to
    saturate is put right (PTX ISA, "cvt").
    """
    modes = {r.value: r for r in Rounding}
    if rounding_mode not in modes:
        allowed = ", ".join(modes)
        raise fail("TD0226", word="T.cast", name="rounding_mode", value=describe(rounding_mode), allowed=allowed)
    return _cast(value, dtype_named(dtype), modes[rounding_mode], bool(saturate))


def Cast(dtype: Any, value: Any) -> Scalar:
    """`value` converted to `dtype`: `h = T.Cast(T.float16, x)`; `h = T.cast(x, T.float16)` is the same."""
    return _cast(value, dtype_named(dtype))


def reinterpret(dtype: Any, value: Any) -> Scalar:
    """The same bits as another dtype of equal size.

    `w = T.reinterpret(T.uint32, x)`. TD0246 for a dtype of another size.
    """
    if isinstance(dtype, Scalar) and not isinstance(value, Scalar):
        dtype, value = value, dtype
    x, target = scalar(value), dtype_named(dtype)
    if x.type.bits != target.bits:
        raise fail("TD0246", value=describe(x), bits=x.type.bits, dtype=target, wanted=target.bits)
    return reinterpreted(x, target)


# ------------------------------------------------------------------------------------------------------------ bits


_BITS: dict[str, Callable[[Any, Any], Any]] = {
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
    "<<": operator.lshift,
    ">>": operator.rshift,
}


def _on_bits(op: str, a: Any, b: Any) -> Any:
    return apply(op, a, b) if is_traced(a, b) else at_trace_time(_BITS[op], a, b)


def bitwise_and(a: Any, b: Any) -> Any:
    """`a & b` on integers. `m = T.bitwise_and(n, 7)`."""
    return _on_bits("&", a, b)


def bitwise_or(a: Any, b: Any) -> Any:
    """`a | b` on integers. `m = T.bitwise_or(n, 1)`."""
    return _on_bits("|", a, b)


def bitwise_xor(a: Any, b: Any) -> Any:
    """`a ^ b` on integers. `m = T.bitwise_xor(i, j)`."""
    return _on_bits("^", a, b)


def bitwise_not(a: Any) -> Any:
    """`~a` on an integer. `m = T.bitwise_not(w)`."""
    return ~scalar(a) if is_traced(a) else at_trace_time(operator.invert, a)


def shift_left(a: Any, b: Any) -> Any:
    """`a << b` on integers. `m = T.shift_left(1, j)`."""
    return _on_bits("<<", a, b)


def shift_right(a: Any, b: Any) -> Any:
    """`a >> b` on integers; keeps the sign of signed ones. `m = T.shift_right(w, 16)`."""
    return _on_bits(">>", a, b)


def popcount(x: Any) -> Any:
    """The number of one bits of an integer. `c = T.popcount(w)`. TD0223 for a float."""
    return _on_integer("popcount", x)


def clz(x: Any) -> Any:
    """The number of leading zero bits of an integer. `c = T.clz(w)`. TD0223 for a float."""
    return _on_integer("clz", x)


def _on_integer(fn: str, x: Any) -> Any:
    value = scalar(x, INT32)
    if not value.type.is_integer:
        raise fail("TD0223", op=f"T.{fn}", a=describe(x), b="nothing")
    return call(fn, value)


def dp4a(a: Any, b: Any, c: Any) -> Any:
    """`c` plus the dot product of the four int8 that each of `a` and `b` packs in an int32.

    `n = T.dp4a(i, j, n)`, an int32. Source: PTX ISA, "dp4a".
    """
    return call("dp4a", _cast(a, INT32), _cast(b, INT32), _cast(c, INT32))


def logical_and(a: Any, b: Any) -> Any:
    """`a and b` as a bool. `inside = T.logical_and(i < n, j < n)`."""
    return binary("and", condition(a), condition(b)) if is_traced(a, b) else bool(a) and bool(b)


def logical_or(a: Any, b: Any) -> Any:
    """`a or b` as a bool. `outside = T.logical_or(i >= n, j >= n)`."""
    return binary("or", condition(a), condition(b)) if is_traced(a, b) else bool(a) or bool(b)


def logical_not(a: Any) -> Any:
    """`not a` as a bool. `outside = T.logical_not(i < n)`."""
    return ~condition(a) if is_traced(a) else not a
