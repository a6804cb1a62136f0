"""Expressions: variables replaced, accesses of tiles turned into accesses of registers and flat shared memory."""

from __future__ import annotations

from collections.abc import Mapping

from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import Address, Const, Expr, Load, Node, Space, Var
from tiledsl.ir.walk import map_children
from tiledsl.passes.lower_tiles.access import element
from tiledsl.passes.lower_tiles.context import Context

Env = Mapping[Var, Expr]  # what each variable of a Parallel loop is, in terms of the thread and its registers


def expression(ctx: Context, e: Expr, env: Env) -> Expr:
    """`e` for one thread."""
    match e:
        case Const():
            return e
        case Var():
            return env.get(e, e)
        case Load(buffer, indices, version):
            if buffer.space is Space.FRAGMENT and not env:
                _check_everywhere(ctx, e)
            at = tuple(expression(ctx, i, env) for i in indices)
            flat, where = element(ctx, buffer, at)
            return Load(flat, where, optional(ctx, version, env))
        case Address(buffer, indices, version):
            flat, where = element(ctx, buffer, tuple(expression(ctx, i, env) for i in indices))
            return Address(flat, where, optional(ctx, version, env))
    return map_children(e, lambda n: _child(ctx, n, env))


def optional(ctx: Context, e: Expr | None, env: Env) -> Expr | None:
    return None if e is None else ctx.simplify(expression(ctx, e, env))


def condition(ctx: Context, e: Expr, env: Env) -> Expr:
    return ctx.simplify(expression(ctx, e, env))


def _child(ctx: Context, n: Node, env: Env) -> Node:
    return expression(ctx, n, env) if isinstance(n, Expr) else n


def _check_everywhere(ctx: Context, e: Load) -> None:
    """Outside of Parallel loops every thread reads, so every thread must hold the element."""
    f = ctx.fragment_of(e.buffer)
    if any(d.stride for d in f.threads if d.extent > 1) or f.num_threads < ctx.num_threads:
        raise VerifyError(f"every thread reads '{e.buffer.name}', whose elements are distributed over the threads")
