"""Layout inference: what each kind of program gets (algorithms.md B.5 to B.8), errors, and the check by mutation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from tiledsl.analysis.bank_conflicts import conflicts
from tiledsl.analysis.layout_tables import contains, equal, same_owners, thread_table
from tiledsl.errors import Span, TileError, VerifyError
from tiledsl.ir.dtypes import FLOAT16, FLOAT32, FLOAT64, INDEX, INT8, INT32, DType
from tiledsl.ir.layout import Digit, Fragment, Layout, fully_replicated, linear_at, partition, row_major
from tiledsl.ir.layout_ops import canonical, reduce_dim
from tiledsl.ir.nodes import (
    Alloc,
    Assigned,
    Assume,
    AtomicUpdate,
    Binary,
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
    Operand,
    Region,
    Select,
    Space,
    Stmt,
    Store,
    Var,
    View,
    eq,
    ge,
    lt,
    wrap,
)
from tiledsl.ir.swizzle import swizzled
from tiledsl.ir.tile import TILE_OPS, Atomic, Copy, Fill, Gemm, Parallel, Reduce, Scan, Transpose
from tiledsl.passes.facts import layouts_assigned
from tiledsl.passes.infer_layouts import infer_layouts, layouts_of, plan, with_loops
from tiledsl.passes.infer_layouts.rules import RULES
from tiledsl.target import target_named
from tiledsl.verifiers.layouts import verify_layouts

SM80 = target_named("sm_80")
ZERO = Const(0.0, FLOAT32)


def fragment(name: str, *shape: int, dtype: DType = FLOAT32) -> Buffer:
    return Buffer(name, shape, dtype, Space.FRAGMENT)


def shared(name: str, *shape: int, dtype: DType = FLOAT16) -> Buffer:
    return Buffer(name, shape, dtype, Space.SHARED)


def tensor(name: str, *shape: int, dtype: DType = FLOAT32) -> Buffer:
    return Buffer(name, shape, dtype)


def whole(b: Buffer) -> Region:
    return Region(b, tuple(Const(0) for _ in b.shape), tuple(b.shape))  # type: ignore[arg-type]


def part(b: Buffer, offsets: tuple[Operand, ...], extents: tuple[int, ...]) -> Region:
    return Region(b, tuple(wrap(o) for o in offsets), extents)


def at(line: int) -> Span:
    return Span("kernel.py", line, 4, line, 20)


def load(b: Buffer, *indices: Operand) -> Load:
    return Load(b, tuple(wrap(i) for i in indices))


def store(b: Buffer, indices: tuple[Operand, ...], value: Expr) -> Store:
    return Store(b, tuple(wrap(i) for i in indices), value)


def loop(extents: tuple[int, ...], body: Callable[..., Stmt | tuple[Stmt, ...]], **options: object) -> Parallel:
    variables = tuple(Var("ijkl"[d]) for d in range(len(extents)))
    made = body(*variables)
    return Parallel(variables, extents, made if isinstance(made, tuple) else (made,), **options)  # type: ignore[arg-type]


def kernel(*body: Stmt, threads: int = 128, layouts: tuple[Assigned, ...] = ()) -> Kernel:
    launch = Launch("k", (Const(1),), (Var("bx"),), (threads,), Var("tid"), body, layouts)
    return Kernel("k", (), (launch,))


class Result:
    """An inferred kernel, checked by brute force: the layout of each buffer and those of the loops in order."""

    def __init__(self, k: Kernel) -> None:
        self.kernel: Kernel = infer_layouts.run(k, target=SM80)
        verify_layouts(self.kernel)
        layouts_assigned(self.kernel)
        self.layouts = layouts_of(self.kernel.launches[0])
        self.loops = [s.layout for s in _loops(self.kernel.launches[0].body)]

    def fragment(self, b: Buffer) -> Fragment:
        layout = self.layouts[b]
        assert isinstance(layout, Fragment)
        return layout

    def shared(self, b: Buffer) -> Layout:
        layout = self.layouts[b]
        assert isinstance(layout, Layout)
        return layout


def _loops(block: tuple[Stmt, ...]):
    for s in block:
        if isinstance(s, Parallel):
            yield s
        for inner in ("body", "then", "orelse"):
            if not isinstance(s, Parallel):
                yield from _loops(getattr(s, inner, ()))


def infer(*body: Stmt, threads: int = 128, layouts: tuple[Assigned, ...] = ()) -> Result:
    return Result(kernel(*body, threads=threads, layouts=layouts))


def refused(code: str, *body: Stmt, threads: int = 128, layouts: tuple[Assigned, ...] = ()) -> TileError:
    with pytest.raises(TileError) as raised:
        infer(*body, threads=threads, layouts=layouts)
    assert raised.value.code == code, raised.value
    return raised.value


def product(m: int, n: int, k: int, c: Buffer | None = None, **options: object) -> tuple[Gemm, Buffer, Buffer, Buffer]:
    a, b = shared("A_shared", m, k), shared("B_shared", k, n)
    c = c or fragment("C_local", m, n)
    return Gemm(whole(a), whole(b), whole(c), **options), a, b, c  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------- tile operations


def test_every_tile_operation_has_a_rule() -> None:
    assert RULES.keys() == set(TILE_OPS)


def test_gemm_fixes_its_operands_and_the_copies_follow() -> None:
    gemm, a, b, c = product(128, 128, 32)
    A, C = tensor("A", 512, 512, dtype=FLOAT16), tensor("C", 512, 512, dtype=FLOAT16)
    r = infer(
        Fill(whole(c), ZERO),
        For(Var("k"), Const(4), (Copy(part(A, (0, 0), (128, 32)), whole(a)), gemm)),
        Copy(whole(c), part(C, (0, 0), (128, 128))),
    )
    assert r.shared(a) == swizzled((128, 32), 16, 64) and r.shared(b) == swizzled((32, 128), 16, 128)
    fill, copy_in, copy_out = r.loops
    assert equal(fill, r.fragment(c)) and equal(copy_out, r.fragment(c))
    assert copy_in == canonical(partition((128, 32), 128, 8))  # 16 bytes for each thread
    assert {a.buffer: a.why for a in r.kernel.launches[0].layouts}[c] == "operand c of T.gemm"


def test_a_user_swizzle_stays_and_two_gemms_agree_on_the_smaller() -> None:
    gemm, a, _, _ = product(64, 64, 64)
    given = row_major((64, 64), 8)
    assert infer(gemm, layouts=(Assigned(a, given),)).shared(a) == given
    # 64 x 64 as (m, k) and, by a view of its first rows, nothing else changes it
    other = Gemm(whole(shared("A2", 64, 64)), whole(a), whole(fragment("C2", 64, 64)))
    assert infer(gemm, other).shared(a) == swizzled((64, 64), 16, 128)


def test_attention_rows_follow_the_scores() -> None:
    """G2: row statistics are held by the four lanes of a row, and a second gemm reads the first's result in place."""
    s, w, o = fragment("s", 64, 64), fragment("w", 64, 64, dtype=FLOAT16), fragment("o", 64, 128)
    top, scale = fragment("top", 64), fragment("scale", 64)
    q, k, v = shared("q", 64, 128), shared("k", 64, 128), shared("v", 64, 128)
    r = infer(
        Fill(whole(o), ZERO),
        Gemm(whole(q), whole(k), whole(s), transpose_b=True, policy="full_row"),
        Reduce(whole(s), whole(top), "max", 1),
        loop((64,), lambda i: store(scale, (i,), load(top, i))),
        loop((64, 64), lambda i, j: store(s, (i, j), Binary("-", load(s, i, j), load(top, i)))),
        Copy(whole(s), whole(w)),
        loop((64, 128), lambda i, j: store(o, (i, j), Binary("*", load(o, i, j), load(scale, i)))),
        Gemm(whole(w), whole(v), whole(o), policy="full_row"),
    )
    derived = reduce_dim(r.fragment(s), 1)
    assert derived is not None and equal(r.fragment(top), derived) and equal(r.fragment(scale), derived)
    assert derived.replication == 4
    assert same_owners(r.fragment(s), r.fragment(w))


def test_column_reductions_leave_replicas_in_the_row_digits() -> None:
    gemm, _, _, c = product(128, 128, 32)
    columns = fragment("columns", 128)
    r = infer(gemm, Reduce(whole(c), whole(columns), "sum", 0))
    assert equal(r.fragment(columns), reduce_dim(r.fragment(c), 0))
    assert r.fragment(columns).replication == 16


@pytest.mark.parametrize("shape", [(64,), (64, 1)])
def test_reductions_may_keep_the_dimension(shape: tuple[int, ...]) -> None:
    x, y = fragment("x", 64, 32), fragment("y", *shape)
    r = infer(Fill(whole(x), ZERO), Reduce(whole(x), whole(y), "sum", 1))
    assert r.fragment(y).shape == shape


def test_scans_take_row_major_shared_tiles_and_equal_fragments() -> None:
    a, b = shared("a", 32, 64), shared("b", 32, 64)
    x, y = fragment("x", 32, 64), fragment("y", 32, 64)
    X = tensor("X", 32, 64)
    r = infer(Scan(whole(a), whole(b), "sum", 1), Copy(whole(X), whole(x)), Scan(whole(x), whole(y), "sum", 1))
    assert r.shared(a) == r.shared(b) == row_major((32, 64))
    assert equal(r.fragment(x), r.fragment(y))


def test_multiply_add_gemm_deals_elements_to_threads() -> None:
    a, b = shared("a", 64, 16, dtype=FLOAT32), shared("b", 16, 64, dtype=FLOAT32)
    c = fragment("c", 64, 64)
    r = infer(Gemm(whole(a), whole(b), whole(c)))
    assert r.fragment(c).num_regs == 32 and r.fragment(c).replication == 1


def test_asynchronous_copies_keep_their_mark() -> None:
    A, a = tensor("A", 64, 64, dtype=FLOAT16), shared("a", 64, 64)
    r = infer(Copy(whole(A), whole(a), asynchronous=True), Copy(whole(A), whole(shared("b", 64, 64))))
    marks = [s.body[0].asynchronous for s in _loops(r.kernel.launches[0].body)]
    assert marks == [True, False]


def test_atomics_and_transposes_become_loops() -> None:
    x, t = fragment("x", 32, 64), fragment("t", 64, 32)
    X = tensor("X", 32, 64)
    r = infer(Copy(whole(X), whole(x)), Atomic("add", whole(X), whole(x)), Transpose(whole(x), whole(t)))
    assert len(r.loops) == 3
    owners = thread_table(r.fragment(x)).reshape(32, 64).T
    assert (thread_table(r.fragment(t)).reshape(64, 32) == owners).all()


# --------------------------------------------------------------------------------- B.8: the corner cases, by number


def test_B8_1_the_root_with_the_fewest_registers_wins() -> None:
    """A[i, j] = S[j] after S was loaded: every fragment is spread, none is replicated over all threads."""
    A, S = fragment("A", 16, 32), fragment("S", 32)
    X, Y = tensor("X", 32), tensor("Y", 16, 32)
    r = infer(
        Copy(whole(X), whole(S)),
        loop((16, 32), lambda i, j: store(A, (i, j), load(S, j))),
        Copy(whole(A), whole(Y)),
    )
    assert r.fragment(A).num_regs == 4 and r.fragment(S).num_regs <= 4


def test_B8_1_rows_of_global_memory_stay_coalesced() -> None:
    """C[i, j] = A[i, j] * s[i]: one register fewer for s would cost a thread for each row."""
    s, S, A, C = fragment("s", 128), tensor("S", 128), tensor("A", 128, 64), tensor("C", 128, 64)
    scaled = loop((128, 64), lambda i, j: store(C, (i, j), Binary("*", load(A, i, j), load(s, i))))
    r = infer(Copy(whole(S), whole(s)), scaled)
    assert r.loops[1] == canonical(partition((128, 64), 128, 4))
    assert equal(r.fragment(s), reduce_dim(r.loops[1], 1))


def test_B8_2_conflict_between_two_instructions_is_an_error_that_shows_both() -> None:
    first, _, _, c = product(64, 64, 32, policy="full_row")
    second, _, _, d = product(64, 64, 32, fragment("D_local", 64, 64), policy="full_col")
    raised = refused(
        "TD0301",
        replace(first, span=at(10)),
        replace(second, span=at(11)),
        replace(Copy(whole(c), whole(d)), span=at(12)),
    )
    assert raised.span == at(12)
    assert {span.line for _, span in raised.notes} == {10, 11}
    assert "T0:8" in raised.message and "T32:0" in raised.message  # from the first column that moves to another warp


def test_B8_2_one_fragment_in_two_roles_is_a_conflict() -> None:
    """A result that is used as an operand of another arrangement of warps: both statements are named."""
    c = fragment("c", 64, 64, dtype=FLOAT16)
    gemm = Gemm(whole(shared("a", 64, 32)), whole(shared("b", 32, 64)), whole(c), policy="full_col", span=at(3))
    out = fragment("out", 64, 64)
    second = Gemm(whole(c), whole(shared("v", 64, 64)), whole(out), policy="full_row", span=at(7))
    raised = refused("TD0301", gemm, second)
    assert [span for _, span in raised.notes] == [at(3), at(7)]


def test_B8_3_a_full_reduction_is_held_by_every_thread() -> None:
    x, rows, total = fragment("x", 64, 32), fragment("rows", 64), fragment("total", 1)
    X, Y = tensor("X", 64, 32), tensor("Y", 1)
    r = infer(
        Copy(whole(X), whole(x)),
        Reduce(whole(x), whole(rows), "sum", 1),
        Reduce(whole(rows), whole(total), "sum", 0),
        Copy(whole(total), whole(Y)),
    )
    assert r.fragment(total).replication == 128
    assert r.loops[-1].replication == 128  # lowering lets one replica store


@pytest.mark.parametrize("as_copy", [True, False])
def test_B8_4_a_replicated_fragment_is_stored_without_indexing_by_thread(as_copy: bool) -> None:
    f, Y = fragment("f", 16), tensor("Y", 16)
    k = Var("k")
    body = Copy(whole(f), whole(Y)) if as_copy else loop((16,), lambda i: store(Y, (i,), load(f, i)))
    r = infer(Store(f, (Const(3),), ZERO), For(k, Const(16), (Store(f, (k,), ZERO),)), body)
    assert r.fragment(f) == fully_replicated((16,), 128)
    assert equal(r.loops[-1], r.fragment(f))


def test_B8_5_fused_indices_are_read_as_digits() -> None:
    """(k // 8, k % 8) on one parallel variable, against a fragment of a gemm-like layout."""
    x, y, X = fragment("x", 16, 8), fragment("y", 128), tensor("X", 16, 8)
    r = infer(
        Copy(whole(X), whole(x)),
        loop((128,), lambda k: store(y, (k,), load(x, k // 8, k % 8))),
    )
    assert (thread_table(r.fragment(y)) == thread_table(r.fragment(x))).all()


def test_B8_5_fused_replication_of_a_row() -> None:
    s, y, S = fragment("s", 16), fragment("y", 128), tensor("S", 16)
    r = infer(Copy(whole(S), whole(s)), loop((128,), lambda k: store(y, (k,), load(s, k // 8))))
    assert r.fragment(y).num_regs <= 2


@pytest.mark.parametrize(
    "annotated",
    [
        partition((64, 32), 128, 4),
        partition((64, 32), 128, 1),
        Fragment((64, 32), (Digit(2, 0), Digit(64, 4)), (Digit(8, 256), Digit(4, 1))),
    ],
    ids=["vec4", "identity", "replicated vec4"],
)
def test_B8_6_an_annotated_loop_layout_is_kept(annotated: Fragment) -> None:
    x, X = fragment("x", 64, 32), tensor("X", 64, 32)
    r = infer(loop((64, 32), lambda i, j: store(x, (i, j), load(X, i, j)), layout=annotated))
    assert r.loops == [annotated] and equal(r.fragment(x), annotated)


@pytest.mark.parametrize("columns", [24, 40, 96, 1, 7])
@pytest.mark.parametrize("threads", [128, 96, 384])
def test_B8_7_odd_widths_and_column_broadcast(columns: int, threads: int) -> None:
    x, s, X, S = fragment("x", 64, columns), fragment("s", 64), tensor("X", 64, columns), tensor("S", 64)
    r = infer(
        Copy(whole(S), whole(s)),
        loop((64, columns), lambda i, j: store(x, (i, j), load(s, i))),
        Copy(whole(x), whole(X)),
        threads=threads,
    )
    assert r.fragment(x).num_regs * threads >= 64 * columns


@pytest.mark.parametrize("columns", [24, 40, 96, 13])
def test_B8_7_row_reductions_of_odd_widths(columns: int) -> None:
    x, s, X = fragment("x", 64, columns), fragment("s", 64), tensor("X", 64, columns)
    r = infer(Copy(whole(X), whole(x)), Reduce(whole(x), whole(s), "sum", 1))
    assert contains(reduce_dim(r.fragment(x), 1), r.fragment(s))


def test_B8_7_ragged_loops_minimise_the_padded_work() -> None:
    """1024 elements on 384 threads (#2296): width 1 needs 1152 points, width 4 would need 1536."""
    X, Y = tensor("X", 1024), tensor("Y", 1024)
    r = infer(loop((1024,), lambda i: store(Y, (i,), load(X, i))), threads=384)
    assert r.loops[0].is_ragged and r.loops[0].padded_size == 1152
    wide = infer(loop((4096,), lambda i: store(tensor("Z", 4096), (i,), load(tensor("W", 4096), i))), threads=128)
    assert wide.loops[0] == canonical(partition((4096,), 128, 4))


def test_B8_10_annotations_for_another_shape_or_block_are_refused() -> None:
    x = fragment("x", 64, 32)
    X = tensor("X", 64, 32)
    for wrong in (partition((64, 32), 64, 1), partition((32, 64), 128, 1)):
        refused("TD0307", loop((64, 32), lambda i, j: store(X, (i, j), ZERO), layout=wrong))
    refused("TD0307", Fill(whole(x), ZERO), layouts=(Assigned(x, partition((32, 64), 128, 1)),))
    refused("TD0307", Fill(whole(x), ZERO), layouts=(Assigned(x, partition((64, 32), 256, 1)),))


def test_an_annotation_for_fewer_threads_is_replicated() -> None:
    x = fragment("x", 64, 32)
    r = infer(Fill(whole(x), ZERO), layouts=(Assigned(x, partition((64, 32), 64, 1)),))
    assert r.fragment(x).replication == 2 and r.fragment(x).num_threads == 128


def test_B8_11_no_legal_partition_of_the_warps() -> None:
    gemm, *_ = product(16, 16, 32)
    raised = refused("TD0310", replace(gemm, span=at(9)), threads=512)
    assert "16 x 16" in raised.message and "16 warps" in raised.message and "32, 64 threads" in raised.hint
    assert raised.span == at(9)


# ---------------------------------------------------------------------------------- B.7: index fragments and binds


@pytest.mark.parametrize("binds", [0, 1, 2])
def test_I14_index_fragments_are_held_by_every_thread(binds: int) -> None:
    """#1484: the mask is read through no, one or two nested binds, in a condition and in the address of a copy."""
    mask, M = fragment("mask", 16, dtype=INT32), tensor("M", 16, dtype=INT32)
    A, a = tensor("A", 512, 64, dtype=FLOAT16), shared("a", 32, 64)
    k, first, second = Var("k"), Var("first", INT32), Var("second", INT32)
    value: Expr = load(mask, k)
    lets: list[Stmt] = []
    if binds >= 1:
        lets.append(Let(first, value))
        value = first
    if binds == 2:
        lets.append(Let(second, Binary("+", first, Const(0, INT32))))
        value = second
    row = Cast(INDEX, value) * 32
    guarded = If(Binary(">=", value, Const(0, INT32)), (Copy(part(A, (row, 0), (32, 64)), whole(a)),))
    r = infer(Copy(whole(M), whole(mask)), For(k, Const(16), (*lets, guarded)))
    assert r.fragment(mask) == fully_replicated((16,), 128)
    assert r.loops[1] == canonical(partition((32, 64), 128, 8))


def test_I15_binds_do_not_change_the_result() -> None:
    mask, A, a = fragment("mask", 16, dtype=INT32), tensor("A", 512, 64, dtype=FLOAT16), shared("a", 32, 64)
    k, x = Var("k"), Var("x")

    def program(bound: bool) -> Result:
        row = Cast(INDEX, load(mask, k)) * 32
        let = (Let(x, row),) if bound else ()
        copy = Copy(part(A, (x if bound else row, 0), (32, 64)), whole(a))
        return infer(Fill(whole(mask), Const(0, INT32)), For(k, Const(16), (*let, copy)))

    plain, with_let = program(False), program(True)
    assert plain.layouts == with_let.layouts and plain.loops == with_let.loops


def test_an_index_fragment_read_inside_a_loop_is_held_where_it_is_used() -> None:
    """Y[i] = X[table[i]]: the table is indexed by the loop, so it is spread like the loop."""
    table, T = fragment("table", 128, dtype=INT32), tensor("T", 128, dtype=INT32)
    X, Y = tensor("X", 512), tensor("Y", 128)
    r = infer(
        Copy(whole(T), whole(table)),
        loop((128,), lambda i: store(Y, (i,), load(X, Cast(INDEX, load(table, i))))),
    )
    assert r.fragment(table).replication == 1


def test_TD0302_a_fragment_of_a_gemm_cannot_be_indexed_by_a_serial_variable() -> None:
    gemm, _, _, c = product(64, 64, 32)
    k, Y = Var("k"), tensor("Y", 64)
    raised = refused(
        "TD0302",
        replace(gemm, span=at(5)),
        For(k, Const(64), (loop((64,), lambda i: store(Y, (i,), load(c, i, k)), span=at(8)),)),
    )
    assert "'k'" in raised.message and "T.Parallel" in raised.hint
    assert raised.span == at(8)
    scalar = refused("TD0302", gemm, If(lt(load(c, k, 0), 1), ()))
    assert "'k, 0'" in scalar.message


def test_versions_of_a_shared_tile_share_one_layout() -> None:
    """I23, B8.8: the layout is that of one version; lowering multiplies."""
    gemm, a, _, _ = product(64, 64, 64)
    many = Buffer("A_shared", (64, 64), FLOAT16, Space.SHARED, versions=3)
    versioned = replace(gemm, a=Region(many, gemm.a.offsets, gemm.a.extents, Const(1)))
    assert infer(versioned).shared(many) == infer(gemm).shared(a)


def test_serial_loops_inside_see_whole_rows() -> None:
    """for k in range(32): s[i] += x[i, k] puts each row of x into one thread."""
    x, s, X = fragment("x", 128, 8), fragment("s", 128), tensor("X", 128, 8)
    k = Var("k")
    r = infer(
        Copy(whole(X), whole(x)),
        Fill(whole(s), ZERO),
        loop((128,), lambda i: For(k, Const(8), (store(s, (i,), Binary("+", load(s, i), load(x, i, k))),))),
    )
    assert r.fragment(x).num_regs == 8 and r.fragment(s).num_regs == 1


def test_TD0304_iterations_must_not_use_what_others_write() -> None:
    x = fragment("x", 64, 64)
    raised = refused("TD0304", loop((64, 64), lambda i, j: store(x, (i, j), load(x, j, i)), span=at(4)))
    assert "[i, j]" in raised.message and "[j, i]" in raised.message and raised.span == at(4)


def test_TD0305_points_of_different_threads_must_not_write_one_element() -> None:
    x, y = fragment("x", 64, 64), fragment("y", 64)
    gemm = Gemm(whole(shared("a", 64, 32)), whole(shared("b", 32, 64)), whole(x))
    refused("TD0305", gemm, loop((64, 64), lambda i, j: store(y, (i,), load(x, i, j))))


def test_TD0309_widths_that_do_not_fit() -> None:
    X, Y = tensor("X", 64, 40), tensor("Y", 64, 40)
    for width in (3, 8, 16):
        refused("TD0309", loop((64, 40), lambda i, j: store(Y, (i, j), load(X, i, j)), width=width))
    r = infer(loop((64, 40), lambda i, j: store(Y, (i, j), load(X, i, j)), width=2))
    assert r.loops[0].regs[-1] == Digit(2, 1)


# -------------------------------------------------------------------------------------------------- replicated loops


def test_I6_effects_in_replicated_loops_keep_one_replica_per_point() -> None:
    """#2881: a row statistic held by four lanes is added to memory once: the loop names its replicas."""
    gemm, _, _, c = product(64, 64, 32, policy="full_row")
    rows, Y = fragment("rows", 64), tensor("Y", 64)
    r = infer(
        gemm,
        Reduce(whole(c), whole(rows), "sum", 1),
        loop((64,), lambda i: AtomicUpdate("add", Y, (i,), load(rows, i))),
    )
    assert r.loops[-1].replication == 4
    assert r.loops[-1].padded_size == 64


def test_a_loop_that_stores_a_fragment_and_memory_runs_on_all_owners() -> None:
    gemm, _, _, c = product(64, 64, 32, policy="full_row")
    rows, out, Y = fragment("rows", 64), fragment("out", 64), tensor("Y", 64)
    r = infer(
        gemm,
        Reduce(whole(c), whole(rows), "sum", 1),
        loop((64,), lambda i: (store(out, (i,), load(rows, i)), store(Y, (i,), load(rows, i)))),
    )
    assert equal(r.fragment(out), r.fragment(rows)) and r.loops[-1].replication == 4


def test_a_fragment_grows_to_the_owners_that_a_later_reader_needs() -> None:
    """bias is loaded plainly, then read by columns of an accumulator: it becomes replicated over the rows."""
    gemm, _, _, c = product(64, 64, 32)
    bias, B = fragment("bias", 64), tensor("B", 64)
    r = infer(
        Copy(whole(B), whole(bias)),
        gemm,
        loop((64, 64), lambda i, j: store(c, (i, j), Binary("+", load(c, i, j), load(bias, j)))),
    )
    assert equal(r.fragment(bias), reduce_dim(r.fragment(c), 0))
    assert equal(r.loops[0], r.fragment(bias))


def test_attempts_follow_known_fragments_before_inventing_others() -> None:
    """640 elements on 96 threads leave replicas; two loops that read x must still agree with what they write."""
    x, flat, turned = fragment("x", 16, 40), fragment("flat", 640), fragment("turned", 40, 16)
    X, F, T = tensor("X", 16, 40), tensor("F", 640), tensor("T", 40, 16)
    r = infer(
        Copy(whole(F), whole(flat)),
        Copy(whole(X), whole(x)),
        Copy(whole(T), whole(turned)),
        loop((640,), lambda i: store(flat, (i,), load(x, i // 40, i % 40))),
        loop((40, 16), lambda i, j: store(turned, (i, j), load(x, j, i))),
        Copy(whole(flat), whole(F)),
        Copy(whole(turned), whole(T)),
        threads=96,
    )
    assert same_owners(Fragment((640,), r.fragment(x).threads, r.fragment(x).regs), r.fragment(flat))


def test_a_small_fragment_with_two_kinds_of_readers_is_held_by_every_thread() -> None:
    """Neither layout of s contains the other, so it grows to the top of the order."""
    gemm, _, _, c = product(64, 64, 32, policy="full_row")
    s, S = fragment("s", 64), tensor("S", 64)

    def both(i: Var, j: Var) -> Store:
        return store(c, (i, j), Binary("*", load(s, i), load(s, j)))

    r = infer(Copy(whole(S), whole(s)), gemm, loop((64, 64), both))
    assert r.fragment(s).replication == 128


# ------------------------------------------------------------------------------------------------------ shared tiles


def warp_conflicts(layout: Layout, loop_layout: Fragment, turned: bool, width: int, bits: int) -> int:
    """Conflicts of the first warp's accesses to the tile, counted here from the loop alone."""
    total = 0
    for reg in range(0, loop_layout.num_regs, width):
        points = [int(linear_at(loop_layout, lane, reg)) for lane in range(32)]
        i, j = [p // loop_layout.shape[1] for p in points], [p % loop_layout.shape[1] for p in points]
        at_ = [np.array(j), np.array(i)] if turned else [np.array(i), np.array(j)]
        total += conflicts(layout, at_, bits, width)
    return total


@pytest.mark.parametrize("dtype", [FLOAT16, FLOAT32, FLOAT64, INT8])
@pytest.mark.parametrize("direct", [True, False])
def test_a_transpose_through_shared_memory_has_no_bank_conflicts(dtype: DType, direct: bool) -> None:
    A, B = tensor("A", 512, 512, dtype=dtype), tensor("B", 512, 512, dtype=dtype)
    tile, turned = shared("tile", 64, 64, dtype=dtype), shared("turned", 64, 64, dtype=dtype)
    copy_in = Copy(part(A, (0, 0), (64, 64)), whole(tile))
    out = part(B, (0, 0), (64, 64))
    steps = (
        [Transpose(whole(tile), out)] if direct else [Transpose(whole(tile), whole(turned)), Copy(whole(turned), out)]
    )
    r = infer(copy_in, *steps)
    bits = dtype.bits
    layout = r.shared(tile)
    width_in = r.loops[0].regs[-1].extent if r.loops[0].regs[-1].stride == 1 else 1
    assert warp_conflicts(layout, r.loops[0], False, width_in, bits) == 0
    assert warp_conflicts(layout, r.loops[1], True, 1, bits) == 0
    if not direct:
        store_width = r.loops[1].regs[-1].extent if r.loops[1].regs[-1].stride == 1 else 1
        assert warp_conflicts(r.shared(turned), r.loops[1], False, store_width, bits) == 0


@pytest.mark.parametrize("shape", [(24, 40), (32, 64), (7, 6)])
@pytest.mark.parametrize("dim", [0, 1])
def test_a_fragment_may_be_written_in_parts_only(shape: tuple[int, int], dim: int) -> None:
    """The dimension that is cut lies in registers, unless a statement on the whole tile says otherwise."""
    half = tuple(n // 2 if d == dim else n for d, n in enumerate(shape))
    x, A, B = fragment("x", *shape), tensor("A", *shape), tensor("B", *shape)
    parts = [(0, 0), tuple(n // 2 if d == dim else 0 for d, n in enumerate(shape))]
    # The part that ends the tile is written first: an odd extent leaves an element between them unwritten.
    copies = [Copy(part(A, at_, half), part(x, at_, half)) for at_ in reversed(parts)]
    alone = infer(*copies, threads=96).fragment(x)
    threads = thread_table(alone).reshape(*shape, -1)
    assert (threads == threads.take([0], axis=dim)).all()
    infer(*copies, Copy(whole(x), whole(B)), threads=96)


@pytest.mark.parametrize("dtype", [FLOAT16, FLOAT32, INT8])
@pytest.mark.parametrize("target", [Space.FRAGMENT, Space.SHARED])
def test_lines_of_a_shared_tile_are_reduced_without_bank_conflicts(dtype: DType, target: Space) -> None:
    """Lanes that each reduce a row start in different banks; those that reduce a column need no padding."""
    A, a, r = tensor("A", 64, 64), shared("a", 64, 64, dtype=dtype), Buffer("r", (64,), FLOAT32, target)
    rows = infer(Copy(whole(A), whole(a)), Reduce(whole(a), whole(r), "sum", 1)).shared(a)
    lanes = [np.arange(32), np.zeros(32, int)]
    assert conflicts(row_major((64, 64)), lanes, dtype.bits) > 0
    assert conflicts(rows, lanes, dtype.bits) == 0
    columns = infer(Copy(whole(A), whole(a)), Reduce(whole(a), whole(r), "sum", 0))
    assert columns.shared(a) == row_major((64, 64))


def test_shared_tiles_read_along_rows_stay_row_major() -> None:
    A, a, x = tensor("A", 64, 64), shared("a", 64, 64, dtype=FLOAT32), fragment("x", 64, 64)
    r = infer(Copy(whole(A), whole(a)), Copy(whole(a), whole(x)))
    assert r.shared(a) == row_major((64, 64))


# --------------------------------------------------------------------------------------------------------- the whole


def test_I8_views_share_the_places_of_their_storage() -> None:
    x, flat = fragment("x", 16, 64), fragment("flat", 1024)
    X, Y = tensor("X", 16, 64), tensor("Y", 1024)
    r = infer(Copy(whole(X), whole(x)), View(flat, x), Copy(whole(flat), whole(Y)))
    assert (r.fragment(x).threads, r.fragment(x).regs) == (r.fragment(flat).threads, r.fragment(flat).regs)


def test_I1_fragments_that_nobody_decides_get_a_layout() -> None:
    x = fragment("x", 8, 13)
    assert infer(Alloc(x)).fragment(x).shape == (8, 13)


def softmax() -> tuple[Stmt, ...]:
    x, m, y = fragment("x", 32, 256), fragment("m", 32), fragment("y", 32, 256)
    X, Y = tensor("X", 32, 256), tensor("Y", 32, 256)
    return (
        Copy(whole(X), whole(x)),
        Reduce(whole(x), whole(m), "max", 1),
        loop((32, 256), lambda i, j: store(y, (i, j), Binary("-", load(x, i, j), load(m, i)))),
        Copy(whole(y), whole(Y)),
    )


def test_I10_inference_of_its_own_result_changes_nothing() -> None:
    first = infer(*softmax())
    again: Kernel = infer_layouts.run(first.kernel, target=SM80)
    assert layouts_of(again.launches[0]) == first.layouts
    assert again.launches[0].body == first.kernel.launches[0].body


def test_I11_names_and_repetition_do_not_matter() -> None:
    def shape_of(r: Result) -> list[object]:
        return [*r.layouts.values(), *r.loops]

    assert shape_of(infer(*softmax())) == shape_of(infer(*softmax()))


def test_I2_strict_layouts_survive_free_choices() -> None:
    gemm, _, _, c = product(64, 64, 32)
    alone = infer(gemm).fragment(c)
    assert equal(infer(*softmax(), gemm, Fill(whole(c), ZERO)).fragment(c), alone)


def test_assumptions_allow_vectors_on_run_time_strides() -> None:
    n = Var("n")
    X, Y = Buffer("X", (64, n), FLOAT32), Buffer("Y", (64, n), FLOAT32)
    body = loop((64, 64), lambda i, j: store(Y, (i, j), load(X, i, j)))
    assert infer(body).loops[0] == canonical(partition((64, 64), 128, 1))
    assumed = Assume(eq(n % 4, 0))
    assert infer(assumed, body).loops[0] == canonical(partition((64, 64), 128, 4))


def test_plans_print() -> None:
    launch = with_loops(kernel(*softmax()).launches[0])
    text = str(plan(launch, SM80))
    assert "m: Fragment" in text and "loop 2" in text


# ------------------------------------------------------------------------------- the check itself: it finds mutations


def mutated(k: Kernel, change: Callable[[Launch], Launch]) -> Kernel:
    return replace(k, launches=(change(k.launches[0]),))


def with_layout(launch: Launch, index: int, layout: Fragment | Layout) -> Launch:
    table = list(launch.layouts)
    table[index] = Assigned(table[index].buffer, layout)
    return replace(launch, layouts=tuple(table))


def with_loop(launch: Launch, index: int, layout: Fragment | None) -> Launch:
    body = list(launch.body)
    where = [i for i, s in enumerate(body) if isinstance(s, Parallel)][index]
    body[where] = replace(body[where], layout=layout)
    return replace(launch, body=tuple(body))


def test_the_check_finds_what_is_wrong() -> None:
    good = infer(*softmax()).kernel
    names = {a.buffer.name: i for i, a in enumerate(good.launches[0].layouts)}
    x, m = good.launches[0].layouts[names["x"]].layout, good.launches[0].layouts[names["m"]].layout
    assert isinstance(x, Fragment) and isinstance(m, Fragment)
    other = partition((32, 256), 128, 1)
    turned = Fragment(x.shape, (Digit(128, 64),), (Digit(64, 1),))
    doubled = Fragment(x.shape, x.threads, (Digit(2, 0), *x.regs))
    few = Fragment(m.shape, (Digit(4, 8), Digit(32, 0)), (Digit(8, 1),))
    mutations: list[tuple[str, Callable[[Launch], Launch]]] = [
        ("I1", lambda n: replace(n, layouts=n.layouts[1:])),
        ("I1", lambda n: with_loop(n, 0, None)),
        ("I1", lambda n: with_loop(n, 0, partition((256, 32), 128, 1))),
        ("I5", lambda n: with_layout(n, names["x"], other)),
        ("I5", lambda n: with_loop(n, 0, other)),
        ("I4", lambda n: with_loop(n, 2, turned)),
        ("I7|L1", lambda n: with_loop(n, 0, doubled)),
        ("I16", lambda n: with_layout(n, names["m"], few)),
    ]
    for expected, change in mutations:
        with pytest.raises(VerifyError) as raised:
            verify_layouts(mutated(good, change))
        assert any(name in raised.value.message for name in expected.split("|")), (expected, raised.value.message)


def test_the_check_finds_writers_that_are_too_few() -> None:
    """I5 in the other direction: replicas of which not all are written."""
    x = fragment("x", 128)
    k = infer(Fill(whole(x), ZERO), layouts=(Assigned(x, fully_replicated((128,), 128)),)).kernel
    with pytest.raises(VerifyError, match="I5: not every owner"):
        verify_layouts(mutated(k, lambda n: with_loop(n, 0, partition((128,), 128, 1))))


def test_the_check_finds_scalar_reads_of_spread_fragments() -> None:
    mask = fragment("mask", 128, dtype=INT32)
    k = infer(Fill(whole(mask), Const(0, INT32)), If(Binary(">=", load(mask, 0), Const(0, INT32)), ())).kernel
    spread = partition((128,), 128, 1)
    with pytest.raises(VerifyError, match="I14"):
        verify_layouts(mutated(k, lambda n: with_loop(with_layout(n, 0, spread), 0, spread)))


def test_the_check_finds_shared_layouts_that_overlap() -> None:
    gemm, a, _, _ = product(64, 64, 32)
    k = infer(gemm).kernel
    index = next(i for i, x in enumerate(k.launches[0].layouts) if x.buffer is a)
    for bad in (Layout((64, 32), ((Digit(64, 16),), (Digit(32, 1),)), 1040), row_major((32, 64))):
        with pytest.raises(VerifyError, match=r"L18|I1"):
            verify_layouts(mutated(k, lambda n, bad=bad: with_layout(n, index, bad)))
    outside = Layout((64, 32), row_major((64, 32)).dims, 2000)
    with pytest.raises(VerifyError, match="L18"):
        verify_layouts(mutated(k, lambda n: with_layout(n, index, outside)))


def test_the_check_follows_data_dependent_indices() -> None:
    """A fragment indexed by a loaded value must be held whole."""
    x, at_ = fragment("x", 64), tensor("P", 64, dtype=INT32)
    y = fragment("y", 64)
    read = loop((64,), lambda i: store(y, (i,), load(x, Cast(INDEX, load(at_, i)))))
    r = infer(Fill(whole(x), ZERO), read)
    assert r.fragment(x).replication == 128
    index = next(i for i, a in enumerate(r.kernel.launches[0].layouts) if a.buffer is x)
    spread = Fragment((64,), (Digit(2, 0), Digit(64, 1)), ())
    with pytest.raises(VerifyError, match="I4"):
        verify_layouts(mutated(r.kernel, lambda n: with_loop(with_layout(n, index, spread), 0, spread)))


def test_selects_in_indices() -> None:
    x, y, X = fragment("x", 64), fragment("y", 64), tensor("X", 64)
    clamped = loop((64,), lambda i: store(y, (i,), load(x, Select(ge(i, 1), i - 1, Const(0)))))
    r = infer(Copy(whole(X), whole(x)), clamped)
    assert r.fragment(x).replication > 1  # neighbours' elements are needed too
