"""Loop words, for use in `for` statements of kernels and macros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiledsl.frontend.control import leave
from tiledsl.frontend.loopspecs import Bound, Box, Counted, LoopSpec, Tiles
from tiledsl.frontend.proxies import Scalar, describe, index_of, operand
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import extent_of
from tiledsl.frontend.tracer import tracer_of
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.nodes import Const, Unrolled, Vectorized
from tiledsl.ir.nodes import Pipelined as PipelinedKind
from tiledsl.ir.nodes import Serial as SerialKind
from tiledsl.language.arguments import whole, wrong
from tiledsl.language.launch import get_thread_binding, get_thread_extent
from tiledsl.language.sizes import const_sizes, sizes
from tiledsl.language.unsupported import reject


def Parallel(
    *extents: Any,
    coalesced_width: int | None = None,
    loop_layout: Any = None,
    prefer_async: Any = None,
    annotations: Any = None,
) -> LoopSpec:
    """The points of a box, dealt to the threads of the block, in no order: `for i, j in T.Parallel(64, 64):`.

    Extents are constants, one or more (TD0220, TD0221). `coalesced_width` is how many neighbours an access takes
    (TD0226).
    """
    reject("Parallel", loop_layout=loop_layout, prefer_async=prefer_async, annotations=annotations)
    if not extents:
        raise fail("TD0221", word="T.Parallel", value="nothing")
    return Box(const_sizes(extents, "T.Parallel"), whole("T.Parallel", "coalesced_width", coalesced_width or 0))


def Pipelined(
    start: Any,
    stop: Any = None,
    num_stages: int = 0,
    order: Sequence[int] | None = None,
    stage: Sequence[int] | None = None,
    sync: Sequence[Sequence[int]] | None = None,
    group: Sequence[Sequence[int]] | None = None,
) -> LoopSpec:
    """A serial loop whose copies run ahead of its computation by `num_stages` iterations.

    `for k in T.Pipelined(K // 32, num_stages=3):`. `order`, `stage` and `group` fix the schedule by hand, one entry for
    each statement of the body. Raises TileError TD0226, TD0227 for lists of different lengths.
    """
    kind = PipelinedKind(
        whole("T.Pipelined", "num_stages", num_stages),
        _numbers("order", order),
        _numbers("stage", stage),
        tuple(_numbers("group", g) for g in group or ()),
        tuple(_numbers("sync", s) for s in sync or ()),
    )
    if kind.order and kind.stage and len(kind.order) != len(kind.stage):
        raise fail("TD0227", order=len(kind.order), stage=len(kind.stage))
    return _range("T.Pipelined", start, stop, 1, kind)


def serial(start: Any, stop: Any = None, step: Any = 1, annotations: Any = None) -> LoopSpec:
    """A loop, one iteration after the other; `range` is the same.

    `for k in T.serial(n):`, or `for k in T.Serial(0, n, 2):`.
    """
    reject("serial", annotations=annotations)
    return _range("T.serial", start, stop, step, SerialKind())


def unroll(
    start: Any,
    stop: Any = None,
    step: Any = 1,
    annotations: Any = None,
    *,
    explicit: bool = False,
    unroll_factor: int | None = None,
) -> LoopSpec:
    """A serial loop that is unrolled, wholly or `unroll_factor` times; `explicit` unrolls in the IR, not in C++.

    `for k in T.unroll(4):`.
    """
    reject("unroll", annotations=annotations)
    kind = Unrolled(whole("T.unroll", "unroll_factor", unroll_factor or 0), bool(explicit))
    return _range("T.unroll", start, stop, step, kind)


def vectorized(start: Any, stop: Any = None, annotations: Any = None) -> LoopSpec:
    """A loop whose iterations are the lanes of one vector access; the extent is a constant.

    `for j in T.vectorized(4):`.
    """
    reject("vectorized", annotations=annotations)
    return _range("T.vectorized", start, stop, 1, Vectorized())


def Persistent(domain: Sequence[Any], wave_size: Any, index: Any, group_size: int = 8) -> LoopSpec:
    """The tiles of a box that a resident block works on: `for m, n in T.Persistent([M // 64, N // 64], 132, bx):`.

    Of `wave_size` blocks, number `index` gets every `wave_size`-th tile; each tile is worked on exactly once. Tiles
    that follow each other share the L2 cache: `group_size` of the last dimension at a time. Raises TileError TD0226.
    """
    word = "T.Persistent"
    extents = tuple(extent_of(s) for s in sizes(domain, word))
    if not extents:
        raise wrong(word, "domain", describe(domain), "positive ints")
    whole(word, "group_size", group_size, 1)
    box = tuple(Const(e, INDEX) if isinstance(e, int) else e for e in extents)
    wave, number = operand(wave_size), operand(index)
    if not isinstance(wave, Scalar) and wave < 1:
        raise wrong(word, "wave_size", describe(wave_size), "1 or more blocks")
    return Tiles(box, index_of(wave, "a number of blocks"), index_of(number, "the number of a block"), group_size)


def thread_binding(start: Any, stop: Any = None, thread: str = "threadIdx.x", annotations: Any = None) -> LoopSpec:
    """The threads along a dimension of the block as a loop: `for tx in T.thread_binding(128, "threadIdx.x"):`.

    The extent is the block's (TD0228), the axis "threadIdx.x", "threadIdx.y" or "threadIdx.z" (TD0226).
    """
    reject("thread_binding", annotations=annotations)
    if isinstance(stop, str):
        stop, thread = None, stop
    axes = {"threadIdx.x": 0, "threadIdx.y": 1, "threadIdx.z": 2}
    if thread not in axes:
        raise wrong("T.thread_binding", "thread", describe(thread), ", ".join(axes))
    extent = const_sizes([start if stop is None else stop], "T.thread_binding")[0]
    threads = get_thread_extent(axes[thread])
    if extent != threads or (stop is not None and start != 0):
        raise fail("TD0228", extent=extent, axis=thread, threads=threads)
    return Bound(get_thread_binding(axes[thread]))


def loop_break() -> None:
    """Leaves the innermost loop; `break` is the same.

    `if x > y: T.loop_break()`. TD0108 in a loop that runs at trace time.
    """
    tracer_of("T.loop_break")
    if leave("break"):
        raise fail("TD0108", word="T.loop_break", where="in a loop that runs at trace time")


def _range(word: str, start: Any, stop: Any, step: Any, kind: Any) -> LoopSpec:
    return Counted(0, start, step, kind, word) if stop is None else Counted(start, stop, step, kind, word)


def _numbers(name: str, values: Any) -> tuple[int, ...]:
    if values is None:
        return ()
    if not isinstance(values, (list, tuple, range)) or not all(type(v) is int for v in values):
        raise wrong("T.Pipelined", name, describe(values), "a list of ints")
    return tuple(values)
