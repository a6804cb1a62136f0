"""Hypothesis strategies for programs, for fuzzing passes: your own, or those of tiledsl.

    from hypothesis import given
    from tiledsl.testing import strategies as ts

    @given(ts.tile_kernels())
    def test_my_pass_keeps_the_meaning(program):
        before, after = program.arguments(), program.arguments()
        tile_interp.run(program.kernel, before)
        tile_interp.run(my_pass(program.kernel), after)
        assert all(np.array_equal(before[name], after[name]) for name in program.written)

| strategy | draws |
|---|---|
| `kernels`, `expressions`, `constants` | well-formed IR in which every kind of node occurs, for laws about form |
| `tile_kernels` | kernels at the tile stage and their arguments: copies, products, reductions, loops, guards, ... |
| `pipelined_kernels`, `manual_schedules` | kernels with pipelined loops; legal and illegal schedules |
| `warp_kernels` | kernels with pipelined loops over tiles that roles may copy and multiply, or almost |
| `tile_bodies` | statements over a few fragments, as layout inference sees them |
| `thread_kernels` | kernels at the thread stage: each thread writes places of its own |
| `barrier_programs`, `shared_lifetimes` | threads that exchange data through shared memory, without barriers |
| `scalar_code` | code of one point with branches, loops, break, continue, mutable scalars |
| `addresses`, `conditions`, `ranges` | index arithmetic over three variables |
| `fragments`, `ragged_fragments`, `swizzled_layouts`, `shared_layouts`, `layout_functions` | layouts |
| `mutated_sources`, `mutated_texts`, `mutated_kernels` | programs that are almost right |
"""

from __future__ import annotations

from tiledsl.testing.strategies.barriers import BarrierProgram, barrier_programs
from tiledsl.testing.strategies.expressions import constants
from tiledsl.testing.strategies.forms import expressions, kernels
from tiledsl.testing.strategies.indices import addresses, conditions, ranges
from tiledsl.testing.strategies.layouts import (
    LayoutFunction,
    fragments,
    layout_functions,
    ragged_fragments,
    shared_layouts,
    swizzled_layouts,
)
from tiledsl.testing.strategies.memory import shared_lifetimes
from tiledsl.testing.strategies.mutations import mutated_kernels, mutated_sources, mutated_texts
from tiledsl.testing.strategies.pipelines import ManualSchedule, PipelinedKernel, manual_schedules, pipelined_kernels
from tiledsl.testing.strategies.scalars import scalar_code
from tiledsl.testing.strategies.threads import thread_kernels
from tiledsl.testing.strategies.tile_kernels import Options, TileKernel, tile_kernels
from tiledsl.testing.strategies.tiles import tile_bodies
from tiledsl.testing.strategies.warps import WarpKernel, warp_kernels

__all__ = [
    "BarrierProgram",
    "LayoutFunction",
    "ManualSchedule",
    "Options",
    "PipelinedKernel",
    "TileKernel",
    "WarpKernel",
    "addresses",
    "barrier_programs",
    "conditions",
    "constants",
    "expressions",
    "fragments",
    "kernels",
    "layout_functions",
    "manual_schedules",
    "mutated_kernels",
    "mutated_sources",
    "mutated_texts",
    "pipelined_kernels",
    "ragged_fragments",
    "ranges",
    "scalar_code",
    "shared_layouts",
    "shared_lifetimes",
    "swizzled_layouts",
    "thread_kernels",
    "tile_bodies",
    "tile_kernels",
    "warp_kernels",
]
