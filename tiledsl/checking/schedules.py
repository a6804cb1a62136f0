"""The schedules of a check: a fixed sequence, so that a check finds the same things every time."""

from __future__ import annotations

from dataclasses import dataclass

MODES = ("early", "late", "random")
ORDERS = ("fifo", "reverse", "random")


@dataclass(frozen=True, slots=True)
class Schedule:
    """When asynchronous copies deliver (`mode`), which ready thread goes on (`order`), the seed of what is random."""

    mode: str
    order: str
    seed: int

    def __str__(self) -> str:
        words = [self.mode] if not self.order else [self.mode, self.order]
        return "/".join(words) + (f", seed {self.seed}" if "random" in words else "")


def schedules(count: int, seed: int = 0, *, ordered: bool = True) -> tuple[Schedule, ...]:
    """The first `count` of the sequence: each pair of mode and order once, then those that a seed changes, again and
    again with a new seed. A longer sequence begins with the shorter one.

    Not `ordered`: executions in lockstep have one order, so only the modes differ, and a count beyond 2 is more seeds.
    """
    orders = ORDERS if ordered else ("",)
    # Down the diagonals, so that already three schedules have every mode and every order.
    pairs = [(MODES[i], orders[(i + d) % len(orders)]) for d in range(len(orders)) for i in range(len(MODES))]
    again = [pair for pair in pairs if "random" in pair]
    chosen = [*pairs, *(again[i % len(again)] for i in range(max(0, count - len(pairs))))]
    return tuple(Schedule(mode, order, seed + i) for i, (mode, order) in enumerate(chosen[:count]))
