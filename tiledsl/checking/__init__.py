"""One kernel on many schedules of the checked CPU device, and against its other executions."""

from __future__ import annotations

from tiledsl.checking.check import Reference, check
from tiledsl.checking.compare import Difference, difference
from tiledsl.checking.result import CheckResult
from tiledsl.checking.schedules import Schedule, schedules

__all__ = ["CheckResult", "Difference", "Reference", "Schedule", "check", "difference", "schedules"]
