"""Questions about syntax trees: which names statements bind, and where new nodes stand."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

_COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)


@cache
def _parts(kind: type[ast.AST]) -> tuple[str, ...]:
    return tuple(name for name in kind._fields if name not in ("ctx", "op", "ops"))


def _below(node: ast.AST) -> list[ast.AST]:
    """The nodes directly below, without contexts and operators, which have neither a place nor a name."""
    found: list[ast.AST] = []
    kind: Any = type(node)  # mypy takes no class for hashable
    for name in _parts(kind):
        value = getattr(node, name, None)
        if isinstance(value, list):
            found += [item for item in value if isinstance(item, ast.AST)]
        elif isinstance(value, ast.AST):
            found.append(value)
    return found


def fill_locations(node: Any, line: int, col: int, end_line: int, end_col: int) -> None:
    """As `ast.fix_missing_locations`, which is half of the time of a rewrite: new nodes get the place around them."""
    if "lineno" in node._attributes:
        if not hasattr(node, "lineno"):
            node.lineno, node.col_offset = line, col
        if getattr(node, "end_lineno", None) is None:
            node.end_lineno, node.end_col_offset = end_line, end_col
        line, col, end_line, end_col = node.lineno, node.col_offset, node.end_lineno, node.end_col_offset
    for child in _below(node):
        fill_locations(child, line, col, end_line, end_col)


def bound_names(nodes: Iterable[ast.AST]) -> list[str]:
    """The names that the statements bind, in order, without those of nested functions and comprehensions."""
    found: dict[str, None] = {}
    for node in nodes:
        for name in _bound(node):
            found.setdefault(name)
    return list(found)


def _bound(node: ast.AST) -> Iterator[str]:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        yield node.name
        return
    if isinstance(node, (ast.Lambda, *_COMPREHENSIONS)):
        return
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
        yield node.id
    elif isinstance(node, ast.alias):
        yield (node.asname or node.name).split(".")[0]
    elif isinstance(node, (ast.ExceptHandler, ast.MatchAs, ast.MatchStar)) and node.name:
        yield node.name
    for child in _below(node):
        yield from _bound(child)
