"""From the syntax tree of the IR's text to nodes: one walk that resolves names.

Trees and tokens are lark's: a tree has `data`, `children` and `meta`; a token is a string with a `type` and a place.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiledsl.errors import Span, locating
from tiledsl.ir.build_expr import ExprBuilder, fragment, ints, layout, pairs, string, var_dtype, word
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
    Role,
    Roles,
    SetRegisters,
    Settle,
    TensorCopy,
)
from tiledsl.ir.dtypes import DTYPES
from tiledsl.ir.literals import LOOP_KINDS
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    Assert,
    Assigned,
    Assume,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    AtomicUpdate,
    Barrier,
    Block,
    Break,
    Buffer,
    Continue,
    Evaluate,
    Expr,
    For,
    Handover,
    If,
    Kernel,
    Launch,
    Let,
    Move,
    Persisting,
    Print,
    Raster,
    SafeValue,
    Serial,
    SharedSlot,
    Stmt,
    Store,
    Var,
    View,
    While,
)
from tiledsl.ir.tile import REARRANGEMENTS, Atomic, Copy, Fill, Gemm, Im2col, Parallel, Reduce, Scan, Source


class Builder(ExprBuilder):
    """Builds one kernel."""

    # ---- whole kernels

    def kernel(self, tree: Any) -> Kernel:
        name, sizes, params, results, source, flags, overlapping, pointers, *rest = tree.children
        with locating(self.span(tree)):
            bound_sizes = tuple(map(self.var, sizes.children))
            # A tensor's shape may mention a scalar that comes later.
            bound: dict[int, Var | Buffer] = {id(p): self.var(p) for p in params.children if p.data == "var"}
            bound |= {id(p): self.buffer(p) for p in params.children if p.data == "buffer"}
            scratch = tuple(self.buffer(s.children[0]) for s in rest if s.data == "scratch")
            return Kernel(
                word(name),
                tuple(bound[id(p)] for p in params.children),
                tuple(self.launch(t) for t in rest if t.data == "launch"),
                bound_sizes,
                scratch,
                tuple(self.named(r, Buffer) for r in results.children),
                string(source.children[0]) if source.children else "",
                span=self.span(tree),
                flags=tuple(map(string, flags.children)),
                overlapping=tuple(self.named(b, Buffer) for b in overlapping.children),
                pointers=tuple(self.named(b, Buffer) for b in pointers.children),
            )

    def launch(self, tree: Any) -> Launch:
        name, grid, threads, clauses, entries, body = tree.children
        outer = dict(self.scope)
        extents = tuple(self.expr(e, var_dtype(v)) for v, e in pairs(grid.children))
        blocks = tuple(self.var(v) for v, _ in pairs(grid.children))
        thread, counts = self.var(threads.children[0]), ints(threads.children[1])
        statements = tuple(map(self.stmt, body.children))
        facts = self.clauses(clauses) | self.entries(entries)
        self.scope = outer
        return Launch(word(name), extents, blocks, counts, thread, statements, **facts, span=self.span(tree))

    def clauses(self, tree: Any) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        for clause in tree.children:
            value = clause.children[0]
            match clause.data:
                case "cluster" | "registers":
                    facts[str(clause.data)] = ints(value)
                case "raster":
                    facts["raster"] = Raster(**self.options(Raster, value))
                case "entry":
                    facts["entry"] = word(value)
                case other:
                    facts[str(other)] = int(value)
        return facts

    def entries(self, tree: Any) -> dict[str, Any]:
        """The tables at the head of a launch; they name buffers of its body."""
        layouts, safe, shared, handovers, persisting = [], [], [], [], []
        for entry in tree.children:
            if entry.data == "handover":
                depth, *tiles = entry.children
                handovers.append(Handover(tuple(map(self.anywhere, tiles)), int(depth), self.span(entry)))
                continue
            buffer = self.anywhere(entry.children[0])
            match entry.data, entry.children[1:]:
                case "assigned", [where, why]:
                    layouts.append(Assigned(buffer, layout(where), string(why) if why else "user"))
                case "safe", [value]:
                    safe.append(SafeValue(buffer, self.expr(value, buffer.dtype)))
                case "persist", [ratio]:
                    persisting.append(Persisting(buffer, float(ratio)))
                case "slot", [offset]:
                    shared.append(SharedSlot(buffer, int(offset)))
        tables: dict[str, list[Any]] = {
            "layouts": layouts,
            "safe_values": safe,
            "shared": shared,
            "handovers": handovers,
            "persisting": persisting,
        }
        return {name: tuple(rows) for name, rows in tables.items()}

    # ---- statements

    def address(self, element: Any) -> Address:
        return Address(*self.element(element))

    def maybe_address(self, element: Any) -> Address | None:
        return self.address(element) if element else None

    def maybe_index(self, expr: Any) -> Expr | None:
        return self.expr(expr) if expr else None

    def handed(self, tree: Any) -> tuple[Buffer, ...]:
        return tuple(self.named(name, Buffer) for name in tree.children)

    def role(self, tree: Any) -> Role:
        name, options, thread, body = tree.children
        outer = dict(self.scope)
        var = self.var(thread)
        role = Role(word(name), thread=var, body=self.block(body), **self.options(Role, options))
        self.scope = outer
        return role

    def block(self, tree: Any) -> Block:
        if tree.data == "else_if":
            return (self.stmt(tree),)
        outer = dict(self.scope)
        statements = tuple(map(self.stmt, tree.children[0].children))
        self.scope = outer
        return statements

    def stmt(self, tree: Any) -> Stmt:
        span = self.span(tree)
        with locating(span):
            return _FORMS[tree.data](self, span, *tree.children)


# ---------------------------------------------------------------------------------------------------- statements

Form = Callable[..., Stmt]


def _plain(kind: type[Any]) -> Form:
    """A word with options only."""
    return lambda b, at, *options: kind(**(b.options(kind, options[0]) if options else {}), span=at)


def _from_to(kind: type[Any], **fixed: bool) -> Form:
    return lambda b, at, options, src, dst: kind(
        src=_source(b, src), dst=b.region(dst), **b.options(kind, options), **fixed, span=at
    )


def _rearrangement(b: Builder, at: Span, name: Any, options: Any, src: Any, dst: Any) -> Stmt:
    return _from_to(next(kind for kind in REARRANGEMENTS if kind.word == name))(b, at, options, src, dst)


def _source(b: Builder, tree: Any) -> Source:
    if tree.data != "im2col":
        return b.region(tree)
    options, name, slices = tree.children
    return Im2col(b.named(name, Buffer), *b.box(slices), **b.options(Im2col, options))


def _store(b: Builder, at: Span, element: Any, value: Any, asynchronous: bool = False) -> Stmt:
    buffer, indices, version = b.element(element)
    return Store(buffer, indices, b.expr(value, buffer.dtype), version, asynchronous, span=at)


def _let(b: Builder, at: Span, var: Any, value: Any) -> Stmt:
    bound = b.expr(value, var_dtype(var))  # before the name
    return Let(b.var(var), bound, span=at)


def _alloc(b: Builder, at: Span, buffer: Any, init: Any) -> Stmt:
    value = b.expr(init, DTYPES[buffer.children[2]]) if init is not None else None
    return Alloc(b.buffer(buffer), value, span=at)


def _view(b: Builder, at: Span, buffer: Any, source: Any) -> Stmt:
    bound = b.named(source, Buffer)
    return View(b.buffer(buffer), bound, span=at)


def _for(b: Builder, at: Span, var: Any, extent: Any, word: Any, options: Any, body: Any) -> Stmt:
    count, outer = b.expr(extent, var_dtype(var)), dict(b.scope)
    kind = LOOP_KINDS[word] if word else Serial
    loop = For(b.var(var), count, b.block(body), kind(**b.options(kind, options)) if options else Serial(), span=at)
    b.scope = outer
    return loop


def _if(b: Builder, at: Span, cond: Any, then: Any, orelse: Any) -> Stmt:
    return If(b.expr(cond), b.block(then), b.block(orelse) if orelse else (), span=at)


def _atomic_update(b: Builder, at: Span, result: Any, options: Any, element: Any, value: Any) -> Stmt:
    buffer, indices, _ = b.element(element)
    known = b.options(AtomicUpdate, options)
    update = b.expr(value, buffer.dtype)
    old = b.var(result) if result else None
    return AtomicUpdate(buffer=buffer, indices=indices, value=update, result=old, **known, span=at)


def _move(b: Builder, at: Span, options: Any, src: Any, dst: Any) -> Stmt:
    return Move(b.address(dst), b.address(src), **b.options(Move, options), span=at)


def _print(b: Builder, at: Span, message: Any, *rest: Any) -> Stmt:
    *args, tile = rest
    buffer = b.named(tile, Buffer) if tile else None
    return Print(string(message), tuple(map(b.expr, args)), buffer, span=at)


def _fill(b: Builder, at: Span, dst: Any, value: Any) -> Stmt:
    region = b.region(dst)
    return Fill(region, b.expr(value, region.buffer.dtype), span=at)


def _gemm(b: Builder, at: Span, options: Any, *operands: Any, asynchronous: bool = False) -> Stmt:
    x, y, z, *e = map(b.region, operands)
    return Gemm(x, y, z, asynchronous=asynchronous, e=e[0] if e else None, **b.options(Gemm, options), span=at)


def _bulk_copy(b: Builder, at: Span, options: Any, src: Any, dst: Any, rank: Any, barrier: Any) -> Stmt:
    known = b.options(Copy, options) | {"barrier": b.maybe_address(barrier), "rank": b.maybe_index(rank)}
    return Copy(_source(b, src), b.region(dst), bulk=True, **known, span=at)


def _tensor_copy(b: Builder, at: Span, options: Any, src: Any, tap: Any, dst: Any, barrier: Any) -> Stmt:
    known = b.options(TensorCopy, options)
    return TensorCopy(
        b.address(dst), b.address(src), barrier=b.maybe_address(barrier), tap=b.exprs(tap), **known, span=at
    )


def _bulk_move(b: Builder, at: Span, options: Any, src: Any, dst: Any, rank: Any, barrier: Any) -> Stmt:
    known = b.options(BulkMove, options) | {"barrier": b.maybe_address(barrier), "rank": b.maybe_index(rank)}
    return BulkMove(b.address(dst), b.address(src), **known, span=at)


def _arrive(b: Builder, at: Span, options: Any, barrier: Any, handed: Any) -> Stmt:
    return Arrive(b.address(barrier), **b.options(Arrive, options), buffers=b.handed(handed), span=at)


def _await(b: Builder, at: Span, options: Any, barrier: Any, parity: Any, handed: Any) -> Stmt:
    return Await(b.address(barrier), b.expr(parity), b.handed(handed), **b.options(Await, options), span=at)


def _named(kind: type[NamedSync | NamedArrive]) -> Form:
    return lambda b, at, options, number: kind(b.expr(number), **b.options(kind, options), span=at)


def _init_barrier(b: Builder, at: Span, options: Any, barrier: Any) -> Stmt:
    return InitBarrier(b.address(barrier), **b.options(InitBarrier, options), span=at)


def _roles(b: Builder, at: Span, *roles: Any) -> Stmt:
    return Roles(tuple(map(b.role, roles)), span=at)


def _parallel(b: Builder, at: Span, options: Any, points: Any, where: Any, body: Any) -> Stmt:
    outer = dict(b.scope)
    box = [(b.var(v), int(n)) for v, n in pairs(points.children)]
    found = fragment(where) if where else None
    known = b.options(Parallel, options)
    loop = Parallel(tuple(v for v, _ in box), tuple(n for _, n in box), b.block(body), layout=found, **known, span=at)
    b.scope = outer
    return loop


_FORMS: dict[str, Form] = {
    "let": _let,
    "atomic_update": _atomic_update,
    "alloc": _alloc,
    "view": _view,
    "store": _store,
    "async_store": lambda b, at, element, value: _store(b, at, element, value, asynchronous=True),
    "for_": _for,
    "while_": lambda b, at, cond, body: While(b.expr(cond), b.block(body), span=at),
    "if_": _if,
    "else_if": _if,
    "break_": _plain(Break),
    "continue_": _plain(Continue),
    "evaluate": lambda b, at, value: Evaluate(b.expr(value), span=at),
    "barrier": _plain(Barrier),
    "cluster_barrier": _plain(ClusterBarrier),
    "async_commit": _plain(AsyncCommit),
    "async_wait": _plain(AsyncWait),
    "atom_call": lambda b, at, name, args: AtomCall(word(name), b.exprs(args), span=at),
    "move": _move,
    "print_": _print,
    "assert_": lambda b, at, cond, text: Assert(b.expr(cond), string(text) if text else "", span=at),
    "assume": lambda b, at, cond: Assume(b.expr(cond), span=at),
    "copy": _from_to(Copy),
    "async_copy": _from_to(Copy, asynchronous=True),
    "fill": _fill,
    "gemm": _gemm,
    "sparse_gemm": _gemm,
    "reduce": _from_to(Reduce),
    "scan": _from_to(Scan),
    "atomic": _from_to(Atomic),
    "bulk_atomic": _from_to(Atomic, bulk=True),
    "rearrangement": _rearrangement,
    "init_barrier": _init_barrier,
    "arrive": _arrive,
    "expect": lambda b, at, barrier, count: Expect(b.address(barrier), b.expr(count), span=at),
    "await_": _await,
    "named_sync": _named(NamedSync),
    "named_arrive": _named(NamedArrive),
    "fence": _plain(Fence),
    "dependency": _plain(Dependency),
    "hold": lambda b, at, name: Hold(b.named(name, Buffer), span=at),
    "settle": lambda b, at, name: Settle(b.named(name, Buffer), span=at),
    "set_registers": _plain(SetRegisters),
    "roles": _roles,
    "tensor_copy": _tensor_copy,
    "bulk_move": _bulk_move,
    "bulk_copy": _bulk_copy,
    "async_gemm": lambda b, at, options, *operands: _gemm(b, at, options, *operands, asynchronous=True),
    "parallel": _parallel,
}
