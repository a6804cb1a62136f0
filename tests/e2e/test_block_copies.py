"""Tiles that blocks of a cluster send to each other: every execution computes the reference under every completion, and
each fault in the IR and in the emitted text is reported."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np
import pytest
from mutation import mutants
from switches import with_switches
from verdicts import Score, Subject, first, on_device

import tiledsl
import tiledsl.language as T
from tiledsl.codegen.cuda import emit
from tiledsl.cpu import device, tile_interp
from tiledsl.cpu.turns import ORDERS
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.pipeline import pipeline
from tiledsl.target import target_named
from tiledsl.testing import Case

TARGET = "sm_90a"
STEPS, M, N = 3, 16, 64


def rings(blocks: int) -> Any:
    """Each block sums up what the others have: its sums go round, and are added to in each step."""

    @tiledsl.kernel
    def ring(A: T.Tensor((2 * blocks, M, N), "float32"), B: T.Tensor((2 * blocks, M, N), "float32")):
        with T.ClusterKernel(2 * blocks, cluster_dims=blocks, threads=128) as b:
            S = T.alloc_shared((2, M, N), "float32")
            R = T.alloc_shared((M, N), "float32")
            sums = T.alloc_fragment((M, N), "float32")
            bar = T.alloc_barrier(1)
            rank = T.block_rank_in_cluster()
            T.copy(A[b, 0, 0], sums)
            for k in T.serial(STEPS):
                T.copy(sums, S[k % 2, :, :])
                T.cluster_sync()  # nobody reads R any more, and all have what was in S two steps ago
                T.mbarrier_arrive_expect_tx(bar, M * N * 4)
                T.copy_cluster(S[k % 2, :, :], R, dst_block=(rank + 1) % blocks, remote_barrier=bar)
                T.barrier_wait(bar, k % 2)
                for i, j in T.Parallel(M, N):
                    sums[i, j] = 2.0 * sums[i, j] + R[i, j]
            T.copy(sums, B[b, 0, 0])

    return ring


def exchanges(blocks: int) -> Any:
    """The same by the word that waits, to a block that is known at run time, with rows of a larger tile."""

    @tiledsl.kernel
    def exchange(A: T.Tensor((2 * blocks, M, N), "float32"), B: T.Tensor((2 * blocks, M, N), "float32"), to: T.int32):
        with T.ClusterKernel(2 * blocks, cluster_dims=blocks, threads=128) as b:
            S = T.alloc_shared((M, N), "float32")
            R = T.alloc_shared((M, 2 * N), "float32")
            sums = T.alloc_fragment((M, N), "float32")
            T.copy(A[b, 0, 0], sums)
            for _ in T.serial(STEPS):
                T.copy(sums, S)
                T.copy_cluster(S, R[0, N], dst_block=(T.block_rank_in_cluster() + to) % blocks)
                for i, j in T.Parallel(M, N):
                    sums[i, j] = 2.0 * sums[i, j] + R[i, N + j]
            T.copy(sums, B[b, 0, 0])

    return exchange


def summed(blocks: int) -> Callable[..., dict[str, Any]]:
    def reference(A: Any, B: Any, to: int = 1) -> dict[str, Any]:
        sums = A.reshape(2, blocks, M, N)
        for _ in range(STEPS):
            sums = 2 * sums + np.roll(sums, to, axis=1)
        return {"B": sums.reshape(A.shape)}

    return reference


def _case(name: str, kernel: Any, blocks: int, **more: Any) -> Case:
    return Case(
        name, kernel, lambda draw: {n: draw(2 * blocks, M, N, dtype="float32") for n in "AB"} | more, summed(blocks)
    )


CASES = {
    c.name: c
    for c in (
        _case("ring-of-2", rings(2), 2),
        _case("ring-of-4", rings(4), 4),
        _case("exchange-of-2", exchanges(2), 2, to=1),
        _case("exchange-of-4", exchanges(4), 4, to=3),
    )
}
FAULTY = ("ring-of-4", "exchange-of-2")


@cache
def subject(name: str) -> Subject:
    return Subject(CASES[name], TARGET)


@pytest.mark.parametrize("name", CASES)
def test_every_stage_computes_the_reference(name: str) -> None:
    one = subject(name)
    traced = one.lowered.stages[0].kernel
    run_pipeline(parse(text(traced)), pipeline(target_named(TARGET)), check=True)
    for mode, roles in product(("early", "late"), ORDERS):
        execute = partial(tile_interp.run, traced, mode=mode, roles=roles)
        assert one.verdict(lambda _, given, execute=execute: execute(given)) == ""
    assert [one.simt(one.lowered.final, roles) for roles in ORDERS] == [""] * len(ORDERS)


@pytest.mark.cxx
@pytest.mark.parametrize("name", CASES)
def test_the_text_computes_the_reference_whenever_tiles_arrive(name: str) -> None:
    one = subject(name)
    assert "tds::bulk_copy_cluster(tds::cluster_map(" in one.lowered.source.text
    assert on_device([one], one.lowered.source) == ""


@pytest.mark.cxx
@pytest.mark.parametrize("name", FAULTY)
def test_every_fault_in_the_text_is_caught(name: str) -> None:
    one = subject(name)
    switched, faults = with_switches(one.lowered.source.text)
    assert {f.kind for f in faults} >= {
        "bulk_copy_cluster",
        "fence_proxy_async",
        "cluster_sync",
        "mbarrier_wait_cluster",
    }
    source = replace(one.lowered.source, text=switched)
    module = device.compile_source(switched, [e.name for e in source.entries], checked=True)
    switch = ctypes.c_int.in_dll(module.library, "tds_fault")
    score = Score(f"{name}-{TARGET}")
    assert on_device([one], source) == ""
    for fault in faults:
        switch.value = fault.number
        score.add(fault.kind, str(fault), fault.line, on_device([one], source))
    score.finish()


@pytest.mark.cxx
@pytest.mark.parametrize("name", FAULTY)
def test_every_mutant_is_caught(name: str) -> None:
    one = subject(name)
    score = Score(f"{name}-{TARGET}")
    assert one.simt(one.lowered.final) == ""
    for mutant in mutants(one.lowered.final):
        by = first(one.simt(mutant.kernel, roles) for roles in ORDERS if mutant.kind != "Fence")
        score.add(mutant.kind, mutant.what, mutant.line, by or on_device([one], emit(mutant.kernel)))
    score.finish()
