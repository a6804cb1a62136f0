"""Translation validation: the pipeline once more, every pass compared with what it was given."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tiledsl.codegen.cuda import emit
from tiledsl.codegen.source import Source
from tiledsl.errors import TileError, error
from tiledsl.ir.nodes import Kernel
from tiledsl.passes.base import Pass, run_pipeline
from tiledsl.settings import logger
from tiledsl.target import Target
from tiledsl.validation.bundle import write_bundle
from tiledsl.validation.shorten import shortened
from tiledsl.validation.trail import NOT_IN_NUMPY, Deviation, Trail


@dataclass(frozen=True)
class Validated:
    """What was compared: the names of the passes that changed the kernel, and whether the emitted text was run."""

    passes: tuple[str, ...]
    emitted: bool


def validate(
    kernel: Kernel, passes: Sequence[Pass], target: Target, emitter: Callable[[Kernel], Source] = emit
) -> Validated | None:
    """Runs `passes` on `kernel` and compares before with after each, and the last IR with the emitted text.

    Loops over many tiles are shortened first. Raises TileError TD0730 for the first difference, after writing a repro
    bundle, and TD0731 for a kernel that cannot be run. A kernel that calls foreign functions is not validated: None.
    """
    try:
        subject, trail = start(kernel)
    except TileError as problem:
        if problem.code != NOT_IN_NUMPY:
            raise
        logger().warning("'%s' is not validated: %s", kernel.name, problem.message)
        return None
    compared: list[str] = []

    def observe(p: Pass, before: Kernel, after: Kernel, seconds: float) -> None:
        if after is not before:
            compared.append(p.name)
        report(trail.step(p, after), target)

    final = run_pipeline(subject, passes, observe)
    found, ran = trail.emitted(emitter(final))
    report(found, target)
    return Validated(tuple(compared), ran)


def start(kernel: Kernel, strict: bool = False) -> tuple[Kernel, Trail]:
    """The kernel that is followed through the passes, shortened where that is possible, and its trail."""
    short = shortened(kernel)
    if short is not kernel:
        try:
            return short, Trail(short, strict=strict)
        except TileError:  # it needs all iterations, for example of a loop that fills a buffer
            pass
    return kernel, Trail(kernel, strict=strict)


def report(found: Deviation | None, target: Target) -> None:
    """Writes the bundle of a finding and raises TileError TD0730."""
    if found is not None:
        path = write_bundle(found.bundle(target.name))
        raise error("TD0730", name=found.what, kernel=found.before.name, problem=found.why, bundle=path)
