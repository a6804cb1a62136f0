"""The access oracle: what each statement reads and writes, loads in index expressions and lets included."""

from __future__ import annotations

from tiledsl.analysis.access import Access, AccessKind, accesses, conflict, reach, rooted, storage_roots
from tiledsl.analysis.boxes import covers, linear, may_overlap
from tiledsl.ir.dtypes import BOOL, FLOAT16, FLOAT32, INDEX, INT32
from tiledsl.ir.nodes import (
    Address,
    AtomCall,
    AtomicUpdate,
    Binary,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    If,
    Let,
    Load,
    Move,
    Region,
    Select,
    Space,
    Store,
    Var,
    View,
    lt,
)
from tiledsl.ir.tile import Atomic, Copy, Fill, Gemm, Parallel, Reduce

A = Buffer("A", (128, 64), FLOAT16)
S = Buffer("S", (64, 32), FLOAT16, Space.SHARED)
T = Buffer("T", (32, 64), FLOAT16, Space.SHARED)
F = Buffer("F", (64, 64), FLOAT32, Space.FRAGMENT)
I = Buffer("I", (64,), INT32, Space.SHARED)
K, X, Y = Var("k"), Var("x"), Var("y")
READ, WRITE, ATOMIC = AccessKind.READ, AccessKind.WRITE, AccessKind.ATOMIC


def index(e: Expr) -> Expr:
    return Cast(INDEX, e)


def region(b: Buffer, *offsets: Expr | int, extents: tuple[int, ...] | None = None) -> Region:
    at = tuple(Const(o) if isinstance(o, int) else o for o in offsets) or (Const(0),) * len(b.shape)
    return Region(b, at, extents or tuple(int(n) for n in b.shape if isinstance(n, int)))


def summary(found: list[Access]) -> list[tuple[str, str, bool]]:
    return [(a.buffer.name, a.kind.value, a.via_index) for a in found]


def test_copy_reads_source_and_writes_destination() -> None:
    found = accesses(Copy(region(A, K * 64, 0, extents=(64, 32)), region(S)))
    assert summary(found) == [("A", "read", False), ("S", "write", False)]
    assert found[1].exact
    assert found[0].region is not None and found[0].region.offsets == (K * 64, Const(0))


def test_loads_in_offsets_are_reads() -> None:
    at = index(Load(I, (K,)))
    found = accesses(Copy(region(A, at, 0, extents=(64, 32)), region(S)))
    assert summary(found) == [("I", "read", True), ("A", "read", False), ("S", "write", False)]


def test_gemm_accumulates_unless_it_clears() -> None:
    plain = Gemm(region(S), region(T), region(F))
    assert summary(accesses(plain))[2:] == [("F", "read", False), ("F", "write", False)]
    assert summary(accesses(Gemm(region(S), region(T), region(F), clear=True)))[2:] == [("F", "write", False)]


def test_reduce_and_atomic() -> None:
    row = Buffer("row", (64,), FLOAT32, Space.FRAGMENT)
    reduce = Reduce(region(F), region(row), "sum", 1, clear=False)
    assert summary(accesses(reduce)) == [("F", "read", False), ("row", "read", False), ("row", "write", False)]
    atomic = Atomic("add", region(A, 0, 0, extents=(64, 64)), region(F))
    assert summary(accesses(atomic)) == [("F", "read", False), ("A", "atomic", False)]
    assert not conflict(ATOMIC, ATOMIC) and conflict(ATOMIC, READ) and not conflict(READ, READ)


def test_parallel_sweeps_boxes() -> None:
    body = (Store(S, (X, Y), Load(A, (K * 64 + X, Y))),)
    found = accesses(Parallel((X, Y), (64, 32), body))
    read, write = found
    assert read.region == Region(A, (K * 64, Const(0)), (64, 32)) and read.exact
    assert write.region == Region(S, (Const(0), Const(0)), (64, 32)) and write.exact


def test_diagonals_and_strides_are_not_exact() -> None:
    diagonal = accesses(Parallel((X,), (32,), (Store(S, (X, X), Const(0.0, FLOAT16)),)))[0]
    strided = accesses(Parallel((X,), (32,), (Store(I, (X * 2,), Const(0, INT32)),)))[0]
    fused = accesses(Parallel((X, Y), (8, 8), (Store(I, (X * 8 + Y,), Const(0, INT32)),)))[0]
    assert not diagonal.exact and not strided.exact and fused.exact
    assert strided.region is not None and strided.region.extents == (63,)
    assert fused.region is not None and fused.region.extents == (64,)


def test_falling_index_starts_at_its_least_value() -> None:
    found = accesses(Parallel((X,), (64,), (Store(I, (Const(63) - X,), Const(0, INT32)),)))[0]
    assert found.region == Region(I, (Const(0),), (64,)) and found.exact


def test_nonlinear_index_sweeps_its_dimension() -> None:
    found = accesses(Parallel((X,), (64,), (Store(I, (X // 2,), Const(0, INT32)),)))[0]
    assert found.region == Region(I, (Const(0),), (64,)) and not found.exact


def test_guards_are_recorded_and_varying_ones_are_not_exact() -> None:
    fill = Fill(region(S), Const(0.0, FLOAT16))
    uniform = accesses(If(lt(K, 3), (fill,), (fill,)))
    assert [a.guard != Const(True, BOOL) for a in uniform] == [True, True]
    assert uniform[0].guard != uniform[1].guard and uniform[0].exact
    varying = accesses(Parallel((X,), (64,), (If(lt(X, 7), (Store(I, (X,), Const(0, INT32)),)),)))
    assert not varying[0].exact


def test_inner_loops_widen_regions() -> None:
    store = Store(I, (K,), Const(0, INT32))
    static = accesses(For(K, Const(16), (store,)))[0]
    assert static.region == Region(I, (Const(0),), (16,)) and static.exact
    dynamic = accesses(For(K, Var("n"), (store,)))[0]
    assert dynamic.region == Region(I, (Const(0),), (64,)) and not dynamic.exact


def test_bound_values_are_opaque() -> None:
    v = Var("v")
    body = (Let(v, index(Load(I, (X,)))), Store(S, (v, Const(0)), Const(0.0, FLOAT16)))
    found = accesses(Parallel((X,), (32,), body))
    assert summary(found) == [("I", "read", True), ("S", "write", False)]
    assert found[1].region is not None and found[1].region.extents == (64, 1) and not found[1].exact


def test_lets_in_scope_are_part_of_the_statement() -> None:
    v, w = Var("v"), Var("w")
    lets = {v: index(Load(I, (K,))), w: v + 1}
    found = accesses(Copy(region(A, w, 0, extents=(64, 32)), region(S)), lets)
    assert summary(found) == [("I", "read", True), ("A", "read", False), ("S", "write", False)]
    variables, loads = reach(w, lets)
    assert variables == {v, w, K} and [l.buffer for l in loads] == [I]


def test_thread_stage_statements() -> None:
    r = Buffer("r", (8,), FLOAT16, Space.LOCAL)
    flat = Buffer("flat", (2048,), FLOAT16, Space.SHARED)
    move = Move(Address(r, (Const(0),)), Address(flat, (K * 8,)), 8)
    found = accesses(move)
    assert [(a.buffer, a.kind, a.region and a.region.extents) for a in found] == [(flat, READ, (8,)), (r, WRITE, (8,))]
    load = AtomCall("ldmatrix_x4", (Address(r, (Const(0),)), Address(flat, (K,))))
    assert summary(accesses(load)) == [("r", "write", False), ("flat", "read", False)]
    store = AtomCall("stmatrix_x4", (Address(flat, (K,)), Address(r, (Const(0),))))
    assert summary(accesses(store)) == [("flat", "write", False), ("r", "read", False)]
    issue = AtomCall("cp_async_16", (Address(flat, (K,)), Address(A, (K, Const(0))), Const(True, BOOL)))
    assert summary(accesses(issue)) == [("flat", "write", False), ("A", "read", False)]
    assert summary(accesses(AtomicUpdate("add", I, (K,), Const(1, INT32)))) == [("I", "atomic", False)]


def test_both_sides_of_a_select_count() -> None:
    value = Select(lt(K, 1), Load(I, (Const(0),)), Load(I, (Const(1),)))
    assert len(accesses(Store(I, (Const(2),), value))) == 3


def test_overlap_compares_symbolic_offsets() -> None:
    a, b = region(A, K * 64, 0, extents=(64, 64)), region(A, K * 64 + 64, 0, extents=(64, 64))
    assert may_overlap(a, a) and not may_overlap(a, b)
    assert may_overlap(a, region(A, X, 0, extents=(64, 64)))
    d = Var("d")
    later = region(A, (K + d) * 64, 0, extents=(64, 64))
    assert not may_overlap(a, later, {d: (1, None)}) and may_overlap(a, later, {d: (0, None)})


def test_what_is_read_from_memory_equals_nothing() -> None:
    at = index(Load(I, (Const(0),)))
    a, b = region(A, at, 0, extents=(1, 64)), region(A, at + 1, 0, extents=(1, 64))
    assert may_overlap(a, b) and not covers([a], a)
    assert linear(at).terms


def test_cover_by_a_union() -> None:
    whole = region(S)
    left, right = region(S, 0, 0, extents=(64, 16)), region(S, 0, 16, extents=(64, 16))
    assert covers([left, right], whole) and not covers([left], whole) and not covers([], whole)
    assert covers([whole], left)
    assert covers([region(S, K, 0, extents=(8, 32))], region(S, K + 2, 4, extents=(4, 4)))


def test_versions_that_differ_do_not_overlap() -> None:
    one, two = (Region(S, (Const(0), Const(0)), (64, 32), Const(v)) for v in (0, 1))
    assert not may_overlap(one, two) and may_overlap(one, one)


def test_views_are_accesses_to_their_storage() -> None:
    v = Buffer("v", (2048,), FLOAT16, Space.SHARED)
    roots = storage_roots((View(v, S),))
    found = rooted(accesses(Fill(region(v), Const(0.0, FLOAT16))), roots)
    assert [(a.buffer, a.region, a.kind) for a in found] == [(S, None, WRITE)]


def test_predicates_are_reads() -> None:
    mask = Buffer("mask", (8,), BOOL)
    found = accesses(If(Binary("and", Load(mask, (K,)), lt(K, 4)), (Fill(region(S), Const(0.0, FLOAT16)),)))
    assert summary(found) == [("mask", "read", True), ("S", "write", False)]
