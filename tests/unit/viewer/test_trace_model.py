"""What the trace page shows equals the IR and the plans that it is about."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import prod

import pytest
from viewer_cases import HOPPER, KERNELS, line_of, lowered, trace

from tiledsl.analysis.layout_tables import offset_table, reg_table, thread_table
from tiledsl.errors import Span
from tiledsl.ir.layout import Fragment
from tiledsl.ir.nodes import Barrier, Space, Stmt
from tiledsl.ir.printer import lines, text
from tiledsl.ir.walk import walk
from tiledsl.passes.insert_barriers import make_barrier_plan
from tiledsl.passes.plan_shared_memory import make_shared_plan
from tiledsl.passes.software_pipeline import planned_loops
from tiledsl.viewer.gantt import overlaps, pipeline_charts
from tiledsl.viewer.places import places_of, shown_name, source_files

pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
ALL = pytest.mark.parametrize("name", KERNELS)


# ---- stages, places, CUDA


@ALL
def test_stages_are_the_kernels_of_all_passes(name: str) -> None:
    kernel, shown = lowered(name), trace(name)
    assert [s.name for s in shown.stages] == [s.name for s in kernel.stages]
    for view, stage in zip(shown.stages, kernel.stages):
        whole = "\n".join(line.text for line in view.lines) + "\n"
        assert whole == text(stage.kernel)
        assert view.characters == len(whole)
        statements = [n for l in stage.kernel.launches for s in l.body for n in walk(s) if isinstance(n, Stmt)]
        assert view.statements == len(statements)


@ALL
def test_rows_lead_from_each_stage_to_the_next(name: str) -> None:
    stages = trace(name).stages
    for before, after in pairwise(stages):
        same_text = [l.text for l in before.lines] == [l.text for l in after.lines]
        assert bool(after.rows) == (not same_text)
        assert [r.new for r in after.rows if r.new >= 0] == list(range(len(after.lines) if after.rows else 0))
        assert after.added == sum(r.new >= 0 for r in after.rows if not r.same)


@ALL
def test_every_place_is_a_line_of_the_source_that_is_shown(name: str) -> None:
    shown = trace(name)
    known = {p for s in shown.sources for p in s.places if p}
    used = {l.place for s in shown.stages for l in s.lines} | {l.place for l in shown.cuda}
    used |= {p.place for p in shown.layouts} | {a.place for e in shown.costs.entries for a in e.accesses}
    assert used - {""} <= known
    assert len(known) >= 6


def test_lines_of_the_product_lead_to_it_at_every_stage() -> None:
    shown = trace("gemm")
    product = f"0:{line_of('gemm', 'T.gemm(')}"
    for stage in shown.stages[: [s.name for s in shown.stages].index("lower-tiles")]:
        assert [l.text.split()[0] for l in stage.lines if l.place == product] == ["gemm"]
    mma = [l for l in shown.stages[-1].lines if "atom mma" in l.text]
    assert mma and all(l.place == product for l in mma)
    in_cuda = [l for l in shown.cuda if "tds::mma_" in l.text and "(&" in l.text]
    assert in_cuda and all(l.place == product for l in in_cuda)


def test_the_lines_of_a_call_over_several_lines_are_its_own() -> None:
    (source,) = trace("gemm").sources
    first = line_of("gemm", "T.gemm(")
    argument = line_of("gemm", "precision=precision")
    assert source.places[argument - source.first] == f"0:{first}"
    assert source.places[line_of("gemm", "else:") - source.first] == ""
    assert source.lines[0].startswith("@tiledsl.kernel")  # the function alone, dedented


@ALL
def test_cuda_is_what_nvrtc_is_given_and_leads_to_statements(name: str) -> None:
    shown = trace(name)
    assert "\n".join(l.text for l in shown.cuda) == lowered(name).cuda
    assert all(l.place == "" for l in shown.cuda if l.text.strip() in ("", "}"))
    for here, after in pairwise(shown.cuda):  # what a directive says of the next line, the line says too
        if here.text.startswith("#line ") and '"' not in here.text:
            assert after.place == here.place == f"0:{here.text.split()[1]}"


def test_files_that_cannot_be_read_have_no_places() -> None:
    places = places_of([Span("/nowhere/at_all.py", 3, 0, 3, 1)])
    assert places.files == () and places.of(Span("/nowhere/at_all.py", 3, 0, 3, 1)) == ""
    assert source_files(places, ()) == ()
    assert shown_name("/somewhere/else/k.py") == "k.py"


# ---- plans


@ALL
def test_layouts_are_the_tables(name: str) -> None:
    rows = [a for l in lowered(name).after("infer-layouts").launches for a in l.layouts]
    assert [p.buffer for p in trace(name).layouts] == [a.buffer.name for a in rows]
    for p, a in zip(trace(name).layouts, rows):
        assert p.rows * p.columns == prod(a.layout.shape) == len(p.places)
        if isinstance(a.layout, Fragment):
            owners = thread_table(a.layout)[:, : p.replicas]
            assert p.threads == tuple(owners.ravel().tolist()) and p.places == tuple(reg_table(a.layout).tolist())
        else:
            assert p.places == tuple(offset_table(a.layout).ravel().tolist())


@ALL
def test_charts_execute_the_plan(name: str) -> None:
    kernel = lowered(name).after("warp-specialise")
    plans = [plan for _, plan in planned_loops(kernel, target=lowered(name).target)]
    assert len(plans) == len(trace(name).charts) > 0
    for plan, chart in zip(plans, trace(name).charts):
        count = len(plan.labels)
        expected = {(u, k): plan.stage[u] + k for u in range(count) for k in range(chart.trips)}
        assert {(b.row, b.iteration): b.slot // count for b in chart.bars} == expected
        assert all(chart.sequence[b.slot % count] == b.row for b in chart.bars)
        assert [r.stage for r in chart.rows] == list(plan.stage)
        assert dict(chart.versions) == {b.name: n for b, n in plan.versions}
        waiting = [(u, w) for u, w in enumerate(plan.waits) if w is not None]
        places = {(t * count + chart.sequence.index(u), u, w) for t in range(chart.steps) for u, w in waiting}
        assert set(chart.waits) == places
        copies = {u for u, g in enumerate(plan.groups) if g is not None}
        assert {b.row for b in chart.bars if b.arrives > b.slot} == copies
        assert overlaps(chart) == []


def test_data_has_arrived_when_it_is_used() -> None:
    (chart,) = trace("gemm").charts
    for t in chart.tenants:
        readers = [b for b in chart.bars if b.iteration == t.iteration and (t.buffer, t.version, "r") in b.uses]
        assert readers and all(b.slot >= t.ready for b in readers)


def test_one_version_less_overlaps() -> None:
    """The chart's own check finds a plan that is wrong."""
    (chart,) = trace("gemm").charts
    folded = tuple(replace(t, version=t.version % 2) for t in chart.tenants)
    assert overlaps(replace(chart, tenants=folded, versions=tuple((b, 2) for b, _ in chart.versions)))


def test_charts_follow_the_options_of_the_pass() -> None:
    kernel = lowered("gemm").after("expand-lets")
    places = places_of([])
    (serial,) = pipeline_charts(kernel, places, stages=0)
    assert serial.depth == 0 and serial.versions == ()


@ALL
def test_maps_are_the_plan_of_shared_memory(name: str) -> None:
    before, after = (lowered(name).after(p) for p in ("vectorise", "plan-shared-memory"))
    printed = lines(before)
    pairs = [(a, b) for a, b in zip(before.launches, after.launches) if b.shared]
    for shown, (launch, planned) in zip(trace(name).maps, pairs, strict=True):
        lifetimes = {l.buffer.name: l for l in make_shared_plan(launch).lifetimes}
        offsets = {s.buffer.name: s.offset for s in planned.shared}
        assert shown.total == planned.shared_bytes
        assert {t.buffer: (t.offset, t.size, t.first, t.last) for t in shown.tenants} == {
            n: (offsets[n], l.size, l.first, l.last) for n, l in lifetimes.items()
        }
        assert [m.time for m in shown.moments] == list(range(1, len(shown.moments) + 1))
        assert all(printed[m.line].text.strip() == m.text for m in shown.moments)
        barriers = {b.name for b in (l.buffer for l in make_shared_plan(launch).lifetimes) if b.space is Space.BARRIER}
        for t in shown.tenants:
            times = [x.time for x in t.touches]
            if t.buffer in barriers:
                assert (t.first, t.last, times) == (0, len(shown.moments), [])
                continue
            heads = {l.first for l in shown.loops if l.first <= min(times) <= l.last}
            ends = {l.last for l in shown.loops if l.first <= max(times) <= l.last}
            assert t.first in {min(times)} | heads and t.last in {max(times), len(shown.moments)} | ends
            assert all(t.buffer in shown.moments[x.time - 1].text for x in t.touches)


@ALL
def test_barriers_are_those_of_the_pass_with_its_reasons(name: str) -> None:
    kernel, shown = lowered(name), trace(name)
    names = [s.name for s in kernel.stages]
    before = kernel.stages[names.index("insert-barriers") - 1].kernel
    printed = lines(kernel.after("insert-barriers"))
    assert [b.line for b in shown.barriers] == [n for n, l in enumerate(printed) if isinstance(l.node, Barrier)]
    plans = [make_barrier_plan(before, launch).barriers for launch in before.launches]
    planned = [hazards for plan in plans for _, hazards in sorted(plan.items())]
    mine = [b for b in shown.barriers if b.planned]
    assert len(mine) == len(planned)
    assert bool(mine) == (name not in HOPPER)  # there the first is put in with the initialisation of barriers
    for view, hazards in zip(mine, planned):
        assert {(c.kind, c.buffer) for c in view.conflicts} == {(h.kind, h.buffer.name) for h in hazards}
        following = printed[view.line + 1]
        assert following.text.strip() == view.before.text
        for c in view.conflicts:
            assert c.first.line >= 0 and c.second.line >= 0 and c.buffer in c.second.text


# ---- costs


def test_costs_are_those_of_the_report() -> None:
    from tiledsl.report import report

    (entry,), (expected,) = trace("gemm").costs.entries, report(lowered("gemm")).entries
    assert [(a.what, a.buffer, a.needed, a.ideal) for a in entry.accesses] == [
        (a.op, a.buffer, a.transactions, a.ideal) for a in expected.accesses
    ]
    assert ("registers", str(expected.registers)) in [fact[:2] for fact in entry.facts]
    assert entry.bounds[0] == (expected.roofline.limiter, expected.roofline.time)
    product = f"0:{line_of('gemm', 'T.gemm(')}"
    assert {a.buffer for a in entry.accesses if a.place == product} == {"A_shared", "B_shared"}


def test_without_nvrtc_the_page_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    from tiledsl.errors import error
    from tiledsl.viewer import costs

    def missing(_: object) -> None:
        raise error("TD0902")

    monkeypatch.setattr(costs, "report", missing)
    found = costs.costs_of(lowered("gemm"), places_of([]))
    assert found.entries == () and "NVRTC was not found" in found.note
