"""What the kernels of `warps.py` are made of: tensors, tiles, loops, and the numbers that say where a copy goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from hypothesis import strategies as st

from tiledsl.ir.dtypes import BFLOAT16, FLOAT16, FLOAT32, INDEX, INT32, DType
from tiledsl.ir.nodes import (
    Alloc,
    AtomicUpdate,
    Binary,
    Buffer,
    Cast,
    Const,
    Expr,
    Extent,
    For,
    If,
    Let,
    Load,
    Pipelined,
    Region,
    Serial,
    Space,
    Stmt,
    Store,
    Var,
    eq,
    lt,
    static_shape,
)
from tiledsl.ir.tile import Copy, Fill

SIDE = 8  # of the tiles that elements are computed from: rows of 16 or 32 bytes
DEEP = 16  # what a product sums over, of float16
ENTRIES = 16  # of the table of indices: more than any loop runs
MOST_TRIPS = 6
SLOTS = 8  # places of the result for each store, for the iterations of a loop
LINES = 24  # stores that a kernel has at most


Place = tuple[Var, ...]  # the loops around, outermost first


def whole(b: Buffer) -> Region:
    return Region(b, (Const(0),) * len(b.shape), static_shape(b))


def block(b: Buffer, row: Expr, shape: tuple[int, ...], column: Expr | int = 0) -> Region:
    """The block of a tensor that begins at `row`, in units of blocks."""
    return Region(b, (row * shape[0], column * Const(shape[1])), shape)


class Places:
    """Draws the parts of a kernel that say where and how often something happens."""

    def __init__(self, draw: st.DrawFn, products: bool) -> None:
        self.draw, self.products = draw, products
        self.pick: Callable[[Any], Any] = lambda options: draw(st.sampled_from(list(options)))
        self.dtype: DType = FLOAT16 if products else self.pick((FLOAT16, FLOAT32))
        self.values: dict[Var, int] = {Var("n"): draw(st.integers(0, MOST_TRIPS))}
        (self.n,) = self.values
        rows: Extent = self.pick((48, 37))
        if self.rarely():
            self.values[Var("m")] = rows if self.rarely() else 0  # type: ignore[assignment]
            rows = list(self.values)[-1]
        self.sources = [Buffer(f"A{i}", (rows, 4 * SIDE), self.dtype) for i in range(2)]
        self.other = Buffer("O", (48, 4 * SIDE), BFLOAT16)
        self.matrix = Buffer("M", (6 * DEEP, 4 * DEEP), FLOAT16)
        self.left = Buffer("L", (256, 8 * DEEP), FLOAT16)
        self.odd = Buffer("U", (96, self.pick((60, 61, 62))), FLOAT16)  # rows that are not aligned
        self.table = Buffer("table", (ENTRIES,), INT32)
        self.tickets = Buffer("tickets", (1,), INT32)
        self.threads: tuple[int, ...] = self.pick(((128,), (128,), (256,), (256,), (384,), (64,), (64, 2)))
        self.height = 64 * max(1, self.threads[0] // 128)
        self.out = Buffer("out", (2 * LINES * SLOTS * SIDE, SIDE), self.dtype)
        self.result = Buffer("C", (4 * self.height, 2 * DEEP), FLOAT32)
        self.block = Var("bx")
        self.thread = Var("tx")
        self.lines = 0
        self.at_top: list[Stmt] = []
        self.at_end: list[Stmt] = []
        self.sums: list[Buffer] = []  # of small tiles
        self.totals: list[Buffer] = []  # of products
        self.cursor: Buffer | None = None

    def rarely(self, one_in: int = 5) -> bool:
        return self.draw(st.integers(0, one_in - 1)) == one_in - 1  # the rest is simpler: failures shrink to it

    def new(self, name: str, shape: tuple[int, ...], dtype: DType, space: Space) -> Buffer:
        """A tile of the kernel, allocated at the top."""
        made = Buffer(name, shape, dtype, space)
        self.at_top.append(Alloc(made))
        return made

    def filled(self, name: str, shape: tuple[int, ...], dtype: DType, space: Space = Space.FRAGMENT) -> Buffer:
        made = self.new(name, shape, dtype, space)
        self.at_top.append(Fill(whole(made), Const(0 if dtype.is_integer else 0.0, dtype)))
        return made

    def depth(self) -> Pipelined:
        return Pipelined(self.pick((1, 1, 2, 2, 3, 4)))

    def loop(self, place: Place, kind: Any, body: Callable[[Place], Sequence[Stmt]]) -> For:
        k = Var("ijkl"[len(place)])
        extent = self.extent(place)
        clears = [Fill(whole(b), Const(0.0, b.dtype)) for b in (*self.sums, *self.totals) if self.rarely(6)]
        inside = tuple(body((*place, k)))
        return For(k, extent, (*clears, *inside) if place else inside, kind)

    def extent(self, place: Place) -> Expr:
        m = [v for v in self.values if v is not self.n]
        choices: list[Expr] = [Const(self.draw(st.integers(0, MOST_TRIPS - 2 * len(place)))), self.n]
        choices += [Binary("//", v + (SIDE - 1), Const(SIDE)) for v in m]
        if self.rarely(4):
            choices += [place[-1] + 1] if place else []
            entry = Cast(INDEX, Load(self.table, (Const(self.draw(st.integers(0, 3))),)))
            choices.append(Binary("max", entry, Const(0)))
        extent: Expr = self.pick(choices)
        return extent

    # ---- where a tile is, and whether it is copied

    def number(self, place: Place) -> tuple[list[Stmt], Expr]:
        """Statements, and the number that they find, of rows of tiles; it may lie outside of the tensor."""
        at: Expr = place[-1] if place else Const(self.draw(st.integers(0, 2)))
        how = self.pick(("loop", "loop", "loop", "sum", "table", "let", "lets", "fragment", "cursor", "odd"))
        match how:
            case "sum" if len(place) > 1:
                return [], place[0] * 2 + at
            case "sum":
                return [], at + self.block
            case "table":
                return [], self.entry(at)
            case "let":
                v = Var("v")
                return [Let(v, self.entry(at))], v
            case "lets":
                v, w = Var("v", INT32), Var("w")
                return [Let(v, Load(self.table, (at,))), Let(w, Cast(INDEX, v) + 1)], w
            case "fragment":
                return [], Cast(INDEX, Load(self.copied_table(), (at,)))
            case "cursor":
                return self.moved(at)
            case "odd":
                return self.odd_number(at)
        return [], at

    def entry(self, at: Expr) -> Expr:
        return Cast(INDEX, Load(self.table, (at,)))

    def copied_table(self) -> Buffer:
        """The table in registers, by way of up to two other fragments."""
        made = self.new("where", (ENTRIES,), INT32, Space.FRAGMENT)
        self.at_top.append(Copy(whole(self.table), whole(made)))
        for _ in range(self.draw(st.integers(0, 2))):
            before, made = made, self.new("where", (ENTRIES,), INT32, Space.FRAGMENT)
            self.at_top.append(Copy(whole(before), whole(made)))
        return made

    def moved(self, at: Expr) -> tuple[list[Stmt], Expr]:
        """A variable that moves on, perhaps only in some iterations, or by what an inner loop counts."""
        if self.cursor is None:
            self.cursor = Buffer("cursor", (), INDEX, Space.VAR)
            self.at_top.append(Alloc(self.cursor, Const(0)))
        value = Load(self.cursor, ())
        step: Stmt = Store(self.cursor, (), Binary("%", value + 1, Const(5)))
        match self.pick(("plain", "plain", "guard", "loop", "data")):
            case "guard":
                step = If(lt(0, self.entry(at)), (step,))
            case "loop":
                step = For(Var("q"), Binary("max", self.entry(at), Const(0)), (step,), Serial())
            case "data" if self.sums:  # what only the consumers know
                seen = Load(self.sums[0], (Const(0),) * len(self.sums[0].shape))
                step = If(lt(Const(2.0, self.sums[0].dtype), seen), (step,))
        v = Var("v")
        return ([step], value) if self.draw(st.booleans()) else ([Let(v, value), step], v)

    def odd_number(self, at: Expr) -> tuple[list[Stmt], Expr]:
        """Numbers that no producer can know."""
        match self.pick(("shared", "ticket", "written")):
            case "shared":
                tile = self.new("places", (ENTRIES,), INT32, Space.SHARED)
                inside = Binary("%", at, Const(ENTRIES))  # verifiers try more iterations than are ever run
                return [Copy(whole(self.table), whole(tile))], Cast(INDEX, Load(tile, (inside,)))
            case "ticket":
                got = Var("ticket", INT32)
                return [AtomicUpdate("load", self.tickets, (Const(0),), Const(0, INT32), result=got)], Cast(INDEX, got)
            case _:
                put = Store(self.tickets, (Const(0),), Const(1, INT32))
                return [put], Cast(INDEX, Load(self.tickets, (Const(0),)))

    def condition(self, place: Place) -> tuple[list[Stmt], Expr]:
        at: Expr = place[-1] if place else Const(0)
        match self.pick(("compare", "even", "argument", "number")):
            case "compare":
                return [], lt(at, self.draw(st.integers(0, 4)))
            case "even":
                return [], eq(at % 2, self.draw(st.integers(0, 1)))
            case "argument":
                return [], lt(self.draw(st.integers(0, 3)), self.n)
            case _:
                before, number = self.number(place)
                return before, lt(0, number)

    # ---- what a loop does
