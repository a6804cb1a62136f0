"""Views: other shapes and dtypes of the same storage."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.errors import VerifyError
from tiledsl.ir.layout import Fragment, row_major
from tiledsl.ir.nodes import Block, Space, View, static_shape
from tiledsl.passes.lower_tiles.context import Context


def lower_view(ctx: Context, s: View) -> Block:
    """What is left of a view at the thread stage: nothing where the dtype stays, else a view of the flat storage."""
    match s.buffer.space:
        case Space.FRAGMENT:
            return _registers(ctx, s)
        case Space.SHARED:
            return _shared(ctx, s)
    return (s,)


def _registers(ctx: Context, s: View) -> Block:
    """Registers in the same order; the layouts agree byte for byte (I8)."""
    source = ctx.store_for(s.source)
    if s.buffer not in ctx.layouts and s.buffer.dtype is s.source.dtype:
        f = ctx.fragment_of(s.source)
        ctx.layouts[s.buffer] = Fragment(static_shape(s.buffer), f.threads, f.regs)
    if s.buffer.dtype is s.source.dtype:
        ctx.storage[s.buffer] = source
        return ()
    return (replace(s, buffer=ctx.store_for(s.buffer), source=source),)


def _shared(ctx: Context, s: View) -> Block:
    if s.buffer.dtype is s.source.dtype:
        ctx.sources[s.buffer] = s.source
        return ()
    root = s.source
    while root in ctx.sources:
        root = ctx.sources[root]
    layout = ctx.shared_layout(root)
    plain = row_major(static_shape(root))
    if layout != plain:
        raise VerifyError(f"'{s.buffer.name}' views '{root.name}', whose layout is not row-major, as another dtype")
    ctx.layouts[s.buffer] = row_major(static_shape(s.buffer))
    return (replace(s, buffer=ctx.store_for(s.buffer), source=ctx.store_for(root)),)
