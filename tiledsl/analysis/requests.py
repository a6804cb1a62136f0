"""What the requests of warps cost in memory: wavefronts of shared memory, sectors of global memory.

A request is one access that the lanes of a warp make together: an address (bytes) for each of 32 lanes, and which of
them take part. Shared memory serves 32 banks of 4 bytes in a wavefront; a request wider than 4 bytes a lane goes in
phases of as many lanes as fill 128 bytes (CUDA C++ Best Practices Guide, "Shared Memory"; PTX ISA, "ldmatrix": 8 rows a
matrix). Within a phase lanes that want the same word share it, and different words of one bank take a wavefront each.
Global memory moves sectors of 32 bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tiledsl.ir.frozen import dataclass

Array = np.ndarray[Any, Any]
LANES = 32
BANKS, WORD, SECTOR = 32, 4, 32
NOBODY = -1  # in place of the address of a lane that takes no part


@dataclass(frozen=True, slots=True)
class Cost:
    """`requests` together take `transactions` wavefronts or sectors; `ideal` is the least for the same lanes and bytes.

    The ideal of shared memory is one wavefront for each phase in which a lane takes part, that of global memory the
    sectors that the distinct bytes fill. `bytes` counts every lane.
    """

    requests: int = 0
    transactions: int = 0
    ideal: int = 0
    bytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.requests + other.requests,
            self.transactions + other.transactions,
            self.ideal + other.ideal,
            self.bytes + other.bytes,
        )


def shared_cost(addresses: Array, active: Array, width: int, weights: Array) -> Cost:
    """Of requests at `addresses` (requests, 32) with `width` bytes a lane; each stands for `weights` such requests."""
    patterns, weights = _patterns(addresses, active, weights, WORD)
    words = max(1, width // WORD)
    lanes = min(LANES, BANKS // words)
    phases = patterns.reshape(-1, lanes)
    used = (phases >= 0).any(axis=1)
    phases = phases[used]
    touched = np.where(phases[:, :, None] >= 0, phases[:, :, None] // WORD + np.arange(words), NOBODY)
    touched = touched.reshape(len(phases), lanes * words)
    needed = _most_in_a_bank(touched)
    of_phase = np.repeat(weights, LANES // lanes)[used]
    return Cost(
        int(weights.sum()),
        int((needed * of_phase).sum()),
        int(of_phase.sum()),
        int(((patterns >= 0).sum(axis=1) * weights).sum()) * width,
    )


def _most_in_a_bank(words: Array) -> Array:
    """For each row of word numbers (or NOBODY) the most distinct words that fall in one bank."""
    words = np.sort(words, axis=1)
    new = words >= 0
    new[:, 1:] &= words[:, 1:] != words[:, :-1]
    place = (words % BANKS + np.arange(len(words))[:, None] * BANKS)[new]
    counts: Array = np.bincount(place, minlength=len(words) * BANKS).reshape(len(words), BANKS)
    return np.asarray(counts.max(axis=1, initial=0))


def global_cost(addresses: Array, active: Array, width: int, weights: Array) -> Cost:
    """The same of global memory, with addresses relative to the buffer's first byte."""
    patterns, weights = _patterns(addresses, active, weights, SECTOR)
    ends = np.where(patterns >= 0, (patterns + width - 1) // SECTOR, NOBODY)
    starts = np.where(patterns >= 0, patterns // SECTOR, NOBODY)
    sectors = _distinct(np.concatenate([starts, ends], axis=1))
    least = -(-_distinct(patterns) * width // SECTOR)
    return Cost(
        int(weights.sum()),
        int((sectors * weights).sum()),
        int((least * weights).sum()),
        int(((patterns >= 0).sum(axis=1) * weights).sum()) * width,
    )


def _distinct(values: Array) -> Array:
    """How many different values (NOBODY left out) each row has."""
    ordered = np.sort(values, axis=1)
    new = ordered >= 0
    new[:, 1:] &= ordered[:, 1:] != ordered[:, :-1]
    return np.asarray(new.sum(axis=1))


# Random odd multipliers, to tell rows apart by one number.
_MULTIPLIERS = np.random.default_rng(0).integers(1, 1 << 62, LANES) | 1


def _patterns(addresses: Array, active: Array, weights: Array, unit: int) -> tuple[Array, Array]:
    """The requests up to a shift by multiples of `unit`, which changes no cost: each once, with its total weight."""
    some = active.any(axis=1)
    addresses, active, weights = addresses[some], active[some], weights[some]
    first = np.where(active, addresses, np.iinfo(np.int64).max).min(axis=1, initial=np.iinfo(np.int64).max)
    moved = np.where(active, addresses - first[:, None] // unit * unit, NOBODY)
    with np.errstate(over="ignore"):
        keys = ((moved + 1) * _MULTIPLIERS).sum(axis=1)
    _, where, which = np.unique(keys, return_index=True, return_inverse=True)
    totals = np.zeros(len(where), np.int64)
    np.add.at(totals, which, weights)
    return moved[where], totals
