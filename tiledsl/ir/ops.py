"""Every scalar operator and function once: printer, parser, type rules, simplifier, interpreters and emitter read it.

The emitter calls the device function of the same name (`tds::exp2`, `tds::floor_div`, ...) where `cuda` is empty.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from enum import Enum
from typing import Any

from tiledsl.ir.frozen import dataclass


class Result(Enum):
    """How the dtype of an operation follows from its operands'."""

    SAME = "same"  # that of the operands, which are equal
    BOOL = "bool"
    INT32 = "int32"


class Effect(Enum):
    """What evaluating an expression may do besides giving a value."""

    PURE = "pure"
    READS = "reads"  # reads memory that a store could change
    COLLECTIVE = "collective"  # exchanges values between the threads of a warp: never moved under a branch
    EFFECT = "effect"  # may do anything: executed exactly once, where it stands


@dataclass(frozen=True, slots=True)
class BinaryOp:
    """`eval` is exact on Python numbers; `ufunc` names the NumPy function of the same meaning.

    Infix operators have a precedence (larger binds tighter, as in Python); 0 means call notation.
    """

    symbol: str
    precedence: int
    eval: Callable[[Any, Any], Any]
    ufunc: str
    cuda: str = ""
    result: Result = Result.SAME
    integers_only: bool = False


@dataclass(frozen=True, slots=True)
class UnaryOp:
    symbol: str
    eval: Callable[[Any], Any]
    ufunc: str
    cuda: str
    result: Result = Result.SAME


@dataclass(frozen=True, slots=True)
class Function:
    """A named function. `ufunc` is empty where NumPy has none: the CPU executions then hold its meaning.

    `dtypes` names those of its operands; without, they follow from what it computes (`scopes`).
    """

    name: str
    arity: int
    ufunc: str = ""
    result: Result = Result.SAME
    effect: Effect = Effect.PURE
    dtypes: tuple[str, ...] = ()


def trunc_div(a: int, b: int) -> int:
    """Quotient rounded towards zero, as C's `/`."""
    return -(-a // b) if (a < 0) != (b < 0) else a // b


def trunc_rem(a: int, b: int) -> int:
    """Remainder with the sign of `a`, as C's `%`."""
    return a - trunc_div(a, b) * b


def _compare(symbol: str, fn: Callable[[Any, Any], Any], ufunc: str) -> BinaryOp:
    return BinaryOp(symbol, 4, fn, ufunc, f"{{a}} {symbol} {{b}}", Result.BOOL)


def _bits(symbol: str, precedence: int, fn: Callable[[Any, Any], Any], ufunc: str) -> BinaryOp:
    return BinaryOp(symbol, precedence, fn, ufunc, f"{{a}} {symbol} {{b}}", integers_only=True)


UNARY_PRECEDENCE = 11

_BINARY = [
    BinaryOp("or", 1, lambda a, b: bool(a) or bool(b), "logical_or", "{a} || {b}", Result.BOOL),
    BinaryOp("and", 2, lambda a, b: bool(a) and bool(b), "logical_and", "{a} && {b}", Result.BOOL),
    _compare("<", operator.lt, "less"),
    _compare("<=", operator.le, "less_equal"),
    _compare(">", operator.gt, "greater"),
    _compare(">=", operator.ge, "greater_equal"),
    _compare("==", operator.eq, "equal"),
    _compare("!=", operator.ne, "not_equal"),
    _bits("|", 5, operator.or_, "bitwise_or"),
    _bits("^", 6, operator.xor, "bitwise_xor"),
    _bits("&", 7, operator.and_, "bitwise_and"),
    _bits("<<", 8, operator.lshift, "left_shift"),
    _bits(">>", 8, operator.rshift, "right_shift"),
    BinaryOp("+", 9, operator.add, "add", "{a} + {b}"),
    BinaryOp("-", 9, operator.sub, "subtract", "{a} - {b}"),
    BinaryOp("*", 10, operator.mul, "multiply", "{a} * {b}"),
    BinaryOp("/", 10, operator.truediv, "divide", "{a} / {b}"),  # floats only
    BinaryOp("//", 10, operator.floordiv, "floor_divide"),  # rounds towards minus infinity, on integers and floats
    BinaryOp("%", 10, operator.mod, "remainder"),  # has the sign of the divisor
    BinaryOp("div", 0, trunc_div, "", "{a} / {b}", integers_only=True),  # C's division: rounds towards zero
    BinaryOp("rem", 0, trunc_rem, "fmod", "{a} % {b}", integers_only=True),  # C's remainder
    BinaryOp("min", 0, min, "minimum"),
    BinaryOp("max", 0, max, "maximum"),
    BinaryOp("pow", 0, operator.pow, "power"),
    BinaryOp("atan2", 0, math.atan2, "arctan2"),
    BinaryOp("fmod", 0, math.fmod, "fmod"),
]
BINARY: dict[str, BinaryOp] = {op.symbol: op for op in _BINARY}

_UNARY = [
    UnaryOp("-", operator.neg, "negative", "-{a}"),
    UnaryOp("not", operator.not_, "logical_not", "!{a}", Result.BOOL),
    UnaryOp("~", operator.invert, "invert", "~{a}"),
]
UNARY: dict[str, UnaryOp] = {op.symbol: op for op in _UNARY}

# Operations of IEEE 754 with their number of operands, and the directions that each can round in: to nearest even,
# towards zero, up, down. `add_rz(a, b)` is the sum rounded towards zero.
ROUNDED: dict[str, int] = {"add": 2, "sub": 2, "mul": 2, "div": 2, "rcp": 1, "sqrt": 1, "fma": 3}
DIRECTIONS = ("rn", "rz", "ru", "rd")

# Operations on two 16-bit floats that share an uint32, with their number of operands: `add_f16x2(a, b)`. NaN becomes
# 0x7fff, and -0 is less than +0.
PAIRED: dict[str, int] = {"add": 2, "sub": 2, "mul": 2, "fma": 3, "max": 2, "min": 2, "abs": 1}
PAIRS = {"f16x2": "float16", "bf16x2": "bfloat16"}

_FUNCTIONS = [
    *(Function(n, 1, n) for n in ("exp", "exp2", "log", "log2", "log10", "sqrt", "sin", "cos", "tan", "sinh", "cosh")),
    *(Function(n, 1, f"arc{n[1:]}") for n in ("asin", "acos", "atan")),
    *(Function(n, 1, n) for n in ("tanh", "floor", "ceil", "trunc")),
    Function("abs", 1, "absolute"),
    Function("round", 1, "rint"),  # half to even, as CUDA's rint
    *(Function(n, 1) for n in ("exp10", "rsqrt", "erf", "sigmoid")),
    *(Function(n, 1, n, Result.BOOL) for n in ("isnan", "isinf", "isfinite")),
    Function("popcount", 1, "bitwise_count", Result.INT32),
    Function("clz", 1, "", Result.INT32),
    Function("fma", 3),  # a * b + c, rounded once
    # Approximations of the special function unit: faster, less exact.
    *(Function(f"fast_{n}", 1) for n in ("exp", "exp2", "exp10", "log", "log2", "log10", "sin", "cos", "tan", "rcp")),
    # Between the lanes of a warp; the second argument is the lane, offset or lane mask.
    *(Function(f"shfl_{n}", 2, effect=Effect.COLLECTIVE) for n in ("xor", "up", "down", "idx")),
    *(Function(f"warp_{n}", 1, effect=Effect.COLLECTIVE) for n in ("any", "all")),
    # Which lanes: those for which a condition holds, those that have the same value; lane i is bit i.
    *(Function(f"warp_{n}", 1, "", Result.INT32, Effect.COLLECTIVE) for n in ("ballot", "match")),
    # The lanes of the warp that are the bits of the argument wait for each other.
    Function("warp_sync", 1, effect=Effect.EFFECT),
    # A value that all lanes of the warp have, so that the compiler knows it: it may then live once for the warp.
    Function("warp_uniform", 1, effect=Effect.COLLECTIVE),
    # Whether the thread with this number is the one that its warp elects: lane 0, as far as anybody sees.
    Function("elected", 1, "", Result.BOOL),
    # Byte permutation: bytes of (a, b) chosen by the nibbles of the selector, as PTX prmt.b32.
    Function("prmt", 3),
    Function("dp4a", 3),
    *(Function(f"{n}_{d}", arity, dtypes=("float32", "float64")) for n, arity in ROUNDED.items() for d in DIRECTIONS),
    Function("rsqrt_rn", 1, dtypes=("float32",)),
    # A number of a sequence: position (low and high word), sequence (low, high), key (low, high). See cpu/philox.py.
    Function("random_bits", 6, dtypes=("uint32",)),
    *(Function(f"{n}_{pair}", arity, dtypes=("uint32",)) for n, arity in PAIRED.items() for pair in PAIRS),
]
FUNCTIONS: dict[str, Function] = {f.name: f for f in _FUNCTIONS}
