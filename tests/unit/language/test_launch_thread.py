"""Launches by axes: what they become, and what cannot be one."""

from __future__ import annotations

from typing import Any

import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Const


def test_axes_without_a_number_have_one() -> None:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((8,), "int32")):
        with T.launch_thread("blockIdx.z", 5) as z:
            A[z] = 1
        with T.launch_thread("threadIdx.z", 3):
            A[T.get_thread_binding(2)] = T.get_thread_extent(2)

    first, second = kernel.trace().launches
    assert [int(e.value) for e in first.grid if isinstance(e, Const)] == [1, 1, 5] and first.threads == (1,)
    assert second.threads == (1, 1, 3) and len(second.grid) == 1


@pytest.mark.parametrize(
    ("use", "code"),
    [
        (lambda A: T.launch_thread("blockIdx.w", 3), "TD0226"),
        (lambda A: T.launch_thread("threadIdx.x", 2048), "TD0224"),
        (lambda A: [T.launch_thread("threadIdx.x", 64), T.launch_thread("threadIdx.x", 64)], "TD0226"),
        (lambda A: [T.launch_thread("threadIdx.x", 64), T.launch_thread("threadIdx.y", 64)], "TD0224"),
        (lambda A: T.launch_thread("threadIdx.x", A[0]), "TD0221"),
        (lambda A: T.launch_thread("blockIdx.x", 0), "TD0224"),
        (lambda A: [T.launch_thread("threadIdx.x", 64), T.clear(A), T.launch_thread("blockIdx.x", 2)], "TD0152"),
    ],
)  # fmt: skip
def test_wrong_axes(use: Any, code: str) -> None:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((8,), "int32")):
        use(A)
        T.clear(A)

    with pytest.raises(TileError) as caught:
        kernel.compile()
    assert caught.value.code == code and caught.value.span.file == __file__


def test_it_is_no_part_of_another_launch() -> None:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((8,), "int32")):
        with T.Kernel(1, threads=32):
            T.launch_thread("threadIdx.x", 32)

    with pytest.raises(TileError) as caught:
        kernel.compile()
    assert caught.value.code == "TD0120"
