"""Arrangements of the shared buffers for which no instruction asks: row-major, unless that costs bank conflicts."""

from __future__ import annotations

from collections.abc import Sequence

from tiledsl.ir.layout import row_major
from tiledsl.ir.nodes import Buffer, static_shape
from tiledsl.passes.layout_rules import Assignment, Level
from tiledsl.passes.layout_solver import Problem, State


def choose_shared(problem: Problem, state: State, buffers: Sequence[Buffer]) -> State:
    """`state` with a layout for each of `buffers` that has none."""
    out = dict(state)
    for buffer in buffers:
        if buffer not in out:
            out[buffer] = Assignment(row_major(static_shape(buffer)), "row-major by default", level=Level.FREE)
    return out
