"""Warp specialisation: a warpgroup of its own copies tiles by the copy engine, the others compute (algorithms.md C.9).

`plan` decides on tile statements, before layouts are known; `split` writes the roles. The loops of the consumers stay
pipelined, so that software-pipeline overlaps their products.
"""

from __future__ import annotations

from dataclasses import replace

from tiledsl.analysis.gemm_plan import runs_by_itself
from tiledsl.analysis.vector_width import assumed_divisors
from tiledsl.ir.nodes import For, Kernel, Launch, Pipelined
from tiledsl.ir.tile import Gemm
from tiledsl.ir.walk import statements
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import tile_stage
from tiledsl.passes.warp_specialise.channels import WarpPlan
from tiledsl.passes.warp_specialise.multicast import with_multicast
from tiledsl.passes.warp_specialise.plan import Setting, make_plan
from tiledsl.passes.warp_specialise.split import hoisted, specialised
from tiledsl.target import Target
from tiledsl.verifiers.roles import verify_roles

_FEATURES = frozenset({"tma", "mbarrier_tx", "setmaxnreg"})


@kernel_pass(requires=(tile_stage,), ensures=(tile_stage,), verify=verify_roles)
def warp_specialise(kernel: Kernel, *, target: Target, enabled: bool = True) -> Kernel:
    """Gives the copies of pipelined loops to a producer, where the target has a copy engine and the plan allows it."""
    if not target.features >= _FEATURES:
        return _without_schedules(kernel, f"{target.name} has no copy engine or does not move registers")
    if not enabled:
        return _without_schedules(kernel, "warp-specialise is turned off")
    launches = []
    for launch in kernel.launches:
        made = hoisted(launch)
        plan = planned(kernel, made, target)
        chosen = launch if plan.refused else specialised(made, plan)
        pipelined = any(isinstance(s, For) and isinstance(s.kind, Pipelined) for s in statements(launch))
        told = pipelined or launch.handovers
        launches.append(replace(chosen, notes=(*launch.notes, str(plan)), handovers=()) if told else chosen)
    return replace(kernel, launches=tuple(launches))


def _without_schedules(kernel: Kernel, why: str) -> Kernel:
    """`kernel` without roles: a schedule for them is left aside, with a note."""
    if not any(launch.handovers for launch in kernel.launches):
        return kernel
    note = f"the schedule of T.annotate_ws_schedule is left aside: {why}"
    launches = (
        replace(launch, handovers=(), notes=(*launch.notes, note)) if launch.handovers else launch
        for launch in kernel.launches
    )
    return replace(kernel, launches=tuple(launches))


def warp_plans(kernel: Kernel, target: Target) -> tuple[WarpPlan, ...]:
    """The plan of each launch of a tile-stage kernel."""
    if not target.features >= _FEATURES:
        return (WarpPlan(refused=f"{target.name} has no copy engine or does not move registers"),) * len(
            kernel.launches
        )
    return tuple(planned(kernel, hoisted(launch), target) for launch in kernel.launches)


def planned(kernel: Kernel, launch: Launch, target: Target) -> WarpPlan:
    """The plan of one launch, whose shared tiles are allocated at its top."""
    products = {id(s): runs_by_itself(s, launch.num_threads, target) for s in statements(launch) if isinstance(s, Gemm)}
    safe = frozenset(v.buffer for v in launch.safe_values)
    return with_multicast(make_plan(Setting(launch, assumed_divisors(kernel), products, safe, target)), launch)
