"""The rows of docs/rows.md: how long all take to compile without a cache, and on a GPU how fast they run.

python benchmarks/rows.py [--jobs 2]                                 compiles all, for all their targets
python benchmarks/rows.py --gpu [--dry] [--out FILE.json] [--minutes 3]  checks and times those for this GPU

The first prints the seconds of every row and of all from start to end, to be read against 75 s (goal: 30 s) on 2 cores.
The second rewrites its file after every row; `python -m tiledsl.tools.rows_document --gpu FILE.json` puts the times on
the page. `--dry` walks the same steps on the CPU, with the smallest case of one row.
"""

from __future__ import annotations

import argparse
import datetime
import json
import multiprocessing
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tiledsl.profiling.bench import hardware_at_hand  # noqa: E402
from tiledsl.runtime.driver import find_driver  # noqa: E402
from tiledsl.settings import overridden  # noqa: E402
from tiledsl.testing import Draw, Row  # noqa: E402
from tiledsl.testing.row import targets_of  # noqa: E402
from tiledsl.tools.loading import find_rows, load_module, rows_of  # noqa: E402

MUST, GOAL = 75.0, 30.0
# Seconds that TileLang 0.1.15 took from Python to a cubin in a warm process, where they were measured.
TILELANG_SECONDS = {("example_gemm", "sm_80"): "2.4-2.7", ("example_gemm", "sm_90a"): "1.8"}


def compile_one(path: str, name: str, number: int, target: str) -> float:
    """Seconds of a timed kernel of a row from Python to a cubin, in this process."""
    with overridden("TILEDSL_NO_CACHE", "1"):
        start = time.perf_counter()
        row = next(r for r in rows_of(load_module(path)) if r.name == name)
        _ = row.timed[number].compiled(target).cubin
        return time.perf_counter() - start


Work = tuple[str, str, int, str]  # the arguments of `compile_one`


def compile_all(jobs: int) -> bool:
    """Every timed kernel for every target of its row; prints the table, and says whether the time is kept."""
    work = [
        (str(path), row.name, number, target)
        for path, rows in find_rows(ROOT / "examples").items()
        for row in rows
        for number, case in enumerate(row.timed)
        for target in targets_of(case)
    ]
    start = time.perf_counter()
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        taken = list(pool.map(compile_one, *zip(*work)))
    whole = time.perf_counter() - start
    print(table(work, taken, whole, jobs))
    return whole <= MUST


def table(work: Sequence[Work], taken: Sequence[float], whole: float, jobs: int) -> str:
    """A line for each row and target, and one for all."""
    groups: dict[tuple[str, str], list[float]] = {}
    for (_, name, _, target), seconds in zip(work, taken):
        groups.setdefault((name, target), []).append(seconds)
    lines = [f"{'row':60}{'target':>8}{'kernels':>9}{'seconds':>9}  TileLang"]
    for key, seconds_of in groups.items():
        peer = TILELANG_SECONDS.get(key, "")
        lines.append(f"{key[0]:60}{key[1]:>8}{len(seconds_of):9}{sum(seconds_of):9.2f}  {peer}")
    rows = len({name for _, name, _, _ in work})
    done = f"{rows} rows, {len(work)} kernels: {whole:.1f} s in {jobs} processes"
    return "\n".join([*lines, f"{done} (at most {MUST:.0f}, goal {GOAL:.0f})"])


def milliseconds(row: Row, target: str, dry: bool) -> float:
    """Of a row that was found right; dry, of its smallest case in NumPy."""
    if not dry:
        row.check_on_gpu(target)
        return row.milliseconds(target)
    case = row.reduced[0]
    return case.compiled(target).profile(**case.inputs(Draw(0, exact=False)), backend="tile").ms


def run(out: Path, minutes: float, dry: bool) -> bool:
    """Every row for the GPU that is here; False if one failed."""
    rows = [row for some in find_rows(ROOT / "examples").values() for row in some]
    driver, hardware = find_driver(), hardware_at_hand()
    if dry:
        device, target = "cpu (dry run)", "sm_80"
        rows = [r for r in rows if r.name == "example_gemm"]
    elif driver is None or hardware is None:
        sys.exit("no GPU is here")
    else:
        device, target = hardware.name, driver.architecture(0)
        rows = [r for r in rows if r.timed_on(target)]
    results: dict[str, Any] = {"date": datetime.date.today().isoformat(), "device": device, "target": target}
    results |= {"milliseconds": {}, "failed": {}}
    out.parent.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * minutes
    for row in rows:
        if time.monotonic() > deadline:
            results["stopped"] = f"after {minutes} minutes"
            break
        try:
            results["milliseconds"][row.name] = ms = milliseconds(row, target, dry)
            print(f"{row.name:60}{ms:9.4f} ms, TileLang {row.tilelang[0]:.4f}", flush=True)
        except Exception as failure:  # one broken row must not lose the others
            results["failed"][row.name] = str(failure)
            print(f"{row.name:60}FAILED: {failure}", flush=True)
        out.write_text(json.dumps(results, indent=1))
    print(f"written to {out}")
    return not results["failed"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--minutes", type=float, default=3.0)
    arguments = parser.parse_args()
    if not (arguments.gpu or arguments.dry):
        sys.exit(0 if compile_all(arguments.jobs) else 1)
    out = arguments.out or ROOT / "benchmarks" / "results" / f"{datetime.date.today().isoformat()}-rows.json"
    sys.exit(0 if run(out, arguments.minutes, arguments.dry) else 1)


if __name__ == "__main__":
    main()
