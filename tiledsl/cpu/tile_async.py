"""Tile statements that go on beside the threads: copies of the copy engine, asynchronous copies and products.

In mode "early" all happens when it is issued, in "late" as late as it may: results come, and operands are read, at the
wait. In both, until that wait, what is written may not be used and what is read may not be overwritten.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from tiledsl.cpu import tile_ops
from tiledsl.cpu.beside import BY_PRODUCT, BulkStore, Work
from tiledsl.cpu.cluster import Common
from tiledsl.cpu.tile_memory import Index, TileMemory
from tiledsl.ir.nodes import Buffer
from tiledsl.ir.tile import Atomic, Copy, Gemm, Im2col, Source, region_of

if TYPE_CHECKING:
    from tiledsl.cpu.tile_interp import TileMachine

Array = np.ndarray[Any, Any]


@dataclass(slots=True)
class Queue:
    """What an agent has issued and not committed, and its groups that have not been waited for."""

    open: list[Work] = field(default_factory=list)
    groups: list[list[Work]] = field(default_factory=list)

    def __iter__(self) -> Iterator[Work]:
        for group in (*self.groups, self.open):
            yield from group

    @property
    def busy(self) -> bool:
        return bool(self.open or self.groups)

    def commit(self) -> None:
        self.groups.append(self.open)
        self.open = []

    def wait(self, pending: int, sources: bool) -> None:
        ended = self.groups[: max(len(self.groups) - pending, 0)]
        for work in (w for group in ended for w in group):
            work.release()
        if any(isinstance(w, BulkStore) for group in ended for w in group):
            ended = [group[::-1] for group in ended[::-1]]  # stores end in no order: the last one first
        for group in ended:
            while group and not sources:  # what has ended is no longer in the queue
                group.pop(0).finish()
        if not sources:
            self.groups = self.groups[-pending:] if pending else []


@dataclass(slots=True)
class LateCopy(Work):
    """An asynchronous copy that delivers at its wait."""

    buffer: Buffer
    memory: TileMemory
    at: Index
    data: Array

    def finish(self) -> None:
        self.memory.put(self.at, self.data)


@dataclass(slots=True)
class Product(Work):
    """`before` is the old c, if no product before this one in the queue makes it."""

    buffer: Buffer
    statement: Gemm
    a: tuple[TileMemory, Index]
    b: tuple[TileMemory, Index]
    c: tuple[TileMemory, Index]
    queue: Queue
    before: Array | None
    done: bool = False

    def compute(self) -> None:
        s, (memory, at) = self.statement, self.c
        (a, a_at), (b, b_at) = self.a, self.b
        before = memory.data[at] if self.before is None else self.before
        memory.data[at] = tile_ops.product(s, a.data[a_at], b.data[b_at], None if s.clear else before)
        self.done = True

    def finish(self) -> None:
        if not self.done:
            self.compute()
        for memory, at in (self.a, self.b):
            memory.lend(at, -BY_PRODUCT)
        memory, at = self.c
        memory.set_state(at, 1)
        for other in self.queue:
            if isinstance(other, Product) and other is not self and other.c[0] is memory:
                memory.set_state(other.c[1], 2)


def multiply(m: TileMachine, s: Gemm) -> None:
    """Issues a product. Others in flight may add to the same c."""
    queue = m.queues["product"]
    for r in (s.a, s.b):
        tile_ops.read(m, r)  # for its checks
    (a, a_at, _), (b, b_at, _), (c, at, _) = (tile_ops.place(m, r) for r in (s.a, s.b, s.c))
    follows = any(isinstance(w, Product) and w.c[0] is c and w.c[1] == at for w in queue)
    if not follows:
        m.require_landed(c, at)
        if not s.clear:
            m.require_ready(c, at)
    work = Product(c.buffer, s, (a, a_at), (b, b_at), (c, at), queue, None if follows else np.array(c.data[at]))
    for memory, where in (work.a, work.b):
        memory.lend(where, BY_PRODUCT)
    if m.mode == "early":
        work.compute()
        c.set_state(at, 2)
    elif not follows:
        c.poison(at)
    queue.open.append(work)


def load(m: TileMachine, s: Copy) -> None:
    """The copy engine brings a box to shared memory, all of it: what lies outside of the tensor as zeros."""
    assert s.barrier is not None
    tile = np.array(tile_ops.fetch(m, s.src))
    m.require_zeros_outside(s.src.buffer, _leaves(m, s.src))
    for block in m.reached(s.ranks, s.barrier.buffer, s.dst.buffer):
        _bring(m, s, block, lambda: tile)


def send(m: TileMachine, s: Copy) -> None:
    """The copy engine takes a tile from shared memory to that of another block, and reads it when it arrives there."""
    assert s.barrier is not None and s.rank is not None
    tile_ops.read(m, region_of(s.src))  # for its checks
    memory, at, _ = tile_ops.place(m, region_of(s.src))
    block = m.peer(m.uniform(s.rank), s.barrier.buffer, s.dst.buffer)
    memory.send(at, _bring(m, s, block, lambda: np.array(memory.data[at])))


def _bring(m: TileMachine, s: Copy, block: Common, read: Callable[[], Array]) -> int:
    """To the tile of `block`, at once or when it is waited for there, what can be `read` then. The copy's number."""
    assert s.barrier is not None
    own, at, _ = tile_ops.place(m, s.dst)
    memory = own if block is m.common else block.memory[s.dst.buffer]
    m.require_landed(memory, at)
    copy = block.new_copy(memory.buffer)

    def put() -> None:
        memory.put(at, read().reshape(s.dst.extents))

    if m.mode == "early":
        put()
    else:
        memory.poison(at)
    memory.mark_copy(at, copy)
    size = prod(s.dst.extents) * s.dst.buffer.dtype.bits // 8
    for barrier, _ in m.barriers_at(s.barrier, "a bulk copy", block):
        land = None if m.mode == "early" else put
        barrier.deliver(size, 1 << copy, land, m.where(), far=block is not m.common)
    return copy


def _leaves(m: TileMachine, s: Source) -> bool:
    """Whether a part of it lies outside of the tensor."""
    if isinstance(s, Im2col):
        return not tile_ops.gathered(m, s)[2].all()
    memory, inside, _ = tile_ops.place(m, s)
    return memory.data[inside].size < prod(s.extents)


def store(m: TileMachine, s: Copy | Atomic) -> None:
    """The copy engine takes a tile to global memory; `Atomic`: it combines it with what is there."""
    tile_ops.read(m, region_of(s.src))  # for its checks
    memory, at, _ = tile_ops.place(m, region_of(s.src))
    target, to, outer = tile_ops.place(m, s.dst)

    def write(data: Array) -> None:
        tile = data.reshape(s.dst.extents)[outer]
        if isinstance(s, Atomic):
            tile_ops.update(m, target, to, s.op, tile)
        else:
            target.put(to, tile)

    work = BulkStore(memory.buffer, partial(memory.lend, at), lambda: memory.data[at], write, m.mode == "late")
    work.issue()
    m.queues["store"].open.append(work)
