"""What a program does, statement by statement: the tile interpreter with a record of every execution."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tiledsl.cpu import tile_interp
from tiledsl.errors import Span
from tiledsl.ir.nodes import AsyncCommit, AtomicUpdate, Buffer, Kernel, Let, Node, Space, Stmt, Store
from tiledsl.ir.tile import Copy, Fill, Parallel
from tiledsl.ir.walk import map_children
from tiledsl.testing.strategies.pipelines import TILE, TILES, PipelinedKernel, arguments

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


def traced(program: PipelinedKernel, kernel: Kernel, mode: str = "early") -> Trace:
    """The trace of `kernel` on the arguments of `program`, whose inputs have a different number in every element."""
    trace = Trace()

    class Machine(tile_interp.TileMachine):
        def execute(self, s: Stmt) -> None:
            if isinstance(s, AsyncCommit):
                trace.commits.append(len(self.queues["copy"].open))
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
                return [self.contents(x.buffer, (), (), x.version) for x in s.body if isinstance(x, Store)]
            if isinstance(s, Copy | Fill):
                return self.contents(s.dst.buffer, s.dst.offsets, s.dst.extents, s.dst.version)
            return self.contents(s.buffer, s.indices, (), None)

        def contents(self, b: Buffer, at: Any, extents: Any, version: Any) -> Any:
            """Where in global memory, and what stands in the box of `extents`, else in all of the tile or row."""
            data = self.memory[b].data[0 if version is None else int(np.max(self.index(version)))]
            start = [int(np.max(self.index(i))) for i in at]
            if b.space is Space.GLOBAL:
                return start, data[start[0]].tolist() if start[0] < len(data) else None
            return data[tuple(slice(i, i + n) for i, n in zip(start, extents))].tolist()

        def finish(self) -> None:
            super().finish()
            trace.left = len(list(self.queues["copy"]))

    given = arguments(program.n)
    for i, name in enumerate(("A0", "A1")):
        given[name] = (np.arange(TILES * TILE, dtype=np.float32) + i * 1000).reshape(TILES, TILE)
    plain, tile_interp.TileMachine = tile_interp.TileMachine, Machine  # type: ignore[misc]
    try:
        tile_interp.run(kernel, given, mode=mode)  # type: ignore[arg-type]
    finally:
        tile_interp.TileMachine = plain  # type: ignore[misc]
    return trace
