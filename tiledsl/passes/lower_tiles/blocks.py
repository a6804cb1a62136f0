"""Statements of a block: control flow, scalar statements, Parallel loops; tile operations go to their own files."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from math import prod
from typing import Any

from tiledsl.analysis.elementwise import as_parallel
from tiledsl.errors import VerifyError, error, locating
from tiledsl.ir.concurrent import (
    Arrive,
    Await,
    ClusterBarrier,
    Dependency,
    Expect,
    Fence,
    NamedArrive,
    NamedSync,
    Roles,
    SetRegisters,
    Settle,
)
from tiledsl.ir.layout import ravel
from tiledsl.ir.nodes import (
    Alloc,
    Assert,
    Assume,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    AtomicUpdate,
    Barrier,
    Block,
    Break,
    Const,
    Continue,
    Evaluate,
    Expr,
    For,
    If,
    Let,
    Load,
    Move,
    Node,
    Print,
    Space,
    Stmt,
    Store,
    View,
    While,
    eq,
    static_shape,
    wrap,
)
from tiledsl.ir.ops import Effect
from tiledsl.ir.tile import REARRANGEMENTS, Atomic, Copy, Fill, Gemm, Parallel, Reduce, Scan
from tiledsl.ir.types import effect_of
from tiledsl.ir.walk import map_children, placed, walk
from tiledsl.passes.lower_tiles.access import element
from tiledsl.passes.lower_tiles.concurrent import (
    joined,
    lower_arrive,
    lower_await,
    lower_barrier,
    lower_commit,
    lower_expect,
    lower_roles,
    lower_wait,
)
from tiledsl.passes.lower_tiles.context import Context
from tiledsl.passes.lower_tiles.copy_engine import lower_bulk
from tiledsl.passes.lower_tiles.expressions import condition, expression, optional
from tiledsl.passes.lower_tiles.gemm import lower_gemm
from tiledsl.passes.lower_tiles.loops import loop_layout
from tiledsl.passes.lower_tiles.matrices import check_atom
from tiledsl.passes.lower_tiles.matrix_copy import matrix_copy
from tiledsl.passes.lower_tiles.printing import print_tile
from tiledsl.passes.lower_tiles.reduce import lower_reduce
from tiledsl.passes.lower_tiles.scan import lower_scan
from tiledsl.passes.lower_tiles.scope import Scope
from tiledsl.passes.lower_tiles.spread import filled, guarded, nest, spread, thread_digits
from tiledsl.passes.lower_tiles.views import lower_view

PRIVATE = (Space.FRAGMENT, Space.LOCAL, Space.VAR)
Rule = Callable[[Context, Any, Scope], Block]


def lower_block(ctx: Context, block: Iterable[Stmt], scope: Scope) -> Block:
    """The statements of one thread for those of a block."""
    out: list[Stmt] = []
    for s in block:
        rule = RULES.get(type(s))
        if rule is None:
            raise VerifyError(f"{type(s).__name__} cannot be lowered", s.span)
        with locating(s.span):
            out += (placed(t, s.span) for t in rule(ctx, s, scope))
    return joined(out)


# ------------------------------------------------------------------------------------------------------ control flow


def _for(ctx: Context, s: For, scope: Scope) -> Block:
    extent = condition(ctx, s.extent, scope.env)
    ctx.loop_var(s.var, extent)
    inner = _inner(ctx, scope, s.extent)
    return (replace(s, extent=extent, body=lower_block(ctx, s.body, inner)),)


def _while(ctx: Context, s: While, scope: Scope) -> Block:
    body = lower_block(ctx, s.body, _inner(ctx, scope, s.cond))
    return (replace(s, cond=expression(ctx, s.cond, scope.env), body=body),)


def _if(ctx: Context, s: If, scope: Scope) -> Block:
    inner = _inner(ctx, scope, s.cond)
    cond = condition(ctx, s.cond, scope.env)
    return (replace(s, cond=cond, then=lower_block(ctx, s.then, inner), orelse=lower_block(ctx, s.orelse, inner)),)


def _inner(ctx: Context, scope: Scope, cond: Expr) -> Scope:
    if scope.parallel or scope.divergent or not ctx.differing.depends(cond):
        return scope
    return replace(scope, divergent=True)


# ------------------------------------------------------------------------------------------------- scalar statements


def _let(ctx: Context, s: Let, scope: Scope) -> Block:
    return (replace(s, value=expression(ctx, s.value, scope.env)),)


def _alloc(ctx: Context, s: Alloc, scope: Scope) -> Block:
    if s.buffer.space is Space.BARRIER:
        return ()  # stands at the top of the launch, where it is made ready
    if s.buffer.space is Space.FRAGMENT and s.buffer not in ctx.layouts:
        return ()  # inference gives a layout to every fragment that is used
    return (replace(s, buffer=ctx.store_for(s.buffer), init=optional(ctx, s.init, scope.env)),)


def _store(ctx: Context, s: Store, scope: Scope) -> Block:
    flat, where = element(ctx, s.buffer, tuple(expression(ctx, i, scope.env) for i in s.indices))
    value = expression(ctx, s.value, scope.env)
    store = replace(s, buffer=flat, indices=where, value=value, version=optional(ctx, s.version, scope.env))
    if s.buffer.space in PRIVATE:
        return guarded(() if scope.parallel else _owner(ctx, s), (store,))
    return guarded(_once(ctx, s, scope), (store,))


def _once(ctx: Context, s: Stmt, scope: Scope) -> tuple[Expr, ...]:
    """Conditions under which one thread alone causes the effect of `s`."""
    if scope.parallel:
        return scope.first
    if scope.divergent or ctx.differing.depends(s):
        return ()
    return (eq(ctx.thread, 0),)


def _owner(ctx: Context, s: Store) -> tuple[Expr, ...]:
    """Conditions under which this thread holds the element of a fragment to which block code stores."""
    if s.buffer.space is not Space.FRAGMENT:
        return ()
    f = ctx.fragment_of(s.buffer)
    linear = wrap(ravel(s.indices, f.shape))
    moving = [(value, d) for value, d in thread_digits(ctx, f.threads) if d.stride]
    return tuple(eq(value, ctx.simplify(linear // d.stride % d.extent)) for value, d in moving)


def _atomic_update(ctx: Context, s: AtomicUpdate, scope: Scope) -> Block:
    """Outside of Parallel loops every thread updates, as `T.atomic_add` in CUDA's sense."""
    flat, where = element(ctx, s.buffer, tuple(expression(ctx, i, scope.env) for i in s.indices))
    update = replace(s, buffer=flat, indices=where, value=expression(ctx, s.value, scope.env))
    if not scope.parallel or not scope.first:
        return (update,)
    if s.result is not None:
        raise error("TD0340", buffer=s.buffer.name)
    return guarded(scope.first, (update,))


def _print(ctx: Context, s: Print, scope: Scope) -> Block:
    if s.buffer is not None and s.buffer.space is not Space.VAR:
        return print_tile(ctx, s)
    values = s.args if s.buffer is None else (*s.args, Load(s.buffer, ()))
    line = replace(s, args=tuple(expression(ctx, a, scope.env) for a in values), buffer=None)
    return guarded(_once(ctx, line, scope), (line,))


def _evaluate(ctx: Context, s: Evaluate, scope: Scope) -> Block:
    """Outside of Parallel loops every thread calls: what an extern function does with the block is its own affair."""
    call = replace(s, value=expression(ctx, s.value, scope.env))
    return guarded(scope.first if _is_visible(s) else (), (call,))


def _mapped(ctx: Context, s: Stmt, scope: Scope) -> Block:
    """A statement in which only expressions change."""
    return (map_children(s, lambda n: expression(ctx, n, scope.env) if isinstance(n, Expr) else n),)


def _atom_call(ctx: Context, s: AtomCall, scope: Scope) -> Block:
    """An instruction of the user's. Raises TileError TD0311 and TD0343 where target or layout are not made for it."""
    check_atom(ctx, s)
    return _mapped(ctx, s, scope)


def _kept(ctx: Context, s: Stmt, scope: Scope) -> Block:
    return (s,)


# ---------------------------------------------------------------------------------------------------- Parallel loops


def _elementwise(ctx: Context, s: Stmt, scope: Scope) -> Block:
    loop = as_parallel(s)
    if loop is None:
        raise VerifyError(f"{type(s).__name__} is no element-wise operation")
    return _parallel(ctx, loop, scope)


def _parallel(ctx: Context, s: Parallel, scope: Scope) -> Block:
    """Each thread runs through its registers of the loop's layout.

    Effects that other threads can see happen on one replica of each point, those on registers in all owners.
    """
    copied = _whole_fill(ctx, s) or matrix_copy(ctx, s, scope)
    if copied is not None:
        return copied
    points = spread(ctx, loop_layout(ctx, s))
    env = {**scope.env, **dict(zip(s.vars, points.coords))}
    visible = any(_is_visible(n) for inner in s.body for n in walk(inner))
    private = any(isinstance(n, Store) and n.buffer.space in PRIVATE for inner in s.body for n in walk(inner))
    guards, first = points.guards, scope.first
    if visible and private:
        first = (*first, *points.first)
    elif visible:
        guards = (*guards, *points.first)
    body = lower_block(ctx, s.body, Scope(env, parallel=True, first=first, divergent=scope.divergent))
    return nest(points.loops, [ctx.simplify(g) for g in guards], body)


def _whole_fill(ctx: Context, s: Parallel) -> Block | None:
    """One flat loop where all of a fragment is set to a constant; None for other loops."""
    match s.body:
        case (Store(buffer, indices, Const() as value, None),) if buffer.space is Space.FRAGMENT:
            whole = prod(s.extents) == prod(static_shape(buffer)) and (*s.vars,) == tuple(
                i for i in indices if i != Const(0)
            )
            return filled(ctx, ctx.store_for(buffer), ctx.fragment_of(buffer).num_regs, value) if whole else None
    return None


def _is_visible(n: Node) -> bool:
    """Whether executing `n` has an effect outside of its thread."""
    match n:
        case Store(buffer) | AtomicUpdate(_, buffer):
            return buffer.space not in PRIVATE
        case Print():
            return True
        case Evaluate(value):
            return effect_of(value) is Effect.EFFECT
    return False


def _copy(ctx: Context, s: Copy, scope: Scope) -> Block:
    return lower_bulk(ctx, s, scope) if s.bulk else _elementwise(ctx, s, scope)


def _atomic(ctx: Context, s: Atomic, scope: Scope) -> Block:
    return lower_bulk(ctx, s, scope) if s.bulk else _elementwise(ctx, s, scope)


def _roles(ctx: Context, s: Roles, scope: Scope) -> Block:
    return lower_roles(ctx, s, scope, lower_block)


def _gemm(ctx: Context, s: Gemm, scope: Scope) -> Block:
    return lower_gemm(ctx, s)


def _reduce(ctx: Context, s: Reduce, scope: Scope) -> Block:
    return lower_reduce(ctx, s)


def _scan(ctx: Context, s: Scan, scope: Scope) -> Block:
    return lower_scan(ctx, s)


def _settle(ctx: Context, s: Settle, scope: Scope) -> Block:
    return (replace(s, buffer=ctx.store_for(s.buffer)),)


def _named(ctx: Context, s: NamedSync | NamedArrive, scope: Scope) -> Block:
    return (replace(s, id=expression(ctx, s.id, scope.env)),)


def _view(ctx: Context, s: View, scope: Scope) -> Block:
    return lower_view(ctx, s)


RULES: dict[type[Stmt], Rule] = {
    For: _for,
    While: _while,
    If: _if,
    Break: _kept,
    Continue: _kept,
    Let: _let,
    Alloc: _alloc,
    View: _view,
    Store: _store,
    AtomicUpdate: _atomic_update,
    Evaluate: _evaluate,
    Print: _print,
    Assert: _mapped,
    Assume: _mapped,
    Barrier: lower_barrier,
    AsyncCommit: lower_commit,
    AsyncWait: lower_wait,
    Roles: _roles,
    Arrive: lower_arrive,
    Expect: lower_expect,
    Await: lower_await,
    NamedSync: _named,
    NamedArrive: _named,
    ClusterBarrier: _kept,
    Fence: _kept,
    Dependency: _kept,
    SetRegisters: _kept,
    Settle: _settle,
    AtomCall: _atom_call,
    Move: _mapped,
    Copy: _copy,
    Fill: _elementwise,
    Atomic: _atomic,
    **dict.fromkeys(REARRANGEMENTS, _elementwise),
    Parallel: _parallel,
    Gemm: _gemm,
    Reduce: _reduce,
    Scan: _scan,
}
