"""For users' own tests: run a kernel every way this machine can, and compare with a reference."""

from __future__ import annotations

from tiledsl.testing.case import Case, Mismatch, check, compare, run_case

__all__ = ["Case", "Mismatch", "check", "compare", "run_case"]
