"""The result of a measurement, as data and as text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

QUANTILES = (0.05, 0.2, 0.8, 0.95)


@dataclass(frozen=True)
class Profile:
    """`samples` are milliseconds of one run each; `ms` is their median.

    `device` is what it ran on, `timed` what the samples are the time of: on the CPU that is not the time of a GPU.
    `flops` and `bytes` are what one run computes and must move; `roofline_ms` is the least time that `roofline_gpu`
    needs for it. They are None where nobody knows. `note` says what was done otherwise than asked.
    """

    name: str
    device: str
    timed: str
    samples: tuple[float, ...]
    warmup: int = 0
    graph: bool = False
    flushed: bool = False
    flops: float | None = None
    bytes: float | None = None
    roofline_ms: float | None = None
    roofline_gpu: str = ""
    on_gpu: bool = True
    note: str = ""

    @property
    def ms(self) -> float:
        return self.quantile(0.5)

    @property
    def min(self) -> float:
        return min(self.samples)

    @property
    def max(self) -> float:
        return max(self.samples)

    @property
    def mean(self) -> float:
        return fmean(self.samples)

    def quantile(self, q: float) -> float:
        """The sample that a share `q` of all is not above, between two neighbours in proportion."""
        ordered = sorted(self.samples)
        at = q * (len(ordered) - 1)
        low = min(int(at), len(ordered) - 2) if len(ordered) > 1 else 0
        high = min(low + 1, len(ordered) - 1)
        return ordered[low] + (ordered[high] - ordered[low]) * (at - low)

    def quantiles(self, chosen: Sequence[float]) -> tuple[float, ...]:
        return tuple(map(self.quantile, chosen))

    @property
    def tflops(self) -> float | None:
        """10^12 operations a second."""
        return self.flops / self.ms / 1e9 if self.flops is not None and self.ms else None

    @property
    def gbytes(self) -> float | None:
        """10^9 bytes a second."""
        return self.bytes / self.ms / 1e6 if self.bytes is not None and self.ms else None

    def as_data(self) -> dict[str, Any]:
        """Everything but the single samples, as dicts, lists, strings and numbers."""
        return {
            **{"name": self.name, "device": self.device, "timed": self.timed, "on_gpu": self.on_gpu},
            **{"ms": self.ms, "min": self.min, "max": self.max, "mean": self.mean},
            "quantiles": {str(q): self.quantile(q) for q in QUANTILES},
            **{"repetitions": len(self.samples), "warmup": self.warmup, "graph": self.graph, "flushed": self.flushed},
            **{"flops": self.flops, "bytes": self.bytes, "tflops": self.tflops, "gbytes": self.gbytes},
            **{"roofline_ms": self.roofline_ms, "roofline_gpu": self.roofline_gpu, "note": self.note},
        }

    def to_json(self) -> str:
        return json.dumps(self.as_data(), indent=1)

    def __str__(self) -> str:
        low, high = self.quantiles((0.2, 0.8))
        how = [f"{len(self.samples)} runs after {self.warmup}"]
        how += ["cold L2"] if self.flushed else []
        how += ["from a CUDA graph"] if self.graph else []
        lines = [
            f"{self.name}: {_time(self.ms)} ({_time(low)} to {_time(high)} for the middle 60 %; {', '.join(how)})",
            f"  on {self.device}: {self.timed}",
        ]
        if self.on_gpu and self.ms:  # what a simulation reaches is no speed of the kernel
            rates = [f"{self.tflops:.3g} TFLOP/s"] if self.tflops else []
            rates += [f"{self.gbytes:.3g} GB/s"] if self.gbytes else []
            lines += [f"  {', '.join(rates)}"] if rates else []
        if self.roofline_ms is not None:
            share = f", {100 * self.roofline_ms / self.ms:.0f} % of it reached" if self.on_gpu and self.ms else ""
            lines.append(f"  the roofline of {self.roofline_gpu}: {_time(self.roofline_ms)}{share}")
        return "\n".join([*lines, f"  {self.note}"] if self.note else lines)


def _time(ms: float) -> str:
    if ms >= 1000:
        return f"{ms / 1000:.3g} s"
    return f"{ms:.3g} ms" if ms >= 0.1 else f"{ms * 1e3:.3g} us"
