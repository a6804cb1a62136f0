"""Arguments of a kernel as the NumPy executions take them: by name, arrays in place, sizes from the shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from tiledsl.cpu import foreign
from tiledsl.cpu.lockstep import Lockstep
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.cpu.values import Value, constant
from tiledsl.errors import error, locating
from tiledsl.ir.dtypes import BOOL, INDEX, INT32, DType
from tiledsl.ir.foreign import passed
from tiledsl.ir.nodes import Buffer, Extent, Kernel, Launch, Var

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Bound:
    """Arrays of tensor parameters and scratch, those whose content is undefined, values of scalars and sizes."""

    arrays: Mapping[Buffer, Array]
    undefined: frozenset[Buffer]
    scalars: Mapping[Var, Value]
    references: Mapping[str, Callable[..., Any]] = field(default_factory=dict)  # of the user's own CUDA functions


class _Host(Lockstep):
    """Evaluates expressions over the kernel's scalars."""

    def name_lane(self, lane: tuple[int, ...]) -> str:
        return "on the host"


def host_value(extent: Extent, scalars: Mapping[Var, Value]) -> int:
    """A dynamic extent or grid size as an integer."""
    if isinstance(extent, int):
        return extent
    host = _Host((), check=False, dtypes={})
    host.env = dict(scalars)
    return int(host.eval(extent))


def bind(kernel: Kernel, arguments: Mapping[str, Any]) -> Bound:
    """Checks and collects the arguments; sizes may be given by name too, and so may scratch, which is then defined.

    Raises TileError TD0801.
    """
    scalars: dict[Var, Value] = {}
    for v in (*kernel.sizes, *(p for p in kernel.params if isinstance(p, Var))):
        if v.name in arguments:
            scalars[v] = _scalar(arguments[v.name], v.dtype)
        elif v not in kernel.sizes:
            raise error("TD0801", name=v.name, expected=f"a scalar {v.dtype}", got="nothing")
    tensors = [p for p in kernel.params if isinstance(p, Buffer)]
    arrays = {b: _array(b, arguments) for b in tensors}
    for b, array in arrays.items():
        for extent, found in zip(b.shape, array.shape):
            if isinstance(extent, Var) and extent not in scalars:
                scalars[extent] = constant(found, extent.dtype)
    for v in kernel.sizes:
        if v not in scalars:
            raise error("TD0801", name=v.name, expected="a size", got="nothing")
    for b, array in arrays.items():
        shape = tuple(host_value(e, scalars) for e in b.shape)
        if shape != array.shape:
            raise error("TD0801", name=b.name, expected=f"shape {shape}", got=f"shape {array.shape}")
    made = [b for b in kernel.scratch if b.name not in arguments]
    for b in kernel.scratch:
        shape = tuple(host_value(e, scalars) for e in b.shape)
        arrays[b] = _undefined(shape, numpy_dtype(b.dtype)) if b in made else _array(b, arguments)
    references = {r.name: r.function for r in kernel.references}
    return Bound(arrays, frozenset((*made, *kernel.results)), scalars, references)


def _undefined(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Memory whose content nothing may depend on: NaN in the float types that have one."""
    octets: Array = np.full((*shape, dtype.itemsize), 0xFF, np.uint8)
    return octets.view(dtype)[..., 0]


def _scalar(value: Any, dtype: DType) -> Value:
    return bool(value) if dtype is BOOL else constant(value.item() if hasattr(value, "item") else value, dtype)


def _array(b: Buffer, arguments: Mapping[str, Any]) -> Array:
    array = arguments.get(b.name)
    holder = numpy_dtype(b.dtype)
    expected = f"an array of {b.dtype} and rank {len(b.shape)}"
    if not isinstance(array, np.ndarray):
        raise error(
            "TD0801", name=b.name, expected=expected, got=type(array).__name__ if array is not None else "nothing"
        )
    if array.dtype != holder or array.ndim != len(b.shape):
        raise error("TD0801", name=b.name, expected=expected, got=f"{array.dtype} of rank {array.ndim}")
    return array


def grid_of(launch: Launch, scalars: Mapping[Var, Value]) -> tuple[int, ...]:
    """The extents of the grid. Raises TileError TD0654 for one that is no multiple of the cluster."""
    grid = tuple(host_value(e, scalars) for e in launch.grid)
    for axis, (extent, blocks) in enumerate(zip(grid, launch.cluster)):
        if extent % blocks:
            raise error("TD0654", launch.span, entry=launch.name, axis="xyz"[axis], extent=extent, blocks=blocks)
    return grid


def run_reference(kernel: Kernel, launch: Launch, bound: Bound) -> list[Buffer]:
    """What the user's own kernel of this launch does, by its reference; the tensors that it was given.

    Sizes are an int32, as narrow-indices makes them.

    Raises TileError TD0820 where there is none, TD0823 for a wrong one.
    """
    given = passed(launch)

    def value(p: Buffer | Var) -> Any:
        if isinstance(p, Buffer):
            return bound.arrays[p]
        dtype = INT32 if p in kernel.sizes and p.dtype is INDEX else p.dtype
        return np.array(bound.scalars[p], numpy_dtype(dtype))[()]

    with locating(launch.span):
        foreign.launch_whole(launch.entry, bound.references.get(launch.entry), [*map(value, given)], "TD0820")
    return [p for p in given if isinstance(p, Buffer)]


Block = tuple[int, ...]
Sample = Callable[[tuple[int, ...]], Iterable[Block]]  # the blocks of a grid that run


def blocks_of(grid: tuple[int, ...]) -> Iterator[Block]:
    """The numbers of all blocks, x fastest."""
    for linear in range(prod(grid)):
        at: list[int] = []
        for extent in grid:
            at.append(linear % extent)
            linear //= extent
        yield tuple(at)
