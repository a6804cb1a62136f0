"""A schedule of roles that the user wrote (T.WSSchedule with scopes): each role gets its operations, in its order.

What comes out is what a user of T.ws would write by hand: blocks of roles in the loops of the kernel, and for each
pipeline `depth` versions of its tiles with a barrier for each that says "full" and one that says "empty". The rest of
this room makes programs of roles of it. Whatever the schedule could get wrong is an error here, TD0412.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod

from tiledsl.analysis.access import Access, accesses
from tiledsl.analysis.boxes import covers
from tiledsl.analysis.copy_engine import why_not_bulk
from tiledsl.errors import TileError
from tiledsl.ir.concurrent import Arrive, Await, Expect, Role, Roles
from tiledsl.ir.dtypes import UINT64
from tiledsl.ir.layout import Layout
from tiledsl.ir.nodes import (
    TRUE,
    Address,
    Alloc,
    Assigned,
    Block,
    Buffer,
    Const,
    Expr,
    For,
    Launch,
    Let,
    Load,
    Node,
    Region,
    Stmt,
    Store,
    Var,
    View,
    static_shape,
)
from tiledsl.ir.simplify import simplify
from tiledsl.ir.swizzle import expand
from tiledsl.ir.tile import Copy
from tiledsl.ir.walk import map_children
from tiledsl.language.gathering.dealing import conflicting
from tiledsl.language.gathering.handovers import Ring, check_turns, refused, rings_of
from tiledsl.language.schedules import ROOT, WSSchedule, WSSync

Ops = Mapping[str, tuple[Stmt, ...]]


def scheduled(launch: Launch, schedule: object, ops: Ops) -> Launch:
    """The launch as a program of the schedule's roles. Raises TileError TD0412 for a schedule that is not legal."""
    assert isinstance(schedule, WSSchedule)
    return _Scheduler(launch, schedule, ops).made()


@dataclass(frozen=True)
class _Loop:
    """The loops around a scope, outermost first."""

    vars: tuple[Var, ...] = ()
    extents: tuple[Expr, ...] = ()

    @property
    def turn(self) -> Expr:
        """How often the scope has been entered before."""
        found: Expr = Const(0)
        for var, extent in zip(self.vars, self.extents):
            found = found * extent + var
        return simplify(found, {})


class _Scheduler:
    def __init__(self, launch: Launch, schedule: WSSchedule, ops: Ops) -> None:
        self.launch, self.schedule, self.ops = launch, schedule, ops
        self.roles = {r.name: r for r in schedule.roles}
        self.rings = rings_of(schedule)
        self.owner = {b: ring for ring in self.rings.values() for b in ring.of.tiles}
        self.scopes = {s.id: s.bodies for s in schedule.scopes}
        self.named = {id(s): name for name, group in ops.items() for s in group if not _is_bind(s)}
        self.begun: set[str] = set()
        self.placed: dict[str, str] = {}  # operation -> role
        self.home: dict[str, str] = {}  # operation -> scope
        self.around: dict[str, tuple[str, ...]] = {}  # scope -> the scopes around it, itself last

    def made(self) -> Launch:
        body = self.scope(ROOT, self.launch.body, _Loop(), {}, ())
        left = [name for name in self.ops if name not in self.placed and name not in self.scopes]
        if left:
            raise self.refused(f"no role has the operation '{left[0]}'")
        missing = [name for name in self.scopes if name not in self.around]
        if missing:
            raise self.refused(f"the scope '{missing[0]}' is in no scope of the kernel that a role has")
        self._check_exchange()
        for ring in self.rings.values():
            self._check_versions(ring)
        check_turns(self.schedule, self.rings)
        pairs = [(ring, b) for ring in self.rings.values() for b in (ring.full, ring.empty)]
        barriers = [Alloc(b, Const(self._arrivals(ring, b), UINT64)) for ring, b in pairs]
        layouts = tuple(self._layout(a) for a in self.launch.layouts)
        return replace(self.launch, body=(*barriers, *body), layouts=layouts)

    def refused(self, why: str) -> TileError:
        return refused(self.schedule, why)

    def _arrivals(self, ring: Ring, barrier: Buffer) -> int:
        names = [ring.producer] if barrier is ring.full else ring.consumers
        return sum(self.roles[n].threads for n in names)

    def _layout(self, a: Assigned) -> Assigned:
        ring = self.owner.get(a.buffer)
        if ring is None or not isinstance(a.layout, Layout):
            return a
        return replace(a, buffer=ring.wide[a.buffer], layout=expand(a.layout, (ring.of.depth,)))

    # ------------------------------------------------------------------------------------------------------ building

    def scope(
        self, name: str, block: Block, loop: _Loop, spans: Mapping[str, Mapping[str, Expr]], around: tuple[str, ...]
    ) -> Block:
        """The block of a scope: what it binds, then in turn what roles do and the scopes inside. `spans` are for each
        role the pipelines that are open around it, with their slots."""
        bodies = self.scopes[name]
        self.around[name] = (*around, name)
        own = self._operations(name, block)
        children = {op: group for op, group in own.items() if op in self.scopes}
        orders = {role: [e for e in body if e in children] for role, body in bodies.items()}
        order = self._one_order(name, orders)
        parts: list[list[Stmt]] = [[] for _ in range(len(order) + 1)]
        inner: dict[str, dict[str, Mapping[str, Expr]]] = {child: {} for child in order}
        for role, body in bodies.items():
            self._role(name, role, body, own, order, loop, dict(spans.get(role, {})), parts, inner)
        out = [self._renamed(s) for s in block if _is_bind(s)]
        for a in _touched([s for s in block if isinstance(s, Let)]):
            if a.buffer in self.owner:
                raise self.refused(f"'{a.buffer.name}' is read by a name in the scope '{name}', which no role computes")
        for i, part in enumerate(parts):
            out += part
            if i < len(order):
                out.append(self._child(order[i], name, children[order[i]], loop, inner[order[i]]))
        return tuple(out)

    def _operations(self, name: str, block: Block) -> dict[str, list[Stmt]]:
        found: dict[str, list[Stmt]] = {}
        for s in block:
            if not _is_bind(s):
                if id(s) not in self.named:
                    raise self.refused(f"line {s.span.line}, in the scope '{name}', is in no T.ws_op")
                found.setdefault(self.named[id(s)], []).append(s)
        return found

    def _one_order(self, name: str, orders: Mapping[str, Sequence[str]]) -> list[str]:
        """The scopes inside of one, in the order that all roles have them in."""
        longest = max(orders.values(), key=len, default=[])
        for role, order in orders.items():
            if [c for c in longest if c in order] != list(order) or len(set(order)) < len(order):
                raise self.refused(
                    f"role '{role}' has the scopes in '{name}' in another order than other roles, or twice"
                )
        return list(longest)

    def _role(
        self, name: str, role: str, body: Sequence[str | WSSync], own: Mapping[str, list[Stmt]], order: Sequence[str],
        loop: _Loop, spans: dict[str, Expr], parts: list[list[Stmt]], inner: dict[str, dict[str, Mapping[str, Expr]]],
    ) -> None:  # fmt: skip
        """Adds what a role does in a scope to the parts between the scopes inside."""
        at, done, made = 0, [], []
        for entry in body:
            if isinstance(entry, WSSync):
                made += self._sync(entry, loop, spans)
            elif entry in order:
                self._put(role, made, parts[at])
                at, made = order.index(entry) + 1, []
                inner[entry][role] = dict(spans)
                done.append(entry)
            else:
                if entry not in own:
                    raise self.refused(f"'{entry}' of role '{role}' is no operation of the scope '{name}'")
                if entry in self.placed:
                    raise self.refused(f"the operation '{entry}' has a place in '{self.placed[entry]}' and in '{role}'")
                self.placed[entry], self.home[entry] = role, name
                made += [self._versioned(s, role, entry, spans) for s in own[entry]]
                made = _announced(made)
                done.append(entry)
        self._put(role, made, parts[at])
        program = [op for op in own if op in done]
        for i, a in enumerate(program):
            for b in program[i + 1 :]:
                if done.index(a) > done.index(b) and conflicting(_touched(own[a]), _touched(own[b])):
                    raise self.refused(f"role '{role}' does '{b}' before '{a}', which comes first and has to")

    def _put(self, role: str, body: list[Stmt], part: list[Stmt]) -> None:
        if body:
            r = self.roles[role]
            registers = 0 if role in self.begun else r.max_nreg
            self.begun.add(role)
            made = Role(role, r.first, r.threads, Var(f"t_{role}"), tuple(body), registers)
            part.append(Roles((made,), span=body[0].span))

    def _child(
        self, name: str, parent: str, group: list[Stmt], loop: _Loop, spans: Mapping[str, Mapping[str, Expr]]
    ) -> Stmt:
        (s,) = group if len(group) == 1 else (None,)
        if not isinstance(s, For):
            raise self.refused(f"the scope '{name}' is no 'for' loop over numbers")
        inside = _Loop((*loop.vars, s.var), (*loop.extents, s.extent))
        return replace(s, body=self.scope(name, s.body, inside, spans, self.around[parent]))

    def _sync(self, sync: WSSync, loop: _Loop, spans: dict[str, Expr]) -> list[Stmt]:
        ring = self.rings[sync.pipeline]
        depth = Const(ring.of.depth)
        turn = loop.turn
        slot, phase = simplify(turn % depth, {}), turn // depth
        span = self.schedule.span
        match sync.kind:
            case "producer_acquire":
                spans[sync.pipeline] = slot
                return [Await(Address(ring.empty, (slot,)), simplify((phase + 1) % 2, {}), span=span)]
            case "consumer_wait":
                spans[sync.pipeline] = slot
                return [Await(Address(ring.full, (slot,)), simplify(phase % 2, {}), span=span)]
        del spans[sync.pipeline]
        return [Arrive(Address(ring.full if sync.kind == "producer_commit" else ring.empty, (slot,)), span=span)]

    def _versioned(self, s: Stmt, role: str, op: str, spans: Mapping[str, Expr]) -> Stmt:
        """An operation on the versions that are open for the role."""
        for a in _touched([s]):
            ring = self.owner.get(a.buffer)
            if ring is None:
                continue
            if ring.of.name not in spans:
                raise self.refused(f"'{op}' touches '{a.buffer.name}', but pipeline '{ring.of.name}' is not open there")
            if a.writes != (role == ring.producer) or a.reads == a.writes:
                does = "writes" if a.writes else "reads"
                raise self.refused(f"'{op}' of role '{role}' {does} '{a.buffer.name}', which the other side does")
        if isinstance(s, Copy) and s.dst.buffer in self.owner and not why_not_bulk(s, {}, self.launch.layouts):
            ring = self.owner[s.dst.buffer]
            barrier = Address(ring.full, (spans[ring.of.name],))
            s = replace(s, bulk=True, barrier=barrier)
        return self._renamed(s, spans)

    def _renamed(self, s: Stmt, spans: Mapping[str, Expr] = {}) -> Stmt:
        """`s` with each protected tile in its version."""

        def visit(node: Node) -> Node:
            node = map_children(node, visit)
            if isinstance(node, View) and node.source in self.owner:
                raise self.refused(f"'{node.source.name}' is seen through a view, which has no versions")
            if isinstance(node, Alloc) and node.buffer in self.owner:
                return replace(node, buffer=self.owner[node.buffer].wide[node.buffer])
            buffer = getattr(node, "buffer", None)
            ring = self.owner.get(buffer) if isinstance(buffer, Buffer) else None
            if ring is None or ring.of.name not in spans:
                return node
            slot, wide = spans[ring.of.name], ring.wide[buffer]  # type: ignore[index]
            match node:
                case Region(_, offsets, extents):
                    return replace(node, buffer=wide, offsets=(slot, *offsets), extents=(1, *extents))
                case Load(_, indices) | Store(_, indices) | Address(_, indices):
                    return replace(node, buffer=wide, indices=(slot, *indices))
            return node

        return visit(s)  # type: ignore[return-value]

    # ------------------------------------------------------------------------------------------------------ checking

    def _check_exchange(self) -> None:
        """Roles exchange data through pipelines only."""
        leaves = [(op, role, _touched(self.ops[op])) for op, role in self.placed.items()]
        for i, (a, first, left) in enumerate(leaves):
            for b, second, right in leaves[i + 1 :]:
                free = [[x for x in side if x.buffer not in self.owner] for side in (left, right)]
                if first != second and conflicting(*free):
                    why = f"'{a}' of '{first}' and '{b}' of '{second}' use the same memory without a pipeline"
                    raise self.refused(why)

    def _check_versions(self, ring: Ring) -> None:
        """In each turn readers find what the writers of the same turn wrote, as in the text, and all of it."""
        using = [op for op in self.ops if op in self.placed and {a.buffer for a in self._uses(op)} & ring.wide.keys()]
        writers = [op for op in using if self.placed[op] == ring.producer]
        order = list(self.ops)
        for reader in (op for op in using if op not in writers):
            for writer in writers:
                shared = set(self.around[self.home[reader]]) & set(self.around[self.home[writer]])
                if shared != set(self.around[ring.scope]):
                    why = f"'{writer}' and '{reader}' take turns in a scope inside of '{ring.scope}'"
                    raise self.refused(f"{why}, where pipeline '{ring.of.name}' goes round")
                if order.index(reader) < order.index(writer):
                    why = f"'{reader}' comes before '{writer}' in the text, so it reads what an earlier turn wrote"
                    raise self.refused(why)
        for tile in ring.of.tiles if ring.of.depth > 1 else ():
            whole = Region(tile, (Const(0),) * len(tile.shape), static_shape(tile))
            written = [a for op in writers for a in self._uses(op) if a.buffer is tile and a.guard == TRUE]
            if not covers([a.region for a in written if a.exact and a.region is not None], whole):
                why = f"'{tile.name}' is not surely written as a whole, and each of its {ring.of.depth} versions is new"
                raise self.refused(why)

    def _uses(self, op: str) -> list[Access]:
        return _touched(self.ops[op])


def _is_bind(s: Stmt) -> bool:
    return isinstance(s, Let | Alloc | View)


def _touched(block: Sequence[Stmt]) -> list[Access]:
    return [a for s in block for a in accesses(s)]


def _announced(body: list[Stmt]) -> list[Stmt]:
    """`body` with the bytes that the last copy brings announced before it."""
    s = body[-1]
    if not isinstance(s, Copy) or s.barrier is None or (len(body) > 1 and isinstance(body[-2], Expect)):
        return body
    size = prod(s.dst.extents) * s.dst.buffer.dtype.bits // 8
    return [*body[:-1], Expect(s.barrier, Const(size), span=s.span), s]
