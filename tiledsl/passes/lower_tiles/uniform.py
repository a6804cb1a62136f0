"""Which values of a block's scalar code differ between threads.

Scalar statements of a tile program happen once for the whole block, unless the user has asked for the thread's number
and their effect depends on it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from tiledsl.ir.concurrent import Roles
from tiledsl.ir.nodes import (
    Alloc,
    AtomicUpdate,
    Buffer,
    Expr,
    For,
    If,
    Launch,
    Let,
    Load,
    Node,
    Space,
    Stmt,
    Store,
    Var,
    While,
)
from tiledsl.ir.tile import Parallel
from tiledsl.ir.walk import children, statements, walk

PRIVATE = (Space.LOCAL, Space.VAR)


@dataclass
class Differing:
    """Variables, and buffers private to a thread, whose values may differ between the threads of a block."""

    variables: set[Var] = field(default_factory=set)
    buffers: set[Buffer] = field(default_factory=set)

    def depends(self, node: Node | None) -> bool:
        """Whether the value or the effect of `node` may differ between threads."""
        if node is None:
            return False
        return any(
            n in self.variables if isinstance(n, Var) else isinstance(n, Load) and n.buffer in self.buffers
            for n in walk(node)
        )


def differing(launch: Launch) -> Differing:
    """The least sets that hold the thread number and everything computed from it, by value or by control."""
    roles = (role.thread for s in statements(launch) if isinstance(s, Roles) for role in s.roles)
    found = Differing({launch.thread, *roles})
    size = -1
    while size != len(found.variables) + len(found.buffers):
        size = len(found.variables) + len(found.buffers)
        _collect(launch.body, found, False)
    return found


def _collect(block: Iterable[Stmt], found: Differing, divergent: bool) -> None:
    for s in block:
        match s:
            case Let(var, value) if found.depends(value):
                found.variables.add(var)
            case Alloc(buffer, init) if init is not None and (divergent or found.depends(init)):
                found.buffers.add(buffer)
            case Store(buffer) if buffer.space in PRIVATE and (divergent or _any(found, children(s))):
                found.buffers.add(buffer)
            case AtomicUpdate(result=Var() as result):  # each thread has its own old value
                found.variables.add(result)
            case If(cond, then, orelse):
                inner = divergent or found.depends(cond)
                _collect(then, found, inner)
                _collect(orelse, found, inner)
            case For(_, extent, body):
                _collect(body, found, divergent or found.depends(extent))
            case While(cond, body):
                _collect(body, found, divergent or found.depends(cond))
            case Parallel():
                _collect(s.body, found, True)
            case Roles(roles):  # all threads of a role do the same
                for role in roles:
                    _collect(role.body, found, divergent)


def _any(found: Differing, nodes: Iterable[Node]) -> bool:
    return any(found.depends(n) for n in nodes if isinstance(n, Expr))
