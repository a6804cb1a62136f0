"""T.sync_grid: what becomes two launches, and what would have to last from one to the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Alloc
from tiledsl.ir.walk import statements


def made(first: Any, second: Any) -> Any:
    """A kernel with a barrier of its grid between two parts; what the first returns the second is given."""

    @tiledsl.kernel(target="sm_90a")
    def kernel(A: T.Tensor((8, 64), "float32"), B: T.Tensor((8, 64), "float32")):
        with T.Kernel(8, threads=64) as b:
            kept = first(A, B, b)
            T.sync_grid()
            second(A, B, b, kept)

    return kernel


def store(A: Any, B: Any, b: Any) -> None:
    B[b, T.get_thread_binding()] = A[b, T.get_thread_binding()]


def load_of_another(A: Any, B: Any, b: Any, kept: Any) -> None:
    A[b, T.get_thread_binding()] = B[(b + 1) % 8, T.get_thread_binding()]


@pytest.mark.parametrize("backend", ["tile", "simt", "cpu"])
def test_blocks_see_what_all_others_wrote(backend: str) -> None:
    a = np.arange(512, dtype=np.float32).reshape(8, 64)
    given = a.copy()
    kernel = made(store, load_of_another)
    assert len(kernel.trace().launches) == 2
    kernel(given, np.zeros_like(a), backend=backend)
    assert np.array_equal(given, np.roll(a, -1, 0))


def test_memory_is_that_of_the_part_that_uses_it() -> None:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((8, 64), "float32"), B: T.Tensor((8, 64), "float32")):
        with T.Kernel(8, threads=64) as b:
            S, R = T.alloc_shared((64,), "float32"), T.alloc_shared((64,), "float32")
            T.annotate_layout({R: T.Layout((64,), lambda i: i % 2 * 32 + i // 2)})
            T.copy(A[b, 0:64], S)
            T.copy(S, B[b, 0:64])
            T.sync_grid()
            T.copy(B[b, 0:64], R)
            T.copy(R, A[7 - b, 0:64])
            T.sync_grid()

    first, second = kernel.trace().launches
    assert [[s.buffer.name for s in statements(x) if isinstance(s, Alloc)] for x in (first, second)] == [["S"], ["R"]]
    assert [len(x.layouts) for x in (first, second)] == [0, 1]
    a = np.arange(512, dtype=np.float32).reshape(8, 64)
    given = a.copy()
    kernel(given, np.zeros_like(a), backend="simt")
    assert np.array_equal(given, a[::-1])


def shared(A: Any, B: Any, b: Any) -> Any:
    S = T.alloc_shared((64,), "float32")
    T.copy(A[b, 0:64], S)
    return S


@T.macro
def read(A: Any, B: Any, b: Any) -> Any:
    x = A[b, 0] + 1
    return x


@pytest.mark.parametrize("first", [shared, read], ids=["shared", "read"])
def test_what_would_have_to_last(first: Any) -> None:
    def second(A: Any, B: Any, b: Any, kept: Any) -> None:
        B[b, 0] = kept[0] if first is shared else kept

    with pytest.raises(TileError) as caught:
        made(first, second).compile()
    assert caught.value.code == "TD0153" and caught.value.span.file == __file__


def test_a_variable_that_is_set_does_not_last() -> None:
    @tiledsl.kernel(target="sm_90a")
    def kernel(A: T.Tensor((8,), "int32")):
        with T.Kernel(8, threads=32) as b:
            v = T.alloc_var("int32", init=0)
            v = b + 1
            T.sync_grid()
            A[b] = v

    with pytest.raises(TileError, match="'v'") as caught:
        kernel.compile()
    assert caught.value.code == "TD0153"


@pytest.mark.parametrize("where", ["loop", "branch", "role"])
def test_it_stands_in_no_loop_branch_or_role(where: str) -> None:
    @tiledsl.kernel(target="sm_90a")
    def kernel(A: T.Tensor((8,), "int32"), n: T.int32):
        with T.Kernel(8, threads=256) as b:
            if where == "loop":
                for _ in range(n):
                    T.sync_grid()
            elif where == "branch":
                if b < n:
                    T.sync_grid()
            else:
                with T.ws(0):
                    T.sync_grid()
            A[b] = 1

    with pytest.raises(TileError) as caught:
        kernel.compile()
    assert caught.value.code == "TD0154" and caught.value.span.file == __file__


def test_launches_with_roles_are_refused() -> None:
    @tiledsl.kernel(target="sm_90a")
    def kernel(A: T.Tensor((8,), "int32")):
        with T.Kernel(8, threads=256) as b:
            with T.ws(0):
                A[b] = 1
            T.sync_grid()
            A[b] = 2

    with pytest.raises(TileError) as caught:
        kernel.compile()
    assert caught.value.code == "TD0103"
