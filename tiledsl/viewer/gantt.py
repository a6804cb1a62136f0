"""Pipelined loops as charts: which statement works on which iteration when, what is in flight, what each version holds.

Time is counted in slots: one for each statement in each step of the pipelined loop, in the order of issue. The first
iterations are executed as the plan says; where a loop is longer, what follows repeats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tiledsl.ir.nodes import Buffer, Const, Kernel
from tiledsl.ir.printer import text
from tiledsl.passes.software_pipeline import planned_loops
from tiledsl.passes.software_pipeline.body import WORLD, Body
from tiledsl.passes.software_pipeline.plan import PipelinePlan
from tiledsl.passes.software_pipeline.waits import commit_points
from tiledsl.target import Target
from tiledsl.viewer.places import Places

MOST_TRIPS = 10  # iterations of a longer loop are not drawn


@dataclass(frozen=True)
class Row:
    """A statement of the loop and its part in the plan (-1: none)."""

    label: str
    text: str
    place: str
    stage: int
    order: int
    group: int
    wait: int


@dataclass(frozen=True)
class Bar:
    """Statement `row` executed for `iteration` in `slot`; its copy has arrived at `arrives`, -1 if it is none.

    `uses` are the versions of buffers that it touches: name, version, "r", "w" or "rw".
    """

    row: int
    iteration: int
    slot: int
    arrives: int
    uses: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True)
class Tenant:
    """`version` of `buffer` belongs to `iteration` from the slot of its first write to the end of its last use.

    `ready` is when its data has arrived.
    """

    buffer: str
    version: int
    iteration: int
    start: int
    ready: int
    end: int


@dataclass(frozen=True)
class Chart:
    """`trips` iterations of `extent` in `steps` steps. `waits`: (slot, row, groups that may stay in flight)."""

    launch: str
    place: str
    extent: str
    trips: int
    cut: bool
    depth: int
    steps: int
    rows: tuple[Row, ...]
    sequence: tuple[int, ...]
    bars: tuple[Bar, ...]
    waits: tuple[tuple[int, int, int], ...]
    versions: tuple[tuple[str, int], ...]
    tenants: tuple[Tenant, ...]


def pipeline_charts(
    kernel: Kernel, places: Places, *, target: Target | None = None, fuse_barrier: bool = True, stages: int = -1
) -> tuple[Chart, ...]:
    """Of every pipelined loop of a kernel before software-pipeline, by the plan of the pass with these options."""
    charts = []
    for launch in kernel.launches:
        alone = Kernel(kernel.name, kernel.params, (launch,), kernel.sizes, kernel.scratch, kernel.results)
        for body, plan in planned_loops(alone, target=target, fuse_barrier=fuse_barrier, stages=stages):
            charts.append(_chart(launch.name, body, plan, places))
    return tuple(charts)


def _chart(launch: str, body: Body, plan: PipelinePlan, places: Places) -> Chart:
    known = int(body.loop.extent.value) if isinstance(body.loop.extent, Const) else MOST_TRIPS
    trips = min(known, max(MOST_TRIPS, plan.depth + 2))
    bars, waits = _executed(body, plan, trips)
    return Chart(
        launch,
        places.of(body.loop.span),
        text(body.loop.extent),
        trips,
        trips < known or not isinstance(body.loop.extent, Const),
        plan.depth,
        trips + plan.depth,
        tuple(_row(body, plan, i, places) for i in range(len(body.units))),
        plan.sequence,
        tuple(bars),
        tuple(waits),
        tuple((b.name, n) for b, n in plan.versions),
        tuple(_tenants(bars, dict(plan.versions), len(body.units) * (trips + plan.depth))),
    )


def _row(body: Body, plan: PipelinePlan, i: int, places: Places) -> Row:
    unit = body.units[i]
    group, wait = plan.groups[i], plan.waits[i]
    return Row(
        plan.labels[i],
        text(unit.block[0]).split("\n")[0].removesuffix(" {"),
        places.of(unit.span),
        plan.stage[i],
        plan.order[i],
        -1 if group is None else group,
        -1 if wait is None else wait,
    )


def _executed(body: Body, plan: PipelinePlan, trips: int) -> tuple[list[Bar], list[tuple[int, int, int]]]:
    """The bars in order of slots, and the waits. Commits and waits are those of every step, as in the guarded form."""
    commits = commit_points(plan.sequence, plan.groups)
    bars: list[Bar] = []
    waits: list[tuple[int, int, int]] = []
    arrived: dict[int, int] = {}  # by the number of the bar
    flying: list[list[int]] = []
    issued: list[int] = []
    slot = 0
    for step in range(trips + plan.depth):
        for u in plan.sequence:
            k = step - plan.stage[u]
            pending = plan.waits[u]
            if pending is not None:
                waits.append((slot, u, pending))
                done, flying = flying[: max(0, len(flying) - pending)], flying[max(0, len(flying) - pending) :]
                arrived.update({bar: slot for group in done for bar in group})
            if 0 <= k < trips:
                if plan.groups[u] is not None:
                    issued.append(len(bars))
                bars.append(Bar(u, k, slot, -1, tuple(_uses(body, plan, u, k))))
            if u in commits:
                flying.append(issued)
                issued = []
            slot += 1
    left = {bar for group in (*flying, issued) for bar in group}
    ends = {**dict.fromkeys(left, slot), **arrived}
    return [Bar(b.row, b.iteration, b.slot, ends.get(n, -1), b.uses) for n, b in enumerate(bars)], waits


def _uses(body: Body, plan: PipelinePlan, unit: int, iteration: int) -> Iterator[tuple[str, int, str]]:
    """The on-chip buffers that the unit touches, each once."""
    found: dict[Buffer, str] = {}
    for a in body.units[unit].accesses:
        if a.buffer is not WORLD and a.buffer.space.value != "global":
            how = ("r" if a.reads else "") + ("w" if a.writes else "")
            found[a.buffer] = "".join(c for c in "rw" if c in found.get(a.buffer, "") + how)
    versions = dict(plan.versions)
    for b, how in found.items():
        yield b.name, iteration % versions.get(b, 1), how


def _tenants(bars: Sequence[Bar], versions: Mapping[Buffer, int], end: int) -> Iterator[Tenant]:
    for buffer in versions:
        by_iteration: dict[int, list[Bar]] = {}
        for bar in bars:
            if any(name == buffer.name for name, _, _ in bar.uses):
                by_iteration.setdefault(bar.iteration, []).append(bar)
        for k, mine in sorted(by_iteration.items()):
            start, last = min(b.slot for b in mine), max(b.slot for b in mine) + 1
            ready = max((b.arrives for b in mine if b.arrives >= 0), default=start)
            yield Tenant(buffer.name, k % versions[buffer], k, start, min(ready, end), max(last, min(ready, end)))


def overlaps(chart: Chart) -> list[tuple[Tenant, Tenant]]:
    """Tenants of one version of one buffer whose times meet; a legal plan has none."""
    out = []
    for buffer, count in chart.versions:
        for version in range(count):
            mine = [t for t in chart.tenants if (t.buffer, t.version) == (buffer, version)]
            mine.sort(key=lambda t: t.start)
            out += [(a, b) for a, b in pairwise(mine) if b.start < a.end]
    return out
