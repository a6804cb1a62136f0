"""Laws of the NumPy executions, against an oracle of one thread at a time in Python integers.

Random expressions, and random programs with branches, loops, break, continue and mutable scalars, mean the same at the
tile stage (a `Parallel` loop), at the thread stage (lowered by hand and by the passes: O2 == O3), in the emitted C++
and in Python.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from tiledsl.compile import Lowered, lower
from tiledsl.cpu import device, interp, tile_interp
from tiledsl.ir.dtypes import INDEX, INT32, DType
from tiledsl.ir.nodes import (
    Alloc,
    AtomicUpdate,
    Binary,
    Block,
    Break,
    Buffer,
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
    Select,
    Stmt,
    Store,
    Unary,
    Var,
    While,
    lt,
)
from tiledsl.ir.ops import BINARY
from tiledsl.ir.tile import Parallel
from tiledsl.ir.types import dtype_of
from tiledsl.target import target_named
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.strategies.scalars import SIZE, TYPES, I, Scope, X, Y, integers, scalar_code

Array = np.ndarray[Any, Any]
POINTS, THREADS = 50, 32
T, B = Var("t"), Var("b")


def wrapped(value: int, dtype: DType) -> int:
    """The value that a machine integer of the type would have. The language gives no meaning to a longer index."""
    low, high = dtype.int_range
    assume(dtype is not INDEX or low <= value <= high)
    return (value - low) % (high - low + 1) + low


# -------------------------------------------------------------------------------------------------------- the oracle


class _Leave(Exception):
    pass


class _Next(Exception):
    pass


@dataclass
class OneThread:
    """Executes a body for one point, in Python integers."""

    x: list[int]
    y: list[int]
    env: dict[Var, int] = field(default_factory=dict)
    cells: dict[Buffer, int] = field(default_factory=dict)

    def eval(self, e: Expr) -> Any:
        match e:
            case Const(value):
                return value
            case Var():
                return self.env[e]
            case Unary(op, a):
                value = self.eval(a)
                result = (not value) if op == "not" else -value if op == "-" else ~value
                return result if op == "not" else wrapped(result, dtype_of(e))
            case Binary("and", a, b):
                return self.eval(a) and self.eval(b)
            case Binary("or", a, b):
                return self.eval(a) or self.eval(b)
            case Binary(op, a, b):
                result = BINARY[op].eval(self.eval(a), self.eval(b))
                return result if isinstance(result, bool) else wrapped(result, dtype_of(e))
            case Select(cond, a, b):
                return self.eval(a) if self.eval(cond) else self.eval(b)
            case Cast(dtype, a):
                return wrapped(int(self.eval(a)), dtype)
            case Load(buffer, indices):
                return self.cells[buffer] if buffer in self.cells else self.x[self.eval(indices[0])]
        raise TypeError(type(e).__name__)

    def run(self, block: Block) -> None:
        for s in block:
            self.execute(s)

    def execute(self, s: Stmt) -> None:
        match s:
            case Let(var, value):
                self.env[var] = self.eval(value)
            case Alloc(buffer, init):
                self.cells[buffer] = self.eval(init)  # type: ignore[arg-type]
            case Store(buffer, indices, value):
                if buffer in self.cells:
                    self.cells[buffer] = self.eval(value)
                else:
                    self.y[self.eval(indices[0])] = self.eval(value)
            case If(cond, then, orelse):
                self.run(then if self.eval(cond) else orelse)
            case For(var, extent, body):
                self.loop(body, ((var, i) for i in range(self.eval(extent))))
            case While(cond, body):
                self.loop(body, iter(lambda: self.eval(cond), False))
            case Break():
                raise _Leave
            case Continue():
                raise _Next
            case _:
                raise TypeError(type(s).__name__)

    def loop(self, body: Block, turns: Any) -> None:
        try:
            for turn in turns:
                if isinstance(turn, tuple):
                    self.env[turn[0]] = turn[1]
                try:
                    self.run(body)
                except _Next:
                    continue
        except _Leave:
            pass


def in_python(body: Block, x: Array) -> list[int]:
    y = [0] * SIZE
    for point in range(POINTS):
        OneThread(x.tolist(), y, {I: point}).run(body)
    return y


def at_tiles(body: Block, x: Array) -> list[int]:
    """The body in a `Parallel` over the points."""
    y = np.zeros(SIZE, np.int32)
    loop = Parallel((I,), (POINTS,), body)
    launch = Launch("k", (Const(1),), (B,), (THREADS,), T, (loop,))
    tile_interp.run(Kernel("k", (X, Y), (launch,)), {"X": x, "Y": y})
    return [int(v) for v in y]


def at_threads(body: Block, x: Array, check: bool = True) -> list[int]:
    """The points dealt to the threads of two blocks by hand, with a guard where they are ragged."""
    y = np.zeros(SIZE, np.int32)
    r = Var("r")
    guarded = (Let(I, (r * 2 + B) * THREADS + T), If(lt(I, POINTS), body))
    launch = Launch("k", (Const(2),), (B,), (THREADS,), T, (For(r, Const(1), guarded),))
    interp.run(Kernel("k", (X, Y), (launch,)), {"X": x, "Y": y}, check=check)
    return [int(v) for v in y]


# ----------------------------------------------------------------------------------------------------- the programs


def inputs(seed: int) -> Array:
    return np.random.default_rng(seed).integers(-(2**31), 2**31, SIZE).astype(np.int32)


@law("S1", e=st.sampled_from(TYPES).flatmap(lambda t: integers(Scope([I], []), t, 4)), seed=st.integers(0, 9))
def expressions_mean_the_same_in_all_executions(e: Expr, seed: int) -> None:
    body: Block = (Store(Y, (I,), Cast(INT32, e)),)
    x = inputs(seed)
    expected = in_python(body, x)
    assert at_tiles(body, x) == expected
    assert at_threads(body, x) == expected


@law("S1", body=scalar_code(), seed=st.integers(0, 9))
def programs_mean_the_same_in_all_executions(body: Block, seed: int) -> None:
    x = inputs(seed)
    expected = in_python(body, x)
    assert at_tiles(body, x) == expected
    assert at_threads(body, x) == expected
    assert at_threads(body, x, check=False) == expected


def lowered(body: Block) -> Lowered:
    loop = Parallel((I,), (POINTS,), body)
    launch = Launch("k", (Const(1),), (B,), (THREADS,), T, (loop,))
    return lower(Kernel("k", (X, Y), (launch,)), target_named("sm_80"))


@law("S1", examples=16, body=scalar_code(), seed=st.integers(0, 9))
def programs_survive_all_passes(body: Block, seed: int) -> None:
    x, y = inputs(seed), np.zeros(SIZE, np.int32)
    interp.run(lowered(body).final, {"X": x, "Y": y})
    assert y.tolist() == in_python(body, x)


@law("S1", examples=16, compiler=True, body=scalar_code(), seed=st.integers(0, 9))
def programs_mean_the_same_in_emitted_code(body: Block, seed: int) -> None:
    x, y = inputs(seed), np.zeros(SIZE, np.int32)
    low = lowered(body)
    entry = low.signature.entries[0]
    module = device.compile_source(low.source.text, ["k"])
    module.launch("k", (1,), entry.threads, entry.shared_bytes, [{"X": x, "Y": y}[a] for a in entry.arguments])
    assert y.tolist() == in_python(body, x)


@law(
    "S13",
    places=st.lists(st.integers(0, 7), min_size=1, max_size=60),
    op=st.sampled_from(("add", "max", "min", "or", "xor")),
)
def atomics_are_those_of_one_lane_after_the_other(places: list[int], op: str) -> None:
    """S13: final values and returned values, with lanes that meet."""
    n = len(places)
    at, h, old = Buffer("A", (n,), INT32), Buffer("H", (8,), INT32), Buffer("O", (n,), INT32)
    result = Var("r", INT32)
    index = Cast(INDEX, Load(at, (T,)))
    body = (
        AtomicUpdate(op, h, (index,), Cast(INT32, T * 3), result=result),
        Store(old, (T,), result),
    )
    k = Kernel("k", (at, h, old), (Launch("k", (Const(1),), (B,), (n,), T, body),))
    table, seen = [5] * 8, []
    combine: Any = {"add": int.__add__, "max": max, "min": min, "or": int.__or__, "xor": int.__xor__}[op]
    for t, p in enumerate(places):
        seen.append(table[p])
        table[p] = combine(table[p], 3 * t)
    for run in (interp.run, tile_interp.run):
        arrays = {"A": np.array(places, np.int32), "H": np.full(8, 5, np.int32), "O": np.zeros(n, np.int32)}
        run(k, arrays)
        assert arrays["H"].tolist() == table and arrays["O"].tolist() == seen


LAWS = laws_of(globals())
