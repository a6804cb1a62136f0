"""Laws of the NumPy executions, against an oracle of one thread at a time in Python integers.

Random expressions, and random programs with branches, loops, break, continue and mutable scalars, mean the same at the
tile stage (a `Parallel` loop), at the thread stage (lowered by hand and by the passes: O2 == O3), in the emitted C++
and in Python.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiledsl.compile import Lowered, lower
from tiledsl.cpu import device, interp, tile_interp
from tiledsl.ir.dtypes import INDEX, INT8, INT32, INT64, UINT8, UINT32, DType, Kind
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
    Space,
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

Array = np.ndarray[Any, Any]
POINTS, THREADS, SIZE = 50, 32, 64
I, T, B = Var("i"), Var("t"), Var("b")
X, Y = Buffer("X", (SIZE,), INT32), Buffer("Y", (SIZE,), INT32)
TYPES = (INT32, UINT32, INT8, UINT8, INT64, INDEX)


def wrapped(value: int, dtype: DType) -> int:
    """The value that a machine integer of the type would have; an index does not wrap."""
    if dtype is INDEX:
        return value
    low, high = dtype.int_range
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


@dataclass
class Scope:
    """What an expression may mention: variables by dtype, and mutable scalars."""

    variables: list[Var]
    cells: list[Buffer]
    in_loop: bool = False

    def inner(self, variable: Var | None = None, in_loop: bool = False) -> Scope:
        more = [] if variable is None else [variable]
        return Scope(self.variables + more, list(self.cells), in_loop or self.in_loop)


@st.composite
def integers(draw: st.DrawFn, scope: Scope, dtype: DType, depth: int = 3) -> Expr:
    """An expression of an integer dtype; divisors are never zero, and an index stays far from 64 bits."""
    leaves = [Const(draw(st.integers(*_small(dtype))), dtype)]
    leaves += [v for v in scope.variables if v.dtype is dtype]
    leaves += [Load(c, ()) for c in scope.cells if c.dtype is dtype]
    if dtype is INT32:
        leaves.append(Load(X, (Binary("%", draw(st.sampled_from(scope.variables[:1])), Const(SIZE)),)))
    if depth == 0:
        return draw(st.sampled_from(leaves))
    kind = draw(st.sampled_from(["leaf", "binary", "binary", "division", "select", "cast", "unary"]))

    def sub() -> Expr:
        return draw(integers(scope, dtype, depth - 1))

    match kind:
        case "binary":
            bitwise = () if dtype is INDEX else ("&", "|", "^")
            return Binary(draw(st.sampled_from(("+", "-", "*", "min", "max", *bitwise))), sub(), sub())
        case "division":
            divisor = draw(st.integers(1, 9))
            sign = -1 if dtype.kind is not Kind.UINT and draw(st.booleans()) else 1
            return Binary(draw(st.sampled_from(("//", "%", "div", "rem"))), sub(), Const(sign * divisor, dtype))
        case "select":
            return Select(draw(conditions(scope, depth - 1)), sub(), sub())
        case "cast":
            other = draw(st.sampled_from([t for t in TYPES if dtype is not INDEX or t.bits <= 32]))
            return Cast(dtype, draw(integers(scope, other, depth - 1)))
        case "unary":
            return Unary(draw(st.sampled_from(("-", "~") if dtype is not INDEX else ("-",))), sub())
    return draw(st.sampled_from(leaves))


def _small(dtype: DType) -> tuple[int, int]:
    low, high = dtype.int_range
    return max(low, -100), min(high, 100)


@st.composite
def conditions(draw: st.DrawFn, scope: Scope, depth: int = 2) -> Expr:
    if depth > 0 and draw(st.integers(0, 3)) == 0:
        a, b = draw(conditions(scope, depth - 1)), draw(conditions(scope, depth - 1))
        return draw(st.sampled_from([Binary("and", a, b), Binary("or", a, b), Unary("not", a)]))
    dtype = draw(st.sampled_from((INT32, INDEX, UINT8)))
    op = draw(st.sampled_from(("<", "<=", ">", ">=", "==", "!=")))
    return Binary(op, draw(integers(scope, dtype, 1)), draw(integers(scope, dtype, 1)))


@st.composite
def blocks(draw: st.DrawFn, scope: Scope, depth: int = 3) -> Block:
    out: list[Stmt] = []
    for _ in range(draw(st.integers(1, 3))):
        out += draw(statements(scope, depth))
    return tuple(out)


@st.composite
def statements(draw: st.DrawFn, scope: Scope, depth: int) -> list[Stmt]:
    kinds = ["let", "set", "alloc", "store"] + (["if", "for", "while"] if depth else [])
    kinds += ["leave"] if scope.in_loop else []
    dtype = draw(st.sampled_from((INT32, UINT8, INDEX)))
    match draw(st.sampled_from(kinds)):
        case "let":
            var = Var("v", dtype)
            value = draw(integers(scope, dtype, 2))
            scope.variables.append(var)
            return [Let(var, Binary("%", value, Const(97, dtype)))]
        case "alloc":
            return [_new_cell(scope, draw(integers(scope, INT32, 1)))]
        case "set" if scope.cells:
            cell = draw(st.sampled_from(scope.cells))
            return [Store(cell, (), draw(integers(scope, cell.dtype)))]
        case "if":
            cond = draw(conditions(scope))
            then = draw(blocks(scope.inner(), depth - 1))
            return [If(cond, then, draw(blocks(scope.inner(), depth - 1)) if draw(st.booleans()) else ())]
        case "for":
            var = Var("k")
            extent = Binary("%", draw(integers(scope, INDEX, 1)), Const(5))
            return [For(var, extent, draw(blocks(scope.inner(var, True), depth - 1)))]
        case "while":
            return _while(draw, scope, depth)
        case "leave":
            return [If(draw(conditions(scope)), (draw(st.sampled_from((Break(), Continue()))),))]
    return [Store(Y, (I,), draw(integers(scope, INT32)))]


def _new_cell(scope: Scope, value: Expr) -> Stmt:
    cell = Buffer("c", (), INT32, Space.VAR)
    scope.cells.append(cell)
    return Alloc(cell, value)


def _while(draw: st.DrawFn, scope: Scope, depth: int) -> list[Stmt]:
    """A loop that ends: its counter, which nothing else sees, counts down first of all."""
    counter = Buffer("n", (), INT32, Space.VAR)
    value = Load(counter, ())
    begin = Alloc(counter, Binary("%", draw(integers(scope, INT32, 1)), Const(6, INT32)))
    down = Store(counter, (), Binary("-", value, Const(1, INT32)))
    body = (down, *draw(blocks(scope.inner(None, True), depth - 1)))
    return [begin, While(Binary(">", value, Const(0, INT32)), body)]


@st.composite
def programs(draw: st.DrawFn) -> Block:
    scope = Scope([I], [])
    begin = _new_cell(scope, draw(integers(scope, INT32, 1)))
    return (begin, *draw(blocks(scope)), Store(Y, (I,), Load(scope.cells[0], ())))


def inputs(seed: int) -> Array:
    return np.random.default_rng(seed).integers(-(2**31), 2**31, SIZE).astype(np.int32)


@given(st.sampled_from(TYPES).flatmap(lambda t: integers(Scope([I], []), t, 4)), st.integers(0, 9))
def test_S1_expressions_mean_the_same_in_all_executions(e: Expr, seed: int) -> None:
    body: Block = (Store(Y, (I,), Cast(INT32, e)),)
    x = inputs(seed)
    expected = in_python(body, x)
    assert at_tiles(body, x) == expected
    assert at_threads(body, x) == expected


@given(programs(), st.integers(0, 9))
def test_S1_programs_mean_the_same_in_all_executions(body: Block, seed: int) -> None:
    x = inputs(seed)
    expected = in_python(body, x)
    assert at_tiles(body, x) == expected
    assert at_threads(body, x) == expected
    assert at_threads(body, x, check=False) == expected


def lowered(body: Block) -> Lowered:
    loop = Parallel((I,), (POINTS,), body)
    launch = Launch("k", (Const(1),), (B,), (THREADS,), T, (loop,))
    return lower(Kernel("k", (X, Y), (launch,)), target_named("sm_80"))


@settings(max_examples=min(settings().max_examples, 200) // 3)
@given(programs(), st.integers(0, 9))
def test_S1_programs_survive_all_passes(body: Block, seed: int) -> None:
    x, y = inputs(seed), np.zeros(SIZE, np.int32)
    interp.run(lowered(body).final, {"X": x, "Y": y})
    assert y.tolist() == in_python(body, x)


@pytest.mark.cxx
@settings(max_examples=min(settings().max_examples, 500) // 8)
@given(programs(), st.integers(0, 9))
def test_S1_programs_mean_the_same_in_emitted_code(body: Block, seed: int) -> None:
    x, y = inputs(seed), np.zeros(SIZE, np.int32)
    low = lowered(body)
    entry = low.signature.entries[0]
    module = device.compile_source(low.source.text, ["k"])
    module.launch("k", (1,), entry.threads, entry.shared_bytes, [{"X": x, "Y": y}[a] for a in entry.arguments])
    assert y.tolist() == in_python(body, x)


@given(st.lists(st.integers(0, 7), min_size=1, max_size=60), st.sampled_from(("add", "max", "min", "or", "xor")))
def test_S13_atomics_are_those_of_one_lane_after_the_other(places: list[int], op: str) -> None:
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
    combine = {"add": int.__add__, "max": max, "min": min, "or": int.__or__, "xor": int.__xor__}[op]
    for t, p in enumerate(places):
        seen.append(table[p])
        table[p] = combine(table[p], 3 * t)
    for run in (interp.run, tile_interp.run):
        arrays = {"A": np.array(places, np.int32), "H": np.full(8, 5, np.int32), "O": np.zeros(n, np.int32)}
        run(k, arrays)
        assert arrays["H"].tolist() == table and arrays["O"].tolist() == seen
