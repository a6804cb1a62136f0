"""Global tensors at the thread stage: what of a scratch buffer was written, and optionally races between blocks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.errors import error
from tiledsl.ir.nodes import Buffer

Array = np.ndarray[Any, Any]
Places = tuple[Any, ...]  # one index (int or array) per dimension
_SEVERAL, _ATOMIC = -1, -2


class GlobalMemory:
    """The caller's array `data`, in place. `written` is None unless the content was undefined to begin with.

    With `watch_blocks`, `writer` and `reader` hold per element the number plus one of the block that accessed it, until
    `forget` at the end of a launch.
    """

    def __init__(self, buffer: Buffer, data: Array, defined: bool, watch_blocks: bool) -> None:
        self.buffer, self.data = buffer, data
        self.written = None if defined else np.zeros(data.shape, bool)
        self.writer = np.zeros(data.shape, np.int32) if watch_blocks else None
        self.reader = np.zeros(data.shape, np.int32) if watch_blocks else None

    def forget(self) -> None:
        for shadow in (self.writer, self.reader):
            if shadow is not None:
                shadow[...] = 0

    def viewed(self, view: Buffer) -> GlobalMemory:
        """The same bits as `view`; it is watched on its own."""
        flat = self.data.reshape(-1)
        if self.data.size and not np.shares_memory(flat, self.data):
            raise error("TD0801", name=self.buffer.name, expected="a contiguous array", got="a strided one")
        shape = tuple(e if isinstance(e, int) else -1 for e in view.shape)
        return GlobalMemory(view, flat.view(numpy_dtype(view.dtype)).reshape(shape), True, self.writer is not None)

    def offset_in_bytes(self, at: Places) -> Any:
        total: Any = 0
        for i, stride in zip(at, self.data.strides):
            total = total + i * stride
        return total

    def record_read(self, at: Places, block: Array, name: Callable[[int], str]) -> None:
        """Checks and records loads; `block` is the linear number of the block of each lane. Raises TD0803, TD0814."""
        if self.written is not None and not self.written[at].all():
            lane = int(np.argwhere(~np.broadcast_to(self.written[at], block.shape))[0][0])
            raise error("TD0803", buffer=self.buffer.name, place=self._place(at, block, lane), where=name(lane))
        if self.writer is not None and self.reader is not None:
            me = (block + 1).astype(np.int32)
            self._check(at, block, self.writer[at], me)
            old = self.reader[at]
            self.reader[at] = np.where((old == 0) | (old == me), me, _SEVERAL)
            self.reader[tuple(np.broadcast_to(i, me.shape)[self.reader[at] != me] for i in at)] = _SEVERAL

    def record_write(self, at: Places, block: Array, atomic: bool = False) -> None:
        if self.written is not None:
            self.written[at] = True
        if self.writer is not None and self.reader is not None:
            me = (block + 1).astype(np.int32)
            writer = self.writer[at]
            self._check(at, block, np.where(writer == _ATOMIC, 0, writer) if atomic else writer, me)
            self._check(at, block, self.reader[at], me)
            self.writer[at] = _ATOMIC if atomic else me
            if not atomic:
                self._check(at, block, self.writer[at], me)

    def _check(self, at: Places, block: Array, found: Array, me: Array) -> None:
        bad = (found != 0) & (found != me)
        if bad.any():
            lane = int(np.argwhere(bad)[0][0])
            other = "others" if found[lane] < 0 else int(found[lane]) - 1
            place = self._place(at, block, lane)
            raise error("TD0814", buffer=self.buffer.name, place=place, block=int(block[lane]), other=other)

    def _place(self, at: Places, block: Array, lane: int) -> str:
        return str([int(np.broadcast_to(i, block.shape)[lane]) for i in at])
