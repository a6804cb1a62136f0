"""What to watch in launches of a checked module: counters of memory requests, the record of one block."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tiledsl.cpu import counters, record
from tiledsl.cpu.counters import Counters
from tiledsl.cpu.record import Record

COPY_TICKS = 64  # how long a copy takes in the record, if nothing else is asked for


@dataclass
class Observation:
    """What to watch, and by the name of each `__global__` function that was launched, what was seen.

    `count` asks for counters, `block` for the record of that block (of every launch whose grid has it), in which an
    asynchronous copy takes `latency` ticks.
    """

    count: bool = True
    block: tuple[int, int, int] | None = None
    latency: int = COPY_TICKS
    counters: dict[str, Counters] = field(default_factory=dict)
    records: dict[str, Record] = field(default_factory=dict)

    def number_of_block(self, grid: Sequence[int]) -> int:
        """Of the block to record in a grid; -1 for none."""
        if self.block is None or any(not 0 <= b < g for b, g in zip(self.block, grid, strict=True)):
            return -1
        x, y, z = self.block
        return (z * grid[1] + y) * grid[0] + x

    def saw(self, kernel: str, threads: int, table: str, events: str) -> None:
        """Takes the runtime's texts of one launch."""
        if self.count:
            before = self.counters.get(kernel, Counters(()))
            self.counters[kernel] = counters.counters((*before.rows, *counters.parse(table).rows))
        if self.block is not None and events:
            self.records[kernel] = record.parse(
                events, kernel=kernel, block=self.block, threads=threads, latency=self.latency
            )
