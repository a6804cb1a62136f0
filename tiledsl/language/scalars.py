"""Words on numbers: arithmetic, mathematics, selection, conversion, bits, and exchange within a warp.

On Python numbers they compute at trace time where Python has the function; on traced values they build expressions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tiledsl.frontend.binding import bind
from tiledsl.frontend.proxies import (
    Scalar,
    binary,
    bitwise,
    call,
    condition,
    dependencies,
    describe,
    divide,
    dtype_named,
    either,
    expr_of,
    largest_float,
    literal,
    operand,
    power,
    reads_of,
    scalar,
    select,
    shift,
)
from tiledsl.frontend.proxies import (
    cast as _cast,
)
from tiledsl.frontend.source import fail
from tiledsl.ir.dtypes import FLOAT32, INT32, DType
from tiledsl.ir.nodes import Call, Const, Reinterpret, Rounding
from tiledsl.ir.ops import trunc_div, trunc_rem
from tiledsl.language.tiles import begin

Word = Callable[[Any], Any]


def _is_traced(*values: Any) -> bool:
    return any(isinstance(operand(v), Scalar) for v in values)


# ------------------------------------------------------------------------------------------------------ arithmetic


def maximum(*values: Any) -> Any:
    """The largest of two or more numbers."""
    return _fold_all("T.max", "max", max, values)


def minimum(*values: Any) -> Any:
    """The smallest of two or more numbers."""
    return _fold_all("T.min", "min", min, values)


def _fold_all(word: str, op: str, python: Callable[[Any, Any], Any], values: tuple[Any, ...]) -> Any:
    if not values:
        raise fail("TD0202", value=f"no values for {word}")
    result = operand(values[0])
    for v in values[1:]:
        result = either(op, python, result, v)
    return result


def absolute(x: Any) -> Any:
    """The magnitude."""
    return call("abs", x) if _is_traced(x) else abs(operand(x))  # type: ignore[arg-type]


def ceildiv(a: Any, b: Any) -> Any:
    """The quotient of integers rounded up: the number of tiles of size `b` that cover `a`."""
    _no_zero("T.ceildiv", b)
    if not _is_traced(a, b):
        return -(-operand(a) // operand(b))  # type: ignore[operator]
    return (scalar(a, _integer(b)) + b - 1) // b if isinstance(operand(b), int) else (a + b - 1) // b


def _integer(value: Any) -> DType | None:
    value = operand(value)
    return value.type if isinstance(value, Scalar) else None


def floordiv(a: Any, b: Any) -> Any:
    """The quotient rounded down; `//` is the same."""
    _no_zero("T.floordiv", b)
    return either("//", lambda x, y: x // y, a, b)


def floormod(a: Any, b: Any) -> Any:
    """The remainder with the sign of `b`; `%` is the same."""
    _no_zero("T.floormod", b)
    return either("%", lambda x, y: x % y, a, b)


def truncdiv(a: Any, b: Any) -> Any:
    """The quotient of integers rounded towards zero, as in C."""
    _no_zero("T.truncdiv", b)
    return _integers("T.truncdiv", "div", trunc_div, a, b)


def truncmod(a: Any, b: Any) -> Any:
    """The remainder of integers with the sign of `a`, as in C."""
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
    """`a` to the power `b`, in floating point."""
    return power(a, b) if _is_traced(a, b) else operand(a) ** operand(b)  # type: ignore[operator]


def clamp(value: Any, low: Any, high: Any) -> Any:
    """`value`, but at least `low` and at most `high`."""
    return minimum(maximum(value, low), high)


def infinity(dtype: Any = "float32") -> Scalar:
    """Infinity of a float dtype; the largest finite value of a dtype without one."""
    found = dtype_named(dtype)
    if not found.is_float:
        raise fail("TD0245", word="T.infinity", dtype=found)
    has_infinity = found.bits >= 16 or found.name == "float8_e5m2"
    return Scalar(Const(math.inf if has_infinity else largest_float(found), found), found)


def max_value(dtype: Any) -> Scalar:
    """The largest finite value of a dtype."""
    found = dtype_named(dtype)
    top = largest_float(found) if found.is_float else found.int_range[1]
    return Scalar(literal(top, found), found)


def min_value(dtype: Any) -> Scalar:
    """The smallest (most negative) finite value of a dtype."""
    found = dtype_named(dtype)
    bottom = -largest_float(found) if found.is_float else found.int_range[0]
    return Scalar(literal(bottom, found), found)


# ----------------------------------------------------------------------------------------------------- mathematics


def _function(fn: str, doc: str, python: Callable[[Any], Any] | None = None) -> Word:
    """A word for a function of one float; integers are converted to float32."""

    def word(x: Any) -> Any:
        if not _is_traced(x) and python is not None:
            return python(operand(x))
        return call(fn, x if _is_traced(x) else scalar(x, FLOAT32), floats=True)

    word.__doc__, word.__name__, word.__qualname__ = doc, fn, fn
    return word


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


exp = _function("exp", "e to the power x.", math.exp)
exp2 = _function("exp2", "2 to the power x.", math.exp2)
exp10 = _function("exp10", "10 to the power x.", lambda x: 10.0**x)
log = _function("log", "The natural logarithm.", math.log)
log2 = _function("log2", "The logarithm to base 2.", math.log2)
log10 = _function("log10", "The logarithm to base 10.", math.log10)
sqrt = _function("sqrt", "The square root.", math.sqrt)
rsqrt = _function("rsqrt", "The reciprocal of the square root.", lambda x: 1.0 / math.sqrt(x))
sigmoid = _function("sigmoid", "1 / (1 + exp(-x)).", _sigmoid)
tanh = _function("tanh", "The hyperbolic tangent.", math.tanh)
sinh = _function("sinh", "The hyperbolic sine.", math.sinh)
cosh = _function("cosh", "The hyperbolic cosine.", math.cosh)
sin = _function("sin", "The sine of an angle in radians.", math.sin)
cos = _function("cos", "The cosine of an angle in radians.", math.cos)
tan = _function("tan", "The tangent of an angle in radians.", math.tan)
asin = _function("asin", "The inverse of the sine.", math.asin)
acos = _function("acos", "The inverse of the cosine.", math.acos)
atan = _function("atan", "The inverse of the tangent.", math.atan)
erf = _function("erf", "The error function.", math.erf)
round_ = _function("round", "The nearest integer, halves to even, as a float.", round)
floor = _function("floor", "The largest integer not above x, as a float.", math.floor)
ceil = _function("ceil", "The smallest integer not below x, as a float.", math.ceil)
trunc = _function("trunc", "The integer part of x, as a float.", math.trunc)
isnan = _function("isnan", "Whether x is not a number.", math.isnan)
isinf = _function("isinf", "Whether x is an infinity.", math.isinf)
isfinite = _function("isfinite", "Whether x is neither infinite nor NaN.", math.isfinite)
fast_exp = _function("fast_exp", "e to the power x, fast and approximate.")
fast_exp2 = _function("fast_exp2", "2 to the power x, fast and approximate.")
fast_exp10 = _function("fast_exp10", "10 to the power x, fast and approximate.")
fast_log = _function("fast_log", "The natural logarithm, fast and approximate.")
fast_log2 = _function("fast_log2", "The logarithm to base 2, fast and approximate.")
fast_log10 = _function("fast_log10", "The logarithm to base 10, fast and approximate.")
fast_sin = _function("fast_sin", "The sine, fast and approximate.")
fast_cos = _function("fast_cos", "The cosine, fast and approximate.")
fast_tan = _function("fast_tan", "The tangent, fast and approximate.")
fast_rcp = _function("fast_rcp", "1 / x, fast and approximate.")


def atan2(y: Any, x: Any) -> Any:
    """The angle of the point (x, y), in radians."""
    return either("atan2", math.atan2, y, x)


def fmod(a: Any, b: Any) -> Any:
    """The remainder of floats with the sign of `a`."""
    return either("fmod", math.fmod, a, b)


def fma(a: Any, b: Any, c: Any) -> Any:
    """`a * b + c`, rounded once."""
    return call("fma", a, b, c, floats=True)


def fdiv(a: Any, b: Any) -> Any:
    """`a / b` on floats; `/` is the same."""
    return divide(a, b) if _is_traced(a, b) else operand(a) / operand(b)  # type: ignore[operator]


# ------------------------------------------------------------------------------------------- selection, conversion


def if_then_else(cond: Any, a: Any, b: Any) -> Any:
    """`a` where `cond` holds, else `b`; only the chosen one is evaluated. A Python condition chooses at trace time."""
    if not _is_traced(cond):
        return a if operand(cond) else b
    return select(cond, a, b)


def cast(value: Any, dtype: Any, rounding_mode: str = "rn", saturate: bool = False) -> Scalar:
    """`value` converted to `dtype`. Float to integer truncates; `saturate` clamps to the range instead of wrapping.

    `rounding_mode` is rn (to even), rz, rm, rp or rna.
    """
    modes = {r.value: r for r in Rounding}
    if rounding_mode not in modes:
        allowed = ", ".join(modes)
        raise fail("TD0226", word="T.cast", name="rounding_mode", value=describe(rounding_mode), allowed=allowed)
    return _cast(value, dtype_named(dtype), modes[rounding_mode], bool(saturate))


def Cast(dtype: Any, value: Any) -> Scalar:
    """`value` converted to `dtype`; `T.cast(value, dtype)` is the same."""
    return _cast(value, dtype_named(dtype))


def reinterpret(dtype: Any, value: Any) -> Scalar:
    """The same bits as another dtype of equal size."""
    if not isinstance(operand_or_none(dtype), type(None)) and not isinstance(operand_or_none(value), Scalar):
        dtype, value = value, dtype
    x, target = scalar(value), dtype_named(dtype)
    if x.type.bits != target.bits:
        raise fail("TD0246", value=describe(x), bits=x.type.bits, dtype=target, wanted=target.bits)
    return Scalar(Reinterpret(target, expr_of(x)), target, x.frame, reads_of(x))


def operand_or_none(value: Any) -> Any:
    """`value` if it is a traced number, else None."""
    return value if isinstance(value, Scalar) else None


# ------------------------------------------------------------------------------------------------------------ bits


def bitwise_and(a: Any, b: Any) -> Any:
    """`a & b`"""
    return bitwise("&", a, b) if _is_traced(a, b) else operand(a) & operand(b)  # type: ignore[operator]


def bitwise_or(a: Any, b: Any) -> Any:
    """`a | b`"""
    return bitwise("|", a, b) if _is_traced(a, b) else operand(a) | operand(b)  # type: ignore[operator]


def bitwise_xor(a: Any, b: Any) -> Any:
    """`a ^ b`"""
    return bitwise("^", a, b) if _is_traced(a, b) else operand(a) ^ operand(b)  # type: ignore[operator]


def bitwise_not(a: Any) -> Any:
    """`~a`"""
    return ~operand(a)  # type: ignore[operator]


def shift_left(a: Any, b: Any) -> Any:
    """`a << b`"""
    return shift("<<", a, b) if _is_traced(a, b) else operand(a) << operand(b)  # type: ignore[operator]


def shift_right(a: Any, b: Any) -> Any:
    """`a >> b`; keeps the sign of signed integers."""
    return shift(">>", a, b) if _is_traced(a, b) else operand(a) >> operand(b)  # type: ignore[operator]


def popcount(x: Any) -> Any:
    """The number of one bits of an integer."""
    return _on_integer("popcount", x)


def clz(x: Any) -> Any:
    """The number of leading zero bits of an integer."""
    return _on_integer("clz", x)


def _on_integer(fn: str, x: Any) -> Any:
    value = scalar(x, INT32)
    if not value.type.is_integer:
        raise fail("TD0223", op=f"T.{fn}", a=describe(x), b="nothing")
    return call(fn, value)


def dp4a(a: Any, b: Any, c: Any) -> Any:
    """`c` plus the dot product of the four int8 that each of `a` and `b` packs in an int32."""
    return call("dp4a", _cast(a, INT32), _cast(b, INT32), _cast(c, INT32))


def logical_and(a: Any, b: Any) -> Any:
    """`a and b` as a bool."""
    return binary("and", condition(a), condition(b)) if _is_traced(a, b) else bool(a) and bool(b)


def logical_or(a: Any, b: Any) -> Any:
    """`a or b` as a bool."""
    return binary("or", condition(a), condition(b)) if _is_traced(a, b) else bool(a) or bool(b)


def logical_not(a: Any) -> Any:
    """`not a` as a bool."""
    return ~condition(a) if _is_traced(a) else not a


# ------------------------------------------------------------------------------------------------------------ warps


def _shuffle(fn: str, value: Any, lane: Any) -> Scalar:
    begin(f"T.{fn}")
    x, y = scalar(value, FLOAT32 if isinstance(value, float) else INT32), _cast(lane, INT32)
    frame, reads = dependencies([x, y])
    return Scalar(Call(fn, (expr_of(x), expr_of(y))), x.type, frame, reads)


def shfl_xor(value: Any, offset: Any) -> Scalar:
    """The value of the lane whose number differs by the bits of `offset`. All lanes of the warp take part."""
    return _shuffle("shfl_xor", value, offset)


def shfl_up(value: Any, offset: Any) -> Scalar:
    """The value of the lane `offset` below; the lowest lanes keep their own."""
    return _shuffle("shfl_up", value, offset)


def shfl_down(value: Any, offset: Any) -> Scalar:
    """The value of the lane `offset` above; the highest lanes keep their own."""
    return _shuffle("shfl_down", value, offset)


def shfl(value: Any, lane: Any) -> Scalar:
    """The value of lane `lane`."""
    return _shuffle("shfl_idx", value, lane)


def any_sync(cond: Any) -> Scalar:
    """Whether `cond` holds in any lane of the warp."""
    begin("T.any_sync")
    return call("warp_any", condition(cond))


def all_sync(cond: Any) -> Scalar:
    """Whether `cond` holds in all lanes of the warp."""
    begin("T.all_sync")
    return call("warp_all", condition(cond))


def _warp_reduce(op: Callable[[Any, Any], Any], value: Any) -> Scalar:
    x = bind(scalar(value), "partial")
    for offset in (16, 8, 4, 2, 1):
        x = bind(op(x, shfl_xor(x, offset)), "partial")
    return x


def warp_reduce_sum(value: Any) -> Scalar:
    """The sum over the lanes of the warp, in every lane."""
    return _warp_reduce(lambda a, b: a + b, value)


def warp_reduce_max(value: Any) -> Scalar:
    """The largest value among the lanes of the warp, in every lane."""
    return _warp_reduce(maximum, value)


def warp_reduce_min(value: Any) -> Scalar:
    """The smallest value among the lanes of the warp, in every lane."""
    return _warp_reduce(minimum, value)
