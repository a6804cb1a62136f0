"""Measuring on a GPU: times that can be true, arguments that stay as they are."""

from __future__ import annotations

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.profiling import Plan

N = 1 << 22


@tiledsl.kernel
def add_one(A: T.Tensor((N,), T.float32)):
    with T.Kernel(N // 1024, threads=256) as bx:
        for i in T.Parallel(1024):
            A[bx * 1024 + i] = A[bx * 1024 + i] + 1.0


@pytest.mark.gpu
@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("flush", [False, True])
def test_a_copy_of_16_mb(graph: bool, flush: bool) -> None:
    """Not faster than 30 TB/s, which no cache reaches, nor slower than 20 GB/s."""
    a = np.zeros(N, np.float32)
    made = add_one.profile(a, plan=Plan(n_repeat=50, graph=graph, l2_flush=flush))
    print(made)
    assert (a == 0).all() and made.on_gpu and made.graph == graph and made.flushed == flush
    assert made.bytes == 2 * 4 * N
    assert made.gbytes is not None and 20 < made.gbytes < 30_000


@pytest.mark.gpu
def test_cold_is_not_faster_than_warm() -> None:
    cold, warm = (add_one.profile(plan=Plan(n_repeat=200, l2_flush=flush)) for flush in (True, False))
    assert cold.ms > 0.8 * warm.ms


@pytest.mark.gpu
def test_do_bench() -> None:
    torch = pytest.importorskip("torch")
    a = torch.zeros(N, device="cuda")
    assert 0 < tiledsl.do_bench(lambda: add_one(a), rep=20).ms < 100
    assert tiledsl.do_bench(lambda stream: add_one(a, stream=stream), graph=True, n_repeat=20).graph
