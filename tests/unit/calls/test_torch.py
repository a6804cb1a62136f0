"""torch tensors on the CPU as arguments. torch is never required: without it these tests are skipped."""

from __future__ import annotations

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl import TileError

torch = pytest.importorskip("torch", reason="torch is not installed")
N = 48
BACKENDS = ["tile", "simt", pytest.param("cpu", marks=pytest.mark.cxx)]


def scaling(dtype: str) -> tiledsl.TileKernel:
    @tiledsl.kernel(out_idx=-1)
    def scale(A: T.Tensor((T.dynamic("m"), 16), dtype), s: T.float32, B: T.Tensor((T.dynamic("m"), 16), dtype)):
        with T.Kernel(T.ceildiv(T.dynamic("m"), 8), threads=32) as b:
            for i, j in T.Parallel(8, 16):
                B[b * 8 + i, j] = A[b * 8 + i, j] * s

    return scale


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
def test_results_are_torch_tensors(dtype: str, backend: str) -> None:
    a = torch.arange(13 * 16, dtype=getattr(torch, dtype)).reshape(13, 16)
    b = scaling(dtype)(a, 0.5, backend=backend)
    assert isinstance(b, torch.Tensor) and b.dtype == a.dtype and b.shape == a.shape
    assert torch.equal(b, a * 0.5)
    mine = torch.empty_like(a)
    assert scaling(dtype)(a, 0.5, mine, backend=backend) is None and torch.equal(mine, b)


def test_torch_and_numpy_in_one_call() -> None:
    a, b = torch.ones(8, 16), np.zeros((8, 16), np.float32)
    scaling("float32")(a, 2.0, b, backend="tile")
    assert b.tolist() == [[2.0] * 16] * 8


def test_sizes_of_constant_style() -> None:
    @tiledsl.kernel(backend="tile")
    def double(A):
        M = T.const("M")
        A: T.Tensor((M,), T.int8)
        B = T.empty((M,), T.int8)
        with T.Kernel(1, threads=32):
            for i in T.Parallel(M):
                B[i] = A[i] + A[i]
        return B

    assert torch.equal(double(torch.arange(N, dtype=torch.int8)), 2 * torch.arange(N, dtype=torch.int8))


def test_mistakes() -> None:
    kernel = scaling("float32")
    for wrong, code in (
        (torch.ones(8, 16, dtype=torch.float16), "TD0607: 'A' must have dtype float32, but has float16"),
        (torch.ones(8), "TD0608: 'A' must have rank 2"),
        (torch.ones(16, 8).T, "TD0613: axis 0 of 'A' must have stride 16"),
        (torch.ones(8, 17)[:, :16], "TD0613: axis 0 of 'A'"),
        (torch.ones(8, 16, device="meta"), "TD0629: 'A' is on meta"),
        (torch.ones(8, 16).to_sparse(), "TD0606: 'A' .*\n.*dense"),
    ):
        with pytest.raises(TileError, match=code):
            kernel(wrong, 1.0, backend="tile")
