"""Arithmetic as IEEE 754 has it, with the direction of its rounding, on float32 and float64."""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.proxies import Scalar, call, describe
from tiledsl.frontend.source import fail
from tiledsl.ir.ops import DIRECTIONS, FUNCTIONS


def _rounded(word: str, operation: str, direction: Any, *operands: Any) -> Scalar:
    """The function of that operation and direction; integers become float32."""
    if direction not in DIRECTIONS:
        shown, allowed = describe(direction), ", ".join(DIRECTIONS)
        raise fail("TD0226", word=word, name="rounding_mode", value=shown, allowed=allowed)
    function = FUNCTIONS[f"{operation}_{direction}"]
    result = call(function.name, *operands, floats=True)
    if result.type.name not in function.dtypes:
        allowed = f"{' and '.join(function.dtypes)}: convert by T.cast"
        raise fail("TD0226", word=word, name="the dtype", value=result.type, allowed=allowed)
    return result


def ieee_add(x: Any, y: Any, rounding_mode: str = "rn") -> Scalar:
    """`x + y` of float32 or float64, rounded once: "rn" to nearest even, "rz" towards zero, "ru" up, "rd" down.

    This and the words beside it are never joined with another operation, as `a * b + c` may be. Other floats and other
    directions are an error TD0226; integers become float32. With `fast_math` numbers below the normal ones of float32
    count as 0 on the GPU. Becomes __fadd_rn and its like (PTX ISA, "add"). `z = T.ieee_add(x, y, "rz")`.
    """
    return _rounded("T.ieee_add", "add", rounding_mode, x, y)


def ieee_sub(x: Any, y: Any, rounding_mode: str = "rn") -> Scalar:
    """`x - y`, rounded as T.ieee_add. `z = T.ieee_sub(x, y, "rd")`."""
    return _rounded("T.ieee_sub", "sub", rounding_mode, x, y)


def ieee_mul(x: Any, y: Any, rounding_mode: str = "rn") -> Scalar:
    """`x * y`, rounded as T.ieee_add. `z = T.ieee_mul(x, y, "ru")`."""
    return _rounded("T.ieee_mul", "mul", rounding_mode, x, y)


def ieee_fmaf(x: Any, y: Any, z: Any, rounding_mode: str = "rn") -> Scalar:
    """`x * y + z`, rounded once, as T.ieee_add; of float64 too. `z = T.ieee_fmaf(x, y, z, "rz")`."""
    return _rounded("T.ieee_fmaf", "fma", rounding_mode, x, y, z)


def ieee_fdiv(x: Any, y: Any, rounding_mode: str = "rn") -> Scalar:
    """`x / y`, rounded as T.ieee_add, with `fast_math` too. `z = T.ieee_fdiv(x, y, "rz")`."""
    return _rounded("T.ieee_fdiv", "div", rounding_mode, x, y)


def ieee_frcp(x: Any, rounding_mode: str = "rn") -> Scalar:
    """`1 / x`, rounded as T.ieee_add. `y = T.ieee_frcp(x, "ru")`."""
    return _rounded("T.ieee_frcp", "rcp", rounding_mode, x)


def ieee_fsqrt(x: Any, rounding_mode: str = "rn") -> Scalar:
    """The square root, rounded as T.ieee_add. `y = T.ieee_fsqrt(x, "rd")`."""
    return _rounded("T.ieee_fsqrt", "sqrt", rounding_mode, x)


def ieee_frsqrt(x: Any) -> Scalar:
    """The reciprocal of the square root of a float32, rounded once to nearest even. `y = T.ieee_frsqrt(x)`.

    There is no other direction, and no float64 (TD0226): CUDA has neither.
    """
    return _rounded("T.ieee_frsqrt", "rsqrt", "rn", x)
