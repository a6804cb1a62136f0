"""What the roles of a T.WSSchedule hand over to each other: who fills a pipeline and who empties it, in turn."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from tiledsl.errors import TileError, error
from tiledsl.ir.dtypes import UINT64
from tiledsl.ir.nodes import Buffer, Space
from tiledsl.language.schedules import ROOT, WSPipeline, WSSchedule, WSSync

_OPENS, _CLOSES = ("producer_acquire", "consumer_wait"), ("producer_commit", "consumer_release")
Bodies: TypeAlias = Mapping[str, tuple[str | WSSync, ...]]


@dataclass(eq=False)
class Ring:
    """A pipeline as it is made: its tiles with `depth` versions, and its barriers."""

    of: WSPipeline
    full: Buffer
    empty: Buffer
    wide: dict[Buffer, Buffer]
    producer: str = ""
    consumers: list[str] = field(default_factory=list)
    scope: str = ""  # where it goes round


def refused(schedule: WSSchedule, why: str) -> TileError:
    return error("TD0412", schedule.span, why=why)


def _ring(p: WSPipeline) -> Ring:
    wide = {b: replace(b, shape=(p.depth, *b.shape)) for b in p.tiles}
    full, empty = (Buffer(f"{p.name}_{what}", (p.depth,), UINT64, Space.BARRIER) for what in ("full", "empty"))
    return Ring(p, full, empty, wide)


def rings_of(schedule: WSSchedule) -> dict[str, Ring]:
    """The pipelines by name. Each is filled by one role and emptied by others, in one scope, each in one span.

    Raises TileError TD0412 where that is not so.
    """
    rings = {p.name: _ring(p) for p in schedule.pipelines}
    roles = {r.name for r in schedule.roles}
    seen: set[tuple[str, str]] = set()
    for scope, bodies in ((s.id, s.bodies) for s in schedule.scopes):
        for role, body in bodies.items():
            if role not in roles:
                raise refused(schedule, f"the scope '{scope}' has a body for '{role}', which is no role")
            if len({e.stage for e in body if isinstance(e, WSSync)}) > 1:
                raise refused(
                    schedule, f"role '{role}' has different stages in the scope '{scope}'; they must be equal"
                )
            opened: dict[str, WSSync] = {}
            for e in body:
                if isinstance(e, WSSync):
                    _span(schedule, rings, e, (scope, role), opened, seen)
            if opened:
                first = next(iter(opened))
                raise refused(schedule, f"role '{role}' opens pipeline '{first}' in '{scope}' and never closes it")
    for ring in rings.values():
        if not ring.producer or not ring.consumers:
            side = "consumer" if ring.producer else "producer"
            raise refused(schedule, f"pipeline '{ring.of.name}' has no {side}")
    return rings


def _span(
    schedule: WSSchedule,
    rings: Mapping[str, Ring],
    e: WSSync,
    at: tuple[str, str],
    opened: dict[str, WSSync],
    seen: set[tuple[str, str]],
) -> None:
    """Follows one entry of the body of a role in a scope."""
    scope, role = at
    ring = rings.get(e.pipeline)
    if ring is None:
        raise refused(schedule, f"role '{role}' names the pipeline '{e.pipeline}', which there is not")
    if e.kind in _CLOSES:
        begun = opened.pop(e.pipeline, None)
        if begun is None or _OPENS.index(begun.kind) != _CLOSES.index(e.kind):
            raise refused(schedule, f"role '{role}' has {e} in '{scope}' without the word that opens it")
        return
    if (role, e.pipeline) in seen:
        raise refused(schedule, f"role '{role}' opens pipeline '{e.pipeline}' twice")
    seen.add((role, e.pipeline))
    opened[e.pipeline] = e
    if ring.scope not in ("", scope):
        raise refused(schedule, f"pipeline '{e.pipeline}' goes round in the scopes '{ring.scope}' and '{scope}'")
    ring.scope = scope
    if e.kind == "producer_acquire":
        if ring.producer:
            raise refused(schedule, f"pipeline '{e.pipeline}' has two producers, '{ring.producer}' and '{role}'")
        ring.producer = role
    else:
        ring.consumers.append(role)


def check_turns(schedule: WSSchedule, rings: Mapping[str, Ring]) -> None:
    """That no role waits for ever: the schedule is run on counters, with a few turns of each loop. Raises TD0412."""
    scopes = {s.id: s.bodies for s in schedule.scopes}
    roles = [r.name for r in schedule.roles]
    turns = max((r.of.depth for r in rings.values()), default=1) + 2
    steps = {role: list(_steps(scopes, ROOT, role, turns)) for role in roles}
    filled = dict.fromkeys(rings, 0)
    emptied = {(p, c): 0 for p, ring in rings.items() for c in ring.consumers}
    at = dict.fromkeys(roles, 0)
    opened: dict[tuple[str, str], int] = {}
    moved = True
    while moved:
        moved = False
        for role, todo in steps.items():
            while at[role] < len(todo):
                e = todo[at[role]]
                p, ring = e.pipeline, rings[e.pipeline]
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
        raise refused(schedule, f"roles wait for each other for ever: {what}")


def _steps(scopes: Mapping[str, Bodies], scope: str, role: str, turns: int) -> Iterator[WSSync]:
    for e in scopes[scope].get(role, ()):
        if isinstance(e, WSSync):
            yield e
        elif e in scopes:
            for _ in range(turns):
                yield from _steps(scopes, e, role, turns)
