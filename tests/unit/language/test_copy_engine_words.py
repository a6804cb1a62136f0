"""T.create_tma_descriptor, T.tma_load, T.copy_cluster: what they build and refuse, and faults that show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import word_engine

import tiledsl.language as T
from tiledsl.cpu import interp
from tiledsl.errors import TileError
from tiledsl.frontend.trace import trace_kernel
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import same
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.pipeline import pipeline
from tiledsl.target import target_named


def traced(body: Callable[..., Any], **how: Any) -> Kernel:
    n = T.dynamic("n")

    def kernel(A: T.Tensor((96, 64), "float16"), D: T.Tensor((n, 3, 64), "float32")) -> None:
        with T.Kernel(4, **how):
            S = T.alloc_shared((32, 64), "float16")
            F = T.alloc_shared((8, 32), "float32")
            bar = T.alloc_barrier(1)
            T.macro(body)(A, D, S, F, bar)

    made = trace_kernel(kernel, {}, {})
    verify(made)
    assert same(parse(text(made)), made)
    return made


def lines(body: Callable[..., Any], **how: Any) -> list[str]:
    return [line.strip() for line in text(traced(body, **how)).splitlines()]


def test_a_load_is_a_box() -> None:
    def body(A: Any, D: Any, S: Any, F: Any, bar: Any) -> None:
        d = T.create_tma_descriptor(A, box=(16, 32), swizzle=64)
        T.tma_load(d, bar, S[8, 32], 4, 80)
        n = D.shape[0]
        e = T.create_tma_descriptor(7, 3, D.data, 64, 3, n, 4, 256, 768, 32, 1, 8, 1, 1, 1, 0, 0, 0, 0)
        T.tma_load(e, bar, F, 32, 2, n - 4, 1)

    found = lines(body)
    assert "bulk copy A[80 : 16, 4 : 32] -> S[8 : 16, 32 : 32] on bar[0]" in found
    assert "bulk copy D[n - 4 : 8, 2, 32 : 32] -> F on bar[0]" in found
    assert not any("expect" in line for line in found)
    assert "layout S = shared[32, 64] dims([32:32], [2:1024, 32:1]) size(2048) swizzle(2, 3, 3)" in found
    assert "layout F = shared[8, 32] dims([8:32], [32:1]) size(256)" in found


def test_a_copy_to_blocks_is_a_load_of_the_first() -> None:
    def body(A: Any, D: Any, S: Any, F: Any, bar: Any) -> None:
        for k in T.serial(2):
            T.copy_cluster(A[k * 32, 0], S, cluster_mask=0b1010)
        T.copy_cluster(A[64, 0], S)

    found = lines(body, cluster_dims=4)
    start = found.index("cluster_barrier")
    assert found[start - 1 : start + 10] == [
        "for k in 2 {",
        "cluster_barrier",
        "arrive(bytes=4096, by=one) arrived[0]",
        "let rank = bx % 4",
        "if rank == 1 {",
        "bulk copy(ranks=10) A[k * 32 : 32, 0 : 64] -> S on arrived[0]",
        "} else if (10 >> rank) % 2 == 0 {",
        "bulk copy A[k * 32 : 32, 0 : 64] -> S on arrived[0]",
        "}",
        "await arrived[0], cast<index>(phase)",
        "phase = 1 - phase",
    ]
    head = found.index("launch kernel(bx in 4) threads(thread in 128) cluster(4) {")
    assert found[head + 1 : head + 3] == ["alloc arrived: barrier uint64[1] = 1", "alloc phase: var int32 = 0"]
    assert found[start + 11] == "copy A[64 : 32, 0 : 64] -> S"


def test_a_tile_goes_to_one_block() -> None:
    def body(A: Any, D: Any, S: Any, F: Any, bar: Any) -> None:
        T.copy_cluster(S[0:16, :], S[16, 0], dst_block=D.shape[0] % 4, remote_barrier=bar)
        T.copy_cluster(S, S, dst_block=2)

    found = lines(body, cluster_dims=4)
    assert "bulk copy S[0 : 16, 0 : 64] -> S[16 : 16, 0 : 64] at n % 4 on bar[0]" in found
    start = found.index("cluster_barrier")
    assert found[start : start + 9] == [
        "cluster_barrier",
        "arrive(by=one, ranks=1) arrived[0]",
        "arrive(by=one, ranks=2) arrived[0]",
        "arrive(bytes=4096, by=one, ranks=4) arrived[0]",
        "arrive(by=one, ranks=8) arrived[0]",
        "bulk copy S -> S at 2 on arrived[0]",
        "await arrived[0], cast<index>(phase)",
        "phase = 1 - phase",
        "cluster_barrier",
    ]
    assert "alloc arrived: barrier uint64[1] = 4" in found


NUMBERS = (6, 2, "A", 64, 96, 2, 128, 64, 32, 1, 1, 0, 0, 0, 0)


def numbers(at: int, value: Any) -> Callable[..., object]:
    """The map of A with another number at a place."""

    def make(A: Any, D: Any, S: Any, F: Any, bar: Any) -> object:
        return T.create_tma_descriptor(*(A.data if n == "A" else n for n in (*NUMBERS[:at], value, *NUMBERS[at + 1 :])))

    return make


def load(*args: Any, **how: Any) -> Callable[..., object]:
    def make(A: Any, D: Any, S: Any, F: Any, bar: Any) -> object:
        known = {"A": A, "S": S, "F": F, "bar": bar}
        return T.tma_load(T.create_tma_descriptor(A, **how), *(known.get(x, x) for x in args))

    return make


WRONG: dict[str, tuple[Callable[..., object], str, str]] = {
    "another type": (numbers(0, 7), "TD0226", "allowed: 6"),
    "another rank": (numbers(1, 3), "TD0226", "allowed: 2"),
    "a shared tensor": (lambda A, D, S, F, bar: T.create_tma_descriptor(S, box=(8, 8)), "TD0226", "global memory"),
    "another size": (numbers(4, 95), "TD0226", "the size of dimension 0"),
    "another stride": (numbers(6, 64), "TD0226", "the stride of dimension 0"),
    "every other element": (numbers(9, 2), "TD0226", "the element stride of dimension 1"),
    "interleaved": (numbers(11, 1), "TD0226", "interleave"),
    "an unknown swizzle": (numbers(12, 4), "TD0226", "0 to 3"),
    "NaN outside": (numbers(14, 1), "TD0226", "fill"),
    "too few numbers": (lambda A, D, S, F, bar: T.create_tma_descriptor(6, 2, A.data, 64), "TD0226", "15"),
    "a size that is another one of the call": (
        lambda A, D, S, F, bar: T.create_tma_descriptor(
            7, 3, D.data, 64, 3, D.shape[0] + 1, 4, 256, 768, 32, 1, 8, 1, 1, 1, 0, 0, 0, 0
        ),
        "TD0226", "the size of dimension 0",
    ),
    "no box": (lambda A, D, S, F, bar: T.create_tma_descriptor(A), "TD0226", "2 ints from 1 to 256"),
    "a box of another rank": (lambda A, D, S, F, bar: T.create_tma_descriptor(A, box=(8,)), "TD0226", "2 ints"),
    "a long box": (lambda A, D, S, F, bar: T.create_tma_descriptor(A, box=(257, 8)), "TD0226", "1 to 256"),
    "48 bytes": (lambda A, D, S, F, bar: T.create_tma_descriptor(A, box=(8, 8), swizzle=48), "TD0226", "128 bytes"),
    "no descriptor": (lambda A, D, S, F, bar: T.tma_load(A, bar, S, 0, 0), "TD0226", "T.create_tma_descriptor makes"),
    "one coordinate": (load("bar", "S", 0, box=(32, 64)), "TD0226", "innermost dimension first"),
    "no barrier": (load("S", "S", 0, 0, box=(32, 64)), "TD0250", ""),
    "another dtype": (load("bar", "F", 0, 0, box=(8, 32)), "TD0254", "equal dtypes"),
    "to global memory": (load("bar", "A", 0, 0, box=(8, 32)), "TD0254", "from global to shared"),
    "a box beyond the tile": (load("bar", "S", 0, 0, box=(64, 64)), "TD0247", ""),
    "rows that are no swizzle": (load("bar", "S", 0, 0, box=(32, 64), swizzle=64), "TD0226", "rows of 64 bytes"),
    "panels without a swizzle": (load("bar", "S", 0, 0, box=(32, 32), swizzle=0), "TD0226", "as wide as the box"),
    "to a block below 0": (lambda A, D, S, F, bar: T.copy_cluster(S, S, dst_block=-1), "TD0226", "0 to 3"),
    "to half a block": (lambda A, D, S, F, bar: T.copy_cluster(S, S, dst_block=0.5), "TD0209", ""),
    "a barrier without its block": (
        lambda A, D, S, F, bar: T.copy_cluster(S, S, remote_barrier=bar), "TD0226", "the rank of the block",
    ),
    "a tile as barrier": (
        lambda A, D, S, F, bar: T.copy_cluster(S, S, dst_block=1, remote_barrier=S), "TD0250", "T.alloc_barrier",
    ),
    "to one block and several": (
        lambda A, D, S, F, bar: T.copy_cluster(S, S, dst_block=1, cluster_mask=3), "TD0226", "the one block",
    ),
    "to a block by width": (
        lambda A, D, S, F, bar: T.copy_cluster(S, S, dst_block=1, coalesced_width=8), "TD0103", "leave the option away",
    ),
    "to a block of another dtype": (
        lambda A, D, S, F, bar: T.copy_cluster(S[0:8, 0:32], F, dst_block=1), "TD0254", "equal dtypes",
    ),
    "to a larger tile": (lambda A, D, S, F, bar: T.copy_cluster(S[0:8, :], S, dst_block=1), "TD0213", "equal extents"),
    "a block that there is not": (lambda A, D, S, F, bar: T.copy_cluster(A[0, 0], S, cluster_mask=16), "TD0226", "15"),
    "from shared memory": (lambda A, D, S, F, bar: T.copy_cluster(S, S, cluster_mask=3), "TD0254", "from global"),
}  # fmt: skip


@pytest.mark.parametrize(("call", "code", "said"), WRONG.values(), ids=WRONG)
def test_misuse_is_located(call: Callable[..., object], code: str, said: str) -> None:
    def body(*args: Any) -> None:
        call(*args)

    with pytest.raises(TileError) as caught:
        traced(body, cluster_dims=4)
    assert caught.value.code == code and said in f"{caught.value.message} {caught.value.hint}"
    assert caught.value.span.file == __file__


def in_parallel(A: Any, D: Any, S: Any, F: Any, bar: Any) -> None:
    for _ in T.Parallel(4):
        T.copy_cluster(A[0, 0], S, cluster_mask=3)


def in_a_role(A: Any, D: Any, S: Any, F: Any, bar: Any) -> None:
    with T.ws(0):
        T.copy_cluster(A[0, 0], S, cluster_mask=3)


def sent_in_a_role(A: Any, D: Any, S: Any, F: Any, bar: Any) -> None:
    with T.ws(0):
        T.copy_cluster(S, S, dst_block=1)


def sent_in_parallel(A: Any, D: Any, S: Any, F: Any, bar: Any) -> None:
    for i in T.Parallel(4):
        T.copy_cluster(S, S, dst_block=i, remote_barrier=bar)


def sent_at_once_in_parallel(A: Any, D: Any, S: Any, F: Any, bar: Any) -> None:
    for i in T.Parallel(4):
        T.copy_cluster(S, S, dst_block=i)


def twice(A: Any, D: Any, S: Any, F: Any, bar: Any) -> None:
    T.tma_load(T.create_tma_descriptor(A, box=(32, 64), swizzle=128), bar, S, 0, 0)
    T.tma_load(T.create_tma_descriptor(A, box=(32, 32), swizzle=64), bar, S, 0, 0)


PLACES = [
    (in_parallel, "TD0129"),
    (in_a_role, "TD0103"),
    (sent_in_parallel, "TD0129"),
    (sent_at_once_in_parallel, "TD0129"),
    (sent_in_a_role, "TD0103"),
    (twice, "TD0307"),
]


@pytest.mark.parametrize(("body", "code"), PLACES)
def test_places_where_it_does_not_stand(body: Callable[..., None], code: str) -> None:
    with pytest.raises(TileError) as caught:
        traced(body, cluster_dims=4)
    assert caught.value.code == code


# What is changed of the copies that `cluster_copies` makes in a loop.
FAULTS = {
    "nobody else loads": ("bulk copy(ranks=6)", "bulk copy"),
    "nobody waits": ("await arrived_1[0], cast<index>(phase_1)", ""),
    "always the first phase": ("phase_1 = 1 - phase_1", ""),
    "only the first block loads": ("(6 >> rank) % 2 == 0", "rank > 3"),
    "half of the bytes": ("arrive(bytes=4096", "arrive(bytes=2048"),
    "blocks do not meet": ("cluster_barrier\n      arrive", "arrive"),
}


@pytest.mark.parametrize("fault", ["", *FAULTS])
def test_each_part_is_needed(fault: str) -> None:
    case = word_engine.CASES["cluster_copies"]
    kernel = case.kernel.compile(target="sm_90a").lowered.stages[0].kernel
    shown = text(kernel)
    if fault:
        assert FAULTS[fault][0] in shown
        shown = shown.replace(*FAULTS[fault])
    inputs = case.inputs(np.random.default_rng(0))
    expected = case.reference(**inputs)

    def wrong(mode: Any, roles: Any) -> bool:
        made = run_pipeline(parse(shown), pipeline(target_named("sm_90a")))
        found = {n: v.copy() for n, v in inputs.items()}
        try:
            interp.run(made, found, mode=mode, roles=roles)
        except TileError:
            return True
        return any((found[n] != v).any() for n, v in expected.items())

    seen = [wrong(mode, roles) for mode in ("early", "late") for roles in ("first", "last")]
    assert any(seen) == bool(fault)
