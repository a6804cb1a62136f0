"""The checking memory: shared memory of the blocks in flight, with shadows that know who touched each byte and when.

Two accesses to the same bytes by different threads of a block, at least one a write, must have a barrier between them,
or both be atomic. An element must have been written through the buffer that reads it (or a view of it), so that buffers
which share bytes cannot see each other's data. Bytes that an asynchronous copy will write are off limits until the
issuing thread has waited; after that they count as written by that thread, so other threads need a barrier as well.

The check is exact for barriers of the whole block. After a barrier of some of the threads, accesses of these are
forgotten: what they did before it no longer races with anybody.

What the copy engine brings has arrived for those who know of the copy (see cpu/mbarrier.py). What it, or the tensor
core, still reads may not be overwritten. Arrivals at mbarriers and waits for them order accesses roughly: what the
arriving threads did, at any time, no longer races with anybody.

Shadows are kept per granule, the greatest common divisor of all element sizes and offsets, so that they are exact to
the byte at the cost of the smallest element. Thread numbers are stored plus one; 0 means nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass
from functools import cache
from math import gcd, prod
from typing import Any, Self

import numpy as np

from tiledsl.cpu.beside import Marks, first_unknown, reader_name
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.cpu.registers import POISON
from tiledsl.errors import NOWHERE, error
from tiledsl.ir.concurrent import Role
from tiledsl.ir.nodes import AtomCall, AtomicUpdate, Buffer, Launch, Space, Stmt, Store, View, static_shape
from tiledsl.ir.walk import statements

Array = np.ndarray[Any, Any]
SEVERAL_ATOMIC = -(1 << 15)
_ALIGNMENT = 128
NameLane = Callable[[int, int | None], str]  # how a message names a block of the chunk, and a thread in it


@dataclass(frozen=True, slots=True)
class Slot:
    """Where a buffer lies: `base` in bytes, and the number (from 1) of the allocation that owns the bytes."""

    base: int
    owner: int


def itemsize(buffer: Buffer) -> int:
    return numpy_dtype(buffer.dtype).itemsize


def size_in_bytes(buffer: Buffer) -> int:
    return prod(static_shape(buffer)) * buffer.versions * itemsize(buffer)


def plan(launch: Launch, buffers: list[Buffer]) -> tuple[dict[Buffer, Slot], int]:
    """A slot for each shared buffer and the bytes in all: as the launch says, else one after the other.

    4-bit elements take a byte each here, so a launch that has them is laid out anew.
    """
    planned = {s.buffer: s.offset for s in launch.shared}
    if any(b.dtype.bits < 8 for b in buffers):
        planned = {}
    slots: dict[Buffer, Slot] = {}
    end = max([launch.shared_bytes] + [planned[b] + size_in_bytes(b) for b in buffers if b in planned])
    for number, b in enumerate(buffers, 1):
        if b not in planned:
            base = -(-end // _ALIGNMENT) * _ALIGNMENT
            end = base + size_in_bytes(b)
        else:
            base = planned[b]
        slots[b] = Slot(base, number)
    return slots, -(-max(end, 1) // 16) * 16


@dataclass(frozen=True, slots=True)
class Lanes:
    """The lanes of one access: block of the chunk and thread of each, one axis."""

    block: Array
    thread: Array


def _describe(s: Stmt, access: str) -> str:
    """What a message calls an access by this statement: the instruction that it is, or just `access`."""
    match s:
        case AtomCall(atom):
            return atom
        case AtomicUpdate(op):
            return f"atomic {op}"
        case Store(asynchronous=True):
            return "asynchronous copy"
    return access


@cache
def _threads_in(bits: int, count: int) -> Array:
    """Which of `count` threads a set of bits names."""
    octets = np.frombuffer(bits.to_bytes(-(-count // 8), "little"), np.uint8)
    return np.unpackbits(octets, bitorder="little")[:count].astype(bool)


class SharedMemory:
    """Shared memory of `blocks` blocks: `data` of shape (blocks, bytes). Without `check` nothing is recorded.

    `first` is the block's number of thread 0 of whoever uses it, `known` the bulk copies that he knows.
    """

    def __init__(
        self, launch: Launch, buffers: list[Buffer], blocks: int, check: bool, races: bool, name: NameLane
    ) -> None:
        self.name = name
        self.slots, self.bytes = plan(launch, buffers)
        self.data = np.full((blocks, self.bytes), POISON, np.uint8)
        self.rows = np.arange(blocks)[:, None]
        self.races = races
        self.first, self.known, self.threads = 0, 0, launch.num_threads
        self.names = dict(enumerate(buffers, 1))
        views = [s.buffer for s in statements(launch) if isinstance(s, View) and s.buffer.space is Space.SHARED]
        sizes = [itemsize(b) for b in (*buffers, *views)] + [s.base for s in self.slots.values()] + [16]
        self.granule = gcd(*sizes)
        self.cells = self.bytes // self.granule
        self.sites: list[Stmt] = []
        self.numbers: dict[int, int] = {}
        if check:
            self.writer, self.reader, self.flight, self.owner = (
                np.zeros(blocks * self.cells, np.int16) for _ in range(4)
            )
            self.written_at, self.read_at = (np.zeros(blocks * self.cells, np.int32) for _ in range(2))
            self.marks = Marks(blocks * self.cells)

    def seen_by(self, role: Role) -> Self:
        """The same memory as the threads of a role use it."""
        view = copy(self)
        view.first = role.first
        return view

    def seen_from(self, other: Self) -> Self:
        """The same memory as those use it, with what they know, who use that of another block of the cluster."""
        view = copy(self)
        view.first, view.known, view.name = other.first, other.known, other.name
        return view

    def add_view(self, view: Buffer, source: Buffer) -> None:
        self.slots[view] = self.slots[source]

    def typed(self, buffer: Buffer) -> tuple[Array, int]:
        """The memory in elements of the buffer's type, and the number of its first element."""
        size = itemsize(buffer)
        elements: Array = self.data.view(numpy_dtype(buffer.dtype))
        return elements, self.slots[buffer].base // size

    # ---------------------------------------------------------------------------------------------------- accesses

    def site(self, statement: Stmt) -> int:
        number = self.numbers.get(id(statement))
        if number is None:
            number = self.numbers[id(statement)] = len(self.sites)
            self.sites.append(statement)
        return number

    def _numbers(self, lanes: Lanes) -> Array:
        """What shadows say of each lane."""
        numbers: Array = (lanes.thread + 1 + self.first).astype(np.int16)[:, None]
        return numbers

    def _cells(self, lanes: Lanes, buffer: Buffer, offset: Array, count: int) -> Array:
        """Shadow cells of `count` elements from `offset` on, of shape (lanes, cells)."""
        size = itemsize(buffer)
        first = (self.slots[buffer].base + offset * size) // self.granule
        cells: Array = (lanes.block * self.cells + first)[:, None] + np.arange(count * size // self.granule)
        return cells

    def record_read(self, lanes: Lanes, buffer: Buffer, offset: Array, count: int, statement: Stmt) -> None:
        """Checks and records a load of `count` elements by each lane. Raises TileError TD0803, TD0804 or TD0805."""
        at, me = self._cells(lanes, buffer, offset, count), self._numbers(lanes)
        self._check_arrived(lanes, buffer, at)
        self._check_written(lanes, buffer, at)
        writer = self.writer.take(at)
        self._check_race(
            _describe(statement, "load"),
            lanes,
            buffer,
            at,
            (writer != 0) & (np.abs(writer) != me),
            self.written_at,
            writer,
        )
        reader = self.reader.take(at)
        self.reader[at] = np.where((reader == 0) | (reader == me), me, -me)
        # Lanes that share a cell overwrote each other: whoever finds another's number there makes it "several".
        others = np.abs(self.reader.take(at)) != me
        if others.any():
            self.reader[at[others]] = -np.abs(self.reader[at[others]])
        self.read_at[at] = self.site(statement)

    def record_write(self, lanes: Lanes, buffer: Buffer, offset: Array, count: int, statement: Stmt) -> Array:
        """Checks and records a store; returns which lanes share a cell with another lane of this very store.

        Call it before the data is written, and `check_same_value` after, with what it returned.
        """
        at, me = self._cells(lanes, buffer, offset, count), self._numbers(lanes)
        self._check_exclusive(_describe(statement, "store"), lanes, buffer, at, me)
        self.writer[at] = me
        self.written_at[at] = self.site(statement)
        self.owner[at] = self.slots[buffer].owner
        met: Array = np.any(self.writer.take(at) != me, axis=1)
        return met

    def _check_exclusive(self, access: str, lanes: Lanes, buffer: Buffer, at: Array, me: Array) -> None:
        self._check_arrived(lanes, buffer, at)
        self._check_unread(lanes, buffer, at)
        writer, reader = self.writer.take(at), self.reader.take(at)
        self._check_race(access, lanes, buffer, at, (writer != 0) & (np.abs(writer) != me), self.written_at, writer)
        self._check_race(access, lanes, buffer, at, (reader != 0) & (reader != me), self.read_at, reader)

    def record_atomic(self, lanes: Lanes, buffer: Buffer, offset: Array, statement: Stmt) -> None:
        """Checks and records an atomic update: free of races with other atomic updates only."""
        at, me = self._cells(lanes, buffer, offset, 1), self._numbers(lanes)
        self._check_arrived(lanes, buffer, at)
        self._check_written(lanes, buffer, at)
        writer, reader = self.writer.take(at), self.reader.take(at)
        self._check_race(
            _describe(statement, "atomic"), lanes, buffer, at, (writer > 0) & (writer != me), self.written_at, writer
        )
        self._check_race(
            _describe(statement, "atomic"), lanes, buffer, at, (reader != 0) & (reader != me), self.read_at, reader
        )
        self.writer[at] = np.where((writer == 0) | (np.abs(writer) == me), -me, SEVERAL_ATOMIC)
        self.writer[at[self.writer.take(at) != -me]] = SEVERAL_ATOMIC
        self.written_at[at] = self.site(statement)

    def record_issue(self, lanes: Lanes, buffer: Buffer, offset: Array, count: int, statement: Stmt) -> None:
        """Checks and records the issue of an asynchronous copy into `count` elements."""
        at, me = self._cells(lanes, buffer, offset, count), self._numbers(lanes)
        self._check_exclusive("asynchronous copy", lanes, buffer, at, me)
        self.flight[at] = me
        self.written_at[at] = self.site(statement)
        clash = self.flight.take(at) != me
        if clash.any():
            self._check_race("asynchronous copy", lanes, buffer, at, clash, self.written_at, self.flight.take(at))
        self.owner[at] = self.slots[buffer].owner

    def record_landing(self, lanes: Lanes, buffer: Buffer, offset: Array, count: int) -> None:
        """The issuing lanes have waited: the bytes now count as written by them."""
        at = self._cells(lanes, buffer, offset, count)
        self.flight[at] = 0
        self.writer[at] = self._numbers(lanes)

    def record_bulk_load(self, lanes: Lanes, buffer: Buffer, offset: Array, number: int, statement: Stmt) -> None:
        """Checks and records that bulk copy `number`, which a lane issues, writes elements."""
        at, me = self._cells(lanes, buffer, offset, 1), self._numbers(lanes)
        self._check_exclusive("bulk copy", lanes, buffer, at, me)
        self.writer[at] = self.reader[at] = 0
        self.marks.make_copies()[at] = number + 1
        self.owner[at] = self.slots[buffer].owner
        self.written_at[at] = self.site(statement)

    def mark_copy(self, lanes: Lanes, buffer: Buffer, offset: Array, count: int, number: int) -> None:
        """What lanes have copied arrives for those who know of copy `number`."""
        self.marks.make_copies()[self._cells(lanes, buffer, offset, count)] = number + 1

    def lend(self, lanes: Lanes, buffer: Buffer, offset: Array, readers: int) -> None:
        """So many more read these elements asynchronously: BY_PRODUCT or BY_STORE each, negative when they end."""
        np.add.at(self.marks.make_readers(), self._cells(lanes, buffer, offset, 1), readers)

    def send(self, lanes: Lanes, buffer: Buffer, offset: Array, number: int) -> None:
        """Bulk copy `number` takes these elements to another block."""
        at, sent = self._cells(lanes, buffer, offset, 1), self.marks.make_sent()
        sent[at] = self.marks.with_copy(sent[at], number)

    def order(self, threads: int) -> None:
        """All accesses of these threads (bits) so far, in all blocks, no longer race with anybody."""
        chosen = np.broadcast_to(_threads_in(threads, self.threads), (len(self.data), self.threads))
        self.barrier(np.ones(len(self.data), bool), chosen)

    def barrier(self, blocks: Array, participants: Array | None) -> None:
        """Orders all accesses of the threads `participants` (None: all) of the blocks (bool, one a block)."""
        writer, reader = (x.reshape(len(self.data), -1) for x in (self.writer, self.reader))
        if participants is None:
            if blocks.all():
                writer[:], reader[:] = 0, 0
            else:
                writer[blocks], reader[blocks] = 0, 0
            return
        for shadow in (writer, reader):
            who = np.abs(shadow.astype(np.int32)) - 1
            known = (who >= 0) & (who < participants.shape[1])
            forgotten = known & np.take_along_axis(participants, np.where(known, who, 0), 1)
            shadow[forgotten | (shadow == SEVERAL_ATOMIC) & blocks[:, None]] = 0

    # ------------------------------------------------------------------------------------------------------ checks

    def _check_arrived(self, lanes: Lanes, buffer: Buffer, at: Array) -> None:
        flight = self.flight.take(at)
        if flight.any():
            i, j = np.argwhere(flight)[0]
            copy = self.sites[self.written_at[at[i, j]]]
            note = f"the copy, issued by thread {int(flight[i, j]) - 1}"
            raise error(
                "TD0805",
                notes=((note, copy.span),),
                buffer=buffer.name,
                place=self._place(buffer, at[i, j]),
                where=self._name(lanes, i),
            )
        self._check_known(lanes, buffer, at)

    def _check_known(self, lanes: Lanes, buffer: Buffer, at: Array) -> None:
        if self.marks.copies is None:
            return
        copies = self.marks.copies.take(at)
        if unknown := first_unknown(copies, self.known):
            i, j = np.argwhere(copies == unknown)[0]
            notes = (("the bulk copy", self.sites[self.written_at[at[i, j]]].span),)
            place = self._place(buffer, at[i, j])
            raise error("TD0805", notes=notes, buffer=buffer.name, place=place, where=self._name(lanes, i))

    def _check_unread(self, lanes: Lanes, buffer: Buffer, at: Array) -> None:
        """Raises TileError TD0861 or TD0865 where something asynchronous reads what a lane writes."""
        if self.marks.sent is not None and self.marks.may_leave(self.marks.sent.take(at), self.known):
            raise error("TD0865", buffer=buffer.name, where=self._name(lanes, 0))
        if self.marks.readers is not None and (readers := self.marks.readers.take(at)).any():
            i, j = np.argwhere(readers)[0]
            what = reader_name(int(readers[i, j]))
            raise error("TD0861", buffer=buffer.name, what=what, where=self._name(lanes, i))

    def _check_written(self, lanes: Lanes, buffer: Buffer, at: Array) -> None:
        owner = self.owner.take(at)
        wrong = owner != self.slots[buffer].owner
        if wrong.any():
            i, j = np.argwhere(wrong)[0]
            other = self.names.get(int(owner[i, j]))
            notes = ((f"the bytes hold data of '{other.name}', which shares them", NOWHERE),) if other else ()
            place = self._place(buffer, at[i, j])
            raise error("TD0803", notes=notes, buffer=buffer.name, place=place, where=self._name(lanes, i))

    def _check_race(
        self, access: str, lanes: Lanes, buffer: Buffer, at: Array, bad: Array, sites: Array, who: Array
    ) -> None:
        if not self.races or not bad.any():
            return
        i, j = np.argwhere(bad)[0]
        earlier = self.sites[sites[at[i, j]]]
        other = _describe(earlier, "load" if sites is self.read_at else "store")
        number = abs(int(who[i, j])) - 1
        raise error(
            "TD0804",
            notes=((f"the other access ({other})", earlier.span),),
            buffer=buffer.name,
            place=self._place(buffer, at[i, j]),
            access=access,
            thread=int(lanes.thread[i]) + self.first,
            other=other,
            other_thread=number if number < 1 << 14 else "another",
            block=self.name(int(lanes.block[i]), None),
        )

    def _name(self, lanes: Lanes, i: int) -> str:
        return self.name(int(lanes.block[i]), int(lanes.thread[i]) + self.first)

    def _place(self, buffer: Buffer, cell: int) -> str:
        element = (int(cell) % self.cells * self.granule - self.slots[buffer].base) // itemsize(buffer)
        size = prod(static_shape(buffer))
        version = f", version {element // size}" if buffer.versions > 1 else ""
        return f"[{element % size}]{version}"
