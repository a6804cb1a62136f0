"""How long a kernel takes: where, how measured, against what it has to do."""

from __future__ import annotations

from tiledsl.profiling.bench import do_bench, profile
from tiledsl.profiling.measure import Plan
from tiledsl.profiling.result import Profile

__all__ = ["Plan", "Profile", "do_bench", "profile"]
