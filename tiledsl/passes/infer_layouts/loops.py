"""Layouts of Parallel loops: candidates from the fragments that a loop uses, their check, and what they demand of the
fragments that have no layout yet (algorithms.md B.5).

A candidate from an instruction-like index pattern (each index one loop variable) is found by moving digits; any other
pattern goes through tables and `recover_fragment`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from tiledsl.analysis.layout_tables import (
    contains,
    is_subset,
    owner_bits,
    reg_table,
    same_owners,
    thread_table,
)
from tiledsl.analysis.loop_access import LoopAccess
from tiledsl.ir.layout import Digit, Fragment, fully_replicated, partition
from tiledsl.ir.layout_ops import canonical, expand_dim, permute_dims, reduce_dim, same_map, separable_partition
from tiledsl.ir.nodes import Buffer, Var, static_shape
from tiledsl.ir.recover import recover_fragment

Fragments = Mapping[Buffer, Fragment]
WARP = 32


@dataclass(frozen=True, slots=True)
class Misfit:
    """A loop layout and the layout of a fragment that the loop accesses do not go together."""

    access: LoopAccess
    loop: Fragment


# ----------------------------------------------------------------------------------------------- loop from fragment


def loop_from_fragment(f: Fragment, access: LoopAccess) -> Fragment | None:
    """The loop layout that runs each point on the threads that hold the element it accesses. None if there is none."""
    extents = access.extents
    if access.is_identity and prod(extents) == prod(f.shape):
        return canonical(Fragment(extents, f.threads, f.regs))
    if access.dims is not None:
        return _expanded(f, access.dims, extents)
    elements = access.elements
    if elements.shape[1] > 1:
        owners = owner_bits(f)[elements]
        if (owners != owners[:, :1]).any():
            return None
    return _from_threads(extents, thread_table(f)[elements[:, 0]])


def _expanded(f: Fragment, dims: Sequence[int | None], extents: tuple[int, ...]) -> Fragment | None:
    walked = [d for d in dims if d is not None]
    f = Fragment(tuple(extents[d] for d in walked), f.threads, f.regs)
    order = sorted(range(len(walked)), key=walked.__getitem__)
    loop = permute_dims(f, order)
    for dim, extent in enumerate(extents):
        if loop is not None and dim not in walked:
            loop = expand_dim(loop, dim, extent)
    return loop


def _from_threads(shape: Sequence[int], threads: Any) -> Fragment | None:
    """The fragment whose element e is held by the threads of row e, in registers numbered in row-major order."""
    order = np.argsort(threads[:, 0], kind="stable")
    first = np.searchsorted(threads[order, 0], threads[order, 0])
    regs = np.empty(len(order), np.int64)
    regs[order] = np.arange(len(order)) - first
    return recover_fragment(shape, threads.T.tolist(), regs.tolist())


# ------------------------------------------------------------------------------------------------------ plain plans


def plans(extents: tuple[int, ...], threads: int, width: int, exact: bool) -> Iterator[Fragment]:
    """Loop layouts made up for a loop: runs of `width` dealt to the threads in turn, rows dealt to warps, and others.

    `exact` asks for layouts without positions past the end, as fragments need them.
    """
    total = prod(extents)
    if not exact:
        yield _least_padded(extents, threads, width)
        return
    flat = width
    while flat > 1 and total % (threads * flat):
        flat //= 2
    if total % (threads * flat) == 0:
        yield canonical(partition(extents, threads, flat))
    elif threads % total == 0:
        yield canonical(Fragment(extents, (Digit(threads // total, 0), Digit(total, 1)), ()))
    widths = [w for w in (1 << b for b in reversed(range(width.bit_length()))) if extents[-1] % w == 0]
    for lanes in (WARP, threads):
        for w in widths:
            yield separable_partition(extents, threads, w, lanes)


def _least_padded(extents: tuple[int, ...], threads: int, width: int) -> Fragment:
    """The partition of width or a power of two below it with the least padded work; the wider on a tie."""
    total = prod(extents)
    widths = [w for w in (1 << b for b in range(width.bit_length())) if width % w == 0]
    best = min(widths, key=lambda w: (-(-total // (threads * w)) * threads * w, -w))
    return canonical(partition(extents, threads, best))


def loop_by_element(accesses: Sequence[LoopAccess], threads: int) -> Fragment | None:
    """For a loop of which several points write one element of a fragment: these points all on the element's threads.

    None where there is no such access, each element is written once.
    """
    for a in accesses:
        if a.writes and a.dims is not None:
            walked = [d for d in a.dims if d is not None]
            if any(e > 1 and d not in walked for d, e in enumerate(a.extents)):
                return loop_from_fragment(next(plans(static_shape(a.buffer), threads, 1, True)), a)
    return None


# ------------------------------------------------------------------------------------------------ fragment from loop


def fragment_from_loop(loop: Fragment, accesses: Sequence[LoopAccess]) -> Fragment | None:
    """The layout of a fragment that lets every point of the loop find its elements in its own thread.

    `accesses` are those of one buffer. A fragment that is only read and fits no digits is held by every thread; None
    if a written one fits none, or if points of different threads would write the same element.
    """
    shape = static_shape(accesses[0].buffer)
    written = [a for a in accesses if a.writes]
    patterns = {a.indices for a in accesses}
    found: Fragment | None = None
    if len(patterns) == 1 and accesses[0].dims is not None:
        found = _projected(loop, accesses[0].dims, shape)
    if found is None:
        found = _from_union(loop, accesses, shape)
    if found is not None and all(_fits(loop, found, a) for a in accesses):
        return found
    return None if written else fully_replicated(shape, loop.num_threads)


def _projected(loop: Fragment, dims: Sequence[int | None], shape: tuple[int, ...]) -> Fragment | None:
    walked = [d for d in dims if d is not None]
    f: Fragment | None = loop
    for dim in reversed(range(len(loop.shape))):
        if f is not None and dim not in walked:
            f = reduce_dim(f, dim)
    if f is None:
        return None
    ranked = sorted(walked)
    f = permute_dims(f, [ranked.index(d) for d in walked])
    return None if f is None else canonical(Fragment(shape, f.threads, f.regs))


def _from_union(loop: Fragment, accesses: Sequence[LoopAccess], shape: tuple[int, ...]) -> Fragment | None:
    """By tables: an element is held by all threads that execute a point which accesses it."""
    executes = owner_bits(loop)
    owners = np.zeros((prod(shape), executes.shape[1]), np.uint64)
    for a in accesses:
        for column in a.elements.T:
            np.bitwise_or.at(owners, column, executes)
    flags = np.unpackbits(owners.view(np.uint8), axis=1, bitorder="little")[:, : loop.num_threads]
    counts = flags.sum(axis=1)
    if counts.min() == 0 or (counts != counts[0]).any():
        return None
    return _from_threads(shape, np.nonzero(flags)[1].reshape(len(flags), -1))


def fragment_of_part(accesses: Sequence[LoopAccess], threads: int) -> Fragment | None:
    """A layout for a fragment of which a loop writes only a part, so that its threads say nothing of the rest.

    The dimensions that the loop walks whole are dealt to the threads; the others lie in registers, where any part can
    be. None for fragments that are written whole, or only read.
    """
    (access, *others), shape = accesses, static_shape(accesses[0].buffer)
    if others or not access.writes or len(np.unique(access.elements)) == prod(shape):
        return None
    extents = dict(zip(access.vars, access.extents))
    whole = [isinstance(i, Var) and extents.get(i) == n for i, n in zip(access.indices, shape)]
    kept = tuple(n for n, w in zip(shape, whole) if w)
    if not kept:
        return fully_replicated(shape, threads)
    f: Fragment | None = next(plans(kept, threads, 1, True))
    for dim, n in enumerate(shape):
        if f is not None and not whole[dim]:
            f = expand_dim(f, dim, n)
    return f


# ------------------------------------------------------------------------------------------------------------ check


def misfit(loop: Fragment, fragments: Fragments, accesses: Sequence[LoopAccess]) -> Misfit | None:
    """The first access that the loop layout cannot make: a read by a thread that does not hold the element, or a
    write by other threads than exactly those that hold it. Accesses of fragments not in `fragments` fit.
    """
    for a in accesses:
        f = fragments.get(a.buffer)
        if f is not None and not _fits(loop, f, a):
            return Misfit(a, loop)
    return None


def _fits(loop: Fragment, f: Fragment, a: LoopAccess) -> bool:
    if loop.num_threads != f.num_threads:
        return False
    if not a.writes and f.replication == f.num_threads:
        return True
    if a.is_identity and prod(loop.shape) == prod(f.shape):
        at = Fragment(f.shape, loop.threads, loop.regs)
        return same_owners(f, at) if a.writes else contains(f, at)
    if a.dims is not None:
        at_ = _projected(loop, a.dims, f.shape)
        if at_ is not None:
            if not a.writes:
                return contains(f, at_)
            # More replicas than the loop has: points of different threads write one element.
            return at_.replication == loop.replication and same_owners(f, at_)
    executes, owners = owner_bits(loop), owner_bits(f)
    for column in a.elements.T:
        if not is_subset(executes, owners[column]):
            return False
        if a.writes and not is_subset(owners[column], executes):
            return False
    return True


def registers_are_static(loop: Fragment, f: Fragment, a: LoopAccess) -> bool:
    """Whether the register that a point accesses follows from the loop's register alone, not from the thread.

    Otherwise the registers are indexed at run time, which puts them into local memory.
    """
    if a.is_identity and same_map(Fragment(f.shape, loop.threads, loop.regs), f):
        return True
    own, accessed = reg_table(loop), reg_table(f)[a.elements]
    first = np.zeros((loop.num_regs, accessed.shape[1]), np.int64)
    first[own] = accessed
    return bool((first[own] == accessed).all())
