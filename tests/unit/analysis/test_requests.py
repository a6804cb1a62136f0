"""Costs of requests: patterns with figures made by hand, and the definition written down a second time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tiledsl.analysis.requests import Cost, global_cost, shared_cost

LANES = np.arange(32)
EVERYONE = np.ones(32, bool)


def one(count: Any, addresses: Any, width: int, active: Any = EVERYONE, weight: int = 1) -> Cost:
    cost: Cost = count(np.asarray(addresses)[None], np.asarray(active)[None], width, np.array([weight]))
    return cost


@pytest.mark.parametrize(
    ("addresses", "width", "needed", "ideal"),
    [
        (LANES * 4, 4, 1, 1),
        (LANES * 0, 4, 1, 1),  # a broadcast
        (LANES * 4 * 32, 4, 32, 1),  # one bank
        (LANES * 4 * 33, 4, 1, 1),  # padded by a word
        (LANES * 4 * 2, 4, 2, 1),
        (LANES * 2, 2, 1, 1),  # two lanes a word
        (LANES * 1, 1, 1, 1),
        (LANES * 8, 8, 2, 2),  # 16 lanes a phase
        (LANES * 16, 16, 4, 4),  # 8 lanes a phase
        (LANES * 128, 16, 32, 4),  # rows of 128 bytes without a swizzle: 8 lanes of a phase on 4 banks
        (LANES * 128 + (LANES % 8) * 16, 16, 4, 4),  # with one
        (LANES // 8 * 16, 16, 4, 4),  # a broadcast in each phase
    ],
)
def test_wavefronts(addresses: Any, width: int, needed: int, ideal: int) -> None:
    assert one(shared_cost, addresses, width) == Cost(1, needed, ideal, 32 * width)
    # The banks turn with the start.
    assert one(shared_cost, addresses + 4 * 7 * max(1, width // 4), width).transactions == needed


@pytest.mark.parametrize(
    ("addresses", "width", "sectors", "ideal"),
    [
        (LANES * 4, 4, 4, 4),
        (LANES * 4 + 16, 4, 5, 4),  # starts in the middle of a sector
        (LANES * 4 * 32, 4, 32, 4),
        (LANES * 0, 4, 1, 1),
        (LANES * 16, 16, 16, 16),
        (LANES * 2, 2, 2, 2),
        (LANES // 4 * 256 + LANES % 4 * 4, 4, 8, 4),  # the rows of an mma's result
    ],
)
def test_sectors(addresses: Any, width: int, sectors: int, ideal: int) -> None:
    assert one(global_cost, addresses, width) == Cost(1, sectors, ideal, 32 * width)


def test_lanes_that_take_no_part_cost_nothing() -> None:
    assert one(shared_cost, LANES * 128, 4, LANES < 3) == Cost(1, 3, 1, 12)
    assert one(shared_cost, LANES * 16, 16, LANES % 8 == 0) == Cost(1, 4, 4, 64), "each is alone in its phase"
    assert one(global_cost, LANES * 32, 4, LANES < 3) == Cost(1, 3, 1, 12)
    assert one(shared_cost, LANES, 4, LANES < 0) == Cost(), "nobody: no request"


def test_weights_multiply() -> None:
    assert one(shared_cost, LANES * 8, 4, weight=10) == Cost(10, 20, 10, 1280)


def wavefronts_as_defined(addresses: Any, active: Any, width: int) -> tuple[int, int]:
    words, needed, ideal = max(1, width // 4), 0, 0
    for first in range(0, 32, min(32, 32 // words)):
        banks: dict[int, set[int]] = {}
        for lane in range(first, first + min(32, 32 // words)):
            for w in range(words) if active[lane] else ():
                word = int(addresses[lane]) // 4 + w
                banks.setdefault(word % 32, set()).add(word)
        needed += max(map(len, banks.values()), default=0)
        ideal += bool(banks)
    return needed, ideal


@pytest.mark.parametrize("width", [1, 2, 4, 8, 16])
def test_random_requests_as_defined(width: int) -> None:
    rng = np.random.default_rng(width)
    addresses = rng.integers(0, 200, (300, 32)) * width
    active = rng.random((300, 32)) < rng.random((300, 1))
    some = active.any(axis=1)
    expected = [wavefronts_as_defined(a, on, width) for a, on in zip(addresses, active)]
    cost = shared_cost(addresses, active, width, np.ones(300, int))
    assert (cost.transactions, cost.ideal) == tuple(map(sum, zip(*expected)))
    assert (cost.requests, cost.bytes) == (some.sum(), active.sum() * width)
    sectors = [len({int(x) // 32 for x in a[on]}) for a, on in zip(addresses, active)]
    assert global_cost(addresses, active, width, np.ones(300, int)).transactions == sum(sectors)
