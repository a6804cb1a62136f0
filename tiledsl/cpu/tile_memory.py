"""Buffers of the tile stage: one array each, with the state of every element."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from tiledsl.cpu.beside import Marks, first_unknown, reader_name
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.cpu.registers import POISON, ready_word
from tiledsl.cpu.values import Value
from tiledsl.errors import error
from tiledsl.ir.nodes import Buffer, Space, static_shape

Array = np.ndarray[Any, Any]
Index = tuple[Any, ...]


@dataclass(slots=True)
class TileMemory:
    """`data` has shape (versions, *shape). `state` has the same shape, in unsigned integers whose bytes are 0 (never
    written), 1 (written) or 2 (an asynchronous copy is in flight, or a product); None for memory that the caller
    initialised."""

    buffer: Buffer
    data: Array
    state: Array | None
    marks: Marks

    @staticmethod
    def new(buffer: Buffer) -> TileMemory:
        dtype, shape = numpy_dtype(buffer.dtype), (buffer.versions, *static_shape(buffer))
        data = np.full((*shape, dtype.itemsize), POISON, np.uint8).view(dtype)[..., 0]
        return TileMemory(buffer, data, np.zeros(shape, f"u{dtype.itemsize}"), Marks(prod(shape) * dtype.itemsize))

    @staticmethod
    def around(buffer: Buffer, array: Array, initialised: bool) -> TileMemory:
        """The caller's array, in place."""
        state = None if initialised else np.zeros((1, *array.shape), f"u{array.dtype.itemsize}")
        return TileMemory(buffer, array[None], state, Marks(array.nbytes))

    def viewed(self, buffer: Buffer) -> TileMemory:
        """The same bits as `buffer`. 4-bit types can only be viewed as 4-bit types: they take a byte each here."""
        if (buffer.dtype.bits < 8) != (self.buffer.dtype.bits < 8):
            raise TypeError(f"'{buffer.name}' views '{self.buffer.name}' of another width below a byte")
        dtype = numpy_dtype(buffer.dtype)

        def cast(array: Array, to: np.dtype[Any]) -> Array:
            flat = array.reshape(array.shape[0], -1)
            if not np.shares_memory(flat, array) and array.size:
                raise error("TD0801", name=self.buffer.name, expected="a contiguous array", got="a strided one")
            flat = flat.view(to)
            shape = tuple(e if isinstance(e, int) else -1 for e in buffer.shape)
            return flat.reshape(array.shape[0], *shape)

        state = None if self.state is None else cast(self.state, np.dtype(f"u{dtype.itemsize}"))
        return TileMemory(buffer, cast(self.data, dtype), state, self.marks)

    @property
    def shape(self) -> tuple[int, ...]:
        shape: tuple[int, ...] = self.data.shape[1:]
        return shape

    def require_ready(self, at: Index, on: Any, where: Callable[[], str]) -> None:
        """Raises TileError TD0803 or TD0805 if an element at `at` whose lane is `on` (None: all) cannot be read."""
        if self.state is None:
            return
        state = self.state[at]
        word = ready_word(self.state.dtype.itemsize)
        bad = state != word
        if on is not None:
            bad = bad & on
        if not np.any(bad):
            return
        if np.any(bad & (state == 2 * word)):
            raise self.not_landed(where)
        raise error("TD0803", buffer=self.buffer.name, place="", where=where())

    def not_landed(self, where: Callable[[], str]) -> Exception:
        """The error that somebody uses what is in flight: into fragments that are products, else copies."""
        code = "TD0862" if self.buffer.space is Space.FRAGMENT else "TD0805"
        return error(code, buffer=self.buffer.name, place="", where=where())

    def in_flight(self, at: Index) -> bool:
        """Whether an element at `at` waits for an asynchronous copy or product."""
        if self.state is None:
            return False
        return bool(np.any(self.state[at] == 2 * ready_word(self.state.dtype.itemsize)))

    def put(self, at: Index, values: Value, code: int = 1) -> None:
        """Writes, and leaves the elements in state `code`."""
        self.data[at] = values
        self.set_state(at, code)

    def set_state(self, at: Index, code: int) -> None:
        if self.state is not None:
            self.state[at] = code * ready_word(self.state.dtype.itemsize)

    def poison(self, at: Index) -> None:
        """Marks elements as the destination of a copy in flight."""
        itemsize = self.data.dtype.itemsize
        self.put(at, np.full(itemsize, POISON, np.uint8).view(self.data.dtype)[0], code=2)

    # ---------------------------------------------------------------------------------------- beside the threads

    def _bytes(self, marks: Array) -> Array:
        """Marks of bytes, with the bytes of an element as last axis."""
        return marks.reshape(*self.data.shape, self.data.dtype.itemsize)

    def mark_copy(self, at: Index, number: int) -> None:
        """Bulk copy `number` writes these elements."""
        self._bytes(self.marks.make_copies())[at] = number + 1

    def knows(self, at: Index, on: Any, known: int) -> bool:
        """Whether an agent that knows the copies `known` knows of all into elements at `at` whose lane is `on`."""
        if self.marks.copies is None:
            return True
        copies = self._bytes(self.marks.copies)[at]
        if on is not None:
            lanes = np.broadcast_shapes(copies.shape[:-1], np.shape(on))
            copies = np.broadcast_to(copies, (*lanes, copies.shape[-1]))[np.broadcast_to(on, lanes)]
        return not first_unknown(copies, known)

    def lend(self, at: Index, readers: int) -> None:
        """So many more read these elements asynchronously: BY_PRODUCT or BY_STORE each, negative when they end."""
        self._bytes(self.marks.make_readers())[at] += readers

    def send(self, at: Index, number: int) -> None:
        """Bulk copy `number` takes these elements to another block."""
        sent = self._bytes(self.marks.make_sent())
        sent[at] = self.marks.with_copy(sent[at], number)

    def may_leave(self, at: Index, known: int) -> bool:
        """Whether somebody who knows the copies `known` lacks one that takes these elements to another block."""
        sent = self.marks.sent
        return sent is not None and self.marks.may_leave(self._bytes(sent)[at], known)

    def reader(self, at: Index) -> str:
        """Who reads one of these elements asynchronously; empty if nobody does."""
        readers = self.marks.readers
        return "" if readers is None else reader_name(int(self._bytes(readers)[at].max(initial=0)))
