"""normalise: what the user may write in several ways, in one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from math import prod

from tiledsl.analysis.iterations import dependence
from tiledsl.errors import Span, error
from tiledsl.ir.nodes import (
    Alloc,
    Binary,
    Buffer,
    Const,
    Expr,
    Kernel,
    Launch,
    Let,
    Node,
    Raster,
    Select,
    Space,
    Stmt,
    Var,
    View,
    eq,
    static_shape,
    wrap,
)
from tiledsl.ir.tile import Parallel
from tiledsl.ir.walk import map_children, walk
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import tile_stage

LARGEST = 1 << 22  # points of a tile or of a loop over one


@kernel_pass(requires=[tile_stage])
def normalise(kernel: Kernel) -> Kernel:
    """Deals blocks in the order of `Raster`, by computing their indices from those of the hardware, and allocates a
    shared tile that is only used through one view in the shape and dtype of the view.

    Safe because the new order is a permutation of the grid, so that each block is still run once, and because the own
    shape of such a tile means nothing; without the view the tile can have versions in a pipeline. Negative indices
    are no matter of this pass: the frontend counts negative constants from the end, and in the IR an index below 0
    is outside of its buffer, as in a region. TD0503 and TD0505 for what no pass can deal with: values of fewer than 8
    bits, tiles and loops of millions of points. TD0318 for parallel iterations that depend on each other.
    """
    _check(kernel)
    return replace(kernel, launches=tuple(_launch(launch) for launch in kernel.launches))


def _check(kernel: Kernel) -> None:
    """Raises TileError TD0503 for values of fewer than 8 bits, TD0505 for what is too large for one block, TD0318 for
    a parallel loop whose iterations depend on each other.

    The passes make tables of the points of tiles and loops.
    """
    span = kernel.span
    for n in walk(kernel):
        if isinstance(n, Stmt):
            span = n.span  # the expressions of a statement come before the statements in it
        dtype = getattr(n, "dtype", None)
        if dtype is not None and dtype.bits < 8:
            raise error("TD0503", span, what=f"'{n.name}'" if isinstance(n, Buffer | Var) else "a value", dtype=dtype)
        if isinstance(n, Parallel):
            _check_size("T.Parallel", n.extents, span)
            _check_iterations(n)
        elif isinstance(n, Alloc):
            _check_size(f"'{n.buffer.name}'", (*static_shape(n.buffer), n.buffer.versions), span)


def _check_size(what: str, extents: tuple[int, ...], span: Span) -> None:
    if prod(extents) > LARGEST:
        raise error("TD0505", span, what=what, count=prod(extents), limit=LARGEST)


def _check_iterations(loop: Parallel) -> None:
    found = dependence(loop)
    if found:
        writer, reader, element = (", ".join(map(str, x)) for x in (found.writer, found.reader, found.element))
        facts = {"writer": f"({writer})", "reader": f"({reader})", "element": element}
        notes = (("read here", found.read.span),)
        raise error("TD0318", found.write.span, notes, buffer=found.write.buffer.name, **facts)


def _launch(launch: Launch) -> Launch:
    launch = _without_single_views(launch)
    return _rastered(launch, launch.raster) if launch.raster and len(launch.grid) > 1 else replace(launch, raster=None)


# ----------------------------------------------------------------------------------------------------------- views


def _without_single_views(launch: Launch) -> Launch:
    """The launch without views of shared tiles that nothing else names, also through other such views."""
    views = [n for n in walk(launch) if isinstance(n, View) and n.source.space is Space.SHARED]
    if not views:
        return launch
    named = Counter(n for n in walk(launch) if isinstance(n, Buffer))
    allocated = {n.buffer for n in walk(launch) if isinstance(n, Alloc)}
    stands_for: dict[Buffer, Buffer] = {}  # the tile that is allocated -> its last view
    gone: set[Buffer] = set()
    for v in views:  # in program order: a view comes after its source
        root = next((r for r, last in stands_for.items() if last is v.source), v.source)
        if root in allocated and named[v.source] == 2:  # where it is bound, and here
            stands_for[root] = v.buffer
            gone.add(v.buffer)

    def visit(node: Node) -> Node | tuple[Node, ...]:
        match node:
            case View(buffer) if buffer in gone:
                return ()
            case Alloc(buffer) if buffer in stands_for:
                return replace(node, buffer=stands_for[buffer])
            case Stmt() | Launch():
                return map_children(node, visit)
        return node

    result = visit(launch)
    assert isinstance(result, Launch)
    return result


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
