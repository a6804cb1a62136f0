"""Finding the best configuration of a kernel: fit, compile, verify, measure, remember."""

from __future__ import annotations

from tiledsl.tuning.decorate import Autotuned, autotune
from tiledsl.tuning.keep import export_results, import_results
from tiledsl.tuning.objective import Estimate, GpuTime, Measured, Objective
from tiledsl.tuning.result import Outcome, Status, TuningResult

__all__ = [
    "Autotuned",
    "Estimate",
    "GpuTime",
    "Measured",
    "Objective",
    "Outcome",
    "Status",
    "TuningResult",
    "autotune",
    "export_results",
    "import_results",
]
