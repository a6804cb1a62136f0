"""The checkers are checked on the emitted text: with any one synchronisation, guard or swizzle less, a kernel is reported.

Every fault of `switches.py` in every example, on the checked CPU device and against the reference. Equivalent faults are
listed with the reason. `pytest -rP` prints the score of each checker.
"""

from __future__ import annotations

import ctypes
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from cases import all_cases
from switches import Fault, of_kind, with_switches

from tiledsl.backends import Backend, run_on_cpu
from tiledsl.compile import Lowered
from tiledsl.cpu import device
from tiledsl.cpu.findings import Finding
from tiledsl.errors import TileError
from tiledsl.runtime.arguments import as_array, bind
from tiledsl.testing import Case, Mismatch, compare
from tiledsl.testing.case import Draw, copy_of, poison

pytestmark = pytest.mark.cxx

CASES = all_cases()

# What cannot be seen in a case at all: (case, kinds that can).
PARTIAL: Mapping[str, tuple[str, ...]] = {
    # One key: its tiles have one row, on which neither swizzles nor pipelines act. It is there for the empty split.
    "decode-split-1": ("guard", "selection", "predicate", "barrier"),
}


@dataclass(frozen=True)
class Equivalent:
    """Faults that change nothing that a kernel may be asked for: patterns of case, kind and text, and why."""

    case: str
    kind: str
    what: str
    reason: str


_PADDING = "chooses what the padding of a tile holds, rows or columns that no store writes"
_INSIDE = "columns or rows beyond the tensor are never stored, and what is read instead lies in the tensor's memory"
_UNUSED = "the copy is of a tile that nobody reads; element guards keep it in bounds"
EQUIVALENT = (
    Equivalent(r"(softmax|rms-norm|attention|decode|gemm-odd|gemm-dynamic).*", "selection", r".* < \w+\)+'.*", _PADDING),
    Equivalent(r"gemm-(ragged|constant-style)", "predicate", r".*", _INSIDE),
    Equivalent(r"gemm-dynamic.*", "guard", r"guard 'if \((0|ko) < .*", _UNUSED),
    Equivalent(r"gemm-block-sparse", "guard", r".*load\(Mask.*", f"{_UNUSED}; the product of the tile keeps its guard"),
    Equivalent(r"attention-.*-causal.*", "guard", r"guard 'if \([01] < .*", _UNUSED),
    Equivalent(r"decode-split-(128|100)", "selection", r".*total\[0\] > 0.*", "no split is empty; decode-split-1 has one"),
    Equivalent(r"decode-split-1", "selection", r".*total\[0\] > 0.*line 140.*", "log2(0) is the -inf that is selected"),
    Equivalent(
        r"reduce-(sum|max)-dim0-accumulate",
        "barrier",
        r".*",
        "the barrier of the reduction's workspace, added later, also stands between the read and the write of R",
    ),
)


@dataclass(frozen=True)
class Subject:
    """A text with its switches, and the cases that it serves: of a dynamic kernel several."""

    text: str
    faults: tuple[Fault, ...]
    cases: tuple[Case, ...]

    def lowered(self, case: Case) -> Lowered:
        lowered = case.compiled().lowered
        return replace(lowered, source=replace(lowered.source, text=self.text))


def subject(names: Sequence[str]) -> Subject:
    cases = tuple(CASES[name] for name in names)
    text, faults = with_switches(cases[0].compiled().lowered.source.text)
    kinds = PARTIAL.get(names[0])
    return Subject(text, tuple(f for f in faults if kinds is None or f.kind in kinds), cases)


def groups() -> dict[str, tuple[str, ...]]:
    """The cases of each text, under the name of the first."""
    by_text: dict[str, list[str]] = {}
    for name, case in CASES.items():
        by_text.setdefault(case.compiled().lowered.source.text, []).append(name)
    return {names[0]: tuple(names) for names in by_text.values()}


Run = Callable[[str], str]  # mode -> what is wrong, or an empty string


def runner(case: Case, lowered: Lowered) -> Run:
    inputs = dict(case.inputs(Draw(4, exact=True)))
    expected = case.reference(**inputs)

    def run(mode: str) -> str:
        findings: list[Finding] = []
        try:
            actual = outputs(lowered, inputs, mode, findings)
        except TileError as problem:
            return problem.code
        if findings:
            return findings[0].code
        try:
            for name, value in expected.items():
                rtol, atol = (0.0, 0.0) if case.exact else (case.rtol, case.atol)
                compare(name, actual[name], value, rtol, atol)
        except Mismatch:
            return "wrong value"
        return ""

    return run


def outputs(
    lowered: Lowered, inputs: Mapping[str, Any], mode: str, findings: list[Finding]
) -> dict[str, np.ndarray[Any, Any]]:
    bound = bind(lowered.signature, (), {n: copy_of(v) if isinstance(v, np.ndarray) else v for n, v in inputs.items()})
    arrays = {n: as_array(t) for n, t in bound.tensors.items()}
    for name in bound.results:
        poison(arrays[name])
    run_on_cpu(lowered, bound, Backend.CPU, check=True, findings=findings, mode=mode)
    return arrays


def reason(names: Sequence[str], fault: Fault) -> str | None:
    return next(
        (
            e.reason
            for e in EQUIVALENT
            if e.kind == fault.kind and re.fullmatch(e.what, str(fault)) and re.fullmatch(e.case, names[0])
        ),
        None,
    )


@pytest.mark.parametrize("name", CASES)
def test_every_fault_in_the_text_is_caught(name: str) -> None:
    names = groups().get(name)
    if names is None:
        pytest.skip("its text is that of another case")
    s = subject(names)
    lowered = [s.lowered(case) for case in s.cases]
    entries = [e.name for e in lowered[0].source.entries]
    switch = ctypes.c_int.in_dll(device.compile_source(s.text, entries, checked=True).library, "tds_fault")
    runs = [runner(case, l) for case, l in zip(s.cases, lowered)]

    def verdict(fault: int) -> str:
        switch.value = fault
        return next(filter(None, (run(mode) for mode in ("late", "early", "random") for run in runs)), "")

    assert verdict(0) == "", f"without any fault: {verdict(0)}"
    score: Counter[str] = Counter()
    equivalent, survivors = [], []
    for fault in s.faults:
        by = verdict(fault.number)
        why = reason(names, fault)
        if by:
            score[by] += 1
        elif why is not None:
            equivalent.append(f"{fault}: {why}")
        else:
            survivors.append(str(fault))
    print(f"{', '.join(names)}: {score.total()} of {score.total() + len(survivors)} faults caught", dict(score))
    for line in equivalent:
        print(f"    equivalent: {line}")
    assert not survivors, "\n".join(survivors)


def test_switches_find_every_fault() -> None:
    text = """\
#line 7
  tds::cp_async_16(a + (b ^ c) * 16, p + 1, f(i, j) < n);
  tds::cp_async_wait<1>();
  if (x[1] < 3) {
    tds::barrier();
    y = (a < b) ? 1 : 0;
    tds::cp_async_16(a, p, true);
  }
"""
    switched, faults = with_switches(text)
    assert [(f.kind, f.line) for f in faults] == [
        ("swizzle", 7),
        ("predicate", 7),
        ("cp_async_wait", 8),
        ("cp_async_wait", 8),
        ("guard", 9),
        ("barrier", 10),
        ("selection", 11),
    ]
    assert "tds::cp_async_16(a + (b ^ KEEP(1) & c) * 16, p + 1, FAULT(2) || (f(i, j) < n));" in switched
    assert "if (FAULT(4)) tds::cp_async_wait<2>(); else if (!FAULT(3)) tds::cp_async_wait<1>();" in switched
    assert "if (FAULT(5) || (x[1] < 3)) {" in switched
    assert "if (!FAULT(6)) tds::barrier();" in switched
    assert "y = (FAULT(7) || (a < b)) ? 1 : 0;" in switched
    assert len(list(of_kind(faults, "barrier"))) == 1
