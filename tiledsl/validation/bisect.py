"""The first pass after which a kernel is another program, or a wrong one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tiledsl.codegen.cuda import Source, emit
from tiledsl.ir.nodes import Kernel
from tiledsl.passes.base import Pass
from tiledsl.validation.compare import Failed
from tiledsl.validation.observer import start
from tiledsl.validation.trail import EMIT, Finding, Trail, options_of
from tiledsl.verifiers.layouts import verify_layouts

Emitter = Callable[[Kernel], Source]
Seen = Callable[[str, Finding | None], None]

# Plans that no execution reads until a later pass applies them: without their verifiers that pass would be blamed.
PLANS: Mapping[str, tuple[Callable[[Kernel], None], ...]] = {"infer-layouts": (verify_layouts,)}


@dataclass(frozen=True)
class Step:
    """A pass that ran, with what it gave."""

    p: Pass
    kernel: Kernel


def bisect(kernel: Kernel, passes: Sequence[Pass], emitter: Emitter = emit, seen: Seen | None = None) -> Finding | None:
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
            found: Finding | None = _failed(trail, p.name, problem, current, None, options_of(p))
        else:
            found = after_pass(trail, p, after)
            current = after
        if seen:
            seen(p.name, found)
        if found:
            return found
    return emitted(trail, emitter, seen)


def bisect_stages(
    steps: Sequence[Step], kernel: Kernel, emitter: Emitter = emit, seen: Seen | None = None
) -> Finding | None:
    """As `bisect`, of kernels that passes gave before: those of a dump."""
    trail = Trail(kernel, strict=True)
    for step in steps:
        found = after_pass(trail, step.p, step.kernel)
        if seen:
            seen(step.p.name, found)
        if found:
            return found
    return emitted(trail, emitter, seen)


def after_pass(trail: Trail, p: Pass, after: Kernel) -> Finding | None:
    """What is wrong with `after`, which `p` made of the trail's kernel: its plans, or what it computes."""
    before = trail.kernel
    for verify in PLANS.get(p.name, ()):
        try:
            verify(after)
        except Exception as problem:  # a wrong plan can confuse its verifier
            return _failed(trail, p.name, problem, before, after, options_of(p))
    return trail.step(p, after)


def emitted(trail: Trail, emitter: Emitter, seen: Seen | None) -> Finding | None:
    try:
        source = emitter(trail.kernel)
    except Exception as problem:
        found: Finding | None = _failed(trail, EMIT, problem, trail.kernel, None, {})
    else:
        found, _ = trail.emitted(source)
    if seen:
        seen(EMIT, found)
    return found


def _failed(
    trail: Trail, name: str, problem: Exception, before: Kernel, after: Kernel | None, options: Mapping[str, Any]
) -> Finding:
    return Finding(name, Failed(problem), before, after, trail.inputs.values, {"options": dict(options)})


def dumped(directory: Path) -> list[tuple[str, Path]]:
    """The files of a dump (TILEDSL_DUMP=all) in order, each with the pass that it was written after."""
    files = sorted(directory.glob("[0-9][0-9]-*.tir"))
    return [(f.stem.partition("-")[2], f) for f in files]
