"""T.WSSchedule with roles: what is accepted computes the same as the text, and what is not legal is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tiledsl
import tiledsl.language as T
from tiledsl.cpu import interp, tile_interp
from tiledsl.errors import TileError
from tiledsl.frontend.trace import trace_kernel
from tiledsl.language.gathering import schedule as scheduling

Bodies = dict[str, list[Any]]


def chain(depths: Sequence[int], outer: int, steps: int, bodies: Bodies, root: Bodies | None = None) -> Any:
    """Stage 0 loads a tile, each further one doubles it and adds its number, the last one stores it: a role each.

    `bodies` are those of the inner loop. The pipelines are p0, p1, ..., the operations s0, s1, ...
    """
    count = len(depths) + 1
    names = [f"r{i}" for i in range(count)]
    loops = {name: ["inner"] for name in names}

    @tiledsl.kernel(target="sm_90a")
    def kernel(A: T.Tensor((outer * steps, 8, 32), "float32"), C: T.Tensor((outer * steps, 8, 32), "float32")) -> None:
        with T.Kernel(1, threads=128):
            tiles = [T.alloc_shared((8, 32), "float32") for _ in depths]
            T.annotate_ws_schedule(
                T.WSSchedule(
                    num_warps=4 * count,
                    roles=[T.WSRole(n, warps_lo=4 * i, warps_hi=4 * i + 4) for i, n in enumerate(names)],
                    pipelines=[T.WSPipeline(f"p{i}", [t], depth=d) for i, (t, d) in enumerate(zip(tiles, depths))],
                    scopes=[
                        T.WSScope("inner", bodies),
                        T.WSScope("outer", loops),
                        T.WSScope(T.WSScope.ROOT, root or {name: ["outer"] for name in names}),
                    ],
                )
            )
            with T.ws_op("outer"):
                for o in T.serial(outer):
                    with T.ws_op("inner"):
                        for k in T.serial(steps):
                            at = o * steps + k
                            with T.ws_op("s0"):
                                T.copy(A[at, 0, 0], tiles[0])
                            for i in [n + 1 for n in range(count - 2)]:
                                with T.ws_op(f"s{i}"):
                                    for x, y in T.Parallel(8, 32):
                                        tiles[i][x, y] = tiles[i - 1][x, y] * 2 + i
                            with T.ws_op(f"s{count - 1}"):
                                T.copy(tiles[count - 2], C[at, 0, 0])

    return kernel


def legal(count: int) -> Bodies:
    """The bodies of the inner loop as they are written down first."""
    s = T.WSSync
    found: Bodies = {}
    for i in range(count):
        opens = [s.consumer_wait(f"p{i - 1}")] * (i > 0) + [s.producer_acquire(f"p{i}")] * (i < count - 1)
        closes = [s.producer_commit(f"p{i}")] * (i < count - 1) + [s.consumer_release(f"p{i - 1}")] * (i > 0)
        found[f"r{i}"] = [*opens, f"s{i}", *closes]
    return found


def computes_the_chain(kernel: Any, count: int, turns: int, *, whole: bool) -> None:
    a = np.random.default_rng(0).integers(0, 9, (turns, 8, 32)).astype(np.float32)
    expected = a.copy()
    for i in range(1, count - 1):
        expected = expected * 2 + i
    compiled = kernel.compile()
    for execute, made in ((tile_interp.run, compiled.lowered.stages[0].kernel), (interp.run, compiled.lowered.final)):
        for mode in ("early", "late") if whole else ("late",):
            for roles in ("first", "last"):
                c = np.zeros_like(a)
                execute(made, {"A": a, "C": c}, mode=mode, roles=roles)  # type: ignore[operator]
                np.testing.assert_array_equal(c, expected)


@given(st.lists(st.integers(1, 3), min_size=1, max_size=2), st.integers(1, 2), st.integers(1, 4))
@settings(max_examples=8)
def test_a_schedule_computes_what_the_text_says(depths: list[int], outer: int, steps: int) -> None:
    count = len(depths) + 1
    computes_the_chain(chain(depths, outer, steps, legal(count)), count, outer * steps, whole=True)


CHANGES = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 2), st.integers(0, 9)), max_size=3)


@given(st.lists(st.integers(1, 2), min_size=1, max_size=2), CHANGES)
@settings(max_examples=25)
def test_what_is_accepted_computes_the_same(depths: list[int], changes: list[tuple[int, int, int, int]]) -> None:
    """Entries that are moved within a role, or to another one: an error, or the same results in the end."""
    count = len(depths) + 1
    bodies = legal(count)
    names = list(bodies)
    for source, i, target, j in changes:
        body, other = bodies[names[source % count]], bodies[names[target % count]]
        if body:
            other.insert(j % (len(other) + 1), body.pop(i % len(body)))
    try:
        kernel = chain(depths, 1, 3, bodies)
        kernel.compile()
    except TileError as refused:
        assert refused.code == "TD0412" and changes
    else:
        computes_the_chain(kernel, count, 3, whole=False)


def crossed(one: int, other: int) -> Any:
    """Two roles that each make a tile for the other, before (1) or after (0) they use the other's."""
    s = T.WSSync
    make_a = [s.producer_acquire("a"), "make_a", s.producer_commit("a")]
    make_b = [s.producer_acquire("b"), "make_b", s.producer_commit("b")]
    use_a = [s.consumer_wait("a"), "use_a", s.consumer_release("a")]
    use_b = [s.consumer_wait("b"), "use_b", s.consumer_release("b")]
    bodies = {
        "x": [*make_a, *use_b] if one else [*use_b, *make_a],
        "y": [*make_b, *use_a] if other else [*use_a, *make_b],
    }

    @tiledsl.kernel(target="sm_90a")
    def kernel(
        A: T.Tensor((2, 3, 8, 32), "float32"), C: T.Tensor((3, 8, 32), "float32"), D: T.Tensor((3, 8, 32), "float32")
    ) -> None:
        with T.Kernel(1, threads=128):
            a, b = T.alloc_shared((8, 32), "float32"), T.alloc_shared((8, 32), "float32")
            T.annotate_ws_schedule(
                T.WSSchedule(
                    num_warps=8,
                    roles=[T.WSRole("x", warps_lo=0, warps_hi=4), T.WSRole("y", warps_lo=4, warps_hi=8)],
                    pipelines=[T.WSPipeline("a", [a], 1), T.WSPipeline("b", [b], 1)],
                    scopes=[T.WSScope("loop", bodies), T.WSScope("root", {"x": ["loop"], "y": ["loop"]})],
                )
            )
            with T.ws_op("loop"):
                for k in T.serial(3):
                    with T.ws_op("make_a"):
                        T.copy(A[0, k, 0, 0], a)
                    with T.ws_op("make_b"):
                        T.copy(A[1, k, 0, 0], b)
                    with T.ws_op("use_b"):
                        T.copy(b, D[k, 0, 0])
                    with T.ws_op("use_a"):
                        T.copy(a, C[k, 0, 0])

    return kernel


@pytest.mark.parametrize(("one", "other"), [(1, 1), (1, 0), (0, 1)])
def test_roles_may_exchange_tiles_both_ways(one: int, other: int) -> None:
    a = np.arange(2 * 3 * 8 * 32, dtype=np.float32).reshape(2, 3, 8, 32)
    c, d = np.zeros_like(a[0]), np.zeros_like(a[0])
    crossed(one, other).compile()(a, c, d, backend="simt")
    np.testing.assert_array_equal(np.stack([c, d]), a)


def test_roles_that_wait_for_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(TileError, match="wait for each other for ever") as refused:
        crossed(0, 0).compile()
    assert refused.value.code == "TD0412" and "'x' in consumer_wait('b')" in refused.value.message
    monkeypatch.setattr(scheduling, "check_turns", lambda schedule, rings: None)
    a = np.zeros((2, 3, 8, 32), np.float32)
    with pytest.raises(TileError) as hangs:
        crossed(0, 0).compile()(a, a[0].copy(), a[1].copy(), backend="tile")
    assert hangs.value.code == "TD0830"


# ------------------------------------------------------------------------------------------------------ illegal

S = T.WSSync
LOAD = [S.producer_acquire("p"), "load", S.producer_commit("p")]
USE = [S.consumer_wait("p"), "use", S.consumer_release("p")]
ROOT: Bodies = {"a": ["loop"], "b": ["loop", "store"]}


def refusal(loop: Bodies, root: Bodies = ROOT, more: Callable[..., None] = lambda *_: None, view: bool = False) -> str:
    def kernel(A: T.Tensor((4, 8, 32), "float32"), C: T.Tensor((8, 32), "float32")) -> None:
        with T.Kernel(1, threads=128):
            tile = T.alloc_shared((8, 32), "float32")
            seen = T.view(tile, (256,)) if view else tile
            total, other = T.alloc_fragment((8, 32), "float32"), T.alloc_fragment((8, 32), "float32")
            T.annotate_ws_schedule(
                T.WSSchedule(
                    num_warps=8,
                    roles=[T.WSRole("a", warps_lo=0, warps_hi=4), T.WSRole("b", warps_lo=4, warps_hi=8)],
                    pipelines=[T.WSPipeline("p", [tile], depth=2)],
                    scopes=[T.WSScope("loop", loop), T.WSScope("root", root)],
                )
            )
            with T.ws_op("loop"):
                for k in T.serial(4):
                    with T.ws_op("load"):
                        T.copy(A[k, 0, 0], tile)
                    with T.ws_op("use"):
                        for i, j in T.Parallel(8, 32):
                            total[i, j] = seen[i * 32 + j] if view else tile[i, j]
                    more(A, C, tile, total, other)
            with T.ws_op("store"):
                T.copy(total, C)

    with pytest.raises(TileError) as caught:
        trace_kernel(kernel, {}, {})
    assert caught.value.code == "TD0412" and caught.value.span.file == __file__
    return caught.value.message


def written(text: Callable[..., Any], rows: int = 8, at_root: bool = False) -> Callable[..., None]:
    """A loop whose text loads and uses a tile as `text` says; the pipeline goes round in the loop, or at the root."""
    p, q, u, v = LOAD[0], LOAD[2], USE[0], USE[2]
    loop: Bodies = {"a": ["load"], "b": ["use"]} if at_root else {"a": LOAD, "b": USE}
    root: Bodies = {"a": [p, "loop", q], "b": [u, "loop", v]} if at_root else {"a": ["loop"], "b": ["loop"]}

    def kernel(A: T.Tensor((4, 8, 32), "float32"), C: T.Tensor((4, 8, 32), "float32")) -> None:
        with T.Kernel(1, threads=128):
            tile = T.alloc_shared((8, 32), "float32")
            T.annotate_ws_schedule(
                T.WSSchedule(
                    num_warps=8,
                    roles=[T.WSRole("a", warps_lo=0, warps_hi=4), T.WSRole("b", warps_lo=4, warps_hi=8)],
                    pipelines=[T.WSPipeline("p", [tile], depth=2)],
                    scopes=[T.WSScope("loop", loop), T.WSScope("root", root)],
                )
            )

            def load(k: Any) -> None:
                with T.ws_op("load"):
                    T.copy(A[k, 0:rows, :], tile[0:rows, :])

            def use(k: Any) -> None:
                with T.ws_op("use"):
                    T.copy(tile, C[k, 0, 0])

            with T.ws_op("loop"):
                for k in T.serial(4):
                    text(k, load, use)

    return kernel


def refused_text(*text: Any, **how: Any) -> str:
    with pytest.raises(TileError) as caught:
        trace_kernel(written(*text, **how), {}, {})
    assert caught.value.code == "TD0412"
    return caught.value.message


def test_without_the_check_readers_would_find_another_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    a = np.arange(4 * 8 * 32, dtype=np.float32).reshape(4, 8, 32)
    monkeypatch.setattr(scheduling._Scheduler, "_check_versions", lambda self, ring: None)
    found = []
    for text in (lambda k, load, use: (load(k), use(k))), (lambda k, load, use: (use(k), load(k))):
        c = np.zeros_like(a)
        tile_interp.run(trace_kernel(written(text), {}, {}), {"A": a, "C": c})
        found.append(c)
    np.testing.assert_array_equal(found[0], a)
    assert not (found[1][1:] == a[:-1]).all(), "what the text says"


def unnamed(A: Any, C: Any, tile: Any, total: Any, other: Any) -> None:
    T.clear(other)


def after(A: Any, C: Any, tile: Any, total: Any, other: Any) -> None:
    with T.ws_op("more"):
        T.copy(total, other)


ILLEGAL: dict[str, tuple[Callable[[], str], str]] = {
    "an operation that nobody does": (lambda: refusal({"a": LOAD, "b": [USE[0], USE[2]]}), "the operation 'use'"),
    "an operation twice": (lambda: refusal({"a": LOAD, "b": [*USE[:2], *USE[1:]]}), "has a place in 'b' and in 'b'"),
    "an unknown operation": (lambda: refusal({"a": [*LOAD, "x"], "b": USE}), "'x' of role 'a' is no operation"),
    "an operation of another scope": (
        lambda: refusal({"a": [*LOAD, "store"], "b": USE}, {"a": ["loop"], "b": ["loop"]}), "is no operation of",
    ),
    "an unknown role": (lambda: refusal({"a": LOAD, "c": USE}), "'c', which is no role"),
    "an unknown pipeline": (lambda: refusal({"a": [S.producer_acquire("q"), *LOAD], "b": USE}), "which there is not"),
    "a statement without a name": (lambda: refusal({"a": LOAD, "b": USE}, more=unnamed), "is in no T.ws_op"),
    "nothing is opened": (lambda: refusal({"a": LOAD[1:], "b": USE}), "without the word that opens it"),
    "nothing is closed": (lambda: refusal({"a": LOAD[:2], "b": USE}), "never closes it"),
    "closed by the other side's word": (lambda: refusal({"a": [*LOAD[:2], USE[2]], "b": USE}), "without the word"),
    "outside of the span": (lambda: refusal({"a": [LOAD[0], LOAD[2], "load"], "b": USE}), "is not open there"),
    "the consumer writes": (lambda: refusal({"a": ["use"], "b": [USE[0], "load", USE[2]]}), "no producer"),
    "the sides are exchanged": (
        lambda: refusal({"b": [LOAD[0], "use", LOAD[2]], "a": [USE[0], "load", USE[2]]}), "which the other side does",
    ),
    "no consumer": (lambda: refusal({"a": LOAD, "b": ["use"]}), "no consumer"),
    "two producers": (lambda: refusal({"a": LOAD, "b": [LOAD[0], LOAD[2]]}), "two producers, 'a' and 'b'"),
    "opened twice": (lambda: refusal({"a": [*LOAD, LOAD[0], LOAD[2]], "b": USE}), "opens pipeline 'p' twice"),
    "in two scopes": (
        lambda: refusal({"a": LOAD, "b": ["use"]}, {"a": ["loop"], "b": [USE[0], "loop", USE[2], "store"]}),
        "goes round in the scopes",
    ),
    "stages that differ": (
        lambda: refusal({"a": [LOAD[0], "load", S.producer_commit("p", stage=1)], "b": USE}), "different stages",
    ),
    "memory without a pipeline": (
        lambda: refusal({"a": LOAD, "b": USE}, {"a": ["loop", "store"], "b": ["loop"]}), "without a pipeline",
    ),
    "another order than the text needs": (
        lambda: refusal({"a": LOAD, "b": ["more", *USE]}, more=after), "does 'more' before 'use'",
    ),
    "a view of a tile": (lambda: refusal({"a": LOAD, "b": USE}, view=True), "view"),
    "before what it needs": (
        lambda: refusal({"a": LOAD, "b": USE}, {"a": ["loop"], "b": ["store", "loop"]}), "and has to",
    ),
    "a scope twice": (
        lambda: refusal({"a": LOAD, "b": USE}, {"a": ["loop", "loop"], "b": ["loop", "store"]}), "or twice",
    ),
    "readers that come first": (lambda: refused_text(lambda k, load, use: (use(k), load(k))), "comes before"),
    "a part of a tile": (lambda: refused_text(lambda k, load, use: (load(k), use(k)), rows=4), "not surely written"),
    "writers and readers that take turns inside": (
        lambda: refused_text(lambda k, load, use: (load(k), use(k)), at_root=True), "take turns in a scope inside",
    ),
    "a scope that is no loop": (
        lambda: refusal({"a": LOAD, "b": USE}, {"a": ["load"], "b": ["loop", "store"]}), "is no operation of the scope",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("refused", "why"), ILLEGAL.values(), ids=ILLEGAL)
def test_what_is_not_legal_is_refused(refused: Callable[[], str], why: str) -> None:
    assert why in refused()


WRONG: list[tuple[Callable[[Any], Any], str]] = [
    (lambda A: T.WSRole("a", warps_lo=0, warps_hi=1), "whole warpgroups"),
    (lambda A: T.WSRole("a", warps_lo=4, warps_hi=4), "whole warpgroups"),
    (lambda A: T.WSRole("a b", warps_lo=0, warps_hi=4), "a name"),
    (lambda A: T.WSRole("a", warps_lo=0, warps_hi=4, max_nreg=20), "a multiple of 8"),
    (lambda A: T.WSScope("", {}), "a name"),
    (lambda A: T.WSScope("x", []), "a dict"),
    (lambda A: T.WSScope("x", {"a": [3]}), "T.WSOpRef"),
    (lambda A: T.ws_op("root"), "a name of its own"),
    (lambda A: T.WSPipeline("p", A, depth=2), "one tile or more"),
    (lambda A: T.WSPipeline("p", [A]), "1 or more"),
    (lambda A: T.WSSchedule(T.WSPipeline("p", [A], depth=2)), "T.WSRole(...) for each"),
    (lambda A: T.WSSchedule(num_warps=6, roles=[], scopes=[T.WSScope("root", {})]), "whole warpgroups"),
    (lambda A: T.WSSchedule(num_warps=4, roles=[T.WSRole("a", warps_lo=4, warps_hi=8)]), "of warps 0 to 4"),
    (lambda A: T.WSSchedule(num_warps=4, roles=[T.WSRole("a", warps_lo=0, warps_hi=4)]), "T.WSScope.ROOT"),
    (
        lambda A: T.WSSchedule(num_warps=8, roles=[T.WSRole(n, warps_lo=0, warps_hi=4) for n in "ab"]),
        "share no warp",
    ),
    (
        lambda A: T.WSSchedule(num_warps=8, roles=[T.WSRole("a", warps_lo=n, warps_hi=n + 4) for n in (0, 4)]),
        "no two the same",
    ),
    (lambda A: T.WSSchedule(num_warps=4, roles=[A]), "T.WSRole(...)"),
]


@pytest.mark.parametrize(("make", "allowed"), WRONG)
def test_wrong_arguments(make: Callable[[Any], Any], allowed: str) -> None:
    def kernel() -> None:
        with T.Kernel(1):
            make(T.alloc_shared((8, 8), "float16"))

    with pytest.raises(TileError) as caught:
        trace_kernel(kernel, {}, {})
    assert caught.value.code == "TD0226" and allowed in caught.value.hint


def test_names_are_given_once() -> None:
    def kernel() -> None:
        with T.Kernel(1):
            with T.ws_op("x"):
                T.sync_threads()
            T.ws_op("x")

    with pytest.raises(TileError) as caught:
        trace_kernel(kernel, {}, {})
    assert caught.value.code == "TD0226" and "'x' twice" in caught.value.message
