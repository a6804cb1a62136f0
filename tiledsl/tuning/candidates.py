"""From configurations to compiled kernels: what fits, each text once, many at a time."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace

from tiledsl.compile import Lowered
from tiledsl.decorator import CompiledKernel
from tiledsl.errors import TileError
from tiledsl.runtime.nvrtc import Compiled
from tiledsl.tuning.progress import Advance
from tiledsl.tuning.result import Outcome, Status, shown
from tiledsl.tuning.tasks import compiled

MISSING = "TD0902"  # NVRTC: then nothing can be compiled


@dataclass(frozen=True)
class Candidate:
    """A configuration on its way: `lowered` as long as nothing speaks against it, `outcome` what is known of it."""

    config: Mapping[str, object]
    outcome: Outcome
    lowered: Lowered | None = None

    def out(self, status: Status, reason: str) -> Candidate:
        return replace(self, lowered=None, outcome=replace(self.outcome, status=status, reason=reason))


def code_of(lowered: Lowered) -> str:
    return hashlib.sha256(lowered.cuda.encode()).hexdigest()


def lowered_candidates(
    configs: Sequence[Mapping[str, object]], make: Callable[[Mapping[str, object]], CompiledKernel], advance: Advance
) -> list[Candidate]:
    """Each configuration down to its text. What the compiler refuses is pruned, and what has the text of another."""
    made: list[Candidate] = []
    seen: dict[str, Mapping[str, object]] = {}
    for config in configs:
        made.append(_lowered(config, make, seen))
        advance(shown(config))
    return made


def _lowered(
    config: Mapping[str, object],
    make: Callable[[Mapping[str, object]], CompiledKernel],
    seen: dict[str, Mapping[str, object]],
) -> Candidate:
    empty = Candidate(config, Outcome(config, Status.PRUNED))
    try:
        lowered = make(config).lowered
        code = code_of(lowered)
    except TileError as problem:
        return empty.out(Status.PRUNED, f"{problem.code}: {problem.message}")
    shared = max((e.shared_bytes for e in lowered.source.entries), default=0)
    known = replace(empty, outcome=replace(empty.outcome, code=code, shared_bytes=shared))
    if code in seen:
        return known.out(Status.SAME, f"the same code as {shown(seen[code])}")
    seen[code] = config
    return replace(known, lowered=lowered)


def compiled_candidates(
    candidates: Sequence[Candidate], executor: Executor | None, advance: Advance
) -> list[Candidate]:
    """Those that are left with their cubins, compiled by `executor` (default: a thread for each core).

    Raises TileError TD0902 where there is no NVRTC.
    """
    own = ThreadPoolExecutor(os.cpu_count()) if executor is None else None
    pool = own or executor
    assert pool is not None
    made = list(candidates)
    try:
        asked: dict[Future[Compiled | TileError], int] = {}
        for number, c in enumerate(candidates):
            if c.lowered is not None:
                lowered = c.lowered
                asked[pool.submit(compiled, lowered.cuda, lowered.target.name, lowered.flags)] = number
        for future in as_completed(asked):
            number = asked[future]
            made[number] = _with_cubin(candidates[number], future)
            advance(shown(made[number].config))
    finally:
        if own is not None:
            own.shutdown(cancel_futures=True)
    return made


def _with_cubin(candidate: Candidate, future: Future[Compiled | TileError]) -> Candidate:
    try:
        done = future.result()
    except Exception as problem:  # the executor's: a process of it died, a cluster is gone
        return candidate.out(Status.FAILED, f"not compiled: {type(problem).__name__}: {problem}")
    if isinstance(done, TileError):
        if done.code == MISSING:
            raise done
        return candidate.out(Status.PRUNED, f"{done.code}: {done.message}")
    assert candidate.lowered is not None
    entries = {e.name for e in candidate.lowered.source.entries}
    of_kernel = [r for r in done.resources if r.name in entries]
    outcome = replace(
        candidate.outcome,
        registers=max((r.registers for r in of_kernel), default=0),
        spill_bytes=sum(r.spill_store_bytes + r.spill_load_bytes for r in of_kernel),
    )
    return replace(candidate, outcome=outcome, lowered=candidate.lowered.with_compiled(done))
