"""lower-tiles: from statements on tiles to what each thread does (docs/architecture.md, "Thread stage")."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.ir.nodes import Kernel, Launch
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import thread_stage, tile_stage
from tiledsl.passes.lower_tiles.blocks import lower_block
from tiledsl.passes.lower_tiles.concurrent import barriers_left, barriers_ready, issued
from tiledsl.passes.lower_tiles.context import context_of
from tiledsl.passes.lower_tiles.scope import Scope
from tiledsl.target import Target


# Rounding: a thread sums what it holds, then the threads of a warp, then the warps; a tile is summed in its own order.
@kernel_pass(requires=[tile_stage], ensures=[thread_stage], rounding=True)
def lower_tiles(kernel: Kernel, *, target: Target) -> Kernel:
    """Fragments become registers, shared tiles flat memory, tile statements what each thread does.

    Loops over registers are left to the C++ compiler to unroll; what addresses owe to the thread alone is bound once at
    the top of the kernel. Global accesses are not guarded yet, vectors are marked but not formed, and barriers are
    missing: later passes add them.
    """
    return replace(kernel, launches=tuple(_lower(launch, target) for launch in kernel.launches))


def _lower(launch: Launch, target: Target) -> Launch:
    ctx = context_of(launch, target)
    ctx.products.all.update(issued(ctx, launch.body))
    body = lower_block(ctx, launch.body, Scope())
    return replace(launch, body=(*barriers_ready(launch), *ctx.prologue, *body, *barriers_left(launch)), layouts=())


__all__ = ["lower_tiles"]
