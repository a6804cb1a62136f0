"""Exchange between the lanes of a warp: shuffles and votes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tiledsl.cpu.values import Value
from tiledsl.errors import error

if TYPE_CHECKING:
    from tiledsl.cpu.interp import Machine

Array = np.ndarray[Any, Any]
SIZE = 32


def exchange(m: Machine, fn: str, args: list[Value], thread: Array) -> Value:
    """The value of `fn` for each lane; the whole warp takes part. A lane without source keeps its own value."""
    if fn in ("warp_any", "warp_all"):
        return vote(m, fn, args[0])
    value, operand = m.full(args[0]), m.full(args[1]).astype(np.int64)
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
    source = np.broadcast_to(source, m.domain)
    last = m.domain[1] - 1
    missing = source > last if m.mask is None else (source > last) & m.full(m.mask)
    if m.check and missing.any():
        block, at = (int(i) for i in np.argwhere(missing)[0])
        found = int(source[block, at]) % SIZE
        raise error("TD0832", lane=at % SIZE, source=found, where=m.name_lane((block, at)))
    return np.take_along_axis(value, np.minimum(source, last), 1)


def vote(m: Machine, fn: str, value: Value) -> Array:
    votes = m.full(value)
    edges = np.arange(0, m.domain[1], SIZE)
    reduce = np.logical_or if fn == "warp_any" else np.logical_and
    result = np.repeat(reduce.reduceat(votes, edges, axis=1), SIZE, axis=1)[:, : m.domain[1]]
    return result.astype(votes.dtype)
