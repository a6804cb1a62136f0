"""Emitted CUDA C++ executed on the CPU device, as `compare.execute` executes IR."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import zip_longest
from math import prod
from typing import Any

import numpy as np

from tiledsl.codegen.concurrent import TensorMapping
from tiledsl.codegen.source import Source
from tiledsl.cpu import device, foreign
from tiledsl.cpu.arrays import copies_of
from tiledsl.cpu.binding import bind, blocks_of, grid_of, host_value
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.nodes import Const, Kernel, Launch, Var
from tiledsl.ir.types import dtype_of
from tiledsl.tensor_map import map_of_elements
from tiledsl.validation.compare import Outputs, first_difference
from tiledsl.validation.inputs import Inputs

MOST_ALONG_AN_AXIS = 2  # blocks of a grid of which only some run


def in_part(kernel: Kernel, inputs: Inputs) -> tuple[Kernel, Inputs]:
    """`kernel` and `inputs` as the device can run them, which runs whole grids: of a large grid its first blocks.

    The text of the kernel is the same: how large the grid is, it learns when it is launched.
    """
    if inputs.blocks is blocks_of:
        return kernel, inputs
    scalars = bind(kernel, inputs.fresh()).scalars

    def part(launch: Launch) -> Launch:
        numbers = grid_of(launch, scalars)
        most = [max(MOST_ALONG_AN_AXIS, c) for _, c in zip_longest(launch.grid, launch.cluster, fillvalue=1)]
        kept = (Const(min(n, m), dtype_of(e)) for n, e, m in zip(numbers, launch.grid, most))
        return replace(launch, grid=tuple(kept))

    return replace(kernel, launches=tuple(map(part, kernel.launches))), replace(inputs, blocks=blocks_of)


def execute_source(source: Source, kernel: Kernel, inputs: Inputs, *, checked: bool = False, **how: Any) -> Outputs:
    """What the tensors of `inputs.written` hold after `source`, emitted for `kernel`, ran; `how`: mode, seed.

    Raises TileError TD08xx, TD0911 where there is no compiler.
    """
    arguments = copies_of(inputs.values)
    bound = bind(kernel, arguments)
    module = device.compile_source(source.text, [e.name for e in source.entries if not e.users], checked=checked)
    values = {b.name: a for b, a in bound.arrays.items()} | _scalars(bound.scalars)
    for entry in source.entries:
        launch = kernel.launches[entry.launch]
        grid = grid_of(launch, bound.scalars)
        if entry.users and 0 not in grid:
            references = {r.name: r.function for r in kernel.references}
            foreign.launch_whole(entry.name, references.get(entry.name), [values[n] for n in entry.params], "TD0822")
        elif prod(grid):
            maps = [_mapped(m, values[m.tensor], bound.scalars) for m in entry.maps]
            given = [*maps, *(values[n] for n in entry.params)]
            together: dict[str, Any] = {"shared": entry.shared, "cluster": entry.cluster or (1,)}
            module.launch(entry.name, grid, entry.threads, entry.shared_bytes, given, **together, **how)
    changed = [n for n, v in inputs.values.items() if isinstance(v, np.ndarray) and n not in inputs.written]
    for name in changed:
        if first_difference({name: inputs.values[name]}, {name: arguments[name]}):
            raise RuntimeError(f"it writes to '{name}', which the kernel only reads")
    return {n: arguments[n] for n in sorted(inputs.written)}


def _mapped(m: TensorMapping, array: np.ndarray[Any, Any], scalars: Mapping[Var, Any]) -> device.Mapped:
    """The tensor map `m` of an array."""
    shape = [host_value(n, scalars) for n in m.view.shape]
    strides = None if m.view.strides is None else [host_value(n, scalars) for n in m.view.strides]
    made = map_of_elements(m.tensor, m.view.dtype.name, shape, m.box, strides, m.swizzle, m.window)
    return device.Mapped(made, array)


def _scalars(scalars: Mapping[Var, Any]) -> dict[str, Any]:
    return {v.name: np.array(value, numpy_dtype(v.dtype))[()] for v, value in scalars.items()}
