"""A barrier in shared memory ("mbarrier"), as both NumPy executions have it. Source: PTX ISA, "mbarrier".

Phases are counted from 0 here; hardware tells them apart by their parity only, so nobody may be two phases behind.

What an agent *knows* is a set of bulk copies, as bits of an integer: those of which it has learned that they have
arrived. Whoever arrives at a barrier hands over what he knows, a copy that completes on the barrier hands over itself;
whoever has waited for the phase knows all that. Without knowing the last copy into a place nobody may use the place:
so who forgets to wait is found under any schedule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tiledsl.errors import error


@dataclass(slots=True)
class Mbarrier:
    """`count` arrivals complete a phase (0: not initialised); `phase` is in progress, `pending` arrivals and `bytes`
    are what it lacks. `knowledge` and `threads` are what those hand over who arrived in it (see the module's text) and
    who they are; `known` and `ordered` the same of all phases that have ended. `made` is known to those who know that
    the barrier is initialised, if other blocks may arrive."""

    name: str
    count: int = 0
    phase: int = 0
    pending: int = 0
    bytes: int = 0
    knowledge: int = 0
    threads: int = 0
    known: int = 0
    ordered: int = 0
    made: int = 0
    landings: list[tuple[int, Callable[[], None]]] = field(default_factory=list)

    def initialise(self, count: int, where: str) -> None:
        if self.count:
            raise error("TD0844", barrier=self.name, state=self.state, where=where)
        self.count = self.pending = count

    def require_initialised(self, what: str, where: str) -> None:
        if not self.count:
            raise error("TD0840", what=what, barrier=self.name, where=where)

    @property
    def state(self) -> str:
        missing = f"{self.pending} of {self.count} arrivals and {self.bytes} bytes missing"
        return f"phase {self.phase}, {missing}"

    @property
    def in_use(self) -> bool:
        """Whether the phase in progress has begun."""
        return self.pending != self.count or self.bytes != 0

    def has_ended(self, parity: int) -> bool:
        """What a wait of that parity asks."""
        return (self.phase & 1) != (parity & 1)

    def arrive(self, times: int, where: str, knowledge: int = 0, threads: int = 0) -> None:
        if times > self.pending:
            raise error(
                "TD0841", barrier=self.name, arrivals=times, pending=self.pending, count=self.count, where=where
            )
        self.knowledge |= knowledge
        self.threads |= threads
        self.pending -= times
        self._end_phase()

    def expect(self, count: int) -> None:
        self.bytes += count

    def deliver(
        self, count: int, knowledge: int, land: Callable[[], None] | None, where: str, *, far: bool = False
    ) -> None:
        """A copy brings its bytes; what it still has to do is done for the first one who waits for this phase.

        From `far`, a block of the cluster, they may come before this block expects them, but not without an arrival.
        """
        if count > self.bytes and not (far and self.pending):
            raise error("TD0858", barrier=self.name, bytes=count, expected=self.bytes, where=where)
        self.knowledge |= knowledge
        if land is not None:
            self.landings.append((self.phase, land))
        self.bytes -= count
        self._end_phase()

    def _end_phase(self) -> None:
        if self.pending or self.bytes:
            return
        self.phase += 1
        self.pending = self.count
        self.known |= self.knowledge
        self.ordered |= self.threads
        self.knowledge = self.threads = 0

    def land(self) -> None:
        """Has the copies of the phases that have ended write their data."""
        for phase, land in self.landings:
            if phase < self.phase:
                land()
        self.landings = [x for x in self.landings if x[0] >= self.phase]
