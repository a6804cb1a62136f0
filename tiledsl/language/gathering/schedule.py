"""A schedule of roles that the user wrote (T.WSSchedule with scopes): each role gets its operations, in its order.

What comes out is what a user of T.ws would write by hand: blocks of roles in the loops of the kernel, and for each
pipeline `depth` versions of its tiles with a barrier for each that says "full" and one that says "empty". The rest of
this room makes programs of roles of it. Whatever the schedule could get wrong is an error here, TD0412.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod

from tiledsl.analysis.access import Access, accesses
from tiledsl.analysis.copy_engine import why_not_bulk
from tiledsl.errors import TileError, error
from tiledsl.ir.concurrent import Arrive, Await, Expect, Role, Roles
from tiledsl.ir.dtypes import UINT64
from tiledsl.ir.layout import Layout
from tiledsl.ir.nodes import (
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
    Space,
    Stmt,
    Store,
    Var,
    View,
)
from tiledsl.ir.simplify import simplify
from tiledsl.ir.swizzle import expand
from tiledsl.ir.tile import Copy
from tiledsl.ir.walk import map_children
from tiledsl.language.gathering.dealing import conflicting
from tiledsl.language.schedules import ROOT, WSPipeline, WSSchedule, WSSync

_OPENS, _CLOSES = ("producer_acquire", "consumer_wait"), ("producer_commit", "consumer_release")
Ops = Mapping[str, tuple[Stmt, ...]]


def scheduled(launch: Launch, schedule: object, ops: Ops) -> Launch:
    """The launch as a program of the schedule's roles. Raises TileError TD0412 for a schedule that is not legal."""
    assert isinstance(schedule, WSSchedule)
    return _Scheduler(launch, schedule, ops).made()


def _refused(schedule: WSSchedule, why: str) -> TileError:
    return error("TD0412", schedule.span, why=why)


@dataclass(eq=False)
class _Ring:
    """A pipeline as it is made: its tiles with `depth` versions, and its barriers."""

    of: WSPipeline
    full: Buffer
    empty: Buffer
    wide: dict[Buffer, Buffer]
    producer: str = ""
    consumers: list[str] = field(default_factory=list)
    scope: str = ""  # where it goes round


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
        self.rings = {p.name: _ring(p) for p in schedule.pipelines}
        self.owner = {b: ring for ring in self.rings.values() for b in ring.of.tiles}
        self.scopes = {s.id: s.bodies for s in schedule.scopes}
        self.named = {id(s): name for name, group in ops.items() for s in group if not _is_bind(s)}
        self.begun: set[str] = set()
        self.placed: dict[str, str] = {}  # operation -> role

    def made(self) -> Launch:
        self._check_protocol()
        body = self.scope(ROOT, self.launch.body, _Loop(), {})
        left = [name for name in self.ops if name not in self.placed and name not in self.scopes]
        if left:
            raise self.refused(f"no role has the operation '{left[0]}'")
        self._check_exchange()
        self._check_turns()
        pairs = [(ring, b) for ring in self.rings.values() for b in (ring.full, ring.empty)]
        barriers = [Alloc(b, Const(self._arrivals(ring, b), UINT64)) for ring, b in pairs]
        layouts = tuple(self._layout(a) for a in self.launch.layouts)
        return replace(self.launch, body=(*barriers, *body), layouts=layouts)

    def refused(self, why: str) -> TileError:
        return _refused(self.schedule, why)

    def _arrivals(self, ring: _Ring, barrier: Buffer) -> int:
        names = [ring.producer] if barrier is ring.full else ring.consumers
        return sum(self.roles[n].threads for n in names)

    def _layout(self, a: Assigned) -> Assigned:
        ring = self.owner.get(a.buffer)
        if ring is None or not isinstance(a.layout, Layout):
            return a
        return replace(a, buffer=ring.wide[a.buffer], layout=expand(a.layout, (ring.of.depth,)))

    # ------------------------------------------------------------------------------------------------------ building

    def scope(self, name: str, block: Block, loop: _Loop, spans: Mapping[str, Mapping[str, Expr]]) -> Block:
        """The block of a scope: what it binds, then in turn what roles do and the scopes inside. `spans` are for each
        role the pipelines that are open around it, with their slots."""
        bodies = self.scopes[name]
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
                out.append(self._child(order[i], children[order[i]], loop, inner[order[i]]))
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
            if [c for c in longest if c in order] != list(order):
                raise self.refused(f"role '{role}' has the scopes in '{name}' in another order than other roles")
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
            else:
                if entry not in own:
                    raise self.refused(f"'{entry}' of role '{role}' is no operation of the scope '{name}'")
                if entry in self.placed:
                    raise self.refused(f"the operation '{entry}' has a place in '{self.placed[entry]}' and in '{role}'")
                self.placed[entry] = role
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

    def _child(self, name: str, group: list[Stmt], loop: _Loop, spans: Mapping[str, Mapping[str, Expr]]) -> Stmt:
        (s,) = group if len(group) == 1 else (None,)
        if not isinstance(s, For):
            raise self.refused(f"the scope '{name}' is no 'for' loop over numbers")
        inside = _Loop((*loop.vars, s.var), (*loop.extents, s.extent))
        return replace(s, body=self.scope(name, s.body, inside, spans))

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
        if isinstance(s, Copy) and s.dst.buffer in self.owner and not why_not_bulk(s, {}):
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

    def _check_protocol(self) -> None:
        """Each pipeline is filled by one role and emptied by others, in one scope, each in one span of its own."""
        seen: set[tuple[str, str]] = set()
        for scope, bodies in self.scopes.items():
            for role, body in bodies.items():
                if role not in self.roles:
                    raise self.refused(f"the scope '{scope}' has a body for '{role}', which is no role")
                if len({e.stage for e in body if isinstance(e, WSSync)}) > 1:
                    raise self.refused(f"role '{role}' has different stages in the scope '{scope}'; they must be equal")
                opened: dict[str, WSSync] = {}
                for e in body:
                    if isinstance(e, WSSync):
                        self._span(e, scope, role, opened, seen)
                if opened:
                    first = next(iter(opened))
                    raise self.refused(f"role '{role}' opens pipeline '{first}' in '{scope}' and never closes it")
        for ring in self.rings.values():
            if not ring.producer or not ring.consumers:
                side = "consumer" if ring.producer else "producer"
                raise self.refused(f"pipeline '{ring.of.name}' has no {side}")

    def _span(self, e: WSSync, scope: str, role: str, opened: dict[str, WSSync], seen: set[tuple[str, str]]) -> None:
        ring = self.rings.get(e.pipeline)
        if ring is None:
            raise self.refused(f"role '{role}' names the pipeline '{e.pipeline}', which there is not")
        if e.kind in _CLOSES:
            begun = opened.pop(e.pipeline, None)
            if begun is None or _OPENS.index(begun.kind) != _CLOSES.index(e.kind):
                raise self.refused(f"role '{role}' has {e} in '{scope}' without the word that opens it")
            return
        if (role, e.pipeline) in seen:
            raise self.refused(f"role '{role}' opens pipeline '{e.pipeline}' twice")
        seen.add((role, e.pipeline))
        opened[e.pipeline] = e
        if ring.scope not in ("", scope):
            raise self.refused(f"pipeline '{e.pipeline}' goes round in the scopes '{ring.scope}' and '{scope}'")
        ring.scope = scope
        if e.kind == "producer_acquire":
            if ring.producer:
                raise self.refused(f"pipeline '{e.pipeline}' has two producers, '{ring.producer}' and '{role}'")
            ring.producer = role
        else:
            ring.consumers.append(role)

    def _check_exchange(self) -> None:
        """Roles exchange data through pipelines only."""
        leaves = [(op, role, _touched(self.ops[op])) for op, role in self.placed.items()]
        for i, (a, first, left) in enumerate(leaves):
            for b, second, right in leaves[i + 1 :]:
                free = [[x for x in side if x.buffer not in self.owner] for side in (left, right)]
                if first != second and conflicting(*free):
                    why = f"'{a}' of '{first}' and '{b}' of '{second}' use the same memory without a pipeline"
                    raise self.refused(why)

    def _check_turns(self) -> None:
        """No role waits for ever: the schedule is run on counters, with a few turns of each loop."""
        turns = max((r.of.depth for r in self.rings.values()), default=1) + 2
        steps = {role: list(self._steps(ROOT, role, turns)) for role in self.roles}
        filled = dict.fromkeys(self.rings, 0)
        emptied = {(p, c): 0 for p, ring in self.rings.items() for c in ring.consumers}
        at = dict.fromkeys(self.roles, 0)
        opened: dict[tuple[str, str], int] = {}
        moved = True
        while moved:
            moved = False
            for role, todo in steps.items():
                while at[role] < len(todo):
                    e = todo[at[role]]
                    p, ring = e.pipeline, self.rings[e.pipeline]
                    n = opened.get((role, p), 0)
                    free = min(emptied[p, c] for c in ring.consumers) + ring.of.depth
                    if (e.kind == "producer_acquire" and n >= free) or (e.kind == "consumer_wait" and n >= filled[p]):
                        break
                    if e.kind in _CLOSES:
                        opened[role, p] = n + 1
                        filled[p] += e.kind == "producer_commit"
                        if e.kind == "consumer_release":
                            emptied[p, role] += 1
                    at[role], moved = at[role] + 1, True
        stuck = {role: steps[role][i] for role, i in at.items() if i < len(steps[role])}
        if stuck:
            what = ", ".join(f"'{role}' in {e}" for role, e in stuck.items())
            raise self.refused(f"roles wait for each other for ever: {what}")

    def _steps(self, scope: str, role: str, turns: int) -> Iterator[WSSync]:
        for e in self.scopes[scope].get(role, ()):
            if isinstance(e, WSSync):
                yield e
            elif e in self.scopes:
                for _ in range(turns):
                    yield from self._steps(e, role, turns)


def _ring(p: WSPipeline) -> _Ring:
    wide = {b: replace(b, shape=(p.depth, *b.shape)) for b in p.tiles}
    full, empty = (Buffer(f"{p.name}_{what}", (p.depth,), UINT64, Space.BARRIER) for what in ("full", "empty"))
    return _Ring(p, full, empty, wide)


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
