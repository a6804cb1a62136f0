"""Arguments for any kernel at any stage, made from its IR: on them, sums of products are exact.

All numbers are small integers. Tensors that are only written are poisoned with NaN, so that a store that is missing or
too much shows. Sizes are small (`sizes.py`), integers that decide about addresses stay inside (`indices.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from tiledsl.analysis.access import accesses, storage_roots
from tiledsl.cpu.arrays import copy_of, poison, strided
from tiledsl.cpu.binding import Block, Sample, blocks_of, host_value
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.cpu.values import constant
from tiledsl.ir.dtypes import FLOAT8_E8M0, DType, Kind
from tiledsl.ir.nodes import Buffer, Kernel, Var
from tiledsl.validation.indices import index_limits
from tiledsl.validation.sizes import Sizing, choose_sizes

Array = np.ndarray[Any, Any]
MOST_BLOCKS = 6  # of a grid that run; of a larger one, some


@dataclass(frozen=True)
class Inputs:
    """Every argument by name. Only the tensors named in `written` change; `blocks` says which blocks run."""

    values: Mapping[str, Any]
    written: frozenset[str]
    blocks: Sample = blocks_of

    def fresh(self, spare: Mapping[str, Array] | None = None) -> dict[str, Any]:
        """The arguments for one run: copies of what the kernel writes; the rest is shared and cannot be written.

        The copies go into the arrays of `spare`, those of a run that is over: new memory costs more than copying.
        """
        made = dict(self.values)
        for name in self.written:
            made[name] = spare[name] if spare else copy_of(self.values[name])
            if spare:
                made[name][...] = self.values[name]
        return made


def candidates(kernel: Kernel, seed: int = 0) -> Iterator[Inputs]:
    """Arguments to try in turn, the most telling first: a kernel may demand what its IR does not say."""
    seen: list[dict[Var, int | float | bool]] = []
    for sizing in Sizing:
        sizes = choose_sizes(kernel, sizing)
        if sizes not in seen:
            seen.append(sizes)
            for in_order in (False, True):
                yield make_inputs(kernel, sizes, in_order, seed)


def make_inputs(
    kernel: Kernel, sizes: Mapping[Var, int | float | bool], in_order: bool = False, seed: int = 0
) -> Inputs:
    """Arguments for these sizes. Integers that decide about addresses are different ones where there are as many,
    sorted if `in_order`."""
    rng = np.random.default_rng(seed)
    numbers = {v: constant(value, v.dtype) for v, value in sizes.items()}
    limits = index_limits(kernel, numbers)
    read, written = touched(kernel)
    values: dict[str, Any] = {v.name: value for v, value in sizes.items()}
    grids = [tuple(host_value(e, numbers) for e in launch.grid) for launch in kernel.launches]
    sampled = any(list(sample(grid)) != list(blocks_of(grid)) for grid in grids)
    given = [p for p in kernel.params if isinstance(p, Buffer)]
    if sampled and len(grids) > 1:  # a later launch reads scratch that blocks which do not run leave unwritten
        given += [b for b in kernel.scratch if b.name not in {p.name for p in given}]
    for b in given:
        shape = tuple(host_value(e, numbers) for e in b.shape)
        if b in read or b in kernel.scratch:
            array = numbers_of(b.dtype, shape, limits.get(b), in_order, rng)
        else:
            array = np.empty(shape, numpy_dtype(b.dtype))
            poison(array)
        if b.strides is not None:
            array = strided(array, tuple(host_value(e, numbers) for e in b.strides))
        array.flags.writeable = b in written
        values[b.name] = array
    names = frozenset(b.name for b in given if b in written or b in kernel.scratch)
    return Inputs(values, names, sample if sampled else blocks_of)


def numbers_of(
    dtype: DType, shape: tuple[int, ...], limit: int | None, in_order: bool, rng: np.random.Generator
) -> Array:
    """Small integers of `dtype`; from 0 to `limit`, if there is one, and different where there are as many."""
    holder, count = numpy_dtype(dtype), int(np.prod(shape))
    if limit is not None:
        chosen = rng.permutation(limit + 1)[:count] if count <= limit + 1 else rng.integers(0, limit + 1, count)
        return (np.sort(chosen) if in_order else chosen).astype(holder).reshape(shape)
    if dtype is FLOAT8_E8M0:  # powers of two alone
        return np.where(rng.integers(0, 2, shape), 2.0, 1.0).astype(holder)
    match dtype.kind:
        case Kind.BOOL:
            low, high = 0, 1
        case Kind.FLOAT:
            low, high = -2, 2
        case _:
            low, high = max(dtype.int_range[0], -4), 4
    return rng.integers(low, high + 1, shape, np.int8).astype(holder)


def sample(grid: tuple[int, ...]) -> list[Block]:
    """All blocks of a small grid; of a large one the first, the last of the first axis, one in the middle, the last."""
    if int(np.prod(grid)) <= MOST_BLOCKS:
        return list(blocks_of(grid))
    zero, last = (0,) * len(grid), tuple(n - 1 for n in grid)
    chosen = {zero, (last[0], *zero[1:]), tuple(n // 2 for n in grid), last}
    return sorted(chosen, key=lambda block: block[::-1])


def touched(kernel: Kernel) -> tuple[set[Buffer], set[Buffer]]:
    """The global tensors that are read, and those that are written; views count as what they view."""
    read: set[Buffer] = set()
    written: set[Buffer] = set()
    for launch in kernel.launches:
        roots = storage_roots(launch.body)
        for s in launch.body:
            for a in accesses(s):
                buffer = roots.get(a.buffer, a.buffer)
                if a.reads:
                    read.add(buffer)
                if a.writes:
                    written.add(buffer)
    return read, written
