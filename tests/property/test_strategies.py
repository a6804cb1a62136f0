"""The public strategies draw what they say they draw: every kind of thing, and mostly programs that compile."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tiledsl.errors import TileError, VerifyError
from tiledsl.ir import nodes as ir
from tiledsl.ir import tile
from tiledsl.ir.parser import parse
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import walk
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.pipeline import pipeline
from tiledsl.passes.plan_shared_memory import plan_shared_memory
from tiledsl.target import target_named
from tiledsl.testing import strategies as ts
from tiledsl.testing.laws.pipelines import is_legal


def drawn(strategy: st.SearchStrategy[Any], count: int, look: Callable[[Any], None]) -> None:
    """`look` at so many examples, the same ones each time."""

    @settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(strategy)
    def run(example: Any) -> None:
        look(example)

    run()


@pytest.mark.slow
def test_tile_kernels_have_every_kind_of_statement_and_compile() -> None:
    seen: Counter[object] = Counter()
    outcomes: Counter[str] = Counter()

    def look(program: ts.TileKernel) -> None:
        verify(program.kernel)
        seen.update({type(n) for n in walk(program.kernel)})
        seen.update({type(n.kind) for n in walk(program.kernel) if isinstance(n, ir.For)})
        seen.update(f"{len(program.kernel.launches)} launches {bool(program.kernel.sizes)}" for _ in (0,))
        try:
            run_pipeline(program.kernel, pipeline(program.target))
            outcomes["compiled"] += 1
        except TileError as raised:
            outcomes[raised.code] += 1

    drawn(ts.tile_kernels(), 150, look)
    wanted: set[object] = {
        *tile.TILE_OPS,
        ir.Let,
        ir.If,
        ir.For,
        ir.While,
        ir.Break,
        ir.View,
        ir.AtomicUpdate,
        ir.Select,
    }
    wanted |= {ir.Serial, ir.Unrolled, ir.Pipelined, ir.SafeValue, "2 launches True", "1 launches False"}
    assert wanted <= seen.keys(), wanted - seen.keys()
    assert outcomes["compiled"] > 0.9 * outcomes.total(), outcomes


def test_manual_schedules_are_legal_or_not() -> None:
    outcomes: Counter[bool] = Counter()
    drawn(ts.manual_schedules(), 200, lambda schedule: outcomes.update([is_legal(schedule)]))
    assert min(outcomes[True], outcomes[False]) > 20, outcomes


def test_shared_lifetimes_share_bytes() -> None:
    """Else the laws of the plan would hold because nothing is shared."""
    outcomes: Counter[str] = Counter()

    def look(program: ts.BarrierProgram) -> None:
        plan = plan_shared_memory(program.kernel, target=target_named("sm_80")).launches[0]
        ends = [slot.offset for slot in plan.shared]
        outcomes["shared" if len(set(ends)) < len(ends) else "apart"] += 1

    drawn(ts.shared_lifetimes(), 60, look)
    assert outcomes["shared"] > 5, outcomes


def test_mutated_sources_are_python() -> None:
    distinct: set[str] = set()

    def look(source: str) -> None:
        ast.parse(source)
        distinct.add(source)

    drawn(ts.mutated_sources(), 60, look)
    assert len(distinct) > 50


def test_mutated_texts_and_kernels_are_sometimes_right() -> None:
    """What is always refused at once would test only the first check."""
    outcomes: Counter[str] = Counter()

    def text(source: str) -> None:
        try:
            verify(parse(source))
            outcomes["right text"] += 1
        except TileError as said:
            outcomes["broken rule" if isinstance(said, VerifyError) else "wrong text"] += 1

    def kernel(mutant: ir.Kernel) -> None:
        try:
            verify(mutant)
            outcomes["right kernel"] += 1
        except VerifyError:
            outcomes["wrong kernel"] += 1

    drawn(ts.mutated_texts(), 120, text)
    drawn(ts.mutated_kernels(), 60, kernel)
    assert len(outcomes) == 5, outcomes


def test_everything_public_is_documented() -> None:
    for name in ts.__all__:
        assert name in (ts.__doc__ or "") or isinstance(getattr(ts, name), type), name
        assert getattr(ts, name).__doc__, name
