"""Writes a planned pipeline out as statements.

Three forms, equal in effect:
  peeled   prologue, body without guards, epilogue with exact waits; needs a constant extent
  rolled   prologue, and a loop over all iterations whose early units are guarded near the end: the units of the last
           stage, which hold most of the code, are written once
  guarded  one loop, every unit guarded: the smallest text
In rolled and guarded form groups are committed whether or not a copy was issued, so that the waits count alike in all
iterations. Prologues are unrolled.

The version of iteration k is `k % V`, written as (loop variable + constant) % V with 0 <= constant < V: every reader of
the IR can see which iterations share a tile. The pass count-versions turns the remainders into counters at the end.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import Enum

from tiledsl.analysis.access import accesses, reach
from tiledsl.ir.concurrent import Settle
from tiledsl.ir.fresh import copied
from tiledsl.ir.nodes import (
    AsyncCommit,
    AsyncWait,
    Block,
    Const,
    Expr,
    For,
    If,
    Let,
    Serial,
    Stmt,
    Var,
    all_of,
    lt,
)
from tiledsl.ir.ops import Effect
from tiledsl.ir.tile import Gemm
from tiledsl.ir.types import effect_of
from tiledsl.ir.versions import pinning
from tiledsl.ir.walk import statements, walk
from tiledsl.passes.software_pipeline.body import Body, Unit, asynchronous
from tiledsl.passes.software_pipeline.plan import PipelinePlan
from tiledsl.passes.software_pipeline.products import product_needs
from tiledsl.passes.software_pipeline.rings import copy_of
from tiledsl.passes.software_pipeline.waits import Step, commit_points, needs, simulate, simulate_products


class Form(Enum):
    AUTO = "auto"
    PEELED = "peeled"
    ROLLED = "rolled"
    GUARDED = "guarded"


def choose_form(body: Body) -> Form:
    """Peeled where the extent is constant and the epilogue would be small: without matrix products."""
    heavy = any(isinstance(n, Gemm) for u in body.units for s in u.block for n in walk(s))
    return Form.ROLLED if heavy or not isinstance(body.loop.extent, Const) else Form.PEELED


def write_pipeline(body: Body, plan: PipelinePlan, form: Form = Form.AUTO, start: Expr | None = None) -> Block:
    """The statements that replace the loop, declarations of its body first. One stage: the loop as written, serial.

    `start`: the turns that rings of barriers had in earlier runs of the loop, if there are any.
    """
    if not plan.overlaps:
        return (replace(body.loop, kind=Serial()),)
    if form is Form.AUTO or (form is Form.PEELED and not isinstance(body.loop.extent, Const)):
        form = choose_form(body)
    writer = _Writer(body, plan, start)
    if plan.products:
        return (*body.declarations, *writer.products())
    match form:
        case Form.PEELED:
            block = writer.peeled()
        case Form.ROLLED:
            block = writer.rolled()
        case _:
            block = writer.guarded()
    return (*body.declarations, *block)


@dataclass(frozen=True, slots=True)
class _Time:
    """A moment of the pipelined sequence: `base` + `offset`, or the number `offset` if there is no base."""

    base: Expr | None
    offset: int

    def iteration(self, stage: int) -> Expr:
        k = self.offset - stage
        if self.base is None:
            return Const(k)
        return self.base if k == 0 else self.base + k

    def version(self, stage: int, versions: int) -> Expr:
        k = (self.offset - stage) % versions
        if self.base is None:
            return Const(k)
        return (self.base + k if k else self.base) % versions

    def turn(self, stage: int, depth: int, start: Expr | None) -> tuple[Expr, Expr]:
        """(slot, phase) of the iteration in a ring that had `start` turns before the loop."""
        k = self.offset - stage
        if self.base is None and start is None:
            return Const(k % depth), Const(k // depth % 2)
        known = [e for e in (start, self.base) if e is not None]
        n = known[0] if len(known) == 1 else known[0] + known[1]
        k %= 2 * depth
        n = n + k if k else n
        return (n % depth, n // depth % 2) if depth > 1 else (Const(0), n % 2)


@dataclass(frozen=True, slots=True)
class _Writer:
    body: Body
    plan: PipelinePlan
    start: Expr | None = None

    def peeled(self) -> Block:
        extent = int(self.body.loop.extent.value)  # type: ignore[attr-defined]
        depth = self.plan.depth
        body_trips = extent - depth
        # In the steady state the waits repeat: a short run shows them all.
        skipped = max(0, extent - (3 * depth + 4))
        short = extent - skipped
        steps = [
            self.step(t, u, self.runs(t, u, short), self.closes(t, u, short)) for t, u in self.points(short + depth)
        ]
        out: list[Stmt] = []
        pending_body = body_trips > 1
        for s, w in self.simulated(steps):
            if body_trips > 1 and depth <= s.t < short:
                continue
            if s.t >= short and pending_body:
                out.append(self.loop(Const(body_trips), depth))
                pending_body = False
            out += self.at(s, w, _Time(None, s.t + (skipped if s.t >= short else 0)))
        return _merged(out)

    def products(self) -> Block:
        """Peeled, for a plan of two stages with products in flight: also where the extent is not constant.

        Each product is written twice, but none is under a condition in the loop. Where there may be no iteration, all
        of it is under one: were the wait at the end under a condition of its own, the C++ compiler would see a way
        past it, and would let no product run on.
        """
        extent = self.body.loop.extent
        constant = isinstance(extent, Const)
        if constant and int(extent.value) < 1:  # type: ignore[attr-defined]
            return ()
        # A run of three iterations shows the waits of the first, of the steady state and of the end.
        steps = [Step(t, u, self.runs(t, u, 3), False) for t, u in self.points(3 + self.plan.depth)]
        needed = product_needs(self.body)
        waits = {(s.t, s.unit): w for s, w in simulate_products(steps, self.plan.stage, needed, self.plan.products)}
        out: list[Stmt] = []
        for u in self.plan.sequence:
            if self.plan.stage[u] == 0:
                out += self.issue(u, waits[0, u], _Time(None, 0))
        t = Var(self.body.loop.var.name)
        inner: list[Stmt] = []
        for u in self.plan.sequence:
            inner += (Settle(b, span=self.body.units[u].span) for b in self.plan.settled[u])
            inner += self.issue(u, self.plan.product_waits[u], _Time(t, 1))
        if not constant or int(extent.value) > 1:  # type: ignore[attr-defined]
            trips: Expr = Const(int(extent.value) - 1) if constant else extent - 1  # type: ignore[attr-defined]
            out.append(replace(self.body.loop, var=t, extent=trips, body=tuple(inner), kind=Serial()))
        end = _Time(None, int(extent.value)) if constant else _Time(extent, 0)  # type: ignore[attr-defined]
        for u in self.plan.sequence:
            if self.plan.stage[u]:
                out += self.issue(u, waits[3, u], end)
        last = [s for stmt in out for s in _below(stmt) if isinstance(s, AsyncCommit | AsyncWait)][-1]
        drained = isinstance(last, AsyncWait) and last.pending == 0
        block = (*_merged(out), *(() if drained else (AsyncWait(0, "product", span=self.body.loop.span),)))
        return block if constant else (If(lt(0, extent), block, span=self.body.loop.span),)

    def issue(self, u: int, wait: int | None, time: _Time) -> Block:
        """One unit with the wait for products before it; a product is committed at once."""
        unit = self.body.units[u]
        here: list[Stmt] = [] if wait is None else [AsyncWait(wait, "product", span=unit.span)]
        if u in self.plan.products:
            (gemm,) = unit.block
            assert isinstance(gemm, Gemm)
            unit = replace(unit, block=(replace(gemm, asynchronous=True), AsyncCommit("product", span=gemm.span)))
        here += copied(_guarded(unit, unit.block), {self.body.loop.var: time.iteration(self.plan.stage[u])})
        return tuple(here)

    def rolled(self) -> Block:
        extent = self.body.loop.extent
        depth = self.plan.depth
        steps = [self.step(t, u, t >= self.plan.stage[u], t >= self.plan.stage[u]) for t, u in self.points(depth)]
        out: list[Stmt] = []
        for s, w in self.simulated(steps):
            k = s.t - self.plan.stage[s.unit]
            if isinstance(extent, Const) and k >= int(extent.value):
                out += self.at(replace(s, runs=False), w, _Time(None, s.t))
            else:
                out += self.at(s, w, _Time(None, s.t), () if isinstance(extent, Const) else (lt(k, extent),))
        t = Var(self.body.loop.var.name)
        inner: list[Stmt] = []
        for u in self.plan.sequence:
            ahead = depth - self.plan.stage[u]
            guards = (lt(t + ahead, extent),) if ahead else ()
            inner += self.at(self.steady(u), self.plan.waits[u], _Time(t, depth), guards)
        out.append(replace(self.body.loop, var=t, extent=extent, body=_merged(inner), kind=Serial()))
        return _merged(out)

    def guarded(self) -> Block:
        extent = self.body.loop.extent
        t = Var(self.body.loop.var.name)
        inner: list[Stmt] = []
        for u in self.plan.sequence:
            stage = self.plan.stage[u]
            guards = [lt(Const(stage - 1), t)] if stage else []
            guards += [lt(t - stage if stage else t, extent)] if stage < self.plan.depth else []
            inner += self.at(self.steady(u), self.plan.waits[u], _Time(t, 0), tuple(guards))
        total = Const(int(extent.value) + self.plan.depth) if isinstance(extent, Const) else extent + self.plan.depth
        return (replace(self.body.loop, var=t, extent=total, body=_merged(inner), kind=Serial()),)

    # ------------------------------------------------------------------------------------------------------- pieces

    def points(self, end: int) -> Iterator[tuple[int, int]]:
        return ((t, u) for t in range(end) for u in self.plan.sequence)

    def runs(self, t: int, u: int, extent: int) -> bool:
        return 0 <= t - self.plan.stage[u] < extent

    def closes(self, t: int, u: int, extent: int) -> bool:
        """Whether the group that ends with u is committed: if one of its members was issued."""
        group = commit_points(self.plan.sequence, self.plan.groups).get(u)
        members = [m for m, g in enumerate(self.plan.groups) if g is not None and g == group]
        return any(self.runs(t, m, extent) for m in members)

    def step(self, t: int, u: int, runs: bool, commits: bool) -> Step:
        return Step(t, u, runs, commits and u in commit_points(self.plan.sequence, self.plan.groups))

    def steady(self, u: int) -> Step:
        return self.step(0, u, True, True)

    def simulated(self, steps: list[Step]) -> Iterator[tuple[Step, int | None]]:
        plan = self.plan
        return simulate(steps, plan.stage, needs(self.body, plan.groups), plan.covered, plan.groups)

    def loop(self, trips: Expr, start: int) -> For:
        t = Var(self.body.loop.var.name)
        inner: list[Stmt] = []
        for u in self.plan.sequence:
            inner += self.at(self.steady(u), self.plan.waits[u], _Time(t, start))
        return replace(self.body.loop, var=t, extent=trips, body=tuple(inner), kind=Serial())

    def at(self, step: Step, wait: int | None, time: _Time, guards: tuple[Expr, ...] = ()) -> Iterator[Stmt]:
        """One unit with the wait before it and the commit after it."""
        u = self.body.units[step.unit]
        if wait is not None:
            yield AsyncWait(wait, span=u.span)
        if step.runs:
            yield from self.unit(step.unit, time, guards)
        if step.commits:
            yield AsyncCommit(span=u.span)

    def unit(self, i: int, time: _Time, guards: tuple[Expr, ...]) -> Block:
        u, stage = self.body.units[i], self.plan.stage[i]
        block = u.block if self.plan.groups[i] is None else tuple(asynchronous(s) for s in u.block)
        before: list[Stmt] = []
        after: Block = ()
        for ring in self.plan.rings:
            slot, phase = time.turn(stage, ring.depth, self.start)
            if i == ring.reader:
                before.append(ring.awaited(slot, phase, u))
            if i in ring.units:
                before += ring.announced(i, slot, u)
                block, after = ring.issued(slot, copy_of(u)), ring.closed(i, slot, u)
        versions = {b: time.version(stage, n) for b, n in self.plan.versions}
        inner = _guarded(u, block)
        made = copied(inner, {self.body.loop.var: time.iteration(stage)}, pinning(versions) if versions else None)
        here = (*before, *made, *after)
        return (If(all_of(list(guards)), here, span=u.span),) if guards else here


def _guarded(u: Unit, block: Block) -> Block:
    """`block` under the guards of `u`, each bind right before the first guard that needs it, else before the block."""
    lets = {l.var: l.value for l in u.binds}
    left = list(u.binds)
    levels: list[tuple[list[Let], Expr]] = []
    for guard in u.guards:
        used = reach(guard, lets)[0]
        levels.append(([l for l in left if l.var in used], guard))
        left = [l for l in left if l.var not in used]
    inner: Block = (*left, *block)
    for binds, guard in reversed(levels):
        inner = (*binds, If(guard, inner, span=u.span))
    return inner


def _merged(block: list[Stmt]) -> Block:
    """`block` with neighbours under the same guard put under one, if the first leaves the guard's value as it is."""
    out: list[Stmt] = []
    for s in block:
        match (out[-1] if out else None, s):
            case If(cond, before, ()) as last, If(other, then, ()) if cond == other and _keeps(before, cond):
                out[-1] = replace(last, then=_merged([*before, *then]))
            case _:
                out.append(s)
    return tuple(out)


def _below(s: Stmt) -> Iterator[Stmt]:
    yield s
    yield from statements(s)


def _keeps(block: Block, cond: Expr) -> bool:
    """Whether `cond` has the same value before and after `block`."""
    if effect_of(cond) is Effect.PURE:
        return True
    read = {load.buffer for load in reach(cond, {})[1]}
    return effect_of(cond) is Effect.READS and not any(
        a.writes and a.buffer in read for s in block for a in accesses(s)
    )
