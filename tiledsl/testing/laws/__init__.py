"""The laws of the compiler, as data: the tests try each on a few examples, the fuzzer on as many as it has time for.

from tiledsl.testing.laws import LAWS

failure = LAWS["pipelined_programs_compute_the_same_in_every_form"].run(max_examples=20, seed=1)
"""

from __future__ import annotations

from collections.abc import Mapping

from tiledsl.testing.laws import (
    barriers,
    conversions,
    convolutions,
    directed,
    executions,
    full_barriers,
    inference,
    inference_traces,
    invalid,
    layouts,
    lowering,
    memory,
    neighbours,
    packed,
    paired,
    pipeline_traces,
    pipelines,
    scalar_passes,
    simplifier,
    tensor_cores,
    text,
    turns,
    verified,
    warp_schedules,
    warps,
    whole,
)
from tiledsl.testing.laws.base import Failure, Law, Outcome, law

ROOMS = (
    simplifier,
    layouts,
    text,
    executions,
    conversions,
    directed,
    paired,
    neighbours,
    packed,
    inference,
    inference_traces,
    pipelines,
    pipeline_traces,
    warps,
    warp_schedules,
    full_barriers,
    turns,
    lowering,
    tensor_cores,
    convolutions,
    memory,
    barriers,
    scalar_passes,
    verified,
    whole,
    invalid,
)
LAWS: Mapping[str, Law] = {x.name: x for room in ROOMS for x in room.LAWS}

__all__ = ["LAWS", "Failure", "Law", "Outcome", "law"]
