"""unroll: loops that were asked to be unrolled in the IR."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.ir.concurrent import Role
from tiledsl.ir.fresh import bound_in
from tiledsl.ir.nodes import (
    Block,
    Buffer,
    Const,
    Expr,
    For,
    Kernel,
    Launch,
    Node,
    Serial,
    SharedSlot,
    Stmt,
    Unrolled,
    Var,
)
from tiledsl.ir.walk import map_children, may_leave, rewrite, walk
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import explicit_unrolls_done, thread_stage


@kernel_pass(requires=[thread_stage], ensures=[explicit_unrolls_done])
def unroll(kernel: Kernel) -> Kernel:
    """Copies the bodies of loops marked `Unrolled(explicit=True)`, wholly or `factor` at a time.

    Safe because the copies run in the order of the iterations and each binds its own variables and buffers; the copies
    of a shared buffer keep its place, since as iterations they were alive one after the other. A loop whose extent is
    not a constant, or that is left or continued from inside, stays a loop; the C++ compiler may still unroll it.
    """
    return replace(kernel, launches=tuple(_unroll_launch(launch) for launch in kernel.launches))


def _unroll_launch(launch: Launch) -> Launch:
    copies: dict[Buffer, list[Buffer]] = {}

    def statement(node: Node) -> Node | tuple[Node, ...]:
        if not isinstance(node, (Stmt, Role)):
            return node
        node = map_children(node, statement)
        if isinstance(node, For) and isinstance(node.kind, Unrolled) and node.kind.explicit:
            return _unrolled(node, node.kind.factor, copies)
        return node

    result = map_children(launch, statement)
    slots = list(launch.shared)
    for slot in slots:  # grows: a copy may have been copied again
        slots += [SharedSlot(copy, slot.offset) for copy in copies.get(slot.buffer, ())]
    alive = {n for s in result.body for n in walk(s) if isinstance(n, Buffer)}
    kept = tuple(slot for slot in slots if slot.buffer in alive)
    return result if kept == launch.shared else replace(result, shared=kept)


def _unrolled(loop: For, factor: int, copies: dict[Buffer, list[Buffer]]) -> Block:
    match loop.extent:
        case Const(int(extent)) if not may_leave(loop.body):
            pass
        case _:
            return (replace(loop, kind=Unrolled(factor)),)
    if factor == 0 or factor >= extent:
        return tuple(s for i in range(extent) for s in _copied(loop.body, loop.var, Const(i), copies))
    outer = Var(loop.var.name)
    body = [s for i in range(factor) for s in _copied(loop.body, loop.var, outer * factor + i, copies)]
    whole = extent // factor * factor
    rest = [s for i in range(whole, extent) for s in _copied(loop.body, loop.var, Const(i), copies)]
    return (For(outer, Const(extent // factor), tuple(body), Serial(), span=loop.span), *rest)


def _copied(block: Block, var: Var, value: Expr, copies: dict[Buffer, list[Buffer]]) -> Block:
    """`block` for one value of the loop's variable, all that it binds bound anew."""
    fresh: dict[Node, Node] = {var: value}
    for node in bound_in(block):
        fresh[node] = copy = Var(node.name, node.dtype) if isinstance(node, Var) else replace(node)
        if isinstance(node, Buffer) and isinstance(copy, Buffer):
            copies.setdefault(node, []).append(copy)

    def rule(node: Node) -> Node:
        return fresh.get(node, node) if isinstance(node, (Var, Buffer)) else node

    return tuple(rewrite(s, rule) for s in block)
