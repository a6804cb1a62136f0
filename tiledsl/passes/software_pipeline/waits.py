"""Commit groups and waits of cp.async, counted by simulating the sequence of commits.

`cp.async.commit_group` closes all copies that a thread has issued since the last commit; `cp.async.wait_group N` waits
until at most the N youngest groups are in flight (PTX ISA, "cp.async.commit_group", "cp.async.wait_group").
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tiledsl.analysis.boxes import Later, may_overlap
from tiledsl.passes.software_pipeline.body import Body

Copy = tuple[int, int]  # unit, iteration
Use = tuple[int, int]  # a unit, and how many steps of the pipelined sequence later it uses what it waits for


@dataclass(slots=True)
class Groups:
    """The commit groups of one thread, as the hardware counts them."""

    committed: int = 0
    finished: int = 0  # groups known to be complete, oldest first
    group_of: dict[Copy, int] = field(default_factory=dict)
    issued: list[Copy] = field(default_factory=list)

    def issue(self, copy: Copy) -> None:
        self.issued.append(copy)

    def commit(self) -> None:
        for copy in self.issued:
            self.group_of[copy] = self.committed
        self.issued.clear()
        self.committed += 1

    def wait(self, copies: Iterable[Copy]) -> int | None:
        """How many groups may stay in flight for `copies` to have arrived; None if they have. Performs that wait.

        Raises KeyError for a copy that has not been committed.
        """
        needed = max((self.group_of[c] for c in copies), default=-1)
        if needed < self.finished:
            return None
        self.finished = needed + 1
        return self.committed - self.finished


def needs(body: Body, groups: Sequence[int | None]) -> list[list[tuple[int, int]]]:
    """For each unit the asynchronous copies it must wait for: (unit, distance in iterations).

    A unit before the copy in program order sees the tile of the iteration before.
    """
    copies = [i for i, g in enumerate(groups) if g is not None]
    later = Later.of(body.loop)
    out: list[list[tuple[int, int]]] = []
    for i, user in enumerate(body.units):
        found: list[tuple[int, int]] = []
        for c in copies:
            tiles = [(a, w) for w in body.units[c].accesses if w.writes for a in user.accesses if a.buffer is w.buffer]
            if c < i and any(may_overlap(a.region, w.region) for a, w in tiles):
                found.append((c, 0))
            elif c != i and any(later.may_overlap(w.region, a.region) for a, w in tiles):
                found.append((c, 1))
        out.append(found)
    return out


@dataclass(frozen=True, slots=True)
class Step:
    """A point of the emitted sequence at time `t`: a unit with what surrounds it."""

    t: int
    unit: int
    runs: bool
    commits: bool


def simulate(
    steps: Iterable[Step],
    stage: Sequence[int],
    needed: Sequence[Sequence[tuple[int, int]]],
    covered: Sequence[Sequence[Use]],
    groups: Sequence[int | None],
) -> Iterator[tuple[Step, int | None]]:
    """The wait before each step: the number of groups that may be in flight, None if there is nothing to wait for.

    Copies of iterations before the first were never issued and need no wait.
    """
    state = Groups()
    for step in steps:
        wanted = [
            (c, step.t + ahead - stage[u] - d)
            for u, ahead in covered[step.unit]
            if step.t + ahead >= stage[u]
            for c, d in needed[u]
        ]
        yield step, state.wait(c for c in wanted if c in state.group_of or c in state.issued)
        if step.runs and groups[step.unit] is not None:
            state.issue((step.unit, step.t - stage[step.unit]))
        if step.commits:
            state.commit()


def steady_steps(
    stage: Sequence[int], sequence: Sequence[int], commit_after: Mapping[int, int], times: int
) -> Iterator[Step]:
    """The loop without an end, from its first iteration: every commit is executed once its stage is reached."""
    for t in range(times):
        for u in sequence:
            yield Step(t, u, t >= stage[u], u in commit_after and t >= stage[u])


def assign_waits(
    body: Body, stage: Sequence[int], order: Sequence[int], groups: Sequence[int | None], *, fuse: bool
) -> tuple[tuple[int | None, ...], tuple[tuple[Use, ...], ...]]:
    """(waits, covered) of a plan.

    A wait stands right before the unit that needs the data, or with `fuse` in front of the copies that are issued
    before that unit: copies overwrite tiles, so a barrier is needed there anyhow, which ends the reads of the old
    tile; placed after the wait, it also makes the arrived one visible. One barrier for each run of copies instead of
    two; it costs the groups that are issued in between. (So do CUTLASS's multistage main loop and FlashAttention-2.)
    """
    needed = needs(body, groups)
    sequence = sorted(range(len(stage)), key=lambda i: order[i])
    users = [i for i in range(len(stage)) if needed[i]]
    covered = _covered(len(stage), {i: (i, 0) for i in users})
    waits = _steady_waits(stage, sequence, needed, covered, groups)
    if fuse:  # what an earlier wait brings anyhow needs none of its own
        moved = {i: (i, 0) if waits[i] is None else _hoisted(i, needed[i], stage, sequence, groups) for i in users}
        covered = _covered(len(stage), moved)
        waits = _steady_waits(stage, sequence, needed, covered, groups)
    return waits, covered


def _covered(count: int, places: Mapping[int, Use]) -> tuple[tuple[Use, ...], ...]:
    """For each unit the uses whose wait stands before it, where `places[i]` is that of the use i."""
    return tuple(tuple((i, ahead) for i, (at, ahead) in places.items() if at == unit) for unit in range(count))


def _steady_waits(
    stage: Sequence[int],
    sequence: Sequence[int],
    needed: Sequence[Sequence[tuple[int, int]]],
    covered: Sequence[Sequence[Use]],
    groups: Sequence[int | None],
) -> tuple[int | None, ...]:
    """The wait before each unit once all stages are reached, from a run that is long enough to repeat."""
    waits: list[int | None] = [None] * len(stage)
    depth = max(stage, default=0)
    if commit_after := commit_points(sequence, groups):
        steps = steady_steps(stage, sequence, commit_after, 3 * depth + 4)
        for step, pending in simulate(steps, stage, needed, covered, groups):
            if step.t >= depth and pending is not None:
                known = waits[step.unit]
                waits[step.unit] = pending if known is None else min(known, pending)
    return tuple(waits)


def simulate_products(
    steps: Iterable[Step], stage: Sequence[int], needed: Sequence[Sequence[tuple[int, int]]], products: Collection[int]
) -> Iterator[tuple[Step, int | None]]:
    """As `simulate`, for the queue of products: each is a group, and waited for by the first that needs it."""
    state = Groups()
    for step in steps:
        k = step.t - stage[step.unit]
        wanted = [(g, k - distance) for g, distance in needed[step.unit]]
        yield step, state.wait(c for c in wanted if c in state.group_of) if step.runs else None
        if step.runs and step.unit in products:
            state.issue((step.unit, k))
            state.commit()


def steady_product_waits(
    stage: Sequence[int],
    order: Sequence[int],
    needed: Sequence[Sequence[tuple[int, int]]],
    products: Collection[int],
) -> tuple[int | None, ...]:
    """The waits of `simulate_products` in the steady state, the strictest of each unit."""
    sequence = sorted(range(len(stage)), key=lambda i: order[i])
    depth = max(stage, default=0)
    steps = steady_steps(stage, sequence, {}, 3 * depth + 4)
    waits: list[int | None] = [None] * len(stage)
    for step, pending in simulate_products(steps, stage, needed, products):
        if step.t >= depth and pending is not None:
            known = waits[step.unit]
            waits[step.unit] = pending if known is None else min(known, pending)
    return tuple(waits)


def _hoisted(
    user: int,
    needed: Sequence[tuple[int, int]],
    stage: Sequence[int],
    sequence: Sequence[int],
    groups: Sequence[int | None],
) -> Use:
    """Where the wait for `user` moves: the start of the run of copies before it, maybe of the iteration before.

    It stays where it is if the needed copies are not all committed there.
    """
    count = len(sequence)
    place = {u: p for p, u in enumerate(sequence)}
    closed = {g: place[u] for u, g in commit_points(sequence, groups).items()}
    back = [place[user] - step for step in range(1, count)]
    start = next((p for p in back if groups[sequence[p % count]] is not None), None)
    if start is None:
        return user, 0
    while start - 1 > place[user] - count and start % count and groups[sequence[(start - 1) % count]] is not None:
        start -= 1
    ahead = int(start < 0)
    for c, distance in needed:
        group = groups[c]
        assert group is not None
        committed = stage[c] - stage[user] - distance, closed[group]  # relative to the time of the user
        if committed >= (-ahead, start % count):
            return user, 0
    return sequence[start % count], ahead


def commit_points(sequence: Sequence[int], groups: Sequence[int | None]) -> dict[int, int]:
    """Where each group is closed, after its last member: unit -> group."""
    last = {groups[i]: i for i in sequence if groups[i] is not None}
    return {i: g for g, i in last.items() if g is not None}
