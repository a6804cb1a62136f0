"""Copies of statements with variables and buffers of their own: in a kernel each is bound once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace

from tiledsl.ir.concurrent import Role
from tiledsl.ir.nodes import Alloc, AtomicUpdate, Block, Buffer, Expr, For, Let, Node, Stmt, Var, View
from tiledsl.ir.tile import Parallel
from tiledsl.ir.walk import holders, rewrite


def bound_in(block: Block) -> Iterator[Var | Buffer]:
    """All variables and buffers that statements of `block` bind."""
    for s in block:
        for node in (s, *holders(s)):
            match node:
                case Let(var=name) | For(var=name) | AtomicUpdate(result=Var() as name):
                    yield name
                case Alloc(buffer=name) | View(buffer=name):
                    yield name
                case Parallel(vars=names):
                    yield from names
                case Role(thread=name):
                    yield name


def anew(names: Iterable[Var | Buffer]) -> dict[Node, Node]:
    """For each name a new one that is alike."""
    return {name: Var(name.name, name.dtype) if isinstance(name, Var) else replace(name) for name in names}


def copied(
    block: Block, values: Mapping[Var, Expr] | None = None, rule: Callable[[Node], Node] | None = None
) -> tuple[Stmt, ...]:
    """`block` with `values` put in for variables, and everything that it binds bound anew.

    `rule`, if given, is applied to every other node, children first.
    """
    fresh: dict[Node, Node] = {var: value for var, value in (values or {}).items()}
    fresh |= anew(bound_in(block))

    def renamed(node: Node) -> Node:
        if isinstance(node, (Var, Buffer)):
            return fresh.get(node, node)
        return rule(node) if rule is not None else node

    return tuple(rewrite(s, renamed) for s in block)
