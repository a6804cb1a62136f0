"""What is known of each row of the examples: measured here, kept as JSON in docs/rows/, one file a family."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from tiledsl.errors import TileError
from tiledsl.profiling.bench import numbers_of_call
from tiledsl.report import report
from tiledsl.runtime.arguments import bind
from tiledsl.settings import overridden
from tiledsl.testing.case import Case, Draw, Mismatch
from tiledsl.testing.row import Row, check_on_cpu, executions, require_clean

SCHEDULES = 10


@dataclass(frozen=True)
class Checked:
    """How many reduced cases were checked for each target, how, and the first failure; empty where there is none."""

    cases: Mapping[str, int]
    executions: tuple[str, ...]
    wrong: str
    schedules: int
    finding: str


@dataclass(frozen=True)
class Compiled:
    """A timed kernel for a target: over its launches the most registers, and all that is spilled or in conflict.

    `conflicts`: wavefronts to shared memory above the least possible over all blocks; `exact` if they do not depend
    on data. `seconds`: from Python to a cubin without a cache, in a process that has compiled before.
    """

    case: str
    target: str
    registers: int
    spill_bytes: int
    conflicts: int
    exact: bool
    seconds: float


@dataclass(frozen=True)
class OnGpu:
    device: str
    date: str
    milliseconds: float


@dataclass(frozen=True)
class Facts:
    """Of one row; `computes`, `tilelang` and `remark` are the row's own."""

    computes: str
    tilelang: tuple[float, ...]
    remark: str
    checked: Checked
    compiled: tuple[Compiled, ...]
    gpu: OnGpu | None = None


def measure(row: Row, before: Facts | None = None) -> Facts:
    """Everything but the time on a GPU, which is that of `before`."""
    compiled = tuple(compile_timed(case, target) for case, target in row.programs())
    return Facts(row.computes, row.tilelang, row.remark, checked(row), compiled, before.gpu if before else None)


def checked(row: Row) -> Checked:
    variants = list(row.variants())
    targets = [target for _, target in variants]
    wrong = first_failure(partial(check_on_cpu, *v) for v in variants)
    finding = first_failure(partial(require_clean, *v, SCHEDULES) for v in variants)
    return Checked({t: targets.count(t) for t in dict.fromkeys(targets)}, executions(), wrong, SCHEDULES, finding)


def first_failure(checks: Iterable[Callable[[], None]]) -> str:
    try:
        for check in checks:
            check()
    except (Mismatch, TileError) as failure:
        return str(failure)
    return ""


def compile_timed(case: Case, target: str) -> Compiled:
    """Raises TileError where the kernel cannot be compiled for the target."""
    start = time.perf_counter()
    lowered = case.compiled(target).lowered
    _ = lowered.compiled
    seconds = time.perf_counter() - start
    sizes = numbers_of_call(lowered, bind(lowered.signature, (), dict(case.inputs(Draw(0)))))
    entries = report(lowered, sizes).entries
    return Compiled(
        case.name,
        target,
        max(e.registers for e in entries),
        sum(e.spill_bytes for e in entries),
        sum(e.conflicts for e in entries),
        all(e.exact for e in entries),
        round(seconds, 3),
    )


def measure_all(rows: Iterable[Row], before: Mapping[str, Facts]) -> dict[str, Facts]:
    """Compiled without a cache. The first compilation of a process, which loads the libraries, counts for no row."""
    found: dict[str, Facts] = {}
    with overridden("TILEDSL_NO_CACHE", "1"):
        for row in rows:
            if not found:
                case, target = next(row.variants())
                _ = case.compiled(target).cubin
            found[row.name] = measure(row, before.get(row.name))
            print(row.name, flush=True)
    return found


def with_gpu_times(facts: Mapping[str, Facts], results: Mapping[str, Any]) -> dict[str, Facts]:
    """With the times of a file that `benchmarks/rows.py --gpu` wrote."""
    times = {name: ms for name, ms in results["milliseconds"].items() if name in facts}
    gpus = {name: OnGpu(results["device"], results["date"], ms) for name, ms in times.items()}
    return {name: replace(f, gpu=gpus.get(name, f.gpu)) for name, f in facts.items()}


def read(folder: Path) -> dict[str, dict[str, Facts]]:
    """By family and row, as they are kept."""
    return {path.stem: _family(json.loads(path.read_text("utf-8"))) for path in sorted(folder.glob("*.json"))}


def write(folder: Path, family: str, facts: Mapping[str, Facts]) -> None:
    folder.mkdir(exist_ok=True)
    data = {name: asdict(f) for name, f in facts.items()}
    (folder / f"{family}.json").write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


def _family(data: Mapping[str, Any]) -> dict[str, Facts]:
    return {name: _facts(row) for name, row in data.items()}


def _facts(data: Mapping[str, Any]) -> Facts:
    said = dict(data["checked"])
    return Facts(
        data["computes"],
        tuple(data["tilelang"]),
        data["remark"],
        Checked(**{**said, "executions": tuple(said["executions"])}),
        tuple(Compiled(**c) for c in data["compiled"]),
        OnGpu(**data["gpu"]) if data["gpu"] else None,
    )
