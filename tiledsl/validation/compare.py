"""One kernel executed on the CPU at any stage, and what two executions differ in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import ml_dtypes
import numpy as np

from tiledsl.cpu import interp, tile_interp
from tiledsl.cpu.arrays import first_of
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.tile import is_tile_stage
from tiledsl.passes.pipeline import PASSES
from tiledsl.validation.inputs import Inputs

Array = np.ndarray[Any, Any]
Outputs = Mapping[str, Array]


class Stage(Enum):
    """What can be asked of a kernel, by how far it has come."""

    TILE = "tile"
    UNGUARDED = "unguarded"  # thread stage; accesses outside of tensors do what guard-bounds makes of them
    UNORDERED = "unordered"  # nothing is outside any more; barriers are missing
    THREAD = "thread"  # as on a GPU: races are errors


_FROM = (("insert-barriers", Stage.THREAD), ("guard-bounds", Stage.UNORDERED), ("lower-tiles", Stage.UNGUARDED))


def stage_after(name: str) -> Stage:
    """What a kernel has come to after the pass `name`."""
    order = list(PASSES)
    at = order.index(name)
    return next((stage for start, stage in _FROM if at >= order.index(start)), Stage.TILE)


def stage_of(kernel: Kernel) -> Stage:
    """For a kernel of unknown descent: TILE, or THREAD if nothing of tiles is left."""
    return Stage.TILE if is_tile_stage(kernel) else Stage.THREAD


# What can be asked of thread-stage IR, as arguments of `interp.run`: before its guards and barriers are there, less.
CHECKS: dict[Stage, dict[str, Any]] = {
    Stage.UNGUARDED: {"check": False, "mode": "early"},
    Stage.UNORDERED: {"races": False},
    Stage.THREAD: {},
}


def execute(kernel: Kernel, inputs: Inputs, stage: Stage, *, spare: Outputs | None = None, **how: Any) -> Outputs:
    """What the tensors of `inputs.written` hold after `kernel` ran; asynchronous copies deliver late.

    The arrays of `spare`, outputs of the same inputs that no one needs any more, are used again. `how` goes to the
    execution in place of what the stage says. Raises TileError TD08xx.
    """
    arguments = inputs.fresh(spare)
    if stage is Stage.TILE:
        tile_interp.run(kernel, arguments, **{"mode": "late", "blocks": inputs.blocks, **how})
    else:
        interp.run(kernel, arguments, **{"mode": "late", **CHECKS[stage], "blocks": inputs.blocks, **how})
    return {n: arguments[n] for n in sorted(inputs.written)}


@dataclass(frozen=True)
class Difference:
    """The first element, in row-major order, of the first tensor in which two executions differ."""

    buffer: str
    index: tuple[int, ...]
    before: Any
    after: Any
    count: int  # elements of the tensor that differ
    size: int

    def __str__(self) -> str:
        place = f"{self.buffer}{list(self.index)}" if self.index else self.buffer
        return f"{place} is {self.before} before and {self.after} after ({self.count} of {self.size} elements differ)"


@dataclass(frozen=True)
class Failed:
    """The program after cannot be executed, or is reported by a check."""

    problem: Exception

    def __str__(self) -> str:
        kind = "" if isinstance(self.problem, TileError) else f"{type(self.problem).__name__}: "
        return f"afterwards the execution reports {kind}{self.problem}"


def first_difference(before: Outputs, after: Outputs, rounding: bool = False) -> Difference | None:
    """None if they are the same bit for bit, NaN counting as equal to NaN; with `rounding` within `tolerance`."""
    for name in before:
        a, b = before[name], after[name]
        same = _same_bits(a, b)
        if rounding and not same.all():
            same |= _close(a, b)
        if found := first_of(~same):
            index, count = found
            return Difference(name, index, _shown(a[index]), _shown(b[index]), count, a.size)
    return None


def _same_bits(a: Array, b: Array) -> Array:
    bits = f"u{a.dtype.itemsize}"
    same: Array = np.ascontiguousarray(a).reshape(a.shape).view(bits) == np.ascontiguousarray(b).reshape(b.shape).view(
        bits
    )
    if not same.all() and _is_float(a.dtype):
        same |= np.isnan(a) & np.isnan(b)
    return same


def _close(a: Array, b: Array) -> Array:
    """|a - b| <= `tolerance` of the greater one and of the typical size: sums of large terms may be small."""
    if not _is_float(a.dtype):
        return np.zeros(a.shape, bool)
    x, y = a.astype(np.float64), b.astype(np.float64)
    size = np.maximum(np.abs(x), np.abs(y))
    finite = size[np.isfinite(size)]
    typical = float(np.sqrt(np.mean(finite * finite))) if finite.size else 0.0
    with np.errstate(invalid="ignore"):
        near = np.abs(x - y) <= tolerance(a.dtype) * np.maximum(size, typical)
    close: Array = near & np.isfinite(x) & np.isfinite(y)
    return close


def tolerance(dtype: np.dtype[Any]) -> float:
    """Relative: two units in the last place of the dtype, but not finer than sums of 16-bit terms in float32."""
    return max(2 * float(ml_dtypes.finfo(dtype).eps), 2.0**-18)


def _is_float(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or (dtype.kind == "V" and "float" in dtype.name)


def _shown(value: Any) -> Any:
    return float(value) if _is_float(value.dtype) else value.item()
