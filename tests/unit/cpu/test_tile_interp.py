"""The tile-stage execution: each tile statement against NumPy, edges of tensors, private memory, late copies."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from tiledsl.cpu import interp, tile_interp, tile_ops
from tiledsl.cpu.numerics import numpy_dtype, truncate_tf32
from tiledsl.errors import TileError
from tiledsl.ir import concurrent, nodes, tile
from tiledsl.ir.dtypes import BFLOAT16, FLOAT16, FLOAT32, INT4, INT8, INT32, UINT8, UINT32, DType
from tiledsl.ir.nodes import (
    Alloc,
    Assert,
    AsyncCommit,
    AsyncWait,
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
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Param,
    Pipelined,
    Print,
    Region,
    SafeValue,
    Space,
    Store,
    Var,
    View,
    While,
    eq,
    lt,
)
from tiledsl.ir.tile import (
    REDUCTIONS,
    Atomic,
    Copy,
    Fill,
    Gemm,
    Im2col,
    Parallel,
    Reduce,
    Scan,
    Transpose,
)

Array = np.ndarray[Any, Any]
T, BX, BY = Var("t"), Var("bx"), Var("by")
ZERO = Const(0)


def kernel(*params: Param, body: Block, grid: Sequence[int] = (1,), threads: int = 64, **launch: Any) -> Kernel:
    sizes = tuple(Const(g) for g in grid)
    return Kernel("k", params, (Launch("k", sizes, (BX, BY)[: len(grid)], (threads,), T, body, **launch),))


def whole(b: Buffer, version: Expr | None = None) -> Region:
    return Region(b, (ZERO,) * len(b.shape), tuple(e for e in b.shape if isinstance(e, int)), version)


def part(b: Buffer, *where: tuple[Expr | int, int]) -> Region:
    offsets = tuple(Const(o) if isinstance(o, int) else o for o, _ in where)
    return Region(b, offsets, tuple(e for _, e in where))


def shared(name: str, *shape: int, dtype: DType = FLOAT32, versions: int = 1) -> Buffer:
    return Buffer(name, shape, dtype, Space.SHARED, versions=versions)


def fragment(name: str, *shape: int, dtype: DType = FLOAT32) -> Buffer:
    return Buffer(name, shape, dtype, Space.FRAGMENT)


def tensor(name: str, *shape: int, dtype: DType = FLOAT32) -> Buffer:
    return Buffer(name, shape, dtype)


def numbers(*shape: int, dtype: DType = FLOAT32, seed: int = 0) -> Array:
    return np.random.default_rng(seed).integers(-3, 4, shape).astype(numpy_dtype(dtype))


def run(
    body: Block, grid: Sequence[int] = (1,), mode: str = "early", launch: dict[str, Any] | None = None, **tensors: Any
):
    """Runs a body whose tensors are given as name = (buffer, array)."""
    params = tuple(b for b, _ in tensors.values())
    arrays = {b.name: a for b, a in tensors.values()}
    tile_interp.run(kernel(*params, body=body, grid=grid, **(launch or {})), arrays, mode=mode)  # type: ignore[arg-type]


def through(op: Block, x: Array, x_type: DType, y: Array, y_type: DType, xs: Buffer, ys: Buffer) -> Array:
    """x -> xs -> op -> ys -> y, tensors of the shapes of the arrays."""
    xt, yt = tensor("X", *x.shape, dtype=x_type), tensor("Y", *y.shape, dtype=y_type)
    body = (
        Alloc(xs),
        Alloc(ys),
        Copy(whole(xt), whole(xs)),
        Copy(whole(yt), whole(ys)),
        *op,
        Copy(whole(ys), whole(yt)),
    )
    run(body, x=(xt, x), y=(yt, y))
    return y


# --------------------------------------------------------------------------------------------------- tile statements


def gemm_kernel(m: int, n: int, k: int, bm: int = 128, bn: int = 128, bk: int = 32) -> Kernel:
    a, b, c = tensor("A", m, k, dtype=FLOAT16), tensor("B", k, n, dtype=FLOAT16), tensor("C", m, n)
    sa, sb, acc = shared("As", bm, bk, dtype=FLOAT16), shared("Bs", bk, bn, dtype=FLOAT16), fragment("acc", bm, bn)
    i = Var("i")
    step = (
        Copy(part(a, (BY * bm, bm), (i * bk, bk)), whole(sa)),
        Copy(part(b, (i * bk, bk), (BX * bn, bn)), whole(sb)),
        Gemm(whole(sa), whole(sb), whole(acc)),
    )
    body = (
        *(Alloc(x) for x in (sa, sb, acc)),
        Fill(whole(acc), Const(0.0, FLOAT32)),
        For(i, Const(-(-k // bk)), step, Pipelined(3)),
        Copy(whole(acc), part(c, (BY * bm, bm), (BX * bn, bn))),
    )
    return kernel(a, b, c, body=body, grid=(-(-n // bn), -(-m // bm)), threads=128)


@pytest.mark.parametrize("size", [(256, 256, 256), (200, 130, 70), (1, 1, 1)])
def test_gemm_of_any_size(size: tuple[int, int, int]) -> None:
    m, n, k = size
    a, b, c = numbers(m, k, dtype=FLOAT16), numbers(k, n, dtype=FLOAT16, seed=1), np.full((m, n), np.nan, np.float32)
    tile_interp.run(gemm_kernel(m, n, k), {"A": a, "B": b, "C": c})
    assert (c == a.astype(int) @ b.astype(int)).all()


def test_a_gemm_of_256_takes_milliseconds() -> None:
    a, b, c = numbers(256, 256, dtype=FLOAT16), numbers(256, 256, dtype=FLOAT16), np.zeros((256, 256), np.float32)
    k, times = gemm_kernel(256, 256, 256), []
    for _ in range(5):
        start = time.perf_counter()
        tile_interp.run(k, {"A": a, "B": b, "C": c})
        times.append(time.perf_counter() - start)
    assert min(times) < 0.25  # 0.012 s on an idle core


@pytest.mark.parametrize("transpose_a", [False, True])
@pytest.mark.parametrize("transpose_b", [False, True])
@pytest.mark.parametrize(
    "types", [(FLOAT16, FLOAT32), (BFLOAT16, FLOAT32), (FLOAT32, FLOAT32), (INT8, INT32), (UINT8, INT32), (INT4, INT32)]
)
@pytest.mark.parametrize("clear", [False, True])
def test_gemm_of_every_form(transpose_a: bool, transpose_b: bool, types: tuple[DType, DType], clear: bool) -> None:
    narrow, wide = types
    a, b = numbers(8, 24), numbers(24, 16, seed=1)
    if narrow is UINT8:
        a, b = abs(a), abs(b)
    c = numbers(8, 16, dtype=wide, seed=2)
    expected = a.astype(int) @ b.astype(int) + (0 if clear else c.astype(int))
    left, right = (x.T if t else x for x, t in ((a, transpose_a), (b, transpose_b)))
    at, bt = tensor("A", *left.shape, dtype=narrow), tensor("B", *right.shape, dtype=narrow)
    ct = tensor("C", 8, 16, dtype=wide)
    gemm = Gemm(whole(at), whole(bt), whole(ct), transpose_a, transpose_b, clear)
    holder = numpy_dtype(narrow)
    run((gemm,), a=(at, left.astype(holder)), b=(bt, right.astype(holder)), c=(ct, c))
    assert (c == expected).all()


def test_tf32_reads_truncated_operands_and_ieee_does_not() -> None:
    a = np.full((4, 8), 1 + 2**-13, np.float32)
    b = np.eye(8, dtype=np.float32)
    for precision, expected in (("tf32", truncate_tf32(a)), ("ieee", a)):
        c = np.zeros((4, 8), np.float32)
        at, bt, ct = tensor("A", 4, 8), tensor("B", 8, 8), tensor("C", 4, 8)
        run((Gemm(whole(at), whole(bt), whole(ct), precision=precision),), a=(at, a), b=(bt, b), c=(ct, c))
        assert (c == expected).all()


def test_copy_outside_reads_zero_or_the_safe_value_and_writes_nothing() -> None:
    """S14: canaries around a tensor stay."""
    x, y = tensor("X", 5, 6), tensor("Y", 3, 3)
    s = shared("s", 4, 4)
    body = (Alloc(s), Copy(part(x, (Const(3), 4), (Const(-1), 4)), whole(s)), Copy(whole(s), part(y, (1, 4), (1, 4))))
    given = np.arange(30, dtype=np.float32).reshape(5, 6)
    for launch, fill in (({}, 0), ({"safe_values": (SafeValue(x, Const(-7.0, FLOAT32)),)}, -7)):
        tile_of_x = np.full((4, 4), fill, np.float32)
        tile_of_x[:2, 1:] = given[3:, :3]
        canary = np.full((5, 5), 99, np.float32)
        run(body, launch=launch, x=(x, given), y=(y, canary[1:4, 1:4]))
        expected = np.full((5, 5), 99, np.float32)
        expected[2:4, 2:4] = tile_of_x[:2, :2]
        assert (canary == expected).all()


def test_copy_casts_and_drops_dimensions_of_one() -> None:
    x, y, f = tensor("X", 2, 3, 4), tensor("Y", 12, dtype=BFLOAT16), fragment("f", 1, 4)
    given, found = numbers(2, 3, 4) / 3, np.zeros(12, numpy_dtype(BFLOAT16))
    given = given.astype(np.float32)
    copies = (Copy(part(x, (1, 1), (2, 1), (0, 4)), whole(f)), Copy(whole(f), part(y, (8, 4))))
    run((Alloc(f), *copies), x=(x, given), y=(y, found))
    assert (found[8:] == given[1, 2].astype(found.dtype)).all() and not found[:8].astype(bool).any()


NUMPY_REDUCTIONS: dict[str, Any] = {
    "sum": np.sum,
    "max": np.max,
    "min": np.min,
    "abssum": lambda x, axis: np.abs(x).sum(axis),
    "absmax": lambda x, axis: np.abs(x).max(axis),
    "bitand": np.bitwise_and.reduce,
    "bitor": np.bitwise_or.reduce,
    "bitxor": np.bitwise_xor.reduce,
}
COMBINE: dict[str, Any] = {"sum": np.add, "max": np.maximum, "min": np.minimum, "abs": np.add, "bit": np.bitwise_and}


@pytest.mark.parametrize("clear", [True, False])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("op", REDUCTIONS)
def test_reduce(op: str, dim: int, clear: bool) -> None:
    dtype = INT32 if op.startswith("bit") else FLOAT32
    x, y = numbers(6, 5, dtype=dtype), numbers(5 if dim == 0 else 6, dtype=dtype, seed=1)
    expected = NUMPY_REDUCTIONS[op](x, axis=dim)
    if not clear:
        combine = {"bitor": np.bitwise_or, "bitxor": np.bitwise_xor, "absmax": np.maximum}.get(op) or COMBINE[op[:3]]
        expected = combine(y, expected)
    xs, ys = fragment("x", 6, 5, dtype=dtype), fragment("y", len(y), dtype=dtype)
    assert (through((Reduce(whole(xs), whole(ys), op, dim, clear),), x, dtype, y, dtype, xs, ys) == expected).all()


def test_sums_of_half_precision_are_formed_in_float32() -> None:
    x, y = np.full((1, 4096), 1.0, np.float16), np.zeros(1, np.float16)
    xs, ys = fragment("x", 1, 4096, dtype=FLOAT16), fragment("y", 1, dtype=FLOAT16)
    assert through((Reduce(whole(xs), whole(ys), "sum", 1),), x, FLOAT16, y, FLOAT16, xs, ys)[0] == 4096


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("op", ["sum", "max"])
def test_scan(op: str, reverse: bool) -> None:
    x, y = numbers(6, 5, dtype=INT32), np.zeros((6, 5), np.int32)
    accumulate = np.cumsum if op == "sum" else np.maximum.accumulate
    expected = np.flip(accumulate(np.flip(x, 1), 1), 1) if reverse else accumulate(x, 1)  # type: ignore[operator]
    xs, ys = shared("x", 6, 5, dtype=INT32), shared("y", 6, 5, dtype=INT32)
    assert (through((Scan(whole(xs), whole(ys), op, 1, reverse),), x, INT32, y, INT32, xs, ys) == expected).all()


def test_transpose_and_tile_atomics() -> None:
    x, y = numbers(4, 6), numbers(6, 4, seed=1)
    expected = x.T + np.ones((6, 4))
    xs, ys, ones = shared("x", 4, 6), shared("y", 6, 4), fragment("ones", 6, 4)
    ops = (
        Transpose(whole(xs), whole(ys)),
        Alloc(ones),
        Fill(whole(ones), Const(1.0, FLOAT32)),
        Atomic("add", whole(ys), whole(ones)),
    )
    assert (through(ops, x, FLOAT32, y, FLOAT32, xs, ys) == expected).all()


def test_tile_atomics_of_all_blocks_clip_at_the_edge() -> None:
    y, f = tensor("Y", 6), fragment("f", 4)
    found = np.zeros(6, np.float32)
    run(
        (Alloc(f), Fill(whole(f), Const(1.0, FLOAT32)), Atomic("add", part(y, (BX * 2, 4)), whole(f))),
        grid=(3,),
        y=(y, found),
    )
    assert found.tolist() == [1, 1, 2, 2, 2, 2]


def test_im2col_times_weights_is_a_convolution() -> None:
    n, h, w, c, k, stride, dilation, pad = 2, 5, 6, 3, 3, 2, 1, 1
    image = numbers(n, h, w, c)
    out_h, out_w = (h + 2 * pad - k) // stride + 1, (w + 2 * pad - k) // stride + 1
    rows, columns = n * out_h * out_w, k * k * c
    x, y = tensor("X", n, h, w, c), tensor("Y", rows, columns)
    found = np.zeros((rows, columns), np.float32)
    source = Im2col(x, (ZERO, ZERO), (rows, columns), k, stride, dilation, pad)
    run((Copy(source, whole(y)),), x=(x, image), y=(y, found))
    padded = np.pad(image, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    for i, (b, oy, ox) in enumerate(np.ndindex(n, out_h, out_w)):
        window = padded[b, oy * stride : oy * stride + k, ox * stride : ox * stride + k]
        assert (found[i] == window.ravel()).all()


# ---------------------------------------------------------------------------------------------------------- Parallel


def i32(e: Expr | int) -> Expr:
    return Cast(INT32, e) if isinstance(e, Expr) else Const(e, INT32)


def test_parallel_with_masks_inner_loops_and_guarded_edges() -> None:
    """y[i, j] = sum of x[i, 0 .. j % 3] without the column 1, where i < j; rows past the end are not written."""
    x, y, total = tensor("X", 5, 4, dtype=INT32), tensor("Y", 5, 4, dtype=INT32), Buffer("n", (), INT32, Space.VAR)
    i, j, k = Var("i"), Var("j"), Var("k")
    add = Store(total, (), Binary("+", Load(total, ()), Load(x, (i, k))))
    loop = For(k, j % 3 + 1, (If(eq(k, 1), (Continue(),)), If(eq(k, 3), (Break(),)), add))
    body = Parallel((i, j), (8, 4), (Alloc(total, i32(0)), loop, If(lt(i, j), (Store(y, (i, j), Load(total, ())),))))
    given, found = numbers(5, 4, dtype=INT32), np.full((5, 4), -9, np.int32)
    run((body,), x=(x, given), y=(y, found))
    for i_, j_ in np.ndindex(5, 4):
        expected = sum(given[i_, k_] for k_ in range(j_ % 3 + 1) if k_ != 1) if i_ < j_ else -9
        assert found[i_, j_] == expected


def test_nested_parallel_is_one_box() -> None:
    y, i, j = tensor("Y", 6, 4, dtype=INT32), Var("i"), Var("j")
    row = Var("row", INT32)
    inner = Parallel((j,), (4,), (Store(y, (i, j), Binary("+", row, i32(j))),))
    found = np.zeros((6, 4), np.int32)
    run((Parallel((i,), (6,), (Let(row, i32(i * 10)), inner)),), y=(y, found))
    assert (found == np.arange(6)[:, None] * 10 + np.arange(4)).all()


def test_atomics_in_parallel_count_every_point() -> None:
    h, x, i = tensor("H", 4, dtype=INT32), tensor("X", 100, dtype=INT32), Var("i")
    given, found = np.arange(100, dtype=np.int32) * 7 % 4, np.zeros(4, np.int32)
    update = AtomicUpdate("add", h, (Cast(i.dtype, Load(x, (i,))),), i32(1))
    run((Parallel((i,), (100,), (update,)),), h=(h, found), x=(x, given))
    assert (found == np.bincount(given)).all()


def test_points_that_store_different_values_to_one_element_are_reported() -> None:
    y, i = tensor("Y", 8, dtype=INT32), Var("i")
    with pytest.raises(TileError, match="TD0813: two points of the parallel loop"):
        run((Parallel((i,), (16,), (Store(y, (i // 2,), i32(i)),)),), y=(y, np.zeros(8, np.int32)))
    run((Parallel((i,), (16,), (Store(y, (i // 2,), i32(i // 2)),)),), y=(y, np.zeros(8, np.int32)))


def test_private_memory_from_outside_a_parallel() -> None:
    """Every point starts from the old value; afterwards a value exists only if all points agree."""
    y, i = tensor("Y", 8, dtype=INT32), Var("i")
    r, v = Buffer("r", (1,), INT32, Space.LOCAL), Buffer("v", (), INT32, Space.VAR)
    bump = Store(r, (ZERO,), Binary("+", Load(r, (ZERO,)), i32(i)))
    body = (
        *(Alloc(r), Alloc(v, i32(100)), Store(r, (ZERO,), i32(5))),
        Parallel((i,), (8,), (bump, Store(y, (i,), Binary("+", Load(r, (ZERO,)), Load(v, ()))), Store(v, (), i32(1)))),
    )
    found = np.zeros(8, np.int32)
    run((*body, Assert(eq(Cast(i.dtype, Load(v, ())), 1))), y=(y, found))
    assert found.tolist() == [105 + i for i in range(8)]
    with pytest.raises(TileError, match="TD0803"):
        run((*body, Store(y, (ZERO,), Load(r, (ZERO,)))), y=(y, found))


def test_code_for_each_thread_around_tiles() -> None:
    """SIMT-style code: a scalar that depends on the thread is an array over the threads."""
    y, s, n = tensor("Y", 64, dtype=INT32), shared("s", 64, dtype=INT32), Buffer("n", (), INT32, Space.VAR)
    halve = While(Binary(">", Load(n, ()), i32(3)), (Store(n, (), Binary("//", Load(n, ()), i32(2))),))
    body = (
        Alloc(s),
        Alloc(n, i32(T)),
        halve,
        Store(s, (T,), Load(n, ())),
        Barrier(),
        Store(y, (T,), Load(s, (Binary("-", Const(63), T),))),
    )
    found = np.zeros(64, np.int32)
    run(body, y=(y, found))

    def halved(t: int) -> int:
        while t > 3:
            t //= 2
        return t

    assert found.tolist() == [halved(63 - t) for t in range(64)]


def test_tile_statements_need_the_whole_block() -> None:
    y = tensor("Y", 64)
    fill = Fill(whole(y), Const(0.0, FLOAT32))
    for body in ((If(lt(T, 3), (fill,)),), (Copy(part(y, (T, 1)), part(y, (0, 1))),)):
        with pytest.raises(TileError, match="TD0812"):
            run(body, y=(y, np.zeros(64, np.float32)))


# ------------------------------------------------------------------------------------------ memory and asynchrony


def test_reads_of_what_was_never_written() -> None:
    y, s, f = tensor("Y", 4, 4), shared("s", 4, 4), fragment("f", 4)
    found = np.zeros((4, 4), np.float32)
    half = Fill(part(s, (0, 4), (0, 2)), Const(1.0, FLOAT32))
    for body in (
        (Alloc(s), Copy(whole(s), whole(y))),
        (Alloc(s), half, Copy(whole(s), whole(y))),
        (Alloc(s), half, Store(y, (ZERO, ZERO), Load(s, (ZERO, Const(3))))),
        (Alloc(s), Alloc(f), half, Reduce(whole(s), whole(f), "sum", 0)),
    ):
        with pytest.raises(TileError, match="TD0803"):
            run(body, y=(y, found))
    run((Alloc(s), half, Copy(part(s, (0, 4), (0, 2)), part(y, (0, 4), (0, 2)))), y=(y, found))


def test_indices_outside_shared_memory_are_errors() -> None:
    s, i = shared("s", 4), Var("i")
    with pytest.raises(
        TileError, match=r"TD0802: 's' is accessed out of bounds: dimension 0 is 4, the extent is 4 .*point \(4,\)"
    ):
        run((Alloc(s), Parallel((i,), (5,), (Store(s, (i,), Const(0.0, FLOAT32)),))))


def test_views_share_bits() -> None:
    y, s, v = tensor("Y", 2, 2, dtype=UINT32), shared("s", 2, 4, dtype=FLOAT16), shared("v", 2, 2, dtype=UINT32)
    found = np.zeros((2, 2), np.uint32)
    run((Alloc(s), View(v, s), Fill(whole(s), Const(1.0, FLOAT16)), Copy(whole(v), whole(y))), y=(y, found))
    assert (found == 0x3C003C00).all()


def pipeline(waits: Block, version: int = 0) -> tuple[Block, Buffer, Buffer]:
    """Four tiles of X summed into Y, each copied one iteration ahead into the other of two versions."""
    x, y, s, acc = tensor("X", 4, 8), tensor("Y", 8), shared("s", 8, versions=2), fragment("acc", 8)
    i, j = Var("i"), Var("j")

    def copy(step: Expr, into: Expr) -> Copy:
        return Copy(part(x, (step, 1), (0, 8)), whole(s, into), asynchronous=True)

    add = Store(acc, (j,), Binary("+", Load(acc, (j,)), Load(s, (j,), i % 2)))
    step = (
        If(lt(i + 1, 4), (copy(i + 1, (i + 1 + version) % 2),)),
        AsyncCommit(),
        *waits,
        Parallel((j,), (8,), (add,)),
    )
    body = (Alloc(s), Alloc(acc), Fill(whole(acc), Const(0.0, FLOAT32)), copy(ZERO, ZERO), AsyncCommit())
    return (*body, For(i, Const(4), step), AsyncWait(0), Copy(whole(acc), whole(y))), x, y


@pytest.mark.parametrize("mode", ["early", "late"])
def test_P13_a_correct_pipeline_is_the_same_in_both_modes(mode: str) -> None:
    body, x, y = pipeline((AsyncWait(1), Barrier()))
    given, found = numbers(4, 8), np.zeros(8, np.float32)
    run(body, mode=mode, x=(x, given), y=(y, found))
    assert (found == given.sum(0)).all()


@pytest.mark.parametrize("waits, version", [((), 0), ((AsyncWait(2),), 0), ((AsyncWait(1),), 1)])
def test_P13_late_mode_reports_missing_waits_and_wrong_versions(waits: Block, version: int) -> None:
    body, x, y = pipeline(waits, version)
    with pytest.raises(TileError) as caught:
        run(body, mode="late", x=(x, numbers(4, 8)), y=(y, np.zeros(8, np.float32)))
    assert caught.value.code in {"TD0803", "TD0805"}


def test_asynchronous_stores_and_copies_left_in_flight() -> None:
    x, s, i = tensor("X", 8), shared("s", 8), Var("i")
    store = Parallel((i,), (8,), (Store(s, (i,), Load(x, (i,)), asynchronous=True),))
    given = numbers(8)
    run((Alloc(s), store, AsyncCommit(), AsyncWait(0), Copy(whole(s), whole(x))), mode="late", x=(x, given))
    for rest, code in (
        ((), "TD0808"),
        ((AsyncCommit(),), "TD0808"),
        ((Fill(whole(s), Const(0.0, FLOAT32)),), "TD0805"),
    ):
        with pytest.raises(TileError, match=code):
            run((Alloc(s), store, *rest), mode="late", x=(x, given))


def test_without_checks_missing_waits_show_as_wrong_numbers() -> None:
    body, x, y = pipeline(())
    found = np.zeros(8, np.float32)
    k = kernel(x, y, body=body)
    tile_interp.run(k, {"X": numbers(4, 8), "Y": found}, mode="late", check=False)
    assert np.isnan(found).all()


def test_print_of_a_tile(capsys: pytest.CaptureFixture[str]) -> None:
    f = fragment("f", 2)
    run((Alloc(f), Fill(whole(f), Const(1.5, FLOAT32)), Print("tile", buffer=f), Print("n", (Const(3),))))
    assert capsys.readouterr().out.splitlines() == ["tile f 0 1.5", "tile f 1 1.5", "n 3"]


def test_every_tile_operation_has_a_meaning() -> None:
    assert set(tile_ops.OPERATIONS) | {tile.Parallel} == set(tile.TILE_OPS)
    assert set(tile_ops._REDUCE) == set(REDUCTIONS)


def test_every_node_class_has_a_meaning() -> None:
    """Each statement and expression of the IR is executed by one stage or the other."""
    modules = (vars(nodes), vars(tile), vars(concurrent))
    kinds = {c for m in modules for c in m.values() if isinstance(c, type) and issubclass(c, nodes.Stmt | nodes.Expr)}
    own = kinds - {nodes.Stmt, nodes.Expr, tile.Rearrangement}
    k = kernel(body=())
    bound = tile_interp.bind(k, {})
    at_tiles = tile_interp.TileMachine(k.launches[0], bound, {}, (1,), (0,), tile_interp.Options())
    how = interp.Options(True, True, "early", np.random.default_rng(0), {})
    at_threads = interp.Machine(k.launches[0], bound, {}, (1,), np.zeros((1, 1), int), [], how)
    meaning = {*at_tiles.executors, *at_tiles.evaluators, *at_threads.executors, *at_threads.evaluators}
    assert own - meaning == set()
    assert set(tile.TILE_OPS) & set(at_threads.executors) == set()


def test_functions_of_a_tile_in_parallel() -> None:
    x, y, i = tensor("X", 16), tensor("Y", 16), Var("i")
    given, found = np.linspace(-2, 2, 16, dtype=np.float32), np.zeros(16, np.float32)
    run((Parallel((i,), (16,), (Store(y, (i,), Call("exp2", (Load(x, (i,)),))),)),), x=(x, given), y=(y, found))
    assert (found == np.exp2(given.astype(np.float64)).astype(np.float32)).all()
