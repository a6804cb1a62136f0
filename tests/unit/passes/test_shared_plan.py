"""The shared-memory arena: lifetimes, packing, alignment, the error over the limit, and an independent verifier."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.analysis.touches import bytes_of
from tiledsl.errors import Span, TileError, VerifyError
from tiledsl.ir.concurrent import BulkMove
from tiledsl.ir.dtypes import FLOAT16, FLOAT32, INT4
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    Binary,
    Block,
    Break,
    Buffer,
    Const,
    Continue,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    SharedSlot,
    Space,
    Stmt,
    Store,
    Var,
    View,
    lt,
)
from tiledsl.passes.plan_shared_memory import (
    Lifetime,
    alignments,
    make_shared_plan,
    pack,
    plan_shared_memory,
)
from tiledsl.target import target_named
from tiledsl.verifiers.shared_memory import verify_shared

T, FOUR = Var("tx"), Const(4)
SM80 = target_named("sm_80")


def tile(name: str, elements: int, versions: int = 1) -> Buffer:
    return Buffer(name, (elements,), FLOAT32, Space.SHARED, versions=versions)


def use(b: Buffer, at: Expr | int = 0) -> Stmt:
    where = Const(at) if isinstance(at, int) else at
    return Store(b, (where,), Const(0.0, FLOAT32), Const(0) if b.versions > 1 else None)


def launch(*body: Stmt) -> Launch:
    return Launch("k", (Const(1),), (Var("bx"),), (128,), T, body)


def test_buffers_that_are_used_one_after_the_other_share_bytes() -> None:
    a, b, c = tile("a", 64), tile("b", 64), tile("c", 32)
    plan = make_shared_plan(launch(Alloc(a), use(a), Alloc(b), use(b), Alloc(c), use(c), use(b)))
    assert plan.offsets[a] == plan.offsets[b] == 0 and plan.offsets[c] == 256
    assert plan.total == 384
    assert str(plan).splitlines()[-1] == "384 bytes"


def test_a_loop_keeps_what_it_touches_alive() -> None:
    """Buffers from outside live through the whole loop, those of its body only within it."""
    a, b, k = tile("a", 64), tile("b", 64), Var("k")
    outside = make_shared_plan(launch(Alloc(a), Alloc(b), For(k, Const(4), (use(a), use(b)))))
    assert {outside.offsets[a], outside.offsets[b]} == {0, 256}
    inside = make_shared_plan(launch(For(k, Const(4), (Alloc(a), use(a), Alloc(b), use(b)))))
    assert inside.offsets[a] == inside.offsets[b] == 0


def test_a_copy_in_flight_keeps_its_bytes() -> None:
    """A copy without a later read stays in flight: nobody may have its bytes."""
    a, b, g = tile("a", 64), tile("b", 64), Buffer("A", (64,), FLOAT32)
    issue = Store(a, (T,), Load(g, (T,)), asynchronous=True)
    wait = (AsyncCommit(), AsyncWait(0))
    dangling = make_shared_plan(launch(Alloc(a), issue, Alloc(b), use(b), *wait))
    assert {dangling.offsets[a], dangling.offsets[b]} == {0, 256}
    read = Store(g, (T,), Load(a, (T,)))
    waited = make_shared_plan(launch(Alloc(a), issue, *wait, read, Alloc(b), use(b)))
    assert waited.offsets[a] == waited.offsets[b] == 0


def test_a_wait_that_may_be_passed_over_ends_no_store() -> None:
    """As the one in front of the next iteration's copy: the store of the last iteration goes on behind the loop."""
    a, b, g, k = tile("a", 64), tile("b", 64), Buffer("A", (64,), FLOAT32), Var("k")
    store = BulkMove(Address(g, (Const(0),)), Address(a, (Const(0),)), 64)
    wait = AsyncWait(0, "store", sources=True)

    def share(*body: Stmt, before: Block = (), extent: Expr = FOUR) -> bool:
        """Whether both tiles lie in one place, where a is stored from `before` the loop, or in it."""
        loop = For(k, extent, body)
        plan = make_shared_plan(launch(Alloc(a), use(a), *before, loop, Alloc(b), use(b), wait))
        assert {plan.offsets[a], plan.offsets[b]} in ({0}, {0, 256})
        return plan.offsets[a] == plan.offsets[b]

    stores = (store, AsyncCommit("store"))
    assert share(*stores, wait)
    assert not share(*stores, If(lt(k, 3), (wait,)))
    assert not share(*stores, If(lt(k, 3), (Break(),)), wait)
    assert not share(*stores, If(lt(k, 3), (use(a),), (Continue(),)), wait)
    assert share(If(lt(k, 3), stores), wait)
    assert share(wait, before=stores)
    assert not share(wait, before=stores, extent=Var("n"))
    assert not share(wait, before=stores, extent=Const(0))
    assert not share(If(lt(k, 3), (Break(),)), wait, before=stores)
    assert not share(wait, *stores)


def test_views_count_as_their_storage() -> None:
    a, b = tile("a", 64), tile("b", 64)
    v = Buffer("v", (128,), FLOAT16, Space.SHARED)
    late = Store(v, (Const(0),), Const(0.0, FLOAT16))
    plan = make_shared_plan(launch(Alloc(a), use(a), View(v, a), Alloc(b), use(b), late))
    assert {plan.offsets[a], plan.offsets[b]} == {0, 256}


def test_versions_multiply_and_small_elements_are_packed() -> None:
    assert bytes_of(tile("a", 10, 3)) == 120
    assert bytes_of(Buffer("q", (33,), INT4, Space.SHARED)) == 17


def test_alignment_follows_the_use() -> None:
    plain, matrix, swizzled = tile("plain", 64), Buffer("m", (512,), FLOAT16, Space.SHARED), tile("s", 256)
    small = tile("small", 32)
    r, at = Buffer("r", (8,), FLOAT16, Space.LOCAL), Var("at")
    body = (
        Let(at, Binary("^", T, T // 8)),
        use(plain),
        use(swizzled, at * 2),
        use(small, at),
        AtomCall("ldmatrix_x4", (Address(r, (Const(0),)), Address(matrix, (T * 8,)))),
    )
    found = alignments(launch(*body))
    assert (found.get(plain, 16), found[matrix], found[swizzled], found[small]) == (16, 128, 1024, 128)


def test_reuse_only_where_it_raises_occupancy() -> None:
    def offsets(elements: int, **options: bool) -> set[int]:
        a, b = tile("a", elements), tile("b", elements)
        kernel = Kernel("k", (), (launch(Alloc(a), use(a), Alloc(b), use(b)),))
        (planned,) = plan_shared_memory(kernel, target=SM80, **options).launches
        return {s.offset for s in planned.shared}

    assert offsets(64) == {0, 256}  # a few hundred bytes: the barrier is dearer
    assert offsets(4096) == {0}
    assert offsets(4096, reuse=False) == {0, 16384}


def test_too_much_shared_memory_names_the_buffers_and_what_fits() -> None:
    a, b = tile("As", 8192, 4), tile("Bs", 8192, 4)
    place = Span("kernel.py", 12, 8, 12, 30)
    body = (Alloc(a, span=place), Alloc(b, span=place), use(a), use(b), use(a))
    with pytest.raises(TileError) as raised:
        plan_shared_memory(Kernel("k", (), (launch(*body),)), target=SM80)
    assert raised.value.code == "TD0501" and raised.value.span == place
    message = str(raised.value)
    for fragment in ("needs 262144 bytes", "sm_80 allows 166912", "As      131072  4         12", "num_stages=2 fits"):
        assert fragment in message
    huge = tile("S", 1 << 16)
    with pytest.raises(TileError, match="smaller tiles"):
        plan_shared_memory(Kernel("k", (), (launch(Alloc(huge), use(huge)),)), target=SM80)


def test_verifier_rejects_live_neighbours_misalignment_and_overflow() -> None:
    a, b = tile("a", 64), tile("b", 64)
    source = launch(Alloc(a), Alloc(b), use(a), use(b), Let(Var("x", FLOAT32), Load(a, (Const(0),))))
    kernel = Kernel("k", (), (source,))
    verify_shared(kernel, plan_shared_memory(kernel, target=SM80))
    for offsets, total, law in (({a: 0, b: 0}, 512, "S6"), ({a: 8, b: 272}, 1024, "S7"), ({a: 0, b: 256}, 256, "S8")):
        slots = tuple(SharedSlot(x, at) for x, at in offsets.items())
        planned = replace(kernel, launches=(replace(source, shared=slots, shared_bytes=total),))
        with pytest.raises(VerifyError, match=law):
            verify_shared(kernel, planned)


@st.composite
def lifetimes(draw: st.DrawFn) -> list[Lifetime]:
    out = []
    for i in range(draw(st.integers(0, 8))):
        first = draw(st.integers(0, 10))
        size, alignment = draw(st.integers(1, 5000)), draw(st.sampled_from([16, 128, 1024]))
        out.append(Lifetime(tile(f"b{i}", 1), size, alignment, first, first + draw(st.integers(0, 4))))
    return out


@given(drawn=lifetimes(), reuse=st.booleans())
def test_s6_s7_s8_packing_is_disjoint_aligned_and_no_larger_than_the_sum(drawn: list[Lifetime], reuse: bool) -> None:
    offsets = pack(drawn, reuse=reuse)
    for i, a in enumerate(drawn):
        assert offsets[a.buffer] % a.alignment == 0 and offsets[a.buffer] >= 0
        for b in drawn[i + 1 :]:
            apart = offsets[a.buffer] + a.size <= offsets[b.buffer] or offsets[b.buffer] + b.size <= offsets[a.buffer]
            assert apart or (reuse and not a.meets(b))
    padded = sum(a.size + a.alignment for a in drawn)
    assert max((offsets[a.buffer] + a.size for a in drawn), default=0) <= padded


@given(drawn=lifetimes())
def test_s9_packing_is_deterministic(drawn: list[Lifetime]) -> None:
    again = [replace(a) for a in drawn]
    assert list(pack(drawn).values()) == list(pack(again).values())
