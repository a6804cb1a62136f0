"""Traversal of any node, derived from its dataclass fields. No other file enumerates children."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from functools import cache
from math import copysign, isnan
from operator import is_
from typing import Any, TypeVar, cast

from tiledsl.errors import NOWHERE, Span
from tiledsl.ir.frozen import reader as fields_reader
from tiledsl.ir.nodes import Break, Buffer, Continue, Expr, For, Node, Stmt, Var, While

N = TypeVar("N", bound=Node)
LEAVES = (Var, Buffer)  # compared by identity, so a rewrite must never rebuild them

# Fields are read through tables made once per class, from the names in their annotations: those of plain data alone
# hold no nodes, and those that hold statements name one of _HOLDERS.
_DATA = {"None", "tuple", "bool", "int", "float", "str"}
_PLAIN = _DATA | {"DType", "Span", "Rounding", "Space", "LoopKind", "Raster", "Fragment", "Layout"}
_SINGLE = {"Expr", "Var", "Buffer", "Region", "Source", "Address"}
_HOLDERS = {"Stmt", "Block", "Launch", "Role"}
_TUPLES = {"tuple"}


def _annotations(kind: type) -> dict[str, frozenset[str]]:
    """The fields of a class and the names in the annotation of each."""
    return {f.name: frozenset(re.findall(r"\w+", str(f.type))) for f in fields(kind)}


@cache
def _node_fields(kind: type) -> tuple[str, ...]:
    """The fields that may hold nodes."""
    if issubclass(kind, LEAVES):
        return ()
    return tuple(name for name, said in _annotations(kind).items() if not said <= _PLAIN)


@cache
def _statement_fields(kind: type) -> tuple[str, ...]:
    return tuple(name for name, said in _annotations(kind).items() if said & _HOLDERS)


@cache
def _constructor(kind: Any) -> Callable[[Any, dict[str, object]], Any]:
    """Makes a node like the first argument with some fields changed: `replace` without asking for the fields."""
    slots = [(f.name, getattr(kind, f.name)) for f in fields(kind)]

    def changed(node: Any, changes: dict[str, object]) -> Any:
        made = kind.__new__(kind)
        for name, slot in slots:
            slot.__set__(made, changes[name] if name in changes else slot.__get__(node))
        return made

    return changed


@cache
def _reader(kind: type) -> Callable[[Any], Sequence[Node]]:
    """Reads the nodes directly below a node of a class."""
    said = _annotations(kind)
    names = _node_fields(kind)
    read = fields_reader(names)
    if all(len(said[name]) == 1 and said[name] <= _SINGLE for name in names):
        return read
    if all(said[name] <= _TUPLES | _SINGLE | _HOLDERS for name in names):
        return lambda node: _flat(read(node))

    def collect(node: Any) -> Sequence[Node]:
        found: list[Node] = []
        for value in read(node):
            if isinstance(value, Node):
                found.append(value)
            elif isinstance(value, tuple):
                found += [item for item in value if isinstance(item, Node)]
        return found

    return collect


def _flat(values: tuple[Any, ...]) -> Sequence[Node]:
    """Of fields that are nodes or tuples of nodes."""
    found: list[Node] = []
    for value in values:
        if type(value) is tuple:
            found += value
        else:
            found.append(value)
    return found


reader: Callable[[type], Callable[[Any], Sequence[Node]]] = _reader  # mypy takes no class for hashable
constructor: Callable[[type], Callable[[Any, dict[str, object]], Any]] = _constructor
node_fields: Callable[[type], tuple[str, ...]] = _node_fields
statement_fields: Callable[[type], tuple[str, ...]] = _statement_fields


def children(node: Node) -> Sequence[Node]:
    """The nodes directly below, in field order."""
    return reader(type(node))(node)


def walk(node: Node) -> Iterator[Node]:
    """`node` and everything below it, parents first."""
    pending = [node]
    while pending:
        node = pending.pop()
        yield node
        if below := reader(type(node))(node):
            pending += below[::-1]


def statements(node: Node) -> Iterator[Stmt]:
    """All statements below `node`, parents first, without entering expressions."""
    return (s for s in holders(node) if isinstance(s, Stmt))


def holders(node: Node) -> Iterator[Node]:
    """As `statements`, with the roles and whatever else holds statements without being one."""
    pending = [node]
    while pending:
        n = pending.pop()
        if n is not node:
            yield n
        for name in reversed(statement_fields(type(n))):
            pending += getattr(n, name)[::-1]


def may_leave(block: Iterable[Node]) -> bool:
    """Whether a Break or Continue in `block` belongs to a loop around it."""
    return any(
        isinstance(s, Break | Continue) or (not isinstance(s, For | While) and may_leave(_below(s))) for s in block
    )


def _below(s: Node) -> Iterator[Node]:
    """The statements directly below, and the roles that hold them."""
    return (x for name in statement_fields(type(s)) for x in getattr(s, name))


Rule = Callable[[Node], "Node | tuple[Node, ...]"]


def map_children(node: N, fn: Rule) -> N:
    """`node` with `fn` applied to each child, or `node` itself if no child changed.

    Inside a tuple of children (a block), `fn` may return a tuple: it is spliced in, and `()` deletes.
    """
    changes: dict[str, object] = {}
    for name in node_fields(type(node)):
        old = getattr(node, name)
        new: object = old
        if isinstance(old, Node):
            new = fn(old)
        elif isinstance(old, tuple) and old:
            new = _map_items(old, fn)
        if new is not old:
            changes[name] = new
    return cast(N, constructor(type(node))(node, changes)) if changes else node


def map_blocks(node: N, rule: Callable[[tuple[Stmt, ...]], tuple[Stmt, ...]]) -> N:
    """`node` with `rule` applied to each block directly below: of a loop, the sides of a conditional, of each role."""
    changes: dict[str, object] = {}
    for name in statement_fields(type(node)):
        old = getattr(node, name)
        is_block = all(isinstance(s, Stmt) for s in old)
        new = rule(old) if is_block else tuple(map_blocks(holder, rule) for holder in old)
        if new is not old:
            changes[name] = new
    return cast(N, constructor(type(node))(node, changes)) if changes else node


def _map_items(old: tuple[object, ...], fn: Rule) -> tuple[object, ...]:
    mapped = [fn(x) if isinstance(x, Node) else x for x in old]
    if all(map(is_, mapped, old)):
        return old
    flat: list[object] = []
    for x in mapped:
        flat.extend(x) if isinstance(x, tuple) else flat.append(x)
    return tuple(flat)


def rewrite(node: Node, rule: Rule) -> Any:
    """Bottom-up: children first, then `rule` once on the rebuilt node."""

    def below(n: Node) -> Any:
        return rule(map_children(n, below))

    return below(node)


def substitute(node: N, values: Mapping[Var, Expr]) -> N:
    """`node` with each variable replaced by its value, wherever it is used."""
    if not values:
        return node
    return cast(N, rewrite(node, lambda n: values.get(n, n) if isinstance(n, Var) else n))


def replace_buffers(node: N, buffers: Mapping[Buffer, Buffer]) -> N:
    """`node` with each buffer replaced, in accesses, allocations and tables."""
    if not buffers:
        return node
    return cast(N, rewrite(node, lambda n: buffers.get(n, n) if isinstance(n, Buffer) else n))


@cache
def _compared_fields(kind: type) -> tuple[str, ...]:
    """The fields that take part in equality; a name is only a hint."""
    names = (f.name for f in fields(kind) if f.compare)
    return tuple(n for n in names if not (n == "name" and issubclass(kind, LEAVES)))


_compared: Callable[[type], tuple[str, ...]] = _compared_fields


def same(a: Node, b: Node) -> bool:
    """Equality up to the names and identities of variables and buffers, matched one to one.

    NaN equals NaN, and 0.0 differs from -0.0: two nodes that are the same compute the same.
    """
    matched: dict[Any, Any] = {}
    partner: dict[Any, Any] = {}

    def equal(x: Any, y: Any) -> bool:
        kind = type(x)
        if isinstance(x, LEAVES):
            if kind is not type(y):
                return False
            if x in matched or y in partner:
                return matched.get(x) is y and partner.get(y) is x
            matched[x], partner[y] = y, x
        if isinstance(x, Node):
            return kind is type(y) and all(equal(getattr(x, n), getattr(y, n)) for n in _compared(kind))
        if isinstance(x, tuple):
            return isinstance(y, tuple) and len(x) == len(y) and all(map(equal, x, y))
        if isinstance(x, float) and isinstance(y, float):
            return (x == y and copysign(1, x) == copysign(1, y)) or (isnan(x) and isnan(y))
        return bool(x == y)

    return equal(a, b)


def placed(s: Stmt, span: Span) -> Stmt:
    """`s` with `span` on it and on the statements inside, as far down as they have none."""
    if s.span is not NOWHERE or span is NOWHERE:
        return s
    inside = map_children(s, lambda n: placed(n, span) if isinstance(n, Stmt) else n)
    return replace(inside, span=span)
