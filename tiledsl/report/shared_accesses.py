"""Bank conflicts of shared accesses and sectors of global ones, counted from the addresses; no run needed.

An access in a loop over iterations is looked at in its first iteration: versions and tiles are multiples of all banks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiledsl.analysis.bank_conflicts import wavefronts
from tiledsl.analysis.footprint import Tables, Unknown, binds_of, is_shared, touches
from tiledsl.ir.nodes import (
    AtomCall,
    Block,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Launch,
    Space,
    Stmt,
    Unrolled,
    Vectorized,
    While,
)
from tiledsl.isa.table import ATOMS

WARP, SECTOR = 32, 32


@dataclass(frozen=True)
class SharedAccess:
    """One access of a buffer by all warps of a block, over the unrolled loops around it.

    `wavefronts` is what the banks need for one such round, `ideal` the least possible for its width.
    """

    what: str  # ldmatrix_x4, cp_async_16, load, store, ...
    buffer: str
    place: str
    in_loop: bool
    wavefronts: int
    ideal: int


@dataclass(frozen=True)
class GlobalAccess:
    """The same of global memory, in sectors of 32 bytes: the bytes that are wanted fill `ideal` of them."""

    what: str
    buffer: str
    place: str
    in_loop: bool
    sectors: int
    ideal: int


def shared_accesses(launch: Launch) -> tuple[SharedAccess, ...]:
    """In program order. Accesses whose addresses depend on data are left out."""
    tables = Tables(launch.thread, launch.num_threads, {}, {})
    tables.lets.update({b: Const(0) for b in launch.blocks})
    tables.lets.update({s.var: s.value for s in binds_of(launch.body)})
    return tuple(SharedAccess(*found) for found in _walk(launch.body, tables, (), False, _wavefronts))


def global_accesses(launch: Launch) -> tuple[GlobalAccess, ...]:
    """In program order, of the first block. Accesses whose addresses depend on data are left out."""
    tables = Tables(launch.thread, launch.num_threads, {}, {})
    tables.lets.update({b: Const(0) for b in launch.blocks})
    tables.lets.update({s.var: s.value for s in binds_of(launch.body)})
    return tuple(GlobalAccess(*found) for found in _walk(launch.body, tables, (), False, _sectors))


Found = tuple[str, str, str, bool, int, int]
Counter = Callable[[Tables, Buffer, tuple[Expr, ...], int, Stmt, tuple[Expr, ...]], tuple[int, int] | None]


def _walk(block: Block, tables: Tables, masks: tuple[Expr, ...], in_loop: bool, count: Counter) -> Iterator[Found]:
    for s in block:
        for buffer, indices, _, size, kind, _, when in touches(s):
            plain = {"read": "load", "write": "store"}.get(kind.value, kind.value)
            found = count(tables, buffer, indices, size, s, (*masks, *when))
            if found is not None:
                yield s.atom if isinstance(s, AtomCall) else plain, buffer.name, str(s.span), in_loop, *found
        match s:
            case For(var, Const(extent), body, Unrolled() | Vectorized()) if extent:
                tables.loops.append((var, int(extent)))
                yield from _walk(body, tables, masks, in_loop, count)
                tables.loops.pop()
            case For(var, _, body):
                tables.lets[var] = Const(0)
                yield from _walk(body, tables, masks, True, count)
            case While(_, body):
                yield from _walk(body, tables, masks, True, count)
            case If(cond, then, orelse):
                yield from _walk(then, tables, (*masks, cond), in_loop, count)
                yield from _walk(orelse, tables, masks, in_loop, count)


def _points(tables: Tables, index: Expr) -> Any:
    """(threads, unrolled iterations) of values of the index. Raises Unknown if it cannot be tabulated."""
    shape = (tables.threads, *(extent for _, extent in tables.loops))
    return np.broadcast_to(np.asarray(tables.value(index)), shape).astype(np.int64).reshape(tables.threads, -1)


def _sectors(
    tables: Tables, buffer: Buffer, indices: tuple[Expr, ...], size: int, s: Stmt, masks: tuple[Expr, ...]
) -> tuple[int, int] | None:
    """(sectors, ideal) over all warps and unrolled iterations. Rows of a tensor count as far apart."""
    if buffer.space is not Space.GLOBAL or not indices or buffer.strides is not None:
        return None
    try:
        *rows, last = (_points(tables, i) for i in indices)
    except Unknown:
        return None
    first = last * buffer.dtype.bits // 8
    active = np.isin(np.arange(tables.threads), tables.active(masks))
    needed = least = 0
    for start in range(0, tables.threads, WARP):
        lanes = np.arange(start, min(start + WARP, tables.threads))
        lanes = lanes[active[lanes]]
        for point in range(first.shape[1]) if len(lanes) else ():
            row = [r[lanes, point] for r in rows]
            begin, end = first[lanes, point], first[lanes, point] + size - 1
            ends = np.stack([*row, begin // SECTOR]), np.stack([*row, end // SECTOR])
            needed += len(np.unique(np.concatenate(ends, axis=1), axis=1).T)
            least += -(-len(np.unique(np.stack([*row, begin]), axis=1).T) * size // SECTOR)
    return needed, least


def _wavefronts(
    tables: Tables, buffer: Buffer, indices: tuple[Expr, ...], size: int, s: Stmt, masks: tuple[Expr, ...]
) -> tuple[int, int] | None:
    """(wavefronts, ideal) over all warps and unrolled iterations; None if the addresses cannot be tabulated."""
    if not is_shared(buffer) or len(indices) != 1:
        return None
    try:
        addresses = _points(tables, indices[0]) * buffer.dtype.bits // 8
    except Unknown:
        return None
    active = np.isin(np.arange(tables.threads), tables.active(masks))
    lanes = 8 * ATOMS[s.atom].matrices if isinstance(s, AtomCall) and ATOMS[s.atom].matrices else WARP
    needed = least = 0
    for first in range(0, tables.threads, WARP):
        rows = np.arange(first, min(first + lanes, tables.threads))
        rows = rows[active[rows]]
        if not len(rows):
            continue
        for point in np.unique(addresses[rows], axis=1).T:
            a, b = wavefronts(point, size)
            needed, least = needed + a, least + b
    return needed, least
