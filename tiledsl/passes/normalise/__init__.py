"""normalise: what the user may write in several ways, in one."""

from __future__ import annotations

from dataclasses import replace
from math import prod

from tiledsl.analysis.iterations import dependence
from tiledsl.analysis.private import stray_use
from tiledsl.errors import Span, error
from tiledsl.ir.dtypes import INDEX, INT64
from tiledsl.ir.nodes import Alloc, Buffer, Const, For, Kernel, Launch, Pipelined, Stmt, Var, static_shape
from tiledsl.ir.tile import Parallel
from tiledsl.ir.walk import walk
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import tile_stage
from tiledsl.passes.normalise.blocks import dealt, rastered
from tiledsl.passes.normalise.dependences import ordered
from tiledsl.passes.normalise.features import supported
from tiledsl.passes.normalise.indices import with_wide_indices
from tiledsl.passes.normalise.slots import slots_as_versions
from tiledsl.passes.normalise.views import without_single_views
from tiledsl.target import Target

LARGEST = 1 << 22  # points of a tile or of a loop over one
MOST_STAGES = 1 << 10  # of a pipeline: no block has shared memory for so many tiles with their barriers


@kernel_pass(requires=[tile_stage])
def normalise(kernel: Kernel, *, target: Target | None = None) -> Kernel:
    """Deals blocks in the order of `Raster`, by computing their indices from those of the hardware, and the tiles of
    persistent loops to blocks in turn; allocates a shared tile that is only used through one view in the shape and
    dtype of the view; makes the slots of tiles that roles hand to each other versions; converts indices of elements
    that are of other integer dtypes to `index`.

    Safe because the new order is a permutation of the grid, so that each block is still run once, and because the own
    shape of such a tile means nothing; without the view the tile can have versions in a pipeline. Negative indices
    are no matter of this pass: the frontend counts negative constants from the end, and in the IR an index below 0
    is outside of its buffer, as in a region. TD0503 and TD0505 for what no pass can deal with: values of fewer than 8
    bits, tiles and loops of millions of points; TD0504 for numbers beyond 64 bits in indices. TD0318 for parallel
    iterations that depend on each other, TD0330 for variables of threads that would hand on what one of them left.
    TD0507 for words that the target has no instructions for; without wgmma, products are waited for at once. TD0508 for
    what a launch does too early, before it waits for those before it.
    """
    _check_numbers(kernel)
    _check(kernel)
    for launch in kernel.launches:
        _check_variables(launch)
    kernel = ordered(kernel, target)
    launches = kernel.launches if target is None else tuple(supported(launch, target) for launch in kernel.launches)
    return replace(kernel, launches=tuple(map(_launch, launches)))


def _check_numbers(kernel: Kernel) -> None:
    """Raises TileError TD0504 for a number in an index that no machine integer holds: tables do not either."""
    span = kernel.span
    low, high = INT64.int_range
    for n in walk(kernel):
        if isinstance(n, Stmt | Launch):
            span = n.span
        elif isinstance(n, Const) and n.dtype is INDEX and not low <= n.value <= high:
            raise error("TD0504", span, value=n.value)


def _check(kernel: Kernel) -> None:
    """Raises TileError TD0503 for values of fewer than 8 bits, TD0505 for what is too large for one block, TD0509 for a
    pipeline of too many stages, TD0318 for a parallel loop whose iterations depend on each other.

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
        elif isinstance(n, For) and isinstance(n.kind, Pipelined):
            stages = max(n.kind.stages, *n.kind.stage, 0)
            if stages > MOST_STAGES:
                raise error("TD0509", span, name=n.var.name, stages=stages, limit=MOST_STAGES)
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


def _check_variables(launch: Launch) -> None:
    """Raises TileError TD0330 for a variable of threads whose value depends on the points that they are dealt."""
    if found := stray_use(launch.body):
        notes = (("stored here, in a point of a T.Parallel loop", found.store.span),)
        raise error("TD0330", found.reader.span, notes, name=found.buffer.name)


def _launch(launch: Launch) -> Launch:
    launch = slots_as_versions(dealt(without_single_views(with_wide_indices(launch))))
    return rastered(launch, launch.raster) if launch.raster and len(launch.grid) > 1 else replace(launch, raster=None)
