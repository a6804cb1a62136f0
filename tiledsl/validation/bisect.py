"""The first pass after which a kernel is another program, or a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from tiledsl.codegen.cuda import emit
from tiledsl.codegen.source import Source
from tiledsl.ir.nodes import Kernel
from tiledsl.passes.base import Pass
from tiledsl.validation.compare import Failed
from tiledsl.validation.observer import start
from tiledsl.validation.trail import EMIT, Deviation, Trail, options_of
from tiledsl.verifiers.layouts import verify_layouts

Emitter = Callable[[Kernel], Source]
Seen = Callable[[str, Deviation | None], None]


# Of programs that were read from text only these: other verifiers know variables and buffers of before and after by
# identity.
OF_TEXT: Mapping[str, Callable[[Kernel], None]] = {"infer-layouts": verify_layouts}


def check_text(name: str, after: Kernel) -> None:
    """Raises VerifyError where the plan of the pass `name` is wrong, as far as `after` alone tells."""
    if name in OF_TEXT:
        OF_TEXT[name](after)


def _text_check(name: str, before: Kernel, after: Kernel) -> None:
    check_text(name, after)


@dataclass(frozen=True)
class Step:
    """A pass that ran, with what it gave."""

    p: Pass
    kernel: Kernel


def bisect(
    kernel: Kernel, passes: Sequence[Pass], emitter: Emitter = emit, seen: Seen | None = None
) -> Deviation | None:
    """Runs `passes` and the emitted text, and returns what is wrong after the first of them; None if nothing is.

    After each pass: values before and after, races once barriers are there (within blocks, and between them), the
    plans. Of the emitted text: values, and all that the checked CPU device reports. `seen` is told each name with its
    finding. Raises TileError TD0731 for a kernel that cannot be run, TD0820 for one that calls foreign functions.
    """
    current, trail = start(kernel, strict=True)
    for p in passes:
        try:
            after = p(current)
        except Exception as problem:  # also one that is no TileError: a pass must not raise anything
            found: Deviation | None = _raised(trail, p.name, problem, options_of(p))
        else:
            found = after_pass(trail, p, after, p.check)
            current = after
        if seen:
            seen(p.name, found)
        if found:
            return found
    return emitted(trail, emitter, seen)


def bisect_stages(
    steps: Sequence[Step], kernel: Kernel, emitter: Emitter = emit, seen: Seen | None = None
) -> Deviation | None:
    """As `bisect`, of kernels that passes gave before: those of a dump."""
    trail = Trail(kernel, strict=True)
    for step in steps:
        found = after_pass(trail, step.p, step.kernel, partial(_text_check, step.p.name))
        if seen:
            seen(step.p.name, found)
        if found:
            return found
    return emitted(trail, emitter, seen)


def after_pass(trail: Trail, p: Pass, after: Kernel, check: Callable[[Kernel, Kernel], None]) -> Deviation | None:
    """What is wrong with `after`, which `p` made of the trail's kernel: its plans, or what it computes.

    Some plans no execution reads until a later pass applies them: without their verifiers that pass would be blamed.
    """
    before, first = trail.kernel, trail.stage
    found = trail.step(p, after)
    if found:
        return found
    try:
        check(before, after)
    except Exception as problem:  # a wrong plan can confuse its verifier
        facts = {"options": options_of(p), "stages": [first.value, trail.stage.value], "rounding": p.rounding}
        return Deviation(p.name, Failed(problem), before, after, trail.inputs.values, facts)
    return None


def emitted(trail: Trail, emitter: Emitter, seen: Seen | None) -> Deviation | None:
    try:
        source = emitter(trail.kernel)
    except Exception as problem:
        found: Deviation | None = _raised(trail, EMIT, problem, {})
    else:
        found, _ = trail.emitted(source)
    if seen:
        seen(EMIT, found)
    return found


def _raised(trail: Trail, name: str, problem: Exception, options: Mapping[str, Any]) -> Deviation:
    """A pass, or the emitter, that gave nothing."""
    return Deviation(name, Failed(problem), trail.kernel, None, trail.inputs.values, {"options": dict(options)})


def dumped(directory: Path) -> list[tuple[str, Path]]:
    """The files of a dump (TILEDSL_DUMP=all) in order, each with the pass that it was written after."""
    files = sorted(directory.glob("[0-9][0-9]-*.tir"))
    return [(f.stem.partition("-")[2], f) for f in files]
