"""From the syntax tree of the IR's text to nodes: one walk that resolves names.

Trees and tokens are lark's: a tree has `data`, `children` and `meta`; a token is a string with a `type` and a place.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import MISSING
from typing import Any, TypeVar

from tiledsl.errors import NOWHERE, Span, error, locating
from tiledsl.ir.dtypes import BOOL, DTYPES, INDEX
from tiledsl.ir.layout import Digit, Fragment, Layout, Swizzle
from tiledsl.ir.literals import LOOP_KINDS, option_fields
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
    Binary,
    Block,
    Break,
    Buffer,
    Call,
    Cast,
    Const,
    Continue,
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
    Raster,
    Region,
    Reinterpret,
    Rounding,
    SafeValue,
    Select,
    Serial,
    SharedSlot,
    Space,
    Stmt,
    Store,
    Unary,
    Var,
    View,
    While,
    static_shape,
)
from tiledsl.ir.ops import BINARY, FUNCTIONS, UNARY_PRECEDENCE
from tiledsl.ir.printer import NOT_PRECEDENCE
from tiledsl.ir.tile import Atomic, Copy, Fill, Gemm, Im2col, Parallel, Reduce, Scan, Transpose

N = TypeVar("N", Var, Buffer)
_ROUNDINGS = {r.value: r for r in Rounding}


def _pairs(items: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(items[::2], items[1::2])


def _string(token: Any) -> str:
    value: str = json.loads(token, strict=False)
    return value


def _word(token: Any) -> str:
    return _string(token) if token.type == "STRING" else str(token)


def _ints(tree: Any) -> tuple[int, ...]:
    return tuple(map(int, tree.children))


def _digits(tree: Any) -> tuple[Digit, ...]:
    return tuple(Digit(n, step) for n, step in _pairs(_ints(tree)))


def _layout(tree: Any) -> Any:
    if tree.data == "fragment":
        shape, threads, regs = tree.children
        return Fragment(_ints(shape), _digits(threads), _digits(regs))
    shape, dims, size, *swizzle = tree.children
    found = Swizzle(*map(int, swizzle)) if swizzle[0] is not None else None
    return Layout(_ints(shape), tuple(map(_digits, dims.children)), int(size), found)


def _option_value(value: Any) -> Any:
    if hasattr(value, "children"):
        return tuple(map(_option_value, value.children))
    if value.type in ("INT", "SIGNED_INT"):
        return int(value)
    return value == "true" if value in ("true", "false") else _word(value)


class Builder:
    """Builds one kernel. `scope` holds what is bound where the walk stands, `declared` all that ever was."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.scope: dict[str, Var | Buffer] = {}
        self.declared: dict[str, list[Var | Buffer]] = {}

    def span(self, at: Any) -> Span:
        """The place of a tree or token."""
        m = getattr(at, "meta", at)
        if getattr(m, "empty", False):
            return NOWHERE
        return Span(self.file, m.line, m.column - 1, m.end_line, m.end_column - 1)

    def choose(self, table: Any, token: Any, what: str) -> Any:
        """The entry of `table` that the token names."""
        if _word(token) not in table:
            raise error("TD0704", self.span(token), word=_word(token), what=what, known=", ".join(table))
        return table[_word(token)]

    def options(self, kind: Any, tree: Any) -> dict[str, Any]:
        """The options of `kind` as keyword arguments. A word that is no flag is the operation."""
        known = {f.name: f.name for f in option_fields(kind)}
        what = kind.__name__.lower()
        result: dict[str, Any] = {}
        for option in tree.children:
            name, value = option.children
            if value is None and "op" in known and _word(name) not in known:
                result["op"] = _word(name)
            else:
                result[self.choose(known, name, f"option of {what}")] = True if value is None else _option_value(value)
        for f in option_fields(kind):
            if f.default is MISSING and f.name not in result:
                raise error("TD0705", name=f.name, what=what)
        return result

    # ---- names

    def declare(self, node: N) -> N:
        if node.name in self.scope:
            raise error("TD0703", name=node.name)
        self.scope[node.name] = node
        self.declared.setdefault(node.name, []).append(node)
        return node

    def var(self, tree: Any) -> Var:
        name, dtype = tree.children
        return self.declare(Var(str(name), DTYPES[dtype] if dtype else INDEX))

    def buffer(self, tree: Any) -> Buffer:
        name, space, dtype, shape, strides, versions = tree.children
        return self.declare(
            Buffer(
                str(name),
                self.extents(shape) if shape else (),
                DTYPES[dtype],
                Space(str(space)),
                self.extents(strides) if strides else None,
                int(versions) if versions else 1,
            )
        )

    def extents(self, tree: Any) -> tuple[Extent, ...]:
        found = (self.expr(e) for e in tree.children)
        return tuple(int(e.value) if isinstance(e, Const) else e for e in found)

    def named(self, token: Any, kind: type[N]) -> N:
        node = self.scope.get(token)
        if not isinstance(node, kind):
            what = "buffer" if kind is Buffer else "variable"
            raise error("TD0702", self.span(token), what=what, name=token)
        return node

    def anywhere(self, token: Any) -> Buffer:
        """The buffer of that name, wherever in the kernel it is bound."""
        found = [b for b in self.declared.get(token, []) if isinstance(b, Buffer)]
        if len(found) != 1:
            raise error("TD0706" if found else "TD0702", self.span(token), what="buffer", name=token)
        return found[0]

    # ---- whole kernels

    def kernel(self, tree: Any) -> Kernel:
        name, sizes, params, results, source, *rest = tree.children
        with locating(self.span(tree)):
            bound_sizes = tuple(map(self.var, sizes.children))
            # A tensor's shape may mention a scalar that comes later.
            bound: dict[int, Var | Buffer] = {id(p): self.var(p) for p in params.children if p.data == "var"}
            bound |= {id(p): self.buffer(p) for p in params.children if p.data == "buffer"}
            scratch = tuple(self.buffer(s.children[0]) for s in rest if s.data == "scratch")
            return Kernel(
                _word(name),
                tuple(bound[id(p)] for p in params.children),
                tuple(self.launch(t) for t in rest if t.data == "launch"),
                bound_sizes,
                scratch,
                tuple(self.named(r, Buffer) for r in results.children),
                _string(source.children[0]) if source.children else "",
                span=self.span(tree),
            )

    def launch(self, tree: Any) -> Launch:
        name, grid, threads, clauses, entries, body = tree.children
        outer = dict(self.scope)
        extents = tuple(self.expr(e) for _, e in _pairs(grid.children))
        blocks = tuple(self.var(v) for v, _ in _pairs(grid.children))
        thread, counts = self.var(threads.children[0]), _ints(threads.children[1])
        statements = tuple(map(self.stmt, body.children))
        facts = self.clauses(clauses) | self.entries(entries)
        self.scope = outer
        return Launch(_word(name), extents, blocks, counts, thread, statements, **facts, span=self.span(tree))

    def clauses(self, tree: Any) -> dict[str, Any]:
        facts: dict[str, Any] = {}
        for clause in tree.children:
            value = clause.children[0]
            match clause.data:
                case "cluster":
                    facts["cluster"] = _ints(value)
                case "raster":
                    facts["raster"] = Raster(**self.options(Raster, value))
                case other:
                    facts[str(other)] = int(value)
        return facts

    def entries(self, tree: Any) -> dict[str, Any]:
        """The tables at the head of a launch; they name buffers of its body."""
        layouts, safe, shared = [], [], []
        for entry in tree.children:
            buffer = self.anywhere(entry.children[0])
            match entry.data, entry.children[1:]:
                case "assigned", [layout, why]:
                    layouts.append(Assigned(buffer, _layout(layout), _string(why) if why else "user"))
                case "safe", [value]:
                    safe.append(SafeValue(buffer, self.expr(value)))
                case "slot", [offset]:
                    shared.append(SharedSlot(buffer, int(offset)))
        return {"layouts": tuple(layouts), "safe_values": tuple(safe), "shared": tuple(shared)}

    # ---- statements

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

    # ---- regions and elements

    def region(self, tree: Any) -> Region:
        name, version, slices = tree.children
        buffer = self.named(name, Buffer)
        if slices is None:
            shape = static_shape(buffer) if all(isinstance(n, int) for n in buffer.shape) else ()
            return Region(buffer, (Const(0),) * len(shape), shape, self.version(version))
        offsets = tuple(self.expr(s.children[0]) for s in slices.children)
        extents = tuple(1 if s.children[1] is None else int(s.children[1]) for s in slices.children)
        return Region(buffer, offsets, extents, self.version(version))

    def element(self, tree: Any) -> tuple[Buffer, tuple[Expr, ...], Expr | None]:
        name, version, indices = tree.children
        return self.named(name, Buffer), self.exprs(indices) if indices else (), self.version(version)

    def version(self, tree: Any) -> Expr | None:
        return self.expr(tree.children[0]) if tree.children else None

    # ---- expressions

    def exprs(self, tree: Any) -> tuple[Expr, ...]:
        return tuple(map(self.expr, tree.children))

    def expr(self, tree: Any) -> Expr:
        if tree.data != "expr":
            return self.atom(tree)
        items = tree.children
        return self.atom(items[0]) if len(items) == 1 else self.climb(items, 0, 0)[0]

    def climb(self, items: Sequence[Any], i: int, least: int) -> tuple[Expr, int]:
        """The expression of operators of at least precedence `least` that begins at item `i`, and where it ends."""
        if getattr(items[i], "type", "") == "PREFIX_OP":
            op = str(items[i])
            operand, i = self.climb(items, i + 1, NOT_PRECEDENCE if op == "not" else UNARY_PRECEDENCE)
            left: Expr = Unary(op, operand)
        else:
            left, i = self.atom(items[i]), i + 1
        while i < len(items) and (precedence := BINARY[items[i]].precedence) >= least:
            right, end = self.climb(items, i + 1, precedence + 1)
            left, i = Binary(str(items[i]), left, right), end
        return left, i

    def atom(self, tree: Any) -> Expr:
        match tree.data, tree.children:
            case "index", [value]:
                return Const(int(value))
            case "load", [element]:
                name, version, indices = element.children
                if indices is None and not version.children and not isinstance(self.scope.get(name), Buffer):
                    return self.named(name, Var)
                return Load(*self.element(element))
            case "address", [element]:
                return Address(*self.element(element))
            case "const", [dtype, value]:
                return Const(float(value) if value.type == "FLOAT" else int(value), DTYPES[dtype])
            case "true" | "false" as value, []:
                return Const(value == "true", BOOL)
            case "group", [inner]:
                return self.expr(inner)
            case "select", [cond, a, b]:
                return Select(self.expr(cond), self.expr(a), self.expr(b))
            case "cast", [dtype, *how, a]:
                words = [self.choose({**_ROUNDINGS, "saturate": None}, w, "conversion") for w in how]
                rounding = next((w for w in words if w), Rounding.NEAREST_EVEN)
                return Cast(DTYPES[dtype], self.expr(a), rounding, None in words)
            case "bits", [dtype, a]:
                return Reinterpret(DTYPES[dtype], self.expr(a))
            case "call", [name, args]:
                return self.call(name, self.exprs(args))
            case "extern", [dtype, pure, name, *args]:
                is_pure = pure is not None and self.choose({"pure": True}, pure, "extern option")
                return Extern(_string(name), tuple(map(self.expr, args)), DTYPES[dtype], is_pure)
        raise AssertionError(tree.data)

    def call(self, token: Any, args: tuple[Expr, ...]) -> Expr:
        operators = {op.symbol: 2 for op in BINARY.values() if not op.precedence}
        arity = self.choose(operators | {f.name: f.arity for f in FUNCTIONS.values()}, token, "function")
        if len(args) != arity:
            raise error("TD0707", self.span(token), name=token, arity=arity, count=len(args))
        return Binary(str(token), args[0], args[1]) if token in operators else Call(str(token), args)


# ---------------------------------------------------------------------------------------------------- statements

Form = Callable[..., Stmt]


def _plain(kind: type[Any]) -> Form:
    """A word with options only."""
    return lambda b, at, *options: kind(**(b.options(kind, options[0]) if options else {}), span=at)


def _from_to(kind: type[Any], **fixed: bool) -> Form:
    return lambda b, at, options, src, dst: kind(
        src=b.region(src), dst=b.region(dst), **b.options(kind, options), **fixed, span=at
    )


def _store(b: Builder, at: Span, element: Any, value: Any, asynchronous: bool = False) -> Stmt:
    buffer, indices, version = b.element(element)
    return Store(buffer, indices, b.expr(value), version, asynchronous, span=at)


def _let(b: Builder, at: Span, var: Any, value: Any) -> Stmt:
    bound = b.expr(value)  # before the name
    return Let(b.var(var), bound, span=at)


def _alloc(b: Builder, at: Span, buffer: Any, init: Any) -> Stmt:
    value = b.expr(init) if init is not None else None
    return Alloc(b.buffer(buffer), value, span=at)


def _view(b: Builder, at: Span, buffer: Any, source: Any) -> Stmt:
    bound = b.named(source, Buffer)
    return View(b.buffer(buffer), bound, span=at)


def _for(b: Builder, at: Span, var: Any, extent: Any, word: Any, options: Any, body: Any) -> Stmt:
    count, outer = b.expr(extent), dict(b.scope)
    kind = LOOP_KINDS[word] if word else Serial
    loop = For(b.var(var), count, b.block(body), kind(**b.options(kind, options)) if options else Serial(), span=at)
    b.scope = outer
    return loop


def _if(b: Builder, at: Span, cond: Any, then: Any, orelse: Any) -> Stmt:
    return If(b.expr(cond), b.block(then), b.block(orelse) if orelse else (), span=at)


def _atomic_update(b: Builder, at: Span, result: Any, options: Any, element: Any, value: Any) -> Stmt:
    buffer, indices, _ = b.element(element)
    known = b.options(AtomicUpdate, options)
    update = b.expr(value)
    old = b.var(result) if result else None
    return AtomicUpdate(buffer=buffer, indices=indices, value=update, result=old, **known, span=at)


def _move(b: Builder, at: Span, options: Any, src: Any, dst: Any) -> Stmt:
    return Move(Address(*b.element(dst)), Address(*b.element(src)), **b.options(Move, options), span=at)


def _print(b: Builder, at: Span, message: Any, *rest: Any) -> Stmt:
    *args, tile = rest
    buffer = b.named(tile, Buffer) if tile else None
    return Print(_string(message), tuple(map(b.expr, args)), buffer, span=at)


def _gemm(b: Builder, at: Span, options: Any, *operands: Any) -> Stmt:
    x, y, z = map(b.region, operands)
    return Gemm(x, y, z, **b.options(Gemm, options), span=at)


def _im2col(b: Builder, at: Span, options: Any, image: Any, dst: Any, row: Any, column: Any) -> Stmt:
    known = b.options(Im2col, options)
    return Im2col(b.region(image), b.region(dst), b.expr(row), b.expr(column), **known, span=at)


def _parallel(b: Builder, at: Span, options: Any, points: Any, layout: Any, body: Any) -> Stmt:
    outer = dict(b.scope)
    box = [(b.var(v), int(n)) for v, n in _pairs(points.children)]
    found = _layout(layout) if layout else None
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
    "async_commit": _plain(AsyncCommit),
    "async_wait": _plain(AsyncWait),
    "atom_call": lambda b, at, name, args: AtomCall(_word(name), b.exprs(args), span=at),
    "move": _move,
    "print_": _print,
    "assert_": lambda b, at, cond, text: Assert(b.expr(cond), _string(text) if text else "", span=at),
    "assume": lambda b, at, cond: Assume(b.expr(cond), span=at),
    "copy": _from_to(Copy),
    "async_copy": _from_to(Copy, asynchronous=True),
    "fill": lambda b, at, dst, value: Fill(b.region(dst), b.expr(value), span=at),
    "gemm": _gemm,
    "reduce": _from_to(Reduce),
    "scan": _from_to(Scan),
    "atomic": _from_to(Atomic),
    "transpose": _from_to(Transpose),
    "im2col": _im2col,
    "parallel": _parallel,
}
