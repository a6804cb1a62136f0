"""Reducers and reductions over threads mean what NumPy says, in all executions, and become the code they should."""

from __future__ import annotations

import re
from math import prod
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import tiledsl
import tiledsl.language as T
from tiledsl.cpu.toolchain import find_compiler
from tiledsl.decorator import TileKernel
from tiledsl.ir.combine import COMBINE
from tiledsl.ir.tile import Reduce
from tiledsl.ir.walk import walk
from tiledsl.language.gathering import reducers
from tiledsl.testing import compare

FOLDS: dict[str, Any] = {"sum": np.add.reduce, "max": np.maximum.reduce, "min": np.minimum.reduce}
PAIRS: dict[str, Any] = {"sum": np.add, "max": np.maximum, "min": np.minimum}
BACKENDS = ("tile", "simt", *(("cpu",) if find_compiler() else ()))
Shape = tuple[int, ...]


# -------------------------------------------------------------------------------------------------------- reducers


def accumulating(extents: Shape, kept: Shape, op: str, dtype: str, turns: int, seed: int, threads: int) -> TileKernel:
    """Reduces A (turns, *extents) to the dimensions `kept` of `extents`, in their order there."""
    shape = tuple(extents[d] for d in kept) or (1,)

    @tiledsl.kernel(out_idx=-1)
    def accumulating(A: T.Tensor((turns, *extents), dtype), R: T.Tensor(shape, dtype)):  # type: ignore[valid-type]
        with T.Kernel(1, threads=threads):
            r = T.alloc_reducer(shape, dtype, op)
            T.fill(r, seed)
            for t in range(turns):
                for at in T.Parallel(*extents):
                    points = at if isinstance(at, tuple) else (at,)
                    index = tuple(points[d] for d in kept) or (0,)
                    T.reducer_update(r[index], A[(t, *points)])
            T.finalize_reducer(r, R)

    return accumulating


def reduced(A: np.ndarray[Any, Any], kept: Shape, op: str, seed: int) -> np.ndarray[Any, Any]:
    gone = (0, *(d + 1 for d in range(A.ndim - 1) if d not in kept))
    found = FOLDS[op](A, axis=gone).reshape([A.shape[d + 1] for d in kept] or [1])
    return np.asarray(PAIRS[op](found, np.asarray(seed, A.dtype)), A.dtype)


@st.composite
def reductions(draw: st.DrawFn) -> tuple[Any, ...]:
    extents = tuple(draw(st.lists(st.integers(1, 24), min_size=1, max_size=3)))
    kept = tuple(d for d in range(len(extents)) if draw(st.booleans()))
    op, dtype = draw(st.sampled_from(sorted(FOLDS))), draw(st.sampled_from(["float32", "int32"]))
    return extents, kept, op, dtype, draw(st.integers(1, 3)), draw(st.integers(-9, 9)), draw(st.sampled_from([32, 128]))


def holds(program: tuple[Any, ...], backend: str) -> None:
    extents, kept, op, dtype, turns, seed, _ = program
    A = np.random.default_rng(0).integers(-9, 9, (turns, *extents)).astype(dtype)
    compare("R", accumulating(*program)(A, backend=backend), reduced(A, kept, op, seed), 0, 0)


@settings(max_examples=12, deadline=None)
@given(reductions(), st.sampled_from(("tile", "simt")))
@example(((5, 7, 6), (1,), "sum", "float32", 2, 3, 128), "simt")
@example(((9,), (0,), "max", "int32", 3, -2, 32), "simt")
def test_a_reducer_is_a_reduction_over_loops(program: tuple[Any, ...], backend: str) -> None:
    holds(program, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_seed_takes_part_once(backend: str) -> None:
    for op in FOLDS:
        holds(((16, 33), (0,), op, "float32", 2, 4, 128), backend)


@pytest.mark.parametrize(("op", "wrong"), [("sum", 1), ("max", 1000), ("min", -1000)])
def test_a_wrong_start_of_the_parts_is_noticed(op: str, wrong: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start = reducers.identity(COMBINE["sum"], tiledsl.ir.dtypes.FLOAT32)
    monkeypatch.setattr(reducers, "identity", lambda *_: type(start)(float(wrong), start.dtype))
    with pytest.raises(AssertionError):
        holds(((16, 33), (0,), op, "float32", 2, 4, 128), "simt")


def test_parts_are_combined_once() -> None:
    """However often the loop goes round: no exchange between threads in it."""
    kernel = accumulating((32, 64), (0,), "sum", "float32", 3, 0, 128)
    lowered = kernel.compile(target="sm_80").lowered
    found = [n for n in walk(lowered.stages[0].kernel) if isinstance(n, Reduce)]
    assert len(found) == 1
    loop = lowered.cuda[lowered.cuda.index("for (tds::i32 t = 0") :]
    assert "shfl" not in loop[: loop.index("\n  }\n")] and "shfl" in loop


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_role_has_reducers(backend: str) -> None:
    @tiledsl.kernel(out_idx=-1, target="sm_90a")
    def of_a_role(A: T.Tensor((32, 64), "float32"), R: T.Tensor((32,), "float32")) -> None:
        with T.Kernel(1, threads=256):
            tile = T.alloc_shared((32, 64), "float32")
            ready = T.alloc_barrier(128)
            with T.ws(0):
                T.copy(A, tile)
                T.barrier_arrive(ready)
            with T.ws(1):
                r = T.alloc_reducer((32,), "float32")
                T.clear(r)
                T.barrier_wait(ready, 0)
                for i, j in T.Parallel(32, 64):
                    r[i] += tile[i, j]
                T.finalize_reducer(r, R)

    A = np.random.default_rng(0).integers(-9, 9, (32, 64)).astype(np.float32)
    compare("R", of_a_role(A, backend=backend), A.sum(axis=1), 0, 0)


# --------------------------------------------------------------------------------------------------------- threads


def combined(threads: Shape, axes: Shape, op: str) -> TileKernel:
    """B[x, y, z] = A of the threads that differ from (x, y, z) along `axes` only, combined."""

    @tiledsl.kernel(out_idx=-1)
    def combined(A: T.Tensor(threads, "float32"), B: T.Tensor(threads, "float32")):  # type: ignore[valid-type]
        with T.Kernel(1, threads=threads):
            this = tuple(T.get_thread_bindings())
            B[this] = T.thread_allreduce(A[this], *(this[a] for a in axes), op=op)

    return combined


@st.composite
def blocks(draw: st.DrawFn) -> tuple[Shape, Shape, str]:
    sizes = st.sampled_from([1, 2, 3, 4, 8, 16, 32, 64])
    threads = tuple(draw(st.lists(sizes, min_size=1, max_size=3).filter(lambda t: prod(t) <= 256)))
    axes = tuple(d for d in range(len(threads)) if draw(st.booleans())) or (0,)
    return threads, axes, draw(st.sampled_from(sorted(FOLDS)))


def agrees(threads: Shape, axes: Shape, op: str, backend: str) -> None:
    A = np.random.default_rng(0).integers(-9, 9, threads).astype(np.float32)
    expected = np.broadcast_to(FOLDS[op](A, axis=axes, keepdims=True), threads)
    compare("B", combined(threads, axes, op)(A, backend=backend), np.ascontiguousarray(expected), 0, 0)


@settings(max_examples=12, deadline=None)
@given(blocks(), st.sampled_from(("tile", "simt")))
@example(((2, 64), (1,), "sum"), "simt")
@example(((3, 11), (0, 1), "max"), "simt")
def test_threads_are_combined_along_dimensions(block: tuple[Shape, Shape, str], backend: str) -> None:
    agrees(*block, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("threads", [(32, 4), (2, 64), (6, 16)], ids=str)
def test_threads_are_combined_in_every_execution(threads: Shape, backend: str) -> None:
    agrees(threads, (0,), "sum", backend)
    agrees(threads, (1,), "min", backend)
    agrees(threads, (0, 1), "max", backend)


@pytest.mark.parametrize(
    ("threads", "axis", "shuffles", "shared"),
    [
        ((32, 4), 0, 5, False),
        ((8, 16), 0, 3, False),
        ((8, 16), 1, 2, True),
        ((64, 2), 1, 0, True),
        ((6, 16), 0, 0, True),
    ],
)
def test_lanes_exchange_by_shuffles(threads: Shape, axis: int, shuffles: int, shared: bool) -> None:
    cuda = combined(threads, (axis,), "sum").compile(target="sm_80").source
    body = cuda[cuda.index("TDS_KERNEL(") :]
    assert len(re.findall(r"tds::shfl_xor\(", body)) == shuffles
    assert ("__syncthreads" in body or "tds::barrier" in body) == shared


def test_the_detector_finds_nothing_in_a_loop_of_reductions() -> None:
    """What goes through shared memory is read before the next turn overwrites it."""

    @tiledsl.kernel
    def turns(A: T.Tensor((64, 4), "float32")) -> None:
        with T.Kernel(1, threads=(64, 4)):
            x, y = T.get_thread_binding(0), T.get_thread_binding(1)
            for _ in range(3):
                A[x, y] = T.thread_allreduce(A[x, y], y) * 0.5

    found = turns.check(np.ones((64, 4), np.float32), schedules=5, target="sm_80")
    found.raise_if_bad()
