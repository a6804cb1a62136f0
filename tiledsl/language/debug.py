"""Words that look into a running kernel, promise facts about it, or order its threads."""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.proxies import condition, describe, expr_of, operand, scalar
from tiledsl.frontend.source import fail
from tiledsl.frontend.tensors import Slice, Tensor
from tiledsl.frontend.tracer import tracer_of
from tiledsl.ir.concurrent import NamedArrive
from tiledsl.ir.dtypes import INDEX
from tiledsl.ir.nodes import Alloc, Assert, Assume, Barrier, Buffer, Const, Print, Space
from tiledsl.language.arguments import whole, wrong
from tiledsl.language.sizes import const_sizes
from tiledsl.language.tiles import begin, copy


def print_(obj: Any, msg: str = "", warp_group_id: int = 0, warp_id: int = 0) -> None:
    """Prints a number, or a whole tensor once per block, after `msg`.

    A tensor or a part of it is printed as the tile that it is, wherever its elements lie: a line for each, with `msg`,
    its name, the coordinates and the value. Of the private arrays of threads (T.alloc_local) that of the first thread
    is shown; a number that differs between threads is printed by each, any other once. Alike on the GPU and in the
    executions on the CPU, but for the order of blocks and threads. `warp_group_id` and `warp_id` are accepted for their
    spelling. Raises TileError TD0220 for a part whose extent is not a constant.
    `T.print(C_local[0:4, 0:4], "corner")`.
    """
    tracer = begin("T.print")
    if isinstance(obj, str):
        tracer.emit(Print(obj, span=tracer.here()))
        return
    if isinstance(obj, Slice):
        obj = _part(obj)
    if isinstance(obj, Tensor):
        obj.check_elements()
        obj.check_alive()
        tracer.emit(Print(str(msg) or obj.name, buffer=obj.buffer, span=tracer.here()))
        return
    tracer.emit(Print(str(msg), (expr_of(scalar(obj)),), span=tracer.here()))


def _part(part: Slice) -> Tensor:
    """A copy of a part in memory that one thread can read."""
    name = part.tensor.name
    if part.tensor.buffer.space is Space.LOCAL:
        raise fail(
            "TD0103", word="print of a part of an array of each thread", hint="print single elements, or all of it"
        )
    tracer = tracer_of("T.print")
    if tracer.enclosing("parallel") is not None:
        raise fail("TD0129", word="T.print of a part")
    buffer = Buffer(name, const_sizes(part.shape, "T.print"), part.tensor.buffer.dtype, Space.SHARED)
    tracer.emit(Alloc(buffer, span=tracer.here()))
    copied = Tensor(buffer, tracer.frame)
    copy(part, copied)
    return copied


def device_assert(cond: Any, msg: str = "") -> None:
    """Stops the kernel with `msg` where `cond` does not hold. `T.device_assert(n > 0, "nothing to do")`."""
    tracer = begin("T.device_assert")
    tracer.emit(Assert(expr_of(condition(operand(cond))), str(msg), span=tracer.here()))


def assume(cond: Any) -> None:
    """Promises that `cond` holds here; bounds and alignment may use it, and runs on the CPU check it.

    `T.assume(n % 8 == 0)`.
    """
    tracer = begin("T.assume")
    tracer.emit(Assume(expr_of(condition(operand(cond))), span=tracer.here()))


def sync_threads(barrier_id: int | None = None, arrive_count: int | None = None) -> None:
    """A barrier for all threads of the block, or of the T.ws block around it: `T.sync_threads()`.

    `T.sync_threads(1, 64)` is one for `arrive_count` threads (a multiple of 32) on barrier `barrier_id` (1 to 15). Tile
    words place the barriers that they need; this is for code written thread by thread. Raises TileError TD0129 in a
    T.Parallel loop, TD0226. Source: PTX ISA, "bar.sync".
    """
    tracer = begin("T.sync_threads")
    count = _at_named_barrier("T.sync_threads", barrier_id, arrive_count)
    tracer.emit(Barrier(barrier_id or 0, count, span=tracer.here()))


def named_barrier_arrive(barrier_id: int, arrive_count: int) -> None:
    """The threads arrive at barrier `barrier_id` (1 to 15) of `arrive_count` threads (a multiple of 32), and go on.

    Others wait there by T.sync_threads: they see what these threads did before. Those that arrive and those that wait
    are `arrive_count` together, turn by turn: a barrier that is left in the middle of a turn is TileError TD0836, one
    at which a thread arrives twice in a turn TD0835; TD0226 for other numbers, TD0129 in a T.Parallel loop.
    `T.named_barrier_arrive(1, 256)` in one T.ws block, `T.sync_threads(1, 256)` in the other. Source: PTX ISA,
    "bar.arrive".
    """
    tracer = begin("T.named_barrier_arrive")
    if not barrier_id or not arrive_count:
        allowed = "a barrier from 1 to 15 and a number of threads: those that arrive and those that wait"
        given = f"{describe(barrier_id)}, {describe(arrive_count)}"
        raise wrong("T.named_barrier_arrive", "barrier_id, arrive_count", given, allowed)
    count = _at_named_barrier("T.named_barrier_arrive", barrier_id, arrive_count)
    tracer.launch("T.named_barrier_arrive").has_roles = True
    tracer.emit(NamedArrive(Const(barrier_id, INDEX), count, span=tracer.here()))


def _at_named_barrier(word: str, barrier_id: Any, arrive_count: Any) -> int:
    """The number of threads that meet, 0 for all of them. Raises TileError TD0226, TD0129."""
    if barrier_id is not None:
        whole(word, "barrier_id", barrier_id, high=15)
    if arrive_count is not None:
        whole(word, "arrive_count", arrive_count, step=32, allowed="a multiple of 32: whole warps arrive")
    if tracer_of(word).enclosing("parallel") is not None:
        raise fail("TD0129", word=word)
    return arrive_count or 0
