"""The part of `build` below statements: names, options, layouts, regions and expressions.

Trees and tokens are lark's: a tree has `data`, `children` and `meta`; a token is a string with a `type` and a place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import MISSING
from typing import Any, TypeVar

from tiledsl.errors import NOWHERE, Span, error
from tiledsl.ir.dtypes import BOOL, DTYPES, INDEX, DType
from tiledsl.ir.layout import Digit, Fragment, Layout, Swizzle
from tiledsl.ir.literals import option_fields
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
    Space,
    Unary,
    Var,
    static_shape,
)
from tiledsl.ir.ops import BINARY, FUNCTIONS, UNARY_PRECEDENCE
from tiledsl.ir.print_expr import NOT_PRECEDENCE
from tiledsl.ir.types import dtype_of

N = TypeVar("N", Var, Buffer)
_ROUNDINGS = {r.value: r for r in Rounding}


def pairs(items: Sequence[Any]) -> Iterable[tuple[Any, Any]]:
    return zip(items[::2], items[1::2])


def string(token: Any) -> str:
    value: str = json.loads(token, strict=False)
    return value


def word(token: Any) -> str:
    return string(token) if token.type == "STRING" else str(token)


def ints(tree: Any) -> tuple[int, ...]:
    return tuple(map(int, tree.children))


def digits(tree: Any) -> tuple[Digit, ...]:
    return tuple(Digit(n, step) for n, step in pairs(ints(tree)))


def fragment(tree: Any) -> Fragment:
    shape, threads, regs = tree.children
    return Fragment(ints(shape), digits(threads), digits(regs))


def layout(tree: Any) -> Fragment | Layout:
    if tree.data == "fragment":
        return fragment(tree)
    shape, dims, size, *swizzle = tree.children
    found = Swizzle(*map(int, swizzle)) if swizzle[0] is not None else None
    return Layout(ints(shape), tuple(map(digits, dims.children)), int(size), found)


def _option_value(value: Any) -> Any:
    if hasattr(value, "children"):
        return tuple(map(_option_value, value.children))
    if value.type in ("INT", "SIGNED_INT"):
        return int(value)
    return value == "true" if value in ("true", "false") else word(value)


def _fits(value: Any, annotation: str) -> bool:
    """Whether an option has the type that its field is annotated with."""
    match annotation:
        case "bool":
            return isinstance(value, bool)
        case "str":
            return isinstance(value, str)
        case "int":
            return isinstance(value, int) and not isinstance(value, bool)
        case "tuple[int, ...]":
            return isinstance(value, tuple) and all(_fits(v, "int") for v in value)
    return isinstance(value, tuple) and all(_fits(v, "tuple[int, ...]") for v in value)


class Literal(Const):
    """A number without a dtype, until what stands beside it gives one. Never leaves this file."""

    __slots__ = ()


def var_dtype(tree: Any) -> DType:
    """The dtype of the variable that a tree binds."""
    dtype = tree.children[1]
    return DTYPES[dtype] if dtype else INDEX


def _typed(e: Expr, dtype: DType) -> Expr:
    """A literal as a constant of `dtype`; other expressions as they are. Raises TileError TD0708 where it is none."""
    if type(e) is not Literal:
        return e
    if dtype.is_float:
        return Const(float(e.value), dtype)
    if isinstance(e.value, float):
        raise error("TD0708", value=e.value, dtype=dtype)
    return Const(e.value, dtype if dtype is not BOOL else INDEX)


def _alike(a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """Two operands of one dtype: a literal takes that of the other."""
    if type(a) is Literal:
        return _typed(a, INDEX if type(b) is Literal else dtype_of(b)), _typed(b, INDEX)
    return a, _typed(b, dtype_of(a)) if type(b) is Literal else b


class ExprBuilder:
    """Names, options and expressions of one kernel.

    `scope` holds what is bound where the walk stands, `declared` all that ever was.
    """

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
        if word(token) not in table:
            raise error("TD0704", self.span(token), word=word(token), what=what, known=", ".join(table))
        return table[word(token)]

    def options(self, kind: Any, tree: Any) -> dict[str, Any]:
        """The options of `kind` as keyword arguments. A word that is no flag is the operation."""
        known = {f.name: f.name for f in option_fields(kind)}
        what = kind.__name__.lower()
        result: dict[str, Any] = {}
        for option in tree.children:
            name, value = option.children
            if value is None and "op" in known and word(name) not in known:
                result["op"] = word(name)
            else:
                result[self.choose(known, name, f"option of {what}")] = True if value is None else _option_value(value)
        for f in option_fields(kind):
            if f.name not in result and f.default is MISSING:
                raise error("TD0705", name=f.name, what=what)
            if f.name in result and not _fits(result[f.name], str(f.type)):
                raise error("TD0721", name=f.name, what=what, type=f.type, value=result[f.name])
        return result

    # ---- names

    def declare(self, node: N) -> N:
        if node.name in self.scope:
            raise error("TD0703", name=node.name)
        self.scope[node.name] = node
        self.declared.setdefault(node.name, []).append(node)
        return node

    def var(self, tree: Any) -> Var:
        return self.declare(Var(str(tree.children[0]), var_dtype(tree)))

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

    # ---- regions and elements

    def region(self, tree: Any) -> Region:
        name, version, slices = tree.children
        buffer = self.named(name, Buffer)
        if slices is None:
            shape = static_shape(buffer) if all(isinstance(n, int) for n in buffer.shape) else ()
            return Region(buffer, (Const(0),) * len(shape), shape, self.version(version))
        return Region(buffer, *self.box(slices), self.version(version))

    def box(self, slices: Any) -> tuple[tuple[Expr, ...], tuple[int, ...]]:
        """Offsets and extents."""
        offsets = tuple(self.expr(s.children[0]) for s in slices.children)
        return offsets, tuple(1 if s.children[1] is None else int(s.children[1]) for s in slices.children)

    def element(self, tree: Any) -> tuple[Buffer, tuple[Expr, ...], Expr | None]:
        name, version, indices = tree.children
        return self.named(name, Buffer), self.exprs(indices) if indices else (), self.version(version)

    def version(self, tree: Any) -> Expr | None:
        return self.expr(tree.children[0]) if tree.children else None

    # ---- expressions

    def exprs(self, tree: Any) -> tuple[Expr, ...]:
        return tuple(map(self.expr, tree.children))

    def expr(self, tree: Any, expected: DType = INDEX) -> Expr:
        """An expression; a bare literal takes the `expected` dtype."""
        return _typed(self.operand(tree), expected)

    def operand(self, tree: Any) -> Expr:
        if tree.data != "expr":
            return self.atom(tree)
        items = tree.children
        return self.atom(items[0]) if len(items) == 1 else self.climb(items, 0, 0)[0]

    def climb(self, items: Sequence[Any], i: int, least: int) -> tuple[Expr, int]:
        """The expression of operators of at least precedence `least` that begins at item `i`, and where it ends."""
        if getattr(items[i], "type", "") == "PREFIX_OP":
            op = str(items[i])
            operand, i = self.climb(items, i + 1, NOT_PRECEDENCE if op == "not" else UNARY_PRECEDENCE)
            left: Expr = Unary(op, _typed(operand, INDEX))
        else:
            left, i = self.atom(items[i]), i + 1
        while i < len(items) and (precedence := BINARY[items[i]].precedence) >= least:
            right, end = self.climb(items, i + 1, precedence + 1)
            left, i = Binary(str(items[i]), *_alike(left, right)), end
        return left, i

    def atom(self, tree: Any) -> Expr:
        match tree.data, tree.children:
            case "literal", [value]:
                return Literal(float(value) if value.type == "FLOAT" else int(value))
            case "load", [element]:
                name, version, indices = element.children
                if indices is None and not version.children and not isinstance(self.scope.get(name), Buffer):
                    return self.named(name, Var)
                return Load(*self.element(element))
            case "address", [element]:
                return Address(*self.element(element))
            case "descriptor", [element, leading, stride, swizzle]:
                return Descriptor(Address(*self.element(element)), int(leading), int(stride), int(swizzle))
            case "const", [dtype, value]:
                return Const(int(value) if value.type in ("INT", "SIGNED_INT") else float(value), DTYPES[dtype])
            case "true" | "false" as value, []:
                return Const(value == "true", BOOL)
            case "group", [inner]:
                return self.expr(inner)
            case "select", [cond, a, b]:
                return Select(self.expr(cond), *_alike(self.operand(a), self.operand(b)))
            case "cast", [dtype, *how, a]:
                words = [self.choose({**_ROUNDINGS, "saturate": None}, w, "conversion") for w in how]
                rounding = next((w for w in words if w), Rounding.NEAREST_EVEN)
                return Cast(DTYPES[dtype], self.expr(a), rounding, None in words)
            case "bits", [dtype, a]:
                return Reinterpret(DTYPES[dtype], self.expr(a))
            case "call", [name, args]:
                return self.call(name, tuple(map(self.operand, args.children)))
            case "extern", [dtype, pure, name, *args]:
                is_pure = pure is not None and self.choose({"pure": True}, pure, "extern option")
                return Extern(string(name), tuple(map(self.expr, args)), DTYPES[dtype], is_pure)
        raise AssertionError(tree.data)

    def call(self, token: Any, args: tuple[Expr, ...]) -> Expr:
        operators = {op.symbol: 2 for op in BINARY.values() if not op.precedence}
        arity = self.choose(operators | {f.name: f.arity for f in FUNCTIONS.values()}, token, "function")
        if len(args) != arity:
            raise error("TD0707", self.span(token), name=token, arity=arity, count=len(args))
        if token in operators:
            return Binary(str(token), *_alike(*args))
        return Call(str(token), tuple(_typed(a, INDEX) for a in args))
