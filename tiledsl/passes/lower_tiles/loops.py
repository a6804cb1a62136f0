"""The layout of a Parallel loop: the one that inference chose, or for loops that came later a plain one."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tiledsl.ir.layout import Digit, Fragment, partition
from tiledsl.ir.nodes import Buffer, Expr, Load, Space, Store, Var
from tiledsl.ir.tile import Parallel
from tiledsl.ir.walk import walk
from tiledsl.passes.lower_tiles.context import Context

ACCESS_BITS = 128  # of the widest access to memory


def loop_layout(ctx: Context, s: Parallel) -> Fragment:
    """`s.layout`; else that of a fragment accessed at the loop's own point (a stored one first), else a partition."""
    if s.layout is not None:
        return s.layout
    nodes = [n for inner in s.body for n in walk(inner) if isinstance(n, Store | Load)]
    for kind in (Store, Load):
        for n in nodes:
            if isinstance(n, kind) and n.buffer.space is Space.FRAGMENT and _at_point(n.indices, s.vars):
                held = ctx.fragment_of(n.buffer)
                return Fragment(s.extents, held.threads, held.regs)
    if prod(s.extents) == 1:
        return dealt(s.extents, ctx.num_threads)
    width = _width(ctx, s, [n.buffer for n in nodes])
    return partition(s.extents, ctx.num_threads, width)


def dealt(shape: Sequence[int], num_threads: int) -> Fragment:
    """Elements dealt to the threads one by one; a single element belongs to all of them."""
    if prod(shape) == 1:
        return Fragment(tuple(shape), (Digit(num_threads, 0),), ())
    return partition(shape, num_threads, 1)


def _at_point(indices: tuple[Expr, ...], variables: tuple[Var, ...]) -> bool:
    return tuple(i for i in indices if isinstance(i, Var)) == variables


def _width(ctx: Context, s: Parallel, buffers: list[Buffer]) -> int:
    """Elements of a run: as wide as an access may be, while all threads still have work."""
    if s.width:
        return s.width
    widest = max((b.dtype.bits for b in buffers if b.space in (Space.GLOBAL, Space.SHARED)), default=ACCESS_BITS)
    width, last, total = ACCESS_BITS // widest, s.extents[-1], prod(s.extents)
    while width > 1 and (last % width or total < width * ctx.num_threads):
        width //= 2
    return width
