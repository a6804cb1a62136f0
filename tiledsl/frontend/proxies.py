"""Traced scalars and dtypes as the user's code sees them, and the rules of arithmetic between them.

A `Scalar` stands for a value that the kernel computes at run time. Promotion, applied by every operator:

- a Python literal adopts the dtype of the other side and must be in its range; a float literal next to an integer
  makes both float32;
- equal dtypes stay; bool counts as int32 in arithmetic; `index` (loop variables, block numbers, sizes) with any
  integer gives index; integers with a float give the float;
- of two integers the one whose range holds the other's wins; where neither does (int32 with uint32) it is an error;
- of two floats the one with more bits wins; two different floats of equal size give float32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

from tiledsl.errors import error
from tiledsl.frontend.source import by_python, fail, here
from tiledsl.frontend.traced import Poison, Traced
from tiledsl.frontend.tracer import Frame, tracing
from tiledsl.frontend.typenames import TypeName, dtype_named, largest_float, literal
from tiledsl.ir.dtypes import BOOL, DTYPES, FLOAT32, HANDLE, INDEX, INT32, DType
from tiledsl.ir.nodes import Binary, Buffer, Call, Cast, Const, Expr, Load, Reinterpret, Rounding, Select, Store, Unary
from tiledsl.ir.ops import BINARY, FUNCTIONS, Result
from tiledsl.ir.printer import text

Reads: TypeAlias = tuple[tuple[Buffer, int], ...]  # buffers that a value reads, with their number of writes then


# -------------------------------------------------------------------------------------------------------- dtypes


class TypeWord(TypeName):
    """A dtype that casts when it is called: `T.float32(x)`."""

    __slots__ = ()

    def __call__(self, value: Any) -> Scalar:
        """`value` converted to this dtype."""
        return cast(value, self.dtype)


WORDS: dict[str, TypeWord] = {name: TypeWord(dtype) for name, dtype in DTYPES.items()}

# ------------------------------------------------------------------------------------------------------- scalars


class Scalar(Traced):
    """A traced number: an IR expression, its dtype, and the innermost frame whose variables it uses."""

    __slots__ = ("expr", "frame", "reads", "type")

    expr: Expr
    type: DType
    frame: Frame | None
    reads: Reads

    def __init__(self, expr: Expr, dtype: DType, frame: Frame | None = None, reads: Reads = ()) -> None:
        self.expr, self.type, self.frame, self.reads = expr, dtype, frame, reads

    @property
    def dtype(self) -> TypeWord:
        return WORDS[self.type.name]

    def astype(self, dtype: Any) -> Scalar:
        """The value converted to `dtype`."""
        return cast(self, dtype_named(dtype))

    def shown(self) -> str:
        return text(self.expr)

    def _apply(self, op: str, *operands: Any) -> Scalar:
        return apply(op, *operands)


class Variable(Scalar):
    """A mutable scalar of `T.alloc_var`: reading it loads, assigning to its name stores. `v[0]` is its value."""

    __slots__ = ("buffer", "named")

    def __init__(self, buffer: Buffer, frame: Frame) -> None:
        super().__init__(Load(buffer, ()), buffer.dtype, frame)
        self.buffer, self.named = buffer, False

    def store(self, value: Any) -> None:
        """Makes `value` its value."""
        expr_of(self)  # its block must still be open
        if (tracer := tracing()) is not None:
            tracer.emit(Store(self.buffer, (), converted(value, self.type), span=tracer.here()))

    def __getitem__(self, index: Any) -> Scalar:
        self._first(index)
        return Scalar(self.expr, self.type, self.frame, reads_of(self))

    def __setitem__(self, index: Any, value: Any) -> None:
        self._first(index)
        self.store(value)

    def _first(self, index: Any) -> None:
        if type(index) is not int or index != 0:
            self._no(f"something to index by {describe(index)}: its one element is [0]")

    def shown(self) -> str:
        return self.buffer.name


# ---------------------------------------------------------------------------------------------------- conversion


def expr_of(x: Scalar) -> Expr:
    """The expression of `x`.

    Raises TileError TD0112 if a variable it needs is gone, TD0117 if memory that it read has changed.
    """
    if x.frame is not None and not x.frame.open:
        raise error("TD0112", here(), (("it was computed in here", x.frame.span),), value=x.shown(), scope=x.frame.what)
    if x.reads and (tracer := tracing()) is not None:
        for buffer, count in x.reads:
            if tracer.writes.get(tracer.storage_of(buffer), 0) != count:
                raise fail("TD0117", value=x.shown(), buffer=buffer.name)
    return x.expr


def reads_of(x: Scalar) -> Reads:
    """The buffers that evaluating `x` reads, each with the number of writes to it so far."""
    tracer = tracing()
    if isinstance(x, Variable) and tracer is not None:
        return ((x.buffer, tracer.writes.get(x.buffer, 0)),)
    return x.reads


def operand(value: Any) -> Scalar | bool | int | float:
    """`value` as a traced scalar or a Python number (NumPy scalars are unwrapped). Raises TileError TD0202."""
    if isinstance(value, (Scalar, bool, int, float)):
        return value
    if isinstance(value, Poison):
        value.used()
    if not isinstance(value, Traced) and hasattr(value, "item") and getattr(value, "shape", None) == ():
        return operand(value.item())
    raise fail("TD0202", value=describe(value))


def describe(value: Any) -> str:
    """`value` for a message: its text and what it is."""
    if isinstance(value, Scalar):
        return f"{value.shown()} ({value.type})"
    if isinstance(value, Traced):
        return value.shown()
    shown = repr(value)
    return f"{shown if len(shown) <= 60 else shown[:57] + '...'} ({type(value).__name__})"


def scalar(value: Any, like: DType | None = None) -> Scalar:
    """`value` as a traced scalar. A Python number takes the dtype `like`, else bool, index or float32 by its type."""
    value = operand(value)
    if isinstance(value, Scalar):
        return value
    kind = like or (BOOL if isinstance(value, bool) else INDEX if isinstance(value, int) else FLOAT32)
    if like is not None and isinstance(value, float) and not like.is_float and not value.is_integer():
        kind = FLOAT32
    return Scalar(literal(value, kind), kind)


def converted(value: Any, dtype: DType) -> Expr:
    """The expression of `value` converted to `dtype`, without a cast where none is needed."""
    value = operand(value)
    if not isinstance(value, Scalar):
        return literal(value, dtype)
    return _convert(expr_of(value), value.type, dtype)


def _convert(e: Expr, source: DType, target: DType) -> Expr:
    if source == target:
        return e
    if target is BOOL:
        return Binary("!=", e, Const(0.0 if source.is_float else 0, source))
    if isinstance(e, Const) and not isinstance(e.value, bool):
        if not math.isfinite(e.value):
            return Const(float(e.value), target) if target.is_float else Cast(target, e)
        whole = float(e.value).is_integer()
        if target.is_float and whole and abs(e.value) <= min(1 << (target.mantissa + 1), int(largest_float(target))):
            return Const(float(e.value), target)
        if target.is_integer and whole and target.int_range[0] <= e.value <= target.int_range[1]:
            return Const(int(e.value), target)
    return Cast(target, e)


def cast(value: Any, dtype: DType, rounding: Rounding = Rounding.NEAREST_EVEN, saturate: bool = False) -> Scalar:
    """`value` converted to `dtype`; a Python number becomes a constant."""
    value = operand(value)
    if HANDLE in (dtype, value.type if isinstance(value, Scalar) else None):
        raise fail("TD0202", value=f"{describe(value)} converted to {dtype}")
    if dtype is BOOL and not isinstance(value, Scalar):
        value = bool(value)
    if not isinstance(value, Scalar):
        return Scalar(literal(int(value) if dtype.is_integer and math.isfinite(value) else value, dtype), dtype)
    e = expr_of(value)
    plain = rounding is Rounding.NEAREST_EVEN and not saturate
    result = _convert(e, value.type, dtype) if plain else Cast(dtype, e, rounding, saturate)
    return Scalar(result, dtype, value.frame, reads_of(value))


def reinterpreted(value: Scalar, dtype: DType) -> Scalar:
    """The same bits as a dtype of equal size."""
    return Scalar(Reinterpret(dtype, expr_of(value)), dtype, value.frame, reads_of(value))


def index_of(value: Any, use: str = "an index") -> Expr:
    """`value` as an index expression. Raises TileError TD0209 if it is no integer."""
    value = operand(value)
    if isinstance(value, Scalar):
        if not value.type.is_integer:
            raise fail("TD0209", value=describe(value), use=use)
        return _convert(expr_of(value), value.type, INDEX)
    if isinstance(value, float):
        raise fail("TD0209", value=describe(value), use=use)
    return Const(int(value), INDEX)


def promote(a: DType, b: DType) -> DType:
    """The common dtype of two operands, by the rules above. Raises TileError TD0203 where there is none."""
    if HANDLE in (a, b):
        raise fail("TD0203", a=a, b=b)
    if a == b:
        return a
    if a.is_float and b.is_float:
        if a.bits == b.bits:
            return FLOAT32
        return a if a.bits > b.bits else b
    if a.is_float or b.is_float:
        return a if a.is_float else b
    if INDEX in (a, b):
        return INDEX
    a, b = (INT32 if t is BOOL else t for t in (a, b))
    (low_a, high_a), (low_b, high_b) = a.int_range, b.int_range
    if low_a <= low_b and high_b <= high_a:
        return a
    if low_b <= low_a and high_a <= high_b:
        return b
    raise fail("TD0203", a=a, b=b)


def unify(*values: Any) -> tuple[list[Expr], DType, Frame | None, Reads]:
    """The values as expressions of one dtype, with what they depend on. At least one must be traced."""
    operands = [operand(v) for v in values]
    traced = [v for v in operands if isinstance(v, Scalar)]
    common = traced[0].type
    for v in traced[1:]:
        common = promote(common, v.type)
    fractions = any(isinstance(v, float) for v in operands)
    if fractions and not common.is_float:
        common = FLOAT32
    elif common is BOOL and any(isinstance(v, int) and not isinstance(v, bool) for v in operands):
        common = INT32
    frame, reads = dependencies(traced)
    return [converted(v, common) for v in operands], common, frame, reads


def dependencies(values: list[Scalar]) -> tuple[Frame | None, Reads]:
    """The innermost frame that the values need, and all that they read."""
    frame: Frame | None = None
    reads: Reads = ()
    for v in values:
        if frame is None or (v.frame is not None and v.frame.depth > frame.depth):
            frame = v.frame
        reads += reads_of(v)
    return frame, reads


# ---------------------------------------------------------------------------------------------------- operations


_ON_BOOLS = {"&": "and", "|": "or", "^": "!="}


def apply(op: str, *operands: Any) -> Scalar:
    """The operation of Python's operator `op` on one or two operands."""
    match op, operands:
        case "+", (a,):
            return scalar(a)
        case (("-" | "~" | "abs"), (a,)):
            return unary(op, scalar(a))
        case "/", (a, b):
            return divide(a, b)
        case "**", (a, b):
            return binary("*", a, a) if type(b) is int and b == 2 else power(a, b)
        case (("&" | "|" | "^"), (a, b)):
            return bitwise(op, a, b)
        case (("<<" | ">>"), (a, b)):
            return shift(op, a, b)
    a, b = operands
    return binary(op, a, b)


def unary(op: str, a: Scalar) -> Scalar:
    """`-a`, `~a` (`not a` of a bool) or `abs(a)`. Raises TileError TD0223 for a dtype that has none."""
    e = expr_of(a)
    if op == "abs":
        return call("abs", a)
    if (op == "-" and a.type is BOOL) or (op == "~" and a.type.is_float):
        raise fail("TD0223", op=op, a=describe(a), b="nothing")
    if op == "-" and isinstance(e, Const) and (a.type.is_float or e.value != a.type.int_range[0]):
        return Scalar(Const(-e.value, a.type), a.type, a.frame)
    return Scalar(Unary("not" if a.type is BOOL else op, e), a.type, a.frame, reads_of(a))


def binary(op: str, a: Any, b: Any) -> Scalar:
    """`a op b`; `op` is a key of `ops.BINARY`. Both Python numbers is the caller's case."""
    (x, y), dtype, frame, reads = unify(a, b)
    if dtype is BOOL and BINARY[op].result is not Result.BOOL:
        x, y, dtype = Cast(INT32, x), Cast(INT32, y), INT32
    result = dtype if BINARY[op].result is Result.SAME else BOOL
    return Scalar(Binary(op, x, y), result, frame, reads)


def divide(a: Any, b: Any) -> Scalar:
    """`a / b` on floats. Raises TileError TD0204 on two integers."""
    (x, y), dtype, frame, reads = unify(a, b)
    if not dtype.is_float:
        raise fail("TD0204", a=describe(a), b=describe(b))
    return Scalar(Binary("/", x, y), dtype, frame, reads)


def power(a: Any, b: Any) -> Scalar:
    """`a ** b`; integers are raised as float32."""
    (x, y), dtype, frame, reads = unify(a, b)
    if not dtype.is_float:
        x, y, dtype = _convert(x, dtype, FLOAT32), _convert(y, dtype, FLOAT32), FLOAT32
    return Scalar(Binary("pow", x, y), dtype, frame, reads)


def bitwise(op: str, a: Any, b: Any) -> Scalar:
    """`&`, `|`, `^` on integers and bools. Raises TileError TD0223 on floats."""
    (x, y), dtype, frame, reads = unify(a, b)
    if dtype.is_float:
        raise fail("TD0223", op=op, a=describe(a), b=describe(b))
    return Scalar(Binary(_ON_BOOLS[op] if dtype is BOOL else op, x, y), dtype, frame, reads)


def shift(op: str, a: Any, b: Any) -> Scalar:
    """`a << b` or `a >> b`, of the dtype of `a`. Raises TileError TD0223 on floats."""
    left, right = operand(a), operand(b)
    if not isinstance(left, Scalar):
        assert isinstance(right, Scalar)
        left = scalar(left, right.type if right.type.is_integer else None)
    amount = scalar(right, left.type)
    if not (left.type.is_integer and amount.type.is_integer):
        raise fail("TD0223", op=op, a=describe(a), b=describe(b))
    frame, reads = dependencies([left, amount])
    return Scalar(Binary(op, expr_of(left), converted(amount, left.type)), left.type, frame, reads)


def condition(value: Any) -> Scalar:
    """`value` as a traced bool; a number counts as true where it is not 0."""
    value = scalar(value)
    return value if value.type is BOOL else binary("!=", value, 0)


def call(fn: str, *args: Any, floats: bool = False) -> Scalar:
    """A function of `ops.FUNCTIONS` on operands of one dtype; with `floats`, integers become float32."""
    numbers = [scalar(a) if not any(isinstance(b, Scalar) for b in args) else a for a in args]
    exprs, dtype, frame, reads = unify(*numbers)
    if floats and not dtype.is_float:
        exprs, dtype = [_convert(e, dtype, FLOAT32) for e in exprs], FLOAT32
    kinds = {Result.SAME: dtype, Result.BOOL: BOOL, Result.INT32: INT32}
    return Scalar(Call(fn, tuple(exprs)), kinds[FUNCTIONS[fn].result], frame, reads)


def select(cond: Any, a: Any, b: Any) -> Scalar:
    """`a` where `cond`, else `b`; only the chosen side is evaluated."""
    test = condition(cond)
    if not isinstance(operand(a), Scalar) and not isinstance(operand(b), Scalar):
        a = scalar(a, FLOAT32 if isinstance(operand(b), float) else None)
    (x, y), dtype, _, _ = unify(a, b)
    frame, reads = dependencies([v for v in (test, a, b) if isinstance(v, Scalar)])
    return Scalar(Select(expr_of(test), x, y), dtype, frame, reads)


Fold: TypeAlias = Callable[[Any, Any], Any]


def either(op: str, fold: Fold, a: Any, b: Any) -> Any:
    """`fold(a, b)` on two Python numbers, else the traced operation."""
    if isinstance(operand(a), Scalar) or isinstance(operand(b), Scalar):
        return binary(op, a, b)
    return at_trace_time(fold, a, b)


def at_trace_time(fn: Callable[..., Any], *numbers: Any) -> Any:
    """`fn` of Python numbers. What Python raises is a TileError TD0116."""
    return by_python(fn, *(operand(n) for n in numbers))
