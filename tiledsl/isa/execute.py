"""Instructions executed on NumPy registers: gather the tiles, apply the row's semantics, scatter the result."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np

from tiledsl.ir.layout import Fragment, linear_at
from tiledsl.isa.atom import Atom


@cache
def positions(fragment: Fragment) -> Any:
    """The row-major linear index of the element in each (thread, register), an array of that shape."""
    threads = np.arange(fragment.num_threads)[:, None]
    regs = np.arange(fragment.num_regs)[None, :]
    return np.broadcast_to(linear_at(fragment, threads, regs), (fragment.num_threads, fragment.num_regs))


def gather(fragment: Fragment, registers: Any) -> Any:
    """The tile that `registers` of shape (..., threads, registers) hold together, of shape (..., *fragment.shape)."""
    batch = registers.shape[:-2]
    tile = np.empty((*batch, fragment.padded_size), registers.dtype)
    tile[..., positions(fragment).ravel()] = registers.reshape(*batch, -1)
    return tile.reshape(*batch, *fragment.shape)


def scatter(fragment: Fragment, tile: Any) -> Any:
    """The registers, of shape (..., threads, registers), of a tile of shape (..., *fragment.shape)."""
    batch = tile.shape[: tile.ndim - len(fragment.shape)]
    return tile.reshape(*batch, -1)[..., positions(fragment)]


def interpret(atom: Atom, registers: Mapping[str, Any]) -> Any:
    """Registers of the written operand after the instruction, from those of all operands, by name."""
    if atom.semantics is None:
        raise ValueError(f"{atom.name} has no register semantics")
    tiles = {op.name: gather(op.fragment, registers[op.name]) for op in atom.operands}
    written = next(op for op in atom.operands if op.written)
    return scatter(written.fragment, atom.semantics(**tiles))
