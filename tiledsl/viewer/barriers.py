"""The barriers of a kernel, each with the conflicts of accesses that asked for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tiledsl.ir.nodes import Barrier, Block, For, If, Kernel, Stmt, While
from tiledsl.ir.printer import Line
from tiledsl.passes.insert_barriers import make_barrier_plan
from tiledsl.passes.insert_barriers.items import Hazard
from tiledsl.viewer.places import Places


@dataclass(frozen=True)
class Access:
    """A statement: its number among the lines before the pass (-1: inside of none), its text and place."""

    line: int
    text: str
    place: str


@dataclass(frozen=True)
class Conflict:
    """`kind` is "write after read" and so on, of `buffer`."""

    kind: str
    buffer: str
    first: Access
    second: Access


@dataclass(frozen=True)
class BarrierView:
    """`line`: its number among the lines after the pass. `planned`: the pass put it there, for the `conflicts`.

    A barrier that the program had already stands `before` that statement without reasons.
    """

    launch: str
    line: int
    place: str
    planned: bool
    loops: tuple[str, ...]
    before: Access
    conflicts: tuple[Conflict, ...]


def barrier_views(
    before: Kernel, after: Kernel, printed: tuple[Sequence[Line], Sequence[Line]], places: Places
) -> tuple[BarrierView, ...]:
    """In program order. `printed` are the lines of the kernel before insert-barriers and after it."""
    old, new = printed
    where = {id(line.node): n for n, line in reversed(list(enumerate(old)))}

    def access(s: Stmt) -> Access:
        n = where.get(id(s), -1)
        return Access(n, old[n].text.strip() if n >= 0 else type(s).__name__.lower(), places.of(s.span))

    out = []
    lines = iter([n for n, line in enumerate(new) if isinstance(line.node, Barrier)])
    for launch in before.launches:
        plan = make_barrier_plan(before, launch).barriers
        for s, hazards, loops in _barriers(launch.body, plan, (), ()):
            conflicts = dict.fromkeys(_conflict(h, access(h.first), access(h.second)) for h in hazards or ())
            heads = tuple(access(l).text.removesuffix(" {") for l in loops)
            line, planned = next(lines), hazards is not None
            out.append(BarrierView(launch.name, line, places.of(s.span), planned, heads, access(s), tuple(conflicts)))
    return tuple(out)


def _conflict(h: Hazard, first: Access, second: Access) -> Conflict:
    return Conflict(h.kind, h.buffer.name, first, second)


Found = tuple[Stmt, tuple[Hazard, ...] | None, tuple[Stmt, ...]]


def _barriers(
    block: Block, plan: Mapping[tuple[int, ...], tuple[Hazard, ...]], path: tuple[int, ...], loops: tuple[Stmt, ...]
) -> Iterator[Found]:
    """In program order: the statement after a barrier, its hazards or None for one of the program, the loops around."""
    for i, s in enumerate(block):
        here = (*path, i)
        if here in plan:
            yield s, plan[here], loops
        if isinstance(s, Barrier):
            yield s, None, loops
        match s:
            case For(body=body) | While(body=body):
                yield from _barriers(body, plan, here, (*loops, s))
            case If(_, then, orelse):
                yield from _barriers(then, plan, (*here, 0), loops)
                yield from _barriers(orelse, plan, (*here, 1), loops)
