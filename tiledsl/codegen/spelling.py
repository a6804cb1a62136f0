"""How dtypes, literals and names are spelled in the kernel text. Our types and functions live in namespace `tds`."""

from __future__ import annotations

import math
import re
import struct
from fractions import Fraction

from tiledsl.errors import error
from tiledsl.ir.dtypes import DTYPES, FLOAT32, FLOAT64, TFLOAT32, DType, Kind

# Words that the text or the two compilers claim: C++17 keywords, CUDA's built-in variables, and names of our own.
_WORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl const
constexpr const_cast continue decltype default delete do double dynamic_cast else enum explicit export extern
false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr operator or
or_eq private protected public register reinterpret_cast return short signed sizeof static static_assert
static_cast struct switch template this thread_local throw true try typedef typeid typename union unsigned using
virtual void volatile wchar_t while xor xor_eq threadIdx blockIdx blockDim gridDim warpSize printf main NULL
half linux unix tds shared
"""
RESERVED = frozenset(_WORDS.split())


def reserved(source: str) -> set[str]:
    """What no variable may be called: words of C++, and functions and macros of the user's own text.

    Some more that look like these do no harm.
    """
    functions, macros = re.findall(r"\b([A-Za-z_]\w*)\s*\(", source), re.findall(r"#\s*define\s+(\w+)", source)
    return {*RESERVED, *functions, *macros}


_PLAIN = {
    "index": "tds::i64",
    "bool": "bool",
    "handle": "tds::u64",
    "float64": "double",
    "float32": "float",
    "tfloat32": "float",
    "float16": "tds::f16",
    "bfloat16": "tds::bf16",
    "float8_e4m3fn": "tds::e4m3",
    "float8_e5m2": "tds::e5m2",
    "float8_e4m3fnuz": "tds::e4m3fnuz",
    "float8_e5m2fnuz": "tds::e5m2fnuz",
    "float8_e8m0fnu": "tds::e8m0",
    "float6_e2m3fn": "tds::e2m3",
    "float6_e3m2fn": "tds::e3m2",
}

TYPES: dict[str, str] = {
    **_PLAIN,
    **{f"int{n}": f"tds::i{n}" for n in (8, 16, 32, 64)},
    **{f"uint{n}": f"tds::u{n}" for n in (8, 16, 32, 64)},
}


def type_name(dtype: DType) -> str:
    """The C++ type of a scalar of `dtype`. Raises TileError TD0503 for the 4-bit types, which no address can name."""
    if dtype.name not in TYPES:
        raise error("TD0503", what="a value", dtype=dtype)
    return TYPES[dtype.name]


def short_name(dtype: DType) -> str:
    """The name of `dtype` inside the names of conversion functions: f32, bf16, e4m3, ..."""
    if dtype in (FLOAT32, TFLOAT32):
        return "f32"
    return "f64" if dtype is FLOAT64 else type_name(dtype).removeprefix("tds::")


def is_small_float(dtype: DType) -> bool:
    """Whether values of `dtype` are kept as bits in a struct and computed with as float32."""
    return dtype.is_float and dtype.bits < 32


def literal(value: int | float | bool, dtype: DType) -> str:
    """A constant expression of the type of `dtype` with exactly this value, rounded to nearest even."""
    match dtype.kind:
        case Kind.BOOL:
            return "true" if value else "false"
        case Kind.INT | Kind.UINT | Kind.INDEX | Kind.HANDLE:
            return _integer(int(value), dtype)
        case Kind.FLOAT:
            return _float(float(value), dtype)


def _integer(value: int, dtype: DType) -> str:
    bits = dtype.bits
    value &= (1 << bits) - 1
    if dtype.kind in (Kind.INT, Kind.INDEX) and value >> (bits - 1):
        value -= 1 << bits
    suffix = ("u" if dtype.kind in (Kind.UINT, Kind.HANDLE) else "") + ("ll" if bits == 64 else "")
    if bits < 32:
        return f"{type_name(dtype)}({value})"
    if value == -(1 << (bits - 1)):  # C++ has no negative literals, and the positive one does not fit
        return f"(-{-(value + 1)}{suffix} - 1)"
    return f"{value}{suffix}" if value >= 0 else f"(-{-value}{suffix})"


def _float(value: float, dtype: DType) -> str:
    if is_small_float(dtype):
        return f"{type_name(dtype)}{{{encode(value, dtype):#x}}}"
    single = dtype is not FLOAT64
    if not math.isfinite(value) or (single and abs(value) >= 2.0**128):
        if single:
            return f"tds::bitcast<float>({encode(value, FLOAT32):#x}u)"
        return f"tds::bitcast<double>({struct.unpack('<Q', struct.pack('<d', value))[0]:#x}ull)"
    if single:
        value = struct.unpack("<f", struct.pack("<I", encode(value, FLOAT32)))[0]
        if not math.isfinite(value):
            return literal(value, dtype)
    # The shortest text that gives the float64 also gives the float32 that it equals.
    text = repr(value)
    text = text if any(c in text for c in ".e") else f"{text}.0"
    text += "f" if single else ""
    return f"({text})" if text.startswith("-") else text


# How a format uses its largest exponent: IEEE has infinities and NaNs, FN one NaN, FNUZ only -0 as NaN, FINITE neither.
IEEE, FN, FNUZ, FINITE = range(4)
TOP_OF_RANGE: dict[str, int] = {
    "float64": IEEE,
    "float32": IEEE,
    "tfloat32": IEEE,
    "float16": IEEE,
    "bfloat16": IEEE,
    "float8_e4m3fn": FN,
    "float8_e5m2": IEEE,
    "float8_e4m3fnuz": FNUZ,
    "float8_e5m2fnuz": FNUZ,
    "float6_e2m3fn": FINITE,
    "float6_e3m2fn": FINITE,
    "float4_e2m1fn": FINITE,
}
assert {t.name for t in DTYPES.values() if t.is_float} - TOP_OF_RANGE.keys() == {"float8_e8m0fnu"}


def encode(value: float, dtype: DType) -> int:
    """The bits of `value` in a float format, rounded to nearest even; out of range becomes what the format has for it.

    Out of range is infinity, NaN, or, where there is neither, the largest finite value.
    """
    if dtype.name == "float8_e8m0fnu":
        return _encode_e8m0(value)
    e, m, top = dtype.exponent, dtype.mantissa, TOP_OF_RANGE[dtype.name]
    sign = int(math.copysign(1.0, value) < 0) << (e + m)
    all_ones = (1 << (e + m)) - 1
    infinity = all_ones >> m << m
    largest = {IEEE: infinity - 1, FN: all_ones - 1, FNUZ: all_ones, FINITE: all_ones}[top]
    nan = {IEEE: infinity | 1 << max(m - 1, 0), FN: sign | all_ones, FNUZ: 1 << (e + m), FINITE: sign | 1 << (e + m)}
    if math.isnan(value):
        return nan[top]
    overflow = {IEEE: sign | infinity, FN: sign | all_ones, FNUZ: 1 << (e + m), FINITE: sign | largest}[top]
    if math.isinf(value):
        return overflow
    bias = (1 << (e - 1)) - 1 + (top == FNUZ)
    magnitude = _round_to_units(abs(value), m, 1 - bias)
    if magnitude > largest:
        return overflow
    return 0 if top == FNUZ and magnitude == 0 else sign | magnitude


def _round_to_units(value: float, mantissa: int, least_exponent: int) -> int:
    """Exponent and mantissa fields, joined, of the value nearest to `value` >= 0 (the exponent is unbounded above)."""
    if value == 0.0:
        return 0
    exponent = max(math.frexp(value)[1] - 1, least_exponent)
    units = round(Fraction(value) / Fraction(2) ** (exponent - mantissa))  # half to even
    return units + ((exponent - least_exponent) << mantissa)


def _encode_e8m0(value: float) -> int:
    if not (math.isfinite(value) and value > 0.0):
        return 0xFF
    fraction, exponent = math.frexp(value)
    power = exponent - 1 + (fraction >= 0.75)
    return power + 127 if -127 <= power <= 127 else 0xFF


def format_letter(dtype: DType) -> str:
    """What printf calls an integer of `dtype`."""
    return "u" if dtype.kind in (Kind.UINT, Kind.HANDLE) else "d"


def string_literal(text: str, newline: bool = False) -> str:
    """A C++ string literal; what is not plain ASCII as octal escapes of its UTF-8."""
    out = "".join(
        chr(b) if 32 <= b < 127 and b not in (34, 63, 92) else f"\\{b:03o}"
        for b in (text + ("\n" if newline else "")).encode()
    )
    return f'"{out}"'
