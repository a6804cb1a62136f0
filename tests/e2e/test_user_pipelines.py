"""Kernels that were written to break pipelines, shared memory and barriers: every execution gives the reference."""

from __future__ import annotations

from typing import Any

import pytest
import user_attention
import user_gemms
import user_loops
import user_seeds
from cases import executed

from tiledsl.cpu import interp
from tiledsl.ir.layout import Fragment
from tiledsl.ir.nodes import Alloc
from tiledsl.ir.walk import walk
from tiledsl.testing import Case, check, compare
from tiledsl.testing.case import Draw

PROGRAMS = {p.__name__: p for m in (user_seeds, user_gemms, user_loops, user_attention) for p in m.PROGRAMS}
# Sums of many numbers in half precision, and exponentials: within (rtol, atol) of the reference.
COARSE = {
    "attention_backward": (3e-2, 1e-1),
    "chained_through_shared": (2e-2, 2e-1),
    "promoted_accumulator": (3e-2, 3e-1),
}
INEXACT = {p.__name__ for p in user_attention.PROGRAMS}


def case(name: str) -> Case:
    rtol, atol = COARSE.get(name, (1e-2, 1e-1))
    return Case(name, *PROGRAMS[name](), exact=name not in INEXACT, rtol=rtol, atol=atol)


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.cxx
def test_all_executions_agree(name: str) -> None:
    check(case(name), backends=("tile", "cpu"))


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize("mode", ["late", "random"])
def test_checking_memory_sees_nothing_wrong(name: str, mode: Any) -> None:
    program = case(name)
    lowered = program.compiled().lowered
    inputs = dict(program.inputs(Draw(1, exact=True)))
    expected = program.reference(**inputs)
    arrays = executed(lowered, inputs, lambda _, arguments: interp.run(lowered.final, arguments, check=True, mode=mode))
    rtol, atol = (0.0, 0.0) if program.exact else (program.rtol, program.atol)
    for output, value in expected.items():
        compare(output, arrays[output], value, rtol, atol)


@pytest.mark.parametrize("name", [n for n in PROGRAMS if n.startswith("seed_1484")])
def test_seed_1484_the_mask_is_held_by_every_thread(name: str) -> None:
    (launch,) = next(s.kernel for s in case(name).compiled().lowered.stages if s.name == "infer-layouts").launches
    (mask,) = [a.layout for a in launch.layouts if a.buffer.name == "mask"]
    assert isinstance(mask, Fragment) and mask.replication == launch.num_threads


def test_seed_1525_tiles_have_versions_wherever_they_are_allocated() -> None:
    stages = case("seed_1525_nested_allocations").compiled().lowered.stages
    after = next(s.kernel for s in stages if s.name == "software-pipeline")
    versions = {n.buffer.name: n.buffer.versions for n in walk(after) if isinstance(n, Alloc)}
    assert versions["outer"] == versions["inner"] == versions["third"] == 3
    assert sum(n == 1 for n in versions.values()) == 2  # the accumulator, and the tile that nobody uses


def test_c3_c4_what_other_compilers_reject_or_get_wrong() -> None:
    """Each by name: an index that is copied itself, a tile read after the loop, and one of the iteration before."""
    assert {"gathered_by_shared_index", "read_after_the_loop", "previous_tile"} <= set(PROGRAMS)
