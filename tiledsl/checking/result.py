"""What a check found, as text and as data."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tiledsl.checking.schedules import Schedule
from tiledsl.cpu.findings import Finding
from tiledsl.errors import NOWHERE


@dataclass(frozen=True)
class CheckResult:
    """`findings` without repetition, in the order in which they were found; `found_in` names the runs of each, which
    are schedules or other executions.

    `execution` says in words what ran the schedules, `compared` which other executions gave the same results,
    `skipped` which were not compared and why, `inputs` what it ran on if the arguments were made.
    """

    kernel: str
    target: str
    execution: str
    schedules: tuple[Schedule, ...]
    findings: tuple[Finding, ...] = ()
    found_in: tuple[tuple[str, ...], ...] = ()
    compared: tuple[str, ...] = ()
    skipped: Mapping[str, str] = field(default_factory=dict)
    inputs: str = ""
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        return not self.findings

    def raise_if_bad(self) -> None:
        """Raises the first finding as the TileError of its code, at its place; a note counts the others."""
        if not self.findings:
            return
        problem = self.findings[0].error()
        if others := self.findings[1:]:
            more = f"{_count(len(others), 'more finding')}: {', '.join(f.code for f in others)}"
            problem.notes = (*problem.notes, (more, NOWHERE))
        raise problem

    def as_data(self) -> dict[str, Any]:
        """Everything as dicts, lists, strings and numbers."""
        findings = [{**f.to_json(), "found_in": list(runs)} for f, runs in zip(self.findings, self.found_in)]
        return {
            **{"kernel": self.kernel, "target": self.target, "ok": self.ok, "execution": self.execution},
            **{"schedules": [str(s) for s in self.schedules], "equal_to": list(self.compared)},
            **({"inputs": self.inputs} if self.inputs else {}),
            **{"skipped": dict(self.skipped), "seconds": round(self.seconds, 3), "findings": findings},
        }

    def to_json(self) -> str:
        return json.dumps(self.as_data(), indent=1)

    def __str__(self) -> str:
        runs = _count(len(self.schedules), "schedule")
        lines = [f"{f.text}\n  in {self._where(found)}\n" for f, found in zip(self.findings, self.found_in)]
        verdict = _count(len(self.findings), "finding") if self.findings else "no finding"
        lines.append(f"{self.kernel} for {self.target}: {verdict} in {runs} on {self.execution}")
        lines += [f"  with {self.inputs}"] if self.inputs else []
        if self.compared:
            lines.append(f"  the same results from {' and '.join(self.compared)}")
        lines += [f"  not compared with {name}: {why}" for name, why in self.skipped.items()]
        return "\n".join(lines)

    def _where(self, found: tuple[str, ...]) -> str:
        schedules = {str(s) for s in self.schedules}
        others = [name for name in found if name not in schedules]
        times = len(found) - len(others)
        of = [f"{times} of {_count(len(self.schedules), 'schedule')}"] if times else []
        return " and ".join([*of, *others])


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
