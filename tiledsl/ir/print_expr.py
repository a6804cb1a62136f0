"""The part of the text form below statements: expressions, buffers, and what statements refer to."""

from __future__ import annotations

from collections.abc import Iterable
from math import isfinite

from tiledsl.ir.dtypes import BOOL, INDEX, DType
from tiledsl.ir.literals import number, string, word
from tiledsl.ir.names import Names
from tiledsl.ir.nodes import (
    Address,
    Binary,
    Buffer,
    Call,
    Cast,
    Const,
    Descriptor,
    Expr,
    Extent,
    Extern,
    Load,
    Region,
    Reinterpret,
    Rounding,
    Select,
    Unary,
    Var,
)
from tiledsl.ir.ops import BINARY, UNARY_PRECEDENCE, Result
from tiledsl.ir.types import dtype_of

NOT_PRECEDENCE = 3  # `not` binds as in Python: tighter than `and`, looser than comparisons


def _const(e: Const, expected: DType | None = None) -> str:
    """A literal: bare where a reader expects its dtype, and that is an index where nothing is expected."""
    if e.dtype is BOOL:
        return "true" if e.value else "false"
    digits = number(float(e.value) if e.dtype.is_float else e.value)
    bare = e.dtype is (expected or INDEX) and isfinite(e.value)
    return digits if bare else f"{e.dtype.name}({digits})"


def _expected(a: Expr, b: Expr) -> tuple[DType | None, DType | None]:
    """The dtypes that two equally typed operands let a reader expect of each other: a literal takes the other's."""
    match a, b:
        case (Const(), Const()):
            return None, None
        case (Const(), _):
            return _dtype(b), None
        case (_, Const()):
            return None, _dtype(a)
    return None, None


def _dtype(e: Expr) -> DType | None:
    try:
        return dtype_of(e)
    except (KeyError, IndexError, TypeError):  # an ill-formed kernel is printed all the same
        return None


class ExprPrinter:
    def __init__(self, names: Names) -> None:
        self.names = names

    # ---- expressions

    def expr(self, e: Expr, outer: int = 0, expected: DType | None = None) -> str:
        """`outer` is the least precedence that needs no parentheses here, `expected` the dtype of a bare literal."""
        match e:
            case Const():
                return _const(e, expected)
            case Var():
                return self.names.of(e)
            case Load(buffer, indices, version):
                return self.element(buffer, indices, version)
            case Address(buffer, indices, version):
                return f"&{self.element(buffer, indices, version)}"
            case Binary(op, a, b):
                return self.binary(op, a, b, outer)
            case Unary(op, a):
                return self.unary(op, a, outer)
            case Select(cond, a, b):
                x, y = _expected(a, b)
                return f"select({self.expr(cond)}, {self.expr(a, 0, x)}, {self.expr(b, 0, y)})"
            case Cast(dtype, a, rounding, saturate):
                how = "" if rounding is Rounding.NEAREST_EVEN else f", {rounding.value}"
                return f"cast<{dtype.name}{how}{', saturate' if saturate else ''}>({self.expr(a)})"
            case Reinterpret(dtype, a):
                return f"bits<{dtype.name}>({self.expr(a)})"
            case Descriptor(start, leading, stride, swizzle):
                return f"descriptor({self.at(start)}, {leading}, {stride}, {swizzle})"
            case Call(fn, args):
                return f"{word(fn)}({self.exprs(args)})"
            case Extern(fn, args, dtype, pure):
                return (
                    f"extern<{dtype.name}{', pure' if pure else ''}>({', '.join([string(fn), *map(self.expr, args)])})"
                )
        raise TypeError(f"no text form for {type(e).__name__}")

    def exprs(self, es: Iterable[Expr]) -> str:
        return ", ".join(map(self.expr, es))

    def binary(self, op: str, a: Expr, b: Expr, outer: int) -> str:
        prec = BINARY[op].precedence if op in BINARY else 0
        x, y = _expected(a, b)
        if not prec:
            return f"{word(op)}({self.expr(a, 0, x)}, {self.expr(b, 0, y)})"
        compares = BINARY[op].result is Result.BOOL and prec > NOT_PRECEDENCE  # a < b < c would read as a chain
        result = f"{self.expr(a, prec + compares, x)} {op} {self.expr(b, prec + 1, y)}"
        return f"({result})" if prec < outer else result

    def unary(self, op: str, a: Expr, outer: int) -> str:
        if op == "not":
            result, prec = f"not {self.expr(a, UNARY_PRECEDENCE)}", NOT_PRECEDENCE
        else:
            operand = self.expr(a, UNARY_PRECEDENCE + 1)
            bare = isinstance(a, Const) and a.dtype is INDEX  # -(5) is an operation, -5 a constant
            result, prec = f"{op}({operand})" if bare else f"{op}{operand}", UNARY_PRECEDENCE
        return f"({result})" if prec < outer else result

    # ---- buffers

    def versioned(self, buffer: Buffer, version: Expr | None) -> str:
        name = self.names.of(buffer)
        match version:
            case None:
                return name
            case Const(int(value), dtype) if dtype is INDEX and value >= 0:
                return f"{name}@{value}"
        return f"{name}@({self.expr(version)})"

    def element(self, buffer: Buffer, indices: tuple[Expr, ...], version: Expr | None) -> str:
        return self.versioned(buffer, version) + (f"[{self.exprs(indices)}]" if indices else "")

    def region(self, r: Region) -> str:
        name = self.versioned(r.buffer, r.version)
        if r.extents == r.buffer.shape and all(o == Const(0) for o in r.offsets):
            return name
        return f"{name}[{self.box(r.offsets, r.extents)}]"

    def box(self, offsets: Iterable[Expr], extents: Iterable[int]) -> str:
        return ", ".join(self.expr(o) + (f" : {n}" if n != 1 else "") for o, n in zip(offsets, extents))

    def extents(self, extents: Iterable[Extent]) -> str:
        return ", ".join(self.expr(e) if isinstance(e, Expr) else str(e) for e in extents)

    def buffer(self, b: Buffer) -> str:
        shape = f"[{self.extents(b.shape)}]" if b.shape else ""
        strides = "" if b.strides is None else f" strides({self.extents(b.strides)})"
        versions = "" if b.versions == 1 else f" versions({b.versions})"
        return f"{self.names.of(b)}: {b.space.value} {b.dtype.name}{shape}{strides}{versions}"

    def var(self, v: Var) -> str:
        return self.names.of(v) + ("" if v.dtype is INDEX else f": {v.dtype.name}")

    # ---- what statements refer to

    def at(self, a: Address) -> str:
        """The element without the `&`."""
        return self.element(a.buffer, a.indices, a.version)

    def handed(self, buffers: Iterable[Buffer]) -> str:
        names = ", ".join(map(self.names.of, buffers))
        return f" of {names}" if names else ""

    def on(self, barrier: Address | None) -> str:
        return "" if barrier is None else f" on {self.at(barrier)}"
