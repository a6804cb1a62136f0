"""Words that look into a running kernel, promise facts about it, or order its threads."""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.proxies import condition, describe, expr_of, operand, scalar
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Slice, Tensor
from tiledsl.ir.nodes import Assert, Assume, Barrier, Print
from tiledsl.language.tiles import begin


def print_(obj: Any, msg: str = "", warp_group_id: int = 0, warp_id: int = 0) -> None:
    """Prints a number, or a whole tensor once per block, after `msg`."""
    tracer = begin("T.print")
    if isinstance(obj, str):
        tracer.emit(Print(obj, span=tracer.here()))
        return
    if isinstance(obj, Slice):
        raise fail("TD0103", word="print of a slice", hint="print the whole tensor or one element")
    if isinstance(obj, Tensor):
        obj.check_elements()
        obj.check_alive()
        tracer.emit(Print(str(msg) or obj.name, buffer=obj.buffer, span=tracer.here()))
        return
    tracer.emit(Print(str(msg), (expr_of(scalar(obj)),), span=tracer.here()))


def device_assert(cond: Any, msg: str = "") -> None:
    """Stops the kernel with `msg` where `cond` does not hold."""
    tracer = begin("T.device_assert")
    tracer.emit(Assert(expr_of(condition(operand(cond))), str(msg), span=tracer.here()))


def assume(cond: Any) -> None:
    """Promises that `cond` holds here; bounds and alignment may use it, and runs on the CPU check it."""
    tracer = begin("T.assume")
    tracer.emit(Assume(expr_of(condition(operand(cond))), span=tracer.here()))


def sync_threads(barrier_id: int | None = None, arrive_count: int | None = None) -> None:
    """A barrier for all threads of the block, or of the T.ws block around it, or for `arrive_count` threads on barrier
    `barrier_id` (1 to 15; a multiple of 32 threads).

    Tile words place the barriers that they need; this is for code written thread by thread.
    """
    tracer = begin("T.sync_threads")
    for name, value in (("barrier_id", barrier_id), ("arrive_count", arrive_count)):
        if value is not None and (not isinstance(value, int) or value < 0):
            raise fail("TD0226", word="T.sync_threads", name=name, value=describe(value), allowed="an int of 0 or more")
    if barrier_id is not None and barrier_id > 15:
        raise fail("TD0226", word="T.sync_threads", name="barrier_id", value=barrier_id, allowed="0 to 15")
    if arrive_count is not None and arrive_count % 32:
        allowed = "a multiple of 32: whole warps arrive"
        raise fail("TD0226", word="T.sync_threads", name="arrive_count", value=arrive_count, allowed=allowed)
    if tracer.enclosing("parallel") is not None:
        raise fail("TD0129", word="T.sync_threads")
    tracer.emit(Barrier(barrier_id or 0, arrive_count or 0, span=tracer.here()))
