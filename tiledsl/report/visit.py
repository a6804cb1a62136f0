"""Walks a launch of the thread stage with tables of who executes what: all blocks, iterations and threads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from tiledsl.analysis.footprint import Unknown
from tiledsl.analysis.requests import LANES
from tiledsl.analysis.touches import blocks_of
from tiledsl.ir.concurrent import ClusterBarrier, Roles
from tiledsl.ir.nodes import (
    AtomCall,
    Barrier,
    Block,
    Call,
    Const,
    Expr,
    For,
    If,
    Launch,
    Let,
    Node,
    Stmt,
    Unrolled,
    Var,
    Vectorized,
    While,
    all_of,
    ge,
    lt,
)
from tiledsl.ir.ops import FUNCTIONS, Effect
from tiledsl.ir.walk import children, may_leave
from tiledsl.isa.table import atom_named
from tiledsl.report.domain import Array, Domain, sampled_axis, whole_axis

GRID_SAMPLES, LOOP_SAMPLES = 12, 16  # values of an axis that are looked at, unless all are asked for


@dataclass(slots=True)
class Visit:
    """The place at which the walk stands.

    `exact` is false below conditions and loops whose outcome depends on data, or on sizes that are not given: such a
    condition counts as true, such a loop as one iteration. `every` asks for all values of all axes.
    """

    domain: Domain
    every: bool = False
    exact: bool = True
    loops: int = 0  # loops around it that are not unrolled
    alone: int = 0  # of these and the unrolled ones, how many innermost ones in which no warp meets
    masks: list[Array] = field(default_factory=list)
    launched: bool = True

    def active(self, when: Sequence[Expr] = ()) -> tuple[Array, bool]:
        """A full table of who executes what stands here under the conditions `when`, and whether that is certain."""
        on: Array = self.domain.full(self.domain.exists)
        certain = self.exact
        for m in self.masks:
            on = on & self.domain.full(m)
        for e in when:
            found = self.condition(e)
            certain = certain and found is not None
            on = on if found is None else on & self.domain.full(found)
        return on, certain

    def condition(self, e: Expr) -> Any:
        """The table of a condition; None if it is not known."""
        try:
            return np.asarray(self.domain.value(e), bool)
        except Unknown:
            return None

    def times(self, when: Sequence[Expr] = ()) -> tuple[int, bool]:
        """How many threads, all blocks and iterations counted, execute what stands here."""
        on, certain = self.active(when)
        return int((on * self.domain.weights(on.shape)).sum()), certain

    @contextmanager
    def inside(
        self, *, mask: Any = None, certain: bool = True, loop: bool = False, alone: bool = False
    ) -> Iterator[None]:
        before = self.exact, self.loops, self.alone
        self.exact, self.loops, self.alone = self.exact and certain, self.loops + loop, self.alone + alone
        if mask is not None:
            self.masks.append(np.asarray(mask))
        try:
            yield
        finally:
            if mask is not None:
                self.masks.pop()
            self.exact, self.loops, self.alone = before


def walk(launch: Launch, numbers: Mapping[Var, int], every: bool = False) -> Iterator[tuple[Stmt, Visit]]:
    """Every statement in program order, with the place of the walk, which is valid until the next one is asked for.

    `numbers` are sizes and scalar parameters. Blocks whose number is not known count as one. `every`: look at all
    blocks and iterations instead of a sample.
    """
    domain = Domain(launch.num_threads, launch.thread, dict(numbers))
    visit = Visit(domain, every)
    yield from _blocks(launch, list(zip(launch.blocks, launch.grid)), visit)


def _blocks(launch: Launch, left: list[tuple[Var, Expr]], visit: Visit) -> Iterator[tuple[Stmt, Visit]]:
    if not left:
        yield from _walk(launch.body, visit)
        return
    (var, extent), *rest = left
    try:
        count = int(visit.domain.value(extent))
    except Unknown:
        count = 0
        visit.exact = False
    axis = whole_axis(count or 1) if visit.every else sampled_axis(count or 1, GRID_SAMPLES)
    with visit.domain.axis(var, axis):
        yield from _blocks(launch, rest, visit)


def _walk(block: Block, visit: Visit) -> Iterator[tuple[Stmt, Visit]]:
    for s in block:
        yield s, visit
        match s:
            case Let(var, value):
                visit.domain.bind(var, value)
            case For():
                yield from _loop(s, visit)
            case While(_, body):
                with visit.inside(certain=False, loop=True):
                    yield from _walk(body, visit)
            case If(cond, then, orelse):
                known = visit.condition(cond)
                with visit.inside(mask=known, certain=known is not None):
                    yield from _walk(then, visit)
                with visit.inside(mask=None if known is None else ~known, certain=known is not None):
                    yield from _walk(orelse, visit)
            case Roles(roles):
                thread = visit.domain.thread
                for role in roles:
                    visit.domain.bind(role.thread, thread - role.first)
                    members = all_of([ge(thread, role.first), lt(thread, role.first + role.threads)])
                    with visit.inside(mask=visit.condition(members)):
                        yield from _walk(role.body, visit)


def _loop(s: For, visit: Visit) -> Iterator[tuple[Stmt, Visit]]:
    try:
        extent = np.asarray(visit.domain.value(s.extent))
        most, certain = int(extent.max()), not may_leave(s.body)
    except Unknown:
        extent, most, certain = np.asarray(1), 1, False
    if most <= 0:
        return
    unrolled = isinstance(s.kind, Unrolled | Vectorized) and isinstance(s.extent, Const)
    axis = whole_axis(most) if visit.every or unrolled else sampled_axis(most, LOOP_SAMPLES)
    with visit.domain.axis(s.var, axis):
        varies = np.less(*visit.domain.aligned([visit.domain.value(s.var), extent])) if extent.min() < most else None
        with visit.inside(mask=varies, certain=certain, loop=not unrolled, alone=not _meets(s.body)):
            yield from _walk(s.body, visit)


def _meets(block: Block) -> bool:
    """Whether the lanes of a warp meet in this block: at a barrier, or in an operation of the warp."""
    return any(
        isinstance(s, Barrier | ClusterBarrier)
        or (isinstance(s, AtomCall) and atom_threads(s.atom) >= LANES)
        or any(isinstance(e, Call) and FUNCTIONS[e.fn].effect is Effect.COLLECTIVE for e in expressions(s))
        or any(_meets(inner) for inner in blocks_of(s))
        for s in block
    )


def atom_threads(name: str) -> int:
    row = atom_named(name)
    return row.threads if row is not None else 1


def expressions(s: Stmt) -> Iterator[Expr]:
    """Every expression of the statement itself, those of its blocks left out."""
    own: tuple[Node, ...]
    match s:
        case For(extent=e) | If(cond=e) | While(cond=e):
            own = (e,)
        case Roles():
            own = ()
        case _:
            own = tuple(children(s))
    stack = list(own)
    while stack:
        node = stack.pop()
        if isinstance(node, Expr):
            yield node
        stack.extend(children(node))
