"""Random small programs with pipelined loops, and their execution by the tile interpreter."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import zip_longest
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tiledsl.cpu.tile_interp import run
from tiledsl.ir.dtypes import BOOL, FLOAT32, INDEX, INT32
from tiledsl.ir.nodes import (
    Alloc,
    AtomicUpdate,
    Binary,
    Block,
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
    Pipelined,
    Region,
    Serial,
    Space,
    Stmt,
    Store,
    Unary,
    Var,
    lt,
)
from tiledsl.ir.printer import text
from tiledsl.ir.tile import Copy, Fill, Parallel

TILE = 4
TILES = 24  # rows of the inputs: more than any loop runs
Draw = Any


def row(b: Buffer, i: Expr | int, width: int = TILE, start: int = 0) -> Region:
    at = Const(i) if isinstance(i, int) else i
    return Region(b, (at, Const(start)), (1, width))


def tile(b: Buffer, width: int = TILE, start: int = 0) -> Region:
    return Region(b, (Const(start),), (width,))


@dataclass
class Program:
    """Buffers of a random program. Every statement writes values that depend on where and when it runs."""

    sources: list[Buffer] = field(default_factory=lambda: [Buffer(f"A{i}", (TILES, TILE), FLOAT32) for i in range(2)])
    table: Buffer = field(default_factory=lambda: Buffer("table", (TILES, TILE), INT32))
    mask: Buffer = field(default_factory=lambda: Buffer("mask", (TILES,), BOOL))
    out: Buffer = field(default_factory=lambda: Buffer("out", (16 * TILES, TILE), FLOAT32))
    log: Buffer = field(default_factory=lambda: Buffer("log", (16 * TILES, 1), INT32))
    count: Buffer = field(default_factory=lambda: Buffer("count", (1,), INT32))
    shared: list[Buffer] = field(
        default_factory=lambda: [Buffer(f"S{i}", (TILE,), FLOAT32, Space.SHARED) for i in range(3)]
    )
    index: Buffer = field(default_factory=lambda: Buffer("I", (TILE,), INT32, Space.SHARED))
    registers: list[Buffer] = field(
        default_factory=lambda: [Buffer(f"F{i}", (TILE,), FLOAT32, Space.FRAGMENT) for i in range(2)]
    )
    lines: int = 0

    def next_line(self) -> int:
        self.lines += 1
        return self.lines - 1


def parallel(dst: Buffer, value: Any) -> Stmt:
    x = Var("x")
    return Parallel((x,), (TILE,), (Store(dst, (x,), value(x)),))


def from_table(p: Program, at: Expr) -> Expr:
    return Cast(INDEX, Load(p.table, (at, Const(0))))


def is_odd(p: Program) -> Expr:
    """A condition on the index tile: both sides happen, however small the numbers in it are."""
    return Binary("==", Cast(INDEX, Load(p.index, (Const(1),))) % 2, Const(1))


@st.composite
def pipeline_statements(draw: Draw, p: Program, k: Var, least: int = 2, most: int = 6) -> Block:
    """The body of a loop over k."""
    body: list[Stmt] = []
    if draw(st.booleans()):
        body += draw(usual_statements(p, k))
        least, most = 0, 2
    for _ in range(draw(st.integers(least, most))):
        body += draw(statement(p, k))
    if draw(st.integers(0, 4)) == 0:
        return (If(Load(p.mask, (k,)), tuple(body)),)
    return tuple(body)


@st.composite
def usual_statements(draw: Draw, p: Program, k: Var) -> list[Stmt]:
    """What pipelines are made for: each tile copied once, then read."""
    count = draw(st.integers(1, 3))
    loads = [Copy(row(draw(st.sampled_from(p.sources)), k), tile(s)) for s in p.shared[:count]]
    if draw(st.booleans()):
        loads.append(Copy(row(p.table, k), tile(p.index)))
        at = Cast(INDEX, Load(p.index, (Const(draw(st.integers(0, TILE - 1))),)))
        loads[0] = Copy(row(p.sources[0], at), tile(p.shared[0]))
        loads.reverse()
    elif draw(st.booleans()):
        loads[0] = draw(partial_copy(p, k, p.shared[0]))
    uses: list[Stmt] = []
    for s in draw(st.permutations(p.shared[:count])):
        f = draw(st.sampled_from(p.registers))
        if draw(st.booleans()):  # tiles of different groups, needed at once
            uses.append(_accumulate(f, s, p.shared[0]))
        else:
            uses.append(_accumulate(f, s) if draw(st.booleans()) else Copy(tile(s), tile(f)))
        if draw(st.booleans()):
            uses.append(Copy(tile(f), row(p.out, k + p.next_line() * TILES)))
    if draw(st.booleans()):  # each copy right before its use, as in attention
        return [x for pair in zip_longest(loads, uses) for x in pair if x is not None]
    return [*loads, *uses]


@st.composite
def partial_copy(draw: Draw, p: Program, k: Var, s: Buffer) -> Stmt:
    """A copy in some iterations, or of some elements: readers of the tile see what an earlier iteration wrote."""
    a, x = draw(st.sampled_from(p.sources)), Var("x")
    if draw(st.booleans()):
        return If(lt(k, draw(st.integers(0, 4))), (Copy(row(a, k), tile(s)),))
    some = If(lt(x, draw(st.integers(1, TILE))), (Store(s, (x,), Load(a, (k, x))),))
    return Parallel((x,), (TILE,), (some,))


def _accumulate(f: Buffer, *tiles: Buffer) -> Stmt:
    def value(x: Var) -> Expr:
        e: Expr = Load(f, (x,))
        for s in tiles:
            e = e * Const(2.0, FLOAT32) + Load(s, (x,))
        return e

    return parallel(f, value)


@st.composite
def statement(draw: Draw, p: Program, k: Var) -> list[Stmt]:
    s = draw(st.sampled_from(p.shared))
    f = draw(st.sampled_from(p.registers))
    a = draw(st.sampled_from(p.sources))
    match draw(st.integers(0, 13)):
        case 0 | 1 | 2:
            return [Copy(row(a, k), tile(s))]
        case 3:
            return [Copy(tile(s), tile(f))]
        case 4:
            return [_accumulate(f, s)]
        case 5:
            return [parallel(s, lambda x: Load(f, (x,)) + Const(1.0, FLOAT32))]
        case 6 | 7:
            line = p.next_line()
            return [Copy(tile(draw(st.sampled_from([s, f]))), row(p.out, k + line * TILES))]
        case 8:
            half = draw(st.sampled_from([0, TILE // 2]))
            return [Copy(row(a, k, TILE // 2, half), tile(s, TILE // 2, half))]
        case 9:  # an index tile in shared memory directs a copy
            first = Copy(row(p.table, k), tile(p.index))
            return [first, Copy(row(a, Cast(INDEX, Load(p.index, (Const(1),)))), tile(s))]
        case 10:  # a let that reads memory directs a copy
            v, w = Var("v"), Var("w")
            return [Let(v, from_table(p, k)), Let(w, Binary("%", v + 1, Const(TILES))), Copy(row(a, w), tile(s))]
        case 11:  # an atomic whose result is stored: executed exactly once
            v = Var("ticket", INT32)
            line = p.next_line()
            note = Store(p.log, (k + line * TILES, Const(0)), v)
            once = AtomicUpdate("add", p.count, (Const(0),), Const(1, INT32), result=v)
            return [once, note]
        case 12:  # the condition reads what the branch overwrites
            cond = is_odd(p) if draw(st.booleans()) else Unary("not", is_odd(p))
            both: list[Stmt] = [Copy(row(p.table, k), tile(p.index)), Copy(row(a, k), tile(s))]
            line = p.next_line()
            return [If(cond, tuple(both)), Copy(tile(s), row(p.out, k + line * TILES))]
        case _:
            return [draw(partial_copy(p, k, s))]


class PipelinedKernel:
    """A kernel, and the value of its parameter `n`; None if it has none. Failures show it as text."""

    def __init__(self, kernel: Kernel, n: int | None) -> None:
        self.kernel, self.n = kernel, n

    def __repr__(self) -> str:
        return f"n = {self.n}\n{text(self.kernel)}"


@st.composite
def pipelined_kernels(draw: Draw, stages: Any = None, shapes: Any = None) -> PipelinedKernel:
    """A kernel with one or several pipelined loops; `shapes`: 0 two, 1 nested, 2 in a loop, 3 and 4 one."""
    p = Program()
    dynamic = draw(st.booleans())
    trips = draw(st.integers(0 if dynamic else 1, 9))
    n = Var("n")
    extent: Expr = n if dynamic else Const(trips)
    depth = stages if stages is not None else st.integers(0, 4)

    def loop(inner: Block = ()) -> For:
        k = Var("k")
        return For(k, extent, (*draw(pipeline_statements(p, k)), *inner), Pipelined(draw(depth)))

    body: list[Stmt] = []
    match draw(shapes if shapes is not None else st.integers(0, 4)):
        case 0:
            body += [loop(), loop()]
        case 1:
            inner = replace(loop(), extent=Const(draw(st.integers(1, 3))))
            body.append(loop((inner,)))
        case 2:
            body.append(For(Var("outer"), Const(2), (loop(), *after_loop(draw, p)), Serial()))
        case _:
            body.append(loop())
    body += after_loop(draw, p)
    return kernel_around(p, tuple(body), n if dynamic else None, trips)


def kernel_around(p: Program, body: Block, n: Var | None = None, trips: int = 0) -> PipelinedKernel:
    """The kernel with that body, all its tiles filled before."""
    tiles = [*p.shared, *p.registers]
    start = [Fill(tile(b), Const(float(i), FLOAT32)) for i, b in enumerate(tiles)]
    start.append(Fill(tile(p.index), Const(0, INT32)))
    allocs = [Alloc(b) for b in [*tiles, p.index]]
    params = (*p.sources, p.table, p.mask, p.out, p.log, p.count, *((n,) if n is not None else ()))
    launch = Launch("random", (Const(1),), (Var("bx"),), (1,), Var("tx"), (*allocs, *start, *body))
    return PipelinedKernel(Kernel("random", params, (launch,)), trips if n is not None else None)


def after_loop(draw: Draw, p: Program) -> list[Stmt]:
    seen = [b for b in [*p.shared, *p.registers] if draw(st.integers(0, 2)) == 0]
    reads: list[Stmt] = [Copy(tile(b), row(p.out, p.next_line() * TILES + TILES - 1)) for b in seen]
    if reads and draw(st.integers(0, 3)) == 0:  # decided by a tile of the loop
        return [If(Unary("not", is_odd(p)), tuple(reads))]
    return reads


Step = tuple[str, int, int]  # load, take, put or out; which shared tile; which register tile


@dataclass(frozen=True)
class ManualSchedule:
    """A loop over whole-tile statements with the stage and the order that its user chose, legal or not.

    "load" copies a row of an input to a shared tile, "take" a shared tile to registers, "put" registers to a shared
    tile, "out" registers to a row of the result.
    """

    steps: tuple[Step, ...]
    stage: tuple[int, ...]
    order: tuple[int, ...]
    trips: int

    def program(self) -> PipelinedKernel:
        """A kernel with that loop."""
        p, k = Program(), Var("k")

        def statement(line: int, step: Step) -> Stmt:
            kind, s, f = step
            match kind:
                case "load":
                    return Copy(row(p.sources[s], k), tile(p.shared[s]))
                case "take":
                    return Copy(tile(p.shared[s]), tile(p.registers[f]))
                case "put":
                    return Copy(tile(p.registers[f]), tile(p.shared[s]))
            return Copy(tile(p.registers[f]), row(p.out, k + line * TILES))

        body = tuple(statement(i, step) for i, step in enumerate(self.steps))
        loop = For(k, Const(self.trips), body, Pipelined(2, order=self.order, stage=self.stage))
        return kernel_around(p, (loop,))


@st.composite
def manual_schedules(draw: Draw) -> ManualSchedule:
    """Up to five statements with a random stage and order; about half of them cannot be followed."""
    count = draw(st.integers(2, 5))
    kind = st.sampled_from(["load", "load", "take", "take", "put", "out"])
    steps = [(draw(kind), draw(st.integers(0, 1)), draw(st.integers(0, 1))) for _ in range(count)]
    stage = [draw(st.integers(0, 2)) for _ in range(count)]
    order = draw(st.permutations(range(count)))
    return ManualSchedule(tuple(steps), tuple(stage), tuple(order), draw(st.integers(1, 7)))


def arguments(n: int | None) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    result: dict[str, Any] = {
        "A0": rng.integers(0, 50, (TILES, TILE)).astype(np.float32),
        "A1": rng.integers(50, 99, (TILES, TILE)).astype(np.float32),
        "table": rng.integers(0, TILES, (TILES, TILE)).astype(np.int32),
        "mask": rng.integers(0, 2, TILES).astype(bool),
        "out": np.full((16 * TILES, TILE), -1, np.float32),
        "log": np.full((16 * TILES, 1), -1, np.int32),
        "count": np.zeros(1, np.int32),
    }
    return result if n is None else {**result, "n": n}


def execute(kernel: Kernel, n: int | None, mode: str = "late", how: Any = run) -> dict[str, Any]:
    """The arguments after running the kernel on them."""
    given = arguments(n)
    how(kernel, given, mode=mode)
    return {name: given[name] for name in ("out", "log", "count")}


def same_results(a: dict[str, Any], b: dict[str, Any]) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)
