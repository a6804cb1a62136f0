"""Loads and stores of the thread stage: scalars, vectors, atomic updates, in all memory spaces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from tiledsl.cpu.atomics import apply_atomic
from tiledsl.cpu.cluster import Common
from tiledsl.cpu.concurrent import Concurrent
from tiledsl.cpu.foreign import Pointer
from tiledsl.cpu.global_memory import GlobalMemory
from tiledsl.cpu.lockstep import DTypes
from tiledsl.cpu.masks import Mask, narrow
from tiledsl.cpu.memory import Lanes, SharedMemory
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.cpu.values import Value, is_uniform
from tiledsl.errors import error
from tiledsl.ir import nodes as ir

Array = np.ndarray[Any, Any]


class MemoryAccess(Concurrent):
    """The memory of a chunk of blocks. The domain is (blocks, threads)."""

    mode: str
    rng: np.random.Generator
    block_number: Array

    def __init__(
        self,
        domain: tuple[int, ...],
        check: bool,
        shared: SharedMemory,
        tensors: Mapping[ir.Buffer, GlobalMemory],
        dtypes: DTypes,
        common: Common,
    ) -> None:
        super().__init__(domain, check, dtypes, common)
        self.shared, self.tensors = shared, dict(tensors)
        block, thread = np.indices(domain)
        self.all_lanes = Lanes(block.ravel(), thread.ravel())

    # -------------------------------------------------------------------------------------------------- addresses

    def lanes(self, mask: Any) -> Lanes:
        if mask is None:
            return self.all_lanes
        return Lanes(*np.nonzero(self.full(mask)))

    def address(self, e: ir.Address) -> Pointer:
        """Indices of a GLOBAL element, or (element offset,) in SHARED and LOCAL buffers.

        Not checked: what uses it knows how many elements it covers and which lanes use it.
        """
        b, at = e.buffer, tuple(self.index(i) for i in e.indices)
        if b.space is ir.Space.GLOBAL:
            return Pointer(b, at)
        shape = ir.static_shape(b)
        offset: Value = 0 if e.version is None else self.index(e.version)
        for i, extent in zip(at, shape, strict=True):
            offset = offset * extent + i
        return Pointer(b, (offset,))

    def run_from(self, buffer: ir.Buffer, at: tuple[int, ...], lane: tuple[int, ...]) -> Array:
        if buffer.space is ir.Space.GLOBAL:
            data = self.tensors[buffer].data
            for axis, (i, extent) in enumerate(zip(at, data.shape)):
                self.inside(buffer, i, extent, axis)
            found: Array = data.reshape(-1)[int(np.ravel_multi_index(at, data.shape)) :]
            return found
        self.inside(buffer, at[0], self.size(buffer), 0)
        if buffer in self.registers:
            return np.asarray(self.registers[buffer].data[lane][at[0] :])
        typed, base = self.shared.typed(buffer)
        return np.asarray(typed[lane[0], base + at[0] : base + self.size(buffer)])

    def change(self, buffer: ir.Buffer, at: tuple[int, ...], offset: int, value: Any) -> None:
        place: tuple[int, ...] = (at[0] + offset,)
        if buffer.space is ir.Space.GLOBAL:
            shape = self.tensors[buffer].data.shape
            linear = int(np.ravel_multi_index(at, shape)) + offset
            place = tuple(int(i) for i in np.unravel_index(linear, shape))
        self.write_run(Pointer(buffer, place), np.asarray(value, numpy_dtype(buffer.dtype))[None])

    def size(self, b: ir.Buffer) -> int:
        total = b.versions
        for extent in ir.static_shape(b):
            total *= extent
        return total

    def require_aligned(self, p: Pointer, count: int) -> None:
        """Raises TileError TD0806 where `count` elements at `p` are not aligned to their size."""
        bits = p.buffer.dtype.bits
        whole = count * bits // 8
        if p.buffer.space is ir.Space.GLOBAL:
            memory = self.tensors[p.buffer]
            offset = memory.offset_in_bytes(p.at) * bits // (8 * memory.data.itemsize)
        elif p.buffer.space is ir.Space.SHARED:
            offset = self.shared.slots[p.buffer].base + p.at[0] * bits // 8
        else:
            offset = p.at[0] * bits // 8
        wrong = narrow(self.mask, offset % whole != 0)
        if wrong is not False:
            saved, self.mask = self.mask, wrong
            shown, where = self.show(offset), self.where()
            self.mask = saved
            raise error("TD0806", buffer=p.buffer.name, bytes=whole, offset=shown, where=where)

    # ------------------------------------------------------------------------------------------- runs of elements

    def read_run(self, p: Pointer, count: int) -> Array:
        """`count` elements from `p` on for each lane, of a shape that broadcasts to (blocks, threads, count)."""
        if p.buffer.space is ir.Space.GLOBAL:
            return self._read_global(p.buffer, p.at, count)
        if p.buffer.space is ir.Space.SHARED:
            return self._read_shared(p.buffer, p.at[0], count)
        registers = self.registers[p.buffer]
        self.inside(p.buffer, p.at[0], self.size(p.buffer) - count + 1, 0)
        self.require_registers(registers, p.at[0], count)
        return registers.read_run(p.at[0], count)

    def write_run(self, p: Pointer, data: Array) -> None:
        """Writes the last axis of `data` from `p` on, in every lane that is on."""
        count = data.shape[-1]
        if p.buffer.space is ir.Space.GLOBAL:
            self._write_global(p.buffer, p.at, data)
        elif p.buffer.space is ir.Space.SHARED:
            self._write_shared(p.buffer, p.at[0], data)
        else:
            self.inside(p.buffer, p.at[0], self.size(p.buffer) - count + 1, 0)
            self.require_own(self.registers[p.buffer], p.at[0], count)
            self.registers[p.buffer].write_run(p.at[0], data, self.mask)

    def _read_shared(self, b: ir.Buffer, offset: Value, count: int) -> Array:
        self.inside(b, offset, self.size(b) - count + 1, 0)
        if self.check:
            lanes = self.lanes(self.mask)
            self.shared.record_read(lanes, b, self.active(offset), count, self.statement)
        typed, base = self.shared.typed(b)
        if is_uniform(offset):
            return np.array(typed[:, None, base + offset : base + offset + count])
        at = base + (offset if self.mask is None else np.clip(offset, 0, self.size(b) - count))
        if at.shape[0] == 1:
            found: Array = typed[:, at[0][:, None] + np.arange(count)]
        else:
            found = typed[self.shared.rows[..., None], at[..., None] + np.arange(count)]
        return found

    def _write_shared(self, b: ir.Buffer, offset: Value, data: Array) -> None:
        count = data.shape[-1]
        self.inside(b, offset, self.size(b) - count + 1, 0)
        lanes, first = self.lanes(self.mask), self.active(offset)
        meant = self._active_run(data)
        met = self.shared.record_write(lanes, b, first, count, self.statement) if self.check else None
        typed, base = self.shared.typed(b)
        at = (lanes.block[:, None], (base + first)[:, None] + np.arange(count))
        typed[at] = meant
        if met is not None and met.any():
            self._require_same(b, typed[at], meant)

    def _require_same(self, b: ir.Buffer, found: Array, meant: Array) -> None:
        """Lanes of one store that meet must agree on the value: then their order does not matter."""
        bits = f"u{found.dtype.itemsize}"
        if (np.ascontiguousarray(found).view(bits) != np.ascontiguousarray(meant).view(bits)).any():
            raise error("TD0813", what="two threads", buffer=b.name, where=self.where())

    def _active_run(self, data: Array) -> Array:
        spread: Array = np.broadcast_to(data, (*self.domain, data.shape[-1]))
        return spread.reshape(-1, data.shape[-1]) if self.mask is None else spread[self.full(self.mask)]

    def _in_tensor(self, b: ir.Buffer, at: tuple[Value, ...], count: int) -> Mask:
        """The lanes that are on and inside. With `check` others are an error, else their accesses have no effect."""
        shape = self.tensors[b].data.shape
        if len(at) != len(shape):
            raise TypeError(f"'{b.name}' of rank {len(shape)} is accessed with {len(at)} indices")
        on = self.mask
        for axis, (i, size) in enumerate(zip(at, shape)):
            extent = size - (count - 1 if axis == len(shape) - 1 else 0)
            if self.check:
                self.inside(b, i, extent, axis)
            else:
                on = narrow(on, 0 <= i < extent if is_uniform(i) else (i >= 0) & (i < extent))
        return on

    @contextmanager
    def only(self, mask: Mask) -> Iterator[None]:
        """Only these lanes are on."""
        saved, self.mask = self.mask, mask
        try:
            yield
        finally:
            self.mask = saved

    def _elements(self, at: tuple[Value, ...], count: int) -> tuple[Array, ...]:
        """Index arrays, of shape (lanes, count), of the lanes that are on."""
        spread = [self.active(i)[:, None] for i in at]
        if spread:
            spread[-1] = spread[-1] + np.arange(count)
        return tuple(spread)

    def _read_global(self, b: ir.Buffer, at: tuple[Value, ...], count: int) -> Array:
        on = self._in_tensor(b, at, count)
        if on is self.mask:
            return self._gather(b, at, count)
        safe: Array = np.asarray(self.outside(b), numpy_dtype(b.dtype)).reshape(1, 1, 1)
        if on is False:
            return np.broadcast_to(safe, (1, 1, count))
        with self.only(on):
            found = self._gather(b, at, count)
        return np.where(self.full(on)[..., None], found, safe)

    def _gather(self, b: ir.Buffer, at: tuple[Value, ...], count: int) -> Array:
        memory = self.tensors[b]
        if self.check and (memory.written is not None or memory.writer is not None):
            lanes = self.lanes(self.mask)
            for places in self._each(at, count):
                memory.record_read(places, self.block_number[lanes.block], lambda i: self.name_lane(self._lane(i)))
        if 0 in memory.data.shape:
            return np.zeros((1, 1, count), memory.data.dtype)
        safe = at
        if self.mask is not None:
            safe = tuple(
                np.clip(i, 0, e - (count if a == len(at) - 1 else 1))
                for a, (i, e) in enumerate(zip(at, memory.data.shape))
            )
        if not at:
            return memory.data.reshape(1, 1, 1).copy()
        wide = [np.asarray(i).reshape((1, 1) if np.ndim(i) == 0 else np.shape(i))[..., None] for i in safe]
        wide[-1] = wide[-1] + np.arange(count)
        found: Array = memory.data[tuple(wide)]
        return found

    def _each(self, at: tuple[Value, ...], count: int) -> list[tuple[Array, ...]]:
        """The places of the lanes that are on, element by element of the run."""
        elements = self._elements(at, count)
        size = len(self.lanes(self.mask).block)
        return [tuple(np.broadcast_to(i, (size, count))[:, j] for i in elements) for j in range(count)]

    def _lane(self, i: int) -> tuple[int, int]:
        lanes = self.lanes(self.mask)
        return int(lanes.block[i]), int(lanes.thread[i])

    def _write_global(self, b: ir.Buffer, at: tuple[Value, ...], data: Array) -> None:
        count = data.shape[-1]
        memory = self.tensors[b]
        with self.only(self._in_tensor(b, at, count)):
            if self.mask is False:
                return
            if self.check:
                lanes = self.lanes(self.mask)
                for places in self._each(at, count):
                    memory.record_write(places, self.block_number[lanes.block])
            if at:
                memory.data[self._elements(at, count)] = self._active_run(data)
            else:
                memory.data[...] = self._active_run(data)[-1, 0]

    def issue(self, p: Pointer, data: Array) -> None:
        """An asynchronous copy of `data` (lanes..., elements) to shared memory by every lane that is on."""
        raise NotImplementedError

    # ---------------------------------------------------------------------------------------------------- scalars

    def alloc_shared(self, buffer: ir.Buffer) -> None:
        if buffer.space is not ir.Space.SHARED:
            raise TypeError(f"a {buffer.space.value} buffer has no meaning at the thread stage")

    def view_shared(self, s: ir.View) -> None:
        if s.source in self.tensors:
            self.tensors[s.buffer] = self.tensors[s.source].viewed(s.buffer)
        else:
            self.shared.add_view(s.buffer, s.source)

    def load_memory(self, e: ir.Load) -> Value:
        if e.buffer.space is ir.Space.SHARED:
            return self._read_shared(e.buffer, self.offset_of(e.buffer, e.indices, e.version), 1)[..., 0]
        at = tuple(self.index(i) for i in e.indices)
        found = self._read_global(e.buffer, at, 1)[..., 0]
        return found[0, 0] if all(is_uniform(i) for i in at) else found

    def store_memory(self, s: ir.Store, value: Value) -> None:
        data = np.asarray(value, numpy_dtype(s.buffer.dtype))[..., None]
        if s.buffer.space is not ir.Space.SHARED:
            self._write_global(s.buffer, tuple(self.index(i) for i in s.indices), data)
            return
        offset = self.offset_of(s.buffer, s.indices, s.version)
        if s.asynchronous:
            self.issue(Pointer(s.buffer, (offset,)), data)
        else:
            self._write_shared(s.buffer, offset, data)

    def move(self, s: ir.Move) -> None:
        source, target = self.eval(s.src), self.eval(s.dst)
        self.require_aligned(source, s.lanes)
        self.require_aligned(target, s.lanes)
        data = self.read_run(source, s.lanes)
        holder = numpy_dtype(target.buffer.dtype)
        self.write_run(target, data if data.dtype == holder else np.ascontiguousarray(data).view(holder))

    def atomic_update(self, s: ir.AtomicUpdate) -> None:
        value = self.eval(s.value)
        if s.result is not None:
            self.env[s.result] = np.zeros(self.domain, numpy_dtype(s.buffer.dtype))
        at = tuple(self.index(i) for i in s.indices)
        with self.only(self._in_tensor(s.buffer, at, 1) if s.buffer.space is ir.Space.GLOBAL else self.mask):
            if self.mask is not False:
                self._update(s, at, self.active(value))

    def _update(self, s: ir.AtomicUpdate, at: tuple[Value, ...], value: Array) -> None:
        b, lanes = s.buffer, self.lanes(self.mask)
        if b.space is ir.Space.SHARED:
            offset = self.active(self.linear(b, list(at), None))
            if self.check:
                self.shared.record_atomic(lanes, b, offset, s)
            memory, base = self.shared.typed(b)
            places: tuple[Array, ...] = (lanes.block, base + offset)
        elif b.space is ir.Space.GLOBAL:
            memory, places = self.tensors[b].data, tuple(self.active(i) for i in at)
            if self.check:
                self.tensors[b].record_write(places, self.block_number[lanes.block], atomic=True)
        else:
            raise TypeError(f"'{b.name}' is private: an atomic update of it has no meaning")
        old = apply_atomic(s.op, memory, places, np.ascontiguousarray(value), want_old=s.result is not None)
        if s.result is not None:
            self.env[s.result][lanes.block, lanes.thread] = old

    def content(self, b: ir.Buffer, block: int) -> Array:
        """A whole buffer as a block sees it, for printing; of the threads' own arrays that of the first."""
        shape = ir.static_shape(b) if b.space is not ir.Space.GLOBAL else ()
        if b in self.registers:
            return np.asarray(self.registers[b].data[block, 0]).reshape(shape)
        if b in self.tensors:
            return self.tensors[b].data
        typed, base = self.shared.typed(b)
        return np.asarray(typed[block, base : base + self.size(b)]).reshape(shape)
