"""From tables back to digits: what a user's index function is, found by probing (algorithms.md A.6).

A table that is no mixed-radix map gives None. Tables are plain lists, so that importing the language loads no NumPy.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tiledsl.ir.layout import Digit, Fragment, Layout, Swizzle

Step = tuple[int, int]  # what one step of a digit adds to (thread, register)


def recover_fragment(shape: Sequence[int], threads: Sequence[Sequence[int]], regs: Sequence[int]) -> Fragment | None:
    """The fragment whose replica r of element e is in `threads[r][e]`, register `regs[e]`, e being row-major.

    None if there is none: an element in two registers, gaps in the thread or register numbers, no mixed radix.
    """
    size = prod(shape)
    table = [(t, r) for t, r in zip(threads[0], regs)]
    if len(table) != size or size == 0 or table[0] != (0, 0):
        return None
    found = _probe(table)
    replicas = _probe([(column[0], 0) for column in threads])
    if found is None or replicas is None:
        return None
    thread_digits = [(step[0], Digit(extent, 0)) for extent, step, _ in replicas]
    reg_digits: list[tuple[int, Digit]] = []
    for extent, (thread, reg), stride in found:
        if (thread != 0) == (reg != 0):
            return None  # moves both, or neither
        (thread_digits if thread else reg_digits).append((thread or reg, Digit(extent, stride)))
    ordered_threads, ordered_regs = _radix(thread_digits), _radix(reg_digits)
    if ordered_threads is None or ordered_regs is None:
        return None
    replica_step = [column[0] for column in threads]
    for replica, column in enumerate(threads):
        if any(t != base + replica_step[replica] for t, base in zip(column, threads[0])):
            return None
    return Fragment(tuple(shape), ordered_threads, ordered_regs)


def _probe(table: Sequence[Step]) -> list[tuple[int, Step, int]] | None:
    """Digits (extent, step, stride in the index), least significant first, of a table that is a mixed-radix map."""
    size = len(table)
    digits: list[tuple[int, Step, int]] = []
    stride = 1
    while stride < size:
        step = (table[stride][0] - table[0][0], table[stride][1] - table[0][1])
        run = 2
        while run * stride < size and table[run * stride] == (
            table[0][0] + run * step[0],
            table[0][1] + run * step[1],
        ):
            run += 1
        extent = _divisor_at_most(run, size // stride)
        if extent < 2:
            return None
        digits.append((extent, step, stride))
        stride *= extent
    for index, (a, b) in enumerate(table):
        rest, x, y = index, table[0][0], table[0][1]
        for extent, step, _ in digits:
            x += rest % extent * step[0]
            y += rest % extent * step[1]
            rest //= extent
        if (a, b) != (x, y):
            return None
    return digits


def _divisor_at_most(run: int, count: int) -> int:
    """The largest divisor of `count` that is at most `run`."""
    return next(d for d in range(min(run, count), 0, -1) if count % d == 0)


def _radix(digits: list[tuple[int, Digit]]) -> tuple[Digit, ...] | None:
    """The digits by weight, most significant first, if the weights are 1, e0, e0*e1, ... (no gaps, no overlap)."""
    weight = 1
    for own, digit in sorted(digits, key=lambda d: d[0]):
        if own != weight:
            return None
        weight *= digit.extent
    return tuple(d for _, d in sorted(digits, key=lambda d: -d[0]))


def recover_layout(shape: Sequence[int], offsets: Sequence[int]) -> Layout | None:
    """The layout with these element offsets, row-major, with an XOR swizzle if it takes one; None if none."""
    if not offsets or offsets[0] != 0 or min(offsets) < 0:
        return None
    plain = _strided(shape, offsets)
    if plain is not None:
        return plain
    run = 1
    while run < shape[-1] and offsets[run] == run:
        run += 1
    most = max(run.bit_length() - 1, 0)
    for base in range(most, -1, -1):
        for bits in range(1, 6):
            for shift in range(bits, 13):
                swizzle = Swizzle(bits, base, shift)
                # Cheap refusal: along the last dimension of the first row nothing may be left to undo but digits.
                found = _strided(shape, [swizzle(o) for o in offsets]) if _plausible(shape, offsets, swizzle) else None
                if found is not None:
                    return Layout(found.shape, found.dims, found.size, swizzle)
    return None


def _plausible(shape: Sequence[int], offsets: Sequence[int], swizzle: Swizzle) -> bool:
    """Whether the second row, unswizzled, repeats the steps of the first; a strided layout always does."""
    if len(shape) < 2 or prod(shape[:-1]) < 2:
        return True
    width = shape[-1]
    first = [swizzle(o) for o in offsets[:width]]
    for row in (1, min(7, prod(shape[:-1]) - 1), prod(shape[:-1]) - 1):
        other = [swizzle(o) for o in offsets[row * width : (row + 1) * width]]
        if any(b - other[0] != a - first[0] for a, b in zip(first, other)):
            return False
    return True


def _strided(shape: Sequence[int], offsets: Sequence[int]) -> Layout | None:
    """The layout without swizzle, each dimension probed on its own, then the whole table compared."""
    dims: list[tuple[Digit, ...]] = []
    step = prod(shape)
    for extent in shape:
        step //= extent
        digits = _probe([(offsets[i * step], 0) for i in range(extent)])
        if digits is None:
            return None
        dims.append(tuple(Digit(e, move[0]) for e, move, _ in reversed(digits)))
    layout = Layout(tuple(shape), tuple(dims), max(offsets) + 1)
    sums = [0]
    for extent, dim in zip(shape, dims):
        along = [Layout((extent,), (dim,), 0).offset((i,)) for i in range(extent)]
        sums = [s + a for s in sums for a in along]
    return layout if sums == list(offsets) else None
