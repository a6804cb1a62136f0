"""Measuring through a stopwatch whose time is made: what is run how often, when caches are cold, what comes out."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiledsl
import tiledsl.language as T
from tiledsl.errors import TileError, error
from tiledsl.profiling import Plan, Profile, do_bench
from tiledsl.profiling.bench import product
from tiledsl.profiling.measure import HostWatch, measured
from tiledsl.target import target_named


@dataclass
class MadeTime:
    """A GPU whose time is a number: a run takes `cold` milliseconds after a flush and `warm` otherwise.

    `launch` is what the host adds to each run outside of a graph, `log` what happened.
    """

    cold: float = 1.0
    warm: float = 0.25
    launch: float = 0.0
    flushing: float = 0.5
    graphs: bool = True
    stream: int = 7
    now: float = 0.0
    is_cold: bool = True
    log: list[str] = field(default_factory=list)
    capturing: list[Callable[[], None]] | None = None
    refuses_graphs: bool = False

    def _do(self, what: str, action: Callable[[], None]) -> None:
        if self.capturing is not None:
            self.capturing.append(lambda: (self.log.append(what), action())[1])
        else:
            self.log.append(what)
            action()

    def run(self) -> None:
        def work() -> None:
            self.now += self.cold if self.is_cold else self.warm
            self.now += self.launch if self.capturing is None and not self.replaying else 0.0
            self.is_cold = False

        self._do("run", work)

    replaying: bool = False

    def event(self) -> Any:
        return [float("nan")]

    def record(self, event: Any, *, in_graph: bool = False) -> None:
        assert in_graph == (self.capturing is not None)
        self._do("record", lambda: event.__setitem__(0, self.now))

    def milliseconds(self, start: Any, end: Any) -> float:
        assert self.log[-1] == "synchronize", "events are read before they happened"
        return float(end[0] - start[0])

    def flush(self) -> None:
        def work() -> None:
            self.now += self.flushing
            self.is_cold = True

        self._do("flush", work)

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def captured(self, work: Callable[[], None]) -> Callable[[], None]:
        if self.refuses_graphs:
            raise error("TD0615", status="CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED", text="")
        self.capturing = []
        work()
        steps, self.capturing = self.capturing, None

        def replay() -> None:
            self.replaying = True
            self.log.append("graph")
            for step in steps:
                step()
            self.replaying = False

        return replay


def test_each_run_is_between_two_events_and_cold() -> None:
    watch = MadeTime()
    found = measured(watch, watch.run, Plan(n_warmup=2, n_repeat=4, graph=False))
    assert found.milliseconds == (1.0,) * 4
    assert (found.warmup, found.graph, found.flushed) == (2, False, True)
    assert watch.log[-19:] == ["run", "run", *(["flush", "record", "run", "record"] * 4), "synchronize"]


def test_a_warm_cache() -> None:
    watch = MadeTime()
    found = measured(watch, watch.run, Plan(n_repeat=4, l2_flush=False, graph=False))
    assert found.milliseconds == (0.25,) * 4
    assert "flush" not in watch.log


@given(st.floats(0.07, 20.0), st.floats(1.0, 200.0), st.floats(1.0, 200.0))
def test_budgets_in_milliseconds(cold: float, warmup: float, rep: float) -> None:
    watch = MadeTime(cold=cold, warm=cold)
    found = measured(watch, watch.run, Plan(warmup=warmup, rep=rep))
    each = cold + watch.flushing
    assert found.warmup == max(1, int(warmup / each)) or abs(warmup / each - found.warmup) <= 1
    assert len(found.milliseconds) == max(3, int(rep / each)) or abs(rep / each - len(found.milliseconds)) <= 1
    assert found.milliseconds == pytest.approx([cold] * len(found.milliseconds))


def test_short_kernels_run_from_a_graph_and_the_host_is_out_of_the_way() -> None:
    watch = MadeTime(cold=0.01, warm=0.005, launch=0.02)
    found = measured(watch, watch.run, Plan(n_warmup=16, n_repeat=40))
    assert found.graph
    assert found.milliseconds == pytest.approx([0.01] * 40)
    assert watch.log.count("graph") == 1 + 3
    slow = measured(watch, watch.run, Plan(n_repeat=4, graph=False))
    assert slow.milliseconds == pytest.approx([0.03] * 4)


def test_a_warm_graph_has_all_runs_between_two_events() -> None:
    watch = MadeTime(cold=0.01, warm=0.005, launch=0.02)
    found = measured(watch, watch.run, Plan(n_repeat=48, l2_flush=False))
    assert found.graph
    assert found.milliseconds == pytest.approx([0.005] * 3)
    graph = watch.log[watch.log.index("graph") :]
    assert graph[:19] == ["graph", "record", *["run"] * 16, "record"]


def test_long_kernels_run_without() -> None:
    watch = MadeTime(cold=0.1)
    assert not measured(watch, watch.run, Plan()).graph
    assert measured(watch, watch.run, Plan(graph=True)).graph


def test_what_cannot_be_captured_runs_without_and_says_so() -> None:
    watch = MadeTime(cold=0.01, refuses_graphs=True)
    found = measured(watch, watch.run, Plan())
    assert not found.graph
    assert found.note.startswith("not from a graph: the CUDA driver reports CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED")
    with pytest.raises(TileError, match="TD0615"):
        measured(watch, watch.run, Plan(graph=True))


def test_the_host_has_neither_graphs_nor_flushes() -> None:
    ticks = iter(range(1000))
    found = measured(HostWatch(clock=lambda: next(ticks)), lambda: None, Plan(n_warmup=0, n_repeat=5, graph=True))
    assert found.milliseconds == (1000.0,) * 5
    assert (found.graph, found.flushed) == (False, False)


@pytest.mark.parametrize("wrong", [{"rep": -1.0}, {"n_repeat": 0}, {"n_warmup": -3}, {"warmup": float("nan")}])
def test_wrong_plans(wrong: dict[str, Any]) -> None:
    with pytest.raises(TileError, match="TD0634"):
        Plan(**wrong)
    with pytest.raises(TileError, match="TD0634"):
        do_bench(lambda: None, device="cpu", **wrong)


def test_unknown_options() -> None:
    with pytest.raises(TileError, match=r"TD0634: an option of a measurement must be warmup, .*, not repetitions"):
        do_bench(lambda: None, repetitions=3)
    with pytest.raises(TileError, match=r"TD0634: device must be 'cuda' or 'cpu', not 'tpu'"):
        do_bench(lambda: None, device="tpu")


# ---- the result

SAMPLES = st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=50)


@given(SAMPLES, st.floats(0, 1))
def test_quantiles_are_those_of_numpy(samples: list[float], q: float) -> None:
    made = Profile("k", "d", "t", tuple(samples))
    assert made.quantile(q) == pytest.approx(float(np.quantile(samples, q)), rel=1e-9)
    assert made.ms == pytest.approx(float(np.median(samples)))
    assert made.mean == pytest.approx(float(np.mean(samples)))


def test_rates_and_text() -> None:
    made = Profile("gemm", "NVIDIA H200", "GPU time", (2.0, 1.0, 4.0), 5, True, True, 2e12, 4e9, 0.5, "H200")
    assert (made.ms, made.min, made.max, made.tflops, made.gbytes) == (2.0, 1.0, 4.0, 1000.0, 2000.0)
    assert str(made).splitlines() == [
        "gemm: 2 ms (1.4 ms to 3.2 ms for the middle 60 %; 3 runs after 5, cold L2, from a CUDA graph)",
        "  on NVIDIA H200: GPU time",
        "  1e+03 TFLOP/s, 2e+03 GB/s",
        "  the roofline of H200: 0.5 ms, 25 % of it reached",
    ]
    data = json.loads(made.to_json())
    assert (data["ms"], data["quantiles"]["0.8"], data["repetitions"], data["roofline_gpu"]) == (2.0, 3.2, 3, "H200")


def test_do_bench_with_a_stopwatch() -> None:
    watch = MadeTime()
    made = do_bench(watch.run, watch=watch, flops=1e9, n_repeat=5)
    assert (made.name, made.ms, made.tflops, made.on_gpu) == ("run", 1.0, 1.0, True)


def test_do_bench_on_the_host() -> None:
    calls: list[int] = []
    made = tiledsl.do_bench(lambda: calls.append(1), device="cpu", n_repeat=7, n_warmup=2)
    assert len(calls) == 1 + 5 + 2 + 7
    assert (made.timed, made.device, made.on_gpu, len(made.samples)) == ("time of the host", "the CPU", False, 7)


@pytest.mark.parametrize(
    ("device", "target", "row"),
    [
        ("NVIDIA H100 80GB HBM3", "sm_90a", "H100"),
        ("NVIDIA H200", "sm_90a", "H200"),
        ("NVIDIA GeForce RTX 4090", "sm_89", "RTX4090"),
        ("NVIDIA A100-SXM4-80GB", "sm_80", "A100"),
        ("NVIDIA H200", "sm_80", None),
    ],
)
def test_the_product_of_a_device(device: str, target: str, row: str | None) -> None:
    assert product(device, target_named(target)) == row


# ---- kernels


@tiledsl.kernel
def halve(A: T.Tensor((64,), T.float32)):
    with T.Kernel(1, threads=64):
        for i in T.Parallel(64):
            A[i] = A[i] * 0.5


m = T.dynamic("m")


@tiledsl.kernel(out_idx=-1)
def scaled(A: T.Tensor((m,), T.bfloat16), by: T.float32, B: T.Tensor((m,), T.bfloat16), block: int = 64):
    with T.Kernel(T.ceildiv(m, block), threads=64) as bx:
        for i in T.Parallel(block):
            B[bx * block + i] = T.cast(A[bx * block + i], T.float32) * by


@pytest.mark.parametrize("backend", ["simt", "tile", pytest.param("cpu", marks=pytest.mark.cxx)])
def test_a_kernel_on_the_cpu(backend: str) -> None:
    a = np.full(64, 8, np.float32)
    made = halve.profile(a, plan=Plan(n_repeat=3, n_warmup=1), backend=backend)
    assert (a == 8).all(), "the arguments stay as they are"
    assert made.name == "halve" and not made.on_gpu and len(made.samples) == 3
    assert made.device.startswith("the CPU: ")
    assert made.timed == "how long the host takes to simulate the kernel, which says nothing about a GPU"
    assert made.tflops is None or "TFLOP" not in str(made)


def test_work_comes_from_the_report_unless_given() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    a = np.ones(640, ml_dtypes.bfloat16)
    made = scaled.profile(a, 2.0, plan=Plan(n_repeat=1), backend="simt", target="sm_90a")
    assert (made.flops, made.bytes, made.roofline_gpu) == (640.0, 2 * 2 * 640.0, "H200")
    assert made.roofline_ms is not None and made.roofline_ms > 0
    given = scaled.profile(a, 2.0, block=128, plan=Plan(n_repeat=1), backend="simt", flops=5.0, bytes=7.0)
    assert (given.flops, given.bytes, given.roofline_gpu) == (5.0, 7.0, "A100")


def test_without_arguments_they_are_made() -> None:
    assert halve.profile(plan=Plan(n_repeat=1), backend="simt").ms > 0
    with pytest.raises(TileError, match="TD0602"):
        halve.profile(rows=4, backend="simt")


def test_without_a_gpu_cuda_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tiledsl.profiling.bench.find_driver", lambda: None)
    with pytest.raises(TileError, match="TD0619"):
        do_bench(lambda: None, device="cuda")
