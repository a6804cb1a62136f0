"""Memory that is private to a lane: mutable scalars and register arrays, with what of them was written."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import prod
from typing import Any

import numpy as np

from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.cpu.values import Value
from tiledsl.ir.nodes import Buffer, static_shape

Array = np.ndarray[Any, Any]
POISON = 0xFF  # NaN in every float format that has one, -1 in the integers
# In each byte of the state of an element: written; an asynchronous product adds to it; one reads it, which was written.
READY, IN_FLIGHT, LENT = 1, 2, 3


@cache
def state_word(code: int, itemsize: int) -> Any:
    """The state of a whole element, as the unsigned integer of its size."""
    return np.dtype(f"u{itemsize}").type(int.from_bytes(bytes([code]) * itemsize, "little"))


def ready_word(itemsize: int) -> Any:
    """The state of a whole element that was written."""
    return state_word(READY, itemsize)


@dataclass(slots=True)
class Cell:
    """A VAR: `value` as any value; `written` None for all lanes, False for none, else those lanes."""

    value: Value = 0
    written: Any = False

    def write(self, value: Value, mask: Any, domain: tuple[int, ...]) -> None:
        if mask is None:
            self.value, self.written = value, None
            return
        if self.written is False:
            self.value, self.written = value, mask
            return
        old = self.value
        merged: Array = np.asarray(np.where(mask, value, old))
        self.value = merged.astype(np.asarray(value).dtype, copy=False)
        if self.written is not None:
            self.written = self.written | mask
            if self.written.all():
                self.written = None

    def lacks(self, mask: Any) -> bool:
        """Whether a lane that is on has not been written."""
        if self.written is None:
            return False
        if self.written is False:
            return True
        missing = ~self.written
        return bool((missing if mask is None else missing & mask).any())


@dataclass(slots=True)
class Registers:
    """A LOCAL array: `data` of shape domain + (elements,); `state` alike in unsigned integers, a code in each byte.

    Views share memory with their source, of whatever element types.
    """

    buffer: Buffer
    data: Array
    state: Array

    @staticmethod
    def new(buffer: Buffer, domain: tuple[int, ...]) -> Registers:
        dtype = numpy_dtype(buffer.dtype)
        elements = prod(static_shape(buffer)) * buffer.versions
        # Without checks, what was never written is at least not a plausible number.
        poison = 0 if dtype == np.bool_ else POISON
        data = np.full((*domain, elements, dtype.itemsize), poison, np.uint8).view(dtype)[..., 0]
        return Registers(buffer, data, np.zeros((*domain, elements), f"u{dtype.itemsize}"))

    def viewed(self, buffer: Buffer) -> Registers:
        """The same storage as `buffer`. 4-bit types can only be viewed as 4-bit types: they take a byte each here."""
        if (buffer.dtype.bits < 8) != (self.buffer.dtype.bits < 8):
            raise TypeError(f"'{buffer.name}' views '{self.buffer.name}' of another width below a byte")
        same = self.bits_as(numpy_dtype(buffer.dtype))
        return Registers(buffer, same.data, same.state)

    def bits_as(self, dtype: np.dtype[Any]) -> Registers:
        """The same storage in elements of `dtype`."""
        return Registers(self.buffer, self.data.view(dtype), self.state.view(f"u{dtype.itemsize}"))

    def read(self, offset: Value) -> Array:
        """The element at `offset` of each lane; offsets of lanes that are off may be anything."""
        if isinstance(offset, int):
            return self.data[..., offset if 0 <= offset < self.data.shape[-1] else 0].copy()
        return np.take_along_axis(self.data, self._places(offset), -1)[..., 0]

    def is_ready(self, offset: Value, count: int, mask: Any) -> bool:
        """Whether `count` elements from `offset` on were written in every lane that is on."""
        word, state = ready_word(self.state.dtype.itemsize), self._state(offset, count)
        if (state == word).all():
            return True
        ready = (state & word == word).all(-1)
        return bool(ready.all() if mask is None else (ready | ~mask).all())

    def holds(self, code: int, offset: Value, count: int, mask: Any) -> bool:
        """Whether one of these registers of a lane that is on has that state."""
        found = (self._state(offset, count) == state_word(code, self.state.dtype.itemsize)).any(-1)
        return bool(found.any() if mask is None else (found & mask).any())

    def _state(self, offset: Value, count: int) -> Array:
        if isinstance(offset, int):
            return self.state[..., offset : offset + count]
        return np.take_along_axis(self.state, self._places(offset, count), -1)

    def write(self, offset: Value, value: Value, mask: Any) -> None:
        """Writes one element of each lane that is on."""
        word = ready_word(self.state.dtype.itemsize)
        if isinstance(offset, int):
            if mask is None:
                self.data[..., offset] = value
                self.state[..., offset] = word
            else:
                np.copyto(self.data[..., offset], value, where=mask)
                np.copyto(self.state[..., offset], word, where=mask)
            return
        self.write_run(offset, np.broadcast_to(value, self.data.shape[:-1])[..., None], mask)

    def read_run(self, offset: Value, count: int) -> Array:
        """`count` elements from `offset` on, on a last axis."""
        if isinstance(offset, int):
            return self.data[..., offset : offset + count]
        return np.take_along_axis(self.data, self._places(offset, count), -1)

    def write_run(self, offset: Value, values: Array, mask: Any) -> None:
        """Writes as many elements as the last axis of `values` has, from `offset` on."""
        count = values.shape[-1]
        word = ready_word(self.state.dtype.itemsize)
        if isinstance(offset, int):
            span = (..., slice(offset, offset + count))
            where = True if mask is None else np.broadcast_to(mask, self.data.shape[:-1])[..., None]
            np.copyto(self.data[span], values, where=where)
            np.copyto(self.state[span], word, where=where)
            return
        lanes = self.data.shape[:-1]
        on = np.nonzero(np.broadcast_to(True if mask is None else mask, lanes))
        places = (*(x[:, None] for x in on), self._places(offset, count)[on])
        self.data[places] = np.broadcast_to(values, (*lanes, count))[on]
        self.state[places] = word

    def _places(self, offset: Array, count: int = 1) -> Array:
        """Register numbers (lanes..., count), clipped into the array for lanes that are off."""
        first = np.broadcast_to(offset, self.data.shape[:-1])[..., None]
        return np.clip(first + np.arange(count), 0, self.data.shape[-1] - 1)
