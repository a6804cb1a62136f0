"""Exchange of values between the threads of a warp, and their numbers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiledsl.frontend.binding import bind
from tiledsl.frontend.proxies import Scalar, call, cast, condition, dependencies, expr_of, scalar
from tiledsl.ir.dtypes import FLOAT32, INDEX, INT32
from tiledsl.ir.nodes import Call
from tiledsl.language.launch import this_thread
from tiledsl.language.scalars import maximum, minimum
from tiledsl.language.tiles import begin

_WARP = 32


def get_lane_idx() -> Scalar:
    """The number of this thread in its warp."""
    this = this_thread("T.get_lane_idx")
    return Scalar(this.expr % _WARP, INDEX, this.frame)


def get_warp_idx() -> Scalar:
    """The number of this thread's warp in the block."""
    this = this_thread("T.get_warp_idx")
    return Scalar(this.expr // _WARP, INDEX, this.frame)


def _shuffle(fn: str, value: Any, lane: Any) -> Scalar:
    begin(f"T.{fn}")
    x, y = scalar(value, FLOAT32 if isinstance(value, float) else INT32), cast(lane, INT32)
    frame, reads = dependencies([x, y])
    return Scalar(Call(fn, (expr_of(x), expr_of(y))), x.type, frame, reads)


def shfl_xor(value: Any, offset: Any) -> Scalar:
    """The value of the lane whose number differs by the bits of `offset`. All lanes of the warp take part."""
    return _shuffle("shfl_xor", value, offset)


def shfl_up(value: Any, offset: Any) -> Scalar:
    """The value of the lane `offset` below; the lowest lanes keep their own."""
    return _shuffle("shfl_up", value, offset)


def shfl_down(value: Any, offset: Any) -> Scalar:
    """The value of the lane `offset` above; the highest lanes keep their own."""
    return _shuffle("shfl_down", value, offset)


def shfl(value: Any, lane: Any) -> Scalar:
    """The value of lane `lane`."""
    return _shuffle("shfl_idx", value, lane)


def any_sync(cond: Any) -> Scalar:
    """Whether `cond` holds in any lane of the warp."""
    begin("T.any_sync")
    return call("warp_any", condition(cond))


def all_sync(cond: Any) -> Scalar:
    """Whether `cond` holds in all lanes of the warp."""
    begin("T.all_sync")
    return call("warp_all", condition(cond))


def _warp_reduce(op: Callable[[Any, Any], Any], value: Any) -> Scalar:
    x = bind(scalar(value), "partial")
    for offset in (16, 8, 4, 2, 1):
        x = bind(op(x, shfl_xor(x, offset)), "partial")
    return x


def warp_reduce_sum(value: Any) -> Scalar:
    """The sum over the lanes of the warp, in every lane."""
    return _warp_reduce(lambda a, b: a + b, value)


def warp_reduce_max(value: Any) -> Scalar:
    """The largest value among the lanes of the warp, in every lane."""
    return _warp_reduce(maximum, value)


def warp_reduce_min(value: Any) -> Scalar:
    """The smallest value among the lanes of the warp, in every lane."""
    return _warp_reduce(minimum, value)
