"""T.annotate_ws_schedule: what it leaves on the launch, and arguments that it does not take."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.frontend.trace import trace_kernel
from tiledsl.ir.nodes import Launch
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.walk import same


def traced(schedule: Callable[[Any, Any, Any], Any], twice: bool = False) -> tuple[str, Launch]:
    def kernel() -> None:
        with T.Kernel(1):
            A = T.alloc_shared((8, 8), "float16")
            B = T.alloc_shared((8, 8), "float16")
            F = T.alloc_fragment((8, 8), "float16")
            T.annotate_ws_schedule(schedule(A, B, F))
            if twice:
                T.annotate_ws_schedule(schedule(A, B, F))

    made = trace_kernel(kernel, {}, {})
    assert same(parse(text(made)), made)
    return text(made), made.launches[0]


def test_the_schedule_is_at_the_head_of_the_launch() -> None:
    shown, launch = traced(lambda A, B, F: T.WSSchedule(T.WSPipeline(B, A, depth=3), registers=[24, 240]))
    assert "handover(3) B, A\n" in shown and launch.registers == (24, 240)
    shown, launch = traced(lambda A, B, F: T.WSSchedule(T.WSPipeline(A, depth=1), T.WSPipeline(B, depth=2)))
    assert "handover(1) A\n    handover(2) B\n" in shown and launch.registers == ()


WRONG: list[tuple[Callable[[Any, Any, Any], Any], str]] = [
    (lambda A, B, F: T.WSSchedule(), "one T.WSPipeline or more"),
    (lambda A, B, F: T.WSSchedule(A), "T.WSPipeline(...)"),
    (lambda A, B, F: T.WSPipeline(A, depth=2), "T.WSSchedule(...)"),
    (lambda A, B, F: T.WSSchedule(T.WSPipeline(depth=2)), "one tile or more"),
    (lambda A, B, F: T.WSSchedule(T.WSPipeline(A, depth=0)), "1 or more"),
    (lambda A, B, F: T.WSSchedule(T.WSPipeline(A, depth=True)), "1 or more"),
    (lambda A, B, F: T.WSSchedule(T.WSPipeline(F, depth=1)), "tiles of T.alloc_shared"),
    (lambda A, B, F: T.WSSchedule(T.WSPipeline(A, A, depth=1)), "each tile once"),
    (lambda A, B, F: T.WSSchedule(T.WSPipeline(A, depth=1), T.WSPipeline(A, depth=1)), "each tile once"),
    (lambda A, B, F: T.WSSchedule(T.WSPipeline(A, depth=1), registers=(25, 240)), "two multiples of 8"),
    (lambda A, B, F: T.WSSchedule(T.WSPipeline(A, depth=1), registers=240), "two multiples of 8"),
    (lambda A, B, F: T.WSSchedule(T.WSPipeline(A, depth=1), registers=(24, 264)), "two multiples of 8"),
]


@pytest.mark.parametrize(("schedule", "allowed"), WRONG)
def test_wrong_arguments(schedule: Callable[[Any, Any, Any], Any], allowed: str) -> None:
    with pytest.raises(TileError) as raised:
        traced(schedule)
    assert raised.value.code == "TD0226" and allowed in raised.value.hint


def test_a_launch_has_one_schedule() -> None:
    with pytest.raises(TileError) as raised:
        traced(lambda A, B, F: T.WSSchedule(T.WSPipeline(A, depth=1)), twice=True)
    assert raised.value.code == "TD0226" and "one schedule for a launch" in raised.value.hint
