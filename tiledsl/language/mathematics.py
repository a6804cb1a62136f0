"""Mathematical functions. On Python numbers they compute at trace time, on traced values they build expressions."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from tiledsl.frontend.proxies import at_trace_time, call, either, scalar
from tiledsl.ir.dtypes import FLOAT32
from tiledsl.language.scalars import is_traced

Word = Callable[[Any], Any]


def _function(fn: str, doc: str, python: Callable[[Any], Any] | None = None, name: str = "") -> Word:
    """A word for a function of one float; integers are converted to float32. `name` is the word where `fn` is not."""

    def word(x: Any) -> Any:
        if not is_traced(x) and python is not None:
            return at_trace_time(python, x)
        return call(fn, x if is_traced(x) else scalar(x, FLOAT32), floats=True)

    word.__doc__ = f"{doc} Of any float dtype; an integer becomes float32. `y = T.{name or fn}(x)`."
    word.__name__, word.__qualname__ = fn, fn
    return word


def _fast(name: str, doc: str) -> Word:
    """The fast form of a function; its word begins with two underscores, as CUDA's does."""
    return _function(f"fast_{name}", f"{doc}, fast and approximate.", name=f"__{name}")


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
fast_exp = _fast("exp", "e to the power x")
fast_exp2 = _fast("exp2", "2 to the power x")
fast_exp10 = _fast("exp10", "10 to the power x")
fast_log = _fast("log", "The natural logarithm")
fast_log2 = _fast("log2", "The logarithm to base 2")
fast_log10 = _fast("log10", "The logarithm to base 10")
fast_sin = _fast("sin", "The sine")
fast_cos = _fast("cos", "The cosine")
fast_tan = _fast("tan", "The tangent")
fast_rcp = _function("fast_rcp", "1 / x, fast and approximate.")


def atan2(y: Any, x: Any) -> Any:
    """The angle of the point (x, y), in radians. `z = T.atan2(y, x)`."""
    return either("atan2", math.atan2, y, x)


def fmod(a: Any, b: Any) -> Any:
    """The remainder of floats with the sign of `a`. `z = T.fmod(x, y)`."""
    return either("fmod", math.fmod, a, b)


def fma(a: Any, b: Any, c: Any) -> Any:
    """`a * b + c`, rounded once. `z = T.fma(x, y, z)`."""
    return call("fma", a, b, c, floats=True)
