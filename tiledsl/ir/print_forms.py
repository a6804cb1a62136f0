"""The text of each statement that is one line; the others, which have blocks, are in `printer`."""

from __future__ import annotations

from collections.abc import Callable

from tiledsl.ir.concurrent import (
    Arrive,
    Await,
    BulkMove,
    ClusterBarrier,
    Dependency,
    Expect,
    Fence,
    Hold,
    InitBarrier,
    NamedArrive,
    NamedSync,
    SetRegisters,
    Settle,
    TensorCopy,
)
from tiledsl.ir.literals import options, string, word
from tiledsl.ir.nodes import (
    Alloc,
    Assert,
    Assume,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    AtomicUpdate,
    Barrier,
    Break,
    Continue,
    Evaluate,
    Let,
    Move,
    Print,
    Stmt,
    Store,
    View,
)
from tiledsl.ir.print_expr import ExprPrinter
from tiledsl.ir.tile import REARRANGEMENTS, Atomic, Copy, Fill, Gemm, Im2col, Rearrangement, Reduce, Scan, Source


def _store(p: ExprPrinter, s: Store) -> str:
    start = "async " if s.asynchronous else ""
    return f"{start}{p.element(s.buffer, s.indices, s.version)} = {p.expr(s.value, 0, s.buffer.dtype)}"


def _alloc(p: ExprPrinter, s: Alloc) -> str:
    first = f" = {p.expr(s.init, 0, s.buffer.dtype)}" if s.init is not None else ""
    return f"alloc {p.buffer(s.buffer)}{first}"


def _atomic_update(p: ExprPrinter, s: AtomicUpdate) -> str:
    value = p.expr(s.value, 0, s.buffer.dtype)
    update = f"atomic_update{options(s)} {p.element(s.buffer, s.indices, None)}, {value}"
    return f"let {p.var(s.result)} = {update}" if s.result is not None else update


def _move(p: ExprPrinter, s: Move) -> str:
    return f"move{options(s)} {p.at(s.src)} -> {p.at(s.dst)}"


def _print(p: ExprPrinter, s: Print) -> str:
    return ", ".join([f"print {string(s.message)}", *map(p.expr, s.args)]) + (
        f" of {p.names.of(s.buffer)}" if s.buffer else ""
    )


def _from_to(name: str) -> Callable[[ExprPrinter, Copy | Reduce | Scan | Atomic | Rearrangement], str]:
    return lambda p, s: f"{name}{options(s)} {_source(p, s.src)} -> {p.region(s.dst)}"


def _source(p: ExprPrinter, s: Source) -> str:
    if not isinstance(s, Im2col):
        return p.region(s)
    return f"im2col{options(s)} {p.names.of(s.buffer)}[{p.box(s.offsets, s.extents)}]"


def _copy(p: ExprPrinter, s: Copy) -> str:
    how = "async " if s.asynchronous else "bulk " if s.bulk else ""
    return how + _from_to("copy")(p, s) + _rank(p, s) + p.on(s.barrier)


def _rank(p: ExprPrinter, s: Copy | BulkMove) -> str:
    return "" if s.rank is None else f" at {p.expr(s.rank)}"


def _bulk_move(p: ExprPrinter, s: BulkMove) -> str:
    return f"bulk_move{options(s)} {p.at(s.src)} -> {p.at(s.dst)}{_rank(p, s)}{p.on(s.barrier)}"


def _atomic(p: ExprPrinter, s: Atomic) -> str:
    return ("bulk " if s.bulk else "") + _from_to("atomic")(p, s)


def _gemm(p: ExprPrinter, s: Gemm) -> str:
    how = "async " if s.asynchronous else "sparse " if s.e is not None else ""
    operands = (s.a, s.b, s.c) if s.e is None else (s.a, s.b, s.c, s.e)
    return f"{how}gemm{options(s)} {', '.join(p.region(r) for r in operands)}"


def _tensor_copy(p: ExprPrinter, s: TensorCopy) -> str:
    tap = f" at {p.exprs(s.tap)}" if s.tap else ""
    return f"tensor_copy{options(s)} {p.at(s.src)}{tap} -> {p.at(s.dst)}{p.on(s.barrier)}"


FORMS: dict[type[Stmt], Callable[..., str]] = {
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
    **{kind: _from_to(kind.word) for kind in REARRANGEMENTS},
    InitBarrier: lambda p, s: f"init_barrier{options(s)} {p.at(s.barrier)}",
    Arrive: lambda p, s: f"arrive{options(s)} {p.at(s.barrier)}{p.handed(s.buffers)}",
    ClusterBarrier: lambda p, s: f"cluster_barrier{options(s)}",
    Expect: lambda p, s: f"expect {p.at(s.barrier)}, {p.expr(s.bytes)}",
    Await: lambda p, s: f"await{options(s)} {p.at(s.barrier)}, {p.expr(s.parity)}{p.handed(s.buffers)}",
    NamedSync: lambda p, s: f"named_sync{options(s)} {p.expr(s.id)}",
    NamedArrive: lambda p, s: f"named_arrive{options(s)} {p.expr(s.id)}",
    Fence: lambda p, s: f"fence{options(s)}",
    Dependency: lambda p, s: f"dependency{options(s)}",
    Hold: lambda p, s: f"hold {p.names.of(s.buffer)}",
    Settle: lambda p, s: f"settle {p.names.of(s.buffer)}",
    SetRegisters: lambda p, s: f"set_registers{options(s)}",
    TensorCopy: _tensor_copy,
    BulkMove: _bulk_move,
}
