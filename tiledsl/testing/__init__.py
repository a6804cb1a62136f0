"""For users' own tests: run a kernel every way this machine can, and compare with a reference."""

from __future__ import annotations

from tiledsl.testing.case import Case, Draw, Mismatch, compare, run_case
from tiledsl.testing.check import check

__all__ = ["Case", "Draw", "Mismatch", "check", "compare", "run_case"]
