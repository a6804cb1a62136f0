"""All that the trace page shows, gathered by pure functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tiledsl.compile import Lowered, Options
from tiledsl.errors import Span
from tiledsl.ir.printer import Line, lines, text
from tiledsl.viewer.barriers import BarrierView, barrier_views
from tiledsl.viewer.costs import Costs, costs_of
from tiledsl.viewer.gantt import Chart, pipeline_charts
from tiledsl.viewer.layouts import LayoutPicture, layout_pictures
from tiledsl.viewer.places import SourceFile, places_of, source_files
from tiledsl.viewer.shared_map import SharedMap, shared_maps
from tiledsl.viewer.stages import StageView, TextLine, cuda_lines, stage_views


@dataclass(frozen=True)
class LaunchFacts:
    name: str
    grid: str
    threads: int
    shared_bytes: int


@dataclass(frozen=True)
class Trace:
    """One compilation. Plans of passes that did not run are missing."""

    kernel: str
    target: str
    launches: tuple[LaunchFacts, ...]
    sources: tuple[SourceFile, ...]
    stages: tuple[StageView, ...]
    emit_seconds: float
    cuda: tuple[TextLine, ...]
    layouts: tuple[LayoutPicture, ...]
    charts: tuple[Chart, ...]
    maps: tuple[SharedMap, ...]
    barriers: tuple[BarrierView, ...]
    costs: Costs


def trace_of(lowered: Lowered, options: Options | None = None) -> Trace:
    """What happened to a kernel; `options` are the options of passes that it was lowered with.

    Compiles it for the report, if that has not happened.
    """
    printed = [lines(stage.kernel) for stage in lowered.stages]
    places = places_of(_spans(printed))
    names = [stage.name for stage in lowered.stages]

    def around(name: str) -> tuple[int, int] | None:
        """The numbers of the stages before and after a pass."""
        return (names.index(name) - 1, names.index(name)) if name in names[1:] else None

    kernels = [stage.kernel for stage in lowered.stages]
    pipelined, laid_out = around("software-pipeline"), around("infer-layouts")
    packed, synchronised = around("plan-shared-memory"), around("insert-barriers")
    chosen = (options or {}).get("software-pipeline", {})
    fuse, stages = chosen.get("fuse_barrier", True), chosen.get("stages", -1)
    return Trace(
        lowered.final.name,
        lowered.target.name,
        tuple(_facts(lowered)),
        source_files(places, [line for rows in printed for line in rows]),
        stage_views(lowered.stages, printed, places),
        lowered.emit_seconds,
        cuda_lines(lowered, places),
        layout_pictures(kernels[laid_out[1]], places) if laid_out else (),
        pipeline_charts(
            kernels[pipelined[0]], places, target=lowered.target, fuse_barrier=bool(fuse), stages=_whole(stages)
        )
        if pipelined
        else (),
        shared_maps(kernels[packed[0]], kernels[packed[1]], printed[packed[0]], lowered.target, places)
        if packed
        else (),
        barrier_views(
            kernels[synchronised[0]],
            kernels[synchronised[1]],
            (printed[synchronised[0]], printed[synchronised[1]]),
            places,
        )
        if synchronised
        else (),
        costs_of(lowered, places),
    )


def _whole(value: object) -> int:
    return value if isinstance(value, int) else -1


def _spans(printed: Sequence[Sequence[Line]]) -> list[Span]:
    return [line.node.span for rows in printed for line in rows]


def _facts(lowered: Lowered) -> list[LaunchFacts]:
    """Grids as the frontend gave them: at the end their integers have a width."""
    grids = {l.name: " × ".join(map(text, l.grid)) for l in lowered.stages[0].kernel.launches}
    return [LaunchFacts(l.name, grids[l.name], l.num_threads, l.shared_bytes) for l in lowered.final.launches]
