"""A tile-stage kernel with fewer iterations: the same program for smaller matrices."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

from tiledsl.ir.nodes import Const, For, Kernel, Node, Pipelined, Unrolled
from tiledsl.ir.tile import TILE_OPS
from tiledsl.ir.walk import map_children, walk

TILES, SCALARS = 4, 64  # iterations of loops over tiles, and of loops that one thread runs


def shortened(kernel: Kernel) -> Kernel:
    """`kernel` with at most TILES iterations of loops over tiles, SCALARS of others; itself if it has no longer ones.

    A pipeline keeps as many as it needs to reach its steady state and leave it. Whether the program still has a meaning
    must be tried: a loop may fill what is read later.
    """
    return cast(Kernel, _short(kernel))


def _short(node: Node) -> Node:
    if isinstance(node, For) and isinstance(node.extent, Const) and not isinstance(node.kind, Unrolled):
        most = _most(node)
        if int(node.extent.value) > most:
            node = replace(node, extent=Const(most, node.extent.dtype))
    return map_children(node, _short)


def _most(loop: For) -> int:
    inside = [n for s in loop.body for n in walk(s)]
    if not any(isinstance(n, TILE_OPS) for n in inside):
        return SCALARS
    return TILES + loop.kind.stages if isinstance(loop.kind, Pipelined) else TILES
