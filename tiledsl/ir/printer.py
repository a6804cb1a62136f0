"""IR to text, the inverse of `parser`. Names are chosen here, so equal kernels print equally in every process.

The form of each node is in docs/ir.md and, as rules, in grammar.lark.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import count
from math import isfinite

from tiledsl.ir.concurrent import (
    Arrive,
    Await,
    BulkMove,
    Expect,
    Fence,
    Hold,
    InitBarrier,
    Role,
    Roles,
    SetRegisters,
    TensorCopy,
)
from tiledsl.ir.dtypes import BOOL, DTYPES, INDEX, DType
from tiledsl.ir.literals import layout_text, number, options, string, word
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    Assert,
    Assume,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    AtomicUpdate,
    Barrier,
    Binary,
    Block,
    Break,
    Buffer,
    Call,
    Cast,
    Const,
    Continue,
    Descriptor,
    Evaluate,
    Expr,
    Extent,
    Extern,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Move,
    Print,
    Region,
    Reinterpret,
    Rounding,
    Select,
    Serial,
    Stmt,
    Store,
    Unary,
    Var,
    View,
    While,
)
from tiledsl.ir.ops import BINARY, UNARY_PRECEDENCE, Result
from tiledsl.ir.tile import Atomic, Copy, Fill, Gemm, Im2col, Parallel, Reduce, Scan, Transpose
from tiledsl.ir.types import dtype_of

# Words of the grammar that stand where a name may stand; no variable or buffer gets such a name.
_WORDS = """
    kernel launch threads cluster raster min_blocks shared_bytes scratch source layout safe slot why at of in
    let alloc view async for while break continue if else evaluate atomic_update barrier async_commit async_wait
    await arrive expect init_barrier fence hold set_registers roles role on bulk tensor_copy bulk_move descriptor
    atom move print assert assume copy fill gemm reduce scan atomic transpose im2col parallel
    cast bits select extern true false and or not strides versions fragment shared
    serial unrolled vectorized pipelined persistent
"""
KEYWORDS = frozenset(_WORDS.split()).union(DTYPES)
NOT_PRECEDENCE = 3  # `not` binds as in Python: tighter than `and`, looser than comparisons


class Names:
    """A unique ASCII identifier for each variable and buffer: its hint, with a number appended if that is taken.

    Which names come out depends only on the order of the questions, never on identities or hash seeds.
    """

    def __init__(self, reserved: Iterable[str] = KEYWORDS) -> None:
        self._taken = set(reserved)
        self._chosen: dict[Var | Buffer, str] = {}
        self._next: dict[str, int] = {}

    def of(self, node: Var | Buffer) -> str:
        """The name of `node`, the same at every call."""
        if node not in self._chosen:
            self._chosen[node] = self.new(node.name)
        return self._chosen[node]

    def new(self, hint: str) -> str:
        """A name that this object has never returned and that is not reserved."""
        base = re.sub(r"[^0-9A-Za-z_]", "_", hint)
        if not base or base[0].isdigit():
            base = f"_{base}"
        name = base
        if name in self._taken:
            name, self._next[base] = next(
                (f"{base}_{n}", n + 1) for n in count(self._next.get(base, 1)) if f"{base}_{n}" not in self._taken
            )
        self._taken.add(name)
        return name


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a kernel's text and what it belongs to; `closes`: it ends a block of `node` and begins no statement."""

    text: str
    node: Kernel | Launch | Stmt
    closes: bool = False


def lines(node: Kernel | Launch | Stmt) -> tuple[Line, ...]:
    """The text form line by line: `text` is these joined."""
    printer = _Printer(Names())
    match node:
        case Kernel():
            return tuple(printer.kernel(node))
        case Launch():
            return tuple(printer.launch(node, ""))
    return tuple(printer.stmt(node, ""))


def text(node: Kernel | Launch | Stmt | Expr) -> str:
    """The text form. That of a kernel ends with a newline, holds every field that compares, and parses back."""
    if isinstance(node, Expr):
        return _Printer(Names()).expr(node)
    end = "\n" if isinstance(node, Kernel) else ""
    return "\n".join(line.text for line in lines(node)) + end


# -------------------------------------------------------------------------------------------------------- printer


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


class _Printer:
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
        box = (self.expr(o) + (f" : {n}" if n != 1 else "") for o, n in zip(r.offsets, r.extents))
        return f"{name}[{', '.join(box)}]"

    def extents(self, extents: Iterable[Extent]) -> str:
        return ", ".join(self.expr(e) if isinstance(e, Expr) else str(e) for e in extents)

    def buffer(self, b: Buffer) -> str:
        shape = f"[{self.extents(b.shape)}]" if b.shape else ""
        strides = "" if b.strides is None else f" strides({self.extents(b.strides)})"
        versions = "" if b.versions == 1 else f" versions({b.versions})"
        return f"{self.names.of(b)}: {b.space.value} {b.dtype.name}{shape}{strides}{versions}"

    def var(self, v: Var) -> str:
        return self.names.of(v) + ("" if v.dtype is INDEX else f": {v.dtype.name}")

    # ---- statements

    def nested(self, of: Stmt, head: str, block: Block, indent: str) -> list[Line]:
        """`head`, the statements of `block`, and the brace that closes it."""
        inner = indent + "  "
        inside = [line for s in block for line in self.stmt(s, inner)]
        return [Line(f"{indent}{head} {{", of), *inside, Line(f"{indent}}}", of, closes=True)]

    def stmt(self, s: Stmt, indent: str) -> list[Line]:
        match s:
            case For(var, extent, body, kind):
                how = "" if isinstance(kind, Serial) else f" {type(kind).__name__.lower()}{options(kind)}"
                head = f"for {self.var(var)} in {self.expr(extent, 0, var.dtype)}{how}"
                return self.nested(s, head, body, indent)
            case While(cond, body):
                return self.nested(s, f"while {self.expr(cond)}", body, indent)
            case If(cond, then, orelse):
                first = self.nested(s, f"if {self.expr(cond)}", then, indent)
                if len(orelse) == 1 and isinstance(orelse[0], If):
                    return _joined(first, " else ", self.stmt(orelse[0], indent))
                return _joined(first, " ", self.nested(s, "else", orelse, indent)) if orelse else first
            case Roles(roles):
                inner = indent + "  "
                inside = [line for r in roles for line in self.nested(s, self.role(r), r.body, inner)]
                return [Line(f"{indent}roles {{", s), *inside, Line(f"{indent}}}", s, closes=True)]
            case Parallel(variables, extents, body, _, layout):
                box = ", ".join(f"{self.var(v)} in {n}" for v, n in zip(variables, extents))
                where = f" layout {layout_text(layout)}" if layout else ""
                return self.nested(s, f"parallel{options(s)} {box}{where}", body, indent)
        form = _FORMS.get(type(s))
        if form is None:
            raise TypeError(f"no text form for {type(s).__name__}")
        return [Line(f"{indent}{form(self, s)}", s)]

    def role(self, r: Role) -> str:
        return f"role {word(r.name)}{options(r)} {self.var(r.thread)}"

    def at(self, a: Address) -> str:
        """The element without the `&`."""
        return self.element(a.buffer, a.indices, a.version)

    def handed(self, buffers: Iterable[Buffer]) -> str:
        names = ", ".join(map(self.names.of, buffers))
        return f" of {names}" if names else ""

    def on(self, barrier: Address | None) -> str:
        return "" if barrier is None else f" on {self.at(barrier)}"

    # ---- whole kernels

    def launch(self, launch: Launch, indent: str) -> list[Line]:
        inner = indent + "  "
        grid = ", ".join(f"{self.var(v)} in {self.expr(n, 0, v.dtype)}" for v, n in zip(launch.blocks, launch.grid))
        threads = f"threads({self.var(launch.thread)} in {', '.join(map(str, launch.threads))})"
        parts = [f"launch {word(launch.name)}({grid})", threads]
        parts += [f"cluster({', '.join(map(str, launch.cluster))})"] if launch.cluster else []
        parts += [f"raster{options(launch.raster)}"] if launch.raster else []
        parts += [f"min_blocks({launch.min_blocks})"] if launch.min_blocks else []
        parts += [f"shared_bytes({launch.shared_bytes})"] if launch.shared_bytes else []
        table: list[str] = []
        for a in launch.layouts:
            why = "" if a.why == "user" else f" why {string(a.why)}"
            table.append(f"layout {self.names.of(a.buffer)} = {layout_text(a.layout)}{why}")
        table += [
            f"safe {self.names.of(v.buffer)} = {self.expr(v.value, 0, v.buffer.dtype)}" for v in launch.safe_values
        ]
        table += [f"slot {self.names.of(s.buffer)} = {s.offset}" for s in launch.shared]
        return [
            Line(f"{indent}{' '.join(parts)} {{", launch),
            *(Line(inner + row, launch) for row in table),
            *(line for s in launch.body for line in self.stmt(s, inner)),
            Line(f"{indent}}}", launch, closes=True),
        ]

    def kernel(self, k: Kernel) -> list[Line]:
        sizes = f"<{', '.join(map(self.var, k.sizes))}>" if k.sizes else ""
        params = ", ".join(self.buffer(p) if isinstance(p, Buffer) else self.var(p) for p in k.params)
        results = f" -> {', '.join(map(self.names.of, k.results))}" if k.results else ""
        head = [f"kernel {word(k.name)}{sizes}({params}){results} {{"]
        head += [f"  source {string(k.source)}"] if k.source else []
        head += [f"  scratch {self.buffer(b)}" for b in k.scratch]
        inside = [line for launch in k.launches for line in self.launch(launch, "  ")]
        return [*(Line(row, k) for row in head), *inside, Line("}", k, closes=True)]


def _joined(first: list[Line], between: str, second: list[Line]) -> list[Line]:
    """The last line of `first` and the first of `second` are one: `} else {`, or `} else if` where another begins."""
    last, head = first[-1], second[0]
    line = Line(last.text + between + head.text.lstrip(), head.node, closes=head.node is last.node)
    return [*first[:-1], line, *second[1:]]


def _store(p: _Printer, s: Store) -> str:
    start = "async " if s.asynchronous else ""
    return f"{start}{p.element(s.buffer, s.indices, s.version)} = {p.expr(s.value, 0, s.buffer.dtype)}"


def _alloc(p: _Printer, s: Alloc) -> str:
    first = f" = {p.expr(s.init, 0, s.buffer.dtype)}" if s.init is not None else ""
    return f"alloc {p.buffer(s.buffer)}{first}"


def _atomic_update(p: _Printer, s: AtomicUpdate) -> str:
    value = p.expr(s.value, 0, s.buffer.dtype)
    update = f"atomic_update{options(s)} {p.element(s.buffer, s.indices, None)}, {value}"
    return f"let {p.var(s.result)} = {update}" if s.result is not None else update


def _move(p: _Printer, s: Move) -> str:
    return f"move{options(s)} {p.at(s.src)} -> {p.at(s.dst)}"


def _print(p: _Printer, s: Print) -> str:
    return ", ".join([f"print {string(s.message)}", *map(p.expr, s.args)]) + (
        f" of {p.names.of(s.buffer)}" if s.buffer else ""
    )


def _from_to(name: str) -> Callable[[_Printer, Copy | Reduce | Scan | Atomic | Transpose], str]:
    return lambda p, s: f"{name}{options(s)} {p.region(s.src)} -> {p.region(s.dst)}"


def _copy(p: _Printer, s: Copy) -> str:
    how = "async " if s.asynchronous else "bulk " if s.bulk else ""
    return how + _from_to("copy")(p, s) + p.on(s.barrier)


def _atomic(p: _Printer, s: Atomic) -> str:
    return ("bulk " if s.bulk else "") + _from_to("atomic")(p, s)


def _gemm(p: _Printer, s: Gemm) -> str:
    how = "async " if s.asynchronous else ""
    return f"{how}gemm{options(s)} {p.region(s.a)}, {p.region(s.b)}, {p.region(s.c)}"


def _engine(name: str) -> Callable[[_Printer, TensorCopy | BulkMove], str]:
    return lambda p, s: f"{name}{options(s)} {p.at(s.src)} -> {p.at(s.dst)}{p.on(s.barrier)}"


def _im2col(p: _Printer, s: Im2col) -> str:
    return f"im2col{options(s)} {p.region(s.image)} -> {p.region(s.dst)} at {p.exprs((s.row, s.column))}"


_FORMS: dict[type[Stmt], Callable[..., str]] = {
    Let: lambda p, s: f"let {p.var(s.var)} = {p.expr(s.value, 0, s.var.dtype)}",
    Alloc: _alloc,
    View: lambda p, s: f"view {p.buffer(s.buffer)} of {p.names.of(s.source)}",
    Store: _store,
    Break: lambda p, s: "break",
    Continue: lambda p, s: "continue",
    Evaluate: lambda p, s: f"evaluate {p.expr(s.value)}",
    AtomicUpdate: _atomic_update,
    Barrier: lambda p, s: f"barrier{options(s)}",
    AsyncCommit: lambda p, s: f"async_commit{options(s)}",
    AsyncWait: lambda p, s: f"async_wait{options(s)}",
    AtomCall: lambda p, s: f"atom {word(s.atom)}({p.exprs(s.args)})",
    Move: _move,
    Print: _print,
    Assert: lambda p, s: f"assert {p.expr(s.cond)}" + (f", {string(s.message)}" if s.message else ""),
    Assume: lambda p, s: f"assume {p.expr(s.cond)}",
    Copy: _copy,
    Fill: lambda p, s: f"fill {p.region(s.dst)}, {p.expr(s.value, 0, s.dst.buffer.dtype)}",
    Gemm: _gemm,
    Reduce: _from_to("reduce"),
    Scan: _from_to("scan"),
    Atomic: _atomic,
    Transpose: _from_to("transpose"),
    Im2col: _im2col,
    InitBarrier: lambda p, s: f"init_barrier{options(s)} {p.at(s.barrier)}",
    Arrive: lambda p, s: f"arrive{options(s)} {p.at(s.barrier)}{p.handed(s.buffers)}",
    Expect: lambda p, s: f"expect {p.at(s.barrier)}, {p.expr(s.bytes)}",
    Await: lambda p, s: f"await {p.at(s.barrier)}, {p.expr(s.parity)}{p.handed(s.buffers)}",
    Fence: lambda p, s: f"fence{options(s)}",
    Hold: lambda p, s: f"hold {p.names.of(s.buffer)}",
    SetRegisters: lambda p, s: f"set_registers{options(s)}",
    TensorCopy: _engine("tensor_copy"),
    BulkMove: _engine("bulk_move"),
}
