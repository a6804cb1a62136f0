"""When a tile has been read: products that the tensor core makes by itself read on until they are waited for."""

from __future__ import annotations

from tiledsl.analysis.access import accesses
from tiledsl.ir.nodes import AsyncCommit, AsyncWait, Block, Buffer, For, If
from tiledsl.ir.tile import Gemm


def last_reading(block: Block, tile: Buffer, last: int) -> int | None:
    """The statement of `block` after which nothing reads `tile`: the one numbered `last` is the last to say so, but a
    product that it starts goes on until it is waited for. None where that is not in `block`."""
    age: int | None = None
    for i, s in enumerate(block):
        age = _age_after((s,), tile, age)
        if i >= last and age is None:
            return i
    return None


def _age_after(block: Block, tile: Buffer, age: int | None) -> int | None:
    """How many groups of products are committed after that of the latest which reads `tile`.

    -1: it is in no group yet; None: none is in flight.
    """
    for s in block:
        match s:
            case Gemm(asynchronous=True) if any(a.buffer is tile for a in accesses(s)):
                age = -1
            case AsyncCommit(queue="product") if age is not None:
                age += 1
            case AsyncWait(pending=pending, queue="product") if age is not None and pending <= age:
                age = None
            case For(body=body):
                age = _younger(age, _age_after(body, tile, age))
            case If(_, then, orelse):
                age = _younger(_age_after(then, tile, age), _age_after(orelse, tile, age))
    return age


def _younger(a: int | None, b: int | None) -> int | None:
    return min((x for x in (a, b) if x is not None), default=None)
