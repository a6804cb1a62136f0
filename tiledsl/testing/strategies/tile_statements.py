"""The statements of `tile_kernels`: each a few lines of IR over the tiles of one launch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from tiledsl.analysis.gemm_plan import warp_partitions
from tiledsl.ir.dtypes import FLOAT32, INDEX, INT8, INT32, DType
from tiledsl.ir.nodes import (
    Alloc,
    AtomicUpdate,
    Binary,
    Buffer,
    Cast,
    Const,
    Expr,
    If,
    Let,
    Load,
    Node,
    Region,
    Select,
    Space,
    Stmt,
    Store,
    Var,
    View,
    static_shape,
)
from tiledsl.ir.tile import Atomic, Copy, Fill, Gemm, Parallel, Reduce, Scan, Transpose

if TYPE_CHECKING:
    from tiledsl.testing.strategies.tile_kernels import _Maker

LIMIT = 8  # of a computed value: exact in every dtype, and so are the sums of some of them


@dataclass(frozen=True)
class Place:
    """Where a statement stands: the blocks' indices, the loops around it, and the sizes of tiles."""

    draw: st.DrawFn
    pick: Callable[[Any], Any]
    blocks: tuple[Var, Var]
    m: int
    n: int
    k: int
    threads: int
    maker: _Maker
    loops: tuple[Var, ...] = ()

    def inside(self, loop: Var) -> Place:
        return replace(self, loops=(*self.loops, loop))

    @property
    def indices(self) -> tuple[Var, ...]:
        return (*self.loops, *self.blocks)

    @property
    def row(self) -> Expr:
        return self.blocks[1] * self.m

    @property
    def col(self) -> Expr:
        return self.blocks[0] * self.n

    def step(self) -> Expr:
        """Which part of the depth a copy takes: it goes with the innermost loop."""
        return self.loops[-1] % 4 if self.loops else Const(self.draw(st.integers(0, 3)))


class Tiles:
    """The tiles of one launch, allocated and filled where they are used.

    `earlier` are results of the launches before. Accumulators are read by a clamp or a result only.
    """

    def __init__(self, maker: _Maker, earlier: tuple[Buffer, ...]) -> None:
        m, n, k, dtype = maker.m, maker.n, maker.k, maker.dtype

        def tile(name: str, shape: tuple[int, ...], space: Space, of: DType = dtype) -> Buffer:
            return Buffer(name, shape, of, space)

        shared, fragment = Space.SHARED, Space.FRAGMENT
        self.maker, self.earlier = maker, earlier
        self.wholes = [tile("S0", (m, n), shared), tile("S1", (m, n), shared), tile("X", (m, n), fragment)]
        self.floats = tile("F", (m, n), fragment, FLOAT32)
        self.wholes.append(self.floats)
        self.turned = tile("T", (n, m), shared)
        self.flat = tile("flat", (m * n,), self.maker.pick((shared, fragment)))
        self.left = tile("As", (m, k), shared)
        self.left_turned = tile("At", (k, m), shared)
        self.right = tile("Bs", (k, n), shared)
        self.right_turned = tile("Bt", (n, k), shared)
        self.registers = tile("Ar", (m, k), fragment)
        self.sums = [tile("R", (m,), fragment, FLOAT32), tile("C", (n,), fragment, FLOAT32)]
        self.scanned = tile("Q", (m, n), shared, FLOAT32)
        self.source = tile("P", (m, n), shared, FLOAT32)
        self.acc = tile("acc", (m, n), fragment, INT32 if dtype in (INT8, INT32) else FLOAT32)
        self.all = [*self.wholes, self.turned, self.flat, self.left, self.left_turned, self.right, self.right_turned]
        self.all += [self.registers, *self.sums, self.scanned, self.source, self.acc]

    def before(self, body: Iterable[Node]) -> list[Stmt]:
        """What allocates and fills the tiles that `body` uses."""
        used = set(n for n in body if isinstance(n, Buffer))
        out: list[Stmt] = []
        for number, b in enumerate(self.all):
            if b in used:
                out += [Alloc(b), Fill(whole(b), constant(number % 5 - 2, b.dtype))]
        return out

    def show(self, place: Place) -> list[Stmt]:
        """A result that every launch has if it has no other."""
        return [result(place, self.wholes[0])]

    def fetch(self, place: Place) -> list[Stmt]:
        """What a pipeline starts with: tiles of the operands at this iteration."""
        return [copy_left(place, self, False), copy_right(place, self, False)]


def whole(b: Buffer) -> Region:
    shape = static_shape(b)
    return Region(b, tuple(Const(0) for _ in shape), shape)


def constant(value: int, dtype: DType) -> Const:
    return Const(float(value), dtype) if dtype.is_float else Const(value, dtype)


def statement(place: Place, tiles: Tiles) -> list[Stmt]:
    """One statement, or a few that belong together."""
    return place.pick(_KINDS)(place, tiles)  # type: ignore[no-any-return]


# ------------------------------------------------------------------------------------------------------------- copies


def fill(place: Place, t: Tiles) -> list[Stmt]:
    b = place.pick([*t.wholes, *t.sums, t.acc, t.flat])
    return [Fill(whole(b), constant(place.draw(st.integers(-2, 2)), b.dtype))]


def copy_in(place: Place, t: Tiles) -> list[Stmt]:
    """A tile of the data, where the block stands or one that the table names; perhaps beyond the end."""
    b = place.pick(t.wholes)
    rows: Expr = place.row
    out: list[Stmt] = []
    match place.draw(st.integers(0, 3)):
        case 0:
            entry = Load(t.maker.table, (place.pick(place.indices) % 8,))
            where = Var("where")
            out.append(Let(where, Cast(INDEX, entry)))
            rows = where * place.pick((1, place.m))
        case 1:
            rows = place.row + place.draw(st.integers(-3, 3))
    return [*out, Copy(Region(t.maker.data, (rows, place.col), (place.m, place.n)), whole(b))]


def copy_half(place: Place, t: Tiles) -> list[Stmt]:
    """The upper or the lower half of a shared tile."""
    b, half = t.wholes[place.draw(st.integers(0, 1))], place.m // 2
    at = place.pick((0, half))
    src = Region(t.maker.data, (place.row + at, place.col), (half, place.n))
    return [Copy(src, Region(b, (Const(at), Const(0)), (half, place.n)))]


def copy_turned(place: Place, t: Tiles) -> list[Stmt]:
    if place.draw(st.booleans()):
        return [Transpose(whole(t.wholes[0]), whole(t.turned))]
    return [Copy(Region(t.maker.turned, (place.col, place.row), (place.n, place.m)), whole(t.turned))]


def copy_between(place: Place, t: Tiles) -> list[Stmt]:
    a, b = place.pick(t.wholes), place.pick(t.wholes)
    return [Copy(whole(a), whole(b))] if a is not b else []


def copy_left(place: Place, t: Tiles, turned: bool) -> Stmt:
    src = Region(t.maker.left, (place.row, place.step() * place.k), (place.m, place.k))
    return Transpose(src, whole(t.left_turned)) if turned else Copy(src, whole(t.left))


def copy_right(place: Place, t: Tiles, turned: bool) -> Stmt:
    src = Region(t.maker.right, (place.step() * place.k, place.col), (place.k, place.n))
    return Transpose(src, whole(t.right_turned)) if turned else Copy(src, whole(t.right))


def result(place: Place, b: Buffer) -> Stmt:
    """The tile as a result of its own, one for every iteration of the innermost loop (the first eight)."""
    out = place.maker.output((8, *place.maker.extents), b.dtype)
    turn = place.loops[-1] % 8 if place.loops else Const(0)
    return Copy(whole(b), Region(out, (turn, place.row, place.col), (1, place.m, place.n)))


def copy_out(place: Place, t: Tiles) -> list[Stmt]:
    return [result(place, place.pick([*t.wholes, t.acc, t.scanned]))]


def sums_out(place: Place, t: Tiles) -> list[Stmt]:
    """Sums of rows differ from block to block of a row: each block has a row of its own in the result."""
    which = place.draw(st.integers(0, 1))
    b = t.sums[which]
    height, width = place.maker.extents
    across = place.blocks[0] if which == 0 else place.blocks[1]
    out = place.maker.output((2, height if which == 0 else width), FLOAT32)
    at = place.row if which == 0 else place.col
    return [Copy(whole(b), Region(out, (across, at), (1, place.m if which == 0 else place.n)))]


def add_up(place: Place, t: Tiles) -> list[Stmt]:
    """Atomic sums over all blocks."""
    return [Atomic("add", whole(t.maker.total), whole(t.floats))]


# ---------------------------------------------------------------------------------------------------------- computing


def gemm(place: Place, t: Tiles) -> list[Stmt]:
    if not warp_partitions((place.m, place.n), (16, 8), place.threads // 32) or t.maker.dtype is INT32:
        return []
    draw = place.draw
    ta, tb = draw(st.booleans()), draw(st.booleans())
    a, b = t.left_turned if ta else t.left, t.right_turned if tb else t.right
    out: list[Stmt] = []
    if draw(st.booleans()):
        out += [copy_left(place, t, ta), copy_right(place, t, tb)]
    if not ta and draw(st.integers(0, 3)) == 0:
        out.append(Copy(whole(t.left), whole(t.registers)))
        a = t.registers
    policy = place.pick(("square", "full_row", "full_col"))
    precision = place.pick(("ieee", "tf32")) if t.maker.dtype is FLOAT32 else "ieee"
    return [*out, Gemm(whole(a), whole(b), whole(t.acc), ta, tb, draw(st.booleans()), policy, precision)]


def reduce(place: Place, t: Tiles) -> list[Stmt]:
    dim = place.draw(st.integers(0, 1))
    op = place.pick(("sum", "max", "min", "abssum", "absmax"))
    return [Reduce(whole(t.floats), whole(t.sums[1 - dim]), op, dim, place.draw(st.booleans()))]


def scan(place: Place, t: Tiles) -> list[Stmt]:
    op, dim, reverse = place.pick(("sum", "max")), place.draw(st.integers(0, 1)), place.draw(st.booleans())
    return [Copy(whole(t.floats), whole(t.source)), Scan(whole(t.source), whole(t.scanned), op, dim, reverse)]


def element_wise(place: Place, t: Tiles) -> list[Stmt]:
    """A loop over the points of a tile; the tile that it writes is read at the point itself only."""
    i, j = Var("i"), Var("j")
    draw = place.draw
    target, at = place.pick([*[(b, (i, j)) for b in t.wholes], (t.turned, (j, i)), (t.flat, (i * place.n + j,))])
    value = clamped(_value(place, t, i, j, target, at, 2), target.dtype)
    store: Stmt = Store(target, at, value)
    match draw(st.integers(0, 5)):
        case 0:
            limit = draw(st.integers(0, place.m + place.n))
            store = If(Binary("<", i + j, Const(limit)), (store,))
        case 1:
            v = Var("v", FLOAT32)
            bound = _value(place, t, i, j, target, at, 1)
            value = clamped(Binary("+", v, Binary("*", v, Const(0.0, FLOAT32))), target.dtype)
            return [Parallel((i, j), (place.m, place.n), (Let(v, bound), Store(target, at, value)))]
    return [Parallel((i, j), (place.m, place.n), (store,))]


def row_wise(place: Place, t: Tiles) -> list[Stmt]:
    i = Var("i")
    row = t.sums[0]
    other = Load(t.maker.column, (place.row + i + place.draw(st.integers(-1, 1)),))
    value = Binary(place.pick(("+", "max", "min")), Load(row, (i,)), other)
    return [Parallel((i,), (place.m,), (Store(row, (i,), clamped(value, FLOAT32)),))]


def viewed(place: Place, t: Tiles) -> list[Stmt]:
    """A shared tile written through a view of another shape."""
    base = t.wholes[0]
    view = Buffer("view", (place.m * place.n,), base.dtype, Space.SHARED)
    i = Var("i")
    value = clamped(Binary("+", Cast(FLOAT32, Load(view, (i,))), Const(1.0, FLOAT32)), base.dtype)
    return [View(view, base), Parallel((i,), (place.m * place.n,), (Store(view, (i,), value),))]


def count(place: Place, t: Tiles) -> list[Stmt]:
    """A histogram: atomics of single points."""
    i, j = Var("i"), Var("j")
    where = Binary("%", i * place.draw(st.integers(0, 3)) + j, Const(8))
    once = AtomicUpdate("add", t.maker.counts, (where,), Const(1, INT32))
    guard = If(Binary("<", i, Const(place.draw(st.integers(1, place.m)))), (once,))
    return [Parallel((i, j), (place.m, place.n), (guard,))]


def store_points(place: Place, t: Tiles) -> list[Stmt]:
    """Points of a tile stored one by one where they are inside: a guard that depends on the thread."""
    i, j = Var("i"), Var("j")
    b = place.pick(t.wholes)
    height, width = place.maker.extents
    out = place.maker.output((8, height, width), b.dtype)
    turn = place.loops[-1] % 8 if place.loops else Const(0)
    store: Stmt = Store(out, (turn, place.row + i, place.col + j), Load(b, (i, j)))
    if place.draw(st.booleans()):
        limit = height - 1 if isinstance(height, int) else height - Const(1)
        store = If(Binary("<", place.row + i, limit if isinstance(limit, Expr) else Const(limit)), (store,))
    return [Parallel((i, j), (place.m, place.n), (store,))]


def clamped(value: Expr, dtype: DType) -> Expr:
    bounded = Binary("min", Binary("max", value, Const(-float(LIMIT), FLOAT32)), Const(float(LIMIT), FLOAT32))
    return bounded if dtype is FLOAT32 else Cast(dtype, bounded)


def _value(place: Place, t: Tiles, i: Expr, j: Expr, target: Buffer, at: Any, depth: int) -> Expr:
    """A float32 expression of a point; `target` is read at `at` only."""
    draw = place.draw
    if depth and draw(st.booleans()):
        a, b = (_value(place, t, i, j, target, at, depth - 1) for _ in range(2))
        if draw(st.integers(0, 3)) == 0:
            cond = Binary(place.pick(("<", ">=", "==")), place.pick((i, j, i + j)), Const(draw(st.integers(0, 9))))
            return Select(cond, a, b)
        return Binary(place.pick(("+", "-", "*", "max", "min")), a, b)
    return Cast(FLOAT32, _leaf(place, t, i, j, target, at))


def _leaf(place: Place, t: Tiles, i: Expr, j: Expr, target: Buffer, at: Any) -> Expr:
    other = [b for b in t.wholes if b is not target]
    options: list[Expr] = [Load(target, at), *[Load(b, (i, j)) for b in other]]
    options += [Load(t.sums[0], (i,)), Load(t.sums[1], (j,)), Load(t.acc, (i, j)), Const(1.0, FLOAT32)]
    if t.turned is not target:
        options.append(Load(t.turned, (j, i)))
    if t.flat is not target:
        options.append(Load(t.flat, (i * place.n + j,)))
    shift = place.draw(st.integers(-1, 1))
    options.append(Load(t.maker.data, (place.row + i + shift, place.col + j)))
    options += [Load(b, (Const(0), place.row + i, place.col + j)) for b in t.earlier[:2]]
    options += [Cast(INT32, i), Cast(INT32, place.pick(place.indices))]
    return place.pick(options)  # type: ignore[no-any-return]


_KINDS = (
    fill, copy_in, copy_in, copy_half, copy_turned, copy_between, copy_between, copy_out, copy_out, sums_out, add_up,
    gemm, gemm, reduce, reduce, scan, element_wise, element_wise, element_wise, row_wise, viewed, count, store_points,
)  # fmt: skip
