"""Traversal of any node, derived from its dataclass fields. No other file enumerates children."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from math import copysign, isnan
from typing import Any, TypeVar, cast

from tiledsl.errors import NOWHERE, Span
from tiledsl.ir.nodes import Buffer, Expr, Node, Stmt, Var

N = TypeVar("N", bound=Node)
LEAVES = (Var, Buffer)  # compared by identity, so a rewrite must never rebuild them


@cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(f.name for f in fields(kind))


field_names: Callable[[type], tuple[str, ...]] = _field_names  # mypy takes no class for hashable


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below, in field order."""
    if isinstance(node, LEAVES):
        return
    for name in field_names(type(node)):
        value = getattr(node, name)
        if isinstance(value, Node):
            yield value
        elif isinstance(value, tuple):
            for item in value:
                if isinstance(item, Node):
                    yield item


def walk(node: Node) -> Iterator[Node]:
    """`node` and everything below it, parents first."""
    yield node
    for child in children(node):
        yield from walk(child)


Rule = Callable[[Node], "Node | tuple[Node, ...]"]


def map_children(node: N, fn: Rule) -> N:
    """`node` with `fn` applied to each child, or `node` itself if no child changed.

    Inside a tuple of children (a block), `fn` may return a tuple: it is spliced in, and `()` deletes.
    """
    if isinstance(node, LEAVES):
        return node
    changes: dict[str, object] = {}
    for name in field_names(type(node)):
        old = getattr(node, name)
        new: object = old
        if isinstance(old, Node):
            new = fn(old)
        elif isinstance(old, tuple) and any(isinstance(x, Node) for x in old):
            flat: list[object] = []
            for x in old:
                mapped = fn(x) if isinstance(x, Node) else x
                flat.extend(mapped) if isinstance(mapped, tuple) else flat.append(mapped)
            new = tuple(flat) if len(flat) != len(old) or any(a is not b for a, b in zip(flat, old)) else old
        if new is not old:
            changes[name] = new
    return replace(cast(Any, node), **changes) if changes else node


def rewrite(node: Node, rule: Rule) -> Any:
    """Bottom-up: children first, then `rule` once on the rebuilt node."""
    return rule(map_children(node, lambda child: rewrite(child, rule)))


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
