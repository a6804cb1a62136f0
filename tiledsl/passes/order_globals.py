"""order-globals: barriers where tile statements exchange data through a global tensor.

Works on statements as a whole: two of a block conflict if the boxes that they touch may overlap, one of them writes,
and they are not surely dealt to the threads alike. Shared memory, where bytes count, is left to `insert_barriers`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from tiledsl.analysis.access import Access, AccessKind, accesses, conflict, rooted, storage_roots
from tiledsl.analysis.boxes import Later, may_overlap
from tiledsl.analysis.uniform import Uniform, uniform_values
from tiledsl.ir.concurrent import ClusterBarrier, Role, Roles
from tiledsl.ir.nodes import (
    Address,
    AsyncWait,
    AtomicUpdate,
    Barrier,
    Block,
    Break,
    Buffer,
    Const,
    Continue,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Load,
    Region,
    Space,
    Stmt,
    Store,
    Var,
    While,
)
from tiledsl.ir.tile import TILE_OPS, Atomic, Copy, Parallel
from tiledsl.ir.walk import substitute, walk
from tiledsl.passes.base import kernel_pass, with_launches
from tiledsl.passes.facts import layouts_assigned
from tiledsl.passes.scoped import role_barrier


@kernel_pass(requires=(layouts_assigned,))
def order_globals(kernel: Kernel) -> Kernel:
    """Adds the barriers that tile statements need which exchange data through a global tensor.

    A tile statement that touches what an earlier one wrote, or writes what an earlier one touched, must wait for the
    threads that did. No barrier is needed where each thread meets only its own elements. Code written thread by thread
    is left to its author, and so is what happens under conditions that differ between the threads of a block. Within a
    role it is the role's threads that wait for each other; what roles exchange is handed over at barriers in memory.
    """
    return with_launches(kernel, (_ordered(kernel, launch) for launch in kernel.launches))


def _ordered(kernel: Kernel, launch: Launch) -> Launch:
    exchanged = _exchanged(launch)
    if not exchanged:
        return launch
    placer = _Placer(kernel, launch, exchanged, storage_roots(launch.body))
    body = placer.block(launch.body)
    return replace(launch, body=body) if placer.placed else launch


def _exchanged(launch: Launch) -> set[Buffer]:
    """Global buffers that several places of the launch touch, or one place in a loop."""
    once: set[Buffer] = set()
    several: set[Buffer] = set()

    def visit(node: object, in_loop: bool) -> None:
        for n in walk(node):  # type: ignore[arg-type]
            if isinstance(n, Region | Load | Store | AtomicUpdate) and n.buffer.space is Space.GLOBAL:
                (several if in_loop or n.buffer in once else once).add(n.buffer)

    for s in launch.body:
        visit(s, any(isinstance(n, For | While) for n in walk(s)))
    return several & {a.buffer for s in launch.body for a in accesses(s) if a.writes}


@dataclass(frozen=True, slots=True)
class _Item:
    """A statement with what it touches of the exchanged buffers, blocks below it included.

    `stored`: the buffers, if a thread waits there until what it had the copy engine store is in them. That thread knows
    then that this is so, the others after the next barrier.
    """

    stmt: Stmt
    touched: tuple[Access, ...]
    stored: tuple[Access, ...]
    tile: bool  # a tile statement, or one below it
    barrier: bool = False  # one of all threads that execute the code here

    @property
    def by_one(self) -> bool:
        """Whether one thread does it, the one that waits for what it had the copy engine store."""
        return isinstance(self.stmt, Copy | Atomic) and self.stmt.bulk


@dataclass(slots=True)
class _Placer:
    kernel: Kernel
    launch: Launch
    exchanged: set[Buffer]
    roots: Mapping[Buffer, Buffer]
    placed: bool = False
    known: Uniform | None = field(default=None)
    whole: Barrier = field(default_factory=Barrier)  # the barrier of all threads that execute the code here

    def uniform(self, e: Expr) -> bool:
        if self.known is None:
            self.known = uniform_values(self.kernel, self.launch)
        return self.known(e)

    def item(self, s: Stmt) -> _Item:
        found = (a for a in rooted(accesses(s), self.roots) if a.buffer in self.exchanged)
        waits = any(isinstance(n, AsyncWait) and n.queue == "store" and not n.sources for n in walk(s))
        stored = tuple(Access(b, None, AccessKind.WRITE) for b in self.exchanged if waits)
        barrier = isinstance(s, Barrier) and s.count == self.whole.count
        barrier |= s == ClusterBarrier() and not self.whole.count
        return _Item(s, tuple(found), stored, any(isinstance(n, TILE_OPS) for n in walk(s)), barrier)

    def block(self, block: Block, loop: For | While | None = None) -> Block:
        """`block`, the body of `loop` if given, with its barriers."""
        items = [self.item(s) for s in block]
        before = _straight(items)
        if loop is not None:
            before |= _carried(items, before, loop)
        self.placed |= bool(before)
        out: list[Stmt] = []
        for i, item in enumerate(items):
            if i in before:
                out.append(replace(self.whole, span=item.stmt.span))
            out.append(self.below(item))
        return tuple(out) if len(out) > len(block) or any(a is not b for a, b in zip(out, block)) else block

    def below(self, item: _Item) -> Stmt:
        """The statement with the barriers of its own blocks, where all threads get there together."""
        s = item.stmt
        if not item.tile or not any(a.writes for a in (*item.touched, *item.stored)):
            return s
        match s:
            case If(cond, then, orelse) if self.uniform(cond):
                return replace(s, then=self.block(then), orelse=self.block(orelse))
            case For(extent=extent, body=body) if self.uniform(extent) and not self.parted(body):
                return replace(s, body=self.block(body, s))
            case While(cond, body) if self.uniform(cond) and not self.parted(body):
                return replace(s, body=self.block(body, s))
            case Roles(roles):
                return replace(s, roles=tuple(self.role(n, role) for n, role in enumerate(roles)))
        return s

    def role(self, number: int, role: Role) -> Role:
        inside = replace(self, whole=role_barrier(number, role))
        body = inside.block(role.body)
        self.placed |= inside.placed
        return role if body is role.body else replace(role, body=body)

    def parted(self, body: Block) -> bool:
        """Whether some threads may leave an iteration before others."""
        ifs = [n for s in body for n in walk(s) if isinstance(n, If)]
        return any(not self.uniform(s.cond) and any(isinstance(n, Break | Continue) for n in walk(s)) for s in ifs)


def _straight(items: Sequence[_Item]) -> set[int]:
    """Positions of barriers between items that are executed one after the other: each as late as possible."""
    before: set[int] = set()
    pending: list[_Item] = []
    for i, item in enumerate(items):
        if item.barrier:
            pending = []
            continue
        if any(_meet(p, item) for p in pending):
            before.add(i)
            pending = []
        if item.touched or item.stored:
            pending.append(item)
    return before


def _carried(items: Sequence[_Item], before: set[int], loop: For | While) -> set[int]:
    """Positions of further barriers, against conflicts of an iteration with later ones."""
    added: set[int] = set()
    if isinstance(loop, For) and isinstance(loop.extent, Const) and loop.extent.value <= 1:
        return added
    later = Later.of(loop)
    for j, second in enumerate(items):
        moved = replace(second, touched=tuple(replace(a, region=later(a.region)) for a in second.touched))
        for i, first in enumerate(items):
            cuts = before | added | {n for n, item in enumerate(items) if item.barrier}
            if not any(c > i or c <= j for c in cuts) and _meet(first, moved, later):
                added.add(j)
    return added


def _meet(first: _Item, second: _Item, later: Later | None = None) -> bool:
    """Whether `second`, of a later iteration if given, must wait for `first` in other threads."""
    if not (first.tile or second.tile):
        return False
    buffers = {
        b.buffer
        for a in (*first.touched, *(() if second.by_one else first.stored))
        for b in second.touched
        if a.buffer is b.buffer
        and conflict(a.kind, b.kind)
        and may_overlap(a.region, b.region, later.ranges if later else {})
    }
    changing = set(later.values) if later else set()
    return any(not _own_elements(b, first, second, changing) for b in buffers)


def _own_elements(buffer: Buffer, first: _Item, second: _Item, changing: set[Var]) -> bool:
    """Whether both are loops dealt to the threads alike, of which each point touches one element, the same in both.

    `changing` variables have another value in `second`.
    """
    a, b = first.stmt, second.stmt
    if not isinstance(a, Parallel) or not isinstance(b, Parallel) or a.layout is None:
        return False
    if a.extents != b.extents or a.layout != b.layout or a.layout.replication > 1:
        return False
    regions = [x.region for x in (*first.touched, *second.touched) if x.buffer is buffer]
    places = _places(a, a.vars, buffer) | _places(b, a.vars, buffer)
    if len(places) != 1 or any(r is None for r in regions):
        return False
    nodes = [n for e in next(iter(places)) for n in walk(e)]
    if any(isinstance(n, Load) or (n in changing and n not in a.vars) for n in nodes if isinstance(n, Load | Var)):
        return False
    return all(
        x.exact and x.region is not None and prod(x.region.extents) == prod(a.extents)
        for x in first.touched
        if x.buffer is buffer
    )


def _places(s: Parallel, names: Sequence[Var], buffer: Buffer) -> set[tuple[Expr, ...]]:
    """The indices at which `s` touches `buffer`, with `names` for its variables."""
    renamed = dict(zip(s.vars, names))
    return {
        tuple(substitute(e, renamed) for e in n.indices)
        for n in walk(s)
        if isinstance(n, Load | Store | AtomicUpdate | Address) and n.buffer is buffer
    }
