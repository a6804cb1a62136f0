"""vectorise: loops over lanes become vector accesses with arithmetic in between."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.analysis.lanes import mentions, run_of
from tiledsl.analysis.ranges import Facts, launch_facts
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.dtypes import BOOL, INDEX
from tiledsl.ir.nodes import (
    Block,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Node,
    Stmt,
    Store,
    Unrolled,
    Var,
    Vectorized,
    While,
)
from tiledsl.ir.ops import Effect
from tiledsl.ir.types import effect_of
from tiledsl.ir.walk import children, substitute, walk
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import no_asynchronous_stores, thread_stage, vector_loops_lowered
from tiledsl.passes.scoped import with_bodies
from tiledsl.passes.vectorise.arrivals import awaited_stores
from tiledsl.passes.vectorise.statements import MEMORY, Lanes, LanesDiffer, asynchronous_copy
from tiledsl.target import Target
from tiledsl.verifiers.vectors import verify_vectors


@kernel_pass(requires=[thread_stage], ensures=[vector_loops_lowered, no_asynchronous_stores], verify=verify_vectors)
def vectorise(kernel: Kernel, *, target: Target) -> Kernel:
    """Replaces loops marked `Vectorized` by moves of up to 16 bytes, and asynchronous stores by cp.async.

    The lanes of such a loop are independent, so its statements may run one after the other, each for all lanes: loads
    of neighbours into registers, the arithmetic lane by lane, one store of neighbours. An access is as wide as its
    alignment is proven; one whose lanes are not neighbours stays an access per lane. A condition must be the same for
    all lanes that an access covers: the vector is halved until it is. What is not understood is done lane by lane.
    A store that asked for cp.async becomes one where 4, 8 or 16 aligned bytes go from global to shared memory unchanged
    (with a condition as its predicate, if what stands for the rest is 0), else a synchronous store. An arrival that
    hands over tiles when cp.async is complete says nothing of such stores: then threads wait, and arrive themselves.
    """
    return replace(kernel, launches=tuple(_launch(kernel, launch, target) for launch in kernel.launches))


def _launch(kernel: Kernel, launch: Launch, target: Target) -> Launch:
    has_cp_async = "cp_async" in target.features
    return replace(launch, body=_block(launch.body, launch_facts(kernel, launch), has_cp_async))


def _block(block: Block, facts: Facts, has_cp_async: bool) -> Block:
    result: list[Stmt] = []
    for s in block:
        match s:
            case For(kind=Vectorized()):
                result += _vector_loop(s, facts, has_cp_async)
            case For(body=body):
                result.append(replace(s, body=_block(body, facts, has_cp_async)))
            case While(_, body):
                result.append(replace(s, body=_block(body, facts, has_cp_async)))
            case If(cond, then, orelse):
                new_then = _block(then, facts.under(cond), has_cp_async)
                new_else = _block(orelse, facts.under_not(cond), has_cp_async) if orelse else ()
                result.append(replace(s, then=new_then, orelse=new_else))
            case Store(asynchronous=True):
                result += _single(s, facts, has_cp_async)
            case Roles():
                result.append(with_bodies(s, lambda body: awaited_stores(_block(body, facts, has_cp_async))))
            case _:
                result.append(s)
    return tuple(result)


def _single(s: Store, facts: Facts, has_cp_async: bool) -> Block:
    """An asynchronous store of one element."""
    copy = asynchronous_copy(s, Var("lane"), 1, facts) if has_cp_async else None
    return copy if copy is not None else (replace(s, asynchronous=False),)


def _vector_loop(loop: For, facts: Facts, has_cp_async: bool) -> Block:
    assert isinstance(loop.extent, Const)
    extent = int(loop.extent.value)
    if not has_cp_async:
        loop = replace(loop, body=_synchronous(loop.body))
    if not any(_touches_memory(s) for s in loop.body):
        return (replace(loop, kind=Unrolled()),)
    if _is_plain(loop.body, {loop.var}) and _lanes_keep_apart(loop, facts):
        lanes = extent & -extent
        while lanes > 1:
            try:
                return _split(loop, extent, lanes, facts)
            except LanesDiffer:
                lanes //= 2
    body = _block(loop.body, facts, has_cp_async)
    return (replace(loop, body=body, kind=Unrolled()),)


def _split(loop: For, extent: int, lanes: int, facts: Facts) -> Block:
    """The loop in groups of `lanes` lanes. Raises LanesDiffer if a condition differs within a group."""
    if lanes == extent:
        return Lanes(loop.var, lanes, facts).block(loop.body)
    group, lane = Var(loop.var.name), Var("lane")
    known = replace(facts, ranges={**facts.ranges, group: (0, extent // lanes - 1), lane: (0, lanes - 1)})
    values: dict[Var, Expr] = {loop.var: group * lanes + lane}
    body = Lanes(lane, lanes, known).block(tuple(substitute(s, values) for s in loop.body))
    return (For(group, Const(extent // lanes), body, Unrolled(), span=loop.span),)


def _touches_memory(s: Stmt) -> bool:
    return any(isinstance(n, (Load, Store)) and n.buffer.space in MEMORY for n in walk(s))


def _is_plain(block: Block, varying: set[Var]) -> bool:
    """Whether the body is stores, lets and branches that can run statement by statement.

    An index that differs between lanes must not be bound: nothing would be known of the accesses that use it.
    """
    for s in block:
        match s:
            case Let(var, value):
                if mentions(value, varying):
                    if var.dtype is INDEX or var.dtype is BOOL:
                        return False
                    varying = varying | {var}
            case Store():
                pass
            case If(_, then, orelse):
                if not _is_plain(then, varying) or not _is_plain(orelse, varying):
                    return False
            case _:
                return False
    return not any(_has_effect(n) for s in block for n in children(s))


def _lanes_keep_apart(loop: For, facts: Facts) -> bool:
    """Whether each lane stores to registers of its own; only then may one statement run for all lanes before the next.

    A body of a single store may do as it likes: its lanes run in order.
    """
    stores = [n for s in loop.body for n in walk(s) if isinstance(n, Store)]
    private = [s for s in stores if s.buffer.space not in MEMORY]
    return len(stores) == 1 or all(run_of(s, loop.var, 2, facts.simplifier) is not None for s in private)


def _has_effect(e: Node) -> bool:
    return isinstance(e, Expr) and effect_of(e) in (Effect.EFFECT, Effect.COLLECTIVE)


def _synchronous(block: Block) -> Block:
    def plain(s: Stmt) -> Stmt:
        match s:
            case Store(asynchronous=True):
                return replace(s, asynchronous=False)
            case If(_, then, orelse):
                return replace(s, then=_synchronous(then), orelse=_synchronous(orelse))
            case For(body=body) | While(body=body):
                return replace(s, body=_synchronous(body))
        return s

    return tuple(plain(s) for s in block)
