"""Whole kernels at the tile stage with the arguments of a call: what `T` programs do, in one shape or another.

All numbers are small integers: a store of a computed value clamps it to [-8, 8], and only accumulators, which nothing
but a clamp or a result reads, grow. So every sum is exact in its dtype, and every execution of a kernel, whatever its
order of additions, gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.ir.dtypes import BFLOAT16, BOOL, FLOAT8_E4M3, FLOAT16, FLOAT32, INT8, INT32, DType
from tiledsl.ir.nodes import (
    Alloc,
    Binary,
    Block,
    Break,
    Buffer,
    Const,
    Expr,
    Extent,
    For,
    If,
    Kernel,
    Launch,
    Load,
    Node,
    Pipelined,
    SafeValue,
    Serial,
    Space,
    Stmt,
    Store,
    Unrolled,
    Var,
    While,
)
from tiledsl.ir.printer import text
from tiledsl.ir.tile import Copy
from tiledsl.ir.walk import walk
from tiledsl.target import Target, target_named
from tiledsl.testing.strategies.tile_statements import Place, Tiles, statement

DTYPES = (FLOAT16, FLOAT32, BFLOAT16, INT8, INT32, FLOAT8_E4M3)
ENTRIES = 8  # of the table of indices, and of the mask


@dataclass(frozen=True)
class TileKernel:
    """A kernel and its arguments by name: arrays, scalars, sizes. Failures show it as text."""

    kernel: Kernel
    values: Mapping[str, Any]
    written: frozenset[str]
    target: Target

    def arguments(self) -> dict[str, Any]:
        """The arguments for one run, which may write what the kernel writes."""
        return {n: v.copy() if n in self.written else v for n, v in self.values.items()}

    def __repr__(self) -> str:
        scalars = {n: v for n, v in self.values.items() if not isinstance(v, np.ndarray)}
        return f"target {self.target.name}, {scalars}\n{text(self.kernel)}"


@dataclass(frozen=True)
class Options:
    """What a kernel may have. Loops and nesting cost the most time to run."""

    statements: int = 5
    launches: int = 2
    threads: tuple[int, ...] = (32, 64, 96, 128)
    targets: tuple[str, ...] = ("sm_80", "sm_89", "sm_90a")
    dtypes: tuple[DType, ...] = DTYPES


@st.composite
def tile_kernels(draw: st.DrawFn, options: Options = Options()) -> TileKernel:
    """Kernels of one or two launches over tensors of ragged or dynamic sizes, with every kind of tile statement."""
    maker = _Maker(draw, options)
    launches = tuple(maker.launch(i) for i in range(draw(st.integers(1, options.launches))))
    used = {n for launch in launches for n in walk(launch) if isinstance(n, Buffer)}
    used |= {maker.data} if maker.sizes else set()  # a size is bound from the shape of a tensor
    tensors = [b for b in maker.tensors if b in used]
    kernel = Kernel("random", tuple([*tensors, *maker.scalars]), launches, tuple(maker.sizes))
    outputs = frozenset(b.name for b in maker.outputs if b in used)
    able = [t for t in options.targets if maker.dtype is not FLOAT8_E4M3 or t != "sm_80"] or options.targets
    target = target_named(draw(st.sampled_from(able)))
    return TileKernel(kernel, maker.arguments(tensors, outputs), outputs, target)


class _Maker:
    """Draws a kernel from the outside in: tensors, launches, loops, statements."""

    def __init__(self, draw: st.DrawFn, options: Options) -> None:
        self.draw, self.options = draw, options
        self.pick: Callable[[Any], Any] = lambda options: draw(st.sampled_from(list(options)))
        self.m, self.n, self.k = self.pick((16, 32, 24)), self.pick((16, 32, 8, 40)), self.pick((16, 32))
        self.grid = (self.pick((1, 2)), self.pick((1, 2)))
        self.rows = self.ragged(self.m, self.grid[1])
        self.columns = self.ragged(self.n, self.grid[0])
        self.trips = draw(st.integers(0, 4))
        self.dtype = self.pick(options.dtypes)
        self.k = 32 if self.dtype.bits == 8 else self.k  # what the instruction for bytes multiplies at a time
        self.sizes: list[Var] = []
        self.scalars: list[Var] = []
        self.outputs: list[Buffer] = []
        self.values: dict[Var, int] = {}
        height, width = self.size("M", self.rows), self.size("N", self.columns)
        self.extents = (height, width)
        depth = 4 * self.k
        self.data = Buffer("G", (height, width), self.dtype)
        self.turned = Buffer("H", (width, height), self.dtype)
        self.left = Buffer("A", (height, depth), self.dtype)
        self.right = Buffer("B", (depth, width), self.dtype)
        self.column = Buffer("V", (height,), FLOAT32)
        self.table = Buffer("table", (ENTRIES,), INT32)
        self.mask = Buffer("mask", (ENTRIES,), BOOL)
        self.counts = Buffer("counts", (ENTRIES,), INT32)
        self.total = Buffer("total", (self.m, self.n), FLOAT32)
        self.tensors = [self.data, self.turned, self.left, self.right, self.column, self.table, self.mask]
        self.tensors += [self.counts, self.total]
        self.outputs += [self.counts, self.total]

    def ragged(self, tile: int, blocks: int) -> int:
        """A size that takes so many tiles, the last one in part perhaps."""
        missing: int = self.pick((0, 0, 1, tile // 2))
        return tile * blocks - missing

    def size(self, name: str, value: int) -> Extent:
        """The size as it is, or a variable that has that value in the call."""
        if self.draw(st.integers(0, 2)):
            return value
        var = Var(name)
        self.sizes.append(var)
        self.values[var] = value
        return var

    def output(self, shape: tuple[Extent, ...], dtype: DType) -> Buffer:
        made = Buffer(f"out{len(self.outputs) - 2}", shape, dtype)
        self.outputs.append(made)
        self.tensors.append(made)
        return made

    # ---- launches and control flow

    def launch(self, number: int) -> Launch:
        blocks = (Var("bx"), Var("by"))
        threads = self.pick(self.options.threads)
        place = Place(self.draw, self.pick, blocks, self.m, self.n, self.k, threads, self)
        tiles = Tiles(self, tuple(b for b in self.outputs[2:] if len(b.shape) == 3))
        body: list[Stmt] = []
        for _ in range(self.draw(st.integers(1, self.options.statements))):
            body += self.part(place, tiles, 2)
        if not any(isinstance(s, Copy) and s.dst.buffer in self.outputs for s in walk_all(body)):
            body += tiles.show(place)
        grid = tuple(ceil_div(e, t) for e, t in ((self.extents[1], self.n), (self.extents[0], self.m)))
        safe = (SafeValue(self.data, Const(3, self.dtype) if self.dtype.is_integer else Const(3.0, self.dtype)),)
        before = tiles.before(walk_all(body))
        made = Launch(
            f"part{number}", grid, blocks, (threads,), Var("tx"), (*before, *body),
            safe_values=safe if self.draw(st.integers(0, 4)) == 0 else (),
        )  # fmt: skip
        return made

    def part(self, place: Place, tiles: Tiles, depth: int) -> list[Stmt]:
        """A statement, or a loop or branch around some."""
        kind = self.draw(st.integers(0, 9)) if depth else 0
        match kind:
            case 6 | 7:
                return [self.loop(place, tiles, depth)]
            case 8:
                return [If(self.condition(place), self.block(place, tiles, depth - 1, 2), ())]
            case 9:
                return self.while_loop(place, tiles, depth)
        return statement(place, tiles)

    def block(self, place: Place, tiles: Tiles, depth: int, most: int) -> Block:
        out: list[Stmt] = []
        for _ in range(self.draw(st.integers(1, most))):
            out += self.part(place, tiles, depth)
        return tuple(out)

    def loop(self, place: Place, tiles: Tiles, depth: int) -> Stmt:
        k = Var("k")
        dynamic = self.draw(st.integers(0, 3)) == 0
        extent: Expr = self.trip_count() if dynamic else Const(max(1, self.trips))
        kinds = (Serial(), Pipelined(0), Pipelined(2), Pipelined(2), Pipelined(3), Unrolled(), Unrolled(explicit=True))
        kind = self.pick(kinds[:5] if dynamic else kinds)
        inner = place.inside(k)
        body = self.block(inner, tiles, depth - 1, 3)
        if isinstance(kind, Pipelined) and self.draw(st.booleans()):
            body = (*tiles.fetch(inner), *body)
        if not isinstance(kind, Pipelined) and self.draw(st.integers(0, 5)) == 0:
            body = (If(Binary(">=", k, Const(self.draw(st.integers(1, 3)))), (Break(),)), *body)
        return For(k, extent, body, kind)

    def trip_count(self) -> Var:
        for v in self.scalars:
            return v
        n = Var("n")
        self.scalars.append(n)
        self.values[n] = self.trips
        return n

    def while_loop(self, place: Place, tiles: Tiles, depth: int) -> list[Stmt]:
        """Its counter, which nothing else sees, counts down first of all."""
        counter = Buffer("left", (), INT32, Space.VAR)
        value = Load(counter, ())
        down = Store(counter, (), Binary("-", value, Const(1, INT32)))
        body = (down, *self.block(place, tiles, depth - 1, 2))
        count = Const(self.draw(st.integers(0, 3)), INT32)
        return [Alloc(counter, count), While(Binary(">", value, Const(0, INT32)), body)]

    def condition(self, place: Place) -> Expr:
        """The same for all threads of a block."""
        index = self.pick(place.indices)
        if self.draw(st.booleans()):
            return Load(self.mask, (Binary("%", index, Const(ENTRIES)),))
        return Binary(self.pick(("<", ">=", "==")), index, Const(self.draw(st.integers(0, 2))))

    # ---- the call

    def arguments(self, tensors: list[Buffer], outputs: frozenset[str]) -> dict[str, Any]:
        rng = np.random.default_rng(self.draw(st.integers(0, 99)))
        numbers = {v.name: n for v, n in self.values.items()}
        values: dict[str, Any] = dict(numbers)
        for b in tensors:
            shape = tuple(e if isinstance(e, int) else self.values[e] for e in b.shape)  # type: ignore[index]
            holder = numpy_dtype(b.dtype)
            if b.name in outputs:
                values[b.name] = (
                    np.zeros(shape, holder) if b in (self.counts, self.total) else np.full(shape, -1, holder)
                )
            elif b is self.table:
                values[b.name] = rng.integers(0, 4, shape).astype(holder)
            elif b is self.mask:
                values[b.name] = rng.integers(0, 2, shape).astype(holder)
            else:
                values[b.name] = rng.integers(-2, 3, shape).astype(holder)
        return values


def ceil_div(extent: Extent, tile: int) -> Expr:
    if isinstance(extent, int):
        return Const(-(-extent // tile))
    return Binary("//", extent + (tile - 1), Const(tile))


def walk_all(body: Any) -> list[Node]:
    return [n for s in body for n in walk(s)]
