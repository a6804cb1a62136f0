"""For users' own tests: run a kernel every way this machine can, and compare with a reference."""

from __future__ import annotations

from tiledsl.profiling import do_bench
from tiledsl.testing.case import Case, Draw, Mismatch, compare, run_case
from tiledsl.testing.check import check
from tiledsl.testing.row import Row

__all__ = ["Case", "Draw", "Mismatch", "Row", "check", "compare", "do_bench", "run_case"]
