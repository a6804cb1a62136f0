"""Dtypes as the user writes them: `T.float16`, `"float16"`, `torch.float16`, `np.float16`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from difflib import get_close_matches

from tiledsl.frontend.source import fail
from tiledsl.ir.dtypes import ALIASES, BOOL, DTYPES, DType
from tiledsl.ir.nodes import Const


@dataclass(frozen=True, slots=True, eq=False)
class TypeName:
    """A dtype of the language, for example `T.float16`; it equals every spelling of the dtype."""

    dtype: DType

    @property
    def name(self) -> str:
        return self.dtype.name

    @property
    def bits(self) -> int:
        return self.dtype.bits

    def __eq__(self, other: object) -> bool:
        return find_dtype(other) == self.dtype

    def __hash__(self) -> int:
        return hash(self.dtype.name)

    def __str__(self) -> str:
        return self.dtype.name

    __repr__ = __str__


def find_dtype(spelled: object) -> DType | None:
    """The dtype that `spelled` names: a string, a `T` dtype, or the dtype of torch, NumPy or ml_dtypes; else None."""
    match spelled:
        case TypeName(dtype):
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
            # NumPy's own dtypes have classes of their own, those of ml_dtypes are a dtype[...].
            is_numpy = type(spelled).__name__.endswith("DType") or type(spelled).__name__.startswith("dtype[")
            name = str(getattr(spelled, "name", "")) if is_numpy else ""
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


def literal(value: bool | int | float, dtype: DType) -> Const:
    """`value` as a constant. Raises TileError TD0205 if it is out of range, TD0206 for a fraction of an integer."""
    if dtype.is_float:
        try:
            number = float(value)
        except OverflowError:
            raise fail(
                "TD0205", value=value, dtype=dtype, low=-largest_float(dtype), high=largest_float(dtype)
            ) from None
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
