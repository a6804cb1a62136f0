"""Writes a planned specialisation out: one role that copies, one that does everything else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tiledsl.analysis.access import accesses
from tiledsl.analysis.arrivals import Path
from tiledsl.analysis.turns import count_of, decided_by
from tiledsl.ir.concurrent import WARPGROUP, Arrive, Await, Dependency, Role, Roles, members
from tiledsl.ir.dtypes import INDEX, INT32, UINT64
from tiledsl.ir.fresh import copied
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    Binary,
    Block,
    Buffer,
    Cast,
    Const,
    Expr,
    For,
    If,
    Launch,
    Let,
    Load,
    Node,
    Select,
    Serial,
    Space,
    Stmt,
    Store,
    Var,
    View,
    eq,
)
from tiledsl.ir.ops import Effect
from tiledsl.ir.tile import Copy
from tiledsl.ir.types import effect_of
from tiledsl.ir.versions import with_versions
from tiledsl.ir.walk import map_blocks, replace_buffers, substitute
from tiledsl.passes.warp_specialise.channels import Candidate, Channel, WarpPlan
from tiledsl.passes.warp_specialise.fills import CP_ASYNC, ENGINE, REGISTERS, by_cp_async, decided_within, in_parts
from tiledsl.passes.warp_specialise.replay import Replay

_ZERO, _ONE = Const(0, INT32), Const(1, INT32)


@dataclass(frozen=True)
class Ring:
    """The barriers of a channel, and where in it iteration n is: in numbers of the loops around, or as kept count."""

    channel: Channel
    full: Buffer
    empty: Buffer

    @classmethod
    def of(cls, channel: Channel) -> Ring:
        shape = (channel.depth,)
        full = Buffer(f"{channel.name}_full", shape, UINT64, Space.BARRIER)
        return cls(channel, full, Buffer(f"{channel.name}_empty", shape, UINT64, Space.BARRIER))

    @property
    def reused(self) -> bool:
        """Whether the tiles are written more than once: else nobody waits for them to be read."""
        return bool(self.channel.nest)

    def allocations(self, consumers: int) -> Block:
        arrivals = consumers // WARPGROUP if self.channel.by == "warpgroups" else consumers
        arrivals *= max(1, len(members(self.channel.ranks)))  # whoever loads into several blocks waits for all
        full: Block = (Alloc(self.full, Const(self.channel.arrivals, UINT64)),)
        return (*full, Alloc(self.empty, Const(arrivals, UINT64))) if self.reused else full


@dataclass(frozen=True)
class Turn:
    """One side's place in a ring, for the present iteration.

    `before` stands before its first use, `after` when the side is done with the iteration; `run` is the count of the
    iterations before a run of the innermost loop.
    """

    slot: Expr
    phase: Expr  # 0 or 1
    previous: Expr  # the phase of the slot before that: 1 or 0
    declared: Block = ()
    before: Block = ()
    after: Block = ()
    run: Run | None = None


@dataclass(frozen=True)
class Run:
    """How many iterations the earlier runs of a loop had: `start`, kept in `done`, both modulo `period`."""

    done: Buffer
    start: Var
    period: int

    def begin(self) -> Stmt:
        return Let(self.start, Cast(INDEX, Load(self.done, ())) % self.period)

    def end(self, trips: Expr) -> Stmt:
        return Store(self.done, (), Cast(INT32, self.start + Binary("max", trips, Const(0)) % self.period))


def turn_of(channel: Channel) -> Turn:
    """Computed from the loop variables where that can be done, else kept in two variables of each side."""
    depth = channel.depth
    if not channel.nest:
        return Turn(Const(0), Const(0), Const(1))
    if not channel.counted:
        return _counted(count_of(channel.nest), depth)
    if channel.by_run:
        loop = channel.nest[-1]
        assert isinstance(loop, For)
        run = Run(Buffer(f"{channel.name}_done", (), INT32, Space.VAR), Var("start"), 2 * depth)
        return replace(_counted(run.start + loop.var, depth), declared=(Alloc(run.done, _ZERO),), run=run)
    kept_slot, kept_phase = (Buffer(f"{channel.name}_{what}", (), INT32, Space.VAR) for what in ("slot", "phase"))
    now, parity = Var("slot", INT32), Var("phase", INT32)
    last, flipped = eq(now, Const(depth - 1, INT32)), Binary("-", _ONE, parity)
    return Turn(
        Cast(INDEX, now),
        parity,
        flipped,
        (Alloc(kept_slot, _ZERO), Alloc(kept_phase, _ZERO)),
        (Let(now, Load(kept_slot, ())), Let(parity, Load(kept_phase, ()))),
        (
            Store(kept_slot, (), Select(last, _ZERO, now + _ONE)),
            Store(kept_phase, (), Select(last, flipped, parity)),
        ),
    )


def _counted(n: Expr, depth: int) -> Turn:
    """The place in iteration number `n`."""
    slot, round_ = (n % depth, n // depth) if depth > 1 else (Const(0), n)
    return Turn(slot, round_ % 2, (round_ + 1) % 2)


def _around(loop: For, turns: Sequence[Turn]) -> Block:
    """`loop`, with its iterations counted for those that do so by its runs."""
    runs = [t.run for t in turns if t.run is not None]
    if not runs:
        return (loop,)
    block: Block = ()
    if effect_of(loop.extent) is not Effect.PURE:
        trips = Var("trips")
        block, loop = (Let(trips, loop.extent, span=loop.span),), replace(loop, extent=trips)
    return (*block, *(r.begin() for r in runs), loop, *(r.end(loop.extent) for r in runs))


def hoisted(launch: Launch) -> Launch:
    """`launch` with the allocations of what all roles share at its top, wherever they stood."""
    found: list[Stmt] = []

    def without(block: Block) -> Block:
        found.extend(s for s in block if _is_shared(s))
        kept = tuple(map_blocks(s, without) for s in block if not _is_shared(s))
        unchanged = len(kept) == len(block) and all(a is b for a, b in zip(kept, block))
        return block if unchanged else kept

    body = without(launch.body)
    return replace(launch, body=(*found, *body))


def specialised(launch: Launch, plan: WarpPlan) -> Launch:
    """`launch`, whose shared tiles are allocated at its top, with the roles of `plan`."""
    rings = tuple((Ring.of(c), turn_of(c), turn_of(c)) for c in plan.channels)
    shared = tuple(s for s in launch.body if _is_shared(s))
    producer = _Producer({c.path: (ring, turn) for ring, turn, _ in rings for c in ring.channel.copies}, launch)
    copies = (*_declared(t for _, t, _ in rings), *producer.block(launch.body, ()))
    work = _Consumer([(ring, turn) for ring, _, turn in rings])
    number = Var(launch.thread.name)
    rest = (*_declared(t for _, _, t in rings), *(s for s in work.block(launch.body, ()) if not _is_shared(s)))
    roles = Roles(
        (
            Role("producer", 0, WARPGROUP, Var(launch.thread.name), copied(copies), plan.budget.producer),
            Role(
                "consumer", WARPGROUP, plan.consumers, number,
                tuple(substitute(s, {launch.thread: number}) for s in rest), plan.budget.consumer,
            ),
        ),
        span=launch.span,
    )  # fmt: skip
    barriers = tuple(s for ring, _, _ in rings for s in ring.allocations(plan.consumers))
    made = replace(launch, threads=(plan.consumers + WARPGROUP,), body=(*shared, *barriers, roles))
    versions = {t: replace(t, versions=c.depth) for c in plan.channels for t in c.tiles if c.depth > 1}
    return replace_buffers(made, versions)


def _declared(turns: Iterator[Turn]) -> Block:
    return tuple(s for t in turns for s in t.declared)


def _is_shared(s: Stmt) -> bool:
    """Whether it binds what all roles use: memory of the block, or another shape of a tensor."""
    if isinstance(s, View):
        return s.buffer.space is Space.GLOBAL
    return isinstance(s, Alloc) and s.buffer.space in (Space.SHARED, Space.BARRIER)


def _versions(ring: Ring, turn: Turn) -> dict[Buffer, Expr]:
    return {t: turn.slot for t in ring.channel.tiles} if ring.channel.depth > 1 else {}


@dataclass
class _Producer:
    """The part of a block that makes the copies: these, the control flow around them, and what says where they go."""

    channels: Mapping[Path, tuple[Ring, Turn]]
    launch: Launch
    needed: set[Node] = field(default_factory=set)

    def __post_init__(self) -> None:
        made = [c for ring, _ in self.channels.values() for c in ring.channel.copies]
        needs = Replay(self.launch).needs([e for c in made for e in (*decided_within(c.copy), *decided_by(c.around))])
        self.needed |= needs.variables | needs.private

    def writes_needed(self, s: Stmt) -> bool:
        return any(a.writes and a.buffer in self.needed for a in accesses(s))

    def block(self, block: Block, path: Path) -> Block:
        return tuple(t for i, s in enumerate(block) for t in self.statement(s, (*path, i)))

    def statement(self, s: Stmt, path: Path) -> Block:
        if path in self.channels:
            return self.copy(path)
        match s:
            case For(body=body):
                inner = self.block(body, path)
                here = {id(t): t for r, t in self.channels.values() if r.channel.copies[0].block == path}
                return _around(replace(s, body=inner, kind=Serial()), list(here.values())) if inner else ()
            case If(_, then, orelse):
                a, b = self.block(then, (*path, 0)), self.block(orelse, (*path, 1))
                return (replace(s, then=a, orelse=b),) if a or b else ()
            case Let(var):
                return (s,) if var in self.needed else ()
            case Alloc(buffer):
                return (s,) if buffer in self.needed else ()
            case Dependency("wait"):
                return (s,)  # each thread that touches memory waits for itself
        return (s,) if self.writes_needed(s) else ()

    def copy(self, path: Path) -> Block:
        ring, turn = self.channels[path]
        copies = ring.channel.copies
        at = [c.path for c in copies].index(path)
        full = Address(ring.full, (turn.slot,))
        out = with_versions((_made(copies[at], full),), _versions(ring, turn))
        if at == 0:
            out = (*turn.before, *self.begin(ring, turn, full), *out)
        return (*out, *self.handed_over(ring, full), *turn.after) if at == len(copies) - 1 else out

    def begin(self, ring: Ring, turn: Turn, full: Address) -> Iterator[Stmt]:
        """The wait for the tiles to be free, and how many bytes the copy engine will bring.

        A fresh barrier lets the first `depth` turns pass: the phase before its first has ended.
        """
        channel, span = ring.channel, ring.channel.copies[0].copy.span
        if ring.reused:
            who = "threads" if channel.by_threads else "one"
            yield Await(Address(ring.empty, (turn.slot,)), turn.previous, channel.tiles, who, span=span)
        if channel.bytes:
            yield Arrive(full, channel.bytes, "one", span=span)

    def handed_over(self, ring: Ring, full: Address) -> Iterator[Stmt]:
        """Arrivals of the threads that have made copies themselves: of cp.async when they are complete."""
        for way in (CP_ASYNC, REGISTERS):
            mine = [c for c in ring.channel.copies if c.how == way]
            tiles = tuple(dict.fromkeys(c.tile for c in mine))
            if mine:
                yield Arrive(full, copies=way == CP_ASYNC, buffers=tiles, span=mine[-1].copy.span)


def _made(c: Candidate, full: Address) -> Stmt:
    """The copy as the producer makes it."""
    if c.how == ENGINE and isinstance(c.copy, Copy):
        return replace(c.copy, bulk=True, barrier=full)
    return in_parts(by_cp_async(c.copy) if c.how == CP_ASYNC else c.copy, WARPGROUP)


@dataclass
class _Consumer:
    """A block without the copies, with a wait before the first reader of their tiles and an arrival after the last."""

    rings: list[tuple[Ring, Turn]]

    def block(self, block: Block, path: Path) -> Block:
        here = [(r, t) for r, t in self.rings if r.channel.copies[0].block == path]
        gone = {c.path[-1] for r, _ in here for c in r.channel.copies}
        out: list[Stmt] = []
        for i, s in enumerate(block):
            for ring, turn in here:
                if i == ring.channel.copies[0].first:
                    full = Address(ring.full, (turn.slot,))
                    out += [*turn.before, Await(full, turn.phase, ring.channel.tiles, span=s.span)]
            if i not in gone:
                out += self.statement(s, (*path, i))
            for ring, turn in here:
                if i == ring.channel.copies[0].last:
                    empty = Address(ring.empty, (turn.slot,))
                    if ring.reused:
                        c = ring.channel
                        out.append(Arrive(empty, 0, c.by, ranks=c.ranks, buffers=c.tiles, span=s.span))
                    out += turn.after
        versions: dict[Buffer, Expr] = {}
        for ring, turn in here:
            versions |= _versions(ring, turn)
        return with_versions(tuple(out), versions)

    def statement(self, s: Stmt, path: Path) -> Block:
        match s:
            case For(body=body):
                here = [t for r, t in self.rings if r.channel.copies[0].block == path]
                return _around(replace(s, body=self.block(body, path)), here)
            case If(_, then, orelse):
                return (replace(s, then=self.block(then, (*path, 0)), orelse=self.block(orelse, (*path, 1))),)
        return (s,)
