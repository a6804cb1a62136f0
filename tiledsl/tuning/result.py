"""What a search found, as data that is kept, sent and shown."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any

from tiledsl.errors import error


class Status(StrEnum):
    """What became of a configuration."""

    MEASURED = "measured"  # verified, then measured
    PRUNED = "pruned"  # cannot fit the target, or the compiler refuses it
    SAME = "same"  # gives the same code as another
    WRONG = "wrong"  # computes something else than the reference, or an execution finds fault with it
    SLOW = "slow"  # took longer than the time limit
    CRASHED = "crashed"  # ended its process
    FAILED = "failed"  # could not be run for another reason


@dataclass(frozen=True)
class Outcome:
    """One configuration. `ms` with `low` and `high` (20 and 80 % of the samples) are what the objective says.

    `rank` is what decides, the least first: the milliseconds, unless the objective knows better. `code` is the hash of
    the CUDA text.
    """

    config: Mapping[str, object]
    status: Status
    reason: str = ""
    ms: float | None = None
    low: float | None = None
    high: float | None = None
    rank: tuple[float, ...] = ()
    code: str = ""
    registers: int = 0
    spill_bytes: int = 0
    shared_bytes: int = 0


@dataclass(frozen=True)
class TuningResult:
    """`about` is what the result is for and depends on: kernel, arguments, target, hardware, objective."""

    kernel: str
    target: str
    objective: str
    about: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]
    seconds: float = 0.0
    best: Outcome = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "best", best_of(self.kernel, self.outcomes))

    @property
    def config(self) -> Mapping[str, object]:
        return self.best.config

    def with_configs(self, configs: Sequence[Mapping[str, object]]) -> TuningResult:
        """The same with the configurations as they were given: JSON has no tuples."""
        return replace(self, outcomes=tuple(replace(o, config=dict(c)) for o, c in zip(self.outcomes, configs)))

    @property
    def counts(self) -> dict[str, int]:
        found = Counter(o.status.value for o in self.outcomes)
        return {s.value: found[s.value] for s in Status if found[s.value]}

    def as_data(self) -> dict[str, Any]:
        made = asdict(self)
        made["outcomes"] = [{**asdict(o), "status": o.status.value} for o in self.outcomes]
        return {**made, "best": dict(self.best.config)}

    def to_json(self) -> str:
        """Raises TileError TD0673 where a configuration is no plain data."""
        try:
            return json.dumps(self.as_data(), indent=1)
        except TypeError as problem:
            raise error("TD0673", what=f"the result for '{self.kernel}'", problem=problem) from None

    @staticmethod
    def from_json(text: str | bytes) -> TuningResult:
        """Raises TileError TD0673 for a text that is none."""
        try:
            return TuningResult.from_data(json.loads(text))
        except ValueError as problem:
            raise error("TD0673", what="the text", problem=problem) from None

    @staticmethod
    def from_data(data: Any) -> TuningResult:
        try:
            outcomes = tuple(
                Outcome(**{**o, "status": Status(o["status"]), "rank": tuple(o["rank"])}) for o in data["outcomes"]
            )
            named = (str(data["kernel"]), str(data["target"]), str(data["objective"]))
            return TuningResult(*named, dict(data["about"]), outcomes, float(data["seconds"]))
        except (ValueError, TypeError, KeyError) as problem:
            raise error(
                "TD0673", what="the result of a search", problem=f"{type(problem).__name__} {problem}"
            ) from None

    def __str__(self) -> str:
        counts = ", ".join(f"{n} {name}" for name, n in self.counts.items())
        lines = [f"{self.kernel} for {self.target}: {shown(self.config)}, {self.best.ms:.4g} ms ({self.objective})"]
        lines.append(f"  {len(self.outcomes)} configurations in {self.seconds:.1f} s: {counts}")
        ranked = sorted((o for o in self.outcomes if o.status is Status.MEASURED), key=lambda o: o.rank)
        for o in ranked:
            spills = f", {o.spill_bytes} bytes spilled" if o.spill_bytes else ""
            lines.append(
                f"  {o.ms:9.4g} ms  {shown(o.config)}  ({o.registers} registers, {o.shared_bytes} shared{spills})"
            )
        for o in self.outcomes:
            if o.status is not Status.MEASURED:
                lines.append(f"  {o.status.value:>12}  {shown(o.config)}: {o.reason.partition(chr(10))[0]}")
        return "\n".join(lines)


def best_of(kernel: str, outcomes: tuple[Outcome, ...]) -> Outcome:
    """The verified one of least rank, of equals the first. Raises TileError TD0674 where none came so far."""
    found = [o for o in outcomes if o.status is Status.MEASURED]
    if not found:
        said = Counter(f"{o.status.value}: {o.reason.partition(chr(10))[0]}" for o in outcomes)
        reasons = "\n".join(f"  {n} x {what}" for what, n in said.most_common(8))
        raise error("TD0674", kernel=kernel, count=len(outcomes), reasons=reasons)
    return min(found, key=lambda o: o.rank)


def shown(config: Mapping[str, object]) -> str:
    return ", ".join(f"{n}={v!r}" for n, v in config.items()) or "no parameters"
