"""Words between kernels that follow each other in a stream: programmatic dependent launch."""

from __future__ import annotations

from tiledsl.frontend.source import fail
from tiledsl.frontend.tracer import LaunchFrame
from tiledsl.ir.concurrent import Dependency
from tiledsl.language.tiles import begin


def pdl_sync() -> None:
    """Waits until the kernels before this one in the stream are over, and what they wrote can be read.

    A launch with it may begin while the one before still runs, so that what stands above (reading weights, filling
    tiles) overlaps with its end. It stands in the T.Kernel block itself. What is above must touch nothing that an
    earlier launch of the same kernel writes, and write nothing that it touches: TD0508. Of kernels that were called
    before nothing is known: there the promise is the user's.

    PTX ISA, "griddepcontrol.wait", from sm_90 on. Elsewhere launches run one after the other, and it does nothing.
    `T.pdl_sync()`.
    """
    _emit("T.pdl_sync", "wait")


def pdl_trigger() -> None:
    """As far as this block is concerned the next launch in the stream may begin, if it has a T.pdl_sync.

    That one still waits until all of this launch is over: what is written below the trigger is read there as well. A
    block without it triggers when it ends. It stands in the T.Kernel block itself: `T.pdl_trigger()`.

    PTX ISA, "griddepcontrol.launch_dependents", from sm_90 on. Elsewhere it does nothing.
    """
    _emit("T.pdl_trigger", "trigger")


def _emit(word: str, kind: str) -> None:
    tracer = begin(word)
    if not isinstance(tracer.frame, LaunchFrame):
        raise fail("TD0259", word=word)
    tracer.emit(Dependency(kind, span=tracer.here()))
