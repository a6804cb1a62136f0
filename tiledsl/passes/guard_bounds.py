"""guard-bounds: no access leaves its global buffer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from tiledsl.analysis.ranges import Facts, in_bounds, launch_facts
from tiledsl.ir.dtypes import BOOL, DType
from tiledsl.ir.nodes import (
    Alloc,
    AtomicUpdate,
    Block,
    Buffer,
    Const,
    Expr,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Node,
    Select,
    Space,
    Stmt,
    Store,
    Var,
    all_of,
)
from tiledsl.ir.walk import map_children, walk
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import thread_stage
from tiledsl.passes.scoped import rewrite_scoped, with_expressions
from tiledsl.verifiers.bounds import verify_bounds


@kernel_pass(requires=[thread_stage], verify=verify_bounds)
def guard_bounds(kernel: Kernel) -> Kernel:
    """Puts every access to global memory that is not proven to lie inside under the condition that it does.

    A load outside yields the buffer's safe value, or 0, without being executed; a store or atomic outside is not
    executed. Conditions that follow from the ranges of variables, or from a condition around the access, are left out.
    Safe because in bounds nothing changes, and what an access outside yields is the language's definition. Shared
    memory and registers are in bounds by construction.
    """
    return replace(kernel, launches=tuple(_guarded(kernel, launch) for launch in kernel.launches))


def _guarded(kernel: Kernel, launch: Launch) -> Launch:
    guard = _Guard({v.buffer: v.value for v in launch.safe_values})
    body = rewrite_scoped(launch.body, launch_facts(kernel, launch), guard.expr, guard.leaf)
    return launch if body is launch.body else replace(launch, body=body)


def zero(dtype: DType) -> Const:
    if dtype is BOOL:
        return Const(False, dtype)
    return Const(0.0 if dtype.is_float else 0, dtype)


@dataclass(frozen=True)
class _Guard:
    safe_values: Mapping[Buffer, Expr]

    def expr(self, e: Expr, facts: Facts) -> Expr:
        """`e` with its loads guarded, those in the conditions too. Stores come to `leaf`, which guards their access."""
        if isinstance(e, (Const, Var)) or not any(_is_global_load(n) for n in walk(e)):
            return e
        match e:
            case Load(buffer, indices):
                inner = map_children(e, lambda n: self._below(n, facts))
                needed = in_bounds(facts, buffer, indices) if buffer.space is Space.GLOBAL else []
                if not needed:
                    return inner
                return Select(self.expr(all_of(needed), facts), inner, self.safe_values.get(buffer, zero(buffer.dtype)))
            case Select(cond, a, b):
                known, excluded = facts.under(cond), facts.under_not(cond)
                return Select(self.expr(cond, facts), self.expr(a, known), self.expr(b, excluded))
        return map_children(e, lambda n: self._below(n, facts))

    def _below(self, n: Node, facts: Facts) -> Node:
        return self.expr(n, facts) if isinstance(n, Expr) else n

    def leaf(self, s: Stmt, facts: Facts) -> Block:
        """`s`, which holds no other statement, with its own access to global memory and the loads in it guarded."""
        needed: list[Expr] = []
        if isinstance(s, (Store, AtomicUpdate)) and s.buffer.space is Space.GLOBAL:
            needed = in_bounds(facts, s.buffer, s.indices)
        if not needed:
            return (with_expressions(s, facts, self.expr),)
        cond = all_of(needed)
        inner = with_expressions(s, facts.under(cond), self.expr)
        if isinstance(inner, AtomicUpdate) and inner.result is not None:
            return self._returning(inner, inner.result, self.expr(cond, facts))
        return (If(self.expr(cond, facts), (inner,), span=s.span),)

    def _returning(self, s: AtomicUpdate, result: Var, cond: Expr) -> Block:
        """An atomic whose old value is used: it is the safe value where nothing was executed."""
        safe = self.safe_values.get(s.buffer, zero(s.buffer.dtype))
        held = Buffer(result.name, (), result.dtype, Space.VAR)
        old = Var(result.name, result.dtype)
        inside = (replace(s, result=old), Store(held, (), old, span=s.span))
        return Alloc(held, safe, span=s.span), If(cond, inside, span=s.span), Let(result, Load(held, ()), span=s.span)


def _is_global_load(n: Node) -> bool:
    return isinstance(n, Load) and n.buffer.space is Space.GLOBAL
