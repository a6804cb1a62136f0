"""Software pipelining on tile operations: copies of later iterations overlap with the work of earlier ones.

Each loop of kind Pipelined is planned (`plan`) and written out (`rewrite`); loops inside it follow. Buffers that
iterations in flight share get versions, wherever they are allocated. Outside pipelined loops the accesses to such a
buffer name the version that was written last; where that cannot be known, the buffer keeps one version and the schedule
must do without.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import lcm

from tiledsl.analysis.access import Access, accesses, storage_roots
from tiledsl.analysis.boxes import covers, whole_region
from tiledsl.analysis.bulk_loads import Engine, Loads
from tiledsl.analysis.gemm_plan import runs_by_itself
from tiledsl.analysis.turns import count_of, is_regular, nest_of
from tiledsl.ir.concurrent import Arrive, Await, Role, Roles
from tiledsl.ir.dtypes import INDEX, INT32
from tiledsl.ir.fresh import bound_in
from tiledsl.ir.nodes import (
    TRUE,
    Address,
    Alloc,
    AtomicUpdate,
    Binary,
    Block,
    Buffer,
    Cast,
    Const,
    Evaluate,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Pipelined,
    Print,
    Select,
    Space,
    Stmt,
    Store,
    Var,
    View,
    While,
    lt,
)
from tiledsl.ir.ops import Effect
from tiledsl.ir.tile import Gemm
from tiledsl.ir.types import effect_of
from tiledsl.ir.versions import with_versions
from tiledsl.ir.walk import replace_buffers, statements, walk
from tiledsl.passes.base import kernel_pass, with_launches
from tiledsl.passes.facts import tile_stage
from tiledsl.passes.software_pipeline.body import Body, flatten, matrix_rows
from tiledsl.passes.software_pipeline.legal import constraints
from tiledsl.passes.software_pipeline.plan import PipelinePlan, make_plan
from tiledsl.passes.software_pipeline.rewrite import Form, write_pipeline
from tiledsl.target import Target
from tiledsl.verifiers.pipeline import verify_pipeline


@kernel_pass(requires=(tile_stage,), ensures=(tile_stage,), verify=verify_pipeline)
def software_pipeline(
    kernel: Kernel,
    *,
    target: Target | None = None,
    fuse_barrier: bool = True,
    form: Form = Form.AUTO,
    stages: int = -1,
    overlap_products: bool = True,
    copy_engine: Engine = Engine.AUTO,
) -> Kernel:
    """Overlaps the copies of pipelined loops with their other statements. `stages` >= 0 replaces every num_stages.

    In loops whose tiles other roles copy it overlaps the products instead, unless `overlap_products` is off. Where the
    target has a copy engine and the launch no roles, `copy_engine` says which tiles it brings: those for which it pays
    ("auto"), all that it can ("always") or none ("never").
    Afterwards no loop is Pipelined; asynchronous copies and products are marked, committed and waited for.
    """
    options = _Options(fuse_barrier, Form(form), stages, target, overlap_products, Engine(copy_engine))
    return with_launches(kernel, (_pipeline_launch(kernel, launch, options)[0] for launch in kernel.launches))


def pipeline_plans(
    kernel: Kernel, *, fuse_barrier: bool = True, stages: int = -1, target: Target | None = None, **how: Engine
) -> tuple[PipelinePlan, ...]:
    """The plans of all pipelined loops of a tile-stage kernel, outer ones before those inside."""
    loops = planned_loops(kernel, fuse_barrier=fuse_barrier, stages=stages, target=target, **how)
    return tuple(plan for _, plan in loops)


def planned_loops(
    kernel: Kernel,
    *,
    fuse_barrier: bool = True,
    stages: int = -1,
    target: Target | None = None,
    copy_engine: Engine = Engine.AUTO,
) -> tuple[tuple[Body, PipelinePlan], ...]:
    """The same with the loops that are planned: the units that the entries of a plan are about."""
    options = _Options(fuse_barrier, Form.GUARDED, stages, target, True, copy_engine)
    return tuple(p for launch in kernel.launches for p in _pipeline_launch(kernel, launch, options)[1])


@dataclass(frozen=True, slots=True)
class _Options:
    fuse_barrier: bool
    form: Form
    stages: int
    target: Target | None  # None: no product is asynchronous, and no copy one of the copy engine
    overlap_products: bool
    copy_engine: Engine


class _Escapes(Exception):
    """The version of `buffer` that an access outside the loops means cannot be known."""

    def __init__(self, buffer: Buffer) -> None:
        self.buffer = buffer


def _pipeline_launch(
    kernel: Kernel, launch: Launch, options: _Options
) -> tuple[Launch, list[tuple[Body, PipelinePlan]]]:
    if not any(isinstance(n, For) and isinstance(n.kind, Pipelined) for s in launch.body for n in walk(s)):
        return launch, []
    forbidden = dict(_unversionable(launch.body))
    while True:
        loads = Loads(kernel, launch, options.target, options.copy_engine)
        pipeliner = _Pipeliner(options, storage_roots(launch.body), forbidden, launch.num_threads, loads)
        try:
            body = pipeliner.block(launch.body, {})
        except _Escapes as escape:
            forbidden[escape.buffer] = "it is used outside the loop, where its version cannot be known"
            continue
        rest: dict[Buffer, Expr] = {b: Const(0) for b in pipeliner.versions}
        expanded = {b: replace(b, versions=n) for b, n in pipeliner.versions.items()}
        body = with_versions((*pipeliner.declared, *body), rest)
        notes = (*launch.notes, *_notes(pipeliner.plans)) if loads.asked else launch.notes
        return replace_buffers(replace(launch, body=body, notes=notes), expanded), pipeliner.plans


def _notes(plans: Sequence[tuple[Body, PipelinePlan]]) -> Iterator[str]:
    """How the copies of pipelined loops are made: by the copy engine, or why not."""
    for body, plan in plans:
        for ring in plan.rings:
            yield f"loop at line {body.loop.span.line}: {ring}"
        for i, why in plan.left:
            yield f"{plan.labels[i]} at line {body.units[i].span.line}: cp.async, as {why}"


def _unversionable(body: Block) -> Iterator[tuple[Buffer, str]]:
    """Buffers that are accessed by something that cannot name a version."""
    reason = "it is accessed in a way that cannot name a version"
    for s in body:
        rows = set(map(id, matrix_rows(s)))
        for n in walk(s):
            match n:
                case Address() if id(n) in rows:
                    continue
                case View(buffer, source):
                    yield from ((buffer, reason), (source, reason))
                case AtomicUpdate(buffer=b) | Print(buffer=Buffer() as b) | Address(buffer=b):
                    yield b, reason


# The version that an access outside the pipelined loops means: of buffers not listed 0, None where it is not known.
State = dict[Buffer, Expr | None]


def _joined(a: State, b: State) -> State:
    zero = Const(0)
    return {x: a.get(x, zero) if a.get(x, zero) == b.get(x, zero) else None for x in {**a, **b}}


@dataclass(slots=True)
class _Pipeliner:
    options: _Options
    roots: dict[Buffer, Buffer]
    forbidden: dict[Buffer, str]
    threads: int
    loads: Loads
    versions: dict[Buffer, int] = field(default_factory=dict)
    plans: list[tuple[Body, PipelinePlan]] = field(default_factory=list)
    supply: Mapping[Buffer, int] = field(default_factory=dict)  # see Body
    around: list[Stmt] = field(default_factory=list)  # loops and conditionals, outermost first
    declared: list[Stmt] = field(default_factory=list)  # barriers, and counts of their turns

    def block(self, block: Block, state: State) -> Block:
        """`block` with its pipelines written out; `state` is carried on to its end."""
        out: list[Stmt] = []
        for s in block:
            out += self.statement(s, state)
        return tuple(out)

    def statement(self, s: Stmt, state: State) -> Block:
        match s:
            case For(kind=Pipelined()):
                return self.pipeline(s, state)
            case For(extent=extent):
                extent = self.expression(extent, state)
                return (replace(s, extent=extent, body=self.loop_body(s, state)),)
            case While(cond):
                body = self.loop_body(s, state)  # first: it is what the condition sees from the second time on
                return (replace(s, cond=self.expression(cond, state), body=body),)
            case Roles(roles):
                return (replace(s, roles=tuple(self.role(r, roles, state) for r in roles)),)
            case If(cond, then, orelse):
                cond, other = self.expression(cond, state), dict(state)
                self.around.append(s)
                s = replace(s, cond=cond, then=self.scope(then, state), orelse=self.scope(orelse, other))
                self.around.pop()
                _assign(state, _joined(state, other))
                return (s,)
            case Await() | Arrive():
                return (s,)  # what is handed over is no access to a version
        return (self.outside(s, state),)

    def role(self, role: Role, roles: Sequence[Role], state: State) -> Role:
        threads, self.threads = self.threads, role.threads
        self.supply = _supply(r for r in roles if r is not role)
        body = self.scope(role.body, state)
        self.threads, self.supply = threads, {}
        return replace(role, body=body)

    def is_product(self, gemm: Gemm) -> bool:
        """Whether the tensor core can make this product by itself."""
        target = self.options.target if self.options.overlap_products else None
        if target is None or "wgmma" not in target.features or gemm.wait:
            return False
        return runs_by_itself(gemm, self.threads, target)

    def expression(self, e: Expr, state: State) -> Expr:
        """`e`, which a loop or conditional evaluates, with its loads of versioned buffers pinned."""
        evaluated = self.outside(Evaluate(e), state)
        assert isinstance(evaluated, Evaluate)
        return evaluated.value

    def scope(self, block: Block, state: State) -> Block:
        result = self.block(block, state)
        _forget(state, block)
        return result

    def loop_body(self, loop: For | While, state: State) -> Block:
        """The body of a loop that may run any number of times: its own effect on `state` counts at its start too."""
        plans, declared = list(self.plans), list(self.declared)
        while True:
            after = dict(state)
            self.around.append(loop)
            result = self.scope(loop.body, after)
            self.around.pop()
            merged = _joined(state, after)
            if merged == {**{b: Const(0) for b in merged}, **state}:
                return result
            _assign(state, merged)
            self.plans, self.declared = list(plans), list(declared)

    def outside(self, s: Stmt, state: State) -> Stmt:
        """A statement that is no loop or conditional, with its accesses to versioned buffers pinned."""
        if not state:
            return s
        for a in accesses(s):
            if a.buffer in state and state[a.buffer] is None and (a.region is None or a.region.version is None):
                if not _overwrites(a):
                    raise _Escapes(a.buffer)
                state[a.buffer] = Const(0)
        return with_versions((s,), {b: v for b, v in state.items() if v is not None})[0]

    def pipeline(self, loop: For, state: State) -> Block:
        kind = loop.kind
        assert isinstance(kind, Pipelined)
        if self.options.stages >= 0:
            loop = replace(loop, kind=Pipelined(self.options.stages))
        bind: Block = ()
        if effect_of(loop.extent) is not Effect.PURE:
            trips = Var("trips")
            bind, loop = (Let(trips, loop.extent, span=loop.span),), replace(loop, extent=trips)
        manual = kind.by_hand
        around = (*self.around, loop)
        body = flatten(
            loop,
            self.roots,
            manual=manual,
            products=self.is_product,
            kept=lambda copy, guards: self.loads.why_not(copy, around, guards),
            supply=self.supply,
        )
        rules = constraints(body, self.forbidden)
        plan = make_plan(body, rules, fuse_barrier=self.options.fuse_barrier)
        self.plans.append((body, plan))
        for b, n in plan.versions:
            self.versions[b] = max(n, self.versions.get(b, 1))
        self.declared += (r.allocation() for r in plan.rings)
        start, before, after = self.turns(loop, plan)
        written = (*before, *write_pipeline(body, plan, self.options.form, start), *after)
        self.loads.see(written)
        self.forbidden |= dict(_unversionable(written))  # loops inside have tiles of their own in each copy
        self.roots |= storage_roots(written)
        result = self.block((*bind, *written), state)
        for b, n in plan.versions:
            known = _rewritten(b, body)
            state[b] = _last_version(loop.extent, n, state.get(b, Const(0))) if known else None
        return result

    def turns(self, loop: For, plan: PipelinePlan) -> tuple[Expr | None, Block, Block]:
        """The turns of the loop's rings before it begins, and what stands before and after it to count them.

        Computed from the loops around where these are regular, else kept in a variable.
        """
        nest = nest_of((*self.around, loop))
        if not plan.rings or len(nest) == 1:
            return None, (), ()
        lets = self.loads.lets
        if is_regular(nest, lets):
            return count_of(nest[:-1]) * loop.extent, (), ()
        period = lcm(*(2 * r.depth for r in plan.rings))
        done, start = Buffer("turns", (), INT32, Space.VAR), Var("start")
        self.declared.append(Alloc(done, Const(0, INT32)))
        begin = Let(start, Cast(INDEX, Load(done, ())) % period)
        trips = Binary("max", loop.extent, Const(0))
        return start, (begin,), (Store(done, (), Cast(INT32, (start + trips) % period)),)


def _supply(others: Iterator[Role]) -> dict[Buffer, int]:
    """Where each barrier stands first in the programs of other roles; none if there are several, with no order."""
    programs = [statements(r) for r in others]
    barriers = (getattr(s, "barrier", None) for p in programs for s in p)
    found = (a.buffer for a in barriers if isinstance(a, Address))
    return {b: i for i, b in enumerate(dict.fromkeys(found))} if len(programs) == 1 else {}


def _overwrites(a: Access) -> bool:
    """Whether the access surely writes all of its buffer."""
    whole = whole_region(a.buffer)
    if a.region is None or whole is None or a.reads or not a.exact or a.guard != TRUE:
        return False
    return covers([a.region], whole)


def _rewritten(buffer: Buffer, body: Body) -> bool:
    """Whether every iteration writes all of `buffer`, so that afterwards its value is that of the last iteration."""
    writes = [a for u in body.units for a in u.accesses if a.buffer is buffer and a.writes and not a.reads]
    whole = whole_region(buffer)
    return whole is not None and covers([a.region for a in writes if a.region and a.exact and a.guard == TRUE], whole)


def _last_version(extent: Expr, versions: int, untouched: Expr | None) -> Expr | None:
    """The version that the last iteration used; the one from before for a loop that does not run."""
    if isinstance(extent, Const):
        return Const((int(extent.value) - 1) % versions) if int(extent.value) > 0 else untouched
    return None if untouched is None else Select(lt(0, extent), (extent - 1) % versions, untouched)


def _assign(state: State, new: State) -> None:
    state.clear()
    state.update(new)


def _forget(state: State, block: Block) -> None:
    """Versions that are written with variables of `block` cannot be named after it."""
    if not any(v is not None and not isinstance(v, Const) for v in state.values()):
        return
    local = set(bound_in(block))
    for b, v in state.items():
        if v is not None and any(n in local for n in walk(v) if isinstance(n, Var)):
            state[b] = None
