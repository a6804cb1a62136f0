"""The launch of a kernel, questions about its blocks and threads, and annotations of the whole block."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from types import TracebackType
from typing import Any

from tiledsl.frontend.control import NamedContext
from tiledsl.frontend.proxies import Scalar, converted, describe, index_of, operand
from tiledsl.frontend.source import fail, here
from tiledsl.frontend.tensors import Slice, Tensor, shape_text
from tiledsl.frontend.tracer import LaunchFrame, tracer_of
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.layout import Fragment, Layout
from tiledsl.ir.nodes import Assigned, Const, Expr, Launch, Let, Raster, SafeValue, Space, Var
from tiledsl.language.arguments import whole
from tiledsl.language.clusters import cluster_of
from tiledsl.language.layouts import as_layout
from tiledsl.language.sizes import const_sizes

_THREADS = 128
_MAX_THREADS = 1024


class Kernel(NamedContext):
    """`with T.Kernel(N // 64, M // 64, threads=128) as (bx, by):` launches that many blocks.

    The body is one block's work. Blocks are integers or run-time sizes, x first; `threads` is a number (TD0221) or up
    to three, x first, 1024 in all (TD0224). Several such blocks in a function become several `__global__` functions,
    launched in order. `cluster_dims` blocks (up to 8, x first) run together and can reach each other's shared memory
    (sm_90); the grid is a multiple of them. Raises TileError TD0103 for `is_cpu`, TD0120 in another one, TD0131 for
    another number of names than of dimensions, TD0143 below a loop or branch.
    """

    def __init__(
        self,
        *blocks: Any,
        threads: Any = None,
        is_cpu: bool = False,
        prelude: str | None = None,
        cluster_dims: Any = None,
    ) -> None:
        self.tracer = tracer_of("T.Kernel")
        self.span = self.tracer.here()
        if is_cpu:
            raise fail("TD0103", word="Kernel(is_cpu=True)", hint="leave is_cpu away: every kernel can run on the CPU")
        if len(blocks) == 1 and isinstance(blocks[0], (tuple, list)):
            blocks = tuple(blocks[0])
        if len(blocks) > 3:
            raise fail("TD0224", what=f"a grid of {len(blocks)} dimensions", rule="at most 3 dimensions")
        self.grid = tuple(_grid_size(b) for b in blocks) or (Const(1, INDEX),)
        self.threads = const_sizes(_THREADS if threads is None else threads, "T.Kernel")
        count = 1
        for t in self.threads:
            count *= t
        if len(self.threads) > 3 or count > _MAX_THREADS:
            raise fail(
                "TD0224", what=f"threads={shape_text(self.threads)}", rule="1 to 1024 threads in up to 3 dimensions"
            )
        self.cluster = cluster_of(cluster_dims, self.grid)
        if prelude:
            self.tracer.source.append(prelude)

    def __enter__(self) -> Any:
        if self.tracer.enclosing("launch") is not None:
            raise fail("TD0120")
        if self.tracer.frame is not None:
            raise fail("TD0143", word="T.Kernel")
        count = len(self.grid)
        names = self.targets if isinstance(self.targets, tuple) else None
        if names is not None and len(names) != count:
            raise fail("TD0131", given=len(names), what=f"a grid of {count} dimensions", count=count)
        if names is None:
            base = self.targets if isinstance(self.targets, str) and self.targets != "i" else ""
            names = (base,) if base and count == 1 else tuple(f"b{axis}" for axis in "xyz"[:count])
        blocks = tuple(Var(n, INDEX) for n in names)
        self.frame = LaunchFrame(
            "launch", "the T.Kernel block", None, self.span, grid=self.grid, blocks=blocks, threads=self.threads,
            cluster=self.cluster,
        )  # fmt: skip
        self.tracer.open(self.frame)
        values = tuple(Scalar(b, INDEX, self.frame) for b in blocks)
        return values[0] if count == 1 and not isinstance(self.targets, tuple) else values

    def __exit__(
        self, _kind: type[BaseException] | None, raised: BaseException | None, _tb: TracebackType | None
    ) -> None:
        if raised is not None:
            return
        frame = self.frame
        body = self.tracer.close(frame)
        if frame.raster and frame.cluster:
            hint = "leave one of them away: the blocks of a cluster are neighbours in the grid"
            raise fail("TD0103", word="use_swizzle in a launch with cluster_dims", hint=hint)
        launch = Launch(
            self.tracer.name,
            frame.grid,
            frame.blocks,
            frame.threads,
            frame.thread,
            body,
            tuple(frame.layouts),
            tuple(frame.safe_values),
            cluster=frame.cluster,
            raster=frame.raster,
            min_blocks=frame.min_blocks,
            registers=frame.registers,
            handovers=frame.handovers,
            persisting=frame.persisting,
            span=self.span,
        )
        if frame.meetings:
            self._of_parts(launch, frame)
            return
        if frame.reducers:
            from tiledsl.language.gathering.reducers import without_reducers

            launch = without_reducers(launch, frame.reducers)
        if frame.schedule is not None:
            from tiledsl.language.gathering.schedule import scheduled

            launch = scheduled(launch, frame.schedule, frame.operations)
        if frame.has_roles:
            from tiledsl.language.gathering import gathered  # few kernels need it

            launch = gathered(launch)
        self.tracer.launches.append(launch)

    def _of_parts(self, launch: Launch, frame: LaunchFrame) -> None:
        """Launches in place of one with T.sync_grid."""
        from tiledsl.language.grids import parts_of  # few kernels need it

        for word, there in (
            ("T.ws", frame.has_roles),
            ("T.alloc_reducer", frame.reducers),
            ("T.WSSchedule", frame.handovers),
        ):
            if there:
                hint = "end the T.Kernel block and open another: launches run in order"
                raise fail("TD0103", word=f"sync_grid in a launch with {word}", hint=hint)
        self.tracer.launches += parts_of(launch, frame.meetings)


class ClusterKernel(Kernel):
    """T.Kernel that must have `cluster_dims`.

    `with T.ClusterKernel(N // 64, M // 64, cluster_dims=(2, 1)) as (bx, by):`.
    """

    def __init__(self, *blocks: Any, cluster_dims: Any, threads: Any = None, prelude: str | None = None) -> None:
        super().__init__(*blocks, threads=threads, prelude=prelude, cluster_dims=cluster_dims)


_AXES = tuple(f"{unit}Idx.{axis}" for unit in ("block", "thread") for axis in "xyz")


class launch_thread(Scalar):
    """Blocks or threads along one axis, as TIR says a launch: the number of this block, or of this thread.

    `bx = T.launch_thread("blockIdx.x", n)`, then `tx = T.launch_thread("threadIdx.x", 128)`. The first one opens the
    launch, which goes on to the end of the function, or of `with T.launch_thread("blockIdx.x", n) as bx:`. All of them
    stand before its work (TD0152); an axis without one has one block or thread. `extent` of threads is a constant.
    Raises TileError TD0226 for an axis that there is not or is twice, TD0120 in a T.Kernel block.
    """

    __slots__ = ("_kernel",)

    def __init__(self, thread: str, extent: Any) -> None:
        word = "T.launch_thread"
        tracer = tracer_of(word)
        frame, self._kernel = tracer.enclosing("launch"), None
        if frame is None:
            self._kernel = Kernel(1, threads=1)
            self._kernel.__enter__()
            frame = self._kernel.frame
            frame.axes = {}
            tracer.at_end.append(self._close)
        assert isinstance(frame, LaunchFrame)
        if frame.axes is None:
            raise fail("TD0120")
        if thread not in _AXES or thread in frame.axes:
            allowed = ", ".join(a for a in _AXES if a not in frame.axes)
            raise fail("TD0226", word=word, name="thread", value=describe(thread), allowed=allowed)
        if any(not isinstance(s, Let) for s in frame.block) or tracer.frame is not frame:
            raise fail("TD0152", axis=thread)
        of_threads = thread.startswith("thread")
        size = Const(const_sizes(extent, word)[0], INDEX) if of_threads else _grid_size(extent)
        var = Var(f"{thread[0]}{thread[-1]}", INDEX)
        frame.axes[thread] = (var, size)
        _arrange(frame, frame.axes)
        super().__init__(var, INDEX, frame)

    def __enter__(self) -> launch_thread:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, tb: TracebackType | None
    ) -> None:
        if self._kernel is not None and raised is None:
            self._kernel.tracer.at_end.remove(self._close)
            self._close()

    def _close(self) -> None:
        """Ends the launch. Numbers of threads are named at its beginning: only now all extents are known."""
        assert self._kernel is not None
        frame = self._kernel.frame
        below, binds = 1, []
        for axis, extent in zip(_AXES[3:], frame.threads):
            number = frame.thread // below % extent
            binds += [Let(frame.axes[axis][0], number, span=frame.span)] if frame.axes and axis in frame.axes else []
            below *= extent
        frame.block[:0] = binds
        self._kernel.__exit__(None, None, None)


def _arrange(frame: LaunchFrame, axes: Mapping[str, tuple[Var, Expr]]) -> None:
    """Grid and block of a launch by axes. Raises TileError TD0224 for more threads than a block can have."""
    grid, block = ([axes.get(a, (Var(f"b{a[-1]}", INDEX), Const(1, INDEX))) for a in _AXES[i : i + 3]] for i in (0, 3))
    blocks, threads = (max([0, *(i for i, a in enumerate(_AXES[k : k + 3]) if a in axes)]) + 1 for k in (0, 3))
    frame.blocks, frame.grid = (tuple(part) for part in zip(*grid[:blocks]))
    frame.threads = tuple(int(size.value) for _, size in block[:threads] if isinstance(size, Const))
    if prod(frame.threads) > _MAX_THREADS:
        raise fail("TD0224", what=f"threads={shape_text(frame.threads)}", rule=f"1 to {_MAX_THREADS} threads")


def _grid_size(value: Any) -> Expr:
    if isinstance(value, bool):
        raise fail("TD0224", what=f"a grid of {describe(value)}", rule="at least 1 block")
    number = operand(value)
    size = index_of(number, "a number of blocks")
    if isinstance(number, Scalar) and number.reads:
        rule = "sizes that the host knows: numbers, sizes of tensors, and scalar parameters"
        raise fail("TD0224", what=f"{number.shown()} blocks, a number in the GPU's memory", rule=rule)
    if isinstance(size, Const) and size.value < 1:
        raise fail("TD0224", what=f"a grid with {size.value} blocks in a dimension", rule="at least 1 block")
    return size


# ------------------------------------------------------------------------------------------------------- questions


def _dimension(dim: Any, count: int, word: str) -> int:
    return min(whole(word, "dim", dim, high=2, allowed="0, 1 or 2"), count)


def this_thread(word: str) -> Scalar:
    """The number of this thread in the block; a T.ws block counts its own threads, from its first one."""
    tracer = tracer_of(word)
    frame, role = tracer.launch(word), tracer.role()
    if role is None:
        return Scalar(frame.thread, INDEX, frame)
    return Scalar(role.thread + role.first if role.first else role.thread, INDEX, role)


def get_thread_binding(dim: int = 0) -> Scalar:
    """The number of this thread along dimension `dim` of the block.

    `tx = T.get_thread_binding()`, an index; `dim` is 0, 1 or 2 (TD0226).
    """
    frame = tracer_of("T.get_thread_binding").launch("T.get_thread_binding")
    dim = _dimension(dim, len(frame.threads), "T.get_thread_binding")
    if dim == len(frame.threads):
        return Scalar(Const(0, INDEX), INDEX, frame)
    this = this_thread("T.get_thread_binding")
    number = this.expr
    for t in frame.threads[:dim]:
        number = number // t
    if dim + 1 < len(frame.threads):
        number = number % frame.threads[dim]
    return Scalar(number, INDEX, this.frame)


def get_thread_bindings() -> list[Scalar]:
    """The number of this thread along every dimension of the block. `(tx,) = T.get_thread_bindings()`."""
    frame = tracer_of("T.get_thread_bindings").launch("T.get_thread_bindings")
    return [get_thread_binding(i) for i in range(len(frame.threads))]


def get_block_binding(dim: int = 0) -> Scalar:
    """The number of this block along dimension `dim` of the grid.

    `bx = T.get_block_binding(0)`, an index; `dim` is 0, 1 or 2 (TD0226).
    """
    frame = tracer_of("T.get_block_binding").launch("T.get_block_binding")
    dim = _dimension(dim, len(frame.blocks), "T.get_block_binding")
    return Scalar(frame.blocks[dim] if dim < len(frame.blocks) else Const(0, INDEX), INDEX, frame)


def get_block_bindings() -> list[Scalar]:
    """The number of this block along every dimension of the grid. `bx, by = T.get_block_bindings()`."""
    frame = tracer_of("T.get_block_bindings").launch("T.get_block_bindings")
    return [get_block_binding(i) for i in range(len(frame.blocks))]


def get_thread_extent(dim: int = 0) -> int:
    """The number of threads along dimension `dim` of the block.

    `threads = T.get_thread_extent()`, a Python int; `dim` is 0, 1 or 2 (TD0226).
    """
    frame = tracer_of("T.get_thread_extent").launch("T.get_thread_extent")
    dim = _dimension(dim, len(frame.threads), "T.get_thread_extent")
    return frame.threads[dim] if dim < len(frame.threads) else 1


def get_thread_extents() -> list[int]:
    """The number of threads along every dimension of the block. `(threads,) = T.get_thread_extents()`, Python ints."""
    return list(tracer_of("T.get_thread_extents").launch("T.get_thread_extents").threads)


def get_block_extent(dim: int = 0) -> Any:
    """The number of blocks along dimension `dim` of the grid: an int, or a run-time value.

    `columns = T.get_block_extent(0)`; `dim` is 0, 1 or 2 (TD0226).
    """
    frame = tracer_of("T.get_block_extent").launch("T.get_block_extent")
    dim = _dimension(dim, len(frame.grid), "T.get_block_extent")
    size = frame.grid[dim] if dim < len(frame.grid) else Const(1, INDEX)
    return int(size.value) if isinstance(size, Const) else Scalar(size, INDEX, frame)


def get_block_extents() -> list[Any]:
    """The number of blocks along every dimension of the grid. `columns, rows = T.get_block_extents()`."""
    frame = tracer_of("T.get_block_extents").launch("T.get_block_extents")
    return [get_block_extent(i) for i in range(len(frame.grid))]


# ----------------------------------------------------------------------------------------------------- annotations


def use_swizzle(panel_size: int, order: str = "row", enable: bool = True) -> None:
    """Deals the blocks in panels of `panel_size` rows or columns, so that neighbours in time share the L2 cache.

    `T.use_swizzle(8)`; `order` is "row" or "column" (TD0226). Not in a launch with clusters (TD0103).
    """
    frame = tracer_of("T.use_swizzle").launch("T.use_swizzle")
    whole("T.use_swizzle", "panel_size", panel_size, 1)
    if order not in ("row", "column", "col"):
        raise fail("TD0226", word="T.use_swizzle", name="order", value=describe(order), allowed="'row' or 'column'")
    if enable:
        frame.raster = Raster(panel_size, "row" if order == "row" else "column")


def annotate_layout(layouts: Mapping[Any, Any]) -> None:
    """Fixes the layouts of shared tensors (T.Layout) and of fragments (T.Fragment).

    `T.annotate_layout({A_shared: T.make_swizzled_layout(A_shared)})`. A layout has the tensor's shape, or that of its
    last dimensions. Raises TileError TD0226 for what is no table, TD0235 for what is no tensor, TD0236 for a layout of
    the wrong kind, TD0307 for one of another shape.
    """
    frame = tracer_of("T.annotate_layout").launch("T.annotate_layout")
    for tensor, layout in _items(layouts, "T.annotate_layout"):
        buffer = tensor.buffer
        tensor.check_alive()
        found = as_layout(layout, buffer.shape, buffer.dtype, here())
        wants = Fragment if buffer.space is Space.FRAGMENT else Layout
        if buffer.space not in (Space.FRAGMENT, Space.SHARED) or not isinstance(found, wants):
            kind, shape = type(found).__name__, shape_text(buffer.shape)
            raise fail("TD0236", kind=kind, name=tensor.name, space=tensor.scope(), shape=shape, wants=wants.__name__)
        frame.layouts.append(Assigned(buffer, found))


def annotate_safe_value(values: Mapping[Any, Any]) -> None:
    """What reads outside a tensor yield in place of 0: `T.annotate_safe_value({A: -T.infinity(A.dtype)})`.

    A number of the tensor's dtype for each. Raises TileError TD0226 for what is no table, TD0235 for what is no tensor.
    """
    frame = tracer_of("T.annotate_safe_value").launch("T.annotate_safe_value")
    for tensor, value in _items(values, "T.annotate_safe_value"):
        frame.safe_values.append(SafeValue(tensor.buffer, converted(value, tensor.buffer.dtype)))


def annotate_min_blocks_per_sm(count: int) -> None:
    """Asks for at least `count` blocks on a multiprocessor at a time, which bounds the registers of a thread.

    `T.annotate_min_blocks_per_sm(2)`: from 1 to 32 (TD0226). Source: CUDA C++ Programming Guide, "Launch Bounds".
    """
    frame = tracer_of("T.annotate_min_blocks_per_sm").launch("T.annotate_min_blocks_per_sm")
    frame.min_blocks = whole("T.annotate_min_blocks_per_sm", "count", count, 1, 32)


def _items(table: Mapping[Any, Any], word: str) -> list[tuple[Tensor, Any]]:
    if not isinstance(table, Mapping):
        raise fail("TD0226", word=word, name="table", value=describe(table), allowed="a dict from tensors to values")
    for tensor in table:
        if not isinstance(tensor, Tensor):
            shown = "a slice" if isinstance(tensor, Slice) else describe(tensor)
            raise fail("TD0235", word=word, parameter="key", value=shown)
    return list(table.items())
