"""Plans that put statements before others: barriers, fences and turns, each with what asked for it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from tiledsl.analysis.arrivals import Path
from tiledsl.errors import NOWHERE, Span
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.nodes import Barrier, Block, For, If, Stmt, While
from tiledsl.passes.scoped import role_barrier

# From the place, where what follows is in the program, and the barrier of those who execute it.
Make = Callable[[Path, Span, Barrier], Block]


def put_before(
    block: Block, places: Collection[Path], make: Make, path: Path = (), whole: Barrier | None = None
) -> Block:
    """`block`, which stands at `path`, with what `make` gives before the statements at `places`.

    The place behind the last statement of a block is its end.
    """
    around = whole or Barrier()

    def inner(block: Block, at: Path, own: Barrier = around) -> Block:
        return put_before(block, places, make, at, own)

    out: list[Stmt] = []
    for i, s in enumerate(block):
        here = (*path, i)
        if here in places:
            out += make(here, s.span, around)
        if any(p[: len(here)] == here and len(p) > len(here) for p in places):
            match s:
                case For(body=body) | While(body=body):
                    s = replace(s, body=inner(body, here))
                case If(_, then, orelse):
                    s = replace(s, then=inner(then, (*here, 0)), orelse=inner(orelse, (*here, 1)))
                case Roles(roles):
                    bodies = [inner(r.body, (*here, n), role_barrier(n, r)) for n, r in enumerate(roles)]
                    s = replace(s, roles=tuple(replace(r, body=body) for r, body in zip(roles, bodies)))
        out.append(s)
    end = (*path, len(block))
    return (*out, *(make(end, NOWHERE, around) if end in places else ()))


def described(s: Stmt) -> str:
    """The kind of a statement, and its line if it has one."""
    return f"{type(s).__name__.lower()} at line {s.span.line}" if s.span.line else type(s).__name__.lower()


def listed(places: Mapping[Path, Sequence[object]], otherwise: str) -> str:
    """What stands before which statement, line by line; `otherwise` if there is nothing."""
    rows: list[str] = []
    for path, reasons in sorted(places.items()):
        rows += [f"before {'.'.join(map(str, path))}:", *(f"    {r}" for r in dict.fromkeys(map(str, reasons)))]
    return "\n".join(rows) or otherwise
