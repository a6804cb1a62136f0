"""Atomic updates of many lanes: as if one lane after the other, in lane order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

_COMBINE: dict[str, Callable[[Any, Any], Any]] = {
    "add": np.add,
    "max": np.maximum,
    "min": np.minimum,
    "and": np.bitwise_and,
    "or": np.bitwise_or,
    "xor": np.bitwise_xor,
    "exch": lambda old, new: new,
    "store": lambda old, new: new,
    "load": lambda old, new: old,
}
OPERATIONS = frozenset(_COMBINE)


def combined(op: str, old: Array, new: Array) -> Array:
    """Element by element, in the type of `old`."""
    result: Array = _COMBINE[op](old, new)
    return result.astype(old.dtype)


def apply_atomic(op: str, data: Array, places: tuple[Array, ...], values: Array, want_old: bool) -> Array:
    """`data[places] = op(data[places], values)`, each lane in one step; the old values if wanted, else anything.

    `places` are index arrays of one axis, one entry a lane. Lanes that meet take turns in lane order, so each sees
    the result of the lanes before it.
    """
    if not len(values):
        return values
    combine = _COMBINE[op]
    if isinstance(combine, np.ufunc) and not want_old and data.dtype.kind in "iuf":
        combine.at(data, places, values)
        return values
    keys = np.ravel_multi_index(places, data.shape)
    old = np.empty_like(values, dtype=data.dtype)
    left = np.arange(len(values))
    while len(left):
        _, first = np.unique(keys[left], return_index=True)
        turn = left[first]
        at = tuple(p[turn] for p in places)
        old[turn] = data[at]
        data[at] = combine(old[turn], values[turn]).astype(data.dtype)
        left = np.delete(left, first)
    return old
