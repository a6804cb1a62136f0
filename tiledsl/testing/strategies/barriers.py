"""Random thread-stage programs in which threads exchange data through shared memory without any barrier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from tiledsl.cpu import interp
from tiledsl.errors import TileError
from tiledsl.ir.dtypes import FLOAT32, INT32
from tiledsl.ir.nodes import (
    Alloc,
    AsyncCommit,
    AsyncWait,
    AtomicUpdate,
    Barrier,
    Block,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Load,
    Node,
    SharedSlot,
    Space,
    Stmt,
    Store,
    Unrolled,
    Var,
    lt,
    wrap,
)
from tiledsl.ir.printer import text
from tiledsl.ir.walk import map_children, walk

THREADS = 64
Draw = Any


@dataclass
class Exchange:
    """One kernel's buffers. All shared tiles have an element per thread; `private` is the only register array.

    `short_cycles`: accesses may cycle through fewer versions than a tile has.
    """

    short_cycles: bool = False

    source: Buffer = field(default_factory=lambda: Buffer("A", (THREADS,), FLOAT32))
    out: Buffer = field(default_factory=lambda: Buffer("out", (THREADS,), FLOAT32))
    tiles: list[Buffer] = field(
        default_factory=lambda: [
            Buffer("S0", (THREADS,), FLOAT32, Space.SHARED),
            Buffer("S1", (THREADS,), FLOAT32, Space.SHARED),
            Buffer("S2", (THREADS,), FLOAT32, Space.SHARED, versions=2),
            Buffer("S3", (THREADS,), FLOAT32, Space.SHARED, versions=3),
        ]
    )
    counts: Buffer = field(default_factory=lambda: Buffer("N", (4,), INT32, Space.SHARED))
    private: Buffer = field(default_factory=lambda: Buffer("r", (1,), FLOAT32, Space.LOCAL))
    thread: Var = field(default_factory=lambda: Var("tx"))


class BarrierProgram:
    """A kernel; failures show it as text."""

    def __init__(self, kernel: Kernel, n: int | None = None) -> None:
        self.kernel, self.n = kernel, n

    def __repr__(self) -> str:
        return f"n = {self.n}\n{text(self.kernel)}"


@st.composite
def places(draw: Draw, x: Exchange) -> Expr:
    """Where a thread accesses a tile: its own element, another thread's, or one for several threads."""
    t = x.thread
    match draw(st.integers(0, 4)):
        case 0 | 1:
            return t
        case 2:
            return wrap(THREADS - 1) - t
        case 3:
            return (t + int(draw(st.integers(1, THREADS - 1)))) % THREADS
        case _:
            return t // int(draw(st.sampled_from([2, 32])))


@st.composite
def statements(draw: Draw, x: Exchange, k: Var | None, tiles: Sequence[Buffer]) -> list[Stmt]:
    tile = draw(st.sampled_from(tiles))
    version: Expr | None = None
    if tile.versions > 1:
        ahead = draw(st.integers(0, 3))
        cycle = tile.versions - int(x.short_cycles and draw(st.booleans()))
        version = Const(ahead % cycle) if k is None else (k + ahead) % cycle
    own = Load(x.private, (Const(0),))
    place = draw(places(x))
    read = Store(x.private, (Const(0),), own + Load(tile, (place,), version))
    write = Store(tile, (x.thread,), own + Const(1.0, FLOAT32), version)
    match draw(st.integers(0, 9)):
        case 0 | 1:
            return [write]
        case 3 | 4 | 5:
            return [read]
        case 2 | 6:  # some of the threads write
            return [If(lt(x.thread, draw(st.sampled_from([1, 32, 40]))), (write,))]
        case 7:
            count = AtomicUpdate("add", x.counts, (x.thread % 4,), Const(1, INT32))
            return [count]
        case 8:
            i = Var("i")
            return [For(i, Const(2), (write,), Unrolled())]
        case _:
            copy = Store(tile, (x.thread,), Load(x.source, (x.thread,)), version, asynchronous=True)
            wait = AsyncWait(0)
            between = draw(statements(x, k, tiles)) if draw(st.booleans()) else []
            return [copy, AsyncCommit(), *between, wait]


def _touches_twice(block: list[Stmt]) -> bool:
    """Whether a statement between the issue of a copy and its wait touches what is in flight: no barrier helps."""
    flying: set[Buffer] = set()
    for s in block:
        if isinstance(s, Store) and s.asynchronous:
            if s.buffer in flying:
                return True
            flying.add(s.buffer)
        elif isinstance(s, AsyncWait):
            flying.clear()
        elif any(isinstance(n, Buffer) and n in flying for n in walk(s)):
            return True
    return False


@st.composite
def bodies(draw: Draw, x: Exchange, k: Var | None, most: int = 5) -> Block:
    out: list[Stmt] = []
    # Often one tile with versions alone: what others need must not hide what tells its iterations apart.
    cycled = [b for b in x.tiles if b.versions > 1]
    tiles = [draw(st.sampled_from(cycled))] if cycled and draw(st.booleans()) else x.tiles
    for _ in range(draw(st.integers(1, most))):
        new = draw(statements(x, k, tiles).filter(lambda b: not _touches_twice(b)))
        out += new
    return tuple(out)


@st.composite
def barrier_programs(draw: Draw, exact: bool = False) -> BarrierProgram:
    """Straight code and loops, nested ones too. `exact`: nothing in them depends on what the tables do not know.

    That is the value of `n`, and which iterations a condition on a loop variable takes.
    """
    x = Exchange(short_cycles=not exact)
    n = Var("n")
    body: list[Stmt] = list(initial(x))
    uses_n = False
    for _ in range(draw(st.integers(1, 3))):
        match draw(st.integers(0, 5)):
            case 0:
                body += draw(bodies(x, None))
            case 1 if not exact:
                k = Var("k")
                body.append(For(k, n, draw(bodies(x, k))))
                uses_n = True
            case 2:
                k, j = Var("k"), Var("j")
                inner = For(j, Const(draw(st.integers(1, 3))), draw(bodies(x, j, 3)))
                body.append(For(k, Const(3), (*draw(bodies(x, k, 2)), inner, *draw(bodies(x, k, 2)))))
            case 3 if not exact:
                k = Var("k")
                body.append(For(k, Const(4), (If(lt(k, 2), draw(bodies(x, k, 3))), *draw(bodies(x, k, 3)))))
            case _:
                k = Var("k")
                body.append(For(k, Const(draw(st.integers(1, 7))), draw(bodies(x, k))))
    body.append(Store(x.out, (x.thread,), Load(x.private, (Const(0),))))
    allocs = [Alloc(b) for b in (*x.tiles, x.counts, x.private)]
    launch = Launch("exchange", (Const(1),), (Var("bx"),), (THREADS,), x.thread, (*allocs, *body))
    if draw(st.booleans()):
        launch = replace(launch, shared=_overlapping(x), shared_bytes=4096)
    kernel = Kernel("exchange", (x.source, x.out, *((n,) if uses_n else ())), (launch,))
    return BarrierProgram(kernel, draw(st.integers(0, 6)) if uses_n else None)


def initial(x: Exchange) -> list[Stmt]:
    """The private register, every tile and the counters set to 0."""
    zero = Const(0.0, FLOAT32)
    out: list[Stmt] = [Store(x.private, (Const(0),), zero)]
    for tile in x.tiles:
        for v in range(tile.versions):
            out.append(Store(tile, (x.thread,), zero, Const(v) if tile.versions > 1 else None))
    out.append(If(lt(x.thread, 4), (Store(x.counts, (x.thread,), Const(0, INT32)),)))
    return out


def _overlapping(x: Exchange) -> tuple[SharedSlot, ...]:
    """An arena without sharing; what shares bytes is the subject of a test of its own."""
    at, slots = 0, []
    for b in (*x.tiles, x.counts):
        slots.append(SharedSlot(b, at))
        at += 256 * b.versions
    return tuple(slots)


def races(program: BarrierProgram, kernel: Kernel) -> TileError | None:
    """What the checking interpreter says about `kernel`, a variant of the program; None if it is content."""
    arguments: dict[str, Any] = {
        "A": np.arange(THREADS, dtype=np.float32),
        "out": np.zeros(THREADS, np.float32),
        **({} if program.n is None else {"n": program.n}),
    }
    try:
        interp.run(kernel, arguments, mode="late")
    except TileError as e:
        return e
    return None


def without_barrier(kernel: Kernel, number: int) -> Kernel:
    """The kernel less its barrier `number`, counted in program order."""
    seen = -1

    def visit(node: Node) -> Node | tuple[Node, ...]:
        nonlocal seen
        if isinstance(node, Barrier):
            seen += 1
            return () if seen == number else node
        return map_children(node, visit)

    result = visit(kernel)
    assert isinstance(result, Kernel)
    return result


def count_barriers(kernel: Kernel) -> int:
    return sum(isinstance(n, Barrier) for n in walk(kernel))
