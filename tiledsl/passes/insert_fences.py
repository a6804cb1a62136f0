"""Orders what threads write in memory before what the copy engine and the tensor core do there.

Those two reach memory by another way, the async proxy, which barriers do not order with a thread's own accesses: the
threads that wrote execute a fence before they publish, at a barrier, by an arrival, or by an asynchronous access of
their own. Source: PTX ISA, "Proxies" and "membar/fence: fence.proxy"; algorithms.md D.6.

A walk along the paths of a thread remembers which tiles it has written since its last fence. A point that publishes
gets a fence if such a tile is touched asynchronously afterwards: further on, around a loop, or by another role.

Few tensors are both written by threads and touched asynchronously, and places of tensors are seldom known to be apart.
Of those the thread that makes the asynchronous access executes the fence, just before: what others wrote before they
met that thread is on the way to it. So nothing is added to the loops of the others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace

from tiledsl.analysis.access import AccessKind, storage_roots
from tiledsl.analysis.arrivals import Path
from tiledsl.analysis.touches import blocks_of, bytes_of, queue_of, touches
from tiledsl.errors import Span
from tiledsl.ir.concurrent import (
    Arrive,
    Await,
    BulkMove,
    ClusterBarrier,
    Fence,
    NamedArrive,
    NamedSync,
    Roles,
    TensorCopy,
)
from tiledsl.ir.nodes import (
    AsyncCommit,
    AsyncWait,
    AtomCall,
    Barrier,
    Block,
    Break,
    Buffer,
    Const,
    Continue,
    Descriptor,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Space,
    Stmt,
    While,
)
from tiledsl.ir.walk import statements, walk
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import thread_stage
from tiledsl.passes.placed import described, listed, put_before
from tiledsl.verifiers.fences import verify_fences

KINDS = {Space.SHARED: "async_proxy", Space.GLOBAL: "async_proxy_global"}  # of fences, by what they order
_MEETING = (Arrive, AsyncWait, Await, Barrier, Break, Continue, If)  # where a thread publishes, or may not come to


@dataclass(frozen=True, slots=True)
class Published:
    """Why a fence is needed: `write` changed `buffer`, which `access` touches through the async proxy."""

    buffer: Buffer
    write: Stmt
    access: Stmt

    def __str__(self) -> str:
        return f"'{self.buffer.name}': {described(self.write)}, then {described(self.access)}"


@dataclass(frozen=True, slots=True)
class FencePlan:
    """For each fence what asked for it, keyed by the path of the statement that it goes before."""

    fences: Mapping[Path, tuple[Published, ...]]

    def __str__(self) -> str:
        return listed(self.fences, "no fences")


@kernel_pass(requires=(thread_stage,), verify=verify_fences)
def insert_fences(kernel: Kernel) -> Kernel:
    """Adds the fences between what threads write in memory and what the copy engine and the tensor core do.

    Existing ones count. Safe because a fence changes no value. A kernel that touches no memory asynchronously, other
    than with cp.async, which writes as threads do, is left as it is.
    """
    return replace(kernel, launches=tuple(_fenced(launch) for launch in kernel.launches))


def _fenced(launch: Launch) -> Launch:
    plan = make_fence_plan(launch)

    def fences(path: Path, span: Span, whole: Barrier) -> Block:
        kinds = {KINDS[why.buffer.space] for why in plan.fences[path]}
        return tuple(Fence(kind, span=span) for kind in KINDS.values() if kind in kinds)

    return replace(launch, body=put_before(launch.body, plan.fences, fences)) if plan.fences else launch


def make_fence_plan(launch: Launch) -> FencePlan:
    """The fences of a thread-stage launch with its barriers."""
    planner = _Planner(launch)
    if planner.asynchronous:
        planner.block(launch.body, (), {}, {})
    return FencePlan(planner.fences)


Dirty = dict[Buffer, Stmt]  # what was written since the last fence, with a statement that did
Ahead = dict[Buffer, Stmt]  # what is touched asynchronously later on, with a statement that does


@dataclass(slots=True)
class _Planner:
    launch: Launch
    fences: dict[Path, tuple[Published, ...]] = field(default_factory=dict)
    roots: Mapping[Buffer, Buffer] = field(init=False)
    slots: Mapping[Buffer, int] = field(init=False)
    described: set[Buffer] = field(init=False)  # by descriptors that have a name
    # Barriers at which cp.async arrives by itself when it is complete: no thread sees that but those who wait there.
    arrived: set[Buffer] = field(init=False)
    issued: dict[tuple[Buffer, Path], Stmt] = field(default_factory=dict)  # what cp.async writes, before its commit
    flying: Dirty = field(default_factory=dict)  # ... and after that: what a wait may be for
    elsewhere: Dirty = field(default_factory=dict)  # tensors that other roles write, at any time
    left: list[Dirty] = field(default_factory=list)  # of each loop around: where an iteration ended early
    asynchronous: Ahead = field(init=False)

    def __post_init__(self) -> None:
        body = self.launch.body
        every = list(statements(self.launch))
        self.roots = storage_roots(body)
        self.slots = {s.buffer: s.offset for s in self.launch.shared}
        self.described = {self.root(d.start.buffer) for s in every if isinstance(s, Let) for d in _descriptors(s)}
        self.arrived = {s.barrier.buffer for s in every if isinstance(s, Arrive) and s.copies}
        self.asynchronous = self.ahead_in(body)

    def root(self, b: Buffer) -> Buffer:
        return self.roots.get(b, b)

    # ---- what statements do

    def asynchronously(self, s: Stmt) -> Iterator[Buffer]:
        """Tiles and tensors that `s` itself touches through the async proxy."""
        match s:
            case TensorCopy(dst, src) | BulkMove(dst, src):
                yield from (self.root(a.buffer) for a in (dst, src))
            case AtomCall() if queue_of(s) == "product":
                yield from (self.root(d.start.buffer) for d in _descriptors(s))
                yield from self.described

    def written(self, s: Stmt) -> Iterator[Buffer]:
        """Tiles and tensors that `s` itself writes as threads do."""
        if not isinstance(s, TensorCopy | BulkMove):
            written = (b for b, _, _, _, kind, *_ in touches(s) if kind is not AccessKind.READ)
            yield from (self.root(b) for b in written if b.space in KINDS)

    def tensors_in(self, block: Block) -> Dirty:
        """Tensors in global memory that statements of `block` write as threads do."""
        every = [*block, *(inner for s in block for inner in statements(s))]
        return {b: s for s in every for b in self.written(s) if b.space is Space.GLOBAL}

    def ahead_in(self, block: Block) -> Ahead:
        found: Ahead = {}
        for s in block:
            for b in self.asynchronously(s):
                found.setdefault(b, s)
            for inner in blocks_of(s):
                for b, by in self.ahead_in(inner).items():
                    found.setdefault(b, by)
        return found

    def meet(self, a: Buffer, b: Buffer) -> bool:
        """Whether two tiles have bytes in common, or it is one tensor."""
        if a is b or a not in self.slots or b not in self.slots:
            return a is b
        start_a, start_b = self.slots[a], self.slots[b]
        return start_a < start_b + bytes_of(b) and start_b < start_a + bytes_of(a)

    def publish(self, path: Path, dirty: Dirty, ahead: Ahead, spaces: Collection[Space] = (Space.SHARED,)) -> Dirty:
        """A fence before `path` if something of `dirty` is touched asynchronously; and what is dirty then."""
        found = [(b, w) for b, w in dirty.items() if b.space in spaces]
        why = [Published(b, w, a) for b, w in found for other, a in ahead.items() if self.meet(b, other)]
        if not why:
            return dirty
        self.fences[path] = tuple(why)
        fenced = {p.buffer.space for p in why}
        return {b: w for b, w in dirty.items() if b.space not in fenced}

    # ---- the walk

    def block(self, block: Block, path: Path, dirty: Dirty, after: Ahead) -> Dirty:
        """What is dirty after `block`, before which `dirty` is; `after` is what is touched asynchronously behind it."""
        behind = [after]
        for s in reversed(block):
            behind.append({**self.ahead_in((s,)), **behind[-1]})
        behind.reverse()
        for i, s in enumerate(block):
            dirty = self.statement(s, (*path, i), dirty, behind[i + 1])
        return dirty

    def statement(self, s: Stmt, path: Path, dirty: Dirty, after: Ahead) -> Dirty:
        match s:
            case Fence(kind) if kind in KINDS.values():
                return {b: w for b, w in dirty.items() if KINDS[b.space] != kind}
            case Arrive() | NamedArrive():
                return self.publish(path, dirty, after)
            case Barrier() | ClusterBarrier() | NamedSync():
                return {**self.publish(path, dirty, after), **self.elsewhere}
            case AsyncCommit("copy"):
                self.commit(path)
                return dirty
            case AsyncWait(pending, "copy"):
                dirty = {**self.flying, **dirty}
                self.flying = self.flying if pending else {}
                return dirty
            case Await(barrier, _, buffers):
                copied = {self.root(b): s for b in buffers} if barrier.buffer in self.arrived else {}
                return {**dirty, **copied, **self.elsewhere}
            case Break() | Continue():
                self.left[-1].update(dirty)
                return {}
            case If(_, then, orelse):
                yes = self.block(then, (*path, 0), dirty, after)
                return {**yes, **self.block(orelse, (*path, 1), dirty, after)}
            case For() | While():
                if not any(isinstance(x, _MEETING) for x in statements(s)):  # one fence then, and not in each round
                    dirty = self.publish(path, dirty, self.ahead_in(s.body), KINDS)
                return self.loop(s, path, dirty, after)
            case Roles(roles):
                others = [self.ahead_in(role.body) for role in roles]
                result: Dirty = {}
                for n, role in enumerate(roles):
                    beside = {b: by for m, found in enumerate(others) if m != n for b, by in found.items()}
                    written = (self.tensors_in(other.body) for other in roles if other is not role)
                    self.elsewhere = {b: by for found in written for b, by in found.items()}
                    result |= self.block(role.body, (*path, n), {**dirty, **self.elsewhere}, {**beside, **after})
                self.elsewhere = {}
                return result
        own = dict.fromkeys(self.asynchronously(s), s)
        if own:
            dirty = self.publish(path, dirty, own, KINDS)
        new = dict.fromkeys(self.written(s), s)
        if queue_of(s) == "copy":  # not before a wait, and no fence before that is of use
            self.issued.update({(b, path): s for b in new})
            return dirty
        return {**dirty, **new} if new else dirty

    def commit(self, path: Path) -> None:
        """What was issued is waited for from here on. It stays issued too where the commit may be passed by."""
        self.flying.update({b: s for (b, _), s in self.issued.items()})
        block = path[:-1]
        self.issued = {(b, at): s for (b, at), s in self.issued.items() if at[: len(block)] != block}

    def loop(self, s: For | While, path: Path, dirty: Dirty, after: Ahead) -> Dirty:
        """To a fixpoint: what an iteration leaves dirty is dirty when the next begins."""
        around = {**self.ahead_in(s.body), **after}
        certain = isinstance(s, For) and isinstance(s.extent, Const) and s.extent.value > 0
        while True:
            flying = {*self.flying, *self.issued}
            self.left.append({})
            end = {**self.block(s.body, path, dirty, around), **self.left[-1]}
            self.left.pop()
            if end.keys() <= dirty.keys() and flying == {*self.flying, *self.issued}:
                return end if certain else {**dirty, **end}
            dirty = {**dirty, **end}


def _descriptors(s: Stmt) -> Iterator[Descriptor]:
    return (n for n in walk(s) if isinstance(n, Descriptor))
