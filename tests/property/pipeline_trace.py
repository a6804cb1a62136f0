"""What a program does, statement by statement: the tile interpreter with a record of every execution."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from pipeline_programs import TILE, TILES, Random, arguments

from tiledsl.cpu import tile_interp
from tiledsl.errors import Span
from tiledsl.ir.nodes import AtomicUpdate, Buffer, Kernel, Let, Node, Region, Space, Stmt, Store
from tiledsl.ir.tile import Copy, Fill, Parallel
from tiledsl.ir.walk import map_children

RECORDED = (Copy, Fill, Parallel, Store, AtomicUpdate)


def numbered(kernel: Kernel) -> Kernel:
    """The kernel with a line of its own for every statement, by which copies of it are recognised."""
    count = 0

    def visit(node: Node) -> Node:
        nonlocal count
        if isinstance(node, Stmt):
            count += 1
            node = replace(node, span=Span("program", count, 0, count, 0))
        return map_children(node, visit)

    result = visit(kernel)
    assert isinstance(result, Kernel)
    return result


@dataclass
class Trace:
    """`events`: (line, what the statement left behind) in order; `lets`: the values of every bind by its line.

    `commits` has the number of elements' copies in each group, `left` what was in flight at the end.
    """

    events: list[tuple[int, Any]] = field(default_factory=list)
    atomics: list[tuple[int, Any]] = field(default_factory=list)
    lets: dict[int, set[int]] = field(default_factory=dict)
    commits: list[int] = field(default_factory=list)
    left: int = 0

    def by_statement(self) -> dict[int, list[Any]]:
        result: dict[int, list[Any]] = {}
        for line, what in self.events:
            result.setdefault(line, []).append(what)
        return result


def traced(program: Random, kernel: Kernel, mode: str = "early") -> Trace:
    """The trace of `kernel` on the arguments of `program`, whose inputs have a different number in every element."""
    trace = Trace()

    class Machine(tile_interp.TileMachine):
        def execute(self, s: Stmt) -> None:
            if isinstance(s, tile_interp.ir.AsyncCommit):
                trace.commits.append(len(self.open))
            super().execute(s)
            if self.depth or not s.span.line:
                return
            if isinstance(s, Let):
                trace.lets.setdefault(s.span.line, set()).add(int(np.max(self.env[s.var])))
            elif isinstance(s, RECORDED) and not (isinstance(s, Store) and s.buffer not in self.memory):
                trace.events.append((s.span.line, self.left_behind(s)))
                if isinstance(s, AtomicUpdate):
                    trace.atomics.append(trace.events[-1])

        def left_behind(self, s: Any) -> Any:
            if isinstance(s, Parallel):
                return [self.contents(x.buffer, x.indices, x.version) for x in s.body if isinstance(x, Store)]
            place: Any = s.dst if isinstance(s, Copy | Fill) else s
            return self.contents(
                place.buffer,
                getattr(place, "offsets", getattr(place, "indices", ())),
                place.version if isinstance(place, Region | Store) else None,
            )

        def contents(self, b: Buffer, at: Any, version: Any) -> Any:
            data = self.memory[b].data[0 if version is None else int(np.max(self.index(version)))]
            if b.space is not Space.GLOBAL:
                return data.tolist()
            row = int(np.max(self.index(at[0])))
            return row, data[row].tolist() if row < len(data) else None

        def finish(self) -> None:
            super().finish()
            trace.left = len(self.open) + sum(map(len, self.groups))

    given = arguments(program.n)
    for i, name in enumerate(("A0", "A1")):
        given[name] = (np.arange(TILES * TILE, dtype=np.float32) + i * 1000).reshape(TILES, TILE)
    plain, tile_interp.TileMachine = tile_interp.TileMachine, Machine  # type: ignore[misc]
    try:
        tile_interp.run(kernel, given, mode=mode)  # type: ignore[arg-type]
    finally:
        tile_interp.TileMachine = plain  # type: ignore[misc]
    return trace
