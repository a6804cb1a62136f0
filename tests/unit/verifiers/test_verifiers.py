"""The verifiers are checked: a right plan passes, and one with a single thing changed is refused by the right name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import (
    FALSE,
    AsyncCommit,
    AsyncWait,
    Barrier,
    Binary,
    Const,
    If,
    Kernel,
    Launch,
    Load,
    Move,
    Node,
    Region,
    Space,
    lt,
)
from tiledsl.ir.tile import Copy
from tiledsl.ir.walk import map_children, walk
from tiledsl.passes.base import Pass, run_pipeline
from tiledsl.passes.pipeline import PASSES, pipeline
from tiledsl.target import target_named

SM80 = target_named("sm_80")
Change = Callable[[Node], "Node | tuple[Node, ...]"]


@tiledsl.kernel(target="sm_80")
def staged(A: T.Tensor((100, 256), T.float16), B: T.Tensor((100, 32), T.float32)):
    with T.Kernel(7, threads=32) as block:
        tile = T.alloc_shared((16, 32), T.float16)
        total = T.alloc_fragment((16, 32), T.float32)
        T.clear(total)
        for k in T.Pipelined(8, num_stages=3):
            T.copy(A[block * 16, k * 32], tile)
            for i, j in T.Parallel(16, 32):
                total[i, j] += tile[i, j]
        T.copy(total, B[block * 16, 0])


@cache
def stages() -> dict[str, Kernel]:
    return {s.name: s.kernel for s in staged.compile().lowered.stages}


def after(name: str, change: Change | None = None, number: int = 0, kind: type = Node) -> tuple[Kernel, Kernel]:
    """(before, after) the pass, the latter with its `number`-th node of `kind` changed."""
    names = list(stages())
    kernel = stages()[name]
    seen = -1

    def visit(node: Node) -> Node | tuple[Node, ...]:
        nonlocal seen
        if isinstance(node, kind):
            seen += 1
            if seen == number:
                assert change is not None
                return change(node)
        return map_children(node, visit)

    changed = kernel if change is None else visit(kernel)
    assert isinstance(changed, Kernel)
    return stages()[names[names.index(name) - 1]], changed


def check(name: str, change: Change | None = None, number: int = 0, kind: type = Node) -> None:
    PASSES[name].bind(SM80).check(*after(name, change, number, kind))


def refused(invariant: str, name: str, change: Change, kind: type, number: int = 0) -> None:
    with pytest.raises(VerifyError, match=rf"TD0001: ({invariant}): "):
        check(name, change, number, kind)


VERIFIED = (
    "warp-specialise", "software-pipeline", "bulk-loads", "bulk-stores", "infer-layouts", "guard-bounds",
    "vectorise", "plan-shared-memory", "insert-barriers", "insert-fences", "ping-pong", "split-loops",
)  # fmt: skip


def test_every_plan_has_a_verifier() -> None:
    assert tuple(p.name for p in PASSES.values() if p.verify) == VERIFIED


@pytest.mark.parametrize("name", VERIFIED)
def test_right_plans_pass(name: str) -> None:
    check(name)


def number_of(name: str, kind: type, where: Callable[[Node], bool]) -> int:
    return next(n for n, x in enumerate(x for x in walk(stages()[name]) if isinstance(x, kind)) if where(x))


class TestPipeline:
    NAME = "software-pipeline"

    def test_p13_one_more_group_in_flight(self) -> None:
        refused("P13", self.NAME, lambda w: replace(w, pending=w.pending + 1), AsyncWait)

    def test_p13_no_wait(self) -> None:
        refused("P13", self.NAME, lambda w: (), AsyncWait)

    def test_p13_no_commit(self) -> None:
        refused("P13|P15", self.NAME, lambda w: (), AsyncCommit)

    def test_p15_a_copy_that_nobody_awaits(self) -> None:
        last = sum(isinstance(n, AsyncWait) for n in walk(stages()[self.NAME])) - 1
        refused("P13|P15", self.NAME, lambda w: (), AsyncWait, last)

    def test_p6_another_version(self) -> None:
        at = number_of(self.NAME, Load, lambda n: n.version is not None)
        refused("P6|P13", self.NAME, lambda n: replace(n, version=(n.version + 1) % 3), Load, at)

    def test_p8_a_version_that_is_not_there(self) -> None:
        at = number_of(self.NAME, Region, lambda n: n.version is not None)
        refused("P8", self.NAME, lambda n: replace(n, version=Const(3)), Region, at)

    def test_p4_p6_a_copy_that_is_not_made(self) -> None:
        last = sum(isinstance(n, Copy) for n in walk(stages()[self.NAME])) - 1
        refused("P4|P6", self.NAME, lambda n: (), Copy, last)

    def test_p6_a_copy_of_another_iteration(self) -> None:
        at = number_of(self.NAME, Region, lambda n: n.buffer.space is Space.GLOBAL)
        refused("P6", self.NAME, lambda n: replace(n, offsets=(n.offsets[0], n.offsets[1] + 32)), Region, at)


class TestThreads:
    def test_s10_a_barrier_less(self) -> None:
        count = sum(isinstance(n, Barrier) for n in walk(stages()["insert-barriers"]))
        assert count
        for number in range(count):
            refused("S10", "insert-barriers", lambda n: (), Barrier, number)

    def test_s11_a_barrier_that_some_threads_miss(self) -> None:
        thread = stages()["insert-barriers"].launches[0].thread
        refused("S11", "insert-barriers", lambda n: If(lt(thread, 16), (n,)), Barrier)

    def test_p13_the_wait_moved_away(self) -> None:
        refused("P13", "insert-barriers", lambda n: replace(n, pending=9), AsyncWait)

    def test_s2_no_guard(self) -> None:
        refused("S2", "guard-bounds", lambda n: n.then, If, self.guard())

    def test_s14_a_guard_that_keeps_out_too_much(self) -> None:
        refused("S14", "guard-bounds", lambda n: replace(n, cond=Binary("and", n.cond, FALSE)), If, self.guard())

    def guard(self) -> int:
        names = list(stages())
        before = set(map(id, walk(stages()[names[names.index("guard-bounds") - 1]])))
        return number_of("guard-bounds", If, lambda n: id(n) not in before)

    def test_s4_an_access_that_is_not_aligned(self) -> None:
        def moved(m: Node) -> Node:
            assert isinstance(m, Move)
            *outer, last = m.dst.indices
            return replace(m, dst=replace(m.dst, indices=(*outer, last + 1)))

        at = number_of("vectorise", Move, lambda m: m.dst.buffer.space is Space.GLOBAL)
        refused("S2|S4", "vectorise", moved, Move, at)

    def test_s5_other_lanes(self) -> None:
        def exchanged(m: Node) -> Node:
            assert isinstance(m, Move)
            return replace(m, src=replace(m.src, indices=(m.src.indices[0] + m.lanes,)))

        at = number_of("vectorise", Move, lambda m: m.src.buffer.space is Space.LOCAL)
        refused("S2|S5", "vectorise", exchanged, Move, at)

    def test_s8_a_smaller_arena(self) -> None:
        refused("S8", "plan-shared-memory", lambda n: replace(n, shared_bytes=n.shared_bytes - 16), Launch)

    def test_s8_no_place(self) -> None:
        refused("S8", "plan-shared-memory", lambda n: replace(n, shared=()), Launch)

    def test_s7_a_place_that_is_not_aligned(self) -> None:
        def shifted(n: Node) -> Node:
            assert isinstance(n, Launch)
            return replace(n, shared=(replace(n.shared[0], offset=8), *n.shared[1:]), shared_bytes=n.shared_bytes + 16)

        refused("S7", "plan-shared-memory", shifted, Launch)


def test_the_pipeline_runs_verifiers_if_asked() -> None:
    def broken(kernel: Kernel, target: object = None) -> Kernel:
        return after("software-pipeline", lambda w: (), 0, AsyncWait)[1]

    right = PASSES["software-pipeline"]
    wrong = Pass(right.name, broken, verify=right.verify)
    before = after("software-pipeline")[0]
    run_pipeline(before, [wrong])
    with pytest.raises(VerifyError, match="in pass 'software-pipeline': P13"):
        run_pipeline(before, [wrong], check=True)
    assert pipeline(SM80)


@tiledsl.kernel
def turned(A: T.Tensor((16, 16), T.float16), B: T.Tensor((16, 16), T.float32)):
    with T.Kernel(1, threads=64):
        near, own = T.alloc_shared((16, 16), T.float16), T.alloc_fragment((16, 16), T.float32)
        T.copy(A, near)
        for i, j in T.Parallel(16, 16):
            own[i, j] = near[i, 15 - j]
        for i, j in T.Parallel(16, 16):
            B[i, j] = own[i, 15 - j]


def test_vectors_that_run_backwards_are_right() -> None:
    """Long loops are cut, but not those that were vectors: they write other elements first than they read."""
    run_pipeline(turned.trace(), pipeline(target_named("sm_80")), check=True)
