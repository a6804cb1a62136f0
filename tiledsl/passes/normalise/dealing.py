"""Work of the whole block in a loop of roles: each role gets a share of it, between two barriers of all roles.

So that the loop goes into the roles, and with it what they keep in registers from one iteration to the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tiledsl.analysis.access import accesses
from tiledsl.ir.concurrent import Role, Roles
from tiledsl.ir.nodes import Alloc, Barrier, Block, Const, Launch, Region, Space, Stmt, Var
from tiledsl.ir.tile import TILE_OPS, Copy, Fill, Parallel
from tiledsl.ir.walk import walk

_HIGHEST = 15  # of the named barriers of a block; PTX ISA, "bar"


def free_barrier(launch: Launch) -> int:
    """The highest number that no barrier of the launch has; roles take theirs from the lowest."""
    used = {n.id for n in walk(launch) if isinstance(n, Barrier)}
    return next(number for number in range(_HIGHEST, -1, -1) if number not in used)


def keeps_registers(block: Block) -> bool:
    """Whether roles in `block` use fragments that live longer than it."""
    used = {n for s in block if isinstance(s, Roles) for n in walk(s) if getattr(n, "space", None) is Space.FRAGMENT}
    return bool(used - {n.buffer for s in block for n in walk(s) if isinstance(n, Alloc)})


def can_be_dealt(s: Stmt) -> bool:
    """Whether `s` moves tiles through shared and global memory only."""
    if not isinstance(s, TILE_OPS) or isinstance(s, Parallel) or (isinstance(s, Copy) and s.bulk):
        return False
    return all(a.buffer.space in (Space.SHARED, Space.GLOBAL) for a in accesses(s))


def dealt(s: Stmt, roles: Sequence[Role], barrier: int) -> Roles:
    """`s`, executed by the roles together."""
    meet = Barrier(barrier, sum(r.threads for r in roles), span=s.span)
    equal = len({r.threads for r in roles}) == 1
    shares = _shares(s, len(roles)) if equal else None
    parts: list[Role] = []
    for i, r in enumerate(roles):
        own = (shares[i],) if shares else (s,) if i == 0 else ()
        parts.append(replace(r, thread=Var(r.thread.name), body=(meet, *own, meet), registers=0))
    return Roles(tuple(parts), span=s.span)


def _shares(s: Stmt, count: int) -> list[Stmt] | None:
    """A copy or fill cut into `count` equal ones, along the first dimension that is longer than 1."""
    if isinstance(s, Fill):
        cut = _cut(s.dst, count)
        return [replace(s, dst=d) for d in cut] if cut else None
    if isinstance(s, Copy):
        sources, targets = _cut(s.src, count), _cut(s.dst, count)
        return [replace(s, src=a, dst=b) for a, b in zip(sources, targets)] if sources and targets else None
    return None


def _cut(r: Region, count: int) -> list[Region] | None:
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
