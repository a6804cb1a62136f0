"""The order of the passes. Constraints that `requires` and `ensures` state need no comment; the others have one."""

from __future__ import annotations

from collections.abc import Mapping

from tiledsl.errors import error
from tiledsl.passes.base import Pass
from tiledsl.passes.bulk_loads import bulk_loads
from tiledsl.passes.bulk_stores import bulk_stores
from tiledsl.passes.count_versions import count_versions
from tiledsl.passes.expand_lets import expand_lets
from tiledsl.passes.fold_clears import fold_clears
from tiledsl.passes.guard_bounds import guard_bounds
from tiledsl.passes.infer_layouts import infer_layouts
from tiledsl.passes.insert_barriers import insert_barriers
from tiledsl.passes.insert_fences import insert_fences
from tiledsl.passes.legalise_dtypes import legalise_dtypes
from tiledsl.passes.lower_tiles import lower_tiles
from tiledsl.passes.narrow_indices import narrow_indices
from tiledsl.passes.normalise import normalise
from tiledsl.passes.order_globals import order_globals
from tiledsl.passes.ping_pong import ping_pong
from tiledsl.passes.plan_shared_memory import plan_shared_memory
from tiledsl.passes.remove_dead import remove_dead
from tiledsl.passes.simplify_indices import simplify_indices
from tiledsl.passes.software_pipeline import software_pipeline
from tiledsl.passes.split_loops import split_loops
from tiledsl.passes.transpose_operands import transpose_operands
from tiledsl.passes.unroll import unroll
from tiledsl.passes.vectorise import vectorise
from tiledsl.passes.warp_specialise import warp_specialise
from tiledsl.target import Target

_ORDER: tuple[Pass, ...] = (
    normalise,
    expand_lets,  # the planner of pipelines reads the variables that a region depends on, not names for them
    transpose_operands,  # before roles are dealt, by the products that will be asynchronous
    warp_specialise,  # before the pipeline, which overlaps what the consumers are left with
    software_pipeline,  # on tile operations, where a copy is one statement and there are few of them
    fold_clears,  # after the pipeline, whose first iteration may stand next to the zeros
    bulk_loads,  # after the pipeline, which takes the copies of its loops
    bulk_stores,  # after the pipeline, for which a store is a statement like others
    infer_layouts,  # after the pipeline, whose versions do not change a layout
    order_globals,  # after the pipeline, in which a barrier would keep statements apart; by tiles and their layouts
    lower_tiles,
    guard_bounds,  # before vectorise: a condition must be the same for a whole vector, or the vector is narrowed
    vectorise,
    plan_shared_memory,  # before barriers: buffers that share bytes conflict
    insert_barriers,
    insert_fences,  # after barriers, before which fences go
    ping_pong,  # after barriers: warpgroups that meet at one in a loop do not take turns
    split_loops,  # after barriers, of which there would be more to place
    unroll,  # after both, which would otherwise be found once for each copy of a body
    simplify_indices,  # after unroll, which makes loop variables constants
    remove_dead,  # simplified conditions decide branches
    legalise_dtypes,
    narrow_indices,  # late: no pass after it could prove anything about wrapping indices
    count_versions,  # last: every pass before it sees in `k % versions` which iterations share a tile
)
PASSES: Mapping[str, Pass] = {p.name: p for p in _ORDER}


def pipeline(target: Target, options: Mapping[str, Mapping[str, object]] | None = None) -> tuple[Pass, ...]:
    """All passes in order, bound to `target` and to `options`: pass name -> option -> value.

    Raises TileError TD0761 for options of an unknown pass, TD0762 and TD0763 for wrong options of a pass.
    """
    chosen = options or {}
    for name in chosen:
        if name not in PASSES:
            raise error("TD0761", name=name, known=", ".join(PASSES))
    return tuple(p.bind(target, **chosen.get(p.name, {})) for p in _ORDER)
