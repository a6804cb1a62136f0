"""Golden plans, manual schedules and their errors, buffers, and programs that other compilers get wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from tiledsl.cpu.tile_interp import run
from tiledsl.errors import Span, TileError
from tiledsl.ir.dtypes import BOOL, FLOAT16, FLOAT32, INDEX, INT32
from tiledsl.ir.nodes import (
    Alloc,
    AsyncCommit,
    AsyncWait,
    AtomicUpdate,
    Binary,
    Block,
    Break,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Node,
    Pipelined,
    Region,
    Serial,
    Space,
    Stmt,
    Store,
    Var,
    While,
    lt,
)
from tiledsl.ir.printer import text
from tiledsl.ir.tile import Copy, Fill, Gemm, Parallel, Reduce
from tiledsl.ir.walk import map_children, rewrite, walk
from tiledsl.passes.software_pipeline import pipeline_plans, software_pipeline
from tiledsl.passes.software_pipeline.plan import PipelinePlan


def region(b: Buffer, *offsets: Expr | int, extents: tuple[int, ...] | None = None) -> Region:
    at = tuple(Const(o) if isinstance(o, int) else o for o in offsets) or (Const(0),) * len(b.shape)
    return Region(b, at, extents or tuple(int(n) for n in b.shape if isinstance(n, int)))


def shared(name: str, *shape: int, dtype: Any = FLOAT16) -> Buffer:
    return Buffer(name, shape, dtype, Space.SHARED)


def registers(name: str, *shape: int, dtype: Any = FLOAT32) -> Buffer:
    return Buffer(name, shape, dtype, Space.FRAGMENT)


def kernel(params: list[Buffer], body: list[Stmt]) -> Kernel:
    launch = Launch("k", (Const(1),), (Var("bx"),), (128,), Var("tx"), tuple(body))
    return Kernel("k", tuple(params), (launch,))


def line(number: int) -> Span:
    return Span("kernel.py", number, 4, number, 20)


def gemm(kind: Pipelined, trips: int = 32) -> Kernel:
    a, b, c = (
        Buffer("A", (32, 16 * trips), FLOAT16),
        Buffer("B", (16 * trips, 32), FLOAT16),
        Buffer("C", (32, 32), FLOAT32),
    )
    s, t, acc, k = shared("As", 32, 16), shared("Bs", 16, 32), registers("acc", 32, 32), Var("k")
    body = (
        Copy(region(a, 0, k * 16, extents=(32, 16)), region(s), span=line(5)),
        Copy(region(b, k * 16, 0, extents=(16, 32)), region(t), span=line(6)),
        Gemm(region(s), region(t), region(acc), span=line(7)),
    )
    start = [Alloc(s), Alloc(t), Alloc(acc), Fill(region(acc), Const(0.0, FLOAT32))]
    return kernel([a, b, c], [*start, For(k, Const(trips), body, kind, span=line(4)), Copy(region(acc), region(c))])


def plan_of(k: Kernel, **options: Any) -> PipelinePlan:
    (plan,) = pipeline_plans(k, **options)
    return plan


def versions(plan: PipelinePlan) -> dict[str, int]:
    return {b.name: n for b, n in plan.versions}


# ------------------------------------------------------------------------------------------------------ golden plans


@pytest.mark.parametrize(
    ("stages", "stage", "order", "wait"),
    [
        (1, (0, 0, 1), (1, 2, 0), 0),
        (2, (0, 0, 1), (0, 1, 2), 1),
        (3, (0, 0, 2), (0, 1, 2), 2),
        (4, (0, 0, 3), (0, 1, 2), 3),
    ],
)
def test_g1_gemm(stages: int, stage: tuple[int, ...], order: tuple[int, ...], wait: int) -> None:
    plan = plan_of(gemm(Pipelined(stages)), fuse_barrier=False)
    assert (plan.stage, plan.order, plan.groups) == (stage, order, (0, 0, None))
    assert plan.waits == (None, None, wait)
    assert versions(plan) == ({"As": stages, "Bs": stages} if stages > 1 else {})


@pytest.mark.parametrize("stages", [2, 3, 4])
def test_fused_barrier_waits_before_the_first_refill(stages: int) -> None:
    plan = plan_of(gemm(Pipelined(stages)))
    assert plan.waits == (stages - 2, None, None)


def test_g1_gemm_peeled_text() -> None:
    out = software_pipeline(gemm(Pipelined(3)), form="peeled", fuse_barrier=False)
    loop = next(n for n in walk(out) if isinstance(n, For))
    assert loop.extent == Const(30)
    waits = [n.pending for n in walk(out) if isinstance(n, AsyncWait)]
    assert waits == [2, 1, 0]  # the body's, then the epilogue's
    assert sum(isinstance(n, AsyncCommit) for n in walk(out)) == 3  # two of the prologue, one of the body
    assert "As@((k + 2) % 3)" in text(out) and "gemm As@(k % 3), Bs@(k % 3), acc" in text(out)


def attention_loop(stages: int, trips: int = 8) -> Kernel:
    k_all, v_all = Buffer("K", (16 * trips, 16), FLOAT16), Buffer("V", (16 * trips, 16), FLOAT16)
    o, q = Buffer("O", (16, 16), FLOAT32), shared("Qs", 16, 16)
    ks, vs, k = shared("Ks", 16, 16), shared("Vs", 16, 16), Var("k")
    s, p, m, acc = (
        registers("S", 16, 16),
        registers("P", 16, 16, dtype=FLOAT16),
        registers("m", 16),
        registers("acc", 16, 16),
    )
    x, y = Var("x"), Var("y")
    exp = Store(s, (x, y), Load(s, (x, y)) - Load(m, (x,)))
    body = (
        Copy(region(k_all, k * 16, 0, extents=(16, 16)), region(ks)),
        Fill(region(s), Const(0.0, FLOAT32)),
        Gemm(region(q), region(ks), region(s), transpose_b=True),
        Reduce(region(s), region(m), "max", 1),
        Parallel((x, y), (16, 16), (exp,)),
        Copy(region(s), region(p)),
        Copy(region(v_all, k * 16, 0, extents=(16, 16)), region(vs)),
        Gemm(region(p), region(vs), region(acc)),
    )
    allocs: list[Stmt] = [Alloc(b) for b in (q, ks, vs, s, p, m, acc)]
    start = [Fill(region(q), Const(1.0, FLOAT16)), Fill(region(acc), Const(0.0, FLOAT32))]
    loop = For(k, Const(trips), body, Pipelined(stages))
    return kernel([k_all, v_all, o], [*allocs, *start, loop, Copy(region(acc), region(o))])


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_g1_attention(stages: int) -> None:
    plan = plan_of(attention_loop(stages), fuse_barrier=False)
    s = stages
    assert plan.stage == (0, s, s, s, s, s, 0, s)
    assert plan.order == (2, 0, 1, 3, 4, 5, 7, 6)
    assert plan.groups == (0, None, None, None, None, None, 1, None)
    assert versions(plan) == ({"Ks": s, "Vs": s} if s > 1 else {})
    if stages == 2:
        assert (plan.waits[2], plan.waits[7]) == (3, 3)


def test_fused_attention_waits_before_each_refill() -> None:
    """Before the refill of K for V, before that of V for the K of the next iteration: a barrier each, not two."""
    plan = plan_of(attention_loop(2))
    assert plan.waits == (2, None, None, None, None, None, 2, None)
    assert plan.covered[0] == ((7, 0),) and plan.covered[6] == ((2, 1),)


def test_fused_waits_are_left_out_where_another_brings_the_tile() -> None:
    """As is copied last, so its readers wait for Bs too: the refill of As need not wait for the Bs of the next take."""
    x, f, k = Buffer("X", (8, 4), FLOAT32), registers("f", 4), Var("k")
    s, t = shared("As", 4, dtype=FLOAT32), shared("Bs", 4, dtype=FLOAT32)
    take, other = Copy(region(s), region(f)), Copy(region(t), region(f))
    body = (Copy(region(x, k, 0, extents=(1, 4)), region(s)), Copy(region(x, k, 0, extents=(1, 4)), region(t)))
    loop = For(k, Const(8), (*body, take, other, replace(take)), Pipelined(1))
    plan = plan_of(kernel([x], [Alloc(s), Alloc(t), Alloc(f), loop]))
    assert plan.order == (4, 2, 0, 1, 3)
    assert plan.waits == (None, None, 0, None, None)


def test_g1_attention_epilogue_waits() -> None:
    out = software_pipeline(attention_loop(2), form="peeled", fuse_barrier=False)
    waits = [n.pending for n in walk(out) if isinstance(n, AsyncWait)]
    assert waits == [3, 3, 3, 2, 1, 0]
    assert sum(isinstance(n, AsyncCommit) for n in walk(out)) == 4 + 2


def test_plans_print_as_tables() -> None:
    assert str(plan_of(gemm(Pipelined(3)), fuse_barrier=False)) == (
        "statement  stage  order  group  wait\n"
        "copy As        0      0      0     -\n"
        "copy Bs        0      1      0     -\n"
        "gemm acc       2      2      -     2\n"
        "versions: As x3, Bs x3"
    )


# --------------------------------------------------------------------------------------------------- degenerate cases


@pytest.mark.parametrize("stages", [0, 1, 3])
def test_p18_nothing_to_overlap_is_the_serial_loop(stages: int) -> None:
    source = gemm(Pipelined(stages))
    if stages:  # no copy from global memory
        (launch,) = source.launches
        loop = next(n for n in launch.body if isinstance(n, For))
        plain = For(loop.var, loop.extent, loop.body[2:], Pipelined(stages))
        source = kernel(list(source.params), [n if n is not loop else plain for n in launch.body])  # type: ignore[arg-type]
    out = software_pipeline(source)
    before = next(n for n in walk(source) if isinstance(n, For))
    after = next(n for n in walk(out) if isinstance(n, For))
    assert after.kind == Serial() and after.body == before.body and after.var is before.var


def test_num_stages_option_replaces_the_kernels() -> None:
    assert plan_of(gemm(Pipelined(0)), stages=3, fuse_barrier=False).waits == (None, None, 2)


def test_break_keeps_the_loop_serial() -> None:
    source = gemm(Pipelined(2))
    (launch,) = source.launches
    loop = next(n for n in launch.body if isinstance(n, For))
    leaving = For(loop.var, loop.extent, (*loop.body, If(lt(3, loop.var), (Break(),))), loop.kind)
    plan = plan_of(kernel(list(source.params), [n if n is not loop else leaving for n in launch.body]))  # type: ignore[arg-type]
    assert not plan.overlaps


# --------------------------------------------------------------------------------------------------- manual schedules


def test_p19_manual_schedule_is_followed() -> None:
    plan = plan_of(gemm(Pipelined(2, order=(1, 2, 0), stage=(0, 0, 1))), fuse_barrier=False)
    assert (plan.stage, plan.order) == ((0, 0, 1), (1, 2, 0))
    assert plan.waits == (None, None, 0) and versions(plan) == {}


def test_manual_groups_are_followed() -> None:
    plan = plan_of(gemm(Pipelined(3, order=(0, 1, 2), stage=(0, 0, 2), group=((0,), (1,)))), fuse_barrier=False)
    assert plan.groups == (0, 1, None) and plan.waits == (None, None, 4)


def test_minus_one_leaves_the_schedule_to_the_compiler() -> None:
    """TileLang's mark for copies that a producer makes."""
    marked = plan_of(gemm(Pipelined(3, order=(-1, -1, 0), stage=(-1, -1, 0))))
    assert str(marked) == str(plan_of(gemm(Pipelined(3))))


def test_order_defaults_to_the_program() -> None:
    assert plan_of(gemm(Pipelined(2, stage=(0, 0, 1)))).order == (0, 1, 2)


@pytest.mark.parametrize(
    ("kind", "code", "fragments"),
    [
        (Pipelined(2, order=(0, 1), stage=(0, 0, 1)), "TD0401", ["order= has 2 entries", "3 statements", "line 7"]),
        (Pipelined(2, order=(0, 1, 1), stage=(0, 0, 1)), "TD0402", ["same place"]),
        (Pipelined(2, order=(-2, 0, 1), stage=(0, 0, 1)), "TD0402", ["negative"]),
        (Pipelined(2, order=(0, 1, 2), stage=(0, 0, 1), group=((0, 7),)), "TD0402", ["no statement 7"]),
        (Pipelined(2, order=(0, 1, 2), stage=(1, 0, 0)), "TD0403", ["statement 0", "statement 2", "'As'"]),
        (Pipelined(2, order=(2, 1, 0), stage=(0, 0, 0)), "TD0403", ["'As'"]),
        (Pipelined(2, order=(0, 2, 1), stage=(0, 1, 1), group=()), "TD0403", ["'Bs'"]),
    ],
)
def test_p19_illegal_schedules_are_rejected(kind: Pipelined, code: str, fragments: list[str]) -> None:
    with pytest.raises(TileError) as raised:
        software_pipeline(gemm(kind))
    assert raised.value.code == code
    message = str(raised.value).replace("kernel.py:7:5", "line 7")
    for fragment in fragments:
        assert fragment in message
    assert raised.value.span.file == "kernel.py"


def test_registers_are_never_versioned() -> None:
    a, o = Buffer("A", (8, 16), FLOAT32), Buffer("O", (8, 16), FLOAT32)
    f, k = registers("f", 16), Var("k")
    body = (
        Copy(region(a, k, 0, extents=(1, 16)), region(f), span=line(3)),
        Copy(region(f), region(o, k, 0, extents=(1, 16)), span=line(4)),
    )
    source = kernel([a, o], [Alloc(f), For(k, Const(8), body, Pipelined(2, stage=(0, 1), order=(0, 1)))])
    with pytest.raises(TileError) as raised:
        software_pipeline(source)
    assert raised.value.code == "TD0405"
    assert "2 copies of 'f'" in str(raised.value) and "registers" in str(raised.value)
    plan = plan_of(kernel([a, o], [Alloc(f), For(k, Const(8), body, Pipelined(3))]))
    assert not plan.overlaps


def test_lets_in_schedules_of_older_kernels_are_dropped() -> None:
    source = gemm(Pipelined(2, order=(0, 1, 2, 3), stage=(0, 0, 0, 1)))
    (launch,) = source.launches
    loop = next(n for n in launch.body if isinstance(n, For))
    v = Var("v", FLOAT32)
    longer = For(loop.var, loop.extent, (Let(v, Const(1.0, FLOAT32)), *loop.body), loop.kind)
    plan = plan_of(kernel(list(source.params), [n if n is not loop else longer for n in launch.body]))  # type: ignore[arg-type]
    assert plan.stage == (0, 0, 1)


# ------------------------------------------------------------------------------------------------- values of programs


def rows(count: int, width: int = 4, start: int = 0) -> Any:
    return (np.arange(count * width, dtype=np.float32) + start).reshape(count, width)


def run_both(source: Kernel, names: dict[str, Any]) -> dict[str, Any]:
    """The arrays after the pipelined kernel, which agree with those after the source."""
    results = []
    for k in (source, software_pipeline(source)):
        given = {n: a.copy() for n, a in names.items()}
        run(k, given, mode="late")
        results.append(given)
    for name in names:
        np.testing.assert_array_equal(*(r[name] for r in results))
    return results[1]


def row(b: Buffer, i: Expr | int) -> Region:
    return region(b, i, 0, extents=(1, 4))


def test_tile_read_after_the_loop_is_the_last_one() -> None:
    """C.4: the version of the last iteration, not version 0."""
    a, p, o = Buffer("A", (8, 4), FLOAT32), Buffer("P", (8, 4), FLOAT32), Buffer("O", (1, 4), FLOAT32)
    s, f, k = shared("As", 4, dtype=FLOAT32), registers("f", 4), Var("k")
    body = (Copy(row(a, k), region(s)), Copy(region(s), region(f)), Copy(region(f), row(p, k)))
    source = kernel([a, p, o], [Alloc(s), Alloc(f), For(k, Const(8), body, Pipelined(3)), Copy(region(s), row(o, 0))])
    assert versions(plan_of(source)) == {"As": 3}
    result = run_both(source, {"A": rows(8), "P": rows(8) * 0, "O": rows(1) * 0})
    np.testing.assert_array_equal(result["O"][0], rows(8)[7])
    assert "copy As@1 -> O" in text(software_pipeline(source))


@pytest.mark.parametrize("first", ["if", "for", "while"])
def test_conditions_and_extents_after_the_loop_see_the_last_tile(first: str) -> None:
    """Not version 0: what decides about a statement is read from the tile that was written last."""
    table, o = Buffer("I", (8, 4), INT32), Buffer("O", (8, 4), INT32)
    s, f, k = shared("Is", 4, dtype=INT32), registers("f", 4, dtype=INT32), Var("k")
    body = (Copy(row(table, k), region(s)), Copy(region(s), region(f)), Copy(region(f), row(o, k)))
    last = Cast(INDEX, Load(s, (Const(0),)))
    clear: Block = (Fill(row(o, 0), Const(9, INT32)), Fill(region(s), Const(0, INT32)))
    after = {"if": If(lt(0, last), clear), "for": For(Var("i"), last, clear), "while": While(lt(0, last), clear)}[first]
    source = kernel([table, o], [Alloc(s), Alloc(f), For(k, Const(8), body, Pipelined(3)), after])
    index = np.zeros((8, 4), np.int32)
    index[7] = 1
    assert run_both(source, {"I": index, "O": index * 0})["O"][0, 0] == 9


def test_a_condition_on_a_tile_whose_version_is_not_known() -> None:
    """The mask says which iteration wrote the tile last, so it keeps one version."""
    table, mask, o = Buffer("I", (8, 4), INT32), Buffer("M", (8,), BOOL), Buffer("O", (8, 4), INT32)
    s, f, k = shared("Is", 4, dtype=INT32), registers("f", 4, dtype=INT32), Var("k")
    body = (Copy(row(table, k), region(s)), Copy(region(s), region(f)), Copy(region(f), row(o, k)))
    after = If(lt(0, Cast(INDEX, Load(s, (Const(0),)))), (Fill(row(o, 0), Const(9, INT32)),))
    loop = For(k, Const(8), (If(Load(mask, (k,)), body),), Pipelined(3))
    source = kernel([table, mask, o], [Alloc(s), Alloc(f), Fill(region(s), Const(0, INT32)), loop, after])
    index = np.zeros((8, 4), np.int32)
    index[4] = 1
    result = run_both(source, {"I": index, "M": np.arange(8) < 5, "O": index * 0})
    assert result["O"][0, 0] == 9


def test_previous_iterations_tile_keeps_one_version() -> None:
    """C.4: a carried read sees the tile of the iteration before."""
    a, o = Buffer("A", (8, 4), FLOAT32), Buffer("O", (16, 4), FLOAT32)
    s, g, f, k = shared("As", 4, dtype=FLOAT32), registers("g", 4), registers("f", 4), Var("k")
    body = (
        Copy(region(s), region(g)),
        Copy(region(g), row(o, k * 2)),
        Copy(row(a, k), region(s)),
        Copy(region(s), region(f)),
        Copy(region(f), row(o, k * 2 + 1)),
    )
    start = Fill(region(s), Const(-1.0, FLOAT32))
    source = kernel([a, o], [Alloc(s), Alloc(g), Alloc(f), start, For(k, Const(8), body, Pipelined(3))])
    assert versions(plan_of(source)) == {}
    result = run_both(source, {"A": rows(8), "O": rows(16) * 0})
    np.testing.assert_array_equal(result["O"][2::2], rows(8)[:7])


def indexed_copy() -> Kernel:
    table, a, o = Buffer("I", (8, 4), INT32), Buffer("A", (32, 4), FLOAT32), Buffer("O", (8, 4), FLOAT32)
    i, s, f, k = shared("Is", 4, dtype=INT32), shared("As", 4, dtype=FLOAT32), registers("f", 4), Var("k")
    at = Cast(INDEX, Load(i, (Const(2),)))
    body = (
        Copy(row(table, k), region(i)),
        Copy(row(a, at), region(s)),
        Copy(region(s), region(f)),
        Copy(region(f), row(o, k)),
    )
    return kernel([table, a, o], [Alloc(i), Alloc(s), Alloc(f), For(k, Const(8), body, Pipelined(2))])


def test_indexed_copy_is_accepted_and_right() -> None:
    """C.3: the load of an index is a read, so the copy of the index tile comes a stage earlier."""
    plan = plan_of(indexed_copy())
    assert plan.stage[0] == 0 and plan.stage[1] == 1 and plan.stage[2] > 1
    assert plan.groups[:2] == (0, 1)
    index = np.random.default_rng(0).integers(0, 32, (8, 4)).astype(np.int32)
    result = run_both(indexed_copy(), {"I": index, "A": rows(32), "O": rows(8) * 0})
    np.testing.assert_array_equal(result["O"], rows(32)[index[:, 2]])


@pytest.mark.parametrize("lets", [0, 1, 2])
def test_g8_block_sparse_copy_through_lets(lets: int) -> None:
    """#1484, #1657: copies directed by a table, directly and through one and two nested lets."""
    table, a, o = Buffer("I", (8,), INT32), Buffer("A", (32, 4), FLOAT32), Buffer("O", (8, 4), FLOAT32)
    s, f, k, v, w = shared("As", 4, dtype=FLOAT32), registers("f", 4), Var("k"), Var("v"), Var("w")
    load = Cast(INDEX, Load(table, (k,)))
    binds: Block = ((), (Let(v, load),), (Let(v, load), Let(w, v * 2)))[lets]
    at = (load, v, w)[lets]
    body = (*binds, Copy(row(a, at), region(s)), Copy(region(s), region(f)), Copy(region(f), row(o, k)))
    source = kernel([table, a, o], [Alloc(s), Alloc(f), For(k, Const(8), body, Pipelined(3))])
    assert versions(plan_of(source)) == {"As": 3}
    index = np.arange(8, dtype=np.int32)[::-1].copy()
    result = run_both(source, {"I": index, "A": rows(32), "O": rows(8) * 0})
    np.testing.assert_array_equal(result["O"], rows(32)[index * (2 if lets == 2 else 1)])


def test_what_a_bind_names_is_elsewhere_in_the_next_iteration() -> None:
    """`X[b + q]` is read and `X[b + q + 1]` written, where q is loaded: the next iteration may read that row."""
    x, table, b, k, q = Buffer("X", (9, 4), FLOAT32), Buffer("I", (8,), INT32), Var("b"), Var("k"), Var("q", INT32)
    s, f = shared("Xs", 4, dtype=FLOAT32), registers("f", 4)
    here = Cast(INDEX, q) + b
    body = (
        Let(q, Load(table, (k,))),
        Copy(row(x, here), region(s)),
        Copy(region(s), region(f)),
        Copy(region(f), row(x, here + 1)),
    )
    loop = For(k, Const(8), body, Pipelined(2))
    source = kernel([x, table], [Alloc(s), Alloc(f), For(b, Const(1), (loop,))])
    result = run_both(source, {"X": rows(9), "I": np.arange(8, dtype=np.int32)})
    np.testing.assert_array_equal(result["X"], np.broadcast_to(rows(1), (9, 4)))


def test_conditional_bodies_are_pipelined() -> None:
    """`if mask[k]: copy; copy; gemm`: the guard moves to the statements, commits and waits stay outside."""
    source = gemm(Pipelined(3), 8)
    (launch,) = source.launches
    mask = Buffer("mask", (8,), BOOL)
    loop = next(n for n in launch.body if isinstance(n, For))
    guarded = For(loop.var, loop.extent, (If(Load(mask, (loop.var,)), loop.body),), loop.kind)
    params = [*(p for p in source.params if isinstance(p, Buffer)), mask]
    sparse = kernel(params, [n if n is not loop else guarded for n in launch.body])
    assert plan_of(sparse, fuse_barrier=False).waits == (None, None, 2)
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-2, 3, shape).astype(np.float16) for shape in ((32, 128), (128, 32)))
    on = np.array([1, 0, 0, 1, 1, 0, 1, 0], bool)
    result = run_both(sparse, {"A": a, "B": b, "C": np.zeros((32, 32), np.float32), "mask": on})
    kept = np.repeat(on, 16)
    loop = next(n for n in walk(software_pipeline(sparse)) if isinstance(n, For))
    assert [type(n).__name__ for n in loop.body] == ["AsyncWait", "If", "AsyncCommit", "If"]  # copies under one guard
    np.testing.assert_array_equal(result["C"], (a[:, kept].astype(np.float32) @ b[kept].astype(np.float32)))


def test_binds_under_a_guard_are_replayed_under_it() -> None:
    """A table is read only where the guard holds: elsewhere its index may be outside of the table."""
    mask, table, a, o = (
        Buffer("mask", (8,), BOOL),
        shared("I", 2, dtype=INT32),
        Buffer("A", (8, 4), FLOAT32),
        Buffer("O", (8, 4), FLOAT32),
    )
    s, f, k, v = shared("As", 4, dtype=FLOAT32), registers("f", 4), Var("k"), Var("v")
    bind = Let(v, Cast(INDEX, Load(table, (k,))))
    inside = (bind, If(lt(v, 5), (Copy(row(a, v), region(s)), Copy(region(s), region(f)), Copy(region(f), row(o, k)))))
    start = [Alloc(b) for b in (table, s, f)] + [Fill(region(table), Const(3, INT32))]
    source = kernel([mask, a, o], [*start, For(k, Const(8), (If(Load(mask, (k,)), inside),), Pipelined(2))])
    assert versions(plan_of(source)) == {"As": 2}
    result = run_both(source, {"mask": np.arange(8) < 2, "A": rows(8), "O": rows(8) * 0})
    np.testing.assert_array_equal(result["O"][:3], np.stack([rows(8)[3], rows(8)[3], np.zeros(4)]))


def test_effects_happen_once_and_in_order() -> None:
    """#2651: a bind with a side effect is not replayed."""
    a, o, n = Buffer("A", (8, 4), FLOAT32), Buffer("O", (8, 4), FLOAT32), Buffer("n", (1,), INT32)
    tickets = Buffer("tickets", (16, 1), INT32)
    s, f, k, v = shared("As", 4, dtype=FLOAT32), registers("f", 4), Var("k"), Var("v", INT32)
    body = (
        AtomicUpdate("add", n, (Const(0),), Const(1, INT32), result=v),
        Copy(row(a, k), region(s)),
        Store(tickets, (k * 2, Const(0)), v),
        Copy(region(s), region(f)),
        Store(tickets, (k * 2 + 1, Const(0)), v),
        Copy(region(f), row(o, k)),
    )
    launch = Launch(
        "k", (Const(1),), (Var("bx"),), (1,), Var("tx"), (Alloc(s), Alloc(f), For(k, Const(8), body, Pipelined(2)))
    )
    source = Kernel("k", (a, o, n, tickets), (launch,))
    given = {"A": rows(8), "O": rows(8) * 0, "n": np.zeros(1, np.int32), "tickets": np.zeros((16, 1), np.int32)}
    result = run_both(source, given)
    assert result["n"][0] == 8
    np.testing.assert_array_equal(result["tickets"][:, 0], np.repeat(np.arange(8), 2))


# ------------------------------------------------------------------------------------------------------------ buffers


def test_g8_kernel_level_buffers_are_versioned_and_others_left_alone() -> None:
    """#1525: wherever a buffer is allocated; what the loop does not touch, and parameters, stay as they are."""
    source = gemm(Pipelined(3))
    idle = shared("idle", 8)
    (launch,) = source.launches
    more = kernel([p for p in source.params if isinstance(p, Buffer)], [Alloc(idle), *launch.body])
    out = software_pipeline(more)
    allocated = {n.buffer.name: n.buffer for n in walk(out) if isinstance(n, Alloc)}
    assert {n: b.versions for n, b in allocated.items()} == {"idle": 1, "As": 3, "Bs": 3, "acc": 1}
    assert allocated["idle"] is idle
    assert all(p is q for p, q in zip(out.params, more.params))


def test_nested_allocations_are_hoisted_and_redeclared() -> None:
    a, o = Buffer("A", (8, 4), FLOAT32), Buffer("O", (8, 4), FLOAT32)
    s, f, k = shared("As", 4, dtype=FLOAT32), registers("f", 4), Var("k")
    body = (Alloc(s), Alloc(f), Copy(row(a, k), region(s)), Copy(region(s), region(f)), Copy(region(f), row(o, k)))
    source = kernel([a, o], [For(k, Const(8), body, Pipelined(3))])
    out = software_pipeline(source)
    assert [n.buffer.versions for n in walk(out) if isinstance(n, Alloc)] == [3, 1]
    run_both(source, {"A": rows(8), "O": rows(8) * 0})


def test_two_pipelines_share_a_buffer() -> None:
    """#1727: consecutive loops version one buffer; the declaration holds the larger count."""
    a, o = Buffer("A", (8, 4), FLOAT32), Buffer("O", (16, 4), FLOAT32)
    s, f = shared("As", 4, dtype=FLOAT32), registers("f", 4)

    def loop(stages: int, first: int) -> Stmt:
        k = Var("k")
        moved = k + first if first else k
        return For(
            k,
            Const(8),
            (Copy(row(a, k), region(s)), Copy(region(s), region(f)), Copy(region(f), row(o, moved))),
            Pipelined(stages),
        )

    source = kernel([a, o], [Alloc(s), Alloc(f), loop(2, 0), loop(3, 8)])
    out = software_pipeline(source)
    assert next(n.buffer.versions for n in walk(out) if isinstance(n, Alloc)) == 3
    result = run_both(source, {"A": rows(8), "O": rows(16) * 0})
    np.testing.assert_array_equal(result["O"], np.concatenate([rows(8)] * 2))


def test_p23_spans_are_kept() -> None:
    out = software_pipeline(gemm(Pipelined(3)))
    lines = {n.span.line for n in walk(out) if isinstance(n, Copy | Gemm) and n.span.line}
    assert lines == {5, 6, 7}
    assert all(n.span.line in (5, 6, 7) for n in walk(out) if isinstance(n, AsyncCommit | AsyncWait))


# ---------------------------------------------------------------------------------------------------------- mutations


def mutants(k: Kernel) -> list[Kernel]:
    """The kernel with one wait left out, or with one group more in flight at it."""
    count = sum(isinstance(n, AsyncWait) for n in walk(k))
    out = []
    for chosen in range(count):
        for change in ("drop", "relax"):
            seen = -1

            def visit(node: Node, chosen: int = chosen, change: str = change) -> Node | tuple[Node, ...]:
                nonlocal seen
                if isinstance(node, AsyncWait):
                    seen += 1
                    if seen == chosen:
                        return () if change == "drop" else AsyncWait(node.pending + 1)
                return map_children(node, visit)

            mutant = visit(k)
            assert isinstance(mutant, Kernel)
            out.append(mutant)
    return out


@pytest.mark.parametrize("form", ["peeled", "rolled", "guarded"])
@pytest.mark.parametrize("stages", [1, 2, 3])
def test_p13_a_lost_or_relaxed_wait_reads_what_has_not_arrived(form: str, stages: int) -> None:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-2, 3, shape).astype(np.float16) for shape in ((32, 128), (128, 32)))
    for mutant in mutants(software_pipeline(gemm(Pipelined(stages), 8), form=form)):
        with pytest.raises(TileError) as raised:
            run(mutant, {"A": a, "B": b, "C": np.zeros((32, 32), np.float32)}, mode="late")
        assert raised.value.code in ("TD0805", "TD0808", "TD0803")


# --------------------------------------------------------------------------------------------------------- invariance


def relevant(plan: PipelinePlan, labels: tuple[str, ...]) -> list[tuple[int, int, int | None, int | None]]:
    """Stage, rank, group and wait of the statements of those labels."""
    rows = [i for i in plan.sequence if plan.labels[i] in labels]
    return sorted((i, plan.stage[i], rows.index(i), plan.groups[i], plan.waits[i])[1:] for i in rows)


def with_body(source: Kernel, change: Callable[[For], Block], *allocs: Buffer) -> Kernel:
    (launch,) = source.launches
    loop = next(n for n in launch.body if isinstance(n, For))
    body = [n if n is not loop else replace(loop, body=change(loop)) for n in launch.body]
    return kernel([p for p in source.params if isinstance(p, Buffer)], [*(Alloc(b) for b in allocs), *body])


@pytest.mark.parametrize("stages", [1, 2, 3])
def test_p20_unrelated_statements_do_not_change_the_plan(stages: int) -> None:
    plain, idle = gemm(Pipelined(stages)), registers("idle", 8)
    fill = Fill(region(idle), Const(0.0, FLOAT32))
    labels = ("copy As", "copy Bs", "gemm acc")
    expected = relevant(plan_of(plain), labels)
    for at in range(4):
        changed = with_body(plain, lambda loop, at=at: (*loop.body[:at], fill, *loop.body[at:]), idle)
        assert relevant(plan_of(changed), labels) == expected
        assert versions(plan_of(changed)) == versions(plan_of(plain))


def test_p20_pure_lets_are_as_if_inlined() -> None:
    plain = gemm(Pipelined(3))

    def named(loop: For) -> Block:
        start = Var("start")
        moved = [substitute_offset(s, start) for s in loop.body]
        return (Let(start, loop.var * 16), *moved)

    def substitute_offset(s: Stmt, start: Var) -> Stmt:
        def rule(n: Node) -> Node:
            return start if isinstance(n, Binary) and n.op == "*" else n

        return cast(Stmt, rewrite(s, rule))

    renamed = with_body(plain, named)
    assert str(plan_of(renamed)) == str(plan_of(plain))
    assert text(software_pipeline(renamed)) == text(software_pipeline(plain))
