"""The search: lower and prune, compile, then verify and measure one after the other, and choose."""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tiledsl.cache import store
from tiledsl.compile import Lowered
from tiledsl.cpu.arrays import copies_of
from tiledsl.cpu.toolchain import runtime_library
from tiledsl.decorator import CompiledKernel
from tiledsl.errors import TileError, error
from tiledsl.profiling.bench import numbers_of_call
from tiledsl.runtime.arguments import bind
from tiledsl.testing.given import Reference, expected_of
from tiledsl.tuning import keep, tasks
from tiledsl.tuning.candidates import Candidate, compiled_candidates, lowered_candidates
from tiledsl.tuning.isolated import Crashed, Isolated, TimedOut
from tiledsl.tuning.objective import Objective
from tiledsl.tuning.progress import progress
from tiledsl.tuning.result import Outcome, Status, TuningResult, best_of, shown
from tiledsl.tuning.verify import Arrays, Tolerance, differs, digest, fresh_inputs


@dataclass(frozen=True)
class Options:
    """How to search; `autotune` says what each is."""

    ref: Reference | None = None
    tolerance: Tolerance = field(default_factory=Tolerance)
    timeout: float = 100.0
    executor: Executor | None = None
    progress: bool | None = None
    cache: bool = True


@dataclass(frozen=True)
class Problem:
    """`make` gives the kernel of a configuration, lowered, `given` the arguments of a call of it, by name."""

    kernel: str
    configs: Sequence[Mapping[str, object]]
    make: Callable[[Mapping[str, object]], CompiledKernel]
    given: Callable[[Lowered], Mapping[str, Any]]
    about: Mapping[str, Any]


def search(problem: Problem, objective: Objective, options: Options) -> TuningResult:
    """The best configuration; each is verified, then measured. Raises TileError TD0674 where none is right."""
    start = time.perf_counter()
    with progress(f"{problem.kernel}: lowering", len(problem.configs), options.progress) as advance:
        candidates = lowered_candidates(problem.configs, problem.make, advance)
    left = [c for c in candidates if c.lowered is not None]
    with progress(f"{problem.kernel}: compiling", len(left), options.progress) as advance:
        candidates = compiled_candidates(candidates, options.executor, advance)
    outcomes = [c.outcome for c in candidates]
    left = [c for c in candidates if c.lowered is not None]
    if not left:
        best_of(problem.kernel, tuple(outcomes))  # says why
    if objective.backend == "cpu":
        runtime_library(False)  # built once a machine: no candidate's time
    with Isolated() as process, _files(problem, left[0], objective, options, process) as trial:
        one_at_a_time = store.locked("gpu") if objective.backend == "cuda" else nullcontext()
        with one_at_a_time, progress(f"{problem.kernel}: measuring", len(left), options.progress) as advance:
            for number, c in enumerate(candidates):
                if c.lowered is not None:
                    outcomes[number] = trial.outcome(c)
                    advance(shown(c.config))
    target = left[0].lowered.target.name if left[0].lowered else ""
    seconds = time.perf_counter() - start
    return TuningResult(problem.kernel, target, objective.what, problem.about, tuple(outcomes), seconds)


@contextmanager
def _files(
    problem: Problem, first: Candidate, objective: Objective, options: Options, process: Isolated
) -> Iterator[Trial]:
    """The inputs in a file that the other process reads, and what must come of them."""
    lowered = first.lowered
    assert lowered is not None
    inputs = fresh_inputs(lowered, problem.given(lowered))
    with tempfile.TemporaryDirectory(prefix="tiledsl-tune-") as folder:
        file = Path(folder) / "inputs.pickle"
        file.write_bytes(pickle.dumps(inputs, protocol=5))
        expected = _expected(lowered, inputs, str(file), options, process)
        kept = store.key_of(
            digest(inputs), digest(expected), repr(options.tolerance), objective.what, repr(objective.depends_on())
        )
        yield Trial(problem.kernel, str(file), inputs, expected, kept, objective, options, process)


def _expected(lowered: Lowered, inputs: Mapping[str, Any], file: str, options: Options, process: Isolated) -> Arrays:
    """What the reference gives; without one, what the tiles mean in NumPy, which no configuration should change.

    Raises TileError TD0676 where that cannot be computed in time.
    """
    if options.ref is not None:
        return expected_of(lowered, options.ref, inputs)
    names = tuple(e for entry in lowered.source.entries for e in entry.written)
    parameters = {p.name for p in lowered.signature.parameters}
    wanted = tuple(n for n in dict.fromkeys(names) if n in parameters)
    try:
        return process.call(tasks.outputs, lowered.portable(), file, "tile", wanted, timeout=options.timeout)
    except (TimedOut, Crashed, TileError) as problem:
        raise error("TD0676", kernel=lowered.final.name, problem=str(problem)) from problem


@dataclass(frozen=True)
class Trial:
    """What candidates are put through."""

    kernel: str
    file: str
    inputs: Mapping[str, Any]
    expected: Arrays
    kept: str
    objective: Objective
    options: Options
    process: Isolated

    def outcome(self, candidate: Candidate) -> Outcome:
        assert candidate.lowered is not None
        key = store.key_of(self.kept, candidate.lowered.cuda, *candidate.lowered.flags)
        if self.options.cache:
            before = keep.find_outcome(key, candidate.config)
            if before is not None:
                return before
        found = self.tried(candidate.lowered, candidate.outcome)
        if self.options.cache:
            keep.keep_outcome(key, self.kernel, found)
        return found

    def tried(self, lowered: Lowered, known: Outcome) -> Outcome:
        """Verified, and measured if it is right."""

        def out(status: Status, reason: object) -> Outcome:
            return replace(known, status=status, reason=str(reason))

        timeout = self.options.timeout
        try:
            names = tuple(self.expected)
            task = (lowered.portable(), self.file, self.objective.backend, names)
            actual = self.process.call(tasks.outputs, *task, timeout=timeout)
            if found := differs(actual, self.expected, self.options.tolerance):
                return out(Status.WRONG, found)
            bound = bind(lowered.signature, (), copies_of(self.inputs))
            sizes = numbers_of_call(lowered, bound)
            m = self.objective.measure(lowered, self.file, sizes, self.process, timeout)
        except TimedOut as problem:
            return out(Status.SLOW, problem)
        except Crashed as problem:
            return out(Status.CRASHED, problem)
        except TileError as problem:
            wrong = problem.code.startswith("TD08")  # what executions find wrong with a kernel
            return out(Status.WRONG if wrong else Status.FAILED, f"{problem.code}: {problem.message}")
        except Exception as problem:
            return out(Status.FAILED, f"{type(problem).__name__}: {problem}")
        return replace(known, status=Status.MEASURED, ms=m.ms, low=m.low, high=m.high, rank=m.rank or (m.ms,))
