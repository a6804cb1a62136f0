"""Which lanes are on: None all of them, False none, else a bool array that broadcasts to the domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiledsl.cpu.values import Value, is_uniform

Mask = Any  # None | Literal[False] | Array


def narrow(mask: Mask, cond: Value) -> Mask:
    """The lanes of `mask` where `cond` holds, in the least form."""
    if mask is False:
        return False
    if is_uniform(cond):
        return mask if cond else False
    kept = cond if mask is None else mask & cond
    if not kept.any():
        return False
    return None if mask is None and kept.all() else kept


def without(mask: Mask, removed: Mask) -> Mask:
    """The lanes of `mask` that are not in `removed`."""
    if removed is False:
        return mask
    return False if removed is None else narrow(mask, ~removed)


def union(a: Mask, b: Mask) -> Mask:
    if a is None or b is None:
        return None
    if a is False:
        return b
    return a if b is False else a | b


@dataclass(slots=True)
class LoopState:
    """Lanes that left the innermost loop by `break`, and those done with this iteration by `continue`."""

    left: Mask = False
    skipped: Mask = False
