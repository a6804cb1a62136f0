"""How long compiling takes, part by part, against the goals. Minima of five; ratios to the goal are what to read.

python benchmarks/compile.py [--json FILE]
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples")]

from tiledsl.settings import overridden  # noqa: E402

REPEATS = 5

# name -> (must, goal), milliseconds or megabytes
GOALS = {
    "import tiledsl above bare Python, ms": (50, 25),
    "decorator -> CUDA text, GEMM, ms": (80, 30),
    "decorator -> CUDA text, flash attention, ms": (250, 80),
    "Python -> cubin, warm process, GEMM sm_80, ms": (250, 120),
    "Python -> cubin, warm process, GEMM 128x256x64 sm_90a, ms": (300, 180),
    "Python -> cubin, warm process, attention d128 sm_90a, ms": (600, 350),
    "emitted C++ on the CPU, GEMM 256^3 incl. compile, ms": (2000, 500),
    "peak memory of a process that compiles the GEMM, MB": (300, 150),
}


# How fast the machine is: what NVRTC takes for a kernel of one line, and took where musts and goals were set.
ONE_LINE = 'extern "C" __global__ void one(float* a) { a[threadIdx.x] = 1.f; }'
ONE_LINE_THERE = 23.0  # milliseconds


def best(action: Callable[[], object]) -> float:
    """The least of five runs, in milliseconds."""
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def process(code: str) -> float:
    """The least wall time of five fresh interpreters that run `code`, in milliseconds."""
    return best(lambda: subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT))


def gemm():
    import gemm

    return gemm.gemm(4096, 4096, 4096, (128, 128, 32), num_stages=3)


def attention():
    import attention

    return attention.flash_attention(1, 16, 2048, 2048, 128, True, 128, 64)


def gemm_hopper():
    import gemm_hopper

    return gemm_hopper.gemm(4096, 4096, 4096, (128, 256, 64))


def attention_hopper():
    import attention_hopper

    return attention_hopper.flash_attention(1, 16, 2048, 2048, 128)


def text_of(make: Callable[[], object]) -> Callable[[], object]:
    return lambda: make().compile(target="sm_80").source  # type: ignore[attr-defined]


def cubin_of(make: Callable[[], object], target: str = "sm_80") -> Callable[[], object]:
    return lambda: make().compile(target=target).cubin  # type: ignore[attr-defined]


def run_on_cpu() -> float:
    """One call, with a kernel that no cache has seen; the runtime of the CPU device is built before."""
    import gemm
    import numpy as np

    small = gemm.gemm(128, 128, 64, num_stages=2)
    small(np.ones((128, 64), np.float16), np.ones((64, 128), np.float16), backend="cpu")
    a, b = np.ones((256, 256), np.float16), np.ones((256, 256), np.float16)
    times = []
    for stages in (1, 2, 3, 4):
        kernel = gemm.gemm(256, 256, 256, num_stages=stages)
        start = time.perf_counter()
        kernel(a, b, backend="cpu")
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


def peak_memory() -> float:
    code = "import sys; sys.path[:0] = ['.', 'examples']; import gemm; gemm.gemm(4096, 4096, 4096).compile().cubin"
    code += "; import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    return int(out.stdout) / 1024


def measure() -> dict[str, float]:
    bare = process("pass")
    imported = process("import tiledsl")
    text_of(gemm)()  # the first compile of a process loads NumPy and NVRTC
    cubin_of(gemm)()
    with overridden("TILEDSL_NO_CACHE", "1"):
        figures = [
            imported - bare,
            best(text_of(gemm)),
            best(text_of(attention)),
            best(cubin_of(gemm)),
            best(cubin_of(gemm_hopper, "sm_90a")),
            best(cubin_of(attention_hopper, "sm_90a")),
        ]
    return dict(zip(GOALS, [*figures, run_on_cpu(), peak_memory()]))


def one_line() -> float:
    """Milliseconds of the kernel of one line; its least of many, because it is the measure of all others."""
    from tiledsl.runtime import nvrtc

    with overridden("TILEDSL_NO_CACHE", "1"):
        return min(best(lambda: nvrtc.compile_cuda(ONE_LINE, "sm_90a")) for _ in range(4))


def parts() -> str:
    """The passes of one GEMM, slowest first."""
    lowered = gemm().compile(target="sm_80").lowered
    rows = sorted(((s.seconds, s.name) for s in lowered.stages), reverse=True)
    return "\n".join(
        f"    {1e3 * seconds:7.2f} ms  {name}" for seconds, name in [*rows, (lowered.emit_seconds, "emit")]
    )


def phases(make: Callable[[], object], target: str) -> str:
    """What one compilation costs in our passes and in each phase of NVRTC, by NVRTC's own clock: minima of five."""
    from tiledsl.runtime import nvrtc

    found: dict[str, float] = {}
    for n in range(REPEATS):
        start = time.perf_counter()
        lowered = make().compile(target=target).lowered  # type: ignore[attr-defined]
        times = {"Python": 1e3 * (time.perf_counter() - start)}
        with tempfile.TemporaryDirectory() as folder:
            table = Path(folder) / f"{n}.csv"
            nvrtc.compile_cuda(lowered.cuda, target, (f"--time={table}", *(["--use_fast_math"] * lowered.fast_math)))
            for line in table.read_text().splitlines()[1:]:  # file, phase, time, unit
                _, phase, milliseconds, _ = (cell.strip() for cell in line.split(","))
                times[phase] = times.get(phase, 0.0) + float(milliseconds)
        found = {phase: min(value, found.get(phase, value)) for phase, value in times.items()}
    return "".join(f"    {value:7.1f} ms  {phase}\n" for phase, value in found.items())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, overridden("TILEDSL_CACHE_DIR", folder):
        figures = measure()
        slower = one_line() / ONE_LINE_THERE
    print(f"a kernel of one line takes NVRTC {slower:.2f} times as long as where the musts were set")
    print(f"{'':56}{'measured':>10}{'there':>8}{'must':>8}{'goal':>8}{'of goal':>9}")
    for name, value in figures.items():
        must, goal = GOALS[name]
        there = value if name.endswith("MB") else value / slower
        said = "" if value <= must else "  MISSED here" if there <= must else "  MISSED"
        print(f"{name:56}{value:10.1f}{there:8.1f}{must:8}{goal:8}{there / goal:8.2f}x{said}")
    print("passes of the GEMM:\n" + parts())
    with overridden("TILEDSL_NO_CACHE", "1"):
        for name, make in {"GEMM": gemm_hopper, "attention": attention_hopper}.items():
            print(f"{name} for sm_90a:\n{phases(make, 'sm_90a')}", end="")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=1))
    print(f"peak of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB")


if __name__ == "__main__":
    main()
