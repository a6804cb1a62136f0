"""Arrays of the host as kernels take them: with any strides, copied, poisoned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def zeros(shape: Sequence[int], dtype: np.dtype[Any], strides: Sequence[int] | None = None) -> Array:
    """Zeros with `strides` in elements, none of them negative; None: row-major. Gaps between elements are zero too."""
    if strides is None:
        return np.zeros(shape, dtype)
    reach = 1 + sum((n - 1) * s for n, s in zip(shape, strides)) if all(shape) else 0
    storage = np.zeros(reach, dtype)
    return np.lib.stride_tricks.as_strided(storage, shape, tuple(s * dtype.itemsize for s in strides))


def strided(array: Array, strides: Sequence[int]) -> Array:
    """A copy of `array` with `strides` in elements, none of them negative."""
    made = zeros(array.shape, array.dtype, strides)
    made[...] = array
    return made


def copy_of(array: Array) -> Array:
    """A writeable copy with the same strides, which a kernel may demand; row-major where one of them is negative."""
    if array.flags.c_contiguous or any(stride < 0 for stride in array.strides):
        return array.copy()
    return strided(array, [stride // array.itemsize for stride in array.strides])


def copies_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name: arrays copied, anything else as it is."""
    return {n: copy_of(v) if isinstance(v, np.ndarray) else v for n, v in values.items()}


def poison(array: Array) -> None:
    """Fill with all ones bits: NaN in every float format, -1 in integers."""
    array[...] = np.full(array.itemsize, 0xFF, np.uint8).view(array.dtype)


def first_of(wrong: Array) -> tuple[tuple[int, ...], int] | None:
    """The first place that is true, in row-major order, and how many are; None if none is."""
    places = np.argwhere(wrong)
    return (tuple(int(i) for i in places[0]), len(places)) if len(places) else None
