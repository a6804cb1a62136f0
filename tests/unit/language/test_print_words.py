"""T.print says the same in every execution; T.device_assert stops where its condition does not hold."""

from __future__ import annotations

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.errors import TileError

EVERY = ["tile", "simt", pytest.param("cpu", marks=pytest.mark.cxx)]
M = T.dynamic("m")


@tiledsl.kernel(target="sm_80")
def talkative(A: T.Tensor((16, 8), "float32"), B: T.Tensor((M, 2), "int8"), n: T.int32):
    with T.Kernel(2, threads=32) as bx:
        s, f = T.alloc_shared((8, 8), "float32"), T.alloc_fragment((8, 8), "float16")
        T.copy(A[bx * 8, 0], s)
        T.copy(s, f)
        T.print("begin")
        T.print(bx, "block")
        T.print(n * 0.5, "half")
        T.print(f, "halves")
        T.print(f[2:4, 1:3], "corner")
        T.print(s[0:1, :])
        T.print(A[8:9, 4:8], "global")
        v = T.alloc_var("int32", 7)
        v += bx
        T.print(v, "variable")
        own = T.alloc_local((2,), "bool")
        own[0] = T.get_thread_binding() == 0
        own[1] = bx == 1
        T.print(own, "own")
        T.print(B)
        if T.get_thread_binding() > 29:
            T.print(T.get_thread_binding(), "thread")


def expected(A: np.ndarray, B: np.ndarray, n: int) -> list[str]:
    def tile(head: str, values: np.ndarray) -> list[str]:
        return [f"{head} {' '.join(map(str, i))} {values[i]:g}" for i in np.ndindex(values.shape)]

    out = []
    for bx in range(2):
        part = A[bx * 8 : bx * 8 + 8]
        out += ["begin", f"block {bx}", f"half {n / 2:g}", *tile("halves f", part)]
        out += [*tile("corner f", part[2:4, 1:3]), *tile("s", part[:1]), *tile("global A", A[8:9, 4:8])]
        out += [f"variable {7 + bx}", "own 0 1", f"own 1 {bx}", *tile("B", B)]
    return out


@pytest.mark.parametrize("backend", EVERY)
def test_the_same_text(backend: str, capsys: pytest.CaptureFixture[str]) -> None:
    A = (np.arange(128).reshape(16, 8) / 4 - 7).astype(np.float32)
    B = np.arange(6, dtype=np.int8).reshape(3, 2) - 2
    talkative(A, B, 5, backend=backend)
    lines = capsys.readouterr().out.splitlines()
    by_threads = [line for line in lines if line.startswith("thread")]  # they wait for nobody
    assert [line for line in lines if not line.startswith("thread")] == expected(A, B, 5)
    assert sorted(by_threads) == ["thread 30", "thread 30", "thread 31", "thread 31"]


def test_instructions_of_printing() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    assert "vprintf" in talkative.compile(target="sm_80").ptx


@tiledsl.kernel(target="sm_80")
def demanding(A: T.Tensor((64,), "int32"), B: T.Tensor((64,), "int32")):
    with T.Kernel(2, threads=32) as bx:
        for i in T.Parallel(32):
            T.device_assert(A[bx * 32 + i] != 45, "no 45")
            T.assume(A[bx * 32 + i] < 100)
            B[bx * 32 + i] = A[bx * 32 + i]


@pytest.mark.parametrize("backend", EVERY)
def test_assertions_and_promises(backend: str) -> None:
    A, B = np.arange(64, dtype=np.int32), np.zeros(64, np.int32)
    with pytest.raises(TileError, match="no 45") as caught:
        demanding(A, B, backend=backend)
    assert caught.value.code == "TD0809" and caught.value.span.file == __file__
    demanding(A % 40, B, backend=backend)
    np.testing.assert_array_equal(B, A % 40)
    if backend != "cpu":
        with pytest.raises(TileError, match="TD0810"):
            demanding(A % 40 + 100, B, backend=backend)


def test_instructions_of_assertions() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    ptx = demanding.compile(target="sm_80").ptx
    assert "trap" in ptx or "__assertfail" in ptx
