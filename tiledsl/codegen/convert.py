"""Values of one dtype as another, in C++: conversions, reinterpretation, and the wider types that C++ computes in."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tiledsl.codegen.spelling import is_small_float, short_name, type_name
from tiledsl.ir.dtypes import BOOL, FLOAT32, FLOAT64, HANDLE, TFLOAT32, DType, Kind
from tiledsl.ir.nodes import Rounding

_ROUNDINGS = {
    Rounding.NEAREST_EVEN: "RN",
    Rounding.ZERO: "RZ",
    Rounding.DOWN: "RM",
    Rounding.UP: "RP",
    Rounding.NEAREST_AWAY: "RNA",
}


@dataclass(frozen=True, slots=True)
class Text:
    """C++ of an expression. `atomic` text needs no parentheses as an operand.

    `wraps` says that an integer comes from data, not from counting: arithmetic on it may overflow, and then wraps.
    """

    text: str
    dtype: DType
    atomic: bool = True
    wraps: bool = False

    def __str__(self) -> str:
        return self.text if self.atomic else f"({self.text})"


def is_tiny(dtype: DType) -> bool:
    """Whether C++ computes with int where the program computes with `dtype`."""
    return dtype.kind in (Kind.INT, Kind.UINT, Kind.BOOL) and dtype.bits < 32


def reinterpret(x: Text, to: DType) -> Text:
    """The bits of `x` as `to`."""
    if x.dtype.is_integer and to.is_integer:  # C++ has a conversion for that
        return Text(f"({type_name(to)}){x}", to, wraps=True)
    return Text(f"tds::bitcast<{type_name(to)}>({x.text})", to, wraps=True)


def widen(x: Text) -> Text:
    """A narrow float as float32; exact."""
    return Text(f"tds::{short_name(x.dtype)}_to_f32({x.text})", FLOAT32)


def back_to(computed: Text, dtype: DType) -> Text:
    """What was computed in a wider C++ type as a value of `dtype`."""
    if computed.dtype is dtype and not is_tiny(dtype):
        return computed
    if dtype is BOOL:
        return Text(computed.text, BOOL, computed.atomic)
    if is_small_float(dtype):
        return Text(f"tds::f32_to_{short_name(dtype)}({computed.text})", dtype)
    if is_tiny(dtype):
        return Text(f"({type_name(dtype)}){computed}", dtype, wraps=computed.wraps)
    return replace(computed, dtype=dtype)


def cast(x: Text, to: DType, rounding: Rounding = Rounding.NEAREST_EVEN, saturate: bool = False) -> Text:
    """The value of `x` as `to`, rounded once."""
    if x.dtype is to:
        return x
    if is_small_float(x.dtype):
        x = widen(x)
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
        return Text(f"tds::saturate<{type_name(to)}>({x.text})", to, wraps=x.wraps)
    return Text(f"({type_name(to)}){x}", to, wraps=x.wraps)


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
        return Text(f"tds::to_small<{type_name(to)}>({value})", to, wraps=True)
    return Text(f"tds::to_{'u64' if to is HANDLE else short_name(to)}({value})", to, wraps=True)
