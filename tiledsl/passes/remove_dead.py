"""remove-dead: what no one can observe."""

from __future__ import annotations

from dataclasses import replace

from tiledsl.analysis.touches import queue_of
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    AsyncCommit,
    AsyncWait,
    AtomicUpdate,
    Block,
    Buffer,
    Const,
    Evaluate,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Load,
    Node,
    Print,
    Region,
    Space,
    Stmt,
    Store,
    Unary,
    Var,
    View,
    While,
)
from tiledsl.ir.ops import Effect
from tiledsl.ir.tile import Atomic, Copy, Gemm
from tiledsl.ir.types import effect_of
from tiledsl.ir.walk import may_leave, statements, substitute, walk
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.scoped import with_bodies

_PRIVATE = (Space.LOCAL, Space.VAR)


@kernel_pass()
def remove_dead(kernel: Kernel) -> Kernel:
    """Removes unused lets and buffers, stores to private arrays that are never read, empty loops and branches, branches
    that a constant decides, loops of one iteration, and waits for a queue into which nothing is ever issued; repeats
    until nothing is left to remove.

    Safe because only a thread itself can read its LOCAL and VAR buffers, and because nothing with an effect goes:
    expressions are dropped only if evaluating them does no more than give a value, and what synchronises stays.
    """
    return replace(kernel, launches=tuple(_without_dead(launch) for launch in kernel.launches))


def _without_dead(launch: Launch) -> Launch:
    while True:
        sweep = _Sweep(_read_buffers(launch), {_queue(s) for s in statements(launch)})
        for row in (*launch.grid, *launch.safe_values):
            sweep.mention(row)
        body = sweep.block(launch.body)
        if not sweep.changed:
            return launch
        launch = replace(launch, body=body)
        used = {s.buffer for s in statements(launch) if isinstance(s, (Alloc, View))}
        launch = replace(
            launch,
            shared=tuple(slot for slot in launch.shared if slot.buffer in used),
            layouts=tuple(a for a in launch.layouts if a.buffer in used),
            handovers=tuple(h for h in launch.handovers if used.issuperset(h.tiles)),
        )


def _read_buffers(launch: Launch) -> set[Buffer]:
    """Buffers that something other than a Store to them mentions, views of them included."""
    found: set[Buffer] = set()
    for node in walk(launch):
        if isinstance(node, (Load, Address, Region, AtomicUpdate)):
            found.add(node.buffer)
        elif isinstance(node, View):
            found.add(node.source)
        elif isinstance(node, Print) and node.buffer is not None:
            found.add(node.buffer)
    return found


class _Sweep:
    """One backward walk: a bind is kept if something kept after it mentions what it binds."""

    def __init__(self, read: set[Buffer], queues: set[str | None]) -> None:
        self.read = read
        self.queues = queues  # into which something is issued
        self.mentioned: set[Node] = set()
        self.changed = False

    def mention(self, node: Node) -> None:
        self.mentioned.update(n for n in walk(node) if isinstance(n, (Var, Buffer)))

    def block(self, block: Block) -> Block:
        kept: list[Stmt] = []
        for s in reversed(block):
            new = self.statement(s)
            self.changed |= new != (s,)
            kept += reversed(new)
        return tuple(reversed(kept))

    def statement(self, s: Stmt) -> Block:
        """What is left of `s`."""
        if self.is_dead(s):
            return ()
        match s:
            case If(Const(value), then, orelse):
                return self.block(then if value else orelse)
            case If(cond, then, orelse):
                return self.branch(s, cond, self.block(then), self.block(orelse))
            case For(var, Const(1), body) if not may_leave(body):
                return self.block(tuple(substitute(inner, {var: Const(0, var.dtype)}) for inner in body))
            case For(_, extent, body):
                new = self.block(body)
                if (isinstance(extent, Const) and extent.value == 0) or (not new and _droppable(extent)):
                    return ()
                self.mention(extent)
                return (s if new == body else replace(s, body=new),)
            case While(cond, body):
                new = self.block(body)
                self.mention(cond)
                return (s if new == body else replace(s, body=new),)
            case Roles():
                inside = with_bodies(s, self.block)
                return (inside,) if any(role.body for role in inside.roles) else ()
        self.mention(s)
        return (s,)

    def branch(self, s: If, cond: Expr, then: Block, orelse: Block) -> Block:
        if not then and not orelse and _droppable(cond):
            return ()
        self.mention(cond)
        if not then and orelse:
            return (replace(s, cond=Unary("not", cond), then=orelse, orelse=()),)
        return (s if then == s.then and orelse == s.orelse else replace(s, then=then, orelse=orelse),)

    def is_dead(self, s: Stmt) -> bool:
        match s:
            case Let(var, value):
                return var not in self.mentioned and _droppable(value)
            case Alloc(buffer, init):
                return buffer not in self.mentioned and (init is None or _droppable(init))
            case View(buffer):
                return buffer not in self.mentioned
            case Store(buffer, indices, value) if buffer.space in _PRIVATE and buffer not in self.read:
                return all(_droppable(e) for e in (*indices, value))
            case Evaluate(value):
                return _droppable(value)
            case AsyncCommit() | AsyncWait():
                return s.queue not in self.queues
        return False


def _queue(s: Stmt) -> str | None:
    """The queue that `s` issues something into, at either stage."""
    match s:
        case Copy(asynchronous=True):
            return "copy"
        case Gemm(asynchronous=True):
            return "product"
        case Copy(bulk=True, barrier=None) | Atomic(bulk=True):
            return "store"
    return queue_of(s)


def _droppable(e: Expr) -> bool:
    return effect_of(e) is not Effect.EFFECT
