"""The memory of the tile stage as functions of the user's own CUDA text see it: see `foreign.Caller`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tiledsl.ir.nodes import Buffer

if TYPE_CHECKING:
    from tiledsl.cpu.tile_interp import TileMachine

Array = np.ndarray[Any, Any]
Place = tuple[int, ...]


def run_from(m: TileMachine, buffer: Buffer, at: Place, lane: Place) -> Array:
    """The elements from an index (version first) on, of the array of that lane if it has its own."""
    if buffer in m.registers:
        own: Array = m.registers[buffer].data[lane][_offset(m, buffer, at) :]
        return own
    data = m.memory[buffer].data
    for axis, (i, extent) in enumerate(zip(at, data.shape)):
        m.inside(buffer, i, extent, axis - 1)
    found: Array = data.reshape(-1)[int(np.ravel_multi_index(at, data.shape)) :]
    return found


def change(m: TileMachine, buffer: Buffer, at: Place, offset: int, value: Any) -> None:
    """Stores the element `offset` elements behind an index, in the lanes that are on."""
    if buffer in m.registers:
        m.registers[buffer].write(_offset(m, buffer, at) + offset, value, m.mask)
        return
    memory = m.memory[buffer]
    linear = int(np.ravel_multi_index(at, memory.data.shape)) + offset
    place = tuple(int(i) for i in np.unravel_index(linear, memory.data.shape))
    m.require_landed(memory, place)
    memory.put(place, value)


def _offset(m: TileMachine, buffer: Buffer, at: Place) -> int:
    return int(m.linear(buffer, list(at[1:]), at[0] if buffer.versions > 1 else None))
