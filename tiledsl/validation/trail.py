"""A kernel on its way through the passes, executed at each step: where does it become another program?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from tiledsl.codegen.source import Source
from tiledsl.cpu import toolchain
from tiledsl.errors import TileError, error
from tiledsl.ir.nodes import Binary, Call, Kernel
from tiledsl.ir.walk import walk
from tiledsl.passes.base import Pass
from tiledsl.validation.bundle import Bundle
from tiledsl.validation.compare import (
    Difference,
    Failed,
    Outputs,
    Stage,
    execute,
    first_difference,
    stage_after,
    stage_of,
)
from tiledsl.validation.emitted import execute_source, in_part
from tiledsl.validation.inputs import Inputs, candidates

EMIT = "emit"
NOT_IN_NUMPY = "TD0820"


@dataclass(frozen=True)
class Deviation:
    """`what` (a pass, or "emit") made `after` of `before`, and the two are not the same program on `inputs`."""

    what: str
    why: Difference | Failed
    before: Kernel
    after: Kernel | str | None  # CUDA text of "emit"; None where a pass gave nothing
    inputs: Mapping[str, Any]
    facts: Mapping[str, Any] = field(default_factory=dict)

    def bundle(self, target: str) -> Bundle:
        return Bundle(self.what, str(self.why), self.before, self.after, self.inputs, target, self.facts)


class Trail:
    """`step` after each pass, `emitted` at the end; both return what is found, or None.

    `strict` asks for more than values: races between blocks, and of the emitted text that the checked device reports
    nothing.
    """

    def __init__(self, kernel: Kernel, *, stage: Stage | None = None, strict: bool = False) -> None:
        """Chooses inputs and runs `kernel`. Raises TileError TD0731 where it runs on none of those that are made."""
        self.stage = stage or stage_of(kernel)
        self.kernel, self.strict = kernel, strict
        self.inputs, self.outputs = first_run(kernel, self.stage)
        self.spare: Outputs | None = None

    def step(self, p: Pass, after: Kernel) -> Deviation | None:
        """The kernel is now `after`, made by `p`. What it computed before is known from the step before."""
        stage = stage_after(p.name)
        if after is self.kernel and stage is self.stage:
            return None
        try:
            outputs = execute(after, self.inputs, stage, spare=self.spare, **self._watched(stage))
        except Exception as problem:  # what a wrong program raises can be anything
            return self._found(p, Failed(problem), after, stage)
        difference = first_difference(self.outputs, outputs, p.rounding)
        if difference is not None:
            return self._found(p, difference, after, stage)
        self.kernel, self.stage, self.outputs, self.spare = after, stage, outputs, self.outputs
        return None

    def emitted(self, source: Source) -> tuple[Deviation | None, bool]:
        """Whether `source`, emitted for the kernel, computes the same: early and late, and checked if strict.

        The second value is False where there is no C++ compiler to run it.
        """
        if toolchain.find_compiler() is None:
            return None, False
        kernel, inputs = in_part(self.kernel, self.inputs)
        expected = self.outputs if kernel is self.kernel else execute(kernel, inputs, self.stage)
        for how in _DEVICE_RUNS[self.strict]:
            toolchain.runtime_library(how.get("checked", False))  # what is wrong with the compiler is not the text's
            why: Difference | Failed | None
            try:
                why = first_difference(expected, execute_source(source, kernel, inputs, **how), approximates(kernel))
            except Exception as problem:  # as above
                why = Failed(problem)
            if why is not None:
                return Deviation(EMIT, why, kernel, source.text, inputs.values, {"device": how}), True
        return None, True

    def _watched(self, stage: Stage) -> dict[str, Any]:
        return {"watch_blocks": True} if self.strict and stage is Stage.THREAD else {}

    def _found(self, p: Pass, why: Difference | Failed, after: Kernel, stage: Stage) -> Deviation:
        facts = {
            **{"stages": [self.stage.value, stage.value], "rounding": p.rounding, "how": self._watched(stage)},
            "options": options_of(p),
        }
        return Deviation(p.name, why, self.kernel, after, self.inputs.values, facts)


def options_of(p: Pass) -> dict[str, Any]:
    """The options of a pass as plain data, which `Pass.bind` takes back."""
    plain = {n: v.value if isinstance(v, Enum) else v for n, v in p.options.items()}
    return {n: v for n, v in plain.items() if n in p.option_types}


_PLAIN: tuple[dict[str, Any], ...] = ({"mode": "early"}, {"mode": "late"})
_DEVICE_RUNS: dict[bool, tuple[dict[str, Any], ...]] = {
    False: _PLAIN,
    True: (*_PLAIN, {"mode": "late", "checked": True}),
}


def first_run(kernel: Kernel, stage: Stage) -> tuple[Inputs, Outputs]:
    """Inputs on which `kernel` runs, and what it computes. Raises TileError TD0731, or TD0820 for foreign functions."""
    first: TileError | None = None
    for inputs in candidates(kernel):
        try:
            return inputs, execute(kernel, inputs, stage)
        except TileError as problem:
            if problem.code == NOT_IN_NUMPY:
                raise
            first = first or problem
    assert first is not None
    raise error("TD0731", first.span, first.notes, kernel=kernel.name, problem=f"{first.code}: {first.message}")


# What NumPy's and the C++ library's versions of may differ in the last place, and products that are summed by both.
_APPROXIMATE = ("exp", "log", "sin", "cos", "tan", "sqrt", "erf", "sigmoid", "rcp")


def approximates(kernel: Kernel) -> bool:
    """Whether the kernel calls functions that two mathematical libraries may round differently."""
    return any(
        (isinstance(n, Call) and any(part in n.fn for part in _APPROXIMATE))
        or (isinstance(n, Binary) and n.op in ("pow", "atan2", "fmod"))
        for n in walk(kernel)
    )
