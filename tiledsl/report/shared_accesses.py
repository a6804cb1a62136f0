"""Bank conflicts of every shared access of a thread-stage launch, counted from its addresses; no run needed.

An access in a loop over iterations is looked at in its first iteration: versions and tiles are multiples of all banks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tiledsl.analysis.bank_conflicts import wavefronts
from tiledsl.analysis.footprint import Tables, Unknown, binds_of, is_shared, touches
from tiledsl.ir.nodes import AtomCall, Block, Const, Expr, For, If, Launch, Stmt, Unrolled, Vectorized, While
from tiledsl.isa.table import ATOMS

WARP = 32


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


def shared_accesses(launch: Launch) -> tuple[SharedAccess, ...]:
    """In program order. Accesses whose addresses depend on data are left out."""
    tables = Tables(launch.thread, launch.num_threads, {}, {})
    tables.lets.update({b: Const(0) for b in launch.blocks})
    tables.lets.update({s.var: s.value for s in binds_of(launch.body)})
    return tuple(_walk(launch.body, tables, (), False))


def _walk(block: Block, tables: Tables, masks: tuple[Expr, ...], in_loop: bool) -> Iterator[SharedAccess]:
    for s in block:
        for buffer, indices, _, size, kind, _, when in touches(s):
            if is_shared(buffer) and len(indices) == 1:
                what = (
                    s.atom
                    if isinstance(s, AtomCall)
                    else {"read": "load", "write": "store"}.get(kind.value, kind.value)
                )
                found = _count(tables, indices[0], buffer.dtype.bits, size, s, (*masks, *when))
                if found is not None:
                    yield SharedAccess(what, buffer.name, str(s.span), in_loop, *found)
        match s:
            case For(var, Const(extent), body, Unrolled() | Vectorized()) if extent:
                tables.loops.append((var, int(extent)))
                yield from _walk(body, tables, masks, in_loop)
                tables.loops.pop()
            case For(var, _, body):
                tables.lets[var] = Const(0)
                yield from _walk(body, tables, masks, True)
            case While(_, body):
                yield from _walk(body, tables, masks, True)
            case If(cond, then, orelse):
                yield from _walk(then, tables, (*masks, cond), in_loop)
                yield from _walk(orelse, tables, masks, in_loop)


def _count(
    tables: Tables, index: Expr, bits: int, size: int, s: Stmt, masks: tuple[Expr, ...]
) -> tuple[int, int] | None:
    """(wavefronts, ideal) over all warps and unrolled iterations; None if the addresses cannot be tabulated."""
    shape = (tables.threads, *(extent for _, extent in tables.loops))
    try:
        element = np.broadcast_to(np.asarray(tables.value(index)), shape)
    except Unknown:
        return None
    addresses = (element.astype(np.int64) * bits // 8).reshape(tables.threads, -1)
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
