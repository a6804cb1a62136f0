"""Rewriting of statements with the facts that hold where each of them stands."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar, cast

from tiledsl.analysis.ranges import Facts, launch_facts
from tiledsl.ir.concurrent import Role, Roles
from tiledsl.ir.nodes import (
    Assume,
    AtomicUpdate,
    Barrier,
    Block,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Node,
    Region,
    Stmt,
    While,
)
from tiledsl.ir.tile import Parallel
from tiledsl.ir.walk import map_children

N = TypeVar("N", bound=Node)
OnExpr = Callable[[Expr, Facts], Expr]
OnLeaf = Callable[[Stmt, Facts], Block]


def rewrite_launches(kernel: Kernel, on_expr: OnExpr, on_leaf: OnLeaf | None = None) -> Kernel:
    """`kernel` with the bodies of its launches through `rewrite_scoped`."""

    def launch(old: Launch) -> Launch:
        body = rewrite_scoped(old.body, launch_facts(kernel, old), on_expr, on_leaf)
        return old if body is old.body else replace(old, body=body)

    return replace(kernel, launches=tuple(launch(old) for old in kernel.launches))


def rewrite_scoped(block: Block, facts: Facts, on_expr: OnExpr, on_leaf: OnLeaf | None = None) -> Block:
    """`block` with `on_expr` applied to each expression directly in a statement or region, under the facts that hold.

    `on_leaf`, if given, replaces each statement that holds no others by a block; the expressions in it are then its own
    affair (`with_expressions`).
    """
    result: list[Stmt] = []
    for s in block:
        if isinstance(s, (If, For, While, Parallel, Roles)):
            result.append(_compound(s, facts, on_expr, on_leaf))
            continue
        result.extend(on_leaf(s, facts) if on_leaf else (with_expressions(s, facts, on_expr),))
        if isinstance(s, Assume):
            facts = facts.under(s.cond)
    if len(result) == len(block) and all(a is b for a, b in zip(result, block)):
        return block
    return tuple(result)


def _compound(s: If | For | While | Parallel | Roles, facts: Facts, on_expr: OnExpr, on_leaf: OnLeaf | None) -> Stmt:
    def inner(block: Block, known: Facts) -> Block:
        return rewrite_scoped(block, known, on_expr, on_leaf)

    match s:
        case If(cond, then, orelse):
            new_then = inner(then, facts.under(cond))
            new_else = inner(orelse, facts.under_not(cond)) if orelse else orelse
            return _changed(s, cond=on_expr(cond, facts), then=new_then, orelse=new_else)
        case For(_, extent, body):
            return _changed(s, extent=on_expr(extent, facts), body=inner(body, facts))
        case While(cond, body):
            return _changed(s, cond=on_expr(cond, facts), body=inner(body, facts.under(cond)))
        case Parallel():
            return _changed(s, body=inner(s.body, facts))
        case Roles():
            return with_bodies(s, lambda block: inner(block, facts))


def with_bodies(s: Roles, rule: Callable[[Block], Block]) -> Roles:
    """`s` with `rule` applied to the body of each role."""
    roles = tuple(_changed(role, body=rule(role.body)) for role in s.roles)
    return s if all(a is b for a, b in zip(roles, s.roles)) else replace(s, roles=roles)


def role_barrier(number: int, role: Role) -> Barrier:
    """The barrier of the threads of a role, the one with that number in its statement. Barrier 0 is the block's."""
    return Barrier(id=1 + number, count=role.threads)


def _changed(s: N, **fields: object) -> N:
    if all(getattr(s, name) is value for name, value in fields.items()):
        return s
    return cast(N, replace(cast(Any, s), **fields))


def with_expressions(s: Stmt, facts: Facts, on_expr: OnExpr) -> Stmt:
    """`s` with `on_expr` applied to each expression directly in it or in a region of it."""

    bound = s.var if isinstance(s, Let) else s.result if isinstance(s, AtomicUpdate) else None

    def rule(n: Node) -> Node:
        if isinstance(n, Expr):
            return n if n is bound else on_expr(n, facts)
        return map_children(n, rule) if isinstance(n, Region) else n

    return map_children(s, rule)
