"""Kernels for the planner of roles: loops that copy tiles which the copy engine could bring, or almost.

All numbers are small and not negative, so every sum is exact and no product gives -0: whatever overlaps, the bits are
the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tiledsl.analysis.access import accesses
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.dtypes import FLOAT16, FLOAT32, INT32
from tiledsl.ir.nodes import (
    Alloc,
    AtomicUpdate,
    Binary,
    Block,
    Buffer,
    Cast,
    Const,
    Expr,
    If,
    Kernel,
    Launch,
    Load,
    Region,
    SafeValue,
    Serial,
    Space,
    Stmt,
    Store,
    Var,
    View,
    While,
    lt,
    static_shape,
)
from tiledsl.ir.printer import text
from tiledsl.ir.tile import Copy, Fill, Gemm, Parallel, Reduce
from tiledsl.testing.strategies.warp_fills import Fills
from tiledsl.testing.strategies.warp_places import DEEP, LINES, SIDE, SLOTS, Place, block, whole


@dataclass(frozen=True)
class WarpKernel:
    """A kernel and its arguments by name. Failures show it as text."""

    kernel: Kernel
    scalars: tuple[tuple[str, int], ...]
    seed: int

    @property
    def blocks_are_apart(self) -> bool:
        """Whether no block sees what another one does: each writes elements of its own of these tensors."""
        stores = (a for launch in self.kernel.launches for s in launch.body for a in accesses(s) if a.writes)
        return {a.buffer.name for a in stores if a.buffer.space is Space.GLOBAL} <= {"out", "C"}

    def arguments(self) -> dict[str, Any]:
        """New arguments for one run."""
        rng = np.random.default_rng(self.seed)
        values: dict[str, Any] = dict(self.scalars)
        for b in self.kernel.params:
            if not isinstance(b, Buffer):
                continue
            shape = tuple(e if isinstance(e, int) else values[e.name] for e in b.shape)  # type: ignore[attr-defined]
            low, high = (-1, 5) if b.name == "table" else (0, 3)
            numbers = rng.integers(low, high, shape)
            values[b.name] = (np.zeros(shape) if b.name == "tickets" else numbers).astype(numpy_dtype(b.dtype))
        return values

    def __repr__(self) -> str:
        return f"{dict(self.scalars)}, seed {self.seed}\n{text(self.kernel)}"


@st.composite
def warp_kernels(draw: st.DrawFn, products: bool | None = None) -> WarpKernel:
    """Kernels with pipelined loops over tiles; with `products` of tensor cores, without, or drawn."""
    maker = _Maker(draw, draw(st.booleans()) if products is None else products)
    body = maker.body()
    kernel = maker.kernel(body)
    scalars = tuple((v.name, value) for v, value in maker.values.items())
    return WarpKernel(kernel, scalars, draw(st.integers(0, 9)))


class _Maker(Fills):
    """Draws a kernel from the outside in."""

    def kernel(self, body: Block) -> Kernel:
        grid = self.pick((1, 1, 2))
        safe = (SafeValue(self.sources[0], Const(1.0, self.dtype)),) if self.rarely(9) else ()
        launch = Launch(
            "warps", (Const(grid),), (self.block,), self.threads, self.thread, (*self.at_top, *body, *self.at_end),
            safe_values=safe,
        )  # fmt: skip
        tensors = (
            *self.sources,
            self.other,
            self.matrix,
            self.left,
            self.odd,
            self.table,
            self.tickets,
            self.out,
            self.result,
        )
        sizes = tuple(v for v in self.values if v is not self.n)
        return Kernel("warps", (*tensors, self.n), (launch,), sizes)

    # ---- loops

    def body(self) -> Block:
        """Nests of loops, one after the other."""
        out: list[Stmt] = []
        for _ in range(self.draw(st.integers(1, 2))):
            if self.rarely(4):
                out += self.work(())  # a tile that is there before the loop, or copied in no loop at all
            out += self.nest(())
        return tuple(out)

    def nest(self, place: Place) -> list[Stmt]:
        shape = self.pick(("one", "one", "one", "serial", "pipelined", "deep", "guarded"))
        match shape:
            case "serial":
                return [self.loop(place, Serial(), lambda at: [*self.some_work(at), *self.nest_of_one(at)])]
            case "pipelined":
                return [self.loop(place, self.depth(), lambda at: [*self.some_work(at), *self.nest_of_one(at)])]
            case "deep":
                return [
                    self.loop(
                        place, Serial(), lambda at: [self.loop(at, Serial(), self.nest_of_one), *self.some_work(at)]
                    )
                ]
            case "guarded":
                before, cond = self.condition(place)
                orelse = tuple(self.nest_of_one(place)) if self.rarely(3) else ()
                return [*before, If(cond, tuple(self.nest_of_one(place)), orelse)]
        return self.nest_of_one(place)

    def nest_of_one(self, place: Place) -> list[Stmt]:
        return [self.loop(place, self.depth(), self.work)]

    def some_work(self, place: Place) -> list[Stmt]:
        return self.work(place) if self.rarely(3) else []

    def work(self, place: Place) -> list[Stmt]:
        """Copies and their readers: one group, or more; some under conditions."""
        out: list[Stmt] = []
        for _ in range(self.draw(st.integers(1, 2))):
            part = self.product_part(place) if self.products and not self.rarely(4) else self.part(place)
            if self.rarely(4):
                before, cond = self.condition(place)
                part = [*before, If(cond, tuple(part), tuple(self.part(place)) if self.rarely(4) else ())]
            out += part
        return out

    def part(self, place: Place) -> list[Stmt]:
        pairs = [self.copied(place) for _ in range(self.draw(st.integers(1, 2)))]
        return list(self.arranged(pairs))

    def arranged(self, pairs: Sequence[tuple[list[Stmt], list[Stmt]]]) -> Iterator[Stmt]:
        """Copies with their readers: each before its readers, or all copies first, perhaps the other way round."""
        match self.pick(("apart", "first", "reversed")):
            case "apart":
                for before, after in pairs:
                    yield from (*before, *after)
                return
            case "first":
                yield from (s for before, _ in pairs for s in before)
            case _:
                yield from (s for before, _ in reversed(pairs) for s in before)
        yield from (s for _, after in pairs for s in after)

    def copied(self, place: Place) -> tuple[list[Stmt], list[Stmt]]:
        """Statements that fill a tile, and statements that read it."""
        before, number = self.number(place)
        tile = Buffer("S", (SIDE, SIDE), self.dtype, Space.SHARED)
        column = self.pick((0, 1, *place[:1]))
        move = Copy(block(self.pick(self.sources), number, (SIDE, SIDE), column), whole(tile))
        fill: list[Stmt] = [move]
        after = self.readers(place, tile)
        here = self.draw(st.booleans())
        match self.pick(
            (*("plain",) * 6, "converts", "halves", "twice", "late", "view", "unread", "sometimes", "slow")
        ):
            case "converts":
                fill = [Copy(block(self.other, number, (SIDE, SIDE), column), whole(tile))]
            case "halves":
                half = (SIDE // 2, SIDE)
                parts = [Region(tile, (Const(i * half[0]), Const(0)), half) for i in range(2)]
                fill = [Copy(block(self.sources[0], number * 2 + i, half), part) for i, part in enumerate(parts)]
            case "twice":
                fill = [move, *self.readers(place, tile), Copy(block(self.sources[0], number, (SIDE, SIDE)), move.dst)]
            case "late":
                self.at_top += [Alloc(tile), Fill(whole(tile), Const(1.0, self.dtype))]
                self.at_end += self.stored((), tile)
                return [*before, *fill], after
            case "view":
                flat = Buffer("flat", (SIDE * SIDE,), self.dtype, Space.SHARED)
                add = Load(flat, (Const(self.draw(st.integers(0, SIDE * SIDE - 1))),))
                after = [View(flat, tile), *after, self.added(add)]
            case "unread":
                after = []
            case "sometimes":
                self.at_top += [Alloc(tile), Fill(whole(tile), Const(1.0, self.dtype))]
                more, cond = self.condition(place)
                return [*before, *more, If(cond, tuple(fill))], after
            case "slow":
                fill = [replace(move, width=1)]
        if not here:
            self.at_top.append(Alloc(tile))
        return [*before, *([Alloc(tile)] if here else []), *fill], after

    # ---- readers

    def sum(self) -> Buffer:
        """A sum in registers, which is stored at the end of the kernel."""
        if not self.sums or self.rarely(3):
            made = self.filled("sum", (SIDE, SIDE), self.dtype)
            self.sums.append(made)
            self.at_end += self.stored((), made)
        return self.pick(self.sums)  # type: ignore[no-any-return]

    def added(self, value: Expr) -> Stmt:
        return self.changed(self.sum(), lambda old, _: old + value)

    def changed(self, b: Buffer, value: Callable[[Expr, tuple[Var, Var]], Expr]) -> Stmt:
        x, y = Var("x"), Var("y")
        rows, columns = static_shape(b)
        return Parallel((x, y), (rows, columns), (Store(b, (x, y), value(Load(b, (x, y)), (x, y))),))

    def readers(self, place: Place, tile: Buffer) -> list[Stmt]:
        return [s for _ in range(self.draw(st.integers(1, 2))) for s in self.reader(place, tile)]

    def reader(self, place: Place, tile: Buffer) -> list[Stmt]:
        match self.pick(("add", "add", "copy", "store", "stage", "reduce", "some")):
            case "copy":
                held = self.new("held", (SIDE, SIDE), self.dtype, Space.FRAGMENT)
                return [Copy(whole(tile), whole(held)), self.sum_with(held)]
            case "store":
                return self.stored(place, tile)
            case "stage":
                stage = self.new("stage", (SIDE, SIDE), self.dtype, Space.SHARED)
                return [Copy(whole(tile), whole(stage)), *self.stored(place, stage)]
            case "reduce":
                held = self.new("held", (SIDE, SIDE), self.dtype, Space.FRAGMENT)
                most = self.new("most", (SIDE,), self.dtype, Space.FRAGMENT)
                add = self.changed(self.sum(), lambda old, at: old + Load(most, (at[0],)))
                return [Copy(whole(tile), whole(held)), Reduce(whole(held), whole(most), "max", 1), add]
            case "some":
                before, cond = self.condition(place)
                return [*before, If(cond, (self.sum_with(tile),))]
        return [self.sum_with(tile)]

    def sum_with(self, tile: Buffer) -> Stmt:
        return self.changed(self.sum(), lambda old, at: old + Load(tile, at))

    def stored(self, place: Place, tile: Buffer) -> list[Stmt]:
        """A tile to a place of the result that is its own, or its own in each iteration of the innermost loop.

        Rarely it goes where another one went, or something is read back.
        """
        line = self.lines if not self.rarely(6) else self.draw(st.integers(0, self.lines))
        self.lines = min(max(self.lines, line + 1), LINES - 1)
        moves = self.draw(st.booleans())
        slot: Expr = place[-1] if place and moves else Const(0)
        here = block(self.out, (self.block * LINES + line) * SLOTS + slot, (SIDE, SIDE))
        out: list[Stmt] = [Copy(whole(tile), here)]
        if place and self.rarely(6):
            held = self.new("held", (SIDE, SIDE), self.dtype, Space.FRAGMENT)
            behind = replace(here, offsets=(here.offsets[0] + self.pick((0, SIDE)), Const(0)))
            out.append(Copy(behind, whole(held)))
            out.append(self.sum_with(held))
        return out

    # ---- products

    def operand(
        self, place: Place, name: str, tensor: Buffer, shape: tuple[int, int], transposed: bool = False
    ) -> tuple[Buffer, list[Stmt]]:
        """A tile of a product: new ones in each iteration, mostly."""
        tile = self.new(name, shape, FLOAT16, Space.SHARED)
        before, number = self.number(place) if not self.rarely(3) else ([], place[-1] if place else Const(1))
        of_each_thread = any(isinstance(s, AtomicUpdate) for s in before)  # and no index within a loop over points
        if not of_each_thread and self.rarely(3):
            return tile, [*before, self.fill_by_threads(tile, number)]
        if tensor is self.left:
            source = Region(tensor, (Const(0), number * shape[1]), shape)
        else:
            source = block(tensor, number, shape, self.pick((0, 1)))
        return tile, [*before, Copy(source, whole(tile))]

    def product_part(self, place: Place) -> list[Stmt]:
        if self.draw(st.booleans()):
            return self.chain(place)
        width = self.pick((8, 16, 32))
        total = self.filled("acc", (self.height, width), FLOAT32)
        self.totals.append(total)
        self.at_end += self.shown(total)
        a, copy_a = self.operand(place, "As", self.left, (self.height, DEEP))
        b, copy_b = self.operand(place, "Bs", self.matrix, (DEEP, width))
        multiply: list[Stmt] = [Gemm(whole(a), whole(b), whole(total))]
        if self.rarely(3):
            second = self.filled("acc", (self.height, width), FLOAT32)
            self.at_end += self.shown(second)
            multiply.append(Gemm(whole(a), whole(b), whole(second if self.draw(st.booleans()) else total)))
        return [*self.arranged([(copy_a, []), (copy_b, [*multiply, *self.afterwards(place, total, b)])])]

    def afterwards(self, place: Place, total: Buffer, operand: Buffer) -> list[Stmt]:
        """What may be in the way of a product in flight."""
        match self.pick(("", "", "", "", "scale", "read", "show", "clear")):
            case "scale":
                return [self.changed(total, lambda old, _: Binary("min", old, Const(64.0, FLOAT32)))]
            case "read":
                value = Cast(self.dtype, Load(operand, (Const(0), Const(0))))
                return [self.added(value)]
            case "show":
                return self.shown(total)
            case "clear":
                return [*self.shown(total), Fill(whole(total), Const(0.0, FLOAT32))]
        return []

    def shown(self, total: Buffer) -> list[Stmt]:
        rows, columns = static_shape(total)
        place = Region(self.result, (self.block * self.height, Const(0)), (rows, columns))
        return [self.plus_stored(total, place)]

    def plus_stored(self, total: Buffer, place: Region) -> Stmt:
        """The result grows by the sums, so that none is lost."""
        x, y = Var("x"), Var("y")
        rows, columns = place.extents
        at = (place.offsets[0] + x, place.offsets[1] + y)
        value = Load(self.result, at) + Load(total, (x, y))
        return Parallel((x, y), (rows, columns), (Store(self.result, at, value),))

    def chain(self, place: Place) -> list[Stmt]:
        """Two products with work on the result of the first between them, as in attention."""
        width = self.pick((8, 16, 32))
        turned = self.draw(st.booleans())
        total = self.filled("total", (self.height, width), FLOAT32)
        self.at_end += self.shown(total)
        first_here = self.rarely(3)
        q, copy_q = self.operand(place if first_here else (), "Qs", self.left, (self.height, DEEP))
        if not first_here:
            self.at_top += copy_q
            copy_q = []
        k, copy_k = self.operand(place, "Ks", self.matrix, (DEEP, DEEP))
        v, copy_v = self.operand(place, "Vs", self.matrix, (DEEP, width))
        scores = self.filled("scores", (self.height, DEEP), FLOAT32)
        weights = self.new("weights", (self.height, DEEP), FLOAT16, self.pick((Space.FRAGMENT, Space.SHARED)))
        clears = self.draw(st.booleans())
        start = Const(self.pick((0.0, 1.0)), FLOAT32)
        zero: list[Stmt] = [] if clears else [Fill(whole(scores), start)]
        head = Gemm(whole(q), whole(k), whole(scores), transpose_b=turned, clear=clears)
        work = [self.changed(scores, lambda old, _: Binary("min", old, Const(2.0, FLOAT32)))]
        work.append(Copy(whole(scores), whole(weights)))
        if self.draw(st.booleans()):
            scaled = self.changed(total, lambda old, _: Binary("min", old, Const(99.0, FLOAT32)))
            work.insert(self.draw(st.integers(0, 2)), scaled)
        tail = Gemm(whole(weights), whole(v), whole(total))
        users = [tail, *self.afterwards(place, total, v)]
        early = [*zero, *copy_q]
        return [*early, *self.arranged([(copy_k, [head, *work]), (copy_v, users)])]


# Loops whose trips depend on data are for one test each: the planner refuses them whole.
def with_while(program: WarpKernel) -> WarpKernel:
    """The same kernel with a loop `while` that ends at once."""
    launch = program.kernel.launches[0]
    counter = Buffer("left", (), INT32, Space.VAR)
    never = While(lt(Const(0, INT32), Load(counter, ())), (Store(counter, (), Const(0, INT32)),))
    made = replace(launch, body=(Alloc(counter, Const(0, INT32)), *launch.body, never))
    return replace(program, kernel=replace(program.kernel, launches=(made,)))
