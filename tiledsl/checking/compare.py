"""Two executions of one kernel compared: bit for bit, or within what a change of the order of additions may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from tiledsl.cpu.arrays import first_of

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Difference:
    """Where two arrays of one shape differ: the first element, its two values, how many of all."""

    index: tuple[int, ...]
    actual: Any
    expected: Any
    count: int
    size: int

    def __str__(self) -> str:
        where = f"[{', '.join(map(str, self.index))}]"
        return f"{self.count} of {self.size} elements differ, the first is {where}: {self.actual} and {self.expected}"


def tolerance_of(dtype: np.dtype[Any]) -> float:
    """What `rtol` and `atol` are where the caller names none: the square root of the distance of 1 to the next number,
    a tenth of it for float16 and wider; 0 for integers. float32: 3.5e-5, float16: 3e-3, bfloat16: 9e-2, e4m3: 0.35.

    Half of the bits leaves room for sums of hundreds of terms in any order and for intrinsics of a few ulp.
    """
    if dtype.kind in "iub":
        return 0.0
    eps = float(ml_dtypes.finfo(dtype).eps)
    return float(np.sqrt(eps) / 10 if eps < 2**-8 else np.sqrt(eps))


def difference(actual: Array, expected: Array, rtol: float = 0.0, atol: float = 0.0) -> Difference | None:
    """The first element for which |actual - expected| <= atol + rtol * |expected| does not hold; None if there is none.

    The shapes are equal. NaN equals NaN, infinities equal themselves. With rtol = atol = 0 that is bit for bit, but for
    the sign of zero and the payload of NaN.
    """
    a, e = (x.astype(np.float64) if x.dtype.kind not in "iub" else x.astype(object) for x in (actual, expected))
    with np.errstate(invalid="ignore"):
        same = np.asarray(a == e)
        if a.dtype == np.float64:
            same |= np.isnan(a) & np.isnan(e)
            if rtol or atol:
                same |= np.abs(a - e) <= atol + rtol * np.abs(e)
    found = first_of(~same.astype(bool))
    return found and Difference(found[0], actual[found[0]], expected[found[0]], found[1], actual.size)


def differing(
    actual: Mapping[str, Array], expected: Mapping[str, Array], loose: frozenset[str]
) -> dict[str, Difference]:
    """By name what differs: tensors of `loose` within the tolerance of their dtype, the others exactly."""
    found = {}
    for name, value in expected.items():
        tolerance = tolerance_of(value.dtype) if name in loose else 0.0
        if d := difference(actual[name], value, tolerance, tolerance):
            found[name] = d
    return found
