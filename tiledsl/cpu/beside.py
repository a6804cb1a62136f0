"""What goes on beside the threads: work of the copy engine and the tensor core, and its marks on memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tiledsl.ir.nodes import Buffer

Array = np.ndarray[Any, Any]
BY_PRODUCT, BY_STORE = 1, 1 << 8  # units of counters of asynchronous readers


@dataclass(slots=True)
class Marks:
    """Of `size` bytes or other units of memory, for all who see it; made when first needed, as most memory has none.

    `copies` is the number of the last bulk copy into the unit plus one, `readers` counts those who read it
    asynchronously. `sent` is the place in `sets` of the bulk copies, as bits, that take the unit to other blocks.
    """

    size: int
    copies: Array | None = None
    readers: Array | None = None
    sent: Array | None = None
    sets: list[int] = field(default_factory=lambda: [0])

    def make_copies(self) -> Array:
        if self.copies is None:
            self.copies = np.zeros(self.size, np.int32)
        return self.copies

    def make_readers(self) -> Array:
        if self.readers is None:
            self.readers = np.zeros(self.size, np.int32)
        return self.readers

    def make_sent(self) -> Array:
        if self.sent is None:
            self.sent = np.zeros(self.size, np.int32)
        return self.sent

    def with_copy(self, sent: Array, number: int) -> Array:
        """What `sent` becomes where bulk copy `number` takes the units away too."""
        old, places = np.unique(sent, return_inverse=True)
        new = [self.sets[int(n)] | 1 << number for n in old]
        self.sets += [s for s in dict.fromkeys(new) if s not in self.sets]
        return np.array([self.sets.index(s) for s in new], np.int32)[places].reshape(sent.shape)

    def may_leave(self, sent: Array, known: int) -> bool:
        """Whether somebody who knows `known` lacks one of the copies in these sets."""
        return any(self.sets[int(n)] & ~known for n in np.unique(sent))


def first_unknown(copies: Array, known: int) -> int:
    """The first of these marks that is a bulk copy which somebody who knows `known` does not know; 0 if none is."""
    return next((int(n) for n in np.unique(copies) if n and not known >> (int(n) - 1) & 1), 0)


def reader_name(readers: int) -> str:
    """What messages call those that a counter has counted; empty if there are none."""
    if not readers:
        return ""
    return "a store of the copy engine" if readers >= BY_STORE else "a product"


class Work:
    """Something in flight. `buffer` names it in messages."""

    buffer: Buffer

    def release(self) -> None:
        """Its sources are not read after this."""

    def finish(self) -> None:
        """Its result is there after this."""
        raise NotImplementedError


@dataclass(slots=True)
class BulkStore(Work):
    """A store of the copy engine. If `late`, it reads when its sources are waited for, and writes when it is."""

    buffer: Buffer
    lend: Callable[[int], None]
    read: Callable[[], Array]
    write: Callable[[Array], None]
    late: bool
    data: Array | None = None
    released: bool = False

    def issue(self) -> None:
        self.lend(BY_STORE)
        if not self.late:
            self.write(self.read())

    def release(self) -> None:
        if not self.released:
            self.released = True
            self.lend(-BY_STORE)
            self.data = np.array(self.read()) if self.late else None

    def finish(self) -> None:
        self.release()
        if self.data is not None:
            self.write(self.data)
