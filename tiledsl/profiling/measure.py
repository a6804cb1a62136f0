"""The loop of a measurement: warm-up, repetitions with a cold cache, short kernels from a graph."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tiledsl.errors import TileError, error
from tiledsl.runtime.timing import Stopwatch

GRAPH_BELOW = 0.06  # milliseconds: a launch from Python costs a tenth of it
_ESTIMATES = 5
_MOST, _LEAST = 10_000, 3  # repetitions
_ROUNDS = 16  # launches of a graph


@dataclass(frozen=True, slots=True)
class Plan:
    """How to measure.

    warmup, rep: milliseconds that are run before, and measured; `n_warmup`, `n_repeat` say how often instead.
    l2_flush: before each repetition, on a GPU, other memory is written until nothing is left in its L2 cache.
    graph: launch from a CUDA graph, in which the host is out of the way; None: kernels below 0.06 ms.
    """

    warmup: float = 25.0
    rep: float = 100.0
    n_warmup: int | None = None
    n_repeat: int | None = None
    l2_flush: bool = True
    graph: bool | None = None

    def __post_init__(self) -> None:
        for name, least in (("warmup", 0), ("rep", 0), ("n_warmup", 0), ("n_repeat", 1)):
            given = getattr(self, name)
            if given is not None and not given >= least:
                raise error("TD0634", what=name, expected=f"a number from {least}", given=given)


@dataclass(frozen=True, slots=True)
class Samples:
    """Milliseconds of one run each, in the order in which they were measured."""

    milliseconds: tuple[float, ...]
    warmup: int
    graph: bool
    flushed: bool
    note: str = ""


def measured(watch: Stopwatch, run: Callable[[], object], plan: Plan) -> Samples:
    """Run once for what only the first run does, estimate, warm up, measure."""
    flush = plan.l2_flush and watch.graphs
    run()
    watch.synchronize()
    own, whole = _estimate(watch, run, flush)
    warmup = _times(plan.warmup, whole, plan.n_warmup, 0 if plan.warmup == 0 else 1)
    repeat = _times(plan.rep, whole, plan.n_repeat, _LEAST)
    wanted = own < GRAPH_BELOW if plan.graph is None else plan.graph
    note = ""
    if wanted and watch.graphs:
        try:
            return Samples(_from_graph(watch, run, flush, warmup, repeat), warmup, True, flush)
        except TileError as problem:
            if plan.graph:
                raise
            note = f"not from a graph: {problem.message}"
    for _ in range(warmup):
        run()
    return Samples(_one_by_one(watch, run, flush, repeat), warmup, False, flush, note)


def _times(budget: float, each: float, given: int | None, least: int) -> int:
    if given is not None:
        return given
    return max(least, min(_MOST, int(budget / each) if each > 0 else _MOST))


def _estimate(watch: Stopwatch, run: Callable[[], object], flush: bool) -> tuple[float, float]:
    """Milliseconds of a run, and of a repetition with all that belongs to it: the least, and the mean, of a few."""
    first, last = watch.event(), watch.event()
    watch.record(first)
    own = _one_by_one(watch, run, flush, _ESTIMATES)
    watch.record(last)
    watch.synchronize()
    return min(own), watch.milliseconds(first, last) / _ESTIMATES


def _one_by_one(watch: Stopwatch, run: Callable[[], object], flush: bool, repeat: int) -> tuple[float, ...]:
    pairs = [(watch.event(), watch.event()) for _ in range(repeat)]
    for start, end in pairs:
        if flush:
            watch.flush()
        watch.record(start)
        run()
        watch.record(end)
    watch.synchronize()
    return tuple(watch.milliseconds(start, end) for start, end in pairs)


def _from_graph(
    watch: Stopwatch, run: Callable[[], object], flush: bool, warmup: int, repeat: int
) -> tuple[float, ...]:
    """A graph of some rounds, launched until there are enough.

    With a cold cache each run is between two events of its own, else all are between two, which then cost nothing."""
    rounds = min(_ROUNDS, repeat)
    events = [(watch.event(), watch.event()) for _ in range(rounds if flush else 1)]

    def work() -> None:
        for start, end in events:
            if flush:
                watch.flush()
            watch.record(start, in_graph=True)
            for _ in range(1 if flush else rounds):
                run()
            watch.record(end, in_graph=True)

    if flush:
        watch.flush()  # it allocates, which a graph cannot
    launch = watch.captured(work)
    for _ in range(-(-warmup // rounds)):
        launch()
    found: list[float] = []
    while len(found) * (1 if flush else rounds) < repeat:
        launch()
        watch.synchronize()
        found += [watch.milliseconds(start, end) / (1 if flush else rounds) for start, end in events]
    return tuple(found[:repeat])


@dataclass
class HostWatch:
    """The clock of the host, for what runs on the CPU."""

    clock: Callable[[], float] = time.perf_counter
    stream: int = 0
    graphs: bool = field(default=False, init=False)

    def event(self) -> Any:
        return [0.0]

    def record(self, event: Any, *, in_graph: bool = False) -> None:
        event[0] = self.clock()

    def milliseconds(self, start: Any, end: Any) -> float:
        return float(end[0] - start[0]) * 1e3

    def flush(self) -> None:
        raise NotImplementedError("caches of the host are left alone")

    def synchronize(self) -> None:
        pass

    def captured(self, work: Callable[[], None]) -> Callable[[], None]:
        raise NotImplementedError("the host has no graphs")
