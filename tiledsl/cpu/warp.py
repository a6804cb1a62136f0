"""Exchange between the lanes of a warp: shuffles and votes. Threads are the last axis of the domain."""

from __future__ import annotations

from typing import Any

import numpy as np

from tiledsl.cpu.lockstep import Lockstep
from tiledsl.cpu.values import Value
from tiledsl.errors import error

Array = np.ndarray[Any, Any]
SIZE = 32


def exchange(m: Lockstep, fn: str, args: list[Value]) -> Value:
    """The value of `fn` for each lane; the whole warp takes part. A lane without source keeps its own value.

    Raises TileError TD0811 for a divergent warp, TD0832 where a shuffle reads from a thread that the block has not,
    TD0834 where a value that is said to be the same in a warp is not.
    """
    if fn == "warp_sync":
        return _meet(m, args[0])
    require_whole_warps(m, fn)
    if fn in ("warp_any", "warp_all"):
        return _vote(m, fn, args[0])
    if fn in ("warp_ballot", "warp_match"):
        return _which(m, fn, args[0])
    if fn == "warp_uniform":
        return _uniform(m, args[0])
    value, operand = m.full(args[0]), m.full(args[1]).astype(np.int64)
    thread = np.arange(m.domain[-1])
    lane, base = thread % SIZE, thread - thread % SIZE
    match fn:
        case "shfl_xor":
            source = base + ((lane ^ operand) % SIZE)
        case "shfl_up":
            source = np.where(lane >= operand, thread - operand, thread)
        case "shfl_down":
            source = np.where(lane + operand < SIZE, thread + operand, thread)
        case _:
            source = base + operand % SIZE
    last = m.domain[-1] - 1
    missing = source > last if m.mask is None else (source > last) & m.full(m.mask)
    if m.check and missing.any():
        at = tuple(int(i) for i in np.argwhere(missing)[0])
        raise error("TD0832", lane=at[-1] % SIZE, source=int(source[at]) % SIZE, where=m.name_lane(at))
    return np.take_along_axis(value, np.minimum(source, last), -1)


def _meet(m: Lockstep, lanes: Value) -> Value:
    """Nobody is waited for: lanes are in step. Raises TileError TD0811 unless those that are named are those there."""
    on = np.ones(m.domain, bool) if m.mask is None else m.full(m.mask)
    named = m.full(lanes).astype(np.int64) >> np.arange(m.domain[-1]) % SIZE & 1 == 1
    anybody = np.repeat(np.logical_or.reduceat(on, _first_lanes(m), axis=-1), SIZE, axis=-1)[..., : m.domain[-1]]
    wrong = anybody & (on != named)
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        what = "a sync_warp whose mask names other lanes than are there"
        raise error("TD0811", what=what, where=m.name_lane(at))
    return lanes


def _vote(m: Lockstep, fn: str, value: Value) -> Array:
    votes = m.full(value)
    reduce = np.logical_or if fn == "warp_any" else np.logical_and
    result = np.repeat(reduce.reduceat(votes, _first_lanes(m), axis=-1), SIZE, axis=-1)[..., : m.domain[-1]]
    return result.astype(votes.dtype)


def _which(m: Lockstep, fn: str, value: Value) -> Array:
    """The lanes for which `value` holds, or has what this lane has, as the bits of an int32."""
    values = m.full(value)
    threads = m.domain[-1]
    lane = np.arange(threads) % SIZE
    result: Array = np.zeros(m.domain, np.uint32)
    for bit in range(SIZE):
        source = np.arange(threads) - lane + bit
        theirs = np.take(values, np.minimum(source, threads - 1), -1)
        holds = (theirs if fn == "warp_ballot" else theirs == values) & (source < threads)
        result |= np.where(holds, np.uint32(1 << bit), np.uint32(0))
    return result.view(np.int32)


def _uniform(m: Lockstep, value: Value) -> Array:
    """The value of the first lane, which is that of all."""
    values = m.full(value)
    first = np.repeat(values[..., _first_lanes(m)], SIZE, axis=-1)[..., : m.domain[-1]]
    other = values != first if m.mask is None else (values != first) & m.full(m.mask)
    if m.check and other.any():
        at = tuple(int(i) for i in np.argwhere(other)[0])
        raise error("TD0834", lane=at[-1] % SIZE, found=values[at], first=first[at], where=m.name_lane(at))
    return first


def _first_lanes(m: Lockstep) -> Array:
    return np.arange(0, m.domain[-1], SIZE)


def require_whole_warps(m: Lockstep, what: str) -> None:
    """Raises TileError TD0811 where some threads of a warp are on and some are off."""
    if m.mask is None:
        return
    on, first = m.full(m.mask), _first_lanes(m)
    split = np.logical_or.reduceat(on, first, axis=-1) & ~np.logical_and.reduceat(on, first, axis=-1)
    if split.any():
        *block, warp = (int(i) for i in np.argwhere(split)[0])
        raise error("TD0811", what=what, where=m.name_lane((*block, warp * SIZE)))
