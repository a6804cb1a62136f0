"""Barriers of threads that are said by hand: what happens where one of them is wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.checking import check
from tiledsl.errors import TileError
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.walk import statements

A = np.arange(256, dtype=np.int32).reshape(2, 128)


def handing_over(*, given: bool = True, waits: bool = True, branches: bool = False, arrive: int = 256) -> Any:
    """Two groups of threads that hand a tile to each other by named barriers; `given`: it may be overwritten again."""

    @tiledsl.kernel(target="sm_90a")
    def kernel(A: T.Tensor((2, 128), "int32"), B: T.Tensor((2, 128), "int32")):
        with T.Kernel(1, threads=256):
            S = T.alloc_shared((128,), "int32")
            t = T.get_thread_binding()
            if branches:
                if t < 128:
                    for k in range(2):
                        if k > 0:
                            T.sync_threads(2, 256)
                        S[t] = A[k, t]
                        T.named_barrier_arrive(1, 256)
                else:
                    for k in range(2):
                        T.sync_threads(1, 256)
                        B[k, t - 128] = S[(t - 128) ^ 1]
                        if k < 1:
                            T.named_barrier_arrive(2, 256)
            else:
                with T.ws(0):
                    for k in range(2):
                        if k > 0:
                            T.sync_threads(2, 256) if waits else T.named_barrier_arrive(2, 256)
                        for i in T.Parallel(128):
                            S[i] = A[k, i]
                        T.named_barrier_arrive(1, arrive)
                with T.ws(1):
                    for k in range(2):
                        T.sync_threads(1, 256)
                        for i in T.Parallel(128):
                            B[k, i] = S[i ^ 1]
                        if given and k < 1:
                            T.named_barrier_arrive(2, 256)

    return kernel.compile()


def codes(compiled: Any) -> set[str]:
    result = check(compiled, (A, np.zeros_like(A)), {}, schedules=4)
    return {f.code for f in result.findings}


@pytest.mark.parametrize("backend", ["tile", "simt"])
@pytest.mark.parametrize("branches", [False, True])
def test_branches_on_the_thread_are_roles(branches: bool, backend: str) -> None:
    compiled = handing_over(branches=branches)
    assert any(isinstance(s, Roles) for s in statements(compiled.lowered.stages[0].kernel))
    b = np.zeros_like(A)
    compiled(A, b, backend=backend)
    assert np.array_equal(b, A.reshape(2, 64, 2)[:, :, ::-1].reshape(2, 128))


@pytest.mark.cxx
@pytest.mark.parametrize(
    ("how", "found"),
    [
        ({}, set()), ({"branches": True}, set()), ({"waits": False}, {"TD0835"}), ({"given": False}, {"TD0830"}),
        ({"arrive": 128}, {"TD0831"}),
    ],
    ids=str,
)  # fmt: skip
def test_those_who_arrive_do_not_wait(how: dict[str, Any], found: set[str]) -> None:
    assert codes(handing_over(**how)) & {"TD0804", "TD0830", "TD0831", "TD0835", "TD0836"} >= found
    assert bool(found) == bool(codes(handing_over(**how)))


def exchanging(sync: bool) -> Any:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((64,), "int32"), B: T.Tensor((64,), "int32"), C: T.Tensor((64,), "int32")):
        with T.Kernel(1, threads=64):
            t = T.get_thread_binding()
            B[t] = A[t]
            if sync:
                T.sync_warp()
            C[t] = B[t ^ 31]

    return kernel.compile()


@pytest.mark.cxx
@pytest.mark.parametrize("sync", [True, False])
def test_a_warp_that_has_met_does_not_race(sync: bool) -> None:
    a = A.reshape(-1)[:64]
    result = check(exchanging(sync), (a, a.copy(), a.copy()), {}, schedules=4)
    assert {f.code for f in result.findings} == (set() if sync else {"TD0804"})


@pytest.mark.cxx
@pytest.mark.parametrize("backend", ["tile", "simt", "cpu"])
@pytest.mark.parametrize("mask", [0xFF, 0xFFFF00FF, 0x1FFFF])
def test_a_mask_names_the_lanes_that_are_there(mask: int, backend: str) -> None:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((64,), "int32")):
        with T.Kernel(1, threads=64):
            if T.get_lane_idx() < 16:
                T.sync_warp(mask)
                A[T.get_thread_binding()] = 1

    with pytest.raises(TileError) as caught:
        kernel(np.zeros(64, np.int32), backend=backend)
    assert caught.value.code in ("TD0811", "TD0830")  # lanes that never come are waited for


@pytest.mark.parametrize(
    ("word", "args", "code"),
    [
        ("sync_warp", (0,), "TD0226"), ("sync_warp", (1 << 32,), "TD0226"), ("sync_warp", (1.0,), "TD0226"),
        ("named_barrier_arrive", (0, 256), "TD0226"), ("named_barrier_arrive", (16, 256), "TD0226"),
        ("named_barrier_arrive", (1, 100), "TD0226"), ("named_barrier_arrive", (1, 0), "TD0226"),
    ],
)  # fmt: skip
def test_wrong_arguments(word: str, args: tuple[Any, ...], code: str) -> None:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((64,), "int32")):
        with T.Kernel(1, threads=64):
            getattr(T, word)(*args)

    with pytest.raises(TileError) as caught:
        kernel.compile()
    assert caught.value.code == code


@pytest.mark.parametrize("word", ["sync_warp", "named_barrier_arrive"])
def test_points_of_a_parallel_loop_are_no_threads(word: str) -> None:
    @tiledsl.kernel(target="sm_80")
    def kernel(A: T.Tensor((64,), "int32")):
        with T.Kernel(1, threads=64):
            for i in T.Parallel(64):
                T.sync_warp() if word == "sync_warp" else T.named_barrier_arrive(1, 64)
                A[i] = 0

    with pytest.raises(TileError) as caught:
        kernel.compile()
    assert caught.value.code == "TD0129"
