"""The user's schedule for a producer: which copies it makes, in how many versions, with which registers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tiledsl.errors import TileError
from tiledsl.frontend.proxies import describe
from tiledsl.frontend.source import fail, here
from tiledsl.frontend.tensors import Tensor
from tiledsl.frontend.tracer import tracer_of
from tiledsl.ir.nodes import Handover, Space
from tiledsl.ir.verify_concurrent import possible_registers

_WORD = "T.annotate_ws_schedule"


class WSPipeline:
    """`T.WSPipeline(*tiles, depth)`: tiles of shared memory that the producer copies, with one pair of barriers.

    A tile stands for the copy that fills it. Each has `depth` versions; a version is given back when the last statement
    that reads one of the tiles is done. All tiles are copied in one block, and the same statements read them.
    """

    def __init__(self, *tiles: Any, depth: int) -> None:
        if type(depth) is not int or depth < 1:
            raise _wrong("T.WSPipeline", "depth", describe(depth), "1 or more")
        self.tiles = tuple(_tile(t) for t in tiles)
        if not tiles:
            raise _wrong("T.WSPipeline", "tiles", "none", "one tile or more")
        self.depth = depth
        self.span = here()


@dataclass(frozen=True)
class WSSchedule:
    """`T.WSSchedule(*pipelines, registers=None)`: what the producer copies. Other copies are made by those who compute.

    `registers` of a thread that copies and of one that computes: multiples of 8 from 24 to 256, 0 for those of the
    launch; None leaves them to the compiler.
    """

    pipelines: tuple[WSPipeline, ...]
    registers: tuple[int, int] | None

    def __init__(self, *pipelines: WSPipeline, registers: Any = None) -> None:
        for p in pipelines:
            if not isinstance(p, WSPipeline):
                raise _wrong("T.WSSchedule", "pipelines", describe(p), "T.WSPipeline(...)")
        if not pipelines:
            raise _wrong("T.WSSchedule", "pipelines", "none", "one T.WSPipeline or more")
        if registers is not None and not _are_registers(registers):
            allowed = "two multiples of 8 from 24 to 256, or 0, for a thread that copies and one that computes"
            raise _wrong("T.WSSchedule", "registers", describe(registers), allowed)
        object.__setattr__(self, "pipelines", pipelines)
        object.__setattr__(self, "registers", registers and tuple(registers))


def annotate_ws_schedule(schedule: WSSchedule) -> None:
    """Gives the copies of `schedule` to a producer, in place of what the compiler would choose (sm_90a).

    `T.annotate_ws_schedule(T.WSSchedule(T.WSPipeline(A, B, depth=3), registers=(24, 240)))`, where the tiles `A` and
    `B` are allocated; the report of a kernel has its plan in this form. A schedule that cannot be kept is an error,
    TD0407 to TD0411. Where there is no producer (targets without copy engine, `warp-specialise` turned off) it is left
    aside, and the report says so.
    """
    frame = tracer_of(_WORD).launch(_WORD)
    if not isinstance(schedule, WSSchedule):
        raise _wrong(_WORD, "schedule", describe(schedule), "T.WSSchedule(...)")
    tiles = [b for p in schedule.pipelines for b in p.tiles]
    for b in tiles:
        if tiles.count(b) > 1:
            raise _wrong(_WORD, "tiles", f"'{b.name}' twice", "each tile once")
    if frame.handovers:
        raise _wrong(_WORD, "schedule", "a second one", "one schedule for a launch")
    frame.handovers = tuple(Handover(p.tiles, p.depth, p.span) for p in schedule.pipelines)
    if schedule.registers is not None:
        frame.registers = schedule.registers


def _wrong(word: str, name: str, value: str, allowed: str) -> TileError:
    return fail("TD0226", word=word, name=name, value=value, allowed=allowed)


def _are_registers(value: Any) -> bool:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        return False
    return all(type(n) is int and (n == 0 or possible_registers(n)) for n in value)


def _tile(value: Any) -> Any:
    if not isinstance(value, Tensor) or value.buffer.space is not Space.SHARED:
        allowed = "tiles of T.alloc_shared"
        raise _wrong("T.WSPipeline", "tiles", describe(value), allowed)
    value.check_alive()
    return value.buffer
