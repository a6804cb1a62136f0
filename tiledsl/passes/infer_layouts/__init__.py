"""Every fragment gets a register layout, every shared buffer an arrangement, every element-wise loop its threads.

The method is algorithms.md part B: demands of instructions, what follows from them, and a search over free choices
that minimises registers. `rules` holds the rules, `solver` the search, `verify` the check.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import cast

from tiledsl.analysis.elementwise import as_parallel
from tiledsl.analysis.gemm_plan import ANNOTATED, plan_gemm
from tiledsl.analysis.loop_access import LoopAccess, inlined, loop_accesses, reduced_lines
from tiledsl.analysis.ranges import variable_ranges
from tiledsl.analysis.vector_width import Divisors, Ranges, assumed_divisors
from tiledsl.errors import Span, error, locating
from tiledsl.ir.concurrent import Role, Roles
from tiledsl.ir.layout import Fragment, Layout, fully_replicated
from tiledsl.ir.layout_ops import replicate
from tiledsl.ir.nodes import (
    Assigned,
    Buffer,
    Const,
    Expr,
    For,
    Kernel,
    Launch,
    Let,
    Load,
    Node,
    Region,
    Space,
    Stmt,
    Store,
    Var,
    View,
    static_shape,
)
from tiledsl.ir.printer import text
from tiledsl.ir.tile import Atomic, Copy, Gemm, Parallel, Reduce, Scan, region_of
from tiledsl.ir.walk import children, map_children, walk
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import layouts_assigned, tile_stage
from tiledsl.passes.infer_layouts.demands import Assignment, Clash, Level, Op, Setting
from tiledsl.passes.infer_layouts.loops import plans
from tiledsl.passes.infer_layouts.moved import check_moved, check_sent
from tiledsl.passes.infer_layouts.rules import choose_loop
from tiledsl.passes.infer_layouts.shared import choose_shared
from tiledsl.passes.infer_layouts.solver import Problem, solve
from tiledsl.target import Target
from tiledsl.verifiers.layouts import verify_assigned

Accesses = tuple[LoopAccess, ...]
LAID_OUT = (Space.FRAGMENT, Space.SHARED)


@dataclass(frozen=True)
class LayoutPlan:
    """What inference decided. `loops` holds the layout of each Parallel loop in program order.

    `notes` name the products that the tensor core cannot make by itself, on a target where it makes others so.
    """

    layouts: Mapping[Buffer, Assignment]
    loops: tuple[Fragment, ...]
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        lines = [f"{b.name}: {a.layout}  # {a.why}" for b, a in self.layouts.items()]
        return "\n".join([*lines, *(f"loop {i}: {f}" for i, f in enumerate(self.loops))])


@kernel_pass(requires=[tile_stage], ensures=[layouts_assigned], verify=verify_assigned)
def infer_layouts(kernel: Kernel, *, target: Target) -> Kernel:
    """Chooses the layouts of fragments, shared buffers and element-wise loops; the latter all become Parallel.

    Raises TileError TD03xx where statements demand what no layout satisfies.
    """
    divisors, ranges = assumed_divisors(kernel), variable_ranges(kernel)
    launches = []
    for launch in kernel.launches:
        launch = with_loops(launch)
        launches.append(apply(launch, plan(launch, target, divisors, ranges)))
    return replace(kernel, launches=tuple(launches))


def with_loops(launch: Launch) -> Launch:
    """The launch with copies, fills, atomics and transposes written as Parallel loops."""

    def rule(n: Node) -> Node:
        if isinstance(n, Role):
            return map_children(n, rule)
        if not isinstance(n, Stmt):
            return n
        with locating(n.span):
            loop = as_parallel(n)
        return loop if loop is not None else map_children(n, rule)

    return replace(launch, body=tuple(cast(Stmt, rule(s)) for s in launch.body))


def apply(launch: Launch, planned: LayoutPlan) -> Launch:
    """The launch with the plan's layouts in its table and on its loops."""
    loops = iter(planned.loops)

    def rule(n: Node) -> Node:
        if isinstance(n, Parallel):
            return replace(n, layout=next(loops))
        return map_children(n, rule) if isinstance(n, Stmt | Role) else n

    body = tuple(cast(Stmt, rule(s)) for s in launch.body)
    kept = tuple(a for a in launch.layouts if a.buffer not in planned.layouts)
    table = tuple(Assigned(b, a.layout, a.why) for b, a in planned.layouts.items())
    return replace(launch, body=body, layouts=kept + table, notes=launch.notes + planned.notes)


def plan(launch: Launch, target: Target, divisors: Divisors | None = None, ranges: Ranges | None = None) -> LayoutPlan:
    """The layouts for a launch whose element-wise statements are loops. Deterministic; changes nothing."""
    collected = _Collector(launch.num_threads)
    collected.block(launch.body)
    moved = {b: tuple(r for r, _ in regions) for b, regions in collected.moved.items()}
    sent = tuple((a, b) for a, b, _ in collected.sent)
    setting = Setting(target, launch.num_threads, divisors or {}, ranges or {}, moved, sent)
    problem = _problem(collected, setting)
    given = _given(launch, collected.threads_of)
    for op in problem.ops:
        if isinstance(op.stmt, Parallel) and op.stmt.layout is not None:
            _check_loop(op.stmt, op.stmt.layout, op.threads)
    for buffer, (index, span) in collected.floating.items():
        why = f"scalar code that accesses '{buffer.name}[{index}]'"
        f = fully_replicated(static_shape(buffer), collected.threads_of[buffer])
        held = given.setdefault(buffer, Assignment(f, why, span, uniform=index))
        if isinstance(held.layout, Fragment) and held.layout.replication != collected.threads_of[buffer]:
            raise error("TD0302", span, buffer=buffer.name, index=index, why="its annotation spreads it")
    state = solve(problem, given)
    for buffer in collected.buffers:  # allocated or printed, but used by no statement that decides
        if buffer.space is Space.FRAGMENT and buffer not in state:
            layout = next(plans(static_shape(buffer), collected.threads_of[buffer], 1, True))
            state[buffer] = Assignment(layout, "no statement asks for another", level=Level.FREE)
    state, rearranged = choose_shared(problem, state, [b for b in collected.buffers if b.space is Space.SHARED])
    chosen = {b: (a.layout, a.why, a.span) for b, a in state.items()}
    check_moved(collected.moved, chosen)
    check_sent(collected.sent, chosen)
    loops = []
    for op in problem.ops:
        if isinstance(op.stmt, Parallel):
            loop = rearranged.get(op.index) or choose_loop(op, state, Level.FREE, problem.setting_of(op))
            if isinstance(loop, Clash):
                raise loop.raised
            assert loop is not None
            loops.append(loop)
    ordered = {b: state[b] for b in collected.buffers if b in state}
    notes = dict.fromkeys(note for op in problem.ops if (note := _note(op, problem.setting_of(op), ordered)))
    return LayoutPlan(ordered, tuple(loops), tuple(notes))


def _note(op: Op, setting: Setting, layouts: Mapping[Buffer, Assignment]) -> str:
    """How a product is made, and why, where that is not by wgmma though the target has it."""
    if not isinstance(op.stmt, Gemm) or "wgmma" not in setting.target.features:
        return ""
    given = {b: a.layout for b, a in layouts.items() if a.why in ANNOTATED}
    plan = plan_gemm(op.stmt, setting.num_threads, setting.target, given)
    return f"product at line {op.stmt.span.line}: by {plan.kind}, as {plan.refused}" if plan.refused else ""


def _given(launch: Launch, threads_of: Mapping[Buffer, int]) -> dict[Buffer, Assignment]:
    """The user's annotations. A fragment for fewer threads than hold it is replicated over the others."""
    given: dict[Buffer, Assignment] = {}
    for a in launch.layouts:
        if a.buffer.space not in LAID_OUT:
            continue
        layout = a.layout
        if tuple(layout.shape) != tuple(a.buffer.shape):
            why = f"it is for shape {layout.shape}, the buffer has {tuple(a.buffer.shape)}"
            raise error("TD0307", launch.span, buffer=a.buffer.name, why=why)
        threads = threads_of.get(a.buffer, launch.num_threads)
        if isinstance(layout, Fragment) and layout.num_threads != threads:
            if threads % layout.num_threads:
                holder = "block" if threads == launch.num_threads else "role"
                why = f"it is for {layout.num_threads} threads, the {holder} has {threads}"
                raise error("TD0307", launch.span, buffer=a.buffer.name, why=why)
            layout = replicate(layout, threads // layout.num_threads)
        given[a.buffer] = Assignment(layout, a.why, launch.span)
    return given


def _check_loop(stmt: Parallel, layout: Fragment, threads: int) -> None:
    if layout.shape != stmt.extents or layout.num_threads != threads:
        why = f"it is for {layout.shape} and {layout.num_threads} threads, the loop has {stmt.extents} and {threads}"
        raise error("TD0307", stmt.span, buffer="the loop", why=why)


# ------------------------------------------------------------------------------------------------------- collection


class _Collector:
    """One walk over a launch in program order: statements, buffers, views, binds, fragments in scalar code."""

    def __init__(self, threads: int) -> None:
        self.threads = threads  # that execute the statement in hand
        self.threads_of: dict[Buffer, int] = {}
        self.moved: dict[Buffer, list[tuple[Region, Span]]] = {}  # by the copy engine, and where
        self.sent: list[tuple[Region, Region, Span]] = []  # from and to, by copies to other blocks, and where
        self.ops: list[Op] = []
        self.buffers: dict[Buffer, None] = {}
        self.views: list[View] = []
        self.floating: dict[Buffer, tuple[str, Span]] = {}  # the index, as text, and the place
        self.lets: dict[Var, Expr] = {}

    def block(self, stmts: tuple[Stmt, ...], serial: tuple[tuple[Var, int], ...] = ()) -> None:
        for stmt in stmts:
            self.statement(stmt, serial)

    def statement(self, stmt: Stmt, serial: tuple[tuple[Var, int], ...]) -> None:
        match stmt:
            case Parallel():
                self.loop(stmt, serial)
                return
            case Roles(roles):
                for role in roles:
                    outer, self.threads = self.threads, role.threads
                    self.block(role.body, serial)
                    self.threads = outer
                return
            case Copy(src=Region() as source, dst=target, rank=Expr()):
                self.sent.append((source, target, stmt.span))
                self.add(stmt, [source.buffer, target.buffer])
            case Copy(bulk=True) | Atomic(bulk=True):
                tile = stmt.dst if stmt.dst.buffer.space is Space.SHARED else region_of(stmt.src)
                self.seen(tile.buffer)
                self.moved.setdefault(tile.buffer, []).append((tile, stmt.span))
                for moved in (stmt.src, stmt.dst):  # one thread evaluates them, and it may be any
                    self.scalars(moved, stmt.span)
            case Gemm() | Reduce() | Scan():
                used = [r.buffer for r in children(stmt) if hasattr(r, "buffer")]
                self.add(stmt, used, shared=reduced_lines(stmt, serial) if isinstance(stmt, Reduce) else ())
                for region in children(stmt):
                    self.scalars(region, stmt.span)
                return
            case Let(var, value):
                self.lets[var] = inlined(value, self.lets)
            case View():
                self.views.append(stmt)
            case Store(buffer, indices) if buffer.space is Space.FRAGMENT:
                self.floating.setdefault(buffer, (_spelled(indices), stmt.span))
            case For(var, Const(int(extent))):
                serial = (*serial, (var, extent))
        for child in children(stmt):
            if isinstance(child, Stmt):
                self.statement(child, serial)
            elif isinstance(child, Expr):
                self.scalars(child, stmt.span)
            elif isinstance(child, Buffer):
                self.seen(child)

    def loop(self, stmt: Parallel, serial: tuple[tuple[Var, int], ...]) -> None:
        found = loop_accesses(stmt, self.lets, serial)
        fragments = tuple(a for a in found if a.buffer.space is Space.FRAGMENT)
        shared = tuple(a for a in found if a.buffer.space is Space.SHARED)
        by_buffer = {a.buffer: tuple(x for x in fragments if x.buffer is a.buffer) for a in fragments}
        _check_order(by_buffer, stmt)
        used = dict.fromkeys(n for s in stmt.body for n in walk(s) if isinstance(n, Buffer))
        self.add(stmt, [*used, *by_buffer], fragments, by_buffer, shared)

    def add(
        self,
        stmt: Stmt,
        used: list[Buffer],
        accesses: Accesses = (),
        by_buffer: Mapping[Buffer, Accesses] | None = None,
        shared: Accesses = (),
    ) -> None:
        laid_out = tuple(dict.fromkeys(b for b in used if b.space in LAID_OUT))
        for buffer in laid_out:
            self.seen(buffer)
        reads_global = any(b.space is Space.GLOBAL for b in used)
        self.ops.append(
            Op(len(self.ops), stmt, laid_out, accesses, by_buffer or {}, shared, reads_global, self.threads)
        )

    def seen(self, buffer: Buffer) -> None:
        if buffer.space in LAID_OUT:
            self.buffers.setdefault(buffer)
            self.threads_of.setdefault(buffer, self.threads)

    def scalars(self, node: Node, span: Span) -> None:
        """Loads outside of loops: every thread makes them, so every thread must hold the element."""
        for n in walk(node):
            if isinstance(n, Load) and n.buffer.space is Space.FRAGMENT:
                self.seen(n.buffer)
                self.floating.setdefault(n.buffer, (_spelled(n.indices), span))


def _check_order(by_buffer: Mapping[Buffer, Accesses], stmt: Parallel) -> None:
    """A fragment that the loop writes must be accessed at the written place only."""
    for buffer, accesses in by_buffer.items():
        written = next((a for a in accesses if a.writes), None)
        other = next((a for a in accesses if written is not None and a.indices != written.indices), None)
        if written is not None and other is not None:
            raise error(
                "TD0304",
                other.span,
                buffer=buffer.name,
                written=_spelled(written.indices),
                other=_spelled(other.indices),
            )


def _spelled(indices: tuple[Expr, ...]) -> str:
    return ", ".join(text(i) for i in indices)


def _problem(collected: _Collector, setting: Setting) -> Problem:
    users: dict[Buffer, list[int]] = {}
    for op in collected.ops:
        for buffer in op.uses:
            users.setdefault(buffer, []).append(op.index)
    groups: dict[Buffer, list[Buffer]] = {}
    for view in collected.views:
        if view.source.space in LAID_OUT:
            group = groups.setdefault(view.source, [view.source])
            group.append(view.buffer)
            groups[view.buffer] = group
    aliases = {b: tuple(o for o in group if o is not b) for b, group in groups.items()}
    for buffer, others in aliases.items():  # a user of an alias is a user of the storage
        for other in others:
            users[buffer] = sorted({*users.get(buffer, []), *users.get(other, [])})
    frozen = {b: tuple(ids) for b, ids in users.items()}
    return Problem(tuple(collected.ops), setting, aliases, frozen)


def layouts_of(launch: Launch) -> dict[Buffer, Fragment | Layout]:
    """The launch's table of layouts."""
    return {a.buffer: a.layout for a in launch.layouts}
