"""How reductions, scans and reducers combine two values: one table for the words and the passes."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from tiledsl.ir.dtypes import DType
from tiledsl.ir.nodes import Const


@dataclass(frozen=True, slots=True)
class Combine:
    """How two values become one. `identity` is the neutral element, "low" and "high" the ends of the dtype's range."""

    op: str
    identity: int | str
    absolute: bool = False


COMBINE: dict[str, Combine] = {
    "sum": Combine("+", 0),
    "max": Combine("max", "low"),
    "min": Combine("min", "high"),
    "abssum": Combine("+", 0, absolute=True),
    "absmax": Combine("max", 0, absolute=True),
    "bitand": Combine("&", -1),
    "bitor": Combine("|", 0),
    "bitxor": Combine("^", 0),
}


def identity(c: Combine, dtype: DType) -> Const:
    """The neutral element of `c` as a constant of `dtype`."""
    if dtype.is_float:
        ends = {"low": -inf, "high": inf}
        return Const(float(ends[c.identity] if isinstance(c.identity, str) else c.identity), dtype)
    low, high = dtype.int_range
    if isinstance(c.identity, str):
        return Const(low if c.identity == "low" else high, dtype)
    return Const(high if c.identity == -1 and low == 0 else c.identity, dtype)
