"""A search on a GPU: wrong candidates are not measured, one that hangs costs itself alone."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.tuning import Status

N = 1 << 16


@pytest.mark.gpu
def test_a_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_CACHE_DIR", str(tmp_path))

    @tiledsl.autotune(configs={"block": [256, 512, 1 << 20], "factor": [2.0, 3.0]}, ref=lambda A: 2 * A, timeout=60.0)
    @tiledsl.kernel(out_idx=-1)
    def doubled(A: T.Tensor((N,), T.float32), B: T.Tensor((N,), T.float32), block: int, factor: float):
        with T.Kernel(T.ceildiv(N, block), threads=128) as bx:
            for i in T.Parallel(block):
                B[bx * block + i] = A[bx * block + i] * factor

    a = np.arange(N, dtype=np.float32)
    result = doubled.tune(a)
    print(result)
    assert result.objective.startswith("median time on ")
    assert result.config["factor"] == 2.0
    right = [o for o in result.outcomes if o.config["factor"] == 2.0 and o.status is Status.MEASURED]
    assert right and all(o.ms is not None and 0 < o.low <= o.ms <= o.high < 10 for o in right)
    assert all(o.status is not Status.MEASURED for o in result.outcomes if o.config["factor"] == 3.0)
    assert (doubled(a) == 2 * a).all()
    assert doubled.tune(a).as_data() == result.as_data()


@pytest.mark.gpu
def test_a_kernel_that_never_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILEDSL_CACHE_DIR", str(tmp_path))

    @tiledsl.autotune(configs={"count": [1 << 38, 4]}, ref=lambda A: {"A": A}, timeout=20.0)
    @tiledsl.kernel
    def fixed_point(A: T.Tensor((32,), T.float32), count: int):
        with T.Kernel(1, threads=32):
            for _ in T.serial(count):
                for i in T.Parallel(32):
                    A[i] = A[i] * 0.5 + 0.5

    result = fixed_point.tune(np.ones(32, np.float32))
    assert [o.status for o in result.outcomes] == [Status.SLOW, Status.MEASURED]
