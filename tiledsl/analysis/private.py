"""Variables of threads that parallel loops change.

The points of a `Parallel` loop are dealt to threads as layouts say, so a variable that a point has stored to has a
value in that point alone: another point, or what follows the loop, would read what the same thread did last, and that
differs between layouts. Only places at constant indices are looked at: of others it is not known which they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tiledsl.ir.concurrent import Roles
from tiledsl.ir.nodes import Alloc, Block, Buffer, Const, Expr, For, If, Load, Space, Stmt, Store, While
from tiledsl.ir.tile import Parallel
from tiledsl.ir.walk import children, statements, walk

Place = tuple[Buffer, tuple[Expr, ...]]
Stored = dict[Place, Store]  # places that have a value in one point of a parallel loop alone, with what stored it


@dataclass(frozen=True)
class Stray:
    """`reader` reads what `store` stored in another point of a parallel loop, or in some point before."""

    buffer: Buffer
    store: Store
    reader: Stmt


class _Found(Exception):
    def __init__(self, stray: Stray) -> None:
        self.stray = stray


def stray_use(body: Block) -> Stray | None:
    """The first use of a variable of threads whose value depends on which points its thread was dealt."""
    try:
        _block(body, {})
    except _Found as found:
        return found.stray
    return None


def _block(block: Block, stored: Stored) -> Stored:
    for s in block:
        stored = _statement(s, stored)
    return stored


def _statement(s: Stmt, stored: Stored) -> Stored:
    for load in _loads(s) if stored else ():
        if store := stored.get((load.buffer, load.indices)):
            raise _Found(Stray(load.buffer, store, s))
    match s:
        case Store(buffer, indices):
            return {place: by for place, by in stored.items() if place != (buffer, indices)}
        case Parallel(body=body):
            own = _stored_in(s)
            _block(body, {**stored, **own})
            return {**stored, **own}
        case For(body=body) | While(body=body):
            around = {**stored, **_block(body, stored)}
            return around if around == stored else {**around, **_block(body, around)}
        case If(_, then, orelse):
            return {**_block(then, stored), **_block(orelse, stored)}
        case Roles(roles):
            return {place: by for role in roles for place, by in _block(role.body, stored).items()}
    return stored


def _stored_in(loop: Parallel) -> Stored:
    inside = {s.buffer for s in statements(loop) if isinstance(s, Alloc)}
    return {
        (s.buffer, s.indices): s
        for s in statements(loop)
        if isinstance(s, Store)
        and s.buffer.space in (Space.VAR, Space.LOCAL)
        and s.buffer not in inside
        and all(isinstance(i, Const) for i in s.indices)
    }


def _loads(s: Stmt) -> Iterator[Load]:
    for e in children(s):
        if isinstance(e, Expr):
            yield from (n for n in walk(e) if isinstance(n, Load))
