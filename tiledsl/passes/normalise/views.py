"""Shared tiles that are only used through a view are allocated as that view."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from tiledsl.ir.concurrent import Role
from tiledsl.ir.nodes import Alloc, Buffer, Launch, Node, Space, Stmt, View
from tiledsl.ir.walk import map_children, walk


def without_single_views(launch: Launch) -> Launch:
    """The launch without views of shared tiles that nothing else names, also through other such views."""
    views = [n for n in walk(launch) if isinstance(n, View) and n.source.space is Space.SHARED]
    if not views:
        return launch
    named = Counter(n for n in walk(launch) if isinstance(n, Buffer))
    allocated = {n.buffer for n in walk(launch) if isinstance(n, Alloc)}
    stands_for: dict[Buffer, Buffer] = {}  # the tile that is allocated -> its last view
    gone: set[Buffer] = set()
    for v in views:  # in program order: a view comes after its source
        root = next((r for r, last in stands_for.items() if last is v.source), v.source)
        if root in allocated and named[v.source] == 2:  # where it is bound, and here
            stands_for[root] = v.buffer
            gone.add(v.buffer)

    def visit(node: Node) -> Node | tuple[Node, ...]:
        match node:
            case View(buffer) if buffer in gone:
                return ()
            case Alloc(buffer) if buffer in stands_for:
                return replace(node, buffer=stands_for[buffer])
            case Stmt() | Role() | Launch():
                return map_children(node, visit)
        return node

    result = visit(launch)
    assert isinstance(result, Launch)
    return result
