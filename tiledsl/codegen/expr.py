"""Scalar expressions as C++ text: one `match`, one table of operators (`ir/ops.py`), one function of conversions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tiledsl.codegen.spelling import RESERVED, is_small_float, literal, short_name, type_name
from tiledsl.ir.dtypes import BOOL, FLOAT32, FLOAT64, HANDLE, INT32, INT64, TFLOAT32, DType, Kind
from tiledsl.ir.nodes import (
    Address,
    Binary,
    Buffer,
    Call,
    Cast,
    Const,
    Expr,
    Extent,
    Extern,
    Load,
    Reinterpret,
    Rounding,
    Select,
    Space,
    Unary,
    Var,
    static_shape,
)
from tiledsl.ir.ops import BINARY, FUNCTIONS, UNARY, Effect, Result
from tiledsl.ir.printer import Names

_FUNCTION_OF_OPERATOR = {"//": "floor_div", "%": "floor_mod"}
_ROUNDINGS = {
    Rounding.NEAREST_EVEN: "RN",
    Rounding.ZERO: "RZ",
    Rounding.DOWN: "RM",
    Rounding.UP: "RP",
    Rounding.NEAREST_AWAY: "RNA",
}


@dataclass(frozen=True, slots=True)
class Text:
    """C++ of an expression. `atomic` text needs no parentheses as an operand."""

    text: str
    dtype: DType
    atomic: bool = True

    def __str__(self) -> str:
        return self.text if self.atomic else f"({self.text})"


@dataclass
class Expressions:
    """Prints expressions. Names are chosen on first sight, in the order of the text.

    `seen` is all that was named, `written` the buffers that text printed so far may write.
    """

    names: Names = field(default_factory=lambda: Names(RESERVED))
    seen: set[Var | Buffer] = field(default_factory=set)
    written: set[Buffer] = field(default_factory=set)

    def name(self, node: Var | Buffer) -> str:
        self.seen.add(node)
        return self.names.of(node)

    def bare(self, e: Expr) -> str:
        """The text where no operator stands next to it."""
        return self.emit(e).text

    def emit(self, e: Expr) -> Text:
        match e:
            case Const(value, dtype):
                return Text(literal(value, dtype), dtype)
            case Var(_, dtype):
                return Text(self.name(e), dtype)
            case Binary(op, a, b):
                return self._binary(op, a, b)
            case Load():
                return self._load(e)
            case Cast(dtype, a, rounding, saturate):
                return cast(self.emit(a), dtype, rounding, saturate)
            case Address(buffer, indices, version):
                return Text(self.address(buffer, indices, version), HANDLE, False)
            case Unary(op, a):
                return self._unary(op, a)
            case Select(cond, a, b):
                first, second = self.emit(a), self.emit(b)
                return Text(f"{self.emit(cond)} ? {first} : {second}", first.dtype, False)
            case Call(fn, args):
                return self._call(fn, args)
            case Reinterpret(dtype, a):
                return _reinterpret(self.emit(a), dtype)
            case Extern(fn, args, dtype):
                return Text(f"{fn}({', '.join(self._extern_argument(a) for a in args)})", dtype)
        raise TypeError(f"'{type(e).__name__}' must be lowered before emission")

    # ---- operators

    def _binary(self, op: str, a: Expr, b: Expr) -> Text:
        row, left, right = BINARY[op], self.emit(a), self.emit(b)
        dtype = BOOL if row.result is Result.BOOL else left.dtype
        if is_small_float(left.dtype):
            left, right = _widen(left), _widen(right)
        if _is_tiny(left.dtype) and left.dtype.kind is Kind.UINT and op == "*":
            left = _unsigned(left)  # 65535 * 65535 would overflow the int that C++ promotes to
        if _needs_function(op, b):
            name = _FUNCTION_OF_OPERATOR.get(op, op)
            computed = Text(f"tds::{name}({left.text}, {right.text})", left.dtype)
        else:
            computed = Text(row.cuda.format(a=left, b=right), left.dtype, False)
        return _back_to(computed, dtype)

    def _unary(self, op: str, a: Expr) -> Text:
        operand = self.emit(a)
        dtype = BOOL if UNARY[op].result is Result.BOOL else operand.dtype
        if is_small_float(operand.dtype):
            operand = _widen(operand)
        return _back_to(Text(UNARY[op].cuda.format(a=operand), operand.dtype, False), dtype)

    def _call(self, fn: str, args: Sequence[Expr]) -> Text:
        row, texts = FUNCTIONS[fn], [self.emit(a) for a in args]
        dtype = {Result.BOOL: BOOL, Result.INT32: INT32, Result.SAME: texts[0].dtype}[row.result]
        if fn == "fma" and short_name(texts[0].dtype) in ("f16", "bf16"):  # rounds once: not through float32
            fn = f"fma_{short_name(texts[0].dtype)}"
        elif row.effect is not Effect.COLLECTIVE and is_small_float(texts[0].dtype):
            texts = [_widen(t) for t in texts]
        computed = Text(f"tds::{fn}({', '.join(t.text for t in texts)})", texts[0].dtype)
        return Text(computed.text, dtype) if computed.dtype is dtype else _back_to(computed, dtype)

    def _extern_argument(self, e: Expr) -> str:
        if isinstance(e, Address):
            self.written.add(e.buffer)
        if isinstance(e, Address) and e.buffer.space is Space.SHARED:
            address = self.address(e.buffer, e.indices, e.version)
            return f"tds::shared_pointer<{type_name(e.buffer.dtype)}>({address})"
        return self.bare(e)

    # ---- memory

    def _load(self, e: Load) -> Text:
        buffer, dtype = e.buffer, e.buffer.dtype
        match buffer.space:
            case Space.VAR:
                return Text(self.name(buffer), dtype)
            case Space.LOCAL:
                return Text(self.element(buffer, e.indices), dtype)
            case Space.GLOBAL:
                return Text(f"tds::load({self.address(buffer, e.indices)})", dtype)
            case Space.SHARED:
                address = self.address(buffer, e.indices, e.version)
                return Text(f"tds::load_shared<{type_name(dtype)}>({address})", dtype)
        raise TypeError(f"a load of the {buffer.space.value} buffer '{buffer.name}' must be lowered before emission")

    def element(self, buffer: Buffer, indices: Sequence[Expr]) -> str:
        """An element of a LOCAL buffer, or a VAR."""
        if buffer.space is Space.VAR:
            return self.name(buffer)
        return f"{self.name(buffer)}[{self.bare(flat_offset(buffer, indices))}]"

    def address(self, buffer: Buffer, indices: Sequence[Expr], version: Expr | None = None) -> str:
        """A pointer to global or local memory; a number for shared memory, counted in bytes."""
        name = self.name(buffer)
        match buffer.space:
            case Space.LOCAL:
                return f"&{self.element(buffer, indices)}"
            case Space.VAR:
                return f"&{name}"
            case Space.GLOBAL:
                offset = flat_offset(buffer, indices)
                return name if _is_zero(offset) else f"{name} + {self.emit(offset)}"
            case Space.SHARED:
                return self._shared_address(buffer, indices, version)
        raise TypeError(
            f"an address in the {buffer.space.value} buffer '{buffer.name}' must be lowered before emission"
        )

    def _shared_address(self, buffer: Buffer, indices: Sequence[Expr], version: Expr | None) -> str:
        offset = flat_offset(buffer, indices)
        if version is not None:
            size = 1
            for extent in static_shape(buffer):
                size *= extent
            offset = _add(_mul(version, Const(size, INT32)), offset)
        name, item = self.name(buffer), buffer.dtype.bits // 8
        if isinstance(offset, Const):
            return f"{name} + {int(offset.value) * item}u" if offset.value else name
        number = self.emit(offset)
        bytes_ = number.text if number.dtype.name == "uint32" and number.atomic else f"(tds::u32){number}"
        return f"{name} + {bytes_}" + (f" * {item}u" if item > 1 else "")


def _needs_function(op: str, b: Expr) -> bool:
    if op in ("div", "rem"):  # a divisor that is not known may be 0, which a CPU traps
        return not (isinstance(b, Const) and b.value not in (0, -1))
    return not BINARY[op].cuda


def _is_tiny(dtype: DType) -> bool:
    """Whether C++ computes with int where the program computes with `dtype`."""
    return dtype.kind in (Kind.INT, Kind.UINT, Kind.BOOL) and dtype.bits < 32


def _unsigned(t: Text) -> Text:
    """`t` as a 32-bit number without sign, of the same dtype for the program."""
    return Text(f"(tds::u32){t}", t.dtype)


def _reinterpret(x: Text, to: DType) -> Text:
    if x.dtype.is_integer and to.is_integer:  # the same bits, for which C++ has a conversion
        return Text(f"({type_name(to)}){x}", to)
    return Text(f"tds::bitcast<{type_name(to)}>({x.text})", to)


def _widen(t: Text) -> Text:
    return Text(f"tds::{short_name(t.dtype)}_to_f32({t.text})", FLOAT32)


def _back_to(computed: Text, dtype: DType) -> Text:
    """What was computed in a wider C++ type as a value of `dtype`."""
    if dtype is BOOL:
        return Text(computed.text, BOOL, computed.atomic)
    if is_small_float(dtype):
        return Text(f"tds::f32_to_{short_name(dtype)}({computed.text})", dtype)
    if _is_tiny(dtype):
        return Text(f"({type_name(dtype)}){computed}", dtype)
    return Text(computed.text, dtype, computed.atomic)


# ---------------------------------------------------------------------------------------------------- conversions


def cast(x: Text, to: DType, rounding: Rounding = Rounding.NEAREST_EVEN, saturate: bool = False) -> Text:
    """The value of `x` as `to`. Integers become narrow floats through float32, as in NumPy and ml_dtypes."""
    if x.dtype is to:
        return x
    if is_small_float(x.dtype):
        x = _widen(x)
    source = FLOAT32 if x.dtype is TFLOAT32 else x.dtype
    if source is to:
        return Text(x.text, to, x.atomic)
    if to is BOOL:
        return Text(f"{x} != 0", BOOL, False)
    if to.is_float:
        return _to_float(x, source, to, rounding, saturate)
    if source.is_float:
        return _float_to_integer(x, to, rounding)
    if saturate:
        return Text(f"tds::saturate<{type_name(to)}>({x.text})", to)
    return Text(f"({type_name(to)}){x}", to)


def _to_float(x: Text, source: DType, to: DType, rounding: Rounding, saturate: bool) -> Text:
    mode = _ROUNDINGS[rounding]
    if not source.is_float:
        x, source = _integer_to_float(x, source, to, rounding)
    if to is FLOAT64:
        return x if source is FLOAT64 else Text(f"(double){x}", to)
    if to is FLOAT32:
        if source is FLOAT32:
            return Text(x.text, to, x.atomic)
        return Text(f"(float){x}" if mode == "RN" else f"tds::f64_to_f32<tds::{mode}>({x.text})", to)
    if source is FLOAT64:  # rounding to odd keeps what the second rounding needs to know
        x = Text(f"tds::f64_to_f32_odd({x.text})", FLOAT32)
    name = "tf32" if to is TFLOAT32 else short_name(to)
    how = f"<tds::{mode}, true>" if saturate else f"<tds::{mode}>" if mode != "RN" else ""
    return Text(f"tds::f32_to_{name}{how}({x.text})", to)


def _integer_to_float(x: Text, source: DType, to: DType, rounding: Rounding) -> tuple[Text, DType]:
    """An integer as float32 or float64, such that what is left to do rounds it once."""
    if to is FLOAT64 or to is FLOAT32:
        if rounding is not Rounding.NEAREST_EVEN and source.bits > (24 if to is FLOAT32 else 53):
            raise TypeError(f"a conversion of {source} to {to} rounds to nearest even only")
        return Text(f"({'double' if to is FLOAT64 else 'float'}){x}", to), to
    if source.bits <= 16:
        return Text(f"(float){x}", FLOAT32), FLOAT32
    return Text(f"tds::integer_to_f32_odd({x.text})", FLOAT32), FLOAT32


_WHOLE = {Rounding.DOWN: "floor", Rounding.UP: "ceil", Rounding.NEAREST_AWAY: "round_half_away"}


def _float_to_integer(x: Text, to: DType, rounding: Rounding) -> Text:
    """Truncated (the default rounding) or as asked, and clamped to the range (PTX ISA, "cvt")."""
    value = f"tds::{_WHOLE[rounding]}({x.text})" if rounding in _WHOLE else x.text
    if to.bits < 32:
        return Text(f"tds::to_small<{type_name(to)}>({value})", to)
    return Text(f"tds::to_{'u64' if to is HANDLE else short_name(to)}({value})", to)


# --------------------------------------------------------------------------------------------- offsets of elements


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
        total = _add(_mul(total, _number(extent)), index)
    return total


def _sum_of_products(indices: Sequence[Expr], strides: Sequence[Extent]) -> Expr:
    total: Expr = Const(0, INT32)
    for index, stride in zip(indices, strides, strict=True):
        total = _add(total, _mul(index, _number(stride)))
    return total


def _number(extent: Extent) -> Expr:
    return Const(extent, INT32) if isinstance(extent, int) else extent


def _is_zero(e: Expr) -> bool:
    return isinstance(e, Const) and e.value == 0


def _mul(a: Expr, b: Expr) -> Expr:
    match a, b:
        case (Const(x), Const(y)):
            return Const(int(x) * int(y), _wider(a, b))
        case (_, Const(1)):
            return a
        case (Const(0), _) | (_, Const(0)):
            return Const(0, INT32)
    return _same_width("*", a, b)


def _add(a: Expr, b: Expr) -> Expr:
    match a, b:
        case (Const(x), Const(y)):
            return Const(int(x) + int(y), _wider(a, b))
        case (_, Const(0)):
            return a
        case (Const(0), _):
            return b
    return _same_width("+", a, b)


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
        case Binary(_, a) | Unary(_, a) | Select(_, a):
            return _width(a)
        case Call(fn, args):
            return INT32 if FUNCTIONS[fn].result is Result.INT32 else _width(args[0])
    raise TypeError(f"{type(e).__name__} is not an index")
