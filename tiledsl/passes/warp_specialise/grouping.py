"""Which copies of the producer share barriers: neighbours with the same readers, or what the user asks for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiledsl.errors import error
from tiledsl.ir.nodes import Block, Buffer, For, Handover, Pipelined, Stmt
from tiledsl.passes.warp_specialise.channels import Candidate, block_at


@dataclass(frozen=True, slots=True)
class Group:
    """Copies in the order of the program, and the number of versions of their tiles."""

    copies: tuple[Candidate, ...]
    depth: int


def neighbours(found: Sequence[Candidate]) -> list[Group]:
    """Neighbours in one block with the same readers, with as many versions as their loop has stages."""
    groups: list[list[Candidate]] = []
    for c in found:
        if groups and _readers(groups[-1][-1]) == _readers(c):
            groups[-1].append(c)
        else:
            groups.append([c])
    return [Group(tuple(g), _depth(g[0].around)) for g in groups]


def as_asked(
    wanted: Sequence[Handover], found: Sequence[Candidate], reasons: Mapping[Buffer, str], body: Block
) -> list[Group]:
    """The user's groups in the order of the program.

    Raises TD0407 for a tile that the producer cannot copy, with the reason, and TD0408 for tiles that cannot share
    barriers: their readers wait for all of them and give all back, and the producer begins no other group in between.
    """
    at = {c.tile: i for i, c in enumerate(found)}
    for h in wanted:
        for tile in h.tiles:
            if tile not in at:
                raise error("TD0407", h.span, tile=tile.name, why=reasons.get(tile) or "nothing copies a tile to it")
    chosen = sorted(at[tile] for h in wanted for tile in h.tiles)
    groups: list[Group] = []
    for h in wanted:
        places = sorted(at[tile] for tile in h.tiles)
        copies = [found[i] for i in places]
        between = [found[i] for i in chosen if places[0] < i < places[-1] and i not in places]
        for c in copies[1:]:
            if why := _why_not_together(copies[0], c, body):
                raise _apart(h, copies[0], c, why)
        if between:
            why = f"the copy to '{between[0].tile.name}', which has other barriers, stands between them"
            raise _apart(h, copies[0], copies[-1], why)
        groups.append(Group(tuple(copies), h.depth))
    return sorted(groups, key=lambda g: at[g.copies[0].tile])


def _apart(h: Handover, a: Candidate, b: Candidate, why: str) -> Exception:
    notes = tuple((f"the copy to '{c.tile.name}'", c.copy.span) for c in (a, b))
    return error("TD0408", h.span, notes, first=a.tile.name, second=b.tile.name, why=why)


def _readers(c: Candidate) -> tuple[object, ...]:
    return c.block, c.first, c.last


def _why_not_together(a: Candidate, b: Candidate, body: Block) -> str:
    if a.block != b.block:
        return "they are copied in different loops or conditions"
    if _readers(a) == _readers(b):
        return ""
    block = block_at(body, a.path)
    first, second = (f"'{c.tile.name}' by {_lines(block, c.first, c.last)}" for c in (a, b))
    return f"other statements read them: {first}, {second}"


def _lines(block: Sequence[Stmt], first: int, last: int) -> str:
    start, stop = block[first].span.line, block[last].span.line
    return f"line {start}" if start == stop else f"lines {start} to {stop}"


def _depth(around: tuple[Stmt, ...]) -> int:
    """As many versions as the innermost loop has stages; one where that loop is not pipelined."""
    loops = [s for s in around if isinstance(s, For)]
    kind = loops[-1].kind if loops else None
    return max(1, kind.stages) if isinstance(kind, Pipelined) else 1
