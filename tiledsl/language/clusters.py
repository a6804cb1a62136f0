"""Words on clusters: blocks of `T.Kernel(..., cluster_dims=)` that run together and reach each other's shared memory.

`T.copy` in a pipelined loop needs none of these: the compiler has the blocks of a cluster load for each other what they
have in common. Source: PTX ISA, "barrier.cluster", "%cluster_ctarank"; CUDA C++ Programming Guide, "Thread Block
Clusters".
"""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.proxies import Scalar
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import shape_text
from tiledsl.frontend.tracer import tracer_of
from tiledsl.ir.concurrent import ClusterBarrier
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.nodes import Const, Expr
from tiledsl.language.arguments import whole, wrong
from tiledsl.language.sizes import const_sizes
from tiledsl.language.tiles import begin

MOST_BLOCKS = 8  # that every GPU with clusters can run; CUDA C++ Programming Guide, "Thread Block Clusters"


def cluster_of(dims: Any, grid: tuple[Expr, ...]) -> tuple[int, ...]:
    """`cluster_dims` of a launch, one extent for each dimension of the grid. Raises TileError TD0224."""
    if dims is None:
        return ()
    found = tuple(const_sizes(list(dims) if isinstance(dims, (tuple, list)) else [dims], "T.Kernel"))
    what = f"cluster_dims={shape_text(found)}"
    count = 1
    for n in found:
        count *= n
    if count > MOST_BLOCKS or len(found) > 3 or any(n > 1 for n in found[len(grid) :]):
        rule = f"clusters of at most {MOST_BLOCKS} blocks, in the dimensions of its grid"
        raise fail("TD0224", what=what, rule=rule)
    found = (*found, 1, 1, 1)[: len(grid)]
    for axis, extent, n in zip("xyz", grid, found):
        if isinstance(extent, Const) and int(extent.value) % n:
            rule = "a grid of whole clusters: round it up, what blocks do outside of tensors has no effect"
            raise fail("TD0224", what=f"{what} in a grid of {extent.value} blocks in {axis}", rule=rule)
    return found if count > 1 else ()


def block_rank_in_cluster() -> Scalar:
    """The number of this block in its cluster, x fastest: 0 up to the product of `cluster_dims` (exclusively).

    `rank = T.block_rank_in_cluster()`. Source: PTX ISA, "%cluster_ctarank".
    """
    frame = tracer_of("T.block_rank_in_cluster").launch("T.block_rank_in_cluster")
    rank: Expr | None = None
    below = 1
    for v, n in ((v, n) for v, n in zip(frame.blocks, frame.cluster) if n > 1):
        rank, below = (v % n if rank is None else rank + v % n * below), below * n
    return Scalar(rank or Const(0, INDEX), INDEX, frame)


def _meet(word: str, part: str) -> None:
    tracer = begin(word)
    if tracer.enclosing("parallel") is not None:
        raise fail("TD0129", word=word)
    tracer.emit(ClusterBarrier(part, span=tracer.here()))


def cluster_sync() -> None:
    """All threads of all blocks of the cluster wait for each other, and see what the others did before.

    Around copies to other blocks and arrivals there the compiler places what is needed: first all barriers are ready,
    and no block ends before the others are done with its memory. `T.cluster_sync()`. TD0129 in a T.Parallel loop.
    Source: PTX ISA, "barrier.cluster".
    """
    _meet("T.cluster_sync", "sync")


def cluster_arrive() -> None:
    """The first part of T.cluster_sync: what this thread did before becomes visible; T.cluster_wait follows.

    `T.cluster_arrive()`.
    """
    _meet("T.cluster_arrive", "arrive")


def cluster_arrive_relaxed() -> None:
    """T.cluster_arrive that makes nothing visible that this thread did. `T.cluster_arrive_relaxed()`."""
    _meet("T.cluster_arrive_relaxed", "arrive_relaxed")


def cluster_wait() -> None:
    """The second part of T.cluster_sync: waits until all threads of the cluster have arrived. `T.cluster_wait()`."""
    _meet("T.cluster_wait", "wait")


def mask_of(word: str, name: str, value: Any) -> int:
    """A mask of blocks of a cluster; 0 for none. Raises TileError TD0226."""
    if value is None:
        return 0
    mask = whole(word, name, value, 1, (1 << 16) - 1, allowed="an int: 1 << rank for each block")
    cluster = tracer_of(word).launch(word).cluster
    count = 1
    for n in cluster:
        count *= n
    if mask >> count:
        allowed = f"1 to {(1 << count) - 1}: the cluster has {count} block{'s' * (count > 1)} (cluster_dims)"
        raise wrong(word, name, mask, allowed)
    return mask
