"""The text of `Print`: the same in all executions, as printf writes it on the GPU."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from math import copysign, isnan
from typing import TYPE_CHECKING, Any

import numpy as np

from tiledsl.cpu.values import Value, is_uniform
from tiledsl.ir.nodes import Buffer, Load, Print, static_shape

if TYPE_CHECKING:
    from tiledsl.cpu.tile_interp import TileMachine

Array = np.ndarray[Any, Any]


def line(message: str, values: Iterable[Any]) -> str:
    """`message` and the values, with blanks between them."""
    return " ".join([*([message] if message else []), *map(number, values)])


def lines(s: Print, values: list[Value], active: Callable[[Value], Array]) -> Iterator[str]:
    """One line a lane that is on, or one line if the values are the same for all."""
    if all(is_uniform(v) for v in values):
        yield line(s.message, values)
        return
    for row in zip(*(active(v) for v in values)):
        yield line(s.message, row)


def number(value: Any) -> str:
    """As printf's %g has floats and %d integers; True is 1."""
    kind = np.asarray(value).dtype
    if kind.kind in "iub":
        return str(int(value))
    x = float(value)
    return ("-nan" if copysign(1.0, x) < 0 else "nan") if isnan(x) else f"{x:g}"


def tile_lines(s: Print, tile: Array) -> Iterator[str]:
    """A line for each element of a tile, with its coordinates."""
    for place in np.ndindex(tile.shape):
        yield line(s.title, (*place, tile[place]))


def print_tile(m: TileMachine, s: Print, buffer: Buffer) -> None:
    """Of the private arrays of threads that of the first; a variable is printed as the number that it is."""
    if buffer in m.cells:
        m.print(Print(s.message, (Load(buffer, ()),), span=s.span))
        return
    if buffer in m.registers:
        first = m.registers[buffer].data.reshape(-1, *static_shape(buffer))[0]
        lines = [*tile_lines(s, first)] if m.mask is None or bool(m.full(m.mask).flat[0]) else []
    else:
        lines = [*tile_lines(s, m.memory[buffer].data[0])]
    for text in lines:
        print(text)
