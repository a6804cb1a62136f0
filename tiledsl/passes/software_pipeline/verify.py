"""Checks a plan by running it: the loop and its schedule are executed on tokens, and must see the same ones.

Independent of how the plan was found: no dependence is computed here, only what each read sees.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tiledsl.analysis.access import Access
from tiledsl.analysis.boxes import may_overlap
from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import Buffer, Space
from tiledsl.passes.software_pipeline.body import Body
from tiledsl.passes.software_pipeline.plan import PipelinePlan
from tiledsl.passes.software_pipeline.waits import commit_points

Token = tuple[int, int, int]  # unit, its write, iteration
Seen = dict[tuple[int, int, int], list[Token]]  # (unit, its access, iteration) -> what it finds there


@dataclass(slots=True)
class _Memory:
    """For each buffer and version the latest write of each writer, in the order in which they wrote."""

    written: dict[tuple[Buffer, int], dict[tuple[int, int], tuple[Token, Access]]] = field(default_factory=dict)
    overlap: dict[tuple[int, int], bool] = field(default_factory=dict)

    def see(self, a: Access, version: int) -> list[Token]:
        log = self.written.get((a.buffer, version), {})
        return [token for token, w in log.values() if self.may_overlap(w, a)]

    def may_overlap(self, w: Access, a: Access) -> bool:
        pair = id(w), id(a)
        if pair not in self.overlap:
            self.overlap[pair] = may_overlap(w.region, a.region)
        return self.overlap[pair]

    def write(self, token: Token, a: Access, version: int) -> None:
        log = self.written.setdefault((a.buffer, version), {})
        log.pop(token[:2], None)
        log[token[:2]] = token, a


def _run(body: Body, times: Iterable[tuple[int, int]], versions: Mapping[Buffer, int]) -> Seen:
    """What every access sees when the units are executed in the order of `times`, pairs (unit, iteration)."""
    memory, seen = _Memory(), Seen()
    for i, k in times:
        for n, a in enumerate(body.units[i].accesses):
            if a.buffer.space is not Space.GLOBAL:
                seen[i, n, k] = memory.see(a, k % versions.get(a.buffer, 1))
        for n, a in enumerate(body.units[i].accesses):
            if a.writes and a.buffer.space is not Space.GLOBAL:
                memory.write((i, n, k), a, k % versions.get(a.buffer, 1))
    return seen


def verify_plan(body: Body, plan: PipelinePlan) -> None:
    """Raises VerifyError if a read would see another write than in the loop as written, or a copy in flight."""
    if not plan.overlaps:
        return
    versions = dict(plan.versions)
    trips = 2 * plan.depth + 2
    count = len(body.units)
    expected = _run(body, ((i, k) for k in range(trips) for i in range(count)), {})
    issued = [
        (u, t - plan.stage[u])
        for t in range(trips + plan.depth)
        for u in plan.sequence
        if 0 <= t - plan.stage[u] < trips
    ]
    for place, tokens in _run(body, issued, versions).items():
        i, n, k = place
        a = body.units[i].accesses[n]
        wanted = expected[place]
        if a.buffer in versions:  # other iterations' tiles are elsewhere
            wanted, tokens = [t for t in wanted if t[2] == k], [t for t in tokens if t[2] == k]
        if a.reads and wanted != tokens:
            raise VerifyError(
                f"pipelining changes what statement {i} ({body.units[i].label}) reads of '{a.buffer.name}'",
                body.units[i].span,
            )
    _verify_waits(body, plan, trips)


def _verify_waits(body: Body, plan: PipelinePlan, trips: int) -> None:
    """Runs the endless loop's waits from its first iteration: nothing may touch a tile that is still in flight."""
    commits = commit_points(plan.sequence, plan.groups)
    flying: list[list[tuple[int, int]]] = []
    issued: list[tuple[int, int]] = []
    for t in range(trips + plan.depth):
        for u in plan.sequence:
            k = t - plan.stage[u]
            pending = plan.waits[u]
            if pending is not None and len(flying) > pending:
                del flying[: len(flying) - pending]
            for c, when in (*issued, *(x for group in flying for x in group)):
                if k >= 0 and (c, when) != (u, k) and _meet(body, plan, (u, k), (c, when)):
                    raise VerifyError(
                        f"statement {u} ({body.units[u].label}) uses a tile while statement {c} still copies it",
                        body.units[u].span,
                    )
            if k >= 0 and plan.groups[u] is not None:
                issued.append((u, k))
            if u in commits:  # executed from the first iteration on, as in the guarded form
                flying.append(issued)
                issued = []


def _meet(body: Body, plan: PipelinePlan, user: tuple[int, int], copy: tuple[int, int]) -> bool:
    versions = dict(plan.versions)
    return any(
        a.buffer is w.buffer
        and (user[1] - copy[1]) % versions.get(a.buffer, 1) == 0
        and may_overlap(a.region, w.region)
        for w in body.units[copy[0]].accesses
        if w.writes
        for a in body.units[user[0]].accesses
    )
