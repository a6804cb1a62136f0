"""Who catches a faulty kernel, and which faults are none: what the mutations of the IR and of the text share."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache

from cases import Execute, cases_by_name, executed, variants

from tiledsl.backends import Backend, run_on_cpu
from tiledsl.codegen.cuda import Source
from tiledsl.cpu import interp
from tiledsl.cpu.findings import Finding
from tiledsl.cpu.turns import Order
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Kernel
from tiledsl.runtime.arguments import Bound
from tiledsl.testing import Case, Mismatch, compare
from tiledsl.testing.case import Draw

CASES = cases_by_name()
Variant = tuple[str, str]  # (case, target)


@dataclass(frozen=True)
class Equivalent:
    """Faults that change nothing that a kernel may be asked for: patterns of case, kind and text, and why."""

    case: str
    kind: str
    what: str
    reason: str

    def covers(self, case: str, kind: str, what: str) -> bool:
        pairs = ((self.case, case), (self.kind, kind), (self.what, what))
        return all(re.fullmatch(pattern, given) for pattern, given in pairs)


_PADDING = "chooses what the padding of a tile holds, rows or columns that no store writes"
_INSIDE = "columns or rows beyond the tensor are never stored, and what is read instead lies in the tensor's memory"
_UNUSED = "the copy is of a tile that nobody reads; element guards keep it in bounds"
# order-globals separates the read of R by all replicas of an element from the write by one of them.
_WORKSPACE = "the barrier of the reduction's workspace, added later, also stands between the read and the write of R"
_ONE_WARP = "the replicas are lanes of one warp, which the shuffles of the reduction bring together after the read of R"
_ONE_ROW = "a tile of one row, on which neither swizzles nor pipelines act; the case is there for the empty split"
EQUIVALENT = (
    Equivalent(
        r"(softmax|rms-norm|attention|decode|gemm-odd|gemm-dynamic).*",
        *("selection", r".*'.* < [^']*' .*taken as true.*", _PADDING),
    ),
    Equivalent(r"gemm-(ragged|constant-style)", "predicate|selection", r".*", _INSIDE),
    Equivalent(r"gemm-dynamic.*", "guard", r".*(if \(|')(0|ko) < .*", _UNUSED),
    Equivalent(r"gemm-block-sparse", "guard", r".*Mask.*", f"{_UNUSED}; the product of the tile keeps its guard"),
    Equivalent(r"attention-.*-causal.*", "guard", r".*(if \(|')[01] < .*", _UNUSED),
    Equivalent(
        r"decode-split-(128|100)", "selection", r".*total\[.* > 0.*", "no split is empty; decode-split-1 has one"
    ),
    Equivalent(r"decode-split-1", "selection", r".*total\[.* > 0.*", "log2(0) is the -inf that is selected"),
    Equivalent(
        r"decode-split-1", "swizzle|cp_async_(commit|wait)|AsyncCommit|AsyncWait|counter|version", ".*", _ONE_ROW
    ),
    Equivalent(r"reduce-(sum|max)-dim0-accumulate", "barrier|Barrier", r".*", _WORKSPACE),
    Equivalent(r"reduce-(sum|max)-dim1-accumulate", "Barrier", r".*", _ONE_WARP),
)


def reason(case: str, kind: str, what: str) -> str | None:
    """Why such a fault cannot be seen; None if it must be caught."""
    return next((e.reason for e in EQUIVALENT if e.covers(case, kind, what)), None)


@cache
def groups(target: str) -> dict[str, tuple[Case, ...]]:
    """The cases of each text emitted for `target`, under the name of the first: of a dynamic kernel there are several."""
    by_text: dict[str, list[Case]] = {}
    for case in (CASES[name] for name, t in variants() if t == target):
        by_text.setdefault(case.compiled(target).lowered.source.text, []).append(case)
    return {cases[0].name: tuple(cases) for cases in by_text.values()}


class Subject:
    """A case with exact inputs, to be run in faulty forms."""

    def __init__(self, case: Case, target: str) -> None:
        self.case, self.lowered = case, case.compiled(target).lowered
        self.inputs = dict(case.inputs(Draw(4, exact=True)))
        self.expected = case.reference(**self.inputs)

    def simt(self, kernel: Kernel, roles: Order = "first") -> str:
        """What the thread-stage interpreter says of `kernel`: a code, "wrong value", or nothing."""
        return self._verdict(lambda _, arguments: interp.run(kernel, arguments, check=True, mode="late", roles=roles))

    def device(self, source: Source, mode: str) -> str:
        """What the checked CPU device says of this text."""
        lowered = replace(self.lowered, source=source)

        def run(bound: Bound, _: object) -> None:
            findings: list[Finding] = []
            run_on_cpu(lowered, bound, Backend.CPU, check=True, findings=findings, mode=mode)
            if findings:
                raise findings[0].error()

        return self._verdict(run)

    def _verdict(self, run: Execute) -> str:
        try:
            arrays = executed(self.lowered, self.inputs, run)
            for name, value in self.expected.items():
                rtol, atol = (0.0, 0.0) if self.case.exact else (self.case.rtol, self.case.atol)
                compare(name, arrays[name], value, rtol, atol)
        except TileError as problem:
            return problem.code
        except Mismatch:
            return "wrong value"
        return ""


def first(verdicts: Iterable[str]) -> str:
    return next(filter(None, verdicts), "")


class Score:
    """The faults of one kernel: caught and by whom, equivalent, or survivors."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.caught: Counter[str] = Counter()
        self.equivalent: list[str] = []
        self.survivors: list[str] = []

    def add(self, kind: str, what: str, by: str) -> None:
        why = reason(self.name, kind, what)
        if by:
            self.caught[by] += 1
        elif why is not None:
            self.equivalent.append(f"{what}: {why}")
        else:
            self.survivors.append(f"{kind}: {what}")

    def finish(self) -> None:
        """Prints the score; raises AssertionError with the survivors if there are any."""
        total = self.caught.total()
        print(f"{self.name}: {total} of {total + len(self.survivors)} faults caught", dict(self.caught))
        for line in self.equivalent:
            print(f"    equivalent: {line}")
        assert not self.survivors, "\n".join(self.survivors)
