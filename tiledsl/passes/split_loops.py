"""split-loops: a loop with products becomes two where a condition in it changes its value, and neither asks any more.

Of the blocks of keys that causal attention goes over only those on the diagonal are masked. The condition that says so
compares an affine function of the loop variable with what the loop does not change, so it holds from some iteration on,
or up to one. There the loop is split. The second one goes on with the slots, phases and products of the first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from tiledsl.analysis.uniform import Uniform, uniform_values
from tiledsl.ir.concurrent import Role
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.fresh import bound_in, copied
from tiledsl.ir.nodes import (
    FALSE,
    TRUE,
    Alloc,
    AsyncCommit,
    Binary,
    Block,
    Break,
    Cast,
    Const,
    Continue,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Node,
    Serial,
    Space,
    Stmt,
    Store,
    Var,
)
from tiledsl.ir.simplify import simplify
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import map_children, statements, substitute, walk
from tiledsl.passes.base import kernel_pass, with_launches
from tiledsl.passes.facts import thread_stage
from tiledsl.verifiers.split import verify_split


@kernel_pass(requires=(thread_stage,), ensures=(thread_stage,), verify=verify_split)
def split_loops(kernel: Kernel, *, enabled: bool = True) -> Kernel:
    """Splits loops that issue products where a condition in them changes its value.

    Safe because the parts have all iterations in their order, and in each the condition has the value that it had.
    """
    if not enabled:
        return kernel
    return with_launches(kernel, (_split_launch(kernel, launch) for launch in kernel.launches))


def _split_launch(kernel: Kernel, launch: Launch) -> Launch:
    candidates = [s for s in statements(launch) if isinstance(s, For) and _issues(s) and next(guards(s), None)]
    if not candidates:
        return launch
    uniform = uniform_values(kernel, launch)
    chosen = {id(s): place for s in candidates if (place := find_place(s, uniform)) is not None}

    def rule(node: Node) -> Node | Block:
        if id(node) in chosen:
            assert isinstance(node, For)
            return split(node, chosen[id(node)])
        return map_children(node, rule) if isinstance(node, Stmt | Launch | Role) else node

    result = rule(launch) if chosen else launch
    assert isinstance(result, Launch)
    return result


# --------------------------------------------------------------------------------------------------------------- plan


@dataclass(frozen=True, slots=True)
class Place:
    """`condition` is `before` in the first `trips` iterations, and the opposite in all others.

    `trips` may be negative, or more than there are.
    """

    condition: Expr
    trips: Expr
    before: bool


def _issues(loop: For) -> bool:
    """Whether the loop itself issues products; loops that are left early keep their iterations."""
    if not isinstance(loop.kind, Serial) or any(isinstance(s, Break | Continue) for s in statements(loop)):
        return False
    return any(isinstance(s, AsyncCommit) and s.queue == "product" for s in loop.body)


def guards(loop: For) -> Iterator[If]:
    """Conditionals of the body that do work on tiles: a loop, in which something is stored."""
    for s in loop.body:
        if isinstance(s, If) and any(isinstance(x, For) and any(map(_stores, statements(x))) for x in statements(s)):
            yield s


def _stores(s: Stmt) -> bool:
    return isinstance(s, Store)


def find_place(loop: For, uniform: Uniform) -> Place | None:
    """Where the loop may be split: by the first comparison that allows it, which all threads decide alike."""
    inside = set(bound_in(loop.body))
    for guard in guards(loop):
        for part in _parts(guard.cond):
            place = _turning_point(part, loop.var)
            names = {n for n in walk(part) if isinstance(n, Var)}
            if place is not None and not names & inside and uniform(part) and uniform(loop.extent):
                return place
    return None


def _parts(cond: Expr) -> Iterator[Binary]:
    """The comparisons that `cond` joins by "and" and "or"."""
    if isinstance(cond, Binary) and cond.op in ("and", "or"):
        yield from _parts(cond.a)
        yield from _parts(cond.b)
    elif isinstance(cond, Binary):
        yield cond


def _turning_point(cond: Binary, var: Var) -> Place | None:
    """Of a comparison that says `step * var + rest >= 0`."""
    if cond.op not in ("<", "<=", ">", ">=") or dtype_of(cond.a) is not INDEX or not _is_plain(cond):
        return None
    less, more = (cond.b, cond.a) if cond.op in (">", ">=") else (cond.a, cond.b)
    difference = more - less - (1 if cond.op in ("<", ">") else 0)
    step = simplify(substitute(difference, {var: var + 1}) - difference, {})
    if not isinstance(step, Const) or not step.value:
        return None
    rest, by = substitute(difference, {var: Const(0)}), int(step.value)
    if by > 0:
        return Place(cond, (rest * -1 + (by - 1)) // by, before=False)
    return Place(cond, rest // -by + 1, before=True)


def _is_plain(e: Expr) -> bool:
    """Whether it is arithmetic on variables, which a loop does not change."""
    return all(isinstance(n, Const | Var | Binary | Cast) for n in walk(e))


# -------------------------------------------------------------------------------------------------------------- apply


def split(loop: For, place: Place) -> Block:
    """The two loops; what stands before them is the number of the first one's iterations, and the tiles of both."""
    trips, first, rest = Var("trips"), Var("first"), Var(loop.var.name)
    begin = Binary("min", Binary("max", place.trips, Const(0)), trips)
    tiles, body = _shared_apart(loop.body)
    low = _decided(body, place, place.before)
    high = copied(_decided(body, place, not place.before), {loop.var: first + rest})
    return (
        *tiles,
        Let(trips, loop.extent, span=loop.span),
        Let(first, begin, span=loop.span),
        replace(loop, extent=first, body=low),
        replace(loop, var=rest, extent=trips - first, body=high),
    )


def _shared_apart(body: Block) -> tuple[Block, Block]:
    """Allocations in shared memory, whose places are planned by now, and the rest of the body."""
    tiles = tuple(s for x in body for s in walk(x) if isinstance(s, Stmt) and _is_shared(s))

    def rule(node: Node) -> Node | Block:
        return () if _is_shared(node) else map_children(node, rule) if isinstance(node, Stmt) else node

    return tiles, tuple(s for s in (rule(x) for x in body) if isinstance(s, Stmt))


def _is_shared(node: Node) -> bool:
    return isinstance(node, Alloc) and node.buffer.space in (Space.SHARED, Space.BARRIER)


def _decided(body: Block, place: Place, value: bool) -> Block:
    """The body where the condition has that value."""

    def rule(node: Node) -> Node:
        if node is place.condition:
            return TRUE if value else FALSE
        return map_children(node, rule)

    found = tuple(rule(s) for s in body)
    return tuple(s for s in found if isinstance(s, Stmt))
