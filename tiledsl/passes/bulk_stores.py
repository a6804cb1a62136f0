"""bulk-stores: tiles go from shared to global memory by the copy engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tiledsl.analysis.access import Access, accesses, storage_roots
from tiledsl.analysis.boxes import Later, may_overlap
from tiledsl.analysis.copy_engine import by_threads, why_not_bulk, why_not_bulk_update
from tiledsl.analysis.vector_width import Divisors, assumed_divisors
from tiledsl.ir.concurrent import Arrive, ClusterBarrier, Roles
from tiledsl.ir.nodes import (
    Assigned,
    AsyncCommit,
    AsyncWait,
    Barrier,
    Block,
    Break,
    Buffer,
    Continue,
    For,
    If,
    Kernel,
    Launch,
    Load,
    Region,
    Space,
    Stmt,
    Var,
    View,
    While,
)
from tiledsl.ir.tile import Atomic, Copy
from tiledsl.ir.walk import statements, walk
from tiledsl.passes.base import kernel_pass, with_launches
from tiledsl.passes.facts import tile_stage
from tiledsl.target import Target
from tiledsl.verifiers.roles import verify_roles


@kernel_pass(requires=(tile_stage,), ensures=(tile_stage,), verify=verify_roles)
def bulk_stores(kernel: Kernel, *, target: Target, enabled: bool = True) -> Kernel:
    """Copies of whole tiles from shared to global memory become bulk copies, in groups of the queue "store", and so do
    the atomic updates that the user wants made so; where they cannot, a note says why.

    The wait until a tile has been read stands before the next statement that writes it. In a loop that is the next
    iteration, so the store overlaps what comes before; the last one is waited for at the end of the program or role,
    because shared memory must outlive it. Stores end in no order, so what may touch the place that one goes to waits
    until it is there, and so do arrivals and barriers that tell other roles and blocks of it. Where the user issues
    such stores the groups are his, and everything stays as it is.
    """
    why = "" if "tma" in target.features else f"{target.name} has no copy engine"
    if not enabled or why:
        return with_launches(kernel, (_noted(launch, why or "it is not to be used") for launch in kernel.launches))
    divisors = assumed_divisors(kernel)
    return replace(kernel, launches=tuple(_launch(launch, divisors) for launch in kernel.launches))


def _launch(launch: Launch, divisors: Divisors) -> Launch:
    every = list(statements(launch))
    if any(_is_of_the_queue(s) for s in every):
        return _noted(launch, "the kernel waits for stores of the copy engine by itself")
    viewed = frozenset(b for v in every if isinstance(v, View) for b in (v.buffer, v.source) if b.space is Space.SHARED)
    writer = _Writer(viewed, divisors, launch.layouts, launch.body[-1:], storage_roots(launch.body))
    made, pending = writer.block(launch.body, frozenset())
    notes = dict.fromkeys(_note(s, why) for s in every if _is_to_be_told(s) and (why := writer.why_not(s)))
    return replace(launch, body=(*made, *_last_wait(pending)), notes=(*launch.notes, *notes))


def _is_asked_for(s: Stmt) -> bool:
    return isinstance(s, Atomic) and bool(s.engine)


def _is_to_be_told(s: Stmt) -> bool:
    """Updates that are asked for, and the copies that this pass is there for."""
    tiles = isinstance(s, Copy) and (s.src.buffer.space, s.dst.buffer.space) == (Space.SHARED, Space.GLOBAL)
    return _is_asked_for(s) or tiles


def _note(s: Stmt, why: str) -> str:
    assert isinstance(s, Copy | Atomic)
    if isinstance(s, Copy):
        return by_threads(s, why)
    return f"atomic {s.op} to {s.dst.buffer.name} at line {s.span.line} by threads: {why}"


def _noted(launch: Launch, why: str) -> Launch:
    """The launch as it is, with a note for each update that the copy engine was to make."""
    notes = tuple(_note(s, why) for s in statements(launch) if _is_asked_for(s))
    return replace(launch, notes=(*launch.notes, *notes)) if notes else launch


def _is_of_the_queue(s: Stmt) -> bool:
    """Whether the user issues a store by the copy engine, or says when stores are waited for."""
    match s:
        case AsyncCommit(queue="store") | AsyncWait(queue="store"):
            return True
        case Copy(bulk=True, barrier=None) | Atomic(bulk=True):
            return True
    return False


@dataclass(frozen=True, slots=True)
class _Store:
    """A store that may be in flight. `tile` is None once it has been read.

    It goes to `place`, which counts in iterations of the loops around, or in those of an earlier iteration of `loop` (a
    key of `_Writer.laters`); to some part of `tensor` if that is None.
    """

    tile: Buffer | None
    tensor: Buffer
    place: Region | None
    loop: int | None = None


Stores = frozenset[_Store]


def _last_wait(pending: Stores, *, whole: bool = False) -> Block:
    """At the end of a launch or role. `whole`: others may go on with the results."""
    if whole and pending:
        return (AsyncWait(0, "store"),)
    return (AsyncWait(0, "store", sources=True),) if any(s.tile is not None for s in pending) else ()


@dataclass(slots=True)
class _Writer:
    """`block` and `statement` take and give the stores that may be in flight before and after."""

    viewed: frozenset[Buffer]  # tiles that are seen under several shapes
    divisors: Divisors
    layouts: tuple[Assigned, ...]  # that the user has given
    last: Block  # the statement at the end of the launch
    roots: Mapping[Buffer, Buffer]  # views of tensors, with the tensor
    laters: dict[int, Later] = field(default_factory=dict)
    left: list[set[_Store]] = field(default_factory=list)  # by loop: in flight where an iteration is left half-way
    others: Sequence[Access] = ()  # what the other roles do

    def block(self, block: Block, pending: Stores) -> tuple[Block, Stores]:
        out: list[Stmt] = []
        for s in block:
            made, pending = self.statement(s, pending)
            out += made
        return tuple(out), pending

    def statement(self, s: Stmt, pending: Stores) -> tuple[Block, Stores]:
        match s:
            case Roles():
                return self.roles(s, pending)
            case For() | While():
                return self.loop(s, pending)
            case If(_, then, orelse):
                waits, pending = self.awaited(s, accesses(replace(s, then=(), orelse=())), pending)
                a, after_a = self.block(then, pending)
                b, after_b = self.block(orelse, pending)
                return (*waits, replace(s, then=a, orelse=b)), after_a | after_b
            case Break() | Continue():
                self.left[-1].update(pending)
            case ClusterBarrier() | Arrive() | Barrier():
                waits, pending = self.told(s, pending)
                more, pending = self.awaited(s, accesses(s), pending)
                return (*waits, *more, s), pending
        waits, pending = self.awaited(s, accesses(s), pending)
        if not isinstance(s, Copy | Atomic) or self.why_not(s):
            return (*waits, s), pending
        known = not any(isinstance(n, Load) for n in walk(s.dst))  # else the same words may mean another place later on
        issued = _Store(s.src.buffer, s.dst.buffer, s.dst if known else None)
        return (*waits, replace(s, bulk=True, engine=""), AsyncCommit("store", span=s.span)), pending | {issued}

    def roles(self, s: Roles, pending: Stores) -> tuple[Block, Stores]:
        before: Block = (AsyncWait(0, "store", span=s.span),) if pending else ()
        bodies: list[Block] = []
        for role in s.roles:
            self.others = [a for r in s.roles if r is not role for a in accesses(replace(s, roles=(r,)))]
            body, after = self.block(role.body, frozenset())
            bodies.append((*body, *_last_wait(after, whole=s not in self.last)))
        self.others = ()
        made = replace(s, roles=tuple(replace(r, body=body) for r, body in zip(s.roles, bodies)))
        return (*before, made), frozenset()

    def loop(self, s: For | While, pending: Stores) -> tuple[Block, Stores]:
        """The next iteration finds what one before left in flight."""
        head = accesses(replace(s, body=()))
        waits, pending = self.awaited(s, head, pending)
        self.laters.setdefault(id(s), Later.of(s))
        entry = pending
        while True:
            self.left.append(set())
            body, after = self.block(s.body, entry)
            more, after = self.awaited(s, head if isinstance(s, While) else (), after)
            after |= self.left.pop()
            carried = entry | {self.of_an_earlier_iteration(f, s) for f in after}
            if carried == entry:
                return (*waits, replace(s, body=(*body, *more))), pending | after
            entry = carried

    def of_an_earlier_iteration(self, f: _Store, s: For | While) -> _Store:
        own = self.laters[id(s)].values
        if f.place is None or not any(n in own for n in walk(f.place) if isinstance(n, Var)):
            return f
        return replace(f, loop=id(s)) if f.loop in (None, id(s)) else replace(f, place=None, loop=None)

    def told(self, s: ClusterBarrier | Arrive | Barrier, pending: Stores) -> tuple[Block, Stores]:
        """Whoever waits for `s` may take the copies before it for done: other roles, and other blocks of the cluster.

        What a statement of the compiler hands over is all that it tells of (`awaited`).
        """
        match s:
            case ClusterBarrier("wait"):
                return (), pending
            case ClusterBarrier("arrive_relaxed"):  # nothing becomes visible, but tiles may be overwritten
                return self.read(s, {f.tile for f in pending}, pending)
            case Arrive() if s.buffers:
                return (), pending
            case Barrier() | Arrive(ranks=0):
                whole = any(self.meets(f, replace(a, region=None)) for f in pending for a in self.others)
            case _:
                whole = bool(pending)
        if whole:
            return (AsyncWait(0, "store", span=s.span),), frozenset()
        return self.read(s, {a.buffer for a in self.others if a.writes}, pending)

    def awaited(self, s: Stmt, touched: Iterable[Access], pending: Stores) -> tuple[Block, Stores]:
        """The wait that must stand before `s` because of what it touches, and what is in flight after it."""
        touched = list(touched)
        if any(self.meets(f, a) for f in pending for a in touched):
            return (AsyncWait(0, "store", span=s.span),), frozenset()
        return self.read(s, {a.buffer for a in touched if a.writes}, pending)

    def read(self, s: Stmt, written: Iterable[Buffer | None], pending: Stores) -> tuple[Block, Stores]:
        """The wait before `s` until the tiles in `written` have been read."""
        if not {f.tile for f in pending if f.tile is not None}.intersection(written):
            return (), pending
        return (AsyncWait(0, "store", sources=True, span=s.span),), frozenset(replace(f, tile=None) for f in pending)

    def meets(self, f: _Store, a: Access) -> bool:
        """Whether the access may touch the place that the store goes to."""
        if a.buffer is not f.tensor:
            return self.roots.get(a.buffer, a.buffer) is self.roots.get(f.tensor, f.tensor)
        if f.loop is None:
            return may_overlap(f.place, a.region)
        return self.laters[f.loop].may_overlap(f.place, a.region)

    def why_not(self, s: Stmt) -> str:
        """Why the copy engine does not make this store or update; empty if it does."""
        if not isinstance(s, Copy | Atomic):
            return "it is no store"
        if isinstance(s, Atomic) and not s.engine:
            return "the copy engine is not asked for"
        if s.src.buffer in self.viewed:
            return f"'{s.src.buffer.name}' is also used through a view"
        if isinstance(s, Atomic):
            return why_not_bulk_update(s, self.divisors, self.layouts)
        shared = s.src.buffer.space is Space.SHARED
        return why_not_bulk(s, self.divisors, self.layouts) if shared else "it is no store"
