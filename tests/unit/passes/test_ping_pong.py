"""The plan of ping-pong, what it writes, and that its verifier refuses everything but that."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.compile import Lowered
from tiledsl.errors import VerifyError
from tiledsl.ir.concurrent import NamedArrive, NamedSync
from tiledsl.ir.nodes import AsyncCommit, Barrier, Const, For, If, Kernel, Node, Stmt
from tiledsl.ir.walk import map_children, statements
from tiledsl.passes.ping_pong import TurnPlan, When, make_turn_plan, ping_pong
from tiledsl.verifiers.turns import verify_turns


def attention(rows: int = 128, threads: int = 256, **options: Any) -> Any:
    """Two products with a softmax without sums between them."""

    @tiledsl.kernel(out_idx=-1, target="sm_90a", options=options)
    def attention(
        Q: T.Tensor((rows, 64), T.float16),
        K: T.Tensor((256, 64), T.float16),
        V: T.Tensor((256, 64), T.float16),
        O: T.Tensor((rows, 64), T.float16),
    ):
        with T.Kernel(1, threads=threads):
            Q_shared = T.alloc_shared((rows, 64), T.float16)
            K_shared = T.alloc_shared((64, 64), T.float16)
            V_shared = T.alloc_shared((64, 64), T.float16)
            scores = T.alloc_fragment((rows, 64), T.float32)
            weights = T.alloc_fragment((rows, 64), T.float16)
            out = T.alloc_fragment((rows, 64), T.float32)
            T.copy(Q, Q_shared)
            T.clear(out)
            for k in T.Pipelined(4, num_stages=2):
                T.copy(K[k * 64, 0], K_shared)
                T.gemm(Q_shared, K_shared, scores, transpose_B=True, clear_accum=True, policy=T.GemmWarpPolicy.FullRow)
                for i, j in T.Parallel(rows, 64):
                    weights[i, j] = T.exp2(scores[i, j])
                T.copy(V[k * 64, 0], V_shared)
                T.gemm(weights, V_shared, out, policy=T.GemmWarpPolicy.FullRow)
            T.copy(out, O)

    return attention


def gemm(promoted: bool, **options: Any) -> Any:
    """The sums of all tiles, kept by the tensor core or, tile by tile, added by the threads."""

    @tiledsl.kernel(out_idx=-1, target="sm_90a", options=options)
    def gemm(A: T.Tensor((128, 256), T.float16), B: T.Tensor((256, 64), T.float16), C: T.Tensor((128, 64), T.float16)):
        with T.Kernel(1, threads=256):
            A_shared = T.alloc_shared((128, 64), T.float16)
            B_shared = T.alloc_shared((64, 64), T.float16)
            part = T.alloc_fragment((128, 64), T.float32)
            total = T.alloc_fragment((128, 64), T.float32)
            T.clear(total)
            for k in T.Pipelined(4, num_stages=2):
                T.copy(A[0, k * 64], A_shared)
                T.copy(B[k * 64, 0], B_shared)
                if promoted:
                    T.gemm(A_shared, B_shared, part, clear_accum=True, policy=T.GemmWarpPolicy.FullRow)
                    for i, j in T.Parallel(128, 64):
                        total[i, j] += part[i, j]
                else:
                    T.gemm(A_shared, B_shared, total, policy=T.GemmWarpPolicy.FullRow)
            T.copy(total, C)

    return gemm


@cache
def lowered(make: Callable[..., Any], *args: Any) -> Lowered:
    return make(*args).compile().lowered  # type: ignore[no-any-return]


def before(make: Callable[..., Any], *args: Any) -> Kernel:
    return lowered(make, *args).after("insert-fences")


def plan(k: Kernel, when: When = When.AUTO) -> TurnPlan:
    (launch,) = k.launches
    return make_turn_plan(k, launch, when)


def named(node: Node) -> list[Stmt]:
    return [s for s in statements(node) if isinstance(s, NamedSync | NamedArrive)]


# --------------------------------------------------------------------------------------------------------------- plan


@pytest.mark.parametrize(("rows", "threads", "turns"), [(128, 256, 2), (192, 384, 3), (64, 128, 0)])
def test_warpgroups_take_turns(rows: int, threads: int, turns: int) -> None:
    found = plan(before(attention, rows, threads))
    assert [r.warpgroups for r in found.rotations] == [turns] * bool(turns)
    for r in found.rotations:
        assert [t.products for t in r.turns] == [2]  # those of the scores and of the iteration before
        assert str(found).startswith(f"consumer: {turns} warpgroups take turns at barriers 3-{2 + turns}: 2 products")


def test_the_plan_is_among_the_notes() -> None:
    notes = [n for launch in lowered(attention).after("ping-pong").launches for n in launch.notes]
    assert str(plan(before(attention))) in notes


def test_products_without_work_beside_them_take_no_turns() -> None:
    assert plan(before(gemm, False)) == TurnPlan()
    (reason,) = plan(before(gemm, False), When.ON).refused
    assert "nothing is computed beside the products" in reason


def test_one_product_takes_turns_if_asked_for() -> None:
    assert not plan(before(gemm, True)).rotations
    assert [t.products for t in plan(before(gemm, True), When.ON).rotations[0].turns] == [1]


def test_options() -> None:
    k = before(attention)
    assert ping_pong.run(k, when=When.OFF) is k
    on = attention(**{"ping-pong": {"when": "on"}}).compile().source
    off = attention(**{"ping-pong": {"when": "off"}}).compile().source
    assert "barrier_sync" in on and "barrier_sync" not in off
    drained = attention(**{"software-pipeline": {"overlap_products": False}}).compile().lowered
    (rotation,) = plan(drained.after("insert-fences")).rotations
    assert [t.products for t in rotation.turns] == [1, 1]  # the softmax of one runs beside either product of the other


def with_barrier(k: Kernel) -> Kernel:
    """`k` with a barrier of the role in the loop that multiplies."""

    def rule(node: Node) -> Node:
        node = map_children(node, rule)
        if isinstance(node, For) and any(isinstance(s, AsyncCommit) for s in node.body):
            return replace(node, body=(*node.body, Barrier(2, 256)))
        return node

    result = rule(k)
    assert isinstance(result, Kernel)
    return result


def test_warpgroups_that_meet_in_the_loop_take_no_turns() -> None:
    (reason,) = plan(with_barrier(before(attention))).refused
    assert "the warpgroups exchange data in the loop" in reason


def test_too_few_barriers() -> None:
    k = before(attention)
    (launch,) = k.launches
    used = NamedArrive(Const(14), 256)
    crowded = replace(k, launches=(replace(launch, body=(*launch.body, used)),))
    assert "16 named barriers are too few" in str(plan(crowded))
    used = NamedArrive(launch.thread, 256)
    crowded = replace(k, launches=(replace(launch, body=(*launch.body, used)),))
    assert not plan(crowded).rotations


# -------------------------------------------------------------------------------------------------------------- apply


@pytest.mark.parametrize(("rows", "threads"), [(128, 256), (192, 384)])
def test_one_wait_and_one_arrival_a_turn(rows: int, threads: int) -> None:
    old = before(attention, rows, threads)
    new = ping_pong(old)
    (loop,) = (s for s in statements(new) if isinstance(s, For) and any(isinstance(x, NamedSync) for x in s.body))
    kinds = [type(s).__name__ for s in loop.body]
    wait, arrive = kinds.index("NamedSync"), kinds.index("NamedArrive")
    commits = [i for i, name in enumerate(kinds) if name == "AsyncCommit"]
    assert wait < commits[0] and commits[-1] == arrive - 1 and kinds[arrive + 1] == "AsyncWait"
    assert kinds[:wait] == ["Await"]  # whoever has its turn has its tiles
    assert all(s.count == 256 for s in named(new))  # type: ignore[attr-defined]
    outside = [s for s in statements(new) if isinstance(s, If) and named(s)]
    assert [type(s.then[0]).__name__ for s in outside] == ["NamedArrive", "NamedSync"]
    verify_turns(old, new)


CHANGES: dict[str, Callable[[Any], Any]] = {
    "removed": lambda s: (),
    "twice": lambda s: (s, s),
    "the next barrier": lambda s: replace(s, id=s.id + 1),
    "a warpgroup more": lambda s: replace(s, count=384),
    "a warpgroup fewer": lambda s: replace(s, count=128),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("number", range(4))
def test_the_verifier_refuses_everything_else(number: int, change: Callable[[Any], Any]) -> None:
    old = before(attention)
    new = ping_pong(old)
    chosen = named(new)[number]

    def rule(node: Node) -> Any:
        return change(node) if node is chosen else map_children(node, rule)

    with pytest.raises(VerifyError, match=r"W3|W5|W12"):
        verify_turns(old, rule(new))
