"""Exchange of values between the threads of a warp, and their numbers."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

from tiledsl.frontend.binding import bind
from tiledsl.frontend.proxies import Scalar, call, cast, condition, dependencies, describe, expr_of, scalar
from tiledsl.frontend.source import fail
from tiledsl.ir.dtypes import BOOL, FLOAT32, INDEX, INT32, UINT32
from tiledsl.ir.nodes import TRUE, Call, Const, Evaluate, eq
from tiledsl.language.arguments import whole
from tiledsl.language.debug import sync_threads
from tiledsl.language.launch import this_thread
from tiledsl.language.memory import alloc_shared
from tiledsl.language.scalars import if_then_else, maximum, minimum, popcount, reinterpret
from tiledsl.language.tiles import begin

_WARP = 32
_ALL_LANES = 0xFFFFFFFF
_WIDTHS = (1, 2, 4, 8, 16, 32)


def get_lane_idx() -> Scalar:
    """The number of this thread in its warp. `lane = T.get_lane_idx()`, 0 to 31."""
    this = this_thread("T.get_lane_idx")
    return Scalar(this.expr % _WARP, INDEX, this.frame)


def get_warp_idx() -> Scalar:
    """The number of this thread's warp in the block. `warp = T.get_warp_idx()`."""
    this = this_thread("T.get_warp_idx")
    return Scalar(this.expr // _WARP, INDEX, this.frame)


def get_warp_idx_sync() -> Scalar:
    """Another name of T.get_warp_idx: `warp = T.get_warp_idx_sync()`."""
    return get_warp_idx()


def get_warp_group_idx(warp_size: int | None = None, warps_per_group: int | None = None) -> Scalar:
    """The number of this thread's warpgroup in the block: `warps_per_group` (4) warps of `warp_size` (32) threads.

    `group = T.get_warp_group_idx()`. TD0226 for other than positive ints.
    """
    this = this_thread("T.get_warp_group_idx")
    size = whole("T.get_warp_group_idx", "warp_size", warp_size or _WARP, 1)
    group = whole("T.get_warp_group_idx", "warps_per_group", warps_per_group or 4, 1)
    return Scalar(this.expr // (size * group), INDEX, this.frame)


def shuffle_elect(thread_extent: int) -> Scalar:
    """Whether this thread is the one that stands for its `thread_extent` threads: their first; 0 is the whole block.

    `if T.shuffle_elect(128):`. TD0226 for other than ints.
    """
    this = this_thread("T.shuffle_elect")
    word = "T.shuffle_elect"
    if thread_extent:
        size = whole(word, "thread_extent", thread_extent, 1)
        return Scalar(eq(this.expr % size, 0), BOOL, this.frame)
    return Scalar(eq(this.expr, 0), BOOL, this.frame)


def _shuffle(fn: str, value: Any, lane: Any) -> Scalar:
    begin(f"T.{fn}")
    x, y = scalar(value, FLOAT32 if isinstance(value, float) else INT32), cast(lane, INT32)
    frame, reads = dependencies([x, y])
    return Scalar(Call(fn, (expr_of(x), expr_of(y))), x.type, frame, reads)


def _within(word: str, fn: str, value: Any, operand: Any, width: int, mask: Any) -> Scalar:
    """A shuffle within groups of `width` lanes."""
    if width not in _WIDTHS:
        raise fail("TD0226", word=word, name="width", value=describe(width), allowed="1, 2, 4, 8, 16 or 32")
    _require_whole_warp(word, mask)
    if width == _WARP:
        return _shuffle(fn, value, operand)
    lane, offset = cast(get_lane_idx(), INT32), cast(operand, INT32)
    inside, first = lane % width, lane - lane % width
    other = {
        "shfl_up": if_then_else(inside >= offset, lane - offset, lane),
        "shfl_down": if_then_else(inside + offset < width, lane + offset, lane),
        "shfl_xor": if_then_else((lane ^ offset) < first + width, lane ^ offset, lane),
        "shfl_idx": first + offset % width,
    }[fn]
    return _shuffle("shfl_idx", value, other)


def _require_whole_warp(word: str, mask: Any) -> None:
    if mask is not None and mask != _ALL_LANES:
        allowed = "0xffffffff: all lanes of the warp take part"
        raise fail("TD0226", word=word, name="mask", value=describe(mask), allowed=allowed)


def sync_warp(mask: int | None = None) -> None:
    """The lanes of the warp wait for each other, and see what the others wrote before.

    `T.sync_warp()`, or `if T.get_lane_idx() < 16: T.sync_warp(0xFFFF)`: those that `mask` names by its bits (all),
    which are the lanes that execute this (TD0811 on the CPU, where others are there). It orders accesses of a warp to
    global memory and to what the user's own functions keep. Between accesses of threads to shared memory the compiler
    places a barrier of all threads where one is needed, as if this were not there. Raises TileError TD0129 in a
    T.Parallel loop, TD0226 for another mask. Source: PTX ISA, "bar.warp.sync".
    """
    tracer = begin("T.sync_warp")
    if mask is not None:
        whole("T.sync_warp", "mask", mask, 1, _ALL_LANES, allowed="an int from 1 to 0xffffffff: a bit for each lane")
    if tracer.enclosing("parallel") is not None:
        raise fail("TD0129", word="T.sync_warp")
    lanes = Const(_ALL_LANES if mask is None else mask, UINT32)
    tracer.emit(Evaluate(Call("warp_sync", (lanes,)), span=tracer.here()))


def shfl_xor(value: Any, offset: Any, width: int = _WARP, mask: int | None = None) -> Scalar:
    """The value of the lane whose number differs by the bits of `offset`, of any dtype: `y = T.shfl_xor(x, 1)`.

    All lanes of the warp take part. With a smaller `width`, a power of two, the lanes of each group of so many
    exchange. Raises TileError TD0226 for other widths and masks. Source: PTX ISA, "shfl.sync".
    """
    return _within("T.shfl_xor", "shfl_xor", value, offset, width, mask)


def shfl_up(value: Any, offset: Any, width: int = _WARP, mask: int | None = None) -> Scalar:
    """The value of the lane `offset` below; the lowest lanes, of each group of `width`, keep their own.

    Else as T.shfl_xor: `y = T.shfl_up(x, 1)`.
    """
    return _within("T.shfl_up", "shfl_up", value, offset, width, mask)


def shfl_down(value: Any, offset: Any, width: int = _WARP, mask: int | None = None) -> Scalar:
    """The value of the lane `offset` above; the highest lanes, of each group of `width`, keep their own.

    Else as T.shfl_xor: `y = T.shfl_down(x, 16)`.
    """
    return _within("T.shfl_down", "shfl_down", value, offset, width, mask)


def shfl(value: Any, lane: Any, width: int = _WARP, mask: int | None = None) -> Scalar:
    """The value of lane `lane` of the warp, or of each group of `width` lanes.

    Else as T.shfl_xor: `y = T.shfl(x, 0)`.
    """
    return _within("T.shfl", "shfl_idx", value, lane, width, mask)


def shfl_sync(mask: int, value: Any, lane: Any, width: int = _WARP) -> Scalar:
    """T.shfl among all lanes of the warp, which `mask` names (TD0226): `y = T.shfl_sync(0xFFFFFFFF, x, 0)`."""
    return _within("T.shfl_sync", "shfl_idx", value, lane, width, mask)


def any_sync(cond: Any) -> Scalar:
    """Whether `cond` holds in any lane of the warp.

    `found = T.any_sync(x > y)`, a bool. Source: PTX ISA, "vote.sync".
    """
    begin("T.any_sync")
    return call("warp_any", condition(cond))


def all_sync(cond: Any) -> Scalar:
    """Whether `cond` holds in all lanes of the warp.

    `agreed = T.all_sync(x > y)`, a bool. Source: PTX ISA, "vote.sync".
    """
    begin("T.all_sync")
    return call("warp_all", condition(cond))


def ballot(cond: Any) -> Scalar:
    """The lanes of the warp in which `cond` holds, as the bits of a uint32: lane i is bit i (PTX ISA, "vote.sync").

    `lanes = T.ballot(x > y)`.
    """
    begin("T.ballot")
    return cast(call("warp_ballot", condition(cond)), UINT32)


def ballot_sync(mask: int, cond: Any) -> Scalar:
    """T.ballot among all lanes of the warp, which `mask` names (TD0226): `lanes = T.ballot_sync(0xFFFFFFFF, x > y)`."""
    _require_whole_warp("T.ballot_sync", mask)
    return ballot(cond)


def activemask() -> Scalar:
    """The lanes that execute this, as the bits of a uint32: in converged code all threads of the warp.

    `lanes = T.activemask()`.
    """
    return ballot(Scalar(TRUE, BOOL, this_thread("T.activemask").frame))


def match_any_sync(mask: int, value: Any) -> Scalar:
    """The lanes of the warp that have the same `value`, an integer of 32 or 64 bits (PTX ISA, "match.sync").

    `lanes = T.match_any_sync(0xFFFFFFFF, n)`. All lanes take part (TD0226).
    """
    begin("T.match_any_sync")
    _require_whole_warp("T.match_any_sync", mask)
    x = scalar(value, INT32)
    if not x.type.is_integer or x.type.bits not in (32, 64):
        x = cast(x, INT32) if x.type.is_integer else reinterpret("int32", cast(x, FLOAT32))
    return cast(call("warp_match", x), UINT32)


def match_all_sync(mask: int, value: Any) -> Scalar:
    """All lanes, as the bits of a uint32, if they all have the same `value`, else 0.

    `lanes = T.match_all_sync(0xFFFFFFFF, n)`. All lanes take part (TD0226).
    """
    same = bind(match_any_sync(mask, value), "same")
    return scalar(if_then_else(same == _ALL_LANES, same, cast(0, UINT32)))


def _warp_reduce(op: Callable[[Any, Any], Any], value: Any) -> Scalar:
    x = bind(scalar(value), "partial")
    for offset in (16, 8, 4, 2, 1):
        x = bind(op(x, shfl_xor(x, offset)), "partial")
    return x


def warp_reduce_sum(value: Any) -> Scalar:
    """The sum over the lanes of the warp, in every lane. `total = T.warp_reduce_sum(x)`, of its dtype."""
    return _warp_reduce(lambda a, b: a + b, value)


def warp_reduce_max(value: Any) -> Scalar:
    """The largest value among the lanes of the warp, in every lane. `largest = T.warp_reduce_max(x)`, of its dtype."""
    return _warp_reduce(maximum, value)


def warp_reduce_min(value: Any) -> Scalar:
    """The smallest value among the lanes of the warp, in every lane.

    `smallest = T.warp_reduce_min(x)`, of its dtype.
    """
    return _warp_reduce(minimum, value)


def warp_reduce_bitand(value: Any) -> Scalar:
    """The bitwise `&` over the lanes of the warp, in every lane.

    `common = T.warp_reduce_bitand(w)`, of its integer dtype.
    """
    return _warp_reduce(lambda a, b: a & b, value)


def warp_reduce_bitor(value: Any) -> Scalar:
    """The bitwise `|` over the lanes of the warp, in every lane.

    `any_bits = T.warp_reduce_bitor(w)`, of its integer dtype.
    """
    return _warp_reduce(lambda a, b: a | b, value)


def _count_in_block(word: str, cond: Any) -> Scalar:
    """The number of threads of the block for which `cond` holds, after all of them have arrived."""
    tracer = begin(word)
    threads = prod(tracer.launch(word).threads)
    if tracer.enclosing("parallel") is not None:
        raise fail("TD0129", word=word)
    if tracer.role() is not None:
        raise fail("TD0103", word=f"{word} in a T.ws block", hint="count by T.ballot, T.popcount and a shared tile")
    if threads % _WARP:
        raise fail("TD0226", word=word, name="the block", value=f"{threads} threads", allowed="whole warps")
    here, this = bind(popcount(ballot(cond)), "here"), this_thread(word)
    warps = threads // _WARP
    tracer.hint(("counts",))
    counts = alloc_shared((warps,), "int32")
    warp = Scalar(this.expr // _WARP, INDEX, this.frame)
    counts[warp] = here
    sync_threads()
    total: Any = counts[0]
    for i in range(1, warps):
        total = total + counts[i]
    return bind(total, "total")


def syncthreads_count(cond: Any) -> Scalar:
    """The number of threads of the block for which `cond` holds. All threads wait here for each other.

    The block has whole warps (TD0226); the word stands outside of T.ws blocks (TD0103) and T.Parallel loops (TD0129).
    `count = T.syncthreads_count(x > y)`, an int32.
    """
    return _count_in_block("T.syncthreads_count", cond)


def syncthreads_and(cond: Any) -> Scalar:
    """Whether `cond` holds for all threads of the block; else as T.syncthreads_count.

    `agreed = T.syncthreads_and(x > y)`.
    """
    threads = prod(begin("T.syncthreads_and").launch("T.syncthreads_and").threads)
    return cast(_count_in_block("T.syncthreads_and", cond) == threads, BOOL)


def syncthreads_or(cond: Any) -> Scalar:
    """Whether `cond` holds for any thread of the block; else as T.syncthreads_count.

    `found = T.syncthreads_or(x > y)`.
    """
    return cast(_count_in_block("T.syncthreads_or", cond) > 0, BOOL)
