"""How many registers the threads of each role get."""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.ir.concurrent import WARPGROUP
from tiledsl.passes.warp_specialise.fills import CP_ASYNC, ENGINE, REGISTERS


@dataclass(frozen=True, slots=True)
class Budget:
    """Registers of a thread of each role (0: as launched)."""

    producer: int = 0
    consumer: int = 0


AS_LAUNCHED = Budget()
# By the number of consumer warpgroups: 504 or 512 registers to a thread of each warpgroup, see `budget`.
_BUDGETS = {
    ENGINE: {2: Budget(24, 240), 3: Budget(24, 160)},
    CP_ASYNC: {2: Budget(56, 224), 3: Budget(56, 152)},
    REGISTERS: {2: Budget(88, 208), 3: Budget(104, 136)},
}


def budget(consumers: int, ways: frozenset[str]) -> Budget:
    """algorithms.md C.9: the pool of registers is what the block was launched with, so the producer gives its own; it
    keeps addresses where its threads start copies themselves, and what is on the way where that is in registers."""
    needs_most = next((way for way in (REGISTERS, CP_ASYNC) if way in ways), ENGINE)
    return _BUDGETS[needs_most].get(consumers // WARPGROUP, AS_LAUNCHED)
