"""Two executions of one kernel compared: bit for bit, or within what a change of the order of additions may do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from tiledsl.analysis.access import AccessKind, accesses, rooted, storage_roots
from tiledsl.cpu.arrays import first_of
from tiledsl.ir.nodes import AtomicUpdate, Buffer, Kernel, Space
from tiledsl.ir.walk import statements

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


@dataclass(frozen=True, slots=True)
class Order:
    """Global tensors, by name, whose value may depend on the order of atomic updates.

    `sums` are equal within a tolerance in every order: floating-point atomic adds. `free` may hold anything that an
    order gives: an atomic update handed back what was there before.
    """

    sums: frozenset[str] = frozenset()
    free: frozenset[str] = frozenset()


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


def order_dependent(kernel: Kernel) -> Order:
    """What of `kernel` may depend on the order of atomic updates: their tensors, and what is computed from those."""
    sums: set[Buffer] = set()
    free: set[Buffer] = set()
    for launch in kernel.launches:
        roots = storage_roots(launch.body)
        found = rooted([a for s in launch.body for a in accesses(s)], roots)
        read = {a.buffer for a in found if a.kind is AccessKind.READ}
        written = {a.buffer for a in found if a.writes and a.buffer.space is Space.GLOBAL}
        updates = [s for s in statements(launch) if isinstance(s, AtomicUpdate)]
        adds = {roots.get(s.buffer, s.buffer) for s in updates if s.op == "add" and s.buffer.dtype.is_float}
        outside = {b for b in adds if b.space is Space.GLOBAL}
        # What is added up in shared memory, or was by a launch before, may go into everything that is written.
        sums |= written if adds - outside or read & sums else outside
        if any(s.result for s in updates) or read & free:
            free |= written
    return Order(frozenset(b.name for b in sums), frozenset(b.name for b in free))
