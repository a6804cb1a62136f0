"""Roles of groups of threads, gathered: what was written as several blocks becomes one program for each group.

Blocks of `T.ws` are read as each thread reads them: it executes those of its own group, one after the other. So blocks
that follow each other are one statement `Roles`, in which each group has the concatenation of its blocks, and a loop or
branch that holds nothing else goes into each of its roles. What is evaluated again in each role then (extents,
conditions, names for values) has no effect and reads only memory that nobody writes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import chain, groupby, pairwise, product

from tiledsl.analysis.access import Access, accesses
from tiledsl.ir.concurrent import Arrive, Await, ClusterBarrier, Expect, NamedArrive, Role, Roles, SetRegisters
from tiledsl.ir.nodes import (
    Alloc,
    AsyncCommit,
    AsyncWait,
    Barrier,
    Block,
    Buffer,
    Expr,
    For,
    If,
    Launch,
    Let,
    Load,
    Node,
    Pipelined,
    Serial,
    Space,
    Stmt,
    Var,
    View,
    While,
)
from tiledsl.ir.ops import Effect
from tiledsl.ir.tile import TILE_OPS
from tiledsl.ir.types import effect_of
from tiledsl.ir.walk import map_children, substitute, walk
from tiledsl.language.gathering.branches import thread_branches
from tiledsl.language.gathering.dealing import (
    can_be_dealt,
    conflicting,
    dealt,
    keeps_registers,
    meeting_barrier,
    together,
)
from tiledsl.language.gathering.private import sunk, used_by_each

_EVERYWHERE = (Space.SHARED, Space.BARRIER)  # allocated outside of roles
_SYNCHRONISING = (Arrive, Await, Expect, Barrier, ClusterBarrier, NamedArrive, AsyncCommit, AsyncWait)


def gathered(launch: Launch) -> Launch:
    """The launch with one `Roles` for all blocks of roles that follow each other, and in it what belongs to one role.

    Raises TileError TD0506 for a fragment that threads of several roles would have to share.
    """
    launch = thread_branches(launch)
    if not any(isinstance(n, Roles) for n in walk(launch)):
        return launch
    written = {a.buffer for s in launch.body for a in accesses(s) if a.writes}
    views = {n.buffer: n.source for n in walk(launch) if isinstance(n, View)}
    while aliases := {views[b] for b in written & views.keys()} - written:
        written |= aliases
    gatherer = _Gatherer(frozenset(written), launch.num_threads)
    body = gatherer.block(launch.body)
    return replace(launch, body=sunk((*gatherer.meetings, *body)))


class _Gatherer:
    """`written` is the memory that the launch writes anywhere, `meetings` what the roles need to share out work."""

    def __init__(self, written: frozenset[Buffer], threads: int) -> None:
        self.written, self.threads = written, threads
        self.meetings: tuple[Alloc, ...] = ()

    def block(self, block: Block) -> Block:
        result: list[Stmt] = []
        for s in block:
            for part in self.statement(s):
                self.add(result, part)
        return tuple(result)

    def statement(self, s: Stmt) -> Iterable[Stmt]:
        match s:
            case Roles(roles):
                return self.hoisted(s, roles)
            case For(body=body):
                inner = self.block(body)
                return self.distributed(replace(s, body=self.block(self.shared_out(inner))), s.extent, "body")
            case If(then=then, orelse=orelse):
                return self.distributed(
                    replace(s, then=self.block(then), orelse=self.block(orelse)), s.cond, "then", "orelse"
                )
            case While(body=body):
                return (replace(s, body=self.block(body)),)
        return (s,)

    def hoisted(self, s: Roles, roles: Sequence[Role]) -> Iterable[Stmt]:
        """`s` with the allocations of memory of the whole block in front of it."""
        found = [n for r in roles for n in walk(r) if isinstance(n, Alloc) and n.buffer.space in _EVERYWHERE]
        gone = set(map(id, found))

        def without(node: Node) -> Node | tuple[Node, ...]:
            if id(node) in gone:
                return ()
            return map_children(node, without) if isinstance(node, Stmt | Role) else node

        return (*found, without(s)) if found else (s,)  # type: ignore[arg-type]

    def replayable(self, e: Expr) -> bool:
        """Whether `e` has the same value in each role, wherever it is evaluated."""
        if effect_of(e) not in (Effect.PURE, Effect.READS):
            return False
        return not any(isinstance(n, Load) and n.buffer in self.written for n in walk(e))

    def is_bind(self, s: Stmt) -> bool:
        """Whether `s` only names or allocates something, so that it may as well stand before a role or inside of it."""
        match s:
            case Let(value=value):
                return self.replayable(value)
            case Alloc(init=init):
                return init is None or self.replayable(init)
        return isinstance(s, View)

    # ------------------------------------------------------------------------------------------------ distribution

    def shared_out(self, block: Block) -> Block:
        """The body of a loop with work of all threads as work of its roles, where these keep registers through it."""
        roles = _partition([r for s in block if isinstance(s, Roles) for r in s.roles])
        rest = [s for s in block if not isinstance(s, Roles) and not self.is_bind(s)]
        covered = roles is not None and sum(r.threads for r in roles) == self.threads
        if not roles or not rest or not covered or not keeps_registers(block) or not all(map(can_be_dealt, rest)):
            return block
        self.meetings = self.meetings or (meeting_barrier(self.threads),)
        result: list[Stmt] = []
        for is_rest, part in groupby(block, key=lambda s: any(s is x for x in rest)):
            if is_rest:
                result += [dealt(run, roles, self.meetings[0].buffer) for run in together(list(part))]
            else:
                result += part
        return tuple(result)

    def distributed(self, s: For | If, head: Expr, *fields: str) -> Iterable[Stmt]:
        """`for: roles` as `roles: for`, if the loop (or branch) holds nothing else."""
        blocks = {name: getattr(s, name) for name in fields}
        rests = [[x for x in block if not self.is_bind(x)] for block in blocks.values()]
        held = [x for rest in rests for x in rest]
        if not held or not all(isinstance(x, Roles) for x in held) or any(len(rest) > 1 for rest in rests):
            return (s,)
        roles = _partition([r for x in held if isinstance(x, Roles) for r in x.roles])
        if roles is None or not self.replayable(head):
            return (s,)
        outside = [
            x for block in blocks.values() for x in block if isinstance(x, Alloc) and x.buffer.space in _EVERYWHERE
        ]
        made = {name: self.divided(block, roles) for name, block in blocks.items()}
        parts: list[Role] = []
        for i, role in enumerate(roles):
            inner: For | If = replace(s, **{n: bodies[i] for n, bodies in made.items()})  # type: ignore[arg-type]
            if isinstance(inner, For):
                # The user's barriers order the roles; a pipeline would move statements across them.
                var = Var(inner.var.name, inner.var.dtype) if i else inner.var
                body = tuple(substitute(x, {inner.var: var}) for x in inner.body) if i else inner.body
                kind = Serial() if isinstance(inner.kind, Pipelined) else inner.kind
                inner = replace(inner, var=var, body=body, kind=kind)
            parts.append(replace(role, body=(inner,)))
        return (*outside, Roles(tuple(parts), span=held[0].span))

    def divided(self, block: Block, roles: Sequence[Role]) -> list[Block]:
        """What each role executes of `block`, with the binds that it needs."""
        binds = [s for s in block if self.is_bind(s) and not (isinstance(s, Alloc) and s.buffer.space in _EVERYWHERE)]
        found = next((s for s in block if isinstance(s, Roles)), None)
        inside = {(r.first, r.threads): r for r in found.roles} if found else {}
        bodies: list[Block] = []
        for role in roles:
            own = inside.get((role.first, role.threads))
            bodies.append(tuple(substitute(x, {own.thread: role.thread}) for x in own.body) if own else ())
        return used_by_each(binds, roles, bodies)

    # ------------------------------------------------------------------------------------------------------ merging

    def add(self, result: list[Stmt], s: Stmt) -> None:
        """Appends `s`; roles are merged with roles before them, and what may stand before those does not part them."""
        last = next((i for i in range(len(result) - 1, -1, -1) if isinstance(result[i], Roles)), None)
        if isinstance(s, Roles) and last is not None and all(map(self.is_bind, result[last + 1 :])):
            before = result[last]
            assert isinstance(before, Roles)
            merged = _merged(before, s)
            if merged is not None:
                result[last:] = [*result[last + 1 :], merged]
                return
        if last is not None and all(map(self.is_bind, result[last + 1 :])) and _independent(result[last], s):
            result[last:] = [*result[last + 1 :], s, result[last]]
        else:
            result.append(s)


def _partition(roles: Sequence[Role]) -> list[Role] | None:
    """One role for each group of threads, by number; None if groups overlap."""
    groups: dict[tuple[int, int], Role] = {}
    for r in roles:
        groups.setdefault((r.first, r.threads), r)
    found = [groups[key] for key in sorted(groups)]
    if any(a.first + a.threads > b.first for a, b in pairwise(found)):
        return None
    return found


def _merged(a: Roles, b: Roles) -> Roles | None:
    """`a` and then `b`, for each thread; None where that is not all that was asked.

    Roles that exchange data without a barrier of the user's rely on one between the statements.
    """
    groups = _partition([*a.roles, *b.roles])
    if groups is None:
        return None
    pairs = ((x, y) for x, y in product(a.roles, b.roles) if x.first != y.first)
    synchronised = any(isinstance(n, _SYNCHRONISING) for n in chain(walk(a), walk(b)))
    if not synchronised and any(_conflicts(x.body, y.body) for x, y in pairs):
        return None
    return Roles(tuple(_joined(g, a, b) for g in groups), span=a.span)


def _joined(group: Role, *blocks: Roles) -> Role:
    parts = [r for block in blocks for r in block.roles if r.first == group.first]
    body: list[Stmt] = []
    registers = 0
    for r in parts:
        if r.registers and body:
            body.append(SetRegisters(r.registers, r.registers > registers))
        elif r.registers:
            registers = r.registers
        body += [substitute(s, {r.thread: group.thread}) for s in r.body]
    return replace(group, body=tuple(body), registers=registers)


def _conflicts(a: Block, b: Block) -> bool:
    """Whether the order of the two matters. Of shared and global memory, by whole buffers."""
    return conflicting(*(_memory(accesses(s) for s in block) for block in (a, b)))


def _memory(found: Iterable[list[Access]]) -> list[Access]:
    return [a for part in found for a in part if a.buffer.space in (Space.SHARED, Space.GLOBAL)]


def _independent(roles: Stmt, s: Stmt) -> bool:
    """Whether the tile operation `s` may as well be executed before `roles`."""
    if not isinstance(s, TILE_OPS) or any(isinstance(n, _SYNCHRONISING) for n in walk(roles)):
        return False
    return not conflicting(accesses(roles), accesses(s))
