"""A named barrier of a block (bar.sync, bar.arrive), as both NumPy executions have it. Source: PTX ISA, "bar".

It counts threads that arrive; those that wait there go on when a phase ends. Who has waited knows what all knew who
arrived in the phase, as at an mbarrier (`mbarrier.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.errors import Span, error


@dataclass(slots=True)
class NamedBarrier:
    """`phase` is in progress, for `count` threads (0: nobody has arrived), of which `threads` have arrived, as bits.

    `knowledge` is what these know; `known` and `ordered` what all knew and who all were in phases that have ended.
    """

    number: int
    count: int = 0
    phase: int = 0
    threads: int = 0
    knowledge: int = 0
    known: int = 0
    ordered: int = 0

    def __str__(self) -> str:
        return f"barrier {self.number} ({self.threads.bit_count()} of {self.count} threads are there)"

    def arrive(self, threads: int, count: int, where: str, knowledge: int) -> None:
        """Raises TileError TD0835 if one of the threads is there already, TD0831 if their numbers do not fit."""
        if self.threads & threads:
            raise error("TD0835", barrier=self.number, where=where)
        before = self.threads.bit_count()
        if self.count not in (0, count) or before + threads.bit_count() > count:
            first = f"barrier {self.number} for {self.count} threads, where {before} are"
            second = f"an arrival of {threads.bit_count()} at it for {count}"
            raise error("TD0831", first=first, second=second, where=where)
        self.count, self.threads, self.knowledge = count, self.threads | threads, self.knowledge | knowledge
        if self.threads.bit_count() == count:
            self.known, self.ordered = self.known | self.knowledge, self.ordered | self.threads
            self.phase += 1
            self.count = self.threads = self.knowledge = 0

    def require_ended(self, span: Span) -> None:
        """At the end of the block. Raises TileError TD0836 in the middle of a phase."""
        if self.threads:
            arrived = self.threads.bit_count()
            raise error("TD0836", span, barrier=self.number, arrived=arrived, count=self.count)
