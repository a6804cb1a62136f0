"""T.PersistentTileScheduler: each tile goes to one worker and one turn, in the order that its arguments say."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiledsl.language as T
from tiledsl.cpu.tile_interp import run
from tiledsl.errors import TileError
from tiledsl.frontend.trace import trace_kernel


def order(m: int, n: int, swizzle: int, column_major: bool) -> list[tuple[int, int]]:
    """Which tiles follow each other, written out: panels of the second dimension, in each the rows of the first."""
    first, second = (m, n) if column_major else (n, m)
    found = []
    for begin in range(0, second, swizzle):
        for i in range(first):
            found += [(i, j) for j in range(begin, min(begin + swizzle, second))]
    return found if column_major else [(m, n) for n, m in found]


def dealt(m: Any, n: Any, workers: int | None, rows: int, turns: int, **options: Any) -> Any:
    """A kernel in which block w notes the tiles of worker w in row w, by both forms of the scheduler."""

    def kernel(
        Sizes: T.Tensor((m, n), "int8"),
        Steps: T.Tensor((rows, turns, 3), "int32"),
        Coords: T.Tensor((rows, turns, 2), "int32"),
    ) -> None:
        with T.Kernel(rows, threads=32) as w:
            s = T.PersistentTileScheduler("s", m, n, workers, **options)
            s.init(w)
            while s.valid():
                at = s.current_iter
                Steps[w, at, 0] = s.m_idx
                Steps[w, at, 1] = s.n_idx[0]
                Steps[w, at, 2] = s.linear_idx
                s.next_tile()
            decoder = T.PersistentTileScheduler("d", m, n, workers, stateful=False, **options)
            for turn in range(turns):
                i, j = decoder.coord(decoder.num_workers * turn + w)
                Coords[w, turn, 0] = i
                Coords[w, turn, 1] = j

    return kernel


SIZES = st.integers(1, 9)


@given(SIZES, SIZES, st.integers(1, 5), st.integers(1, 4), st.booleans(), st.integers(1, 3), st.booleans())
def test_each_tile_goes_to_one_turn_of_one_worker(
    m: int, n: int, workers: int, swizzle: int, column_major: bool, cluster: int, by_the_call: bool
) -> None:
    """Sizes and workers are numbers, or the sizes are those of the call and the workers the clusters of the launch."""
    clusters = ceil(m / cluster)
    expected = order(clusters, n, swizzle, column_major)
    turns = ceil(len(expected) / workers) + 1
    sizes = (T.dynamic("m"), T.dynamic("n")) if by_the_call else (m, n)
    rows = workers * cluster if by_the_call else workers
    how = {"swizzle_size": swizzle, "column_major": column_major, "cluster_size": cluster}
    kernel = trace_kernel(dealt(*sizes, None if by_the_call else workers, rows, turns, **how), {}, {})
    steps, coords = np.full((rows, turns, 3), -1, np.int32), np.full((rows, turns, 2), -1, np.int32)
    run(kernel, {"Sizes": np.zeros((m, n), np.int8), "Steps": steps, "Coords": coords})
    for w in range(workers):
        tiles = [(*expected[number], number) for number in range(w, len(expected), workers)]
        assert steps[w, : len(tiles)].tolist() == [list(tile) for tile in tiles]
        assert (steps[w, len(tiles) :] == -1).all(), "no turn after the last tile"
        assert coords[w, : len(tiles)].tolist() == [[i, j] for i, j, _ in tiles]
        for i, j in coords[w, len(tiles) :]:
            assert i >= clusters or j >= n, "a number beyond the last tile is no tile"


def scheduler(**options: Any) -> Callable[[], None]:
    def make() -> None:
        T.PersistentTileScheduler("s", 4, 4, **options)

    return make


def without_state(method: str) -> Callable[[], None]:
    return lambda: getattr(T.PersistentTileScheduler("s", 4, 4, stateful=False), method)(*([0] * (method == "init")))


WRONG: dict[str, tuple[Callable[[], None], str]] = {
    "no tile in a panel": (scheduler(swizzle_size=0), "a positive int"),
    "half a cluster": (scheduler(cluster_size=0.5), "a positive int"),
    "no variables to begin with": (without_state("init"), ".coord(n)"),
    "no variables to go on with": (without_state("next_tile"), ".coord(n)"),
    "no variables to ask": (without_state("valid"), ".coord(n)"),
    "no order": (lambda: T.BaseTileScheduler("s").init(0), "a method of the class derived from it"),
}


@pytest.mark.parametrize(("body", "allowed"), WRONG.values(), ids=WRONG)
def test_wrong_arguments(body: Callable[[], None], allowed: str) -> None:
    def kernel() -> None:
        with T.Kernel(2):
            body()

    with pytest.raises(TileError) as raised:
        trace_kernel(kernel, {}, {})
    assert raised.value.code == "TD0226" and allowed in raised.value.hint


def test_an_order_of_the_users_own() -> None:
    @T.meta_class
    class Diagonals(T.BaseTileScheduler):
        def __init__(self, n: int) -> None:
            super().__init__("diagonal")
            self._total_tiles = n * n
            self.n = n

        def update_current_idx(self, linear_idx: Any) -> None:
            self.m_idx = linear_idx % self.n
            self.n_idx = (linear_idx // self.n + linear_idx) % self.n

    def kernel(A: T.Tensor((4, 4), "int32")) -> None:
        with T.Kernel(3, threads=32) as b:
            s = Diagonals(4)
            s.init(b)
            while s.valid():
                A[s.m_idx, s.n_idx] = s.linear_idx
                s.next_tile(3)

    a = np.full((4, 4), -1, np.int32)
    run(trace_kernel(kernel, {}, {}), {"A": a})
    assert a.tolist() == [[(j - i) % 4 * 4 + i for j in range(4)] for i in range(4)]
