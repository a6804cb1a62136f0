"""Puts __syncthreads where threads of a block exchange data through shared memory, and nowhere else.

Per-thread byte tables (`analysis/footprint`) say which statements conflict. In straight code a barrier goes before the
second of two conflicting statements if none is between, as late as possible, which needs the fewest. In a loop the
conflicts within an iteration and from one to the next are arcs on a circle of positions; the fewest positions that hit
all arcs are found by trying every start. A barrier is never put under a branch or loop that the threads do not all take
together: such statements are one item, and the barrier goes before it.

An asynchronous access is the destination of conflicts where it is issued, and their source where it may be waited for:
a wait tells the waiting thread only, so a barrier must stand between the wait and other threads' use. What the copy
engine loads every reader awaits for itself.

Inside a role the barriers are those of its threads, and conflicts are looked for among them: roles order themselves
with barriers in memory. To the code around it a statement of roles is one item, which touches all that any role does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tiledsl.analysis.access import AccessKind, storage_roots
from tiledsl.analysis.arrivals import Path
from tiledsl.analysis.footprint import Footprint, meet, meet_in_arena
from tiledsl.analysis.touches import bytes_of, granules_of
from tiledsl.analysis.uniform import Uniform, uniform_values
from tiledsl.errors import Span, error
from tiledsl.ir.concurrent import WARPGROUP, Arrive, ClusterBarrier, Role, Roles
from tiledsl.ir.nodes import (
    AsyncWait,
    Barrier,
    Binary,
    Block,
    Buffer,
    Const,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Node,
    Stmt,
    Var,
    While,
)
from tiledsl.ir.walk import walk
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import thread_stage
from tiledsl.passes.insert_barriers.arcs import Arc, fewest_positions
from tiledsl.passes.insert_barriers.items import (
    BarrierPlan,
    Hazard,
    Item,
    exposed,
    leaf,
    may_leave,
    over,
    own_level,
    seen_at,
    synchronises,
    trip_count,
)
from tiledsl.passes.insert_barriers.measured import Measured, measured
from tiledsl.passes.placed import put_before
from tiledsl.passes.scoped import role_barrier
from tiledsl.verifiers.barriers import verify_barriers


@kernel_pass(requires=(thread_stage,), verify=verify_barriers)
def insert_barriers(kernel: Kernel) -> Kernel:
    """Adds the barriers that shared memory needs. Existing ones count. TD0502 where none can be placed."""
    launches = []
    for launch in kernel.launches:
        plan = make_barrier_plan(kernel, launch)
        launches.append(
            replace(launch, body=put_before(launch.body, plan.barriers, _barrier)) if plan.barriers else launch
        )
    return replace(kernel, launches=tuple(launches))


def make_barrier_plan(kernel: Kernel, launch: Launch) -> BarrierPlan:
    """The barriers of a thread-stage launch."""
    roots = storage_roots(launch.body)
    granules = granules_of(launch.body, roots)
    if not granules:
        return BarrierPlan({})
    planner = _Planner(kernel, launch, roots, granules)
    planner.straight(planner.items(launch.body, ()), ())
    return BarrierPlan(planner.barriers)


def _unordered(s: Stmt, found: Sequence[Footprint]) -> Iterator[tuple[Footprint, Footprint]]:
    """Pairs of accesses in `s` that may need a barrier between them.

    None can stand within one statement, here as in straight code: what it reads is its own thread's, or was there
    before. Only in a loop do its reads follow its writes.
    """
    once = not any(isinstance(n, For | While) for n in walk(s))
    for a in found:
        for b in found:
            if not a.issued and not (once and a.stmt is b.stmt):
                yield a, b


def _barrier(path: Path, span: Span, whole: Barrier) -> Block:
    return (replace(whole, span=span),)


@dataclass(slots=True)
class _Planner:
    """`whole` is the barrier of all threads that execute the code in hand: the block's or a role's."""

    kernel: Kernel
    launch: Launch
    roots: Mapping[Buffer, Buffer]
    granules: Mapping[Buffer, int]
    barriers: dict[Path, tuple[Hazard, ...]] = field(default_factory=dict)
    whole: Barrier = field(default_factory=Barrier)
    slots: dict[Buffer, int] = field(init=False)
    measured: Measured = field(init=False)
    given: frozenset[Node] = frozenset()  # variables that are the same in all threads, as far as one sees at once
    differing: Uniform | None = None

    def __post_init__(self) -> None:
        self.given = frozenset((*self.kernel.params, *self.kernel.sizes, *self.launch.blocks))
        self.slots = {s.buffer: s.offset for s in self.launch.shared}
        self.measured = measured(self.launch, self.granules, self.roots)

    @property
    def own(self) -> Mapping[Path, list[Footprint]]:
        return self.measured.own

    def uniform(self, e: Expr) -> bool:
        if all(isinstance(n, (Const, Binary)) or n in self.given for n in walk(e)):
            return True
        if self.differing is None:
            self.differing = uniform_values(self.kernel, self.launch)
        return self.differing(e)

    # ---------------------------------------------------------------------------------------------------- conflicts

    def hazards(self, sources: Iterable[Footprint], targets: Sequence[Footprint]) -> list[Hazard]:
        return [
            Hazard(b.buffer, a.stmt, b.stmt, f"{b.kind.value} after {a.kind.value}")
            for a in sources
            for b in targets
            if self.meets(a, b)
        ]

    def meets(self, a: Footprint, b: Footprint) -> bool:
        if isinstance(b.stmt, Arrive) and self.spoken_for(a, b.stmt):
            return False
        if a.buffer is b.buffer:
            return meet(a, b)
        if a.buffer not in self.slots or b.buffer not in self.slots:
            return False
        start_a, start_b = self.slots[a.buffer], self.slots[b.buffer]
        if start_a >= start_b + bytes_of(b.buffer) or start_b >= start_a + bytes_of(a.buffer):
            return False
        coarse = self.granules[a.buffer] != self.granules[b.buffer]
        if coarse or start_a % self.granules[a.buffer] or start_b % self.granules[b.buffer]:
            return a.kind is not AccessKind.READ or b.kind is not AccessKind.READ
        return meet_in_arena(a, b, self.slots, self.granules[a.buffer])

    def spoken_for(self, a: Footprint, arrival: Arrive) -> bool:
        """Whether `a` is a product that has been waited for in all warpgroups that arrive: they execute it as one."""
        if not isinstance(a.stmt, AsyncWait) or a.stmt.queue != "product":
            return False
        readers = range(int(a.low.min()) // WARPGROUP, int(a.high.max()) // WARPGROUP + 1)
        return self.measured.groups.get(id(arrival), frozenset()).issuperset(readers)

    # -------------------------------------------------------------------------------------------------------- items

    def items(self, block: Block, path: Path) -> list[Item]:
        return [self.item(s, (*path, i)) for i, s in enumerate(block)]

    def item(self, s: Stmt, path: Path) -> Item:
        match s:
            case Barrier() if s.count == self.whole.count and (s.count or s.id == 0):
                return Item(through=False)
            case ClusterBarrier("sync") if not self.whole.count:
                return Item(through=False)
            case AsyncWait():
                return Item(leave=tuple(self.told(s, path)))
            case Roles(roles):
                return self.together(s, roles, path)
            case For() | While() | If():
                if not synchronises(s):
                    found = tuple(self.collect(s, path))
                    if not any(self.meets(a, b) for a, b in _unordered(s, found)):
                        return leaf(found, s)
                return self.compound(s, path)
        return leaf(tuple(self.own.get(path, ())), s)

    def told(self, s: AsyncWait, path: Path) -> Iterator[Footprint]:
        """What the threads that wait here know to be complete, and others do not."""
        return (replace(f, stmt=s, issued=False) for f in self.measured.arrived.get(path, ()))

    def together(self, s: Roles, roles: Sequence[Role], path: Path) -> Item:
        """Places the barriers of each role. All that they touch was touched when they have ended."""
        outer = self.whole
        for n, role in enumerate(roles):
            here = (*path, n)
            self.whole = role_barrier(n, role)
            self.straight(self.items(role.body, here), here)
        self.whole = outer
        found = tuple(self.collect(s, path))
        return Item(found, tuple(replace(f, issued=False) for f in found))

    def compound(self, s: Stmt, path: Path) -> Item:
        """A statement that has conflicts or synchronisation inside."""
        own = tuple(self.own.get(path, ()))
        match s:
            case If(cond, then, orelse) if self.uniform(cond):
                a = self.straight(self.items(then, (*path, 0)), (*path, 0))
                b = self.straight(self.items(orelse, (*path, 1)), (*path, 1))
                return Item(
                    (*own, *a.enter, *b.enter),
                    (*own, *a.leave, *b.leave),
                    a.through or b.through,
                    a.leaves or b.leaves,
                )
            case For(var, extent, body) if self.uniform(extent) and not self.parted(body):
                return self.loop(body, path, own, var, extent)
            case While(cond, body) if self.uniform(cond) and not self.parted(body):
                return self.loop(body, path, own, None, None)
        found = tuple(self.collect(s, path))
        for first, second in _unordered(s, found):
            if self.meets(first, second):
                note = ("the other access", first.stmt.span)
                raise error("TD0502", second.stmt.span, (note,), buffer=second.buffer.name)
        return leaf(found, s)

    def parted(self, body: Block) -> bool:
        """Whether some threads may leave an iteration before others."""
        return any(isinstance(s, If) and may_leave(s) and not self.uniform(s.cond) for s in own_level(body))

    def collect(self, s: Stmt, path: Path) -> list[Footprint]:
        """The footprints of `s` and all below, of all iterations."""
        found = list(self.own.get(path, ()))
        match s:
            case For(var, extent, body):
                inside = [f for i, x in enumerate(body) for f in self.collect(x, (*path, i))]
                found += over(inside, var, trip_count(extent))
            case If(_, then, orelse):
                for n, block in enumerate((then, orelse)):
                    for i, x in enumerate(block):
                        found += self.collect(x, (*path, n, i))
            case While(body=body):
                for i, x in enumerate(body):
                    found += self.collect(x, (*path, i))
            case AsyncWait():
                found += self.told(s, path)
            case Roles(roles):
                for n, role in enumerate(roles):
                    for i, x in enumerate(role.body):
                        found += self.collect(x, (*path, n, i))
        return found

    # ----------------------------------------------------------------------------------------------------- placement

    def straight(self, items: Sequence[Item], path: Path) -> Item:
        """Places barriers between items that are executed once, one after the other."""
        enter: list[Footprint] = []
        pending: list[Footprint] = []
        open_start, through, leaves = True, True, False
        for i, item in enumerate(items):
            found = self.hazards(pending, item.enter)
            if found:
                self.barriers[(*path, i)] = tuple(found)
                pending, open_start, through = [], False, through and leaves
            if open_start:
                enter += item.enter
            if not item.through:
                pending, open_start, through = [], False, through and leaves
            pending += item.leave
            leaves = leaves or item.leaves
        return Item(tuple(enter), tuple(pending), through, leaves)

    def loop(self, body: Block, path: Path, own: tuple[Footprint, ...], var: Var | None, extent: Expr | None) -> Item:
        items = self.items(body, path)
        trips = trip_count(extent)
        if trips is not None and trips <= 1:
            once = self.straight(items, path) if trips else Item()
            return Item((*own, *seen_at(once.enter, var, 0)), (*own, *seen_at(once.leave, var, 0)), once.through)
        self.around(items, path, var, trips)
        synchronised = any(not item.through or (*path, i) in self.barriers for i, item in enumerate(items))
        early_end = any(item.leaves for item in items)
        first, last = exposed(items, [(*path, i) in self.barriers for i in range(len(items))])
        if early_end:
            last = [f for item in items for f in item.leave]
        if not synchronised:
            first, last = over(first, var, trips), over(last, var, trips)
        else:
            first, last = seen_at(first, var, 0), seen_at(last, var, trips - 1 if trips and not early_end else None)
        certain = synchronised and not early_end and trips is not None
        return Item((*own, *first), (*own, *last), through=not certain)

    def around(self, items: Sequence[Item], path: Path, var: Var | None, trips: int | None) -> None:
        """Places barriers in the body of a loop, for conflicts within an iteration and between iterations."""
        count = len(items)
        arcs: list[tuple[Arc, list[Hazard]]] = []
        for i, source in enumerate(items):
            if not source.leave:
                continue
            for j, target in enumerate(items):
                if not target.enter:
                    continue
                if i < j and all(x.through for x in items[i + 1 : j]):
                    arcs.append((Arc(i + 1, j, count), self.between(source, target, var, trips, 0)))
                passed = (*items[i + 1 :], *items[:j])
                if all(x.through for x in passed):
                    carried = self.between(source, target, var, trips, 1)
                    early = any(x.leaves for x in items)  # a way back to the start that skips the rest of the body
                    arcs.append((Arc(0 if early else i + 1, j if early else j + count, count), carried))
        arcs = [(arc, found) for arc, found in arcs if found]
        for position in fewest_positions([arc for arc, _ in arcs], count):
            reasons = tuple(h for arc, found in arcs if arc.hits(position) for h in found)
            self.barriers[(*path, position)] = reasons
        if not arcs and all(x.through for x in items):
            self.far(items, path, var, trips)

    def between(self, source: Item, target: Item, var: Var | None, trips: int | None, later: int) -> list[Hazard]:
        """Conflicts of `source` with `target`, which is `later` iterations further.

        Where there are fewer iterations than versions, each is looked at: not all versions meet then.
        """
        versions = max(f.modulus for f in (*source.leave, *target.enter))
        if var is None:
            return self.hazards(source.leave, target.enter)
        if trips is None or trips - later >= versions:
            return self.hazards(source.leave, [f.moved({var: later}) for f in target.enter] if later else target.enter)
        found = [
            h
            for k in range(trips - later)
            for h in self.hazards(seen_at(source.leave, var, k), seen_at(target.enter, var, k + later))
        ]
        return list({(id(h.buffer), id(h.first), id(h.second), h.kind): h for h in found}.values())

    def far(self, items: Sequence[Item], path: Path, var: Var | None, trips: int | None) -> None:
        """A loop without barriers: iterations further apart may use the same version again."""
        versions = max((f.modulus for item in items for f in item.leave), default=1)
        farthest = versions if trips is None else min(versions, trips - 1)
        for distance in range(2, farthest + 1) if var is not None else ():
            assert var is not None
            for j, target in enumerate(items):
                later = [f.moved({var: distance}) for f in target.enter]
                found = [h for source in items for h in self.hazards(source.leave, later)]
                if found:
                    self.barriers[(*path, j)] = tuple(found)
                    return
