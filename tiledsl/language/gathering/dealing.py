"""Work of the whole block in a loop of roles: each role gets a share of it, between two meetings of all roles.

So that the loop goes into the roles, and with it what they keep in registers from one iteration to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from typing import TypeVar

from tiledsl.analysis.access import Access, accesses, conflict
from tiledsl.ir.concurrent import Arrive, Await, Role, Roles
from tiledsl.ir.dtypes import UINT64
from tiledsl.ir.nodes import Address, Alloc, Block, Buffer, Const, Space, Stmt, Var
from tiledsl.ir.tile import TILE_OPS, Copy, Fill, Parallel, Source
from tiledsl.ir.walk import walk

Part = TypeVar("Part", bound=Source)


def conflicting(ours: Sequence[Access], theirs: Sequence[Access]) -> bool:
    """Whether the order of the accesses matters, by whole buffers."""
    return any(x.buffer is y.buffer and conflict(x.kind, y.kind) for x, y in product(ours, theirs))


def keeps_registers(block: Block) -> bool:
    """Whether roles in `block` use fragments that live longer than it."""
    used = {n for s in block if isinstance(s, Roles) for n in walk(s) if getattr(n, "space", None) is Space.FRAGMENT}
    return bool(used - {n.buffer for s in block for n in walk(s) if isinstance(n, Alloc)})


def can_be_dealt(s: Stmt) -> bool:
    """Whether `s` moves tiles through shared and global memory only."""
    if not isinstance(s, TILE_OPS) or isinstance(s, Parallel) or (isinstance(s, Copy) and s.bulk):
        return False
    return all(a.buffer.space in (Space.SHARED, Space.GLOBAL) for a in accesses(s))


def meeting_barrier(threads: int) -> Alloc:
    """A barrier at which all threads of a block meet. Each share of work takes two phases of it, 0 and 1 modulo 2."""
    return Alloc(Buffer("meeting", (1,), UINT64, Space.BARRIER), Const(threads, UINT64))


def dealt(work: Sequence[Stmt], roles: Sequence[Role], barrier: Buffer) -> Roles:
    """`work`, executed by the roles together, after all that they did before and before all that they do then."""
    at, span = Address(barrier, (Const(0),)), work[0].span
    first, second = ((Arrive(at, span=span), Await(at, Const(parity), span=span)) for parity in (0, 1))
    equal = len({r.threads for r in roles}) == 1
    shares = [_shares(s, len(roles)) if equal else None for s in work]
    parts: list[Role] = []
    for i, r in enumerate(roles):
        own = [found[i] if found else s for s, found in zip(work, shares) if found or i == 0]
        parts.append(replace(r, thread=Var(r.thread.name), body=(*first, *own, *second), registers=0))
    return Roles(tuple(parts), span=span)


def together(block: Sequence[Stmt]) -> list[list[Stmt]]:
    """`block` cut into runs of statements that do not depend on each other."""
    runs: list[list[Stmt]] = []
    for s in block:
        ours = accesses(s)
        if runs and not any(conflicting(ours, accesses(x)) for x in runs[-1]):
            runs[-1].append(s)
        else:
            runs.append([s])
    return runs


def _shares(s: Stmt, count: int) -> list[Stmt] | None:
    """A copy or fill cut into `count` equal ones, along the first dimension that is longer than 1."""
    if isinstance(s, Fill):
        cut = _cut(s.dst, count)
        return [replace(s, dst=d) for d in cut] if cut else None
    if isinstance(s, Copy):
        sources, targets = _cut(s.src, count), _cut(s.dst, count)
        return [replace(s, src=a, dst=b) for a, b in zip(sources, targets)] if sources and targets else None
    return None


def _cut(r: Part, count: int) -> list[Part] | None:
    dim = next((i for i, extent in enumerate(r.extents) if extent > 1), None)
    if dim is None or r.extents[dim] % count:
        return None
    share = r.extents[dim] // count
    extents = (*r.extents[:dim], share, *r.extents[dim + 1 :])
    return [
        replace(
            r, offsets=(*r.offsets[:dim], r.offsets[dim] + Const(i * share), *r.offsets[dim + 1 :]), extents=extents
        )
        if i
        else replace(r, extents=extents)
        for i in range(count)
    ]
