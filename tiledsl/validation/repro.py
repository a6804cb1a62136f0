"""A repro bundle run again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tiledsl.codegen.cuda import emit
from tiledsl.cpu import toolchain
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.passes.base import Pass
from tiledsl.passes.pipeline import PASSES
from tiledsl.target import DEFAULT_TARGET, target_named
from tiledsl.validation.bisect import check_text
from tiledsl.validation.bundle import Bundle
from tiledsl.validation.compare import Difference, Failed, Stage, execute, first_difference, stage_of
from tiledsl.validation.emitted import execute_source
from tiledsl.validation.inputs import Inputs, sample, touched
from tiledsl.validation.trail import EMIT, approximates

Why = Difference | Failed | None
Check = Callable[[Kernel, Kernel], None]


@dataclass(frozen=True)
class Rerun:
    """`stored`: how the two programs of the bundle differ; `now`: how what this version makes of the first one does.

    `now` is None also where it agrees; `remade` says whether it was asked, which is not so for laws.
    """

    stored: Why
    now: Why
    remade: bool


def rerun(bundle: Bundle) -> Rerun:
    """Executes the programs of a bundle on its inputs, and the pass on the first of them.

    Raises TileError TD07xx for a text that is no program, TD0761 for a pass that this version does not have.
    """
    before = _parsed(bundle.before)
    inputs = _inputs(bundle, before)
    if bundle.after is None and bundle.what not in (*PASSES, EMIT):
        return Rerun(_runs(before, inputs), None, False)
    stored = None if bundle.after is None else _stored(bundle, before, inputs)
    now = _now(bundle, before, inputs)
    return Rerun(now if bundle.after is None else stored, now, True)


def _parsed(program: Kernel | str) -> Kernel:
    return parse(program, "before.tir") if isinstance(program, str) else program


def _inputs(bundle: Bundle, kernel: Kernel) -> Inputs:
    _, written = touched(kernel)
    names = frozenset(b.name for b in written if b in kernel.params or b.name in bundle.inputs)
    for name, value in bundle.inputs.items():
        if isinstance(value, np.ndarray):
            value.flags.writeable = name in names
    return Inputs(bundle.inputs, names, sample)


def _stages(bundle: Bundle, before: Kernel) -> tuple[Stage, Stage]:
    named = bundle.facts.get("stages")
    return (Stage(named[0]), Stage(named[1])) if named else (stage_of(before), stage_of(before))


def _runs(kernel: Kernel, inputs: Inputs) -> Why:
    try:
        execute(kernel, inputs, stage_of(kernel))
    except Exception as problem:  # whatever it was, it is what the bundle is about
        return Failed(problem)
    return None


def _stored(bundle: Bundle, before: Kernel, inputs: Inputs) -> Why:
    assert bundle.after is not None
    if bundle.what == EMIT:
        return _text(bundle, before, inputs, str(bundle.after))
    return _after(bundle, before, parse(str(bundle.after), "after.tir"), inputs, _check_text(bundle))


def _now(bundle: Bundle, before: Kernel, inputs: Inputs) -> Why:
    if bundle.what == EMIT:
        return _text(bundle, before, inputs, None)
    if bundle.what not in PASSES:
        return None
    try:
        after = _bound(bundle)(before)
    except Exception as problem:
        return Failed(problem)
    return _after(bundle, before, after, inputs, _bound(bundle).check)


def _check_text(bundle: Bundle) -> Check:
    return lambda before, after: check_text(bundle.what, after)


def _bound(bundle: Bundle) -> Pass:
    options: dict[str, Any] = dict(bundle.facts.get("options", {}))
    return PASSES[bundle.what].bind(target_named(bundle.target or DEFAULT_TARGET), **options)


def _after(bundle: Bundle, before: Kernel, after: Kernel, inputs: Inputs, check: Check) -> Why:
    first, second = _stages(bundle, before)
    try:
        expected = execute(before, inputs, first)
        outputs = execute(after, inputs, second, **bundle.facts.get("how", {}))
        check(before, after)
    except Exception as problem:
        return Failed(problem)
    return first_difference(expected, outputs, bool(bundle.facts.get("rounding")))


def _text(bundle: Bundle, before: Kernel, inputs: Inputs, text: str | None) -> Why:
    """The emitted text, or the one of the bundle, against the IR."""
    how = dict(bundle.facts.get("device", {"mode": "late"}))
    whole = Inputs(inputs.values, inputs.written)
    toolchain.runtime_library(how.get("checked", False))  # raises for a compiler that is missing
    try:
        source = emit(before)
        source = source if text is None else replace(source, text=text)
        expected = execute(before, whole, Stage.THREAD)
        return first_difference(expected, execute_source(source, before, whole, **how), approximates(before))
    except Exception as problem:
        return Failed(problem)


def arrays(bundle: Bundle) -> list[str]:
    """The inputs in words, one line each."""
    shown = ((n, np.asarray(v)) for n, v in bundle.inputs.items())
    return [f"{n}: {a.dtype.name}{list(a.shape)}" if a.ndim else f"{n} = {a}" for n, a in shown]
