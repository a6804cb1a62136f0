"""Tiles that all blocks of a cluster need: each block loads an equal part of them and has it copied to every block.

That takes the same loads in all blocks, the same number of times: neither where a tile comes from nor how often may
depend on the block's place in the cluster. The barrier `full` of each block then expects the whole tile, of which parts
come from other blocks; `empty` counts the consumers of all blocks, since what is loaded here is written there.
Source: PTX ISA, "cp.async.bulk.tensor", `.multicast::cluster`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from tiledsl.analysis.turns import decided_by
from tiledsl.ir.nodes import Binary, Const, Expr, Launch, Node, Region, Stmt, Var
from tiledsl.ir.tile import Copy, Im2col, region_of
from tiledsl.ir.walk import rewrite
from tiledsl.passes.warp_specialise.channels import Candidate, Channel, WarpPlan
from tiledsl.passes.warp_specialise.fills import ENGINE
from tiledsl.passes.warp_specialise.replay import Replay

PERIOD = 8  # rows after which every swizzle of the copy engine begins again
LINE = 128  # bytes: a multiple of what a box of the copy engine is aligned to


def with_multicast(plan: WarpPlan, launch: Launch) -> WarpPlan:
    """`plan` with the loads dealt that all blocks of the cluster have in common; the others are noted with a reason."""
    if plan.refused or prod(launch.cluster) < 2:
        return plan
    dealer = _Dealer(launch)
    channels = tuple(dealer.channel(c) for c in plan.channels)
    return replace(plan, channels=channels, alone=tuple(dealer.alone))


class _Dealer:
    def __init__(self, launch: Launch) -> None:
        self.axes = [(v, n) for v, n in zip(launch.blocks, launch.cluster) if n > 1]
        self.clusters = {v: Var(f"cluster_{v.name}") for v, _ in self.axes}
        self.replay = Replay(rewrite(launch, self.in_clusters))
        self.blocks = prod(n for _, n in self.axes)
        self.alone: list[tuple[Stmt, str]] = []

    def channel(self, channel: Channel) -> Channel:
        return replace(channel, copies=tuple(self.candidate(c) for c in channel.copies))

    def candidate(self, c: Candidate) -> Candidate:
        dealt = self.dealt(c)
        if isinstance(dealt, Copy):
            return replace(c, copy=dealt)
        self.alone.append((c.copy, dealt))
        return c

    def dealt(self, c: Candidate) -> Copy | str:
        """The part of a copy that this block makes for all, or why each makes it for itself."""
        if c.how != ENGINE or not isinstance(c.copy, Copy):
            return "the copy engine does not make it"
        if isinstance(c.copy.src, Im2col):
            return "it comes from the matrix of a convolution"
        if v := self.differs(decided_by(c.around)):
            return f"how often depends on '{v.name}', in which the blocks of a cluster differ"
        if v := self.differs(c.copy.src.offsets):
            return f"it depends on '{v.name}', in which the blocks of a cluster differ"
        return part_of(c.copy, self.rank(), self.blocks)

    def in_clusters(self, node: Node) -> Node:
        """`bx // 4` is the same for the blocks of a cluster of 2 along x: a number of the cluster, not of the block."""
        for v, n in self.axes:
            match node:
                case Binary("//", Var() as x, Const(int() as by)) if x is v and by % n == 0:
                    return self.clusters[v] // (by // n)
        return node

    def differs(self, wanted: Sequence[Node]) -> Var | None:
        """A coordinate in the cluster on which it depends."""
        variables = self.replay.needs([rewrite(e, self.in_clusters) for e in wanted]).variables
        return next((v for v, _ in self.axes if v in variables), None)

    def rank(self) -> Expr:
        """The number of this block in the cluster, x fastest."""
        total: Expr | None = None
        below = 1
        for v, n in self.axes:
            total = v % n if total is None else total + v % n * below
            below *= n
        return total or Const(0)


def part_of(copy: Copy, number: Expr, parts: int) -> Copy | str:
    """Part `number` of a copy of a whole tile, for all blocks of a cluster of `parts`; or why it has no equal parts."""
    tile, tensor = copy.dst, region_of(copy.src)
    axis = next((i for i in range(len(tile.extents)) if _can_be_cut(tile, i, parts)), None)
    if axis is None:
        shape = " x ".join(map(str, tile.extents))
        return f"a tile of {shape} has no {parts} equal parts that begin where a swizzle begins"
    # Dimensions of extent 1 aside, those of the tensor are those of the tile, in order.
    of_tile = [i for i, n in enumerate(tile.extents) if n != 1]
    of_tensor = [i for i, n in enumerate(tensor.extents) if n != 1]
    there = of_tensor[of_tile.index(axis)]
    ranks = (1 << parts) - 1
    return replace(copy, src=_cut(tensor, there, number, parts), dst=_cut(tile, axis, number, parts), ranks=ranks)


def _can_be_cut(tile: Region, axis: int, parts: int) -> bool:
    extent, rank = tile.extents[axis], len(tile.extents)
    if extent % parts or extent == 1:
        return False
    if axis == rank - 1:
        return extent // parts * tile.buffer.dtype.bits % (LINE * 8) == 0
    return axis < rank - 2 or extent // parts % PERIOD == 0


def _cut(r: Region, axis: int, number: Expr, parts: int) -> Region:
    extent = r.extents[axis] // parts
    extents = (*r.extents[:axis], extent, *r.extents[axis + 1 :])
    start = r.offsets[axis]
    offset = number * extent if start == Const(0) else start + number * extent
    return replace(r, offsets=(*r.offsets[:axis], offset, *r.offsets[axis + 1 :]), extents=extents)
