"""What threads issue and wait for at the thread stage: cp.async copies, products, stores of the copy engine, in groups.

A copy or product ends when it is issued ("early"), at the wait that covers it ("late"), or by a coin ("random"). Until
that wait it is an error to use what it writes, or to overwrite what it reads.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tiledsl.cpu.access import MemoryAccess
from tiledsl.cpu.beside import BY_PRODUCT, BulkStore, Work, reader_name
from tiledsl.cpu.cluster import MAX_THREADS, Common
from tiledsl.cpu.foreign import Pointer
from tiledsl.cpu.global_memory import GlobalMemory
from tiledsl.cpu.lockstep import DTypes
from tiledsl.cpu.mbarrier import Mbarrier
from tiledsl.cpu.memory import Lanes, SharedMemory
from tiledsl.cpu.named import NamedBarrier
from tiledsl.cpu.registers import IN_FLIGHT, LENT, POISON, Registers
from tiledsl.cpu.values import Value
from tiledsl.errors import Span, error
from tiledsl.ir import nodes as ir
from tiledsl.ir.concurrent import QUEUES, InitBarrier

Array = np.ndarray[Any, Any]


@dataclass(slots=True)
class PendingCopy:
    """An asynchronous copy in flight: for each lane the destination, the group it belongs to and the data."""

    buffer: ir.Buffer
    lanes: Lanes
    offset: Array
    group: Array
    data: Array  # (lanes, elements)
    landed: bool  # whether the bytes are in memory already
    span: Span


@dataclass(frozen=True, slots=True)
class Issued:
    """Work of one thread, or of a warpgroup that begins with it, in the thread's group of that number."""

    thread: int
    group: int
    work: Work


class Asynchronous(MemoryAccess):
    """The queues of the threads."""

    def __init__(
        self,
        domain: tuple[int, ...],
        check: bool,
        shared: SharedMemory,
        tensors: Mapping[ir.Buffer, GlobalMemory],
        dtypes: DTypes,
        common: Common,
    ) -> None:
        super().__init__(domain, check, shared, tensors, dtypes, common)
        self.committed = {name: np.zeros(domain, np.int64) for name in QUEUES}  # groups that each thread has closed
        self.pending: list[PendingCopy] = []
        self.issued: dict[str, list[Issued]] = {"product": [], "store": []}

    def is_early(self) -> bool:
        """Whether what is issued now happens now."""
        return self.mode == "early" or (self.mode == "random" and bool(self.rng.integers(2)))

    def commit(self, s: ir.AsyncCommit) -> None:
        self.committed[s.queue] += 1 if self.mask is None else self.full(self.mask)

    def wait(self, s: ir.AsyncWait) -> None:
        """Ends the groups that lanes which are on must see finished."""
        limit = self.committed[s.queue] - s.pending
        if self.mask is not None:
            limit = np.where(self.full(self.mask), limit, -1)
        if s.queue == "copy":
            self._land_copies(limit)
            return
        for one in list(self.issued[s.queue]):
            if one.group < limit[0, one.thread]:
                one.work.release()
                if not s.sources:
                    self.issued[s.queue].remove(one)
                    one.work.finish()

    def enqueue(self, queue: str, thread: int, work: Work) -> None:
        self.issued[queue].append(Issued(thread, int(self.committed[queue][0, thread]), work))

    def require_own(self, registers: Registers, offset: Value, count: int) -> None:
        if not self.check or not self.issued["product"]:
            return
        if registers.holds(IN_FLIGHT, offset, count, self.mask):
            raise error("TD0862", buffer=registers.buffer.name, where=self.where())
        if registers.holds(LENT, offset, count, self.mask):
            raise error("TD0861", buffer=registers.buffer.name, what=reader_name(BY_PRODUCT), where=self.where())

    def require_nothing_in_flight(self, span: Span) -> None:
        """At the end: stores whose sources are free may end by themselves, all else had to be waited for."""
        for one in self.issued["store"]:
            if self.check and not (isinstance(one.work, BulkStore) and one.work.released):
                name = f"'{one.work.buffer.name}'"
                raise error("TD0853", span, barrier=name, where=self.name_lane((0, one.thread)))
            one.work.finish()
        for one in self.issued["product"] if self.check else ():
            raise error("TD0852", span, where=self.name_lane((0, one.thread)))
        for copy in self.pending if self.check else ():
            where = self.name_lane((int(copy.lanes.block[0]), int(copy.lanes.thread[0])))
            raise error("TD0808", copy.span, buffer=copy.buffer.name, where=where)

    # --------------------------------------------------------------------------------------------------- cp.async

    def issue(self, p: Pointer, data: Array) -> None:
        b, count = p.buffer, data.shape[-1]
        self.inside(b, p.at[0], self.size(b) - count + 1, 0)
        lanes, offset = self.lanes(self.mask), self.active(p.at[0])
        if self.check:
            self.shared.record_issue(lanes, b, offset, count, self.statement)
        group = self.committed["copy"][lanes.block, lanes.thread]
        early = self.is_early()
        copy = PendingCopy(b, lanes, offset, group, self._active_run(data).copy(), early, self.statement.span)
        poison = np.full(data.dtype.itemsize, POISON, np.uint8).view(data.dtype)
        self._deliver(copy, copy.data if early else np.broadcast_to(poison, copy.data.shape))
        self.pending.append(copy)

    def _deliver(self, copy: PendingCopy, data: Array) -> None:
        typed, base = self.shared.typed(copy.buffer)
        typed[copy.lanes.block[:, None], (base + copy.offset)[:, None] + np.arange(data.shape[-1])] = data

    def _land_copies(self, limit: Array) -> list[PendingCopy]:
        """Ends the copies of the groups below `limit` of each thread."""
        left: list[PendingCopy] = []
        landed: list[PendingCopy] = []
        for copy in self.pending:
            done = copy.group < limit[copy.lanes.block, copy.lanes.thread]
            if done.any():
                landed.append(_part(copy, done))
            if not done.all():
                left.append(_part(copy, ~done))
        for copy in landed:
            if not copy.landed:
                self._deliver(copy, copy.data)
            if self.check:
                self.shared.record_landing(copy.lanes, copy.buffer, copy.offset, copy.data.shape[-1])
        self.pending = left
        return landed

    def hand_over_copies(self) -> int:
        known, everything = 0, self.committed["copy"] + 1
        for copy in self._land_copies(everything if self.mask is None else np.where(self.mask, everything, -1)):
            number = self.common.new_copy(copy.buffer)
            known |= 1 << number
            if self.check:
                self.shared.mark_copy(copy.lanes, copy.buffer, copy.offset, copy.data.shape[-1], number)
        return known

    # --------------------------------------------------------------------------------------------------- barriers

    def barrier_of(self, a: ir.Address, thread: int, block: Common) -> Mbarrier:
        """The barrier that a thread's address names, in this block or another one."""
        offset = self.offset_of(a.buffer, a.indices, a.version)
        return block.barriers[a.buffer][int(self.full(offset)[0, thread])]

    def learn(self, known: int) -> None:
        super().learn(known)
        self.shared.known = self.known

    def expected(self, each: Array) -> int:
        return int(each.sum())

    def threads_that_arrive(self) -> int:
        """In a role the arrival of one thread stands for all: others have met it in a way that is not followed."""
        if self.role is not None:
            return ((1 << self.role.threads) - 1) << self.role.first
        return sum(1 << int(t) for t in self.lanes(self.mask).thread)

    def after_named(self, barrier: NamedBarrier) -> None:
        if self.check:
            self.shared.order(barrier.ordered)

    def after_wait(self, barrier: Mbarrier) -> None:
        for block in self.common.peers if self.check else ():
            if threads := barrier.ordered >> block.rank * MAX_THREADS & (1 << MAX_THREADS) - 1:
                block.shared.order(threads)

    def require_made(self, block: Common, barrier: ir.Buffer, tiles: tuple[ir.Buffer, ...]) -> None:
        name = f"{barrier.name} of another block"
        if barrier not in block.barriers:
            raise error("TD0840", what="an access", barrier=name, where=self.where())
        if block is self.common:
            return
        if any(b.made & ~self.known for b in block.barriers[barrier]):
            raise error("TD0845", problem="nothing orders this after its init", barrier=name, where=self.where())
        visit = block.note(barrier)
        block.visits.append(visit)
        self.learn(1 << visit)

    def init_barrier(self, s: InitBarrier) -> None:
        super().init_barrier(s)
        if len(self.common.peers) > 1:
            made = 1 << self.common.note(s.barrier.buffer)
            self.learn(made)
            for barrier, _ in self.barriers_at(s.barrier, "its init"):
                barrier.made = made

    def end_block(self) -> None:
        """The block ends. Raises TileError TD0857 if another one may still use its memory."""
        if self.check and any(not self.known >> visit & 1 for visit in self.common.visits):
            problem = f"the block of rank {self.common.rank} may end before another one that uses it"
            raise error("TD0857", self.launch.span, problem=problem, where=self.name_lane((0, 0)))
        self.common.ended = True

    def all_met(self) -> None:
        """In all blocks at once: those who go on may use the memory of others that have not looked yet."""
        for block in self.common.peers if self.check else ():
            block.shared.barrier(np.ones(len(block.shared.data), bool), None)


def _part(c: PendingCopy, kept: Array) -> PendingCopy:
    if kept.all():
        return c
    lanes = Lanes(c.lanes.block[kept], c.lanes.thread[kept])
    return replace(c, lanes=lanes, offset=c.offset[kept], group=c.group[kept], data=c.data[kept])
