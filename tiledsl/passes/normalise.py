"""normalise: what the user may write in several ways, in one."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.analysis.ranges import Facts, launch_facts
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.nodes import (
    Address,
    AtomicUpdate,
    Binary,
    Buffer,
    Const,
    Expr,
    Kernel,
    Launch,
    Let,
    Load,
    Node,
    Raster,
    Select,
    Stmt,
    Store,
    Var,
    eq,
    ge,
    lt,
    wrap,
)
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import map_children
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import tile_stage
from tiledsl.passes.scoped import rewrite_scoped, with_expressions


@kernel_pass(requires=[tile_stage])
def normalise(kernel: Kernel) -> Kernel:
    """Counts negative indices from the end, and deals blocks in the order of `Raster`.

    The index of an element that is negative for sure becomes index + extent, one of unknown sign is decided by a
    select. Regions stay where they are: what lies outside of the tensor is filled, not wrapped. Safe because Python's
    indexing means just that; and the new order of blocks is a permutation of the grid, so that each block is still run
    once.
    """
    return replace(kernel, launches=tuple(_launch(kernel, launch) for launch in kernel.launches))


def _launch(kernel: Kernel, launch: Launch) -> Launch:
    body = rewrite_scoped(launch.body, launch_facts(kernel, launch), _from_start, _leaf_from_start)
    result = replace(launch, body=body)
    return _rastered(result, launch.raster) if launch.raster and len(launch.grid) > 1 else replace(result, raster=None)


# ------------------------------------------------------------------------------------------------ negative indices


def _from_start(e: Expr, facts: Facts) -> Expr:
    match e:
        case Const() | Var():
            return e
        case Load(buffer) | Address(buffer):
            inner = map_children(e, lambda n: _below(n, facts))
            return replace(inner, indices=_indices(buffer, inner.indices, facts))
        case Select(cond, a, b):
            known, excluded = facts.under(cond), facts.under_not(cond)
            return Select(_from_start(cond, facts), _from_start(a, known), _from_start(b, excluded))
    return map_children(e, lambda n: _below(n, facts))


def _below(n: Node, facts: Facts) -> Node:
    return _from_start(n, facts) if isinstance(n, Expr) else n


def _leaf_from_start(s: Stmt, facts: Facts) -> tuple[Stmt, ...]:
    s = with_expressions(s, facts, _from_start)
    if isinstance(s, Store | AtomicUpdate):
        return (replace(s, indices=_indices(s.buffer, s.indices, facts)),)
    return (s,)


def _indices(buffer: Buffer, indices: tuple[Expr, ...], facts: Facts) -> tuple[Expr, ...]:
    result: list[Expr] = []
    for index, extent in zip(indices, buffer.shape, strict=True):
        is_negative = _sign(index, facts)
        if is_negative is None:
            index = Select(Binary("<", index, Const(0, dtype_of(index))), _wrapped(index, extent), index)
        elif is_negative:
            index = _wrapped(index, extent)
        result.append(index)
    return tuple(result)


def _sign(index: Expr, facts: Facts) -> bool | None:
    """Whether `index` is always negative (True), never (False), or sometimes (None)."""
    if isinstance(index, Const):
        return index.value < 0
    if dtype_of(index) is not INDEX:
        low, high = facts.simplifier.bounds(index)
        return True if high < 0 else False if low >= 0 else None
    never = facts.proves(ge(index, 0))
    return False if never else facts.proves(lt(index, 0))


def _wrapped(index: Expr, extent: int | Expr) -> Expr:
    dtype = dtype_of(index)
    if isinstance(index, Const) and isinstance(extent, int):
        return Const(int(index.value) + extent, dtype)
    size = Const(extent, dtype) if isinstance(extent, int) else extent
    return Binary("+", index, size)


# ------------------------------------------------------------------------------------------------- order of blocks


def _rastered(launch: Launch, raster: Raster) -> Launch:
    """The launch with its first two block indices computed from those of the hardware.

    Panels of `panel` rows (order "row") are walked column by column, every other panel backwards; the last panel has
    the rows that are left. Order "column" swaps the roles. Source: TileLang, `rasterization2DRow`.
    """
    hardware = tuple(Var(v.name, v.dtype) for v in launch.blocks[:2])
    swap = raster.order != "row"
    (x, y), (width, height) = hardware, launch.grid[:2]
    if swap:
        width, height = height, width
    number = x + y * launch.grid[0]
    binds: list[Stmt] = []

    def bind(name: str, value: Expr) -> Var:
        var = Var(name)
        binds.append(Let(var, value))
        return var

    size = bind("panel_size", width * raster.panel)
    panel, within = bind("panel", number // size), bind("within", number % size)
    # The clamps change nothing; they are how the bounds of the indices are found again.
    left = Binary("min", wrap(raster.panel), height - panel * raster.panel)
    rows = bind("rows", Binary("max", Const(1), left))
    forward = bind("forward", Binary("min", within // rows, width - 1))
    column = Select(eq(panel % 2, 0), forward, width - 1 - forward)
    row = Binary("min", panel * raster.panel + within % rows, height - 1)
    first, second = (row, column) if swap else (column, row)
    binds += [Let(launch.blocks[0], first), Let(launch.blocks[1], second)]
    return replace(launch, blocks=(*hardware, *launch.blocks[2:]), body=(*binds, *launch.body), raster=None)
