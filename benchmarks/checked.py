"""What the race detector costs: the checked CPU device over the plain one, run in turn in one process.

python benchmarks/checked.py [--json FILE]

The least processor time of several runs each, on one OS thread; the ratio is what to read (must be at most 2, goal
1.3). The last line is a checked GEMM of 256^3 from a new process's first import to its verdict, with an empty cache of
kernels (must: 2 s); the runtime, which is built once a machine, is there.
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
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]
REPEATS = 5
MUST, GOAL = 2.0, 1.3
MUST_SECONDS = 2.0


def kernels() -> Mapping[str, Any]:
    gemm = import_module("gemm").gemm
    size = (256, 256, 256)
    return {
        "gemm 256^3 float16, 128x128x32": gemm(*size),
        "gemm 256^3 float16, 64x64x32, 4 stages": gemm(*size, block=(64, 64, 32), num_stages=4),
        "gemm 256^3 float16 TN": gemm(*size, order="TN"),
        "gemm 256^3 tf32": gemm(*size, dtype="tf32", block=(64, 64, 32)),
        "gemm 256^3 int8 NT": gemm(*size, dtype="int8", order="NT", block=(128, 128, 64)),
    }


def least(actions: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Milliseconds of processor time of each, run in turn, so that what disturbs one disturbs the others."""
    times = dict.fromkeys(actions, float("inf"))
    for _ in range(REPEATS):
        for name, action in actions.items():
            start = time.process_time()
            action()
            times[name] = min(times[name], (time.process_time() - start) * 1e3)
    return times


def compare(kernel: Any) -> dict[str, float]:
    """Least milliseconds of the plain and of the checked build, and their ratio."""
    import numpy as np

    from tiledsl.backends import Backend, run_on_cpu
    from tiledsl.runtime.arguments import bind, numpy_dtype

    lowered = kernel.compile().lowered
    operands = [p for p in lowered.signature.parameters if p.name in ("A", "B")]
    bound = bind(lowered.signature, [np.ones((256, 256), numpy_dtype(p.dtype)) for p in operands], {})

    def run(check: bool) -> None:
        run_on_cpu(lowered, bound, Backend.CPU, check=check, workers=1)

    run(False)
    run(True)
    times = least({"plain": lambda: run(False), "checked": lambda: run(True)})
    return {**times, "ratio": times["checked"] / times["plain"]}


_ONCE = """
import os, sys, time
start = time.perf_counter()
sys.path[:0] = {paths!r}
import numpy as np
from gemm import gemm
from tiledsl.backends import Backend, run_on_cpu
from tiledsl.runtime.arguments import bind
lowered = gemm(256, 256, 256).compile().lowered
a, b = (np.ones((256, 256), np.float16) for _ in range(2))
run_on_cpu(lowered, bind(lowered.signature, (a, b), {{}}), Backend.CPU, check=True)
print(time.perf_counter() - start, sum(os.times()[:4]))
"""


def once() -> tuple[float, float]:
    """Seconds of a new process from its first import to the verdict on a 256^3 GEMM that was never compiled before: by
    the clock, and of processor time with that of the C++ compiler."""
    import shutil

    from tiledsl.cpu.toolchain import runtime_library

    runtime = runtime_library(True).parent
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(runtime, Path(folder) / "cpu-runtime" / runtime.name)
        command = [sys.executable, "-c", _ONCE.format(paths=sys.path[:2])]
        done = subprocess.run(
            command, env={**os.environ, "TILEDSL_CACHE_DIR": folder}, capture_output=True, text=True, check=True
        )
    wall, processor = map(float, done.stdout.split()[-2:])
    return wall, processor


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers as JSON")
    given = parser.parse_args()
    results: dict[str, Any] = {}
    print("| kernel | plain, ms | checked, ms | ratio |\n|---|---|---|---|")
    for name, kernel in kernels().items():
        row = results[name] = compare(kernel)
        print(f"| {name} | {row['plain']:.1f} | {row['checked']:.1f} | {row['ratio']:.2f} |", flush=True)
    worst = max(row["ratio"] for row in results.values())
    wall, seconds = once()
    results["checked 256^3 incl. compile, s"] = {"wall": wall, "processor": seconds}
    print(f"\nworst ratio {worst:.2f} (must {MUST}, goal {GOAL})")
    print(f"one checked 256^3 GEMM including its compile: {seconds:.2f} s of processor time (must {MUST_SECONDS}),")
    print(f"{wall:.2f} s by the clock")
    if given.json:
        given.json.write_text(json.dumps(results, indent=1) + "\n")
    return int(worst > MUST or seconds > MUST_SECONDS)


if __name__ == "__main__":
    sys.exit(main())
