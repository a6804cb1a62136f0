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
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, NoReturn, TypeAlias

from tiledsl.errors import NOWHERE, Span, error
from tiledsl.frontend.source import fail, here
from tiledsl.frontend.tracer import Frame, tracing
from tiledsl.ir.dtypes import ALIASES, BOOL, DTYPES, FLOAT32, INDEX, INT32, DType, Kind
from tiledsl.ir.nodes import Binary, Buffer, Call, Cast, Const, Expr, Load, Rounding, Select, Unary
from tiledsl.ir.ops import BINARY, FUNCTIONS, Result
from tiledsl.ir.printer import text

Reads: TypeAlias = tuple[tuple[Buffer, int], ...]  # buffers that a value reads, with their number of writes then


# -------------------------------------------------------------------------------------------------------- dtypes


@dataclass(frozen=True, slots=True, eq=False)
class TypeWord:
    """A dtype of the language, for example `T.float16`. Calling it casts; it equals every spelling of the dtype."""

    dtype: DType

    @property
    def name(self) -> str:
        return self.dtype.name

    @property
    def bits(self) -> int:
        return self.dtype.bits

    def __call__(self, value: Any) -> Scalar:
        """`value` converted to this dtype."""
        return cast(value, self.dtype)

    def __eq__(self, other: object) -> bool:
        return find_dtype(other) == self.dtype

    def __hash__(self) -> int:
        return hash(self.dtype.name)

    def __str__(self) -> str:
        return self.dtype.name

    __repr__ = __str__


WORDS: dict[str, TypeWord] = {name: TypeWord(dtype) for name, dtype in DTYPES.items()}


def find_dtype(spelled: object) -> DType | None:
    """The dtype that `spelled` names: a string, a `T` dtype, or the dtype of torch, NumPy or ml_dtypes; else None."""
    match spelled:
        case TypeWord(dtype):
            return dtype
        case DType():
            return spelled
        case str():
            name = spelled
        case type():
            name = "bool" if spelled is bool else spelled.__name__ if spelled not in (int, float) else ""
        case _ if type(spelled).__module__ == "torch":  # torch prints its dtypes as torch.float16
            name = str(spelled).removeprefix("torch.")
        case _:
            name = str(getattr(spelled, "name", "")) if type(spelled).__name__.endswith("DType") else ""
    return DTYPES.get(ALIASES.get(name, name))


def dtype_named(spelled: object) -> DType:
    """The dtype that `spelled` names. Raises TileError TD0201 if it names none."""
    found = find_dtype(spelled)
    if found is None:
        shown = repr(spelled) if isinstance(spelled, str) else f"{spelled!r} of type {type(spelled).__name__}"
        close = get_close_matches(str(spelled).removeprefix("T."), [*DTYPES, *ALIASES], 1)
        hint = f"did you mean '{close[0]}'?" if close else "dtypes are " + ", ".join(DTYPES)
        raise fail("TD0201", given=shown, hint=hint)
    return found


def largest_float(dtype: DType) -> float:
    """The largest finite value of a float dtype."""
    match dtype.name:
        case "float8_e4m3fn":
            return 448.0
        case "float8_e4m3fnuz":
            return 240.0
        case "float8_e8m0fnu":
            return 2.0**127
        case "float6_e2m3fn" | "float6_e3m2fn" | "float4_e2m1fn":  # no infinities: the top exponent counts
            return float((2 - 2.0**-dtype.mantissa) * 2.0 ** (1 << (dtype.exponent - 1)))
    return float((2 - 2.0**-dtype.mantissa) * 2.0 ** ((1 << (dtype.exponent - 1)) - 1))


# ------------------------------------------------------------------------------------------------------- scalars


class Traced:
    """A value that exists only when the kernel runs: Python cannot look into it while the kernel is traced."""

    __slots__ = ()
    __hash__ = object.__hash__
    __array_ufunc__ = None  # so that NumPy scalars on the left leave the operation to us

    def shown(self) -> str:
        """How messages name the value."""
        return type(self).__name__

    def __bool__(self) -> bool:
        raise fail("TD0106", value=self.shown())

    def _no(self, use: str) -> NoReturn:
        raise fail("TD0107", value=self.shown(), use=use)

    def __index__(self) -> int:
        self._no("an index of a Python sequence or a bound of a Python range")

    def __int__(self) -> int:
        self._no("a Python int")

    def __float__(self) -> float:
        self._no("a Python float")

    def __len__(self) -> int:
        self._no("something with a length")

    def __iter__(self) -> NoReturn:
        self._no("something to iterate over")

    def __contains__(self, _item: object) -> bool:
        self._no("a container")

    def __str__(self) -> str:
        return self.shown()

    __repr__ = __str__


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

    def __getitem__(self, _index: object) -> NoReturn:
        self._no("something to index")

    def __call__(self, *_: object) -> NoReturn:
        self._no("a function")

    def __add__(self, other: Any) -> Scalar:
        return binary("+", self, other)

    def __radd__(self, other: Any) -> Scalar:
        return binary("+", other, self)

    def __sub__(self, other: Any) -> Scalar:
        return binary("-", self, other)

    def __rsub__(self, other: Any) -> Scalar:
        return binary("-", other, self)

    def __mul__(self, other: Any) -> Scalar:
        return binary("*", self, other)

    def __rmul__(self, other: Any) -> Scalar:
        return binary("*", other, self)

    def __truediv__(self, other: Any) -> Scalar:
        return divide(self, other)

    def __rtruediv__(self, other: Any) -> Scalar:
        return divide(other, self)

    def __floordiv__(self, other: Any) -> Scalar:
        return binary("//", self, other)

    def __rfloordiv__(self, other: Any) -> Scalar:
        return binary("//", other, self)

    def __mod__(self, other: Any) -> Scalar:
        return binary("%", self, other)

    def __rmod__(self, other: Any) -> Scalar:
        return binary("%", other, self)

    def __pow__(self, other: Any) -> Scalar:
        return binary("*", self, self) if other is not True and isinstance(other, int) and other == 2 else power(self, other)

    def __rpow__(self, other: Any) -> Scalar:
        return power(other, self)

    def __and__(self, other: Any) -> Scalar:
        return bitwise("&", self, other)

    def __rand__(self, other: Any) -> Scalar:
        return bitwise("&", other, self)

    def __or__(self, other: Any) -> Scalar:
        return bitwise("|", self, other)

    def __ror__(self, other: Any) -> Scalar:
        return bitwise("|", other, self)

    def __xor__(self, other: Any) -> Scalar:
        return bitwise("^", self, other)

    def __rxor__(self, other: Any) -> Scalar:
        return bitwise("^", other, self)

    def __lshift__(self, other: Any) -> Scalar:
        return shift("<<", self, other)

    def __rlshift__(self, other: Any) -> Scalar:
        return shift("<<", other, self)

    def __rshift__(self, other: Any) -> Scalar:
        return shift(">>", self, other)

    def __rrshift__(self, other: Any) -> Scalar:
        return shift(">>", other, self)

    def __lt__(self, other: Any) -> Scalar:
        return binary("<", self, other)

    def __le__(self, other: Any) -> Scalar:
        return binary("<=", self, other)

    def __gt__(self, other: Any) -> Scalar:
        return binary(">", self, other)

    def __ge__(self, other: Any) -> Scalar:
        return binary(">=", self, other)

    def __eq__(self, other: Any) -> Scalar:  # type: ignore[override]
        return binary("==", self, other)

    def __ne__(self, other: Any) -> Scalar:  # type: ignore[override]
        return binary("!=", self, other)

    __hash__ = object.__hash__

    def __neg__(self) -> Scalar:
        return negate(self)

    def __pos__(self) -> Scalar:
        return self

    def __abs__(self) -> Scalar:
        return call("abs", self)

    def __invert__(self) -> Scalar:
        return invert(self)


class Variable(Scalar):
    """A mutable scalar of `T.alloc_var`: reading it loads, assigning to its name stores."""

    __slots__ = ("buffer", "named")

    def __init__(self, buffer: Buffer, frame: Frame) -> None:
        super().__init__(Load(buffer, ()), buffer.dtype, frame)
        self.buffer, self.named = buffer, False

    def shown(self) -> str:
        return self.buffer.name


class Poison(Traced):
    """What a name holds where its value depends on which way the kernel went. Any use is an error."""

    __slots__ = ("code", "facts", "place")

    def __init__(self, code: str, place: Span = NOWHERE, **facts: object) -> None:
        self.code, self.place, self.facts = code, place, facts

    def used(self, *_: object) -> NoReturn:
        notes = () if self.place is NOWHERE else (("bound here", self.place),)
        raise error(self.code, here(), notes, **self.facts)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self.used()

    def shown(self) -> str:
        self.used()

    __bool__ = __index__ = __int__ = __float__ = __len__ = __iter__ = __contains__ = used
    __call__ = __getitem__ = __setitem__ = __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = used  # type: ignore[assignment]
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = used
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __neg__ = __abs__ = __invert__ = used
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = used
    __lshift__ = __rlshift__ = __rshift__ = __rrshift__ = used
    __hash__ = object.__hash__
    __str__ = __repr__ = shown


# ---------------------------------------------------------------------------------------------------- conversion


def expr_of(x: Scalar) -> Expr:
    """The expression of `x`. Raises TileError TD0112 if a variable it needs is gone, TD0117 if memory it read changed."""
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


def literal(value: bool | int | float, dtype: DType) -> Const:
    """`value` as a constant. Raises TileError TD0205 if it is out of range, TD0206 for a fraction of an integer."""
    if dtype.is_float:
        try:
            number = float(value)
        except OverflowError:
            raise fail("TD0205", value=value, dtype=dtype, low=-largest_float(dtype), high=largest_float(dtype)) from None
        if math.isfinite(number) and abs(number) > largest_float(dtype):
            raise fail("TD0205", value=value, dtype=dtype, low=-largest_float(dtype), high=largest_float(dtype))
        return Const(number, dtype)
    if dtype is BOOL:
        if isinstance(value, bool) or value in (0, 1):
            return Const(bool(value), BOOL)
        raise fail("TD0205", value=value, dtype=dtype, low=0, high=1)
    if isinstance(value, float) and not value.is_integer():
        raise fail("TD0206", value=value, dtype=dtype)
    low, high = dtype.int_range
    if not low <= int(value) <= high:
        raise fail("TD0205", value=value, dtype=dtype, low=low, high=high)
    return Const(int(value), dtype)


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
    if isinstance(e, Const) and not isinstance(e.value, bool) and target is not BOOL:
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
    if not isinstance(value, Scalar):
        return Scalar(literal(int(value) if dtype.is_integer and math.isfinite(value) else value, dtype), dtype)
    e = expr_of(value)
    plain = rounding is Rounding.NEAREST_EVEN and not saturate
    result = _convert(e, value.type, dtype) if plain else Cast(dtype, e, rounding, saturate)
    return Scalar(result, dtype, value.frame, reads_of(value))


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


_ON_BOOLS = {"&": "and", "|": "or", "^": "!="}


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


def negate(a: Scalar) -> Scalar:
    if a.type is BOOL:
        raise fail("TD0223", op="-", a=describe(a), b="nothing")
    e = expr_of(a)
    if isinstance(e, Const) and (a.type.is_float or e.value != a.type.int_range[0]):
        return Scalar(Const(-e.value, a.type), a.type, a.frame)
    return Scalar(Unary("-", e), a.type, a.frame, reads_of(a))


def invert(a: Scalar) -> Scalar:
    if a.type.is_float:
        raise fail("TD0223", op="~", a=describe(a), b="nothing")
    return Scalar(Unary("not" if a.type is BOOL else "~", expr_of(a)), a.type, a.frame, reads_of(a))


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
    return fold(a, b)
