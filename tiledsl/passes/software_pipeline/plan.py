"""Software-pipeline plans: for each unit of the body a stage, a place in the order, its commit group and wait.

Automatic planning follows TileLang's: copies from global to shared memory run in the first stage, everything else
`num_stages` later; a copy is issued right after the last reader of its tile, or first of all where all copies have the
same last reader. The modulo rule (`legal`) is the judge; a copy that cannot be early is executed in place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tiledsl.analysis.boxes import may_overlap
from tiledsl.errors import TileError, error
from tiledsl.ir.nodes import Buffer, Pipelined
from tiledsl.passes.software_pipeline.body import WORLD, Body, Unit
from tiledsl.passes.software_pipeline.legal import Constraints, Dependence, least_versions, versions_of, violated
from tiledsl.passes.software_pipeline.products import product_needs, product_schedule, settled_before
from tiledsl.passes.software_pipeline.rings import Ring, rings_of
from tiledsl.passes.software_pipeline.waits import Use, assign_waits, steady_product_waits


@dataclass(frozen=True, slots=True)
class PipelinePlan:
    """The schedule of one loop; the tuples have an entry for each unit, in program order.

    `groups`: the commit group of an asynchronous copy, None for everything else. A group is committed after its last
    member. `waits`: how many committed groups may be in flight before this unit executes in the steady state, None
    where it need not wait. `covered[i]`: the uses that the wait before i is for. `versions`: copies of each buffer
    that needs more than one. `products`: units that are issued to the tensor core, each a group of its own, and
    `product_waits`: how many of these groups may be in flight before each unit. `settled`: what must have been
    computed before that wait, for the work is to run beside the product. `rings` have the copies that the copy engine
    makes, `left` those that it could not, with the reasons.
    """

    labels: tuple[str, ...]
    stage: tuple[int, ...]
    order: tuple[int, ...]
    groups: tuple[int | None, ...]
    waits: tuple[int | None, ...]
    covered: tuple[tuple[Use, ...], ...]
    versions: tuple[tuple[Buffer, int], ...]
    products: frozenset[int] = frozenset()
    product_waits: tuple[int | None, ...] = ()
    settled: tuple[tuple[Buffer, ...], ...] = ()
    rings: tuple[Ring, ...] = ()
    left: tuple[tuple[int, str], ...] = ()

    @property
    def sequence(self) -> tuple[int, ...]:
        """The units in the order in which they are issued."""
        return tuple(sorted(range(len(self.order)), key=lambda i: self.order[i]))

    @property
    def depth(self) -> int:
        """The greatest stage: how many iterations are in flight besides the current one."""
        return max(self.stage, default=0)

    @property
    def overlaps(self) -> bool:
        """Whether there is anything to do: a schedule of one stage is the loop as written."""
        return len(set(self.stage)) > 1

    def __str__(self) -> str:
        rows: list[tuple[str, ...]] = [("statement", "stage", "order", "group", "wait")]
        for i, label in enumerate(self.labels):
            ring = next((n for n, r in enumerate(self.rings) if i in r.units), None)
            group = "product" if i in self.products else self.groups[i] if ring is None else f"ring {ring}"
            wait = self.product_waits[i] if self.product_waits and self.waits[i] is None else self.waits[i]
            cells = (self.stage[i], self.order[i], group, wait)
            rows.append((label, *("-" if c is None else str(c) for c in cells)))
        widths = [max(len(r[c]) for r in rows) for c in range(5)]
        lines = ["  ".join([r[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(r[1:], widths[1:]))]) for r in rows]
        copies = ", ".join(f"{b.name} x{n}" for b, n in self.versions)
        rings = (f"ring {n}: {r}, before {self.labels[r.reader]}" for n, r in enumerate(self.rings))
        return "\n".join([*lines, f"versions: {copies or 'one of each'}", *rings])


@dataclass(frozen=True, slots=True)
class Schedule:
    stage: tuple[int, ...]
    order: tuple[int, ...]
    groups: tuple[int | None, ...]


def make_plan(body: Body, rules: Constraints, *, fuse_barrier: bool = True) -> PipelinePlan:
    """The plan of `body`, a loop of kind Pipelined. A manual schedule is followed exactly or rejected (TD04)."""
    kind = body.loop.kind
    assert isinstance(kind, Pipelined)
    if kind.by_hand:
        schedule = manual_schedule(body, rules, kind)
    elif kind.stages <= 0 or body.leaves:
        schedule = serial(body)
    else:
        schedule = automatic_schedule(body, rules, kind.stages)
    if not kind.by_hand and kind.stages > 0 and len(set(schedule.stage)) == 1:
        found = product_schedule(body, rules)
        if found is not None:
            return _product_plan(body, *found)
    stage, order = schedule.stage, schedule.order
    versions = versions_of(stage, order, rules)
    rings, groups, left = rings_of(body, stage, order, schedule.groups, versions)
    waits, covered = assign_waits(body, stage, order, groups, fuse=fuse_barrier)
    labels = tuple(u.label for u in body.units)
    return PipelinePlan(labels, stage, order, groups, waits, covered, tuple(versions.items()), rings=rings, left=left)


def _product_plan(body: Body, stage: tuple[int, ...], order: tuple[int, ...]) -> PipelinePlan:
    count = len(stage)
    none = (None,) * count
    products = frozenset(i for i, u in enumerate(body.units) if u.product)
    labels, covered = tuple(u.label for u in body.units), ((),) * count
    waits = steady_product_waits(stage, order, product_needs(body), products)
    settled = settled_before(body, order, waits)
    return PipelinePlan(labels, stage, order, none, none, covered, (), products, waits, settled)


def serial(body: Body) -> Schedule:
    count = len(body.units)
    return Schedule((0,) * count, tuple(range(count)), (None,) * count)


# ------------------------------------------------------------------------------------------------------- automatic


def feeds(a: Unit, b: Unit) -> bool:
    """Whether b reads something that a writes."""
    return any(
        x.buffer is y.buffer and may_overlap(x.region, y.region)
        for x in a.accesses
        if x.writes
        for y in b.accesses
        if y.reads
    )


def automatic_schedule(body: Body, rules: Constraints, stages: int) -> Schedule:
    """The schedule described at the top, legal by construction: the sequential order is the last resort."""
    in_place: set[int] = set()
    while True:
        early = _early_units(body.units, in_place)
        schedule = _place(body.units, early, stages)
        broken = violated(schedule.stage, schedule.order, rules)
        if broken is None:
            return schedule
        in_place |= _blamed(broken, early)


def _blamed(broken: Dependence, early: set[int]) -> set[int]:
    """The early units of a broken dependence: the later end if it is early, for it came too soon."""
    if broken.second in early and broken.first not in early:
        return {broken.second}
    return {broken.first, broken.second} & early


def _early_units(units: Sequence[Unit], in_place: set[int]) -> set[int]:
    """Copies with a later reader, and what they depend on: index tables, computed offsets, other copies."""
    early: set[int] = set()
    for i in reversed(range(len(units))):
        if i in in_place:
            continue
        readers = [j for j in range(i + 1, len(units)) if feeds(units[i], units[j])]
        if (units[i].producer and readers) or early.intersection(readers):
            early.add(i)
    return early


def _place(units: Sequence[Unit], early: set[int], stages: int) -> Schedule:
    if not early:
        count = len(units)
        return Schedule((0,) * count, tuple(range(count)), (None,) * count)
    last_use = _last_uses(units, early)
    depth = _early_stages(units, early)
    late = [i for i in range(len(units)) if i not in early]
    sequence: list[int] = []
    for s in late:
        sequence += [s, *(i for i in sorted(early) if last_use[i] == s)]
    consumer_stage = max(depth.values()) + stages
    if stages >= 2 and len(set(last_use.values())) == 1:  # fill, then read: as many tiles, a shorter prologue
        sequence = [*sorted(early), *late]
        consumer_stage -= 1
    stage = tuple(depth.get(i, consumer_stage) for i in range(len(units)))
    order = [0] * len(units)
    for position, i in enumerate(sequence):
        order[i] = position
    return Schedule(stage, tuple(order), _groups(units, early, stage, last_use))


def _last_uses(units: Sequence[Unit], early: set[int]) -> dict[int, int]:
    """The late unit after which an early one may be issued again: its last reader, or that of what it feeds."""
    last_use: dict[int, int] = {}
    for i in sorted(early, reverse=True):
        readers = [j for j in range(i + 1, len(units)) if feeds(units[i], units[j])]
        late = [j for j in readers if j not in early]
        last_use[i] = max(late) if late else min(last_use[j] for j in readers if j in early)
    return last_use


def _early_stages(units: Sequence[Unit], early: set[int]) -> dict[int, int]:
    """Chains of copies get rising stages, so that the index tile has arrived when the copy that it directs starts."""
    depth: dict[int, int] = {}
    for i in sorted(early):
        feeding = [j for j in depth if feeds(units[j], units[i])]
        depth[i] = max((depth[j] + units[j].asynchronous for j in feeding), default=0)
    return depth


def _groups(
    units: Sequence[Unit], early: set[int], stage: Sequence[int], last_use: Mapping[int, int]
) -> tuple[int | None, ...]:
    """Copies of one stage with the same last reader are committed together."""
    numbers: dict[tuple[int, int], int] = {}
    return tuple(
        numbers.setdefault((stage[i], last_use[i]), len(numbers)) if i in early and u.asynchronous else None
        for i, u in enumerate(units)
    )


# ---------------------------------------------------------------------------------------------------------- manual


def manual_schedule(body: Body, rules: Constraints, kind: Pipelined) -> Schedule:
    """The user's schedule, or TD0401-TD0406 with the statements that forbid it."""
    units = body.units
    counted = [i for i, u in enumerate(units) if u.counted]
    stage_of = _entries("stage", kind.stage, body, len(counted))
    order_of = _entries("order", kind.order or tuple(range(len(counted))), body, len(counted))
    if len(set(order_of)) != len(order_of):
        raise error("TD0402", body.loop.span, what="order", why="two statements have the same place in it")
    if min((*stage_of, 0)) < 0 or min((*order_of, 0)) < 0:
        raise error("TD0402", body.loop.span, what="stage and order", why="an entry is negative")
    if body.leaves:
        raise error(
            "TD0402", body.loop.span, what="stage and order", why="break or continue leaves the iteration early"
        )
    stage, order = _spread(units, counted, stage_of, order_of)
    broken = violated(stage, order, rules)
    if broken is not None:
        raise _rejection(body, broken, rules, stage)
    groups = _manual_groups(body, counted, kind, stage, order)
    return Schedule(tuple(stage), tuple(order), groups)


def _entries(what: str, given: tuple[int, ...], body: Body, count: int) -> tuple[int, ...]:
    """`given` with an entry per counted unit. Lists that count scalar lets too, as older kernels' do, lose those."""
    if len(given) == count + len(body.lets_before) and body.lets_before:
        kept = list(given)
        for n, at in reversed(list(enumerate(body.lets_before))):
            del kept[at + n]
        return tuple(kept)
    if len(given) != count:
        counted = [u for u in body.units if u.counted]
        notes = tuple((f"statement {i}: {u.label}", u.span) for i, u in enumerate(counted))
        raise error("TD0401", body.loop.span, notes, what=what, got=len(given), want=count)
    return given


def _spread(
    units: Sequence[Unit], counted: Sequence[int], stage_of: Sequence[int], order_of: Sequence[int]
) -> tuple[list[int], list[int]]:
    """Stages and ranks of all units: one that the user does not count goes right before its first reader."""
    place = {i: (stage_of[n], order_of[n]) for n, i in enumerate(counted)}
    for i in reversed(range(len(units))):
        if i not in place:
            readers = [j for j in range(i + 1, len(units)) if feeds(units[i], units[j])]
            after = readers or list(range(i + 1, len(units))) or list(counted[-1:])
            place[i] = min((place[j] for j in after if j in place), default=(0, 0))
    ranked = sorted(range(len(units)), key=lambda i: (place[i][1], units[i].counted, i))
    order = [0] * len(units)
    for rank, i in enumerate(ranked):
        order[i] = rank
    return [place[i][0] for i in range(len(units))], order


def _rejection(body: Body, d: Dependence, rules: Constraints, stage: Sequence[int]) -> TileError:
    first, second = body.units[d.first], body.units[d.second]
    notes = (
        (f"statement {d.first}: {first.label}, stage {stage[d.first]}", first.span),
        (f"statement {d.second}: {second.label}, stage {stage[d.second]}", second.span),
    )
    if d.buffer is None:
        return error("TD0404", second.span, notes, first=d.first, second=d.second)
    if d.distance and d.buffer in rules.single and d.buffer is not WORLD:
        needed = least_versions(stage, (0,) * len(stage), (d,))
        facts: dict[str, object] = {"buffer": d.buffer.name, "needed": needed, "why": rules.single[d.buffer]}
        return error("TD0405", second.span, notes, first=d.first, second=d.second, **facts)
    return error("TD0403", second.span, notes, first=d.first, second=d.second, buffer=d.buffer.name, kind=d.kind)


def _manual_groups(
    body: Body, counted: Sequence[int], kind: Pipelined, stage: Sequence[int], order: Sequence[int]
) -> tuple[int | None, ...]:
    """Groups as the user lists them; other asynchronous copies by stage and last reader."""
    units = body.units
    most = len(counted) + len(body.lets_before)  # older kernels count scalar lets too
    unknown = [n for members in kind.group for n in members if not 0 <= n < most]
    if unknown:
        raise error("TD0402", body.loop.span, what="group", why=f"there is no statement {unknown[0]}")
    listed = {counted[n]: g for g, members in enumerate(kind.group) for n in members if n < len(counted)}
    numbers: dict[object, int] = {}
    groups: list[int | None] = []
    for i, u in enumerate(units):
        readers = [j for j in range(i + 1, len(units)) if feeds(u, units[j])]
        if not u.asynchronous or not any(stage[j] > stage[i] for j in readers):
            groups.append(None)
            continue
        key: object = ("user", listed[i]) if i in listed else (stage[i], max(readers))
        groups.append(numbers.setdefault(key, len(numbers)))
    for i, g in enumerate(groups):
        closed = max((order[j] for j, h in enumerate(groups) if h is not None and h == g), default=0)
        for j in range(i + 1, len(units)):
            if g is not None and stage[j] == stage[i] and order[j] < closed and feeds(units[i], units[j]):
                notes = ((f"statement {j} reads the tile: {units[j].label}", units[j].span),)
                raise error("TD0406", units[i].span, notes, first=i, second=j)
    return tuple(groups)
