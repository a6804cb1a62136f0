"""Blocks of a tile program on tokens: those that write to each other's tiles are executed in turn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from math import prod

from tiledsl.ir.concurrent import ClusterBarrier, reaches_blocks
from tiledsl.ir.nodes import Kernel, Launch
from tiledsl.ir.walk import statements
from tiledsl.verifiers.tile_memory import Trace
from tiledsl.verifiers.tile_roles import Cluster
from tiledsl.verifiers.tiles import MOST_STATEMENTS, TileMachine
from tiledsl.verifiers.world import GivenUp, World


def meet(launch: Launch) -> bool:
    """Whether its blocks have to do with each other."""
    return any(reaches_blocks(s) or isinstance(s, ClusterBarrier) for s in statements(launch))


def dealt(launch: Launch) -> frozenset[str]:
    """The tiles into which blocks of a cluster copy parts for each other."""
    return frozenset(s.dst.buffer.name for s in statements(launch) if hasattr(s, "dst") and reaches_blocks(s))


def around(launch: Launch, world: World) -> list[World]:
    """The block, or those of its cluster by rank if they meet. Raises GivenUp where the grid has no whole clusters."""
    if not meet(launch):
        return [world]
    size = (*launch.cluster, 1, 1, 1)[: len(launch.blocks)]
    last = [int(world.values[v]) for v in launch.blocks]
    if any((i + 1) % n for i, n in zip(last, size)):
        raise GivenUp
    inside = product(*(range(n) for n in reversed(size)))
    corner = [i + 1 - n for i, n in zip(last, size)]
    places = ([c + i for c, i in zip(corner, reversed(at))] for at in inside)
    return [replace(world, values={**world.values, **dict(zip(launch.blocks, at))}) for at in places]


def run_blocks(kernel: Kernel, launch: Launch, worlds: list[World], most: int = MOST_STATEMENTS) -> list[Trace]:
    """What each block did: executed together if they have to do with each other. Raises as `TileMachine.run`."""
    cluster = Cluster(prod(launch.cluster)) if meet(launch) else None
    machines = [TileMachine(kernel, launch, w, cluster) for w in worlds]
    for m in machines:
        m.most = most
    if cluster is None:
        return [m.run() for m in machines]
    running: list[tuple[TileMachine, Iterator[None]]] = [(m, m.block(launch.body)) for m in machines]
    while running:
        before = sum(m.count for m in machines), len(running)
        for m, program in list(running):
            try:
                next(program)
            except StopIteration:
                running.remove((m, program))
        if before == (sum(m.count for m in machines), len(running)):
            raise running[0][0].stuck([a for m, _ in running for a in m.blocked])
    for m in machines:
        m.finish()
    return [m.trace for m in machines]
