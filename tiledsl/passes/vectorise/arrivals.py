"""Arrivals of cp.async where some of the copies have become ordinary stores.

An arrival that cp.async makes when it is complete orders those copies, not what the thread has stored by itself
(PTX ISA, "cp.async.mbarrier.arrive"). So where a tile that is handed over has been stored to, the threads wait for
their copies and arrive as for any store.
"""

from __future__ import annotations

from dataclasses import replace

from tiledsl.ir.concurrent import Arrive
from tiledsl.ir.nodes import AsyncCommit, AsyncWait, Block, Buffer, Move, Space, Stmt, Store
from tiledsl.ir.walk import map_blocks, statements


def awaited_stores(body: Block) -> Block:
    """`body`, one role's program, with arrivals that cover all that its threads have written."""
    if not any(isinstance(x, Arrive) and x.copies and x.buffers for s in body for x in (s, *statements(s))):
        return body
    stored = {b for s in body for x in (s, *statements(s)) if (b := _stored(x)) is not None}

    def block(body: Block) -> Block:
        return tuple(x for s in body for x in statement(s))

    def statement(s: Stmt) -> Block:
        if isinstance(s, Arrive) and s.copies and not stored.isdisjoint(s.buffers):
            wait = AsyncCommit(span=s.span), AsyncWait(0, span=s.span)
            return (*wait, replace(s, copies=False))
        return (map_blocks(s, block),)

    return block(body)


def _stored(s: Stmt) -> Buffer | None:
    """The shared buffer to which a thread stores by itself."""
    match s:
        case Store(buffer):
            return buffer if buffer.space is Space.SHARED else None
        case Move(dst):
            return dst.buffer if dst.buffer.space is Space.SHARED else None
    return None
