"""When a pipeline schedule is right: the modulo-scheduling rule.

Unit s executes iteration k at time (k + stage[s], order[s]), compared lexicographically. A dependence from unit a at
iteration k to unit b at iteration k + d holds iff

    stage[a] < stage[b] + d   or   stage[a] == stage[b] + d and order[a] < order[b]

With V versions of a buffer, iterations k and k + V share storage, so every access must come before the write that
reuses it: the same rule with d = V. Versions need that each iteration writes, before it reads, all that it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from tiledsl.analysis.access import Access, conflict
from tiledsl.analysis.boxes import Later, covers, may_overlap
from tiledsl.ir.concurrent import Arrive, Await
from tiledsl.ir.nodes import TRUE, Buffer, For, Space, static_shape
from tiledsl.ir.walk import walk
from tiledsl.passes.software_pipeline.body import Body, Unit, opaque_buffers


@dataclass(frozen=True, slots=True)
class Dependence:
    """Unit `first` at iteration k must come before unit `second` at iteration k + `distance`."""

    first: int
    second: int
    distance: int
    buffer: Buffer | None  # None: a fence
    kind: str  # read after write, ...


@dataclass(frozen=True, slots=True)
class Constraints:
    """`fixed` holds for every number of versions; `reuse[b]` are the pairs (access, write) that versions pull apart.

    `single` says why a buffer that is written must keep one version.
    """

    fixed: tuple[Dependence, ...]
    reuse: Mapping[Buffer, tuple[Dependence, ...]]
    single: Mapping[Buffer, str]


def before(stage: Sequence[int], order: Sequence[int], d: Dependence) -> bool:
    """Whether the schedule respects `d`."""
    reached = stage[d.second] + d.distance
    return stage[d.first] < reached or (stage[d.first] == reached and order[d.first] < order[d.second])


def constraints(body: Body, forbidden: Mapping[Buffer, str]) -> Constraints:
    """All that a schedule of `body` must respect. `forbidden` buffers keep one version, for the reason given."""
    fixed = [*_fences(body.units), *_supplies(body)]
    reuse: dict[Buffer, tuple[Dependence, ...]] = {}
    single: dict[Buffer, str] = {}
    opaque = set().union(*(opaque_buffers(u) for u in body.units))
    handed = {a.buffer for u in body.units if u.handover for a in u.accesses}
    for buffer, touching in _by_buffer(body.units).items():
        if not any(a.writes for _, a in touching):
            continue
        fixed += _within(touching, buffer)
        reason = forbidden.get(buffer) or _one_version(buffer, touching, opaque)
        carried = tuple(_carried(touching, buffer, body.loop))
        if buffer in handed:  # each wait brings new contents, and the barriers have as many turns as there are versions
            fixed += [replace(d, distance=buffer.versions) for d in carried if not d.kind.startswith("read after")]
        elif reason:
            single[buffer] = reason
            fixed += carried
        else:
            reuse[buffer] = tuple(d for d in carried if not d.kind.startswith("read after"))
    return Constraints(tuple(dict.fromkeys(fixed)), reuse, single)


def _by_buffer(units: Sequence[Unit]) -> dict[Buffer, list[tuple[int, Access]]]:
    touching: dict[Buffer, list[tuple[int, Access]]] = {}
    for i, u in enumerate(units):
        for a in u.accesses:
            touching.setdefault(a.buffer, []).append((i, a))
    return touching


def _fences(units: Sequence[Unit]) -> Iterator[Dependence]:
    for i, u in enumerate(units):
        for j in range(len(units)) if u.fence else ():
            if i != j:
                first, second = min(i, j), max(i, j)
                yield Dependence(first, second, 0, None, "fence")
                yield Dependence(second, first, 1, None, "fence")


def _supplies(body: Body) -> Iterator[Dependence]:
    """Other roles bring tiles in an order of their own: before some arrive, all that come first must be given back.

    In iteration k of theirs they wait for what iteration k - depth of this loop gives back, where a barrier has `depth`
    slots, or if that wait comes behind the tiles in question, they have passed the one of iteration k - 1 only.
    """
    at = body.supply
    given, wanted = ([_barriers(u, kind) for u in body.units] for kind in (Arrive, Await))
    for i, empties in enumerate(given):
        for j, fulls in enumerate(wanted):
            for empty, full in product(empties, fulls):
                if empty is not full:
                    depth, *_ = static_shape(empty)
                    behind = full in at and empty in at and at[full] < at[empty]
                    yield Dependence(i, j, depth + behind, empty, "supply after return")


def _barriers(u: Unit, kind: type[Arrive | Await]) -> set[Buffer]:
    return {n.barrier.buffer for s in u.block for n in walk(s) if isinstance(n, kind)}


def _kind(a: Access, b: Access) -> str:
    return f"{'write' if b.writes else 'read'} after {'write' if a.writes else 'read'}"


def _within(touching: Sequence[tuple[int, Access]], buffer: Buffer) -> Iterator[Dependence]:
    for n, (i, a) in enumerate(touching):
        for j, b in touching[n + 1 :]:
            if i != j and conflict(a.kind, b.kind) and may_overlap(a.region, b.region):
                yield Dependence(i, j, 0, buffer, _kind(a, b))


def _carried(touching: Sequence[tuple[int, Access]], buffer: Buffer, loop: For) -> Iterator[Dependence]:
    """Dependences between iterations. The least distance is required even where only larger ones meet."""
    later = Later.of(loop)
    for j, b in touching:
        region = later(b.region)
        for i, a in touching:
            if i != j and conflict(a.kind, b.kind) and may_overlap(a.region, region, later.ranges):
                yield Dependence(i, j, 1, buffer, _kind(a, b))


def _one_version(buffer: Buffer, touching: Sequence[tuple[int, Access]], opaque: set[Buffer]) -> str:
    """Why `buffer` must keep one version; empty if it need not."""
    if buffer.space is not Space.SHARED:
        return {Space.GLOBAL: "it is a global tensor"}.get(buffer.space, "it lives in registers")
    if buffer.versions > 1 or buffer in opaque:
        return "it is accessed in a way that cannot name a version"
    written: list[Access] = []
    for _, a in touching:
        if a.region is None or a.region.version is not None:
            return "it is accessed through a view or in a way that cannot name a version"
        if a.reads and not covers([w.region for w in written if w.region and _whenever(w, a)], a.region):
            return "an iteration reads what an earlier one wrote"
        if a.writes and a.exact:
            written.append(a)
    return ""


def _whenever(write: Access, read: Access) -> bool:
    """Whether the write has happened whenever the read does."""
    return write.guard in (TRUE, read.guard)


def least_versions(stage: Sequence[int], order: Sequence[int], reuse: Sequence[Dependence]) -> int:
    """The least V for which `before(access, write, V)` holds for all pairs."""
    least = 1
    for d in reuse:
        gap = stage[d.first] - stage[d.second]
        least = max(least, gap if order[d.first] < order[d.second] else gap + 1)
    return least


def violated(stage: Sequence[int], order: Sequence[int], rules: Constraints) -> Dependence | None:
    """The first dependence that the schedule breaks; versions are taken to be the least that suffice."""
    return next((d for d in rules.fixed if not before(stage, order, d)), None)


def versions_of(stage: Sequence[int], order: Sequence[int], rules: Constraints) -> dict[Buffer, int]:
    """How many copies each buffer of the loop needs; those that need one are left out."""
    needed = {b: least_versions(stage, order, pairs) for b, pairs in rules.reuse.items()}
    return {b: n for b, n in needed.items() if n > 1}
