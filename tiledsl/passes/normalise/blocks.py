"""Which block works on which tile: the order of `Raster`, and the turns of persistent loops."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.ir.concurrent import Role
from tiledsl.ir.nodes import (
    Binary,
    Const,
    Expr,
    For,
    Launch,
    Let,
    Node,
    Persistent,
    Raster,
    Select,
    Serial,
    Stmt,
    Var,
    eq,
    wrap,
)
from tiledsl.ir.walk import map_children, statements


def dealt(launch: Launch) -> Launch:
    """The launch with persistent loops as serial ones over the tiles of each block.

    Block b of n works on the tiles b, b + n, b + 2 * n, ...; the number of turns is exact, so that no turn is idle.
    """
    loops = [s for s in statements(launch) if isinstance(s, For) and isinstance(s.kind, Persistent)]
    if not loops:
        return launch
    number, count = _block(launch)

    def visit(node: Node) -> Node:
        if not isinstance(node, Stmt | Role | Launch):
            return node
        node = map_children(node, visit)
        if not isinstance(node, For) or not isinstance(node.kind, Persistent):
            return node
        turn = Var("turn", node.var.dtype)
        tile = Let(node.var, turn * count + number, span=node.span)
        turns = (node.extent - number + (count - 1)) // count
        return replace(node, var=turn, extent=turns, body=(tile, *node.body), kind=Serial())

    result = visit(launch)
    assert isinstance(result, Launch)
    return result


def _block(launch: Launch) -> tuple[Expr, Expr]:
    """The number of this block, x first, and how many there are."""
    number: Expr = launch.blocks[0]
    count = launch.grid[0]
    for block, extent in zip(launch.blocks[1:], launch.grid[1:]):
        number = number + block * count
        count = count * extent
    return number, count


def rastered(launch: Launch, raster: Raster) -> Launch:
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
