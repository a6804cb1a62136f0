"""Runs a kernel on copies of its arguments, over schedules, and collects what is wrong."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field, replace
from io import StringIO
from typing import Any, Protocol

import numpy as np

from tiledsl.analysis.access import accesses, storage_roots
from tiledsl.backends import Backend, describe
from tiledsl.checking.compare import Difference, difference, differing, tolerance_of
from tiledsl.checking.execute import run_once
from tiledsl.checking.inputs import Given, inputs_of
from tiledsl.checking.order import Order, order_dependent
from tiledsl.checking.result import CheckResult
from tiledsl.checking.schedules import Schedule, schedules
from tiledsl.compile import Lowered
from tiledsl.cpu import toolchain
from tiledsl.cpu.findings import Finding
from tiledsl.errors import NOWHERE, Span, TileError, error
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.tile import is_tile_stage
from tiledsl.ir.walk import statements

Array = np.ndarray[Any, Any]
EXECUTIONS = ("tile", "simt")  # what the CPU device is compared with
FOUND = "TD08"  # codes of what executions find wrong with a kernel; others say that it could not be executed


class Compiled(Protocol):
    """What holds a lowered kernel, as `CompiledKernel` does."""

    @property
    def lowered(self) -> Lowered: ...


def check(
    kernel: Lowered | Compiled,
    args: Sequence[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    *,
    schedules: int = 10,
    seed: int = 0,
    compare: Iterable[str] = EXECUTIONS,
    reference: Reference | None = None,
    name: str | None = None,
) -> CheckResult:
    """What is wrong with a call of `kernel` with these arguments, which stay as they are.

    The emitted C++ runs on the checked CPU device under the first `schedules` of a fixed sequence: races, accesses out
    of bounds or of bytes never written, divergent barriers, deadlocks, whatever the schedule of this run. Its results
    must not depend on the schedule (within a tolerance where atomic updates of floats are added in any order), and must
    be those of `reference` and of the executions in `compare`, within the tolerance of their dtype. Without a C++
    compiler the thread-stage IR runs in NumPy, with the checks that its memory has. What the kernel prints is dropped.

    Without tensors among the arguments they are made: small integers, on which most arithmetic is exact; sizes and
    scalars may be given by name, and are small otherwise.
    Raises TileError TD0634 for less than one schedule, TD06xx for arguments that do not fit, TD09xx for a compiler that
    cannot be run.
    """
    lowered = kernel if isinstance(kernel, Lowered) else kernel.lowered
    if type(schedules) is not int or schedules < 1:
        raise error("TD0634", what="schedules", expected="a number from 1", given=schedules)
    for given in inputs_of(lowered, args, kwargs or {}, seed):
        with redirect_stdout(StringIO()):
            result = _Check(lowered, given, reference, _order(lowered)).run(schedules, seed, tuple(compare))
        if not {f.code for f in result.findings} & _DEMANDS:
            break
    return replace(result, kernel=name) if name else result


_DEMANDS = {"TD0809", "TD0810"}  # what a kernel asserts of its arguments; others may be made that suit it


@dataclass(frozen=True)
class Reference:
    """What tensors must hold afterwards, by name. `rtol` and `atol`: None is the tolerance of each one's dtype."""

    values: Mapping[str, Array]
    rtol: float | None = None
    atol: float | None = None


@dataclass
class _Check:
    """A check at work."""

    lowered: Lowered
    given: Given
    reference: Reference | None
    order: Order
    found: dict[tuple[object, ...], Finding] = field(default_factory=dict)
    found_in: dict[tuple[object, ...], list[str]] = field(default_factory=dict)

    def run(self, count: int, seed: int, compare: Sequence[str]) -> CheckResult:
        started = time.perf_counter()
        backend = self.backend
        table = schedules(count, seed, ordered=backend is Backend.CPU)
        first: tuple[Schedule, dict[str, Array]] | None = None
        for schedule in table:
            outputs = self.once(backend, schedule)
            if outputs is None:
                continue
            if first is None:
                first = schedule, outputs
            differences = differing(self.ordered(outputs), self.ordered(first[1]), self.order.sums)
            both = {"schedule": first[0], "other": schedule}
            self.add(str(schedule), [self.difference("TD0890", n, d, **both) for n, d in differences.items()])
        same, skipped = self.compare(compare, backend, first[1] if first else None)
        return CheckResult(
            self.lowered.final.name,
            self.lowered.target.name,
            describe(backend).removeprefix("the CPU: "),
            table,
            tuple(self.found.values()),
            tuple(map(tuple, self.found_in.values())),
            same,
            skipped,
            self.given.about,
            time.perf_counter() - started,
        )

    def once(self, backend: Backend, schedule: Schedule) -> dict[str, Array] | None:
        """The outputs under one schedule, or None where they mean nothing because something was found."""
        findings: list[Finding] = []
        how: dict[str, Any] = {"mode": schedule.mode, "seed": schedule.seed, "check": True}
        if backend is Backend.CPU:
            how |= {"schedule": schedule.order, "findings": findings}
        else:
            how |= {"watch_blocks": True}
        try:
            outputs = run_once(self.lowered, self.given.values, backend, **how)
        except TileError as problem:
            if not problem.code.startswith(FOUND):
                raise
            findings.append(Finding.of(problem))
        self.add(str(schedule), findings)
        return None if findings else outputs

    @property
    def backend(self) -> Backend:
        """What runs the schedules. Edited text has no other execution, even where there is no compiler for it."""
        return Backend.CPU if toolchain.find_compiler() or self.lowered.edited else Backend.SIMT

    @property
    def name(self) -> str:
        return _WORDS[self.backend]

    def ordered(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """Those of the outputs that no order of atomic updates may change at will."""
        return {n: a for n, a in outputs.items() if n not in self.order.free}

    def add(self, where: str, findings: Iterable[Finding]) -> None:
        """Each is kept once, with the runs that it was found in: the same code at the same places is the same."""
        run = {(f.code, f.span, f.other_span, f.facts.get("buffer"), f.facts.get("name")): f for f in findings}
        for key, finding in run.items():
            self.found.setdefault(key, finding)
            self.found_in.setdefault(key, []).append(where)

    def compare(
        self, names: Sequence[str], ran: Backend, outputs: dict[str, Array] | None
    ) -> tuple[tuple[str, ...], dict[str, str]]:
        """Which of the executions gave `outputs` too, and why others were not compared."""
        same: list[str] = []
        skipped: dict[str, str] = {}
        for backend in [b for b in map(Backend, names) if b is not ran]:
            name = _WORDS[backend]
            if outputs is None:
                skipped[name] = "no run without a finding"
            elif backend is Backend.TILE and not is_tile_stage(self.lowered.stages[0].kernel):
                skipped[name] = "the text has been lowered"
            else:
                self.compare_one(backend, outputs, same, skipped)
        if self.reference and outputs is not None and self.agrees(self.reference, outputs):
            same.append("the reference")
        return tuple(same), skipped

    def agrees(self, reference: Reference, outputs: Mapping[str, Array]) -> bool:
        """Whether the outputs are those of the reference; where not, that is a finding."""
        agree = True
        for name, value in reference.values.items():
            usual = tolerance_of(value.dtype)
            if outputs[name].shape != value.shape:
                given, expected = value.shape, outputs[name].shape
                raise error("TD0634", what=f"the reference of '{name}'", expected=f"of shape {expected}", given=given)
            rtol, atol = (usual if t is None else t for t in (reference.rtol, reference.atol))
            if d := difference(outputs[name], value, rtol, atol):
                self.add("the results", [self.difference("TD0892", name, d)])
                agree = False
        return agree

    def compare_one(
        self, backend: Backend, outputs: dict[str, Array], same: list[str], skipped: dict[str, str]
    ) -> None:
        name = _WORDS[backend]
        try:
            expected = run_once(self.lowered, self.given.values, backend, mode="late", check=True)
        except TileError as problem:
            if problem.code == "TD0820":
                skipped[name] = problem.message
            elif not problem.code.startswith(FOUND):
                raise
            else:
                self.add(name, [Finding.of(problem)])
            return
        differences = differing(self.ordered(outputs), self.ordered(expected), frozenset(expected))
        if not differences:
            same.append(name)
        facts = {"execution": self.name, "other": name}
        self.add(name, [self.difference("TD0891", tensor, d, **facts) for tensor, d in differences.items()])

    def difference(self, code: str, name: str, found: Difference, **facts: object) -> Finding:
        span = _written_at(self.lowered.stages[0].kernel, name)
        return Finding.of(error(code, span, (), name=name, difference=found, **facts))


_WORDS = {
    Backend.TILE: "the tile stage in NumPy",
    Backend.SIMT: "the thread stage in NumPy",
    Backend.CPU: "the emitted C++",
}


def _order(lowered: Lowered) -> Order:
    """Of edited text nobody knows which atomic updates it has."""
    names = frozenset(p.name for p in lowered.signature.parameters)
    return Order(sums=names) if lowered.edited else order_dependent(lowered.final)


def _written_at(kernel: Kernel, name: str) -> Span:
    """The last statement that writes the tensor `name`."""
    roots = {view: root for launch in kernel.launches for view, root in storage_roots(launch.body).items()}
    for s in reversed([s for s in statements(kernel) if s.span is not NOWHERE]):
        if any(a.writes and roots.get(a.buffer, a.buffer).name == name for a in accesses(s)):
            return s.span
    return NOWHERE
