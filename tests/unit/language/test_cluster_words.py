"""What the words of clusters build, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.frontend.trace import trace_kernel
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import same

A_ = T.Tensor((64, 64), "float16")


def traced(body: Callable[..., Any], grid: tuple[Any, ...] = (4, 6), **how: Any) -> Kernel:
    def kernel(A: A_, n: T.int32) -> None:
        with T.Kernel(*(n if g == "n" else g for g in grid), **how):
            S = T.alloc_shared((64, 64), "float16")
            bar = T.alloc_barrier(2)
            T.macro(body)(A, S, bar)

    made = trace_kernel(kernel, {}, {})
    verify(made)
    assert same(parse(text(made)), made)
    return made


def nothing(A: Any, S: Any, bar: Any) -> None:
    pass


def everything(A: Any, S: Any, bar: Any) -> None:
    T.cluster_sync()
    T.cluster_arrive()
    T.cluster_wait()
    T.cluster_arrive_relaxed()
    T.mbarrier_expect_tx(bar, 8192)
    T.tma_copy(A[0, 0], S[0:32, :], barrier=bar, cluster_mask=5)
    T.barrier_arrive(bar, cluster_mask=7)
    T.mbarrier_arrive(bar, cta_id=3)
    A[0, 0] = T.cast(T.block_rank_in_cluster(), "float16")


def test_words_build() -> None:
    lines = [line.strip() for line in text(traced(everything, cluster_dims=(2, 2))).splitlines()]
    assert "launch kernel(bx in 4, by in 6) threads(thread in 128) cluster(2, 2) {" in lines
    start = lines.index("cluster_barrier")
    assert lines[start : start + 9] == [
        "cluster_barrier",
        "cluster_barrier(part=arrive)",
        "cluster_barrier(part=wait)",
        "cluster_barrier(part=arrive_relaxed)",
        "expect bar[0], 8192",
        "bulk copy(ranks=5) A[0 : 32, 0 : 64] -> S[0 : 32, 0 : 64] on bar[0]",
        "arrive(ranks=7) bar[0]",
        "arrive(ranks=8) bar[0]",
        "A[0, 0] = cast<float16>(bx % 2 + by % 2 * 2)",
    ]


def test_a_copy_to_other_blocks_expects_nothing() -> None:
    """How many bytes come to a block depends on what all of them copy."""

    def body(A: Any, S: Any, bar: Any) -> None:
        T.tma_copy(A, S, barrier=bar, cluster_mask=3)

    made = text(traced(body, cluster_dims=2))
    assert "expect" not in made and "ranks=3" in made


@pytest.mark.parametrize(
    ("dims", "cluster"),
    [(None, ()), (1, ()), ((1, 1), ()), (2, (2, 1)), ([4], (4, 1)), ((1, 3), (1, 3)), ((2, 1, 1), (2, 1)), (4, (4, 1))],
)
def test_cluster_dims(dims: Any, cluster: tuple[int, ...]) -> None:
    assert traced(nothing, cluster_dims=dims).launches[0].cluster == cluster
    if dims is not None:

        def kernel() -> None:
            with T.ClusterKernel(4, 6, cluster_dims=dims, threads=64):
                pass

        (launch,) = trace_kernel(kernel, {}, {}).launches
        assert (launch.cluster, launch.threads) == (cluster, (64,))


@pytest.mark.parametrize(
    ("grid", "dims"),
    [((4, 6), (3, 1)), ((4, 6), (1, 4)), ((4, 6), (4, 3)), ((16, 16), (16,)), ((4,), (2, 2)), ((4,), (2, 1, 1, 1))],
)
def test_clusters_that_cannot_be_launched(grid: tuple[int, ...], dims: tuple[int, ...]) -> None:
    with pytest.raises(TileError) as caught:
        traced(nothing, grid, cluster_dims=dims)
    assert caught.value.code == "TD0224" and "cluster_dims" in caught.value.message


def test_a_grid_that_is_known_at_launch_is_checked_then() -> None:
    assert traced(nothing, ("n",), cluster_dims=2).launches[0].cluster == (2,)


@pytest.mark.parametrize("word", [T.cluster_sync, T.cluster_arrive, T.cluster_arrive_relaxed, T.cluster_wait])
def test_points_of_a_loop_do_not_meet(word: Callable[[], None]) -> None:
    def body(A: Any, S: Any, bar: Any) -> None:
        for _ in T.Parallel(64):
            word()

    with pytest.raises(TileError) as caught:
        traced(body, cluster_dims=2)
    assert caught.value.code == "TD0129"


WRONG: list[tuple[Callable[..., object], str]] = [
    (lambda A, S, bar: T.tma_copy(A, S, barrier=bar, cluster_mask=0), "TD0226"),
    (lambda A, S, bar: T.tma_copy(A, S, barrier=bar, cluster_mask=4), "TD0226"),
    (lambda A, S, bar: T.tma_copy(A, S, barrier=bar, cluster_mask="3"), "TD0226"),
    (lambda A, S, bar: T.tma_copy(S, A, cluster_mask=3), "TD0226"),
    (lambda A, S, bar: T.barrier_arrive(bar, cluster_mask=-1), "TD0226"),
    (lambda A, S, bar: T.barrier_arrive(bar, cluster_mask=True), "TD0226"),
    (lambda A, S, bar: T.mbarrier_arrive(bar, 2), "TD0226"),
    (lambda A, S, bar: T.mbarrier_arrive(bar, -1), "TD0226"),
    (lambda A, S, bar: T.use_swizzle(2), "TD0103"),
]


@pytest.mark.parametrize(("call", "code"), WRONG, ids=[str(i) for i in range(len(WRONG))])
def test_misuse_is_located(call: Callable[..., object], code: str) -> None:
    def body(A: Any, S: Any, bar: Any) -> None:
        call(A, S, bar)

    with pytest.raises(TileError) as caught:
        traced(body, cluster_dims=2)
    assert caught.value.code == code and caught.value.span.file == __file__ and caught.value.hint
