"""What is made as small as possible: the time on a GPU, or without one, a static estimate, which says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Protocol

from tiledsl.compile import Lowered
from tiledsl.cpu.toolchain import find_compiler
from tiledsl.profiling import Plan
from tiledsl.profiling.bench import hardware_at_hand
from tiledsl.report import report
from tiledsl.runtime.nvrtc import version
from tiledsl.runtime.timing import Hardware
from tiledsl.target import Target, gpu_named
from tiledsl.tuning import tasks
from tiledsl.tuning.isolated import Isolated


@dataclass(frozen=True)
class Measured:
    """Milliseconds; `rank` where not they alone decide."""

    ms: float
    low: float
    high: float
    rank: tuple[float, ...] = ()


class Objective(Protocol):
    """`what` says it in words, `backend` is where candidates are verified."""

    @property
    def what(self) -> str: ...

    @property
    def backend(self) -> str: ...

    def depends_on(self) -> Mapping[str, object]:
        """Beside code and arguments: results are kept for this hardware, or this model of it."""
        ...

    def measure(
        self, lowered: Lowered, inputs: str, sizes: Mapping[str, int], process: Isolated, timeout: float
    ) -> Measured:
        """Of a verified candidate, on the inputs in that file."""
        ...


@dataclass(frozen=True)
class GpuTime:
    """The median time on the GPU at hand, measured in a process that can be killed."""

    hardware: Hardware
    plan: Plan = field(default_factory=Plan)
    backend: str = "cuda"

    @property
    def what(self) -> str:
        return f"median time on {self.hardware.name}"

    def depends_on(self) -> Mapping[str, object]:
        return {**asdict(self.hardware), "nvrtc": version(), "l2_flush": self.plan.l2_flush}

    def measure(
        self, lowered: Lowered, inputs: str, sizes: Mapping[str, int], process: Isolated, timeout: float
    ) -> Measured:
        found = process.call(tasks.gpu_time, lowered.portable(), inputs, self.plan, timeout=timeout)
        return Measured(found.ms, found.quantile(0.2), found.quantile(0.8))


@dataclass(frozen=True)
class Estimate:
    """Without a GPU: the roofline of `report()`, the least time that the GPU needs. Candidates that spill come last.

    Of equals the one is better whose parts of the GPU are busy for less time together.
    """

    target: Target
    gpu: str | None = None
    verified_on: str = ""

    @property
    def product(self) -> str:
        return gpu_named(self.gpu, self.target).name

    @property
    def what(self) -> str:
        return f"no GPU was timed: static estimate, the roofline of {self.product}, what spills last"

    @property
    def backend(self) -> str:
        return self.verified_on or ("cpu" if find_compiler() else "simt")

    def depends_on(self) -> Mapping[str, object]:
        return {"model": self.product, "nvrtc": version()}

    def measure(
        self, lowered: Lowered, inputs: str, sizes: Mapping[str, int], process: Isolated, timeout: float
    ) -> Measured:
        said = report(lowered, sizes, self.gpu)
        ms = said.time * 1e3
        together = sum(sum(e.roofline.seconds.values()) for e in said.entries)
        spills = float(any(e.spill_bytes for e in said.entries))
        return Measured(ms, ms, ms, (spills, ms, together))


def default_objective(target: Target, plan: Plan, gpu: str | None, verify: str | None) -> Objective:
    """Time, if the GPU at hand is the target; else the estimate for it."""
    found = hardware_at_hand()
    if found is not None and found.architecture == target.name and verify in (None, "cuda"):
        return GpuTime(found, plan)
    return Estimate(target, gpu, verify or "")
