"""Arrangements of the shared buffers for which no instruction asks: row-major, unless that costs bank conflicts.

Where it does, layouts of the buffers, and the threads of loops that use no fragment, are chosen together so that the
wavefronts of all accesses, counted exactly, are fewest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np

from tiledsl.analysis.bank_conflicts import candidates, wavefronts
from tiledsl.analysis.loop_access import WARP, LoopAccess, coordinates, first_points
from tiledsl.analysis.vector_width import ACCESS_BITS, access_width
from tiledsl.ir.layout import Digit, Fragment, Layout, Swizzle, compose, partition, row_major
from tiledsl.ir.layout_ops import canonical, separable_partition, vector_width
from tiledsl.ir.nodes import Buffer, static_shape
from tiledsl.ir.swizzle import contiguous_run
from tiledsl.ir.tile import Parallel, Reduce
from tiledsl.passes.infer_layouts.demands import Assignment, Level, Op, Setting
from tiledsl.passes.infer_layouts.moved import layouts_to_send, movable_layouts
from tiledsl.passes.infer_layouts.rules import choose_loop
from tiledsl.passes.infer_layouts.solver import Problem, State

WORD_BITS = 32
SAMPLES = 4  # accesses of a warp that are looked at

Cost = tuple[int, int]  # (wavefronts beyond the least possible, wavefronts and instructions) of a warp


def choose_shared(problem: Problem, state: State, buffers: Sequence[Buffer]) -> tuple[State, dict[int, Fragment]]:
    """`state` with a layout for each of `buffers`, and loops, by statement, that should not have their usual one."""
    undecided = [b for b in buffers if b not in state]
    out = dict(state)
    for b in undecided:
        out[b] = Assignment(_plain(b, problem.setting), "row-major by default", level=Level.FREE)
    search = _Search(problem, out)
    sent = {r.buffer for pair in problem.setting.sent for r in pair}
    _send(search, out, [b for b in undecided if b in sent], sent)
    loops: dict[int, Fragment] = {}
    for b in (b for b in undecided if b not in sent):
        if search.cost([b], loops)[0] and len(b.shape) >= 2 and not problem.aliases.get(b):
            together = search.neighbours(b, undecided)
            layouts, changed = search.best(together)
            for buffer, layout in layouts.items():
                out[buffer] = Assignment(layout, "fewest bank conflicts", level=Level.FREE)
            loops.update(changed)
    return out, loops


def _send(search: _Search, out: State, undecided: Sequence[Buffer], sent: set[Buffer]) -> None:
    """Layouts for tiles that are copied to other blocks, or from there: of those in which that can be done the ones
    of fewest bank conflicts, row-major first. Tiles that are seen through views keep theirs. What cannot be done is
    refused when all layouts are known.
    """
    setting, aliases = search.problem.setting, search.problem.aliases
    waiting = {b for b in undecided if not aliases.get(b)}
    for b in [b for b in undecided if b in waiting]:
        known = {x: search.layout(x) for x in sent if x not in waiting}
        choices = layouts_to_send(b, setting.sent, setting.moved, known)
        alike = [x for x in undecided if x in waiting and static_shape(x) == static_shape(b)]
        if choices:
            best = min(choices, key=lambda layout: sum(search.cost_of(x, layout, {})[0] for x in alike))
            out[b] = Assignment(best, "copies to other blocks", level=Level.FREE)
        waiting.remove(b)


class _Search:
    """Costs under the layouts in `state`, which the caller updates."""

    def __init__(self, problem: Problem, state: State) -> None:
        self.problem = problem
        self.state = state
        self._costs: dict[object, Cost] = {}
        self._loops: dict[object, Fragment | None] = {}

    def users(self, buffer: Buffer) -> list[Op]:
        return [op for op in self.problem.ops if any(a.buffer is buffer for a in op.shared)]

    def neighbours(self, buffer: Buffer, undecided: Sequence[Buffer]) -> list[Buffer]:
        """`buffer` and the undecided ones that a statement without fragments accesses together with it."""
        near = [buffer]
        for op in self.users(buffer):
            if not op.accesses:
                near += [a.buffer for a in op.shared if a.buffer in undecided and len(a.buffer.shape) >= 2]
        return list(dict.fromkeys(near))

    def cost(self, buffers: Sequence[Buffer], loops: Mapping[int, Fragment]) -> Cost:
        """Of all accesses to `buffers`."""
        found = [self.cost_of(b, self.layout(b), loops) for b in buffers]
        return sum(c[0] for c in found), sum(c[1] for c in found)

    def layout(self, buffer: Buffer) -> Layout:
        layout = self.state[buffer].layout
        assert isinstance(layout, Layout)
        return layout

    def best(self, buffers: Sequence[Buffer]) -> tuple[dict[Buffer, Layout], dict[int, Fragment]]:
        """The layouts and loops of least cost: one loop, or all that are alike, is varied, and each buffer then takes
        its best layout. What the loops access beside `buffers` has its layout, and counts too.
        """
        crossing = [op for op in self.problem.ops if not op.accesses and any(a.buffer in buffers for a in op.shared)]
        crossing = [op for op in crossing if isinstance(op.stmt, Parallel) and _excess(self, op, buffers)]
        beside = [a.buffer for op in crossing for a in op.shared if a.buffer not in buffers]
        choices: list[dict[int, Fragment]] = [{}]
        choices += [{op.index: loop} for op in crossing for loop in _loops(op, self.threads_of(op))]
        for alike in self.alike(crossing):
            choices += [{op.index: loop for op in alike} for loop in _loops(alike[0], self.threads_of(alike[0]))]
        best: tuple[Cost, dict[Buffer, Layout], dict[int, Fragment]] | None = None
        for number, loops in enumerate(choices):
            layouts: dict[Buffer, Layout] = {}
            total = self.cost(list(dict.fromkeys(beside)), loops)
            for b in buffers:
                costs = [(self.cost_of(b, layout, loops), layout) for layout in _layouts(b, self.problem.setting)]
                least, layouts[b] = min(costs, key=lambda c: c[0])
                total = (total[0] + least[0], total[1] + least[1])
            if best is None or total < best[0]:
                best = (total, layouts, loops)
            # The usual loop and the widest come first: further ones are tried only to get rid of conflicts.
            if number and best[0][0] == 0:
                break
        assert best is not None
        return best[1], best[2]

    def threads_of(self, op: Op) -> int:
        return self.problem.setting_of(op).num_threads

    def alike(self, ops: Sequence[Op]) -> list[list[Op]]:
        """Those of several loops with the same extents and threads, such as the first step of a pipeline and others."""
        groups: dict[object, list[Op]] = {}
        for op in ops:
            assert isinstance(op.stmt, Parallel)
            groups.setdefault((op.stmt.extents, self.threads_of(op)), []).append(op)
        return [group for group in groups.values() if len(group) > 1]

    def usual_loop(self, op: Op, buffer: Buffer, layout: Layout) -> Fragment | None:
        """The loop of `op` if `buffer` has `layout`, of which only the contiguous runs matter."""
        if isinstance(op.stmt, Reduce):
            return self.results(op)
        key = (op.index, buffer, contiguous_run(layout))
        if key not in self._loops:
            state = {**self.state, buffer: Assignment(layout, "", level=Level.FREE)}
            loop = choose_loop(op, state, Level.FREE, self.problem.setting_of(op))
            self._loops[key] = loop if isinstance(loop, Fragment) else None
        return self._loops[key]

    def results(self, op: Op) -> Fragment:
        """The threads that reduce the lines of a tile in memory: those that hold the results."""
        s = op.stmt
        assert isinstance(s, Reduce)
        shape = s.src.extents[: s.dim] + s.src.extents[s.dim + 1 :]
        held = self.state[s.dst.buffer].layout if s.dst.buffer in self.state else None
        if isinstance(held, Fragment):
            return Fragment(shape, held.threads, held.regs)
        return partition(shape, self.problem.setting_of(op).num_threads, 1)

    def cost_of(self, buffer: Buffer, layout: Layout, loops: Mapping[int, Fragment]) -> Cost:
        excess = work = 0
        for op in self.users(buffer):
            loop = loops.get(op.index) or self.usual_loop(op, buffer, layout)
            for number, a in enumerate(op.shared):
                if loop is not None and a.buffer is buffer:
                    key = (op.index, number, loop, layout)
                    if key not in self._costs:
                        self._costs[key] = self.access_cost(a, loop, layout, isinstance(op.stmt, Parallel))
                    times = op.stmt.src.extents[op.stmt.dim] if isinstance(op.stmt, Reduce) else 1
                    excess, work = excess + self._costs[key][0] * times, work + self._costs[key][1] * times
        return excess, work

    def access_cost(self, a: LoopAccess, loop: Fragment, layout: Layout, vectors: bool = True) -> Cost:
        """Of one access by the first warp in all iterations, from a sample; in vectors or element by element."""
        bits = a.buffer.dtype.bits
        width = min(vector_width(loop), ACCESS_BITS // bits) if vectors else 1
        width = access_width(a.buffer, a.indices, a.vars[-1], width, {a.buffer: layout}, self.problem.setting.divisors)
        count = max(1, loop.num_regs // width)
        points = first_points(loop, width, SAMPLES)
        needed, least = wavefronts(_addresses(a, points, loop.shape, layout, bits), width * bits // 8)
        return (needed - least) * count // len(points), needed * count // len(points) + count


def _excess(search: _Search, op: Op, buffers: Sequence[Buffer]) -> int:
    loop = choose_loop(op, search.state, Level.FREE, search.problem.setting_of(op))
    if not isinstance(loop, Fragment):
        return 0
    touched = [a for a in op.shared if a.buffer in buffers]
    return sum(search.access_cost(a, loop, search.layout(a.buffer))[0] for a in touched)


def _addresses(a: LoopAccess, points: Any, shape: tuple[int, ...], layout: Layout, bits: int) -> Any:
    """Byte addresses of the points."""
    at = coordinates(a.indices, a.vars, shape, points)
    return layout.offset([np.clip(i, 0, extent - 1) for i, extent in zip(at, layout.shape)]) * bits // 8


# ------------------------------------------------------------------------------------------------------- candidates


def _plain(buffer: Buffer, setting: Setting) -> Layout:
    """Row-major; of a tile that the copy engine moves the layout of fewest boxes."""
    choices = movable_layouts(buffer, setting.moved) if buffer in setting.moved else []
    return choices[0] if choices else row_major(static_shape(buffer))


def _layouts(buffer: Buffer, setting: Setting) -> Iterator[Layout]:
    """Row-major, layouts of whole 16-byte chunks, rows padded by a word, finer swizzles; simplest first."""
    if buffer in setting.moved:
        yield from movable_layouts(buffer, setting.moved) or [row_major(static_shape(buffer))]
        return
    shape, bits = static_shape(buffer), buffer.dtype.bits
    lead, matrix = shape[:-2], shape[-2:]
    if lead:
        yield row_major(shape)
        yield row_major(shape, max(1, WORD_BITS // bits))
        return
    yield from candidates(matrix, bits)
    word = max(1, WORD_BITS // bits)
    yield row_major(matrix, word)
    rows, columns = matrix
    if columns & (columns - 1) or rows & (rows - 1):
        return
    wide = columns.bit_length() - 1
    for base in (word.bit_length() - 1, word.bit_length()):
        for skipped in range(3):
            n = min(5, wide - base, rows.bit_length() - 1 - skipped)
            shift = wide + skipped - base
            if n > 0 and shift >= n:
                yield Layout(matrix, row_major(matrix).dims, rows * columns, Swizzle(n, base, shift))


def _loops(op: Op, threads: int) -> Iterator[Fragment]:
    """Other loop layouts: narrower runs; blocks of lanes where no global access wants long rows."""
    stmt = op.stmt
    assert isinstance(stmt, Parallel)
    widest = max((ACCESS_BITS // a.buffer.dtype.bits for a in op.shared), default=1)
    for width in (w for w in (16, 8, 4, 2, 1) if w <= widest):
        if stmt.extents[-1] % width == 0 and prod(stmt.extents) % (threads * width) == 0:
            yield canonical(partition(stmt.extents, threads, width))
    if op.touches_global or len(stmt.extents) != 2 or threads % WARP:
        return
    for high in (2, 4, 8, 16):
        low = WARP // high
        if stmt.extents[0] % high == 0 and stmt.extents[1] % low == 0:
            lanes = Fragment((high, low), (Digit(high, low), Digit(low, 1)), ())
            warps = separable_partition((stmt.extents[0] // high, stmt.extents[1] // low), threads // WARP)
            if warps.replication == 1:
                yield canonical(compose(warps, lanes))
