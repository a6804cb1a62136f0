"""Laws of software pipelining, on random programs executed by the tile interpreter (algorithms.md E.C, P1-P24)."""

from __future__ import annotations

import sys
from dataclasses import replace
from math import inf
from unittest.mock import patch

from hypothesis import strategies as st

from tiledsl.analysis.access import Access
from tiledsl.analysis.boxes import covers, whole_region
from tiledsl.errors import TileError, VerifyError
from tiledsl.ir.nodes import TRUE, Binary, Buffer, Const, For, Node, Pipelined, Region
from tiledsl.ir.simplify import proves
from tiledsl.ir.walk import replace_buffers, rewrite, walk
from tiledsl.passes.software_pipeline import software_pipeline
from tiledsl.passes.software_pipeline.body import Body, Unit, flatten
from tiledsl.passes.software_pipeline.legal import Constraints, before, constraints
from tiledsl.passes.software_pipeline.plan import PipelinePlan, make_plan
from tiledsl.passes.software_pipeline.waits import needs
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.strategies.pipelines import (
    ManualSchedule,
    PipelinedKernel,
    Step,
    execute,
    manual_schedules,
    pipelined_kernels,
    same_results,
)
from tiledsl.verifiers.pipeline import verify_pipeline

FORMS = ["auto", "peeled", "rolled", "guarded"]


@law("P3", "P24", examples=200, program=pipelined_kernels(), fuse=st.booleans(), form=st.sampled_from(FORMS))
def pipelined_programs_compute_the_same_in_every_form(form: str, program: PipelinedKernel, fuse: bool) -> None:
    pipelined = software_pipeline(program.kernel, form=form, fuse_barrier=fuse)
    assert same_results(execute(program.kernel, program.n), execute(pipelined, program.n))


def _plans(program: PipelinedKernel, fuse: bool) -> list[tuple[Body, PipelinePlan]]:
    """Bodies and plans of the loops that a pass over the program would see first."""
    found = []
    for launch in program.kernel.launches:
        for s in launch.body:
            if isinstance(s, For) and isinstance(s.kind, Pipelined):
                body = flatten(s, {}, manual=False)
                found.append((body, make_plan(body, constraints(body, {}), fuse_barrier=fuse)))
    return found


@law("P1", "P2", program=pipelined_kernels(), fuse=st.booleans())
def plans_are_total_and_legal(program: PipelinedKernel, fuse: bool) -> None:
    for body, plan in _plans(program, fuse):
        assert len(plan.stage) == len(plan.order) == len(body.units)
        assert sorted(plan.order) == list(range(len(body.units))) and min((0, *plan.stage)) >= 0
        rules = constraints(body, {})
        assert all(before(plan.stage, plan.order, d) for d in rules.fixed)
        versions = dict(plan.versions)
        for b, pairs in rules.reuse.items():
            reached = [replace(d, distance=versions.get(b, 1)) for d in pairs]
            assert all(before(plan.stage, plan.order, d) for d in reached)


class _OutOfPlace(Exception):
    """The loop alone could have the plan; what stands around it needs one version of a tile that has several there."""


def _is_caught(program: PipelinedKernel, body: Body, plan: PipelinePlan) -> bool:
    """Whether the loop of `body`, written out by `plan`, is found to differ from the loop itself."""
    try:
        _verify(program, body, plan)
    except (VerifyError, _OutOfPlace):
        return True
    return False


CONTENTS = 12  # of the tensors, which follow from their names: one mask may be false, and two indices both outside


def _verify(program: PipelinedKernel, body: Body, plan: PipelinePlan) -> None:
    """Raises VerifyError where the loop of `body`, written out by `plan` with enough iterations, differs."""
    trips = Const(4 * plan.depth + 20)  # under a guard that holds in half of the iterations

    def longer(n: Node) -> Node:
        return replace(n, extent=trips) if isinstance(n, For) and n.body == body.loop.body else n

    def planned(b: Body, rules: Constraints, **how: bool) -> PipelinePlan:
        if b.loop.body != body.loop.body:
            return make_plan(b, rules, **how)
        if any(tile in rules.single for tile, _ in plan.versions):
            raise _OutOfPlace
        return plan

    kernel = rewrite(program.kernel, longer)
    with patch.object(sys.modules[software_pipeline.run.__module__], "make_plan", planned):
        pipelined = software_pipeline(kernel, form="guarded")
    tensors = [p for p in kernel.params if isinstance(p, Buffer)]
    for salt in range(CONTENTS):
        named = {b: replace(b, name=f"{b.name}{salt}") for b in tensors}
        verify_pipeline(replace_buffers(kernel, named), replace_buffers(pipelined, named), sizes=(30,))


def _has_dead_writes(body: Body, b: Buffer) -> bool:
    """Whether some write of `b` is seen by no later unit: none reads it before another writes all of it."""
    found = [[a for a in u.accesses if a.buffer is b] for u in body.units]
    return any(_is_dead(a, found[i + 1 :]) for i, accesses in enumerate(found) for a in accesses if a.writes)


def _is_dead(write: Access, later: list[list[Access]]) -> bool:
    for accesses in later:
        if any(a.reads for a in accesses):
            return False
        if any(_replaces(a, write) for a in accesses):
            return True
    return True


def _replaces(a: Access, write: Access) -> bool:
    whole = whole_region(a.buffer)
    always = a.guard in (TRUE, write.guard)
    return always and a.exact and a.region is not None and whole is not None and covers([a.region], whole)


@law("P7", examples=12, program=pipelined_kernels(), fuse=st.booleans())
def one_version_less_is_caught(program: PipelinedKernel, fuse: bool) -> None:
    for body, plan in _plans(program, fuse):
        for n, (b, count) in enumerate(plan.versions):
            if _has_dead_writes(body, b):
                continue  # the rule keeps their order too, which no read can see
            fewer = (*plan.versions[:n], (b, count - 1), *plan.versions[n + 1 :])
            assert _is_caught(program, body, replace(plan, versions=fewer))


def _waits_itself(unit: Unit) -> bool:
    """Whether it holds a pipelined loop, whose own waits are for all that was issued before them."""
    return any(isinstance(n, For) and isinstance(n.kind, Pipelined) for s in unit.block for n in walk(s))


@law("P13", "P14", examples=12, program=pipelined_kernels(), fuse=st.booleans())
def waits_are_exact(program: PipelinedKernel, fuse: bool) -> None:
    """One more group in flight, or no wait at all, and some statement uses a tile that has not arrived."""
    for body, plan in _plans(program, fuse):
        stages = {plan.stage[i] for i, g in enumerate(plan.groups) if g is not None}
        if any(proves(g, {body.loop.var: (0, inf)}) is False for u in body.units for g in u.guards):
            continue  # no run waits for a copy that never happens
        for i, pending in enumerate(plan.waits):
            if pending is None or len(stages) > 1 or _waits_itself(body.units[i]):
                continue
            for wrong in (pending + 1, None):
                waits = (*plan.waits[:i], wrong, *plan.waits[i + 1 :])
                assert _is_caught(program, body, replace(plan, waits=waits))


def _closed_form(plan: PipelinePlan, consumer: int, group: int) -> int:
    """algorithms.md C.7, for groups of one stage; the order of a group is that of its last member."""
    last = {h: max(plan.order[i] for i, g in enumerate(plan.groups) if g == h) for h in plan.groups if h is not None}
    stage = next(plan.stage[i] for i, g in enumerate(plan.groups) if g == group)
    ahead = plan.stage[consumer] - stage
    here = plan.order[consumer]
    if ahead >= 1:
        return sum(ahead - 1 + (o > last[group]) + (o < here) for o in last.values())
    return sum(last[group] < o < here for o in last.values())


@law("P14", program=pipelined_kernels())
def simulated_waits_are_the_closed_form(program: PipelinedKernel) -> None:
    for body, plan in _plans(program, False):
        stages = {plan.stage[i] for i, g in enumerate(plan.groups) if g is not None}
        if len(stages) > 1:
            continue
        for i, needed in enumerate(needs(body, plan.groups)):
            groups = {plan.groups[c] for c, distance in needed if distance == 0} - {None}
            if plan.waits[i] is not None and len(groups) == len({plan.groups[c] for c, _ in needed}):
                assert plan.waits[i] == min(_closed_form(plan, i, g) for g in groups if g is not None)


@law("P8", "P9", program=pipelined_kernels(), fuse=st.booleans())
def versions_are_declared_and_in_range(program: PipelinedKernel, fuse: bool) -> None:
    out = software_pipeline(program.kernel, fuse_barrier=fuse)
    assert not any(isinstance(n, For) and isinstance(n.kind, Pipelined) for n in walk(out))
    for n in walk(out):
        if isinstance(n, Region):
            assert (n.version is None) == (n.buffer.versions == 1)
            match n.version:
                case Const(value):
                    assert 0 <= value < n.buffer.versions
                case Binary("%", _, Const(value)):
                    assert value <= n.buffer.versions
    assert all(b.versions == 1 for b in out.params if isinstance(b, Buffer))


# --------------------------------------------------------------------------------------------------- manual schedules


def _effects(step: Step, line: int) -> tuple[set[str], set[str]]:
    """What a step reads and writes."""
    kind, s, f = step
    return {
        "load": (set(), {f"S{s}"}),
        "take": ({f"S{s}"}, {f"F{f}"}),
        "put": ({f"F{f}"}, {f"S{s}"}),
        "out": ({f"F{f}"}, {f"out{line}"}),
    }[kind]


def is_legal(schedule: ManualSchedule) -> bool:
    """algorithms.md C.4 for whole-tile statements, written out anew."""

    stage, order = schedule.stage, schedule.order

    def precedes(a: int, b: int, distance: int) -> bool:
        return (stage[a], order[a]) < (stage[b] + distance, order[b])

    effects = [_effects(s, i) for i, s in enumerate(schedule.steps)]
    for name in ("S0", "S1", "F0", "F1"):
        users = [i for i, (r, w) in enumerate(effects) if name in r | w]
        if not any(name in effects[i][1] for i in users):
            continue
        single = name.startswith("F") or name in effects[users[0]][0]
        for a in users:
            for b in users:
                if a == b or not (name in effects[a][1] or name in effects[b][1]):
                    continue
                if a < b and not precedes(a, b, 0):
                    return False
                if single and not precedes(a, b, 1):
                    return False
    return True


@law("P19", examples=100, schedule=manual_schedules())
def manual_schedules_are_rejected_iff_illegal(schedule: ManualSchedule) -> None:
    program, legal = schedule.program(), is_legal(schedule)
    try:
        out = software_pipeline(program.kernel)
    except TileError as raised:
        assert raised.code in ("TD0403", "TD0405") and len(raised.notes) == 2
        assert not legal
        return
    assert legal
    assert same_results(execute(program.kernel, None), execute(out, None))


LAWS = laws_of(globals())
