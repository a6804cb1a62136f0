"""Laws of the shared-memory plan (algorithms.md E.D, S6 to S9)."""

from __future__ import annotations

from typing import Any

import numpy as np

from tiledsl.cpu import interp
from tiledsl.ir.nodes import Kernel, SharedSlot
from tiledsl.passes.insert_barriers import insert_barriers
from tiledsl.passes.plan_shared_memory import plan_shared_memory
from tiledsl.target import target_named
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.strategies.barriers import THREADS, BarrierProgram
from tiledsl.testing.strategies.memory import shared_lifetimes

TARGET = target_named("sm_80")


def planned(program: BarrierProgram, reuse: bool = True) -> Kernel:
    result: Kernel = plan_shared_memory(program.kernel, target=TARGET, reuse=reuse)
    return result


def computed(kernel: Kernel) -> Any:
    """What the kernel leaves in its result, executed with every check, on bytes that are really shared."""
    out = np.zeros(THREADS, np.float32)
    interp.run(kernel, {"A": np.arange(THREADS, dtype=np.float32), "out": out}, mode="late")
    return out


@law("S6", "S9", "S10", examples=25, program=shared_lifetimes())
def tiles_that_share_bytes_are_never_needed_together(program: BarrierProgram) -> None:
    """The barriers that sharing needs are inserted after it; the interpreter knows which bytes a tile has."""
    apart = computed(insert_barriers(planned(program, reuse=False)))
    assert np.array_equal(computed(insert_barriers(planned(program))), apart)


@law("S7", "S8", "S9", examples=25, program=shared_lifetimes())
def the_arena_is_aligned_and_no_larger_than_its_tiles(program: BarrierProgram) -> None:
    shared, apart = planned(program), planned(program, reuse=False)
    assert all(slot.offset % 16 == 0 for slot in slots(shared))
    assert shared.launches[0].shared_bytes <= apart.launches[0].shared_bytes <= TARGET.shared_per_block
    assert slots(planned(program)) == slots(shared)


def slots(kernel: Kernel) -> tuple[SharedSlot, ...]:
    return kernel.launches[0].shared


LAWS = laws_of(globals())
