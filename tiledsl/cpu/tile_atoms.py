"""Instructions of warps at the tile stage, where tiles have coordinates and no addresses yet.

A row of ldmatrix is a run along the last dimension of a tile, which its layout keeps together; registers are the
threads' own, as at the thread stage.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tiledsl.cpu import atoms
from tiledsl.cpu.foreign import Pointer
from tiledsl.cpu.masks import narrow
from tiledsl.cpu.warp import SIZE, require_whole_warps
from tiledsl.errors import error
from tiledsl.ir.nodes import Address, AtomCall, Space, static_shape
from tiledsl.isa.atom import OF_TILES, Atom
from tiledsl.isa.execute import scatter
from tiledsl.isa.table import atom_named

if TYPE_CHECKING:
    from tiledsl.cpu.tile_interp import TileMachine

Array = np.ndarray[Any, Any]


def execute(m: TileMachine, s: AtomCall) -> None:
    """One AtomCall by all threads that are on; a warp takes part as a whole or not at all (TD0811)."""
    atom = atom_named(s.atom)
    if atom is None or atom.kind not in OF_TILES:
        raise TypeError(f"'{s.atom}' is no instruction of the tile stage")
    if m.depth:
        raise error("TD0812", what=f"'{atom.name}'")
    if m.domain[-1] % SIZE:
        raise error("TD0811", what=atom.name, where=m.where())
    require_whole_warps(m, atom.name)
    if atom.kind == "mma":
        atoms.KINDS["mma"](m, atom, [_registers(m, a) for a in s.args])
        return
    target, source = s.args
    assert isinstance(source, Address)
    rows = _rows(m, atom, source)
    tiles = rows.view(np.uint16).reshape(-1, SIZE, 8)[:, : 8 * atom.matrices].reshape(-1, atom.matrices, 8, 8)
    atoms.write_registers(m, atom.operands[0], _registers(m, target), scatter(atom.operands[0].fragment, tiles))


def _registers(m: TileMachine, a: Any) -> Pointer:
    assert isinstance(a, Address) and a.buffer.space is Space.LOCAL
    return Pointer(a.buffer, (m.offset_of(a.buffer, a.indices, a.version),))


def _rows(m: TileMachine, atom: Atom, a: Address) -> Array:
    """The 16 bytes from `a` on for each thread; of threads that give no address, anything."""
    memory = m.memory[a.buffer]
    count, extent = atom.bytes // memory.data.dtype.itemsize, static_shape(a.buffer)[-1]
    supplies = np.arange(m.domain[-1]) % SIZE < 8 * atom.matrices
    saved, m.mask = m.mask, narrow(m.mask, supplies)
    if m.mask is False:
        m.mask = saved
        return np.zeros((*m.domain, count), memory.data.dtype)
    last = m.index(a.indices[-1])
    m.inside(a.buffer, last, extent - count + 1, len(a.indices) - 1)
    on = m.full(True if m.mask is None else m.mask)
    if extent % count or (m.full(last)[on] % count).any():
        raise error("TD0806", buffer=a.buffer.name, bytes=atom.bytes, offset=m.show(last), where=m.where())
    at, _ = m.place(a.buffer, a.indices, a.version)
    run = tuple(m.full(i)[..., None] for i in at[:-1])
    run = (*run, np.minimum(m.full(at[-1])[..., None] + np.arange(count), extent - 1))
    m.require_ready(memory, run, on[..., None])
    m.mask = saved
    return np.ascontiguousarray(memory.data[run])
