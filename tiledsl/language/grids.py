"""Barriers of all blocks of a grid: the launch ends there, and another with the same blocks goes on.

Launches run in order, each sees what those before it wrote, and grids of any size can have one: no block waits for one
that has no room to begin. What a block keeps in its registers and its shared memory does not last.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tiledsl.errors import error
from tiledsl.frontend.source import fail
from tiledsl.ir.fresh import anew, bound_in
from tiledsl.ir.nodes import Alloc, Barrier, Block, Buffer, Launch, Let, Stmt, Var, View
from tiledsl.ir.ops import Effect
from tiledsl.ir.types import effect_of
from tiledsl.ir.walk import rewrite, walk
from tiledsl.language.tiles import begin


def sync_grid() -> None:
    """All blocks of the grid wait for each other, and see what the others wrote to global memory before.

    The launch ends here, and another with the same blocks goes on: any grid can have it, at the cost of a launch. So it
    stands in the T.Kernel block itself, under no loop, branch or role (TD0154), and what a block has in shared memory,
    fragments, private arrays and variables, or has read, does not last (TD0153): keep it in global memory
    (T.alloc_global). Numbers that are computed from those of blocks, threads and sizes do. `T.sync_grid()`, or
    `T.sync_global()`.
    """
    word = "T.sync_grid"
    tracer = begin(word)
    frame = tracer.launch(word)
    if tracer.frame is not frame:
        assert tracer.frame is not None
        raise fail("TD0154", where=tracer.frame.what)
    meeting = Barrier(span=tracer.here())
    tracer.emit(meeting)
    frame.meetings.append(meeting)


def parts_of(launch: Launch, meetings: Sequence[Barrier]) -> Iterator[Launch]:
    """The launches that stand for one with barriers of its grid. TD0153 for what would have to last."""
    parts: list[list[Stmt]] = [[]]
    for s in launch.body:
        if any(s is m for m in meetings):
            parts.append([])
        else:
            parts[-1].append(s)
    for n, part in enumerate(parts):
        before = [s for earlier in parts[:n] for s in earlier]
        body = _without_unused((*_carried(before, part, meetings[n - 1] if n else None), *part))
        bound = set(bound_in(body))
        layouts = tuple(a for a in launch.layouts if a.buffer in bound)
        made = replace(launch, body=body, layouts=layouts)
        if body:
            yield _renamed(made, [*launch.blocks, launch.thread, *bound]) if n else made


def _carried(before: Sequence[Stmt], part: Sequence[Stmt], meeting: Barrier | None) -> list[Stmt]:
    """The names and memory of earlier parts that `part` uses, made anew."""
    used = set(_names(part))
    found: list[Stmt] = []
    for s in reversed(before):
        names = [name for name in bound_in((s,)) if name in used]
        if not names:
            continue
        if not _can_be_made_anew(s, before):
            note = ("made here", s.span)
            raise error("TD0153", meeting.span if meeting else s.span, (note,), name=names[0].name)
        found.insert(0, s)
        used |= set(_names([s]))
    return found


def _names(block: Iterable[Stmt]) -> Iterator[Var | Buffer]:
    return (n for s in block for n in walk(s) if isinstance(n, Var | Buffer))


def _can_be_made_anew(s: Stmt, before: Sequence[Stmt]) -> bool:
    """Whether `s` gives the same in a later launch: a pure name, or memory that nobody has used so far."""
    match s:
        case Let(value=value):
            return effect_of(value) is Effect.PURE
        case Alloc(buffer=buffer):
            return buffer not in set(_names(x for x in before if x is not s))
        case View():
            return True
    return False


def _without_unused(body: Block) -> Block:
    """`body` without memory that only other parts use."""
    used = set(_names(s for s in body if not isinstance(s, Alloc)))
    return tuple(s for s in body if not isinstance(s, Alloc) or s.buffer in used)


def _renamed(launch: Launch, names: Iterable[Var | Buffer]) -> Launch:
    """The launch with names of its own: in a kernel each is bound once."""
    fresh = anew(names)
    made = rewrite(launch, lambda n: fresh.get(n, n) if isinstance(n, Var | Buffer) else n)
    assert isinstance(made, Launch)
    return made
