"""Laws of whole kernels: what the tile stage means, every stage after it computes, down to the emitted C++."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from tiledsl.backends import Backend, run_on_cpu
from tiledsl.compile import lower
from tiledsl.cpu.findings import Finding
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.walk import same
from tiledsl.passes.base import Pass, run_pipeline
from tiledsl.passes.pipeline import pipeline
from tiledsl.runtime.arguments import bind
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.strategies.tile_kernels import TileKernel, tile_kernels
from tiledsl.validation.compare import Stage, execute, stage_after
from tiledsl.validation.inputs import Inputs

T = TypeVar("T")
# What random kernels may run into: layouts that no statements of theirs can share, instructions that a target lacks,
# exchange of data under a condition that threads do not share.
LEGITIMATE = {"TD0301", "TD0303", "TD0305", "TD0311", "TD0317", "TD0318", "TD0502"}


def accepted(step: Callable[[], T]) -> T:
    """The result of `step()`; gives the example up where the kernel is refused for a good reason."""
    try:
        return step()
    except TileError as raised:
        assert raised.code in LEGITIMATE, raised
    assume(False)
    raise AssertionError


def stages(program: TileKernel) -> list[tuple[str, Kernel, Stage]]:
    """The kernel after each pass that changed it."""
    seen: list[tuple[str, Kernel, Stage]] = []

    def observe(p: Pass, before: Kernel, after: Kernel, seconds: float) -> None:
        if after is not before:
            seen.append((p.name, after, stage_after(p.name)))

    accepted(lambda: run_pipeline(program.kernel, pipeline(program.target), observe))
    return seen


def inputs_of(program: TileKernel) -> Inputs:
    return Inputs(program.values, program.written)


def check_same(expected: Mapping[str, Any], actual: Mapping[str, Any], what: str) -> None:
    for name, array in expected.items():
        assert array.tobytes() == actual[name].tobytes(), f"{name} after {what}: {difference(array, actual[name])}"


def difference(a: Any, b: Any) -> str:
    """Where, and the two values; zeros of both signs are different."""
    flat = np.flatnonzero((a != b) | (np.signbit(a.astype(np.float64)) != np.signbit(b.astype(np.float64))))
    at = np.unravel_index(flat[0], a.shape) if flat.size else ()
    return f"{[int(i) for i in at]} is {a[at]} before, {b[at]} after; {flat.size} of {a.size} differ"


@law("S1", "S2", "S4", "S10", examples=10, share=6, program=tile_kernels())
def every_stage_computes_what_the_tile_stage_means(program: TileKernel) -> None:
    """Each execution with all its checks: bounds, alignment, what is in flight, races once barriers are there."""
    expected = execute(program.kernel, inputs_of(program), Stage.TILE)
    for name, kernel, stage in stages(program):
        check_same(expected, execute(kernel, inputs_of(program), stage), name)


@law("S24", examples=6, share=6, compiler=True, program=tile_kernels())
def emitted_code_computes_what_the_tile_stage_means(program: TileKernel) -> None:
    expected = execute(program.kernel, inputs_of(program), Stage.TILE)
    check_same(expected, emitted(program), "emission")


@law("S2", "S4", "S10", "S11", examples=4, share=6, compiler=True, program=tile_kernels(), seed=st.integers(0, 999))
def the_checked_device_finds_nothing_in_correct_kernels(program: TileKernel, seed: int) -> None:
    """Under any schedule and any arrival of asynchronous copies, and the results do not depend on them."""
    findings: list[Finding] = []
    actual = emitted(program, check=True, findings=findings, mode="random", seed=seed)
    assert not findings, "\n".join(str(f) for f in findings)
    check_same(execute(program.kernel, inputs_of(program), Stage.TILE), actual, f"the schedule {seed}")


def emitted(program: TileKernel, **how: Any) -> Mapping[str, Any]:
    """What the emitted C++ leaves in the tensors that the kernel writes."""
    lowered = accepted(lambda: lower(program.kernel, program.target))
    given = program.arguments()
    sizes = {v.name for v in program.kernel.sizes}
    bound = bind(lowered.signature, (), {n: v for n, v in given.items() if n not in sizes})
    run_on_cpu(lowered, bound, Backend.CPU, workers=1, **how)
    return {n: given[n] for n in program.written}


@law("S25", examples=10, share=2, program=tile_kernels())
def every_stage_survives_its_text(program: TileKernel) -> None:
    for _, kernel, _ in stages(program):
        printed = text(kernel)
        again = parse(printed)
        assert same(again, kernel)
        assert text(again) == printed


LAWS = laws_of(globals())
