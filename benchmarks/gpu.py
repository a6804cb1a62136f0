"""Our kernels against the library's on one GPU: interleaved rounds, cold L2, medians, noise by an A/A contender.

    python benchmarks/gpu.py [--dry] [--out FILE.json] [--minutes 5]

The first contender of a case runs twice (named "again"): the ratio of the two is the noise of that case. Results are
rewritten after every case. `--dry` runs the same steps on the CPU with tiny shapes and another clock.
"""

from __future__ import annotations

import argparse
import datetime
import json
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "examples"), str(ROOT / "examples" / "convolution")]
ROUNDS = 20

Run = Callable[[], Any]


class Clock(Protocol):
    device: str

    def measure(self, run: Run) -> float:
        """Seconds of one run with cold caches."""
        ...


class CpuClock:
    device = "cpu (dry run)"

    def measure(self, run: Run) -> float:
        start = time.perf_counter()
        run()
        return time.perf_counter() - start


class CudaClock:
    """CUDA events around one run, after 3x the L2 cache was overwritten."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        properties = torch.cuda.get_device_properties(0)
        self.device = properties.name
        self.flush = torch.empty(3 * properties.L2_cache_size // 4, dtype=torch.int32, device="cuda")
        self.start, self.end = (torch.cuda.Event(enable_timing=True) for _ in range(2))

    def measure(self, run: Run) -> float:
        self.flush.zero_()
        self.start.record()
        run()
        self.end.record()
        self.end.synchronize()
        return float(self.start.elapsed_time(self.end)) / 1e3


@dataclass(frozen=True)
class Case:
    """`contenders` by name, ours first; `work` is what one run does, in FLOP or bytes as `unit` says."""

    name: str
    contenders: Mapping[str, Run]
    work: float
    unit: str


def gpu_cases() -> list[Callable[[], Case]]:
    import torch

    return [
        copy_ceiling,
        *(hopper_cases() if torch.cuda.get_device_capability() == (9, 0) else ()),
        *(lambda n=n: gemm_case(n) for n in (1024, 4096, 8192)),
        *(lambda c=c: attention_case(c) for c in (False, True)),
        softmax_case,
    ]


def hopper_cases() -> list[Callable[[], Case]]:
    """What is written for sm_90a."""
    sizes = ((4096, 4096, 4096), (8192, 8192, 8192))
    return [
        *(lambda s=s: hopper_gemm_case(*s) for s in sizes),
        lambda: stream_k_case(512, 512, 16384),
        fp8_case,
        scaled_case,
        grouped_case,
        convolution_case,
        *(lambda d=d, c=c: hopper_attention_case(d, c) for d in (64, 128) for c in (False, True)),
    ]


def copy_ceiling() -> Case:
    import torch

    source = torch.empty(2**28, dtype=torch.float32, device="cuda").normal_()
    target = torch.empty_like(source)
    return Case("ceiling: copy 1 GiB", {"torch": lambda: target.copy_(source)}, 2 * source.numel() * 4, "B")


def gemm_case(n: int) -> Case:
    import gemm
    import torch

    a, b = (torch.randn(n, n, dtype=torch.float16, device="cuda") for _ in range(2))
    c = torch.empty(n, n, dtype=torch.float16, device="cuda")
    kernel = gemm.gemm(n, n, n, (128, 128, 32), num_stages=4)
    contenders: dict[str, Run] = {"tiledsl": lambda: kernel(a, b, c), "torch": lambda: torch.mm(a, b, out=c)}
    return Case(f"gemm fp16 {n}^3", contenders, 2 * n**3, "FLOP")


def multiprocessors() -> int:
    import torch

    return int(torch.cuda.get_device_properties(0).multi_processor_count)


def hopper_gemm_case(M: int, N: int, K: int) -> Case:
    import gemm_cluster
    import gemm_hopper
    import torch

    a, b = (torch.randn(*shape, dtype=torch.float16, device="cuda") for shape in ((M, K), (K, N)))
    c = torch.empty(M, N, dtype=torch.float16, device="cuda")
    kernels = {
        "tiledsl persistent 128x256x64": gemm_hopper.gemm_persistent(M, N, K, blocks=multiprocessors()),
        "tiledsl persistent 256x128x64": gemm_hopper.gemm_persistent(
            M, N, K, block=(256, 128, 64), blocks=multiprocessors()
        ),
        "tiledsl 128x256x64": gemm_hopper.gemm(M, N, K, panel=8),
        "tiledsl 128x128x64": gemm_hopper.gemm(M, N, K, block=(128, 128, 64), num_stages=4, panel=8),
        "tiledsl clusters 2x1": gemm_cluster.gemm(M, N, K, cluster=(2, 1)),
        "tiledsl clusters 1x2": gemm_cluster.gemm(M, N, K, cluster=(1, 2)),
        "tiledsl persistent clusters of 2": gemm_cluster.gemm_persistent(M, N, K, blocks=multiprocessors() // 2 * 2),
    }
    ours: dict[str, Run] = {name: lambda k=kernel: k(a, b, c) for name, kernel in kernels.items()}
    return Case(
        f"gemm fp16 {M}x{N}x{K} on Hopper", {**ours, "torch": lambda: torch.mm(a, b, out=c)}, 2 * M * N * K, "FLOP"
    )


def stream_k_case(M: int, N: int, K: int) -> Case:
    """Few tiles and a long sum: they do not fill the GPU."""
    import gemm_hopper
    import torch

    a, b = (torch.randn(*shape, dtype=torch.float16, device="cuda") for shape in ((M, K), (K, N)))
    c = torch.empty(M, N, dtype=torch.float16, device="cuda")
    total = torch.empty(M, N, dtype=torch.float32, device="cuda")
    stream, split = gemm_hopper.gemm_stream_k(M, N, K, blocks=multiprocessors()), gemm_hopper.gemm_split_k(M, N, K, 8)
    contenders: dict[str, Run] = {
        "tiledsl stream-k": lambda: stream(a, b, c),
        "tiledsl split-k": lambda: split(a, b, total.zero_()),
        "torch": lambda: torch.mm(a, b, out=c),
    }
    return Case(f"gemm fp16 {M}x{N}x{K}", contenders, 2 * M * N * K, "FLOP")


def fp8_case(n: int = 8192) -> Case:
    import gemm_hopper
    import torch

    a, b = (torch.randn(n, n, device="cuda").to(torch.float8_e4m3fn) for _ in range(2))
    one = torch.ones((), device="cuda")
    kernel = gemm_hopper.gemm_persistent(
        n, n, n, block=(128, 256, 128), order="NT", dtype="e4m3", blocks=multiprocessors()
    )
    c = torch.empty(n, n, dtype=torch.float16, device="cuda")
    contenders: dict[str, Run] = {
        "tiledsl": lambda: kernel(a, b, c),
        "torch": lambda: torch._scaled_mm(a, b.t(), scale_a=one, scale_b=one, out_dtype=torch.float16),
    }
    return Case(f"gemm e4m3 {n}^3", contenders, 2 * n**3, "FLOP")


def scaled_case(n: int = 4096) -> Case:
    """A scale for each 128 numbers along K. The contender has one for each row, and does less."""
    import gemm_hopper
    import torch

    a, b = (torch.randn(n, n, device="cuda").to(torch.float8_e4m3fn) for _ in range(2))
    of_a, of_b = torch.ones(n // 128, n, device="cuda"), torch.ones(n // 128, n // 128, device="cuda")
    rows, columns = torch.ones(n, 1, device="cuda"), torch.ones(1, n, device="cuda")
    kernel = gemm_hopper.gemm_scaled(n, n, n)
    c = torch.empty(n, n, dtype=torch.bfloat16, device="cuda")
    contenders: dict[str, Run] = {
        "tiledsl": lambda: kernel(a, b, of_a, of_b, c),
        "torch, scales of rows": lambda: torch._scaled_mm(
            a, b.t(), scale_a=rows, scale_b=columns, out_dtype=torch.bfloat16
        ),
    }
    return Case(f"gemm e4m3 {n}^3 with scales of 128", contenders, 2 * n**3, "FLOP")


def grouped_case(groups: int = 8, rows: int = 8192, N: int = 4096, K: int = 4096) -> Case:
    import grouped_gemm
    import torch

    cuts = sorted(torch.randint(0, rows, (groups - 1,), generator=torch.Generator().manual_seed(0)).tolist())
    limits = [0, *cuts, rows]
    starts = torch.tensor(limits, dtype=torch.int32, device="cuda")
    a = torch.randn(rows, K, dtype=torch.float16, device="cuda")
    b = torch.randn(groups, K, N, dtype=torch.float16, device="cuda")
    c = torch.empty(rows, N, dtype=torch.float16, device="cuda")
    kernel = grouped_gemm.gemm_grouped_persistent(rows, N, K, groups, blocks=multiprocessors())
    plain = grouped_gemm.gemm_grouped(rows, N, K, groups)

    def one_by_one() -> None:
        for g, (begin, end) in enumerate(pairwise(limits)):
            torch.mm(a[begin:end], b[g], out=c[begin:end])

    contenders: dict[str, Run] = {
        "tiledsl persistent": lambda: kernel(a, b, starts, c),
        "tiledsl": lambda: plain(a, b, starts, c),
        "torch, one by one": one_by_one,
    }
    return Case(f"grouped gemm, {groups} groups of {rows} rows, {N}x{K}", contenders, 2 * rows * N * K, "FLOP")


def convolution_case(N: int = 128, side: int = 64, C: int = 128, F: int = 128) -> Case:
    """3 x 3, with padding; torch gets its images with the channels innermost too."""
    import example_convolution
    import torch

    data = torch.randn(N, side, side, C, dtype=torch.float16, device="cuda")
    taps = torch.randn(3, 3, C, F, dtype=torch.float16, device="cuda")
    out = torch.empty(N, side, side, F, dtype=torch.float16, device="cuda")
    kernel = example_convolution.convolution(N, C, side, side, F, block=(128, 128, 64), num_stages=4)
    images = data.permute(0, 3, 1, 2)
    filters = taps.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
    contenders: dict[str, Run] = {
        "tiledsl": lambda: kernel(data, taps, out),
        "torch": lambda: torch.nn.functional.conv2d(images, filters, padding=1),
    }
    return Case(f"convolution 3x3 fp16 {N}x{side}x{side}x{C}", contenders, 2 * N * side * side * 9 * C * F, "FLOP")


def hopper_attention_case(dim: int, causal: bool) -> Case:
    import attention_hopper
    import torch

    batch, heads, length = 4, 16, 4096
    q, k, v = (torch.randn(batch, length, heads, dim, dtype=torch.float16, device="cuda") for _ in range(3))
    out = torch.empty_like(q)
    kernel = attention_hopper.flash_attention(batch, heads, length, length, dim, causal)
    turned = [x.transpose(1, 2).contiguous() for x in (q, k, v)]
    sdpa = torch.nn.functional.scaled_dot_product_attention
    contenders: dict[str, Run] = {
        "tiledsl": lambda: kernel(q, k, v, out),
        "torch": lambda: sdpa(*turned, is_causal=causal),
    }
    flop = 4 * batch * heads * length * length * dim * (0.5 if causal else 1)
    return Case(f"attention on Hopper d{dim}{' causal' if causal else ''}", contenders, flop, "FLOP")


def attention_case(causal: bool) -> Case:
    import attention
    import torch

    batch, heads, length, dim = 4, 16, 4096, 128
    q, k, v = (torch.randn(batch, length, heads, dim, dtype=torch.float16, device="cuda") for _ in range(3))
    out = torch.empty_like(q)
    kernel = attention.flash_attention(batch, heads, length, length, dim, causal, 128, 64)
    turned = [x.transpose(1, 2).contiguous() for x in (q, k, v)]
    sdpa = torch.nn.functional.scaled_dot_product_attention
    contenders: dict[str, Run] = {
        "tiledsl": lambda: kernel(q, k, v, out),
        "torch": lambda: sdpa(*turned, is_causal=causal),
    }
    flop = 4 * batch * heads * length * length * dim * (0.5 if causal else 1)
    return Case(f"attention d{dim}{' causal' if causal else ''}", contenders, flop, "FLOP")


def softmax_case() -> Case:
    import normalisation
    import torch

    rows, columns = 8192, 4096
    x = torch.randn(rows, columns, device="cuda")
    y = torch.empty_like(x)
    kernel = normalisation.softmax(rows, columns, block_M=1, threads=256)
    contenders: dict[str, Run] = {"tiledsl": lambda: kernel(x, y), "torch": lambda: torch.softmax(x, 1, out=y)}
    return Case(f"softmax {rows}x{columns}", contenders, 2 * x.numel() * 4, "B")


def dry_cases() -> list[Callable[[], Case]]:
    def small() -> Case:
        import gemm
        import numpy as np

        a, b = np.ones((64, 64), np.float16), np.ones((64, 64), np.float16)
        kernel = gemm.gemm(64, 64, 64, (64, 64, 32), num_stages=2)
        contenders: dict[str, Run] = {"tiledsl": lambda: kernel(a, b, backend="tile"), "numpy": lambda: a @ b}
        return Case("gemm fp16 64^3", contenders, 2 * 64**3, "FLOP")

    def hopper() -> Case:
        """Every kernel of `hopper_cases` is made, and the smallest runs."""
        import attention_hopper
        import gemm_cluster
        import gemm_hopper
        import grouped_gemm
        import numpy as np

        gemm_cluster.gemm(64, 64, 64)
        gemm_cluster.gemm_persistent(64, 64, 64, blocks=2)
        gemm_hopper.gemm_persistent(64, 64, 128, order="NT", dtype="e4m3", block=(128, 256, 128))
        gemm_hopper.gemm_stream_k(64, 64, 64)
        gemm_hopper.gemm_split_k(64, 64, 64, 8)
        gemm_hopper.gemm_scaled(128, 128, 128)
        grouped_gemm.gemm_grouped(64, 64, 64, 2)
        grouped_gemm.gemm_grouped_persistent(64, 64, 64, 2)
        attention_hopper.flash_attention(1, 1, 64, 64, 64, True)
        a, b = np.ones((64, 64), np.float16), np.ones((64, 64), np.float16)
        kernel = gemm_hopper.gemm(64, 64, 64, (64, 64, 64), num_stages=2, threads=128)
        contenders: dict[str, Run] = {"tiledsl": lambda: kernel(a, b, backend="tile"), "numpy": lambda: a @ b}
        return Case("gemm fp16 64^3 on Hopper", contenders, 2 * 64**3, "FLOP")

    return [small, hopper]


def run_case(case: Case, clock: Clock, rounds: int) -> dict[str, Any]:
    """Medians over interleaved rounds, so that drift hits every contender alike."""
    first = next(iter(case.contenders))
    every = {**case.contenders, f"{first} again": case.contenders[first]}
    times: dict[str, list[float]] = {name: [] for name in every}
    for run in every.values():
        clock.measure(run)  # compile and warm up
    for _ in range(rounds):
        for name, run in every.items():
            times[name].append(clock.measure(run))
    medians = {name: statistics.median(t) for name, t in times.items()}
    return {
        "case": case.name,
        "seconds": medians,
        "rate": {name: case.work / t for name, t in medians.items()},
        "unit": f"{case.unit}/s",
        "noise": medians[f"{first} again"] / medians[first],
        "of first": {name: medians[first] / t for name, t in medians.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dry", action="store_true")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--minutes", type=float, default=3.0)
    arguments = parser.parse_args()
    clock: Clock = CpuClock() if arguments.dry else CudaClock()
    today = datetime.date.today().isoformat()
    out = arguments.out or ROOT / "benchmarks" / "results" / f"{today}-{clock.device.replace(' ', '-')}.json"
    results: dict[str, Any] = {"date": today, "device": clock.device, "cases": []}
    deadline = time.monotonic() + 60 * arguments.minutes
    for make in dry_cases() if arguments.dry else gpu_cases():
        if time.monotonic() > deadline:
            results["stopped"] = f"after {arguments.minutes} minutes"
            break
        try:
            results["cases"].append(run_case(make(), clock, 2 if arguments.dry else ROUNDS))
        except Exception as failure:  # one broken case must not lose the others
            results["cases"].append({"case": getattr(make, "__name__", "case"), "error": repr(failure)})
        out.write_text(json.dumps(results, indent=1))
        print(json.dumps(results["cases"][-1]))
    print(f"written to {out}")


if __name__ == "__main__":
    main()
