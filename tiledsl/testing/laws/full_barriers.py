"""Laws of tiles that the copy engine brings to blocks without roles, on random programs (algorithms.md C.8, E.C)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from tiledsl.analysis.touches import blocks_of
from tiledsl.compile import lower
from tiledsl.cpu import interp, tile_interp
from tiledsl.cpu.tile_interp import TileMachine
from tiledsl.ir.concurrent import Arrive, Await, Roles
from tiledsl.ir.nodes import Alloc, Block, Buffer, Const, For, If, Kernel, Space, Stmt, While, static_shape
from tiledsl.ir.tile import Copy
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import statements
from tiledsl.passes.base import Pass, run_pipeline
from tiledsl.passes.bulk_loads import bulk_loads
from tiledsl.passes.pipeline import pipeline
from tiledsl.passes.software_pipeline import software_pipeline
from tiledsl.target import target_named
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.laws.checked import checked
from tiledsl.testing.laws.whole import accepted, check_same
from tiledsl.testing.strategies.warps import WarpKernel, warp_kernels

SM80, SM90 = target_named("sm_80"), target_named("sm_90a")
OPTIONS: dict[str, dict[str, object]] = {
    "warp-specialise": {"enabled": False},
    "software-pipeline": {"copy_engine": "always"},
    "bulk-loads": {"copy_engine": "always"},
}
FORMS = ("auto", "peeled", "rolled", "guarded")
MODES = ("early", "late")


def stages(kernel: Kernel, form: str = "auto") -> Iterator[tuple[str, Kernel]]:
    """The kernel after each of the passes that give copies to the copy engine."""
    pipelined = software_pipeline.bind(SM90, copy_engine="always", form=form)
    for p in (pipelined, bulk_loads.bind(SM90, copy_engine="always")):
        kernel = p(kernel)
        verify(kernel)
        yield p.name, kernel


def has_maps(program: WarpKernel) -> bool:
    """Whether no tensor is empty: of that the copy engine has no map."""
    return all(value > 0 for name, value in program.scalars if name != "n")


def result(program: WarpKernel, kernel: Kernel, run: Any = tile_interp.run, **how: Any) -> dict[str, Any]:
    """All tensors after a run."""
    given = program.arguments()
    run(kernel, given, **how)
    return {name: v for name, v in given.items() if isinstance(v, np.ndarray)}


# ------------------------------------------------------------------------------------------------------------- values


@law(
    "P3",
    "P13",
    "P15",
    "W4",
    "W6",
    examples=25,
    share=3.0,
    program=warp_kernels(),
    mode=st.sampled_from(MODES),
    form=st.sampled_from(FORMS),
)
def awaited_tiles_are_those_of_the_kernel(program: WarpKernel, mode: Any, form: str) -> None:
    """The interpreter raises where bytes come that nobody expects, where a tile is touched before it has been awaited,
    and where a wait is for a phase that does not come."""
    expected = result(program, program.kernel)
    for name, kernel in stages(program.kernel, form):
        check_same(expected, result(program, kernel, mode=mode), name)


@law("S1", "S2", "S10", "S11", "S26", examples=4, share=4.0, program=warp_kernels(), mode=st.sampled_from(MODES))
def threads_that_await_tiles_compute_what_the_kernel_means(program: WarpKernel, mode: Any) -> None:
    """Every pass, those that plan for the copy engine with their verifiers, and the threads with their races."""

    assume(has_maps(program))

    def check(p: Pass, before: Kernel, after: Kernel, seconds: float) -> None:
        if p.name in ("software-pipeline", "bulk-loads", "plan-shared-memory", "insert-barriers"):
            p.check(before, after)

    kernel = accepted(lambda: run_pipeline(program.kernel, pipeline(SM90, OPTIONS), check))
    check_same(result(program, program.kernel), result(program, kernel, interp.run, mode=mode), mode)


@law(
    *("S10", "S24", "P13", "P16"), examples=3, share=4.0, compiler=True,
    program=warp_kernels(), mode=st.sampled_from((*MODES, "random")), seed=st.integers(0, 999),
)  # fmt: skip
def emitted_code_awaits_its_tiles(program: WarpKernel, mode: str, seed: int) -> None:
    """The checked device finds nothing, in whatever order threads run and copies land."""
    assume(has_maps(program) and program.blocks_are_apart)  # the device reports what blocks exchange
    lowered = accepted(lambda: lower(program.kernel, SM90, options=OPTIONS))
    given = checked(program, lowered, mode, seed)
    check_same(result(program, program.kernel), given, f"{mode}, {seed}")


# ------------------------------------------------------------------------------------------------------------- turns

Turns = dict[Buffer, list[tuple[int, int]]]  # by barrier: slots and parities, or slots and bytes


def turns_of(program: WarpKernel, kernel: Kernel) -> tuple[Turns, Turns]:
    """What the first block announces, and what it waits for."""
    announced, awaited = defaultdict(list), defaultdict(list)
    sane_wait, sane_execute = TileMachine.wait_for_phase, TileMachine.execute

    def wait(machine: TileMachine, s: Await) -> None:
        awaited[s.barrier.buffer].append((machine.uniform(s.barrier.indices[0]), machine.uniform(s.parity)))
        sane_wait(machine, s)

    def execute(machine: TileMachine, s: Any) -> None:
        if isinstance(s, Arrive):
            announced[s.barrier.buffer].append((machine.uniform(s.barrier.indices[0]), s.bytes))
        sane_execute(machine, s)

    with patch.object(TileMachine, "wait_for_phase", wait), patch.object(TileMachine, "execute", execute):
        tile_interp.run(kernel, program.arguments(), blocks=lambda grid: [(0,)])
    return announced, awaited


@law("W4", "W13", examples=15, program=warp_kernels(), form=st.sampled_from(FORMS))
def rings_go_round(program: WarpKernel, form: str) -> None:
    """Turn n is in slot n % depth, in a phase of parity n // depth, announced once and awaited once."""
    for name, kernel in stages(program.kernel, form):
        announced, awaited = turns_of(program, kernel)
        for full, turns in awaited.items():
            (depth,) = static_shape(full)
            expected = [(n % depth, n // depth % 2) for n in range(len(turns))]
            assert turns == expected, (name, full.name)
            assert [slot for slot, _ in announced[full]] == [slot for slot, _ in turns], (name, full.name)
        assert set(announced) == set(awaited)


# --------------------------------------------------------------------------------------------------------- the choice


@law("W2", "W20", examples=15, program=warp_kernels())
def copies_are_chosen_once_and_for_a_reason(program: WarpKernel) -> None:
    """Every bulk copy has a barrier of its block; what stays with the threads is said; other targets see nothing."""
    (launch,) = program.kernel.launches
    for p in (software_pipeline.bind(SM90, copy_engine="never"), bulk_loads.bind(SM90, copy_engine="never")):
        assert not _bulk(p(program.kernel).launches[0].body)
    assert bulk_loads.bind(SM80, copy_engine="always")(program.kernel) is program.kernel
    *_, (_, kernel) = stages(program.kernel)
    (made,) = kernel.launches
    ready = [s.buffer for s in made.body if isinstance(s, Alloc) and s.buffer.space is Space.BARRIER]
    used = [s.barrier.buffer for s in _bulk(made.body) if s.barrier is not None]
    assert set(used) <= set(ready) and len(set(ready)) == len(ready)  # a loop without iterations leaves none
    assert not any(isinstance(s, Roles) for s in statements(made))
    said = "\n".join(made.notes)
    for s in _executed(launch.body):
        if isinstance(s, Copy) and (s.src.buffer.space, s.dst.buffer.space) == (Space.GLOBAL, Space.SHARED):
            assert s.dst.buffer.name in said


def _executed(block: Block) -> Iterator[Stmt]:
    """Statements that no loop without iterations is around: of those nothing is left, and nothing is said."""
    for s in block:
        yield s
        if not (isinstance(s, For) and s.extent == Const(0)):
            for inner in blocks_of(s):
                yield from _executed(inner)


def _bulk(block: Block) -> list[Copy]:
    found: list[Copy] = []
    for s in block:
        match s:
            case Copy(bulk=True):
                found.append(s)
            case For(body=body) | While(body=body):
                found += _bulk(body)
            case If(_, then, orelse):
                found += _bulk((*then, *orelse))
    return found


LAWS = laws_of(globals())
