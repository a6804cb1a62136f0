"""What the race detector costs: the checked CPU device over the plain one, run in turn in one process.

python benchmarks/checked.py [--json FILE]

The least of several runs each, on one OS thread; the ratio is what to read (must be at most 2, goal 1.3). The last line
is a checked GEMM of 256^3 from the decorator to its verdict with an empty cache of kernels (must: 2 s, goal: 0.5 s); the
runtime, which is built once a machine, is there.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]
REPEATS = 5
MUST, GOAL = 2.0, 1.3
MUST_SECONDS = 2.0


def kernels() -> Mapping[str, Any]:
    from gemm import gemm

    size = (256, 256, 256)
    return {
        "gemm 256^3 float16, 128x128x32": gemm(*size),
        "gemm 256^3 float16, 64x64x32, 4 stages": gemm(*size, block=(64, 64, 32), num_stages=4),
        "gemm 256^3 float16 TN": gemm(*size, order="TN"),
        "gemm 256^3 tf32": gemm(*size, dtype="tf32", block=(64, 64, 32)),
        "gemm 256^3 int8 NT": gemm(*size, dtype="int8", order="NT", block=(128, 128, 64)),
    }


def least(actions: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of each, run in turn, so that what disturbs one disturbs the others."""
    times = dict.fromkeys(actions, float("inf"))
    for _ in range(REPEATS):
        for name, action in actions.items():
            start = time.perf_counter()
            action()
            times[name] = min(times[name], (time.perf_counter() - start) * 1e3)
    return times


def compare(kernel: Any) -> dict[str, float]:
    """Least milliseconds of the plain and of the checked build, and their ratio."""
    import numpy as np

    from tiledsl.backends import Backend, run_on_cpu
    from tiledsl.runtime.arguments import bind
    from tiledsl.testing.case import random_inputs

    lowered = kernel.compile().lowered
    inputs = random_inputs(lowered.signature, np.random.default_rng(0))
    bound = bind(lowered.signature, (), inputs)
    run = lambda check: run_on_cpu(lowered, bound, Backend.CPU, check=check, workers=1)  # noqa: E731
    run(False), run(True)
    times = least({"plain": lambda: run(False), "checked": lambda: run(True)})
    return {**times, "ratio": times["checked"] / times["plain"]}
