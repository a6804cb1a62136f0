"""The thread-stage execution: control flow, instructions, atomics, collectives, every report of the checking memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from handwritten_gemm import Parts, Tiles, gemm

from tiledsl.cpu import atoms, interp, tile_interp
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.errors import Span, TileError
from tiledsl.ir.dtypes import BOOL, FLOAT16, FLOAT32, INT4, INT32, UINT8, UINT32, DType, Kind
from tiledsl.ir.layout import linear_at, unravel
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    Assert,
    Assume,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    AtomicUpdate,
    Barrier,
    Binary,
    Block,
    Break,
    Buffer,
    Call,
    Cast,
    Const,
    Continue,
    Expr,
    Extern,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Move,
    Node,
    Param,
    Persistent,
    Print,
    SafeValue,
    Select,
    SharedSlot,
    Space,
    Store,
    Var,
    Vectorized,
    View,
    While,
    eq,
    ge,
    lt,
)
from tiledsl.isa.atom import Atom
from tiledsl.isa.table import ATOMS

Array = np.ndarray[Any, Any]
SMALL = Tiles(32, 32, 16, 32, 3)
T, BX = Var("t"), Var("bx")
ZERO = Const(0)


def kernel(*params: Param, body: Block, blocks: int = 1, threads: int = 64, **launch: Any) -> Kernel:
    return Kernel("k", params, (Launch("k", (Const(blocks),), (BX,), (threads,), T, body, **launch),))


def at(line: int) -> Span:
    return Span("kernel.py", line, 0, line, 1)


def out(n: int, dtype: DType = INT32, name: str = "Y") -> Buffer:
    return Buffer(name, (n,), dtype)


def i32(e: Expr | int) -> Expr:
    return Cast(INT32, e) if isinstance(e, Expr) else Const(e, INT32)


def run_one(y: Buffer, body: Block, threads: int = 64, blocks: int = 1, **how: Any) -> Array:
    """What the kernel leaves in its only tensor, which starts as -1."""
    n = y.shape[0]
    assert isinstance(n, int)
    array = np.full(n, -1).astype(y.dtype.numpy)
    interp.run(kernel(y, body=body, threads=threads, blocks=blocks), {y.name: array}, **how)
    return array


# ------------------------------------------------------------------------------------------------------ whole GEMM


@pytest.fixture(scope="module")
def operands() -> tuple[Array, Array, Array]:
    rng = np.random.default_rng(0)
    a, b = (rng.integers(-1, 2, (64, 128)).astype(np.float16) for _ in range(2))
    return a, b, a.astype(int) @ b.astype(int).T


@pytest.mark.parametrize("mode", ["early", "late", "random"])
@pytest.mark.parametrize("check", [False, True])
def test_gemm_with_ldmatrix_mma_and_cp_async(operands: tuple[Array, Array, Array], check: bool, mode: str) -> None:
    a, b, expected = operands
    c = np.full((64, 64), np.nan, np.float32)
    interp.run(gemm(64, 64, 128, SMALL), {"A": a, "B": b, "C": c}, check=check, mode=mode)  # type: ignore[arg-type]
    assert (c == expected).all()


MUTANTS = {
    "no barrier": (Parts(barrier_before=False), {"TD0804"}),
    "no wait": (Parts(wait=False), {"TD0805"}),
    "one group too many in flight": (Parts(pending=2), {"TD0805"}),
    "no commit in the loop": (Parts(commit=False), {"TD0805"}),
    "copy into the version being read": (Parts(version_of_copy=1), {"TD0803", "TD0804", "TD0805"}),
    "no wait at the end": (Parts(final_wait=False, pending=1), None),
    "a chunk is never copied": (Parts(drop_last_copy=True), {"TD0803"}),
}


@pytest.mark.parametrize("mode", ["early", "late", "random"])
@pytest.mark.parametrize("mutant", MUTANTS)
def test_S10_mutants_of_the_gemm_are_reported(operands: tuple[Array, Array, Array], mutant: str, mode: str) -> None:
    """S10, P13, P16: the verdict depends on the order of accesses only, never on when the data landed."""
    parts, codes = MUTANTS[mutant]
    a, b, expected = operands
    c = np.full((64, 64), np.nan, np.float32)
    arguments = {"A": a, "B": b, "C": c}
    if codes is None:  # the copies of the last iterations are guarded off: nothing is left in flight
        interp.run(gemm(64, 64, 128, SMALL, parts), arguments, mode=mode)  # type: ignore[arg-type]
        assert (c == expected).all()
        return
    with pytest.raises(TileError) as caught:
        interp.run(gemm(64, 64, 128, SMALL, parts), arguments, mode=mode)  # type: ignore[arg-type]
    assert caught.value.code in codes


def test_late_completion_shows_a_missing_wait_as_wrong_numbers(operands: tuple[Array, Array, Array]) -> None:
    a, b, _ = operands
    c = np.zeros((64, 64), np.float32)
    interp.run(gemm(64, 64, 128, SMALL, Parts(wait=False)), {"A": a, "B": b, "C": c}, check=False, mode="late")
    assert np.isnan(c).any()


# ---------------------------------------------------------------------------------------------------- control flow


def test_divergent_loop_bounds_break_and_continue() -> None:
    """Each thread counts 0 .. t - 1 without 3, and stops at 10."""
    y, total, i = out(64), Buffer("n", (), INT32, Space.VAR), Var("i")
    add = Store(total, (), Binary("+", Load(total, ()), i32(i)))
    body = (If(eq(i, 3), (Continue(),)), If(eq(i, 10), (Break(),)), add)
    found = run_one(y, (Alloc(total, i32(0)), For(i, T, body), Store(y, (T,), Load(total, ()))))
    assert found.tolist() == [sum(k for k in range(min(t, 10)) if k != 3) for t in range(64)]


def test_while_with_a_different_count_for_each_thread() -> None:
    y, n, steps = out(64), Buffer("n", (), INT32, Space.VAR), Buffer("steps", (), INT32, Space.VAR)
    value, one = Load(n, ()), i32(1)
    half = Store(n, (), Binary("//", value, i32(2)))
    count = Store(steps, (), Binary("+", Load(steps, ()), one))
    loop = While(Binary(">", value, i32(0)), (half, count))
    found = run_one(y, (Alloc(n, i32(T)), Alloc(steps, i32(0)), loop, Store(y, (T,), Load(steps, ()))))
    assert found.tolist() == [t.bit_length() for t in range(64)]


def test_break_of_the_inner_loop_leaves_the_outer_one_alone() -> None:
    y, total = out(32), Buffer("n", (), INT32, Space.VAR)
    i, j = Var("i"), Var("j")
    inner = For(
        j, Const(8), (If(Binary(">", j, i), (Break(),)), Store(total, (), Binary("+", Load(total, ()), i32(1))))
    )
    skip = If(lt(i, T), (Continue(),))
    body = (Alloc(total, i32(0)), For(i, Const(5), (skip, inner)), Store(y, (T,), Load(total, ())))
    found = run_one(y, body, threads=32)
    assert found.tolist() == [sum(min(i + 1, 8) for i in range(5) if i >= t) for t in range(32)]


def test_select_evaluates_only_the_chosen_side() -> None:
    x, y = out(16, name="X"), out(64)
    inside = lt(T, 16)
    value = Select(inside, Load(x, (T,)), i32(7))
    both = Binary("and", inside, Binary(">", Load(x, (T,)), i32(3)))
    body: Block = (Store(y, (T,), Binary("+", value, Cast(INT32, both))),)
    found = np.zeros(64, np.int32)
    interp.run(kernel(x, y, body=body), {"X": np.arange(16, dtype=np.int32), "Y": found})
    assert found.tolist() == [t + (t > 3) if t < 16 else 7 for t in range(64)]


def test_blocks_of_several_chunks_and_a_ragged_guard() -> None:
    y = out(20_000)
    index = BX * 64 + T
    found = run_one(y, (If(lt(index, 20_000), (Store(y, (index,), i32(BX)),)),), blocks=313)
    assert (found == np.arange(20_000) // 64).all()


def test_let_keeps_its_value_when_the_register_changes() -> None:
    y, r, old = out(64), Buffer("r", (2,), INT32, Space.LOCAL), Var("old", INT32)
    at0: tuple[Expr, ...] = (ZERO,)
    body = (
        *(Alloc(r), Store(r, at0, i32(T)), Let(old, Load(r, at0))),
        *(Store(r, at0, i32(5)), Store(y, (T,), Binary("+", old, Load(r, at0)))),
    )
    assert run_one(y, body).tolist() == [t + 5 for t in range(64)]


def test_registers_indexed_by_the_thread() -> None:
    y, r, i = out(64), Buffer("r", (4,), INT32, Space.LOCAL), Var("i")
    fill = For(i, Const(4), (Store(r, (i,), i32(i * 10)),), Vectorized())
    body = (Alloc(r), fill, Store(r, (T % 4,), i32(99)), Store(y, (T,), Load(r, ((T + 1) % 4,))))
    assert run_one(y, body).tolist() == [(t + 1) % 4 * 10 for t in range(64)]


def test_persistent_loop_deals_tiles_to_blocks_in_turn() -> None:
    y, i = out(10), Var("i")
    update = AtomicUpdate("add", y, (i,), Binary("+", i32(BX), i32(1)))
    body: Block = (If(eq(T, 0), (For(i, Const(10), (update,), Persistent()),)),)
    assert run_one(y, body, blocks=4).tolist() == [i % 4 for i in range(10)]


# --------------------------------------------------------------------------------- atomics, collectives, the rest


def test_S13_atomics_of_all_threads_and_blocks() -> None:
    """S13: a returned value is what the earlier threads left."""
    c, y, old = out(1, name="C"), out(256), Var("old", INT32)
    body = (AtomicUpdate("add", c, (ZERO,), i32(1), result=old), Store(y, (BX * 64 + T,), old))
    counter, found = np.zeros(1, np.int32), np.zeros(256, np.int32)
    interp.run(kernel(c, y, body=body, blocks=4), {"C": counter, "Y": found})
    assert counter[0] == 256 and sorted(found) == list(range(256))


def test_shared_atomics_do_not_race_with_each_other() -> None:
    y, s = out(64), Buffer("s", (1,), INT32, Space.SHARED)
    body = (
        *(Alloc(s), If(eq(T, 0), (Store(s, (ZERO,), i32(0)),)), Barrier()),
        *(AtomicUpdate("max", s, (ZERO,), i32(T)), Barrier(), Store(y, (T,), Load(s, (ZERO,)))),
    )
    assert run_one(y, body).tolist() == [63] * 64
    without_last = (*body[:4], Store(y, (T,), Load(s, (ZERO,))))
    with pytest.raises(TileError, match="TD0804"):
        run_one(y, without_last)


@pytest.mark.parametrize(
    "fn, operand, source",
    [
        ("shfl_xor", 5, lambda t: t ^ 5),
        ("shfl_up", 3, lambda t: t - 3 if t % 32 >= 3 else t),
        ("shfl_down", 4, lambda t: t + 4 if t % 32 < 28 else t),
        ("shfl_idx", 9, lambda t: t // 32 * 32 + 9),
    ],
)
def test_shuffles(fn: str, operand: int, source: Any) -> None:
    y = out(64)
    k = kernel(y, body=(Store(y, (T,), Call(fn, (i32(T), i32(operand)))),))
    for run in (interp.run, tile_interp.run):
        found = np.zeros(64, np.int32)
        run(k, {"Y": found})
        assert found.tolist() == [source(t) for t in range(64)]


@pytest.mark.parametrize("fn, expected", [("warp_any", [1, 0]), ("warp_all", [0, 0])])
def test_votes(fn: str, expected: list[int]) -> None:
    y = out(64)
    found = run_one(y, (Store(y, (T,), Cast(INT32, Call(fn, (lt(T, 5),)))),))
    assert found.reshape(2, 32).tolist() == [[e] * 32 for e in expected]


def test_a_value_that_a_warp_has_in_common() -> None:
    y = out(64)
    found = run_one(y, (Store(y, (T,), Call("warp_uniform", (Cast(INT32, T // 32 + 5),))),))
    assert found.tolist() == [5] * 32 + [6] * 32
    with pytest.raises(TileError) as caught:
        run_one(y, (Store(y, (T,), Call("warp_uniform", (Cast(INT32, T // 40),))),))
    assert caught.value.code == "TD0834" and "lane 8 has 1" in caught.value.message


def test_stmatrix_undoes_ldmatrix() -> None:
    x, y = Buffer("X", (8, 32), FLOAT16), Buffer("Y", (8, 32), FLOAT16)
    s, d = (Buffer(n, (256,), FLOAT16, Space.SHARED) for n in "sd")
    r = Buffer("r", (8,), FLOAT16, Space.LOCAL)
    row = T % 8 * 32 + T // 8 * 8
    v, i = Buffer("v", (8,), FLOAT16, Space.LOCAL), Const(0)
    body: Block = (
        *(Alloc(b) for b in (s, d, r, v)),
        Move(Address(v, (i,)), Address(x, (T // 4, T % 4 * 8)), 8),
        Move(Address(s, (T * 8,)), Address(v, (i,)), 8),
        Barrier(),
        AtomCall("ldmatrix_x4_trans", (Address(r, (i,)), Address(s, (row,)))),
        AtomCall("stmatrix_x4_trans", (Address(d, (row,)), Address(r, (i,)))),
        Barrier(),
        Move(Address(v, (i,)), Address(d, (T * 8,)), 8),
        Move(Address(y, (T // 4, T % 4 * 8)), Address(v, (i,)), 8),
    )
    given, found = np.arange(256, dtype=np.float16).reshape(8, 32), np.zeros((8, 32), np.float16)
    interp.run(kernel(x, y, body=body, threads=32), {"X": given, "Y": found})
    assert (found == given).all()


@pytest.mark.parametrize("atom", [a for a in ATOMS.values() if a.kind == "mma"], ids=lambda a: a.name)
def test_S22_every_mma_row_is_a_product(atom: Atom) -> None:
    """S22: operands dealt to registers by the fragments of the row, two warps with different tiles."""
    rng = np.random.default_rng(3)
    tensors, registers, body = [], [], []
    for op in atom.operands:
        tensors.append(Buffer(op.name.upper(), (2, *op.fragment.shape), op.dtype))
        registers.append(Buffer(op.name, (op.fragment.num_regs,), op.dtype, Space.LOCAL))
    for op, x, r in zip(atom.operands, tensors, registers):
        body.append(Alloc(r))
        for reg in range(op.fragment.num_regs):
            place = (T // 32, *unravel(linear_at(op.fragment, T % 32, Const(reg)), op.fragment.shape))
            body.append(Store(r, (Const(reg),), Load(x, place)))
    body.append(AtomCall(atom.name, tuple(Address(r, (ZERO,)) for r in registers)))
    written, held = tensors[0], registers[0]
    for reg in range(atom.operands[0].fragment.num_regs):
        place = (T // 32, *unravel(linear_at(atom.operands[0].fragment, T % 32, Const(reg)), written.shape[1:]))
        body.append(Store(written, place, Load(held, (Const(reg),))))
    low = 0 if any(op.dtype.kind is Kind.UINT for op in atom.operands) else -1
    arrays = {x.name: rng.integers(low, 2, x.shape).astype(numpy_dtype(x.dtype)) for x in tensors}
    expected = arrays["D"].astype(int) + arrays["A"].astype(int) @ arrays["B"].astype(int)
    interp.run(kernel(*tensors, body=tuple(body)), arrays)
    assert (arrays["D"] == expected).all()


def test_every_kind_of_instruction_has_a_meaning() -> None:
    assert {a.kind for a in ATOMS.values()} == set(atoms.KINDS)


def test_mma_needs_the_whole_warp_and_written_registers() -> None:
    atom = ATOMS["mma_m16n8k16_f32_f16"]
    registers = [Buffer(op.name, (op.fragment.num_regs,), op.dtype, Space.LOCAL) for op in atom.operands]
    call = AtomCall(atom.name, tuple(Address(r, (ZERO,)) for r in registers))
    allocs = tuple(Alloc(r) for r in registers)
    assert failing(*allocs, call).code == "TD0803"
    assert failing(*allocs, If(lt(T, 40), (call,))).code == "TD0811"


def test_elements_of_four_bits() -> None:
    y, s, r = out(64), Buffer("s", (64,), INT4, Space.SHARED), Buffer("r", (1,), INT4, Space.LOCAL)
    body = (
        *(Alloc(s), Alloc(r), Store(s, (T,), Cast(INT4, T)), Store(r, (ZERO,), Load(s, (T,)))),
        Store(y, (T,), Cast(INT32, Binary("+", Load(r, (ZERO,)), Const(1, INT4)))),
    )
    assert run_one(y, body).tolist() == [(t + 1 + 8) % 16 - 8 for t in range(64)]


def test_views_of_registers_and_shared_memory_share_bits() -> None:
    y = out(64, UINT32)
    r, rv = Buffer("r", (1,), FLOAT32, Space.LOCAL), Buffer("rv", (4,), UINT8, Space.LOCAL)
    s, sv = Buffer("s", (64,), FLOAT32, Space.SHARED), Buffer("sv", (64,), UINT32, Space.SHARED)
    body = (
        *(Alloc(r), View(rv, r), Alloc(s), View(sv, s), Store(r, (ZERO,), Const(1.0, FLOAT32))),
        *(Store(rv, (ZERO,), Cast(UINT8, T)), Store(s, (T,), Load(r, (ZERO,))), Store(y, (T,), Load(sv, (T,)))),
    )
    assert run_one(y, body).tolist() == [0x3F800000 + t for t in range(64)]


def test_cp_async_zero_fills_where_the_predicate_is_false() -> None:
    x, y, s = Buffer("X", (40,), FLOAT32), out(128, FLOAT32), Buffer("s", (128,), FLOAT32, Space.SHARED)
    source = Address(x, (T * 4,))
    copy = AtomCall("cp_async_16", (Address(s, (T * 4,)), source, lt(T, 10)))
    i = Var("i")
    back = For(i, Const(4), (Store(y, (T * 4 + i,), Load(s, (T * 4 + i,))),))
    body = (Alloc(s), copy, AsyncCommit(), AsyncWait(0), back)
    found, given = np.full(128, -1, np.float32), np.arange(40, dtype=np.float32) + 1
    interp.run(kernel(x, y, body=body, threads=32), {"X": given, "Y": found}, mode="late")
    assert (found == np.concatenate([given, np.zeros(88)])).all()


def test_scratch_passes_between_launches_and_must_be_written_first() -> None:
    y, w = out(64), Buffer("w", (64,), INT32)
    write = Launch("a", (Const(1),), (BX,), (64,), T, (Store(w, (T,), i32(T * 2)),))
    read = Launch("b", (Const(1),), (BX,), (64,), T, (Store(y, (T,), Load(w, (T,))),))
    found = np.zeros(64, np.int32)
    interp.run(Kernel("k", (y,), (write, read), scratch=(w,)), {"Y": found})
    assert found.tolist() == [2 * t for t in range(64)]
    with pytest.raises(TileError, match="TD0803"):
        interp.run(Kernel("k", (y,), (read, write), scratch=(w,)), {"Y": found})


def test_dynamic_sizes_come_from_the_shapes() -> None:
    n = Var("n")
    x, y = Buffer("X", (n,), INT32), Buffer("Y", (n,), INT32)
    index = BX * 32 + T
    launch = Launch(
        "k", ((n + 31) // 32,), (BX,), (32,), T, (If(lt(index, n), (Store(y, (index,), Load(x, (index,))),)),)
    )
    given, found = np.arange(77, dtype=np.int32), np.zeros(77, np.int32)
    interp.run(Kernel("k", (x, y), (launch,), sizes=(n,)), {"X": given, "Y": found})
    assert (found == given).all()
    with pytest.raises(TileError, match="TD0801"):
        interp.run(Kernel("k", (x, y), (launch,), sizes=(n,)), {"X": given, "Y": found[:5]})
    with pytest.raises(TileError, match="TD0801"):
        interp.run(Kernel("k", (x, y), (launch,), sizes=(n,)), {"X": given, "Y": found.astype(np.int64)})


def test_print(capsys: pytest.CaptureFixture[str]) -> None:
    y = out(2)
    run_one(y, (Print("t =", (T,)), Print("y", buffer=y)), threads=2)
    assert capsys.readouterr().out.splitlines() == ["t = 0", "t = 1", "y Y 0 -1", "y Y 1 -1"]


# --------------------------------------------------------------------------------------------------------- reports


def failing(*body: Node, y: Buffer | None = None, blocks: int = 1, threads: int = 64, **how: Any) -> TileError:
    with pytest.raises(TileError) as caught:
        run_one(y or out(64), tuple(body), blocks=blocks, threads=threads, **how)  # type: ignore[arg-type]
    return caught.value


S = Buffer("s", (64,), INT32, Space.SHARED)
R = Buffer("r", (4,), INT32, Space.LOCAL)
Y = out(64)


def test_race_names_both_statements() -> None:
    """S10: a store and another thread's load with no barrier in between."""
    raised = failing(
        Alloc(S),
        Store(S, (T,), i32(T), span=at(5)),
        Store(Y, (T,), Load(S, (Binary("-", Const(63), T),)), span=at(9)),
        y=Y,
    )
    assert (raised.code, raised.span.line, raised.notes[0][1].line) == ("TD0804", 9, 5)
    assert "'s[63]': load by thread 0 and store by thread 63, block (0)" in raised.message


def test_write_after_read_needs_a_barrier() -> None:
    load = Store(R, (ZERO,), Load(S, ((T + 1) % 64,)))
    setup = (Alloc(S), Alloc(R), Store(S, (T,), i32(T)), Barrier(), load)
    raised = failing(*setup, Store(S, (T,), i32(0)))
    assert raised.code == "TD0804" and "store by thread" in raised.message
    run_one(Y, (*setup, Barrier(), Store(S, (T,), i32(0))))


def test_write_after_write_needs_a_barrier() -> None:
    raised = failing(Alloc(S), Store(S, (T,), i32(T)), Store(S, (Binary("-", Const(63), T),), i32(T)))
    assert raised.code == "TD0804"


def test_threads_of_one_store_may_meet_only_with_one_value() -> None:
    assert failing(Alloc(S), Store(S, (T // 2,), i32(T))).code == "TD0813"
    run_one(Y, (Alloc(S), Store(S, (ZERO,), i32(3)), Store(S, (T // 2,), i32(T // 2)))[:2])


def test_partial_overlap_of_vector_accesses_is_a_race() -> None:
    """Byte granularity: a 16-byte store and a 4-byte load by another thread of its last element."""
    v = Buffer("v", (4,), INT32, Space.LOCAL)
    i = Var("i")
    fill = (Alloc(S), Alloc(v), For(i, Const(4), (Store(v, (i,), i32(T)),)))
    move = If(lt(T, 16), (Move(Address(S, (T * 4,)), Address(v, (ZERO,)), 4),))
    raised = failing(*fill, move, Store(Y, (T,), Load(S, (T,))), y=Y)
    assert raised.code == "TD0804"


@pytest.mark.parametrize(
    "body, message",
    [
        ((Alloc(S), Store(S, (T + 1,), i32(0))), "'s' is accessed out of bounds: dimension 0 is 64, the extent is 64"),
        ((Store(Y, (T - 1,), i32(0)),), "dimension 0 is -1, the extent is 64 (block (0), thread 0)"),
        ((Alloc(R), Store(R, (T // 8,), i32(0))), "'r' is accessed out of bounds: dimension 0 is 4"),
        ((Alloc(R), Store(R, (Const(9),), i32(0))), "dimension 0 is 9"),
    ],
)
def test_S2_out_of_bounds(body: Block, message: str) -> None:
    """S2: in every memory space, with the dimension, the index and the thread."""
    raised = failing(*body, y=Y)
    assert raised.code == "TD0802" and message in raised.message


def test_bounds_are_checked_in_each_dimension() -> None:
    y = Buffer("Y", (8, 8), INT32)
    with pytest.raises(TileError, match="dimension 1 is 8, the extent is 8"):
        interp.run(kernel(y, body=(Store(y, (ZERO, T), i32(0)),), threads=9), {"Y": np.zeros((8, 8), np.int32)})


def test_vectors_must_not_leave_the_row() -> None:
    y = Buffer("Y", (8, 6), INT32)
    v = Buffer("v", (4,), INT32, Space.LOCAL)
    body = (Alloc(v), Move(Address(v, (ZERO,)), Address(y, (ZERO, Const(4))), 4))
    with pytest.raises(TileError, match="TD0802"):
        interp.run(kernel(y, body=body), {"Y": np.zeros((8, 6), np.int32)})


@pytest.mark.parametrize(
    "body",
    [
        (Alloc(S), Store(Y, (T,), Load(S, (T,)))),
        (Alloc(R), Store(Y, (T,), Load(R, (ZERO,)))),
        (Alloc(R), If(lt(T, 63), (Store(R, (ZERO,), i32(0)),)), Store(Y, (T,), Load(R, (ZERO,)))),
        (Alloc(Buffer("c", (), INT32, Space.VAR)),),
    ],
)
def test_reads_of_what_was_never_written(body: Block) -> None:
    if len(body) == 1:
        cell = body[0].buffer  # type: ignore[attr-defined]
        body = (*body, Store(Y, (T,), Load(cell, ())))
    assert failing(*body, y=Y).code == "TD0803"


def test_S4_misaligned_vectors() -> None:
    v = Buffer("v", (4,), INT32, Space.LOCAL)
    raised = failing(Alloc(S), Alloc(v), Move(Address(v, (ZERO,)), Address(S, (Const(2),)), 4))
    assert raised.code == "TD0806" and "16 bytes at a time at byte 8" in raised.message


def test_S11_barrier_in_a_divergent_branch() -> None:
    raised = failing(If(lt(T, 32), (Barrier(span=at(7)),)))
    assert raised.code == "TD0807" and raised.span.line == 7 and "32 of 64 threads" in raised.message
    run_one(Y, (If(eq(BX, 1), (Barrier(),)),), blocks=2)  # whole blocks may differ
    run_one(Y, (If(lt(T, 32), (Barrier(1, 32),)),))  # a named barrier of the threads that come


def test_named_barrier_orders_its_participants_only() -> None:
    half = (Barrier(1, 32), Store(Y, (T,), Load(S, (Binary("-", Const(31), T),))))
    run_one(Y, (Alloc(S), Store(S, (T,), i32(T)), If(lt(T, 32), half)))
    wrong = (Barrier(1, 32), Store(Y, (T,), Load(S, (Binary("-", Const(63), T),))))
    assert failing(Alloc(S), Store(S, (T,), i32(T)), If(lt(T, 32), wrong), y=Y).code == "TD0804"


def test_divergent_collectives() -> None:
    shuffle = Call("shfl_xor", (i32(T), i32(1)))
    assert failing(If(lt(T, 8), (Store(Y, (T,), shuffle),)), y=Y).code == "TD0811"
    run_one(Y, (If(lt(T, 32), (Store(Y, (T,), shuffle),)),))  # a whole warp


def test_shuffles_from_lanes_that_do_not_exist() -> None:
    """A block of 40 threads: lane 0 of the second warp asks for lane 15, of which there is none."""
    y = out(40)
    body: Block = (Store(y, (T,), Call("shfl_xor", (i32(T), i32(15)))),)
    raised = failing(*body, y=y, threads=40)
    assert raised.code == "TD0832" and "lane 0 the value of lane 15" in raised.message


def copy_of(x: Buffer, s: Buffer) -> Block:
    return (AtomCall("cp_async_4", (Address(s, (T,)), Address(x, (T,)), Const(True, BOOL)), span=at(3)),)


@pytest.mark.parametrize("mode", ["early", "late"])
def test_P13_copies_in_flight(mode: str) -> None:
    """P13: the issuing thread waits, the others need a barrier after its wait."""
    own = Store(Y, (T,), Load(S, (T,)), span=at(6))
    other = Store(Y, (T,), Load(S, ((T + 1) % 64,)), span=at(6))
    x = out(64, name="X")
    begin = (Alloc(S), *copy_of(x, S), AsyncCommit())

    def code(*rest: Node) -> str:
        arrays = {"X": np.arange(64, dtype=np.int32), "Y": np.zeros(64, np.int32)}
        try:
            interp.run(kernel(x, Y, body=(*begin, *rest)), arrays, mode=mode)  # type: ignore[arg-type]
        except TileError as raised:
            return raised.code
        return "none"

    assert code(own) == "TD0805"
    assert code(Barrier(), own) == "TD0805"
    assert code(AsyncWait(1), own) == "TD0805"
    assert code(AsyncWait(0), own) == "none"
    assert code(AsyncWait(0), other) == "TD0804"
    assert code(Barrier(), AsyncWait(0), other) == "TD0804"
    assert code(AsyncWait(0), Barrier(), other) == "none"
    assert code() == "TD0808"


def test_uncommitted_copies_are_not_waited_for() -> None:
    x = out(64, name="X")
    body = (Alloc(S), *copy_of(x, S), AsyncWait(0))
    with pytest.raises(TileError, match="TD0808"):
        interp.run(kernel(x, body=body), {"X": np.zeros(64, np.int32)})


def test_S6_buffers_that_share_bytes_do_not_see_each_other() -> None:
    """S6: a plan that lets two live buffers overlap shows as a read of foreign data."""
    a, b = Buffer("a", (64,), INT32, Space.SHARED), Buffer("b", (64,), INT32, Space.SHARED)
    slots = (SharedSlot(a, 0), SharedSlot(b, 0))
    allocs = (Alloc(a), Alloc(b))
    fill_a, fill_b = Store(a, (T,), i32(T)), Store(b, (T,), i32(-1))
    good = (*allocs, fill_a, Store(Y, (T,), Load(a, (T,))), Barrier(), fill_b, Store(Y, (T,), Load(b, (T,))))
    bad = (*allocs, fill_a, Barrier(), fill_b, Barrier(), Store(Y, (T,), Load(a, (T,))))
    found = {"Y": np.zeros(64, np.int32)}
    interp.run(kernel(Y, body=good, shared=slots, shared_bytes=256), found)
    with pytest.raises(TileError, match="TD0803") as caught:
        interp.run(kernel(Y, body=bad, shared=slots, shared_bytes=256), found)
    assert "hold data of 'b'" in caught.value.notes[0][0]


def test_races_between_blocks_if_asked_for() -> None:
    body: Block = (Store(Y, (T,), i32(BX)),)
    run_one(Y, body, blocks=2)
    assert failing(*body, y=Y, blocks=2, watch_blocks=True).code == "TD0814"
    run_one(Y, (AtomicUpdate("add", Y, (T,), i32(1)),), blocks=2, watch_blocks=True)


def test_assert_assume_and_extern() -> None:
    assert "t < 60 (block (0), thread 60)" in failing(Assert(lt(T, 60), "t < 60")).message
    assert failing(Assume(ge(T, 1))).code == "TD0810"
    assert failing(Store(Y, (T,), Extern("my_fn", (i32(T),), INT32)), y=Y).code == "TD0820"


def test_check_off_guards_global_accesses() -> None:
    """Before guard-bounds a kernel relies on it: reads give the safe value, stores and atomics vanish."""
    x, y, r = out(8, name="X"), out(64), Buffer("r", (4,), INT32, Space.LOCAL)
    shifted = T - 4
    body = (
        *(Alloc(r), Store(y, (shifted,), Load(x, (shifted,))), AtomicUpdate("add", y, (T + 60,), i32(1000))),
        Move(Address(r, (ZERO,)), Address(x, (T * 4,)), 4),
        Store(y, (Binary("-", Const(67), T),), Load(r, (Const(3),))),
    )
    given, found = np.arange(8, dtype=np.int32), np.zeros(64, np.int32)
    k = kernel(x, y, body=body, safe_values=(SafeValue(x, Const(-5, INT32)),))
    interp.run(k, {"X": given, "Y": found}, check=False)
    first = [t if t < 8 else -5 for t in range(60)]
    expected = first + [1000] * 4
    for t in range(4, 64):
        expected[67 - t] = -5 if t >= 2 else t * 4 + 3
    assert found.tolist() == expected


def test_check_off_skips_the_reports() -> None:
    found = run_one(
        Y, (Alloc(S), Store(S, (T,), i32(T)), Store(Y, (T,), Load(S, (Binary("-", Const(63), T),)))), check=False
    )
    assert found.tolist() == list(range(63, -1, -1))
