"""The copy engine at the thread stage: boxes of tensors and runs of bytes, to and from shared memory.

Source: PTX ISA, "cp.async.bulk.tensor", "cp.async.bulk", "cp.reduce.async.bulk.tensor"; CUDA Driver API,
`cuTensorMapEncodeTiled` (the rules are those of `tensor_map.py`). A swizzle moves units of 16 bytes: bits 4 to 6 of the
address are XORed with as many of the bits 7 to 9 as it has. A buffer is taken to begin at a multiple of its period.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np

from tiledsl.cpu.atomics import combined
from tiledsl.cpu.beside import BulkStore
from tiledsl.cpu.box import clipped
from tiledsl.cpu.cluster import Common
from tiledsl.cpu.foreign import Pointer
from tiledsl.cpu.memory import Lanes, SharedMemory
from tiledsl.cpu.registers import POISON
from tiledsl.errors import error
from tiledsl.ir.concurrent import BulkMove, TensorCopy
from tiledsl.ir.im2col import Window
from tiledsl.ir.nodes import Buffer, Expr
from tiledsl.tensor_map import map_of_window

if TYPE_CHECKING:
    from tiledsl.cpu.interp import Machine

Array = np.ndarray[Any, Any]
_SWIZZLE_BITS = {0: 0, 32: 1, 64: 3, 128: 7}


def swizzled(address: Any, swizzle: int) -> Any:
    """Where byte `address` of a tile with a swizzle of 0, 32, 64 or 128 bytes lies."""
    return address ^ (address >> 7 & _SWIZZLE_BITS[swizzle]) << 4


@dataclass(frozen=True, slots=True)
class Side:
    """Elements of shared memory that one thread's copy reads or writes, in the order of the box."""

    machine: Machine
    thread: int
    buffer: Buffer
    offset: Array
    shared: SharedMemory

    @property
    def lanes(self) -> Lanes:
        return Lanes(np.zeros(len(self.offset), np.int64), np.full(len(self.offset), self.thread))

    def read(self) -> Array:
        typed, base = self.shared.typed(self.buffer)
        found: Array = typed[0, base + self.offset]
        return found

    def write(self, data: Array) -> None:
        typed, base = self.shared.typed(self.buffer)
        typed[0, base + self.offset] = data.ravel()

    def lend(self, readers: int) -> None:
        if self.machine.check:
            self.shared.lend(self.lanes, self.buffer, self.offset, readers)


def tensor_copy(m: Machine, s: TensorCopy) -> None:
    """Every lane that is on moves a box."""
    tensor, shared = _ends(m, s)
    m.require_aligned(shared, 1024 // shared.buffer.dtype.bits)
    memory = m.tensors[tensor.buffer]
    where = memory.data.shape, memory.data.strides
    map_of_window(tensor.buffer.name, tensor.buffer.dtype.name, *where, s.box, s.swizzle, s.window)
    if s.window:
        _pixels(m, s, tensor, shared)
        return
    size = shared.buffer.dtype.bits // 8
    for thread, corner, start in _lanes(m, tensor, shared):
        offset = swizzled((start + np.arange(prod(s.box))) * size, s.swizzle) // size
        inner, outer = clipped(memory.data.shape, corner, s.box)
        side = _side(m, thread, shared.buffer, offset)
        if s.barrier is not None:
            data = np.zeros(s.box, memory.data.dtype)
            m.require_zeros_outside(tensor.buffer, data[outer].size < data.size)
            _record(m, tensor.buffer, inner, thread, written=False)
            data[outer] = memory.data[inner]
            _load(m, s, side, data)
        else:
            _record(m, tensor.buffer, inner, thread, written=True)
            _store(m, s, side, partial(_put, memory.data, inner, outer, s.box, s.op))


def _put(tensor: Array, inner: Any, outer: Any, box: tuple[int, ...], op: str, data: Array) -> None:
    tile = data.reshape(box)[outer]
    tensor[inner] = combined(op, tensor[inner], tile) if op else tile


def _pixels(m: Machine, s: TensorCopy, tensor: Pointer, shared: Pointer) -> None:
    """Every lane that is on loads what lies behind one tap of pixels that follow each other.

    The pixels of an image are those under the first tap, row by row; the one after its last is the first of the next.
    """
    image, size = m.tensors[tensor.buffer].data, shared.buffer.dtype.bits // 8
    window, (pixels, channels) = Window(*s.window), s.box
    rows, columns = (window.steps(side) for side in image.shape[1:3])
    taps = np.stack([np.broadcast_to(m.active(m.eval(t)), len(m.active(tensor.at[0]))) for t in s.tap], axis=1)
    for (thread, corner, start), (down, right) in zip(_lanes(m, tensor, shared), taps.tolist()):
        n, y, x, c = corner
        first = (n * rows + (y + window.pad) // window.stride) * columns + (x + window.pad) // window.stride
        numbers = first + np.arange(pixels)
        at = (
            numbers // (rows * columns),
            numbers // columns % rows * window.stride - window.pad + down,
            numbers % columns * window.stride - window.pad + right,
        )
        every = (*(i[:, None] for i in at), c + np.arange(channels))
        inside = np.ones(s.box, bool)
        for i, extent in zip(every, image.shape):
            inside &= (i >= 0) & (i < extent)
        places = tuple(np.broadcast_to(i, inside.shape)[inside] for i in every)
        data = np.zeros(s.box, image.dtype)
        m.require_zeros_outside(tensor.buffer, not inside.all())
        _record_places(m, tensor.buffer, places, thread, written=False)
        data[inside] = image[places]
        offset = swizzled((start + np.arange(data.size)) * size, s.swizzle) // size
        _load(m, s, _side(m, thread, shared.buffer, offset), data)


def bulk_move(m: Machine, s: BulkMove) -> None:
    """Every lane that is on moves consecutive bytes."""
    if s.rank is not None:
        _to_a_block(m, s, s.rank)
        return
    tensor, shared = _ends(m, s)
    for p in (tensor, shared):
        m.require_aligned(p, 128 // p.buffer.dtype.bits)
    data = m.tensors[tensor.buffer].data
    for thread, corner, start in _lanes(m, tensor, shared):
        run = _run(m, tensor.buffer, data, corner, s.lanes)
        side = _side(m, thread, shared.buffer, start + np.arange(s.lanes))
        if s.barrier is not None:
            _load(m, s, side, run.copy())
        else:
            _store(m, s, side, partial(run.__setitem__, ...))


def _to_a_block(m: Machine, s: BulkMove, rank: Expr) -> None:
    """From shared memory to that of another block, which is read when the data arrives there."""
    assert s.barrier is not None
    source, target = m.eval(s.src), m.eval(s.dst)
    for p in (source, target):
        m.require_aligned(p, 128 // p.buffer.dtype.bits)
    ranks, starts, ends = (m.active(i) for i in (m.index(rank), source.at[0], target.at[0]))
    for thread, to, start, end in zip(m.lanes(m.mask).thread, ranks, starts, ends):
        here = _side(m, int(thread), source.buffer, int(start) + np.arange(s.lanes))
        there = _side(m, int(thread), target.buffer, int(end) + np.arange(s.lanes))
        if m.check:
            m.shared.record_read(here.lanes, here.buffer, here.offset, 1, s)
        _bring(m, s, there, m.peer(int(to), s.barrier.buffer), here.read, here)


def _run(m: Machine, b: Buffer, data: Array, corner: tuple[int, ...], lanes: int) -> Array:
    """`lanes` consecutive elements of a tensor, as a view."""
    row = data[corner[:-1]]
    first = corner[-1]
    if first + lanes > len(row) and data.flags.c_contiguous:
        row, first = data.reshape(-1), int(np.ravel_multi_index(corner, data.shape))
    if first + lanes > len(row):
        raise error("TD0802", buffer=b.name, what="element", index=first + lanes - 1, extent=len(row), where=m.where())
    found: Array = row[first : first + lanes]
    return found


def _ends(m: Machine, s: TensorCopy | BulkMove) -> tuple[Pointer, Pointer]:
    """The global and the shared address."""
    source, target = m.eval(s.src), m.eval(s.dst)
    return (source, target) if s.barrier is not None else (target, source)


def _lanes(m: Machine, tensor: Pointer, shared: Pointer) -> Iterator[tuple[int, tuple[int, ...], int]]:
    """Thread, indices in the tensor and offset in shared memory of each lane that is on."""
    corners = np.stack([m.active(i) for i in tensor.at], axis=1)
    for thread, corner, start in zip(m.lanes(m.mask).thread, corners, m.active(shared.at[0])):
        yield int(thread), tuple(int(i) for i in corner), int(start)


def _side(m: Machine, thread: int, b: Buffer, offset: Array) -> Side:
    size = m.size(b)
    outside = offset[(offset < 0) | (offset >= size)]
    if len(outside):
        raise error("TD0802", buffer=b.name, what="element", index=int(outside[0]), extent=size, where=m.where())
    return Side(m, thread, b, offset, m.shared)


def _load(m: Machine, s: TensorCopy | BulkMove, side: Side, data: Array) -> None:
    assert s.barrier is not None
    for block in m.reached(s.ranks, s.barrier.buffer):
        _bring(m, s, side, block, lambda: data)


def _bring(
    m: Machine, s: TensorCopy | BulkMove, side: Side, block: Common, read: Callable[[], Array], sent: Side | None = None
) -> None:
    """To the place of `side` in the memory of `block`, at once or when it is waited for there, what can be `read` then.

    It may be a tile of this block that is `sent`.
    """
    assert s.barrier is not None
    where, number = m.name_lane((0, side.thread)), block.new_copy(side.buffer)
    there = replace(side, shared=m.shared if block is m.common else block.shared.seen_from(m.shared))
    if sent is not None and block is not m.common:
        m.common.visits.append(number)
    if m.check and sent is not None:
        m.shared.send(sent.lanes, sent.buffer, sent.offset, number)
    if m.check:
        there.shared.record_bulk_load(side.lanes, side.buffer, side.offset, number, s)
    early, data = m.is_early(), read()
    there.write(data if early else np.full(data.nbytes, POISON, np.uint8).view(data.dtype))
    barrier = m.barrier_of(s.barrier, side.thread, block)
    barrier.require_initialised("a bulk copy", where)
    land = None if early else lambda: there.write(read())
    barrier.deliver(data.nbytes, 1 << number, land, where, far=block is not m.common)


def _store(m: Machine, s: TensorCopy | BulkMove, side: Side, write: Any) -> None:
    if m.check:
        m.shared.record_read(side.lanes, side.buffer, side.offset, 1, s)
    work = BulkStore(side.buffer, side.lend, side.read, write, not m.is_early())
    work.issue()
    m.enqueue("store", side.thread, work)


def _record(m: Machine, b: Buffer, inner: tuple[slice, ...], thread: int, written: bool) -> None:
    """Tells the memory of a tensor that a box of it is read or written."""
    places = tuple(g.ravel() for g in np.meshgrid(*(np.arange(c.start, c.stop) for c in inner), indexing="ij"))
    _record_places(m, b, places, thread, written)


def _record_places(m: Machine, b: Buffer, places: tuple[Array, ...], thread: int, written: bool) -> None:
    memory = m.tensors[b]
    if not m.check or (memory.written is None and memory.writer is None):
        return
    block = np.full(len(places[0]), m.block_number[0])
    if written:
        memory.record_write(places, block)
    else:
        memory.record_read(places, block, lambda i: m.name_lane((0, thread)))
