"""Text forms of plain data: numbers, strings, options, layouts.

Scalar fields of statements and loop kinds are *options*: written in parentheses after the word, in field order, unless
they have their default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import Any

from tiledsl.ir.layout import Digit, Fragment, Layout
from tiledsl.ir.nodes import LoopKind, Persistent, Pipelined, Serial, Unrolled, Vectorized

LOOP_KINDS: dict[str, type[LoopKind]] = {
    "serial": Serial,
    "unrolled": Unrolled,
    "vectorized": Vectorized,
    "pipelined": Pipelined,
    "persistent": Persistent,
}


def number(value: int | float) -> str:
    """The shortest decimal that reads back as `value`; `inf`, `-inf`, `nan`."""
    return str(int(value)) if isinstance(value, int) else repr(float(value))


_OPERANDS = {"asynchronous", "extents", "message", "atom", "name", "bulk"}  # plain data with a form of their own
_OPTION_TYPES = {"int", "bool", "str", "tuple[int, ...]", "tuple[tuple[int, ...], ...]"}


@cache
def option_fields(kind: type) -> tuple[Field[Any], ...]:
    """The fields of `kind` that are written as options: plain data without a form of its own."""
    return tuple(f for f in fields(kind) if f.type in _OPTION_TYPES and f.name not in _OPERANDS)


def _option_value(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case tuple():
            return f"[{', '.join(map(_option_value, value))}]"
        case str():
            return word(value)
    return str(value)


def options(node: Any) -> str:
    """`(first, flag, name=value)` of the options that differ from their defaults; empty if none does."""
    kind: Any = type(node)
    parts: list[str] = []
    for f in option_fields(kind):
        value = getattr(node, f.name)
        if f.default is not MISSING and value == f.default:
            continue
        if f.name == "op" or (value is True and f.default is False):
            parts.append(word(value) if isinstance(value, str) else f.name)
        else:
            parts.append(f"{f.name}={_option_value(value)}")
    return f"({', '.join(parts)})" if parts else ""


def string(value: str) -> str:
    """A JSON string: ASCII only."""
    return json.dumps(value)


def word(value: str) -> str:
    """The string bare if it is an identifier, else quoted."""
    return value if re.fullmatch(r"[A-Za-z_]\w*", value, re.ASCII) and value not in ("true", "false") else string(value)


def _digits(digits: Iterable[Digit]) -> str:
    return ", ".join(f"{d.extent}:{d.stride}" for d in digits)


def layout_text(layout: Fragment | Layout) -> str:
    """A layout with every digit as `extent:stride`, most significant first."""
    shape = ", ".join(map(str, layout.shape))
    if isinstance(layout, Fragment):
        return f"fragment[{shape}] threads({_digits(layout.threads)}) regs({_digits(layout.regs)})"
    dims = ", ".join(f"[{_digits(d)}]" for d in layout.dims)
    swizzle = layout.swizzle
    end = f" swizzle({swizzle.bits}, {swizzle.base}, {swizzle.shift})" if swizzle else ""
    return f"shared[{shape}] dims({dims}) size({layout.size}){end}"
