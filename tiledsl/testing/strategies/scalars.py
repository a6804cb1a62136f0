"""Scalar code for one point of a loop: branches, loops, break, continue, mutable scalars, integers of every width."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from tiledsl.ir.dtypes import INDEX, INT8, INT32, INT64, UINT8, UINT32, DType, Kind
from tiledsl.ir.nodes import (
    Alloc,
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
    Let,
    Load,
    Select,
    Space,
    Stmt,
    Store,
    Unary,
    Var,
    While,
)

SIZE = 64  # elements of the input and of the output
I = Var("i")  # the point: what the code is executed for
X, Y = Buffer("X", (SIZE,), INT32), Buffer("Y", (SIZE,), INT32)
TYPES = (INT32, UINT32, INT8, UINT8, INT64, INDEX)


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
    leaves: list[Expr] = [Const(draw(st.integers(*_small(dtype))), dtype)]
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
def partings(draw: st.DrawFn, scope: Scope) -> Expr:
    """A condition that tells the points apart, and the iterations of a loop."""
    if draw(st.integers(0, 3)) == 0:
        return draw(conditions(scope))
    indices = [v for v in scope.variables if v.dtype is INDEX]
    number = Binary("+", I, Binary("*", draw(st.sampled_from(indices)), Const(draw(st.integers(1, 3)))))
    modulus = draw(st.integers(2, 5))
    op = draw(st.sampled_from(("<", "==", "!=")))
    return Binary(op, Binary("%", number, Const(modulus)), Const(draw(st.integers(0, modulus - 1))))


@st.composite
def blocks(draw: st.DrawFn, scope: Scope, depth: int = 3) -> Block:
    out: list[Stmt] = []
    for _ in range(draw(st.integers(1, 3))):
        out += draw(statements(scope, depth))
    return tuple(out)


@st.composite
def statements(draw: st.DrawFn, scope: Scope, depth: int) -> list[Stmt]:
    kinds = ["let", "set", "alloc", "store"] + (["if", "for", "for", "while", "while"] if depth else [])
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
            counted = draw(st.sampled_from((None, *scope.cells)))
            number = draw(integers(scope, INDEX, 1)) if counted is None else Cast(INDEX, Load(counted, ()))
            changed = () if counted is None else (_count_on(counted),)  # how often it turns was decided before
            body = draw(turns(scope.inner(var, True), depth - 1))
            return [For(var, Binary("%", number, Const(5)), (*changed, *body))]
        case "while":
            return _while(draw, scope, depth)
        case "leave":
            return draw(leaving(scope))
    return [Store(Y, (I,), draw(integers(scope, INT32)))]


@st.composite
def turns(draw: st.DrawFn, scope: Scope, depth: int) -> Block:
    """The body of a loop, which some lanes often leave before others."""
    first = draw(leaving(scope)) if draw(st.booleans()) else []
    body = draw(blocks(scope, depth))
    return (*first, *body, *draw(leaving(scope))) if first else body


@st.composite
def leaving(draw: st.DrawFn, scope: Scope) -> list[Stmt]:
    """A break or continue of some lanes, and a count of how often the statement behind it was reached."""
    leave = If(draw(partings(scope)), (draw(st.sampled_from((Break(), Continue()))),))
    return [leave, _count_on(scope.cells[0])]


def _count_on(cell: Buffer) -> Store:
    return Store(cell, (), Binary("+", Binary("*", Load(cell, ()), Const(3, INT32)), Const(1, INT32)))


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
    body = (down, *draw(turns(scope.inner(None, True), depth - 1)))
    return [begin, While(Binary(">", value, Const(0, INT32)), body)]


@st.composite
def scalar_code(draw: st.DrawFn) -> Block:
    """What is done for one point `I`: it reads `X`, and stores to `Y[I]` at its end and perhaps before."""
    scope = Scope([I], [])
    begin = _new_cell(scope, draw(integers(scope, INT32, 1)))
    return (begin, *draw(blocks(scope)), Store(Y, (I,), Load(scope.cells[0], ())))
