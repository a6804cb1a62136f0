"""Layouts as NumPy tables: the ground truth for equality, containment and injectivity (algorithms.md A.6).

(element, replica) -> (thread, register) is injective, so a fragment has at most 1024 * 255 entries: exact enumeration
is always affordable and no prover is needed. Tables are cached by layout and read-only.
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import Any

import numpy as np

from tiledsl.ir.layout import Fragment, Layout, reg_of, thread_of
from tiledsl.ir.layout_ops import same_map

WORD = 64


def _frozen(table: Any) -> Any:
    table.setflags(write=False)
    return table


@lru_cache(256)
def thread_table(f: Fragment) -> Any:
    """(elements, replicas): the thread that holds each replica of each element, elements in row-major order."""
    linear = np.arange(prod(f.shape))[:, None]
    table = thread_of(f, linear, np.arange(f.replication)[None, :])
    return _frozen(np.broadcast_to(table, (prod(f.shape), f.replication)).astype(np.int32))


@lru_cache(256)
def reg_table(f: Fragment) -> Any:
    """(elements,): the register of each element."""
    table = reg_of(f, np.arange(prod(f.shape)))
    return _frozen(np.broadcast_to(table, (prod(f.shape),)).astype(np.int32))


@lru_cache(256)
def owner_bits(f: Fragment) -> Any:
    """(elements, words of 64 bits): the set of threads that hold each element."""
    return _frozen(bits_of(thread_table(f), f.num_threads))


def bits_of(threads: Any, count: int) -> Any:
    """Rows of thread numbers as bit sets over `count` threads."""
    words = -(-count // WORD)
    if threads.shape[1] > WORD:  # many owners: through flags
        flags = np.zeros((len(threads), words * WORD), bool)
        flags[np.arange(len(threads))[:, None], threads] = True
        return np.packbits(flags, axis=1, bitorder="little").view(np.uint64)
    bits = np.zeros((len(threads), words), np.uint64)
    rows = np.arange(len(threads))
    for column in threads.T:
        bits[rows, column // WORD] |= np.uint64(1) << (column % WORD).astype(np.uint64)
    return bits


def is_subset(small: Any, large: Any) -> bool:
    """Row by row, for tables of bit sets over the same number of threads."""
    return not np.any(small & ~large)


def equal(a: Fragment, b: Fragment) -> bool:
    """Same shape, registers, and owners of every element; the order of replicas does not matter."""
    if a.shape != b.shape:
        return False
    if same_map(a, b):
        return True
    if (a.num_threads, a.num_regs, a.replication) != (b.num_threads, b.num_regs, b.replication):
        return False
    return np.array_equal(reg_table(a), reg_table(b)) and np.array_equal(owner_bits(a), owner_bits(b))


def same_owners(a: Fragment, b: Fragment) -> bool:
    """Whether the same threads hold each element."""
    if a.shape != b.shape or a.num_threads != b.num_threads:
        return False
    return same_threads(a, b) or np.array_equal(owner_bits(a), owner_bits(b))


def same_threads(a: Fragment, b: Fragment) -> bool:
    """A quick sufficient test for `same_owners`: equal thread digits."""
    return same_map(Fragment(a.shape, a.threads, ()), Fragment(b.shape, b.threads, ()))


def contains(large: Fragment, small: Fragment) -> bool:
    """Whether every thread that holds an element in `small` holds it in `large` too."""
    if large.shape != small.shape or large.num_threads != small.num_threads:
        return False
    if large.replication == large.num_threads or same_threads(large, small):
        return True
    return is_subset(owner_bits(small), owner_bits(large))


def is_injective(f: Fragment) -> bool:
    """Whether no (thread, register) holds two elements, and no thread two replicas of one."""
    places = thread_table(f).astype(np.int64) * f.num_regs + reg_table(f)[:, None]
    return bool(len(np.unique(places)) == places.size)


def offset_table(layout: Layout) -> Any:
    """The element offset of each coordinate, an array of the layout's shape."""
    if not layout.shape:
        return np.zeros((), np.int64)
    grid = np.meshgrid(*(np.arange(n) for n in layout.shape), indexing="ij", sparse=True)
    return np.broadcast_to(layout.offset(grid), layout.shape)


def is_injective_layout(layout: Layout) -> bool:
    """Whether every element has an offset of its own in 0 .. size - 1."""
    table = offset_table(layout)
    return bool(len(np.unique(table)) == table.size) and 0 <= int(table.min()) <= int(table.max()) < layout.size


def first_difference(a: Fragment, b: Fragment) -> int:
    """The linear index of the first element that other threads hold in `b` than in `a`; 0 if there is none."""
    if a.shape != b.shape or a.num_threads != b.num_threads:
        return 0
    return int(np.argmax((owner_bits(a) != owner_bits(b)).any(axis=1)))


def picture(layout: Fragment | Layout, start: int = 0, rows: int = 4, columns: int = 8) -> str:
    """A window of a layout, for messages: thread:register of each element ("+" if there are more), or its offset.

    It begins at the row and column of the element with linear index `start`; each line begins with its row's number.
    """
    shape = layout.shape
    if isinstance(layout, Fragment):
        more = "+" if layout.replication > 1 else ""
        cells = [f"T{t}{more}:{r}" for t, r in zip(thread_table(layout)[:, 0], reg_table(layout))]
    else:
        cells = [str(o) for o in offset_table(layout).ravel()]
    width = shape[-1] if shape else 1
    first_row, first = start // width, start % width
    last = min(first + columns, width)
    lines = [" " * 7 + " ".join(f"{c:>8}" for c in range(first, last))]
    for row in range(first_row, min(first_row + rows, prod(shape) // width)):
        line = cells[row * width + first : row * width + last]
        lines.append(f"{row:>5}: " + " ".join(f"{c:>8}" for c in line) + (" ..." if last < width else ""))
    return "\n".join(lines)


def compared(what_a: str, a: Fragment | Layout, what_b: str, b: Fragment | Layout) -> str:
    """Two layouts as pictures for a message, from the first element on that they put into different threads."""
    start = first_difference(a, b) if isinstance(a, Fragment) and isinstance(b, Fragment) else 0
    lines: list[str] = []
    for what, layout in ((what_a, a), (what_b, b)):
        unit = "thread:register" if isinstance(layout, Fragment) else "offset"
        lines.append(f"  {what} ({unit}):")
        lines += [f"  {line}" for line in picture(layout, start).splitlines()]
    return "\n".join(lines)
