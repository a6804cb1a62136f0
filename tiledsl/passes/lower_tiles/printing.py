"""Printing a whole tile: one thread prints the elements in order; a fragment is first gathered in shared memory."""

from __future__ import annotations

from math import prod

from tiledsl.ir.layout import Fragment, ravel, unravel
from tiledsl.ir.nodes import (
    Alloc,
    Block,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Load,
    Print,
    Serial,
    Space,
    Store,
    Var,
    eq,
    static_shape,
    wrap,
)
from tiledsl.passes.lower_tiles.access import element
from tiledsl.passes.lower_tiles.context import Context
from tiledsl.passes.lower_tiles.spread import nest, spread


def print_tile(ctx: Context, s: Print) -> Block:
    """`message`, the coordinates and the value of each element, on one line each."""
    assert s.buffer is not None
    if not all(isinstance(e, int) for e in s.buffer.shape):
        return _print_of_any_size(ctx, s, s.buffer)
    shape = static_shape(s.buffer)
    if s.buffer.space is Space.FRAGMENT:
        before, shown, flat = _gathered(ctx, s.buffer, ctx.fragment_of(s.buffer))
    else:
        before, shown, flat = (), s.buffer, False
    i = Var("i")
    ctx.loop_var(i, Const(prod(shape)))
    coords = tuple(ctx.simplify(wrap(c)) for c in unravel(i, shape))
    value: Expr = Load(shown, (i,)) if flat else Load(*element(ctx, shown, coords))
    line = Print(s.title, (*coords, value), span=s.span)
    return (*before, If(eq(ctx.thread, 0), (For(i, Const(prod(shape)), (line,), Serial()),), span=s.span))


def _print_of_any_size(ctx: Context, s: Print, tensor: Buffer) -> Block:
    """A global tensor, whose sizes the call knows: a loop for each dimension."""
    at = tuple(Var("i") for _ in tensor.shape)
    body: Block = (Print(s.title, (*at, Load(tensor, at)), span=s.span),)
    for i, extent in reversed([*zip(at, tensor.shape)]):
        ctx.loop_var(i, wrap(extent))
        body = (For(i, wrap(extent), body, Serial()),)
    return (If(eq(ctx.thread, 0), body, span=s.span),)


def _gathered(ctx: Context, buffer: Buffer, f: Fragment) -> tuple[Block, Buffer, bool]:
    space = ctx.workspace(f"{buffer.name}_shown", prod(f.shape), buffer.dtype)
    points = spread(ctx, f)
    linear = ctx.simplify(wrap(ravel(points.coords, f.shape)))
    store = Store(space, (linear,), Load(ctx.store_for(buffer), (points.reg,)))
    guards = [ctx.simplify(g) for g in (*points.guards, *points.first)]
    return (Alloc(space), *nest(points.loops, guards, (store,))), space, True
