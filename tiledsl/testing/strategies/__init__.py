"""Hypothesis strategies for programs, for fuzzing passes: your own, or those of tiledsl.

    from tiledsl.testing import strategies as ts

    @given(ts.tile_kernels())
    def test_my_pass_keeps_the_meaning(program):
        assert program.same_results(program.run(), program.run(my_pass(program.kernel)))

| strategy | draws |
|---|---|
| `kernels`, `expressions`, `constants` | well-formed IR in which every kind of node occurs; for laws about form |
| `tile_kernels` | kernels at the tile stage: copies, products, element-wise loops, reductions, binds, guards |
| `pipelined_kernels`, `manual_schedules` | kernels with pipelined loops; legal and illegal schedules |
| `tile_bodies` | statements over a few fragments, as layout inference sees them |
| `thread_kernels` | kernels at the thread stage: each thread writes places of its own |
| `barrier_programs` | threads that exchange data through shared memory without barriers |
| `shared_lifetimes` | shared tiles that live for a part of a kernel |
| `scalar_code` | code of one point with branches, loops, break, continue, mutable scalars |
| `addresses`, `conditions`, `ranges` | index arithmetic over three variables |
| `fragments`, `ragged_fragments`, `swizzled_layouts`, `shared_layouts`, `layout_functions` | layouts |
"""

from __future__ import annotations

from tiledsl.testing.strategies.expressions import constants
from tiledsl.testing.strategies.forms import expressions, kernels

__all__ = ["constants", "expressions", "kernels"]
