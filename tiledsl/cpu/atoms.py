"""Instructions of the table `isa`, executed for all warps at once.

Registers of a warp are gathered into whole tiles by the row's fragments, its `semantics` computes, the result is
scattered back. Matrix loads and stores take one row of 16 bytes at the address that each lane supplies, and attribute
it to that lane.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tiledsl.cpu.foreign import Pointer
from tiledsl.cpu.masks import narrow
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.cpu.registers import Registers
from tiledsl.cpu.warp import SIZE, require_whole_warps
from tiledsl.errors import error
from tiledsl.ir.nodes import AtomCall, Space
from tiledsl.isa.atom import Atom, Operand
from tiledsl.isa.execute import gather, interpret, scatter

if TYPE_CHECKING:
    from tiledsl.cpu.interp import Machine
    from tiledsl.cpu.lockstep import Lockstep

Array = np.ndarray[Any, Any]


def execute(m: Machine, s: AtomCall, atom: Atom) -> None:
    """One AtomCall by all lanes that are on; a warp takes part as a whole or not at all (TD0811)."""
    if atom.threads > 1:
        if m.domain[1] % SIZE:
            raise error("TD0811", what=atom.name, where=m.where())
        require_whole_warps(m, atom.name)
    KINDS[atom.kind](m, atom, [m.eval(a) for a in s.args])


def _read_registers(m: Lockstep, operand: Operand, p: Pointer) -> Array:
    """The registers of an operand from `p` on, of shape (warps, 32, registers)."""
    count, offset, registers = registers_of(m, operand, p)
    m.require_registers(registers, offset, count)
    data: Array = registers.read_run(offset, count)
    return data.reshape(-1, SIZE, count)


def write_registers(m: Lockstep, operand: Operand, p: Pointer, data: Array) -> None:
    count, offset, registers = registers_of(m, operand, p)
    m.require_own(registers, offset, count)
    registers.write_run(offset, data.reshape(*m.domain, count), m.mask)


def registers_of(m: Lockstep, operand: Operand, p: Pointer) -> tuple[int, Any, Registers]:
    """Number of registers, first one and the array, all in elements of the operand's type."""
    if p.buffer.space is not Space.LOCAL:
        raise TypeError(f"'{p.buffer.name}' is no register array")
    registers, holder = m.registers[p.buffer], numpy_dtype(operand.dtype)
    count, width = operand.fragment.num_regs, registers.data.dtype.itemsize
    m.inside(p.buffer, p.at[0], registers.data.shape[-1] - count * holder.itemsize // width + 1, 0)
    offset = p.at[0] * width // holder.itemsize
    if registers.data.dtype == holder:
        return count, offset, registers
    return count, offset, registers.bits_as(holder)


def _mma(m: Lockstep, atom: Atom, args: list[Any]) -> None:
    registers = {op.name: _read_registers(m, op, p) for op, p in zip(atom.operands, args, strict=True)}
    result = interpret(atom, registers)
    for op, p in zip(atom.operands, args):
        if op.written:
            write_registers(m, op, p, result)


def _rows(m: Machine, atom: Atom, p: Pointer) -> tuple[Pointer, int, Any]:
    """The row address, elements of a row, and the lanes that supply an address: 8 for each matrix."""
    count = atom.bytes // numpy_dtype(p.buffer.dtype).itemsize
    supplies = np.arange(m.domain[1])[None] % SIZE < 8 * atom.matrices
    return p, count, narrow(m.mask, supplies)


def _ldmatrix(m: Machine, atom: Atom, args: list[Any]) -> None:
    target, (source, count, supplies) = args[0], _rows(m, atom, args[1])
    saved, m.mask = m.mask, supplies
    m.require_aligned(source, count)
    rows = np.ascontiguousarray(np.broadcast_to(m.read_run(source, count), (*m.domain, count)))
    m.mask = saved
    units = rows.view(np.uint16).reshape(-1, SIZE, 8)[:, : 8 * atom.matrices]
    tiles = units.reshape(-1, atom.matrices, 8, 8)
    write_registers(m, atom.operands[0], target, scatter(atom.operands[0].fragment, tiles))


def _stmatrix(m: Machine, atom: Atom, args: list[Any]) -> None:
    (target, count, supplies), source = _rows(m, atom, args[0]), args[1]
    tiles = gather(atom.operands[0].fragment, _read_registers(m, atom.operands[0], source))
    rows = np.zeros((len(tiles), SIZE, 8), np.uint16)
    rows[:, : 8 * atom.matrices] = tiles.reshape(-1, 8 * atom.matrices, 8)
    saved, m.mask = m.mask, supplies
    m.require_aligned(target, count)
    m.write_run(target, rows.view(numpy_dtype(target.buffer.dtype)).reshape(*m.domain, count))
    m.mask = saved


def _cp_async(m: Machine, atom: Atom, args: list[Any]) -> None:
    target, source = args[0], args[1]
    predicate = args[2] if len(args) > 2 else True
    count = atom.bytes * 8 // target.buffer.dtype.bits
    m.require_aligned(target, count)
    data = np.zeros((*m.domain, count), numpy_dtype(target.buffer.dtype))
    saved, m.mask = m.mask, narrow(m.mask, predicate)
    if m.mask is not False:
        m.require_aligned(source, count)
        found = np.broadcast_to(m.read_run(source, count), data.shape)
        np.copyto(data, found.view(data.dtype), where=True if m.mask is None else m.full(m.mask)[..., None])
    m.mask = saved
    m.issue(target, data)


KINDS: dict[str, Callable[[Any, Atom, list[Any]], None]] = {
    "mma": _mma,
    "ldmatrix": _ldmatrix,
    "stmatrix": _stmatrix,
    "cp_async": _cp_async,
}
