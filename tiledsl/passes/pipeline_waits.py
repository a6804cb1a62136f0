"""Commit groups and waits of cp.async, counted by simulating the sequence of commits.

`cp.async.commit_group` closes all copies that a thread has issued since the last commit; `cp.async.wait_group N` waits
until at most the N youngest groups are in flight (PTX ISA, "cp.async.commit_group", "cp.async.wait_group").
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tiledsl.analysis.boxes import may_overlap
from tiledsl.passes.pipeline_body import Body, Unit

Copy = tuple[int, int]  # unit, iteration


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
    return [
        [(c, 0 if c < i else 1) for c in copies if c != i and _touches(body.units[i], body.units[c])]
        for i in range(len(body.units))
    ]


def _touches(user: Unit, copy: Unit) -> bool:
    return any(
        a.buffer is w.buffer and may_overlap(a.region, w.region)
        for w in copy.accesses
        if w.writes
        for a in user.accesses
    )


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
    covered: Sequence[Sequence[int]],
    groups: Sequence[int | None],
) -> Iterator[tuple[Step, int | None]]:
    """The wait before each step: the number of groups that may be in flight, None if there is nothing to wait for.

    Copies of iterations before the first were never issued and need no wait.
    """
    state = Groups()
    for step in steps:
        wanted = [(c, step.t - stage[u] - d) for u in covered[step.unit] if step.t >= stage[u] for c, d in needed[u]]
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
) -> tuple[tuple[int | None, ...], tuple[tuple[int, ...], ...]]:
    """(waits, covered) of a plan.

    With `fuse`, where copies are issued before anything reads, all waits of an iteration move in front of the first
    copy. One barrier then makes the arrived tiles visible and also ends the last iteration's reads of the tiles that
    the copies overwrite. It costs one group in flight. (CUTLASS's multistage main loop does the same.)
    """
    count = len(stage)
    needed = needs(body, groups)
    covered: list[tuple[int, ...]] = [(i,) if needed[i] else () for i in range(count)]
    sequence = sorted(range(count), key=lambda i: order[i])
    if fuse and sequence and groups[sequence[0]] is not None:
        waiting = tuple(i for i in sequence if needed[i])
        # A copy of this iteration cannot be waited for before it is issued.
        if all(stage[i] + d > stage[c] for i in waiting for c, d in needed[i]):
            covered = [waiting if i == sequence[0] else () for i in range(count)]
    commit_after = commit_points(sequence, groups)
    depth = max(stage, default=0)
    waits: list[int | None] = [None] * count
    if commit_after:
        steps = steady_steps(stage, sequence, commit_after, 3 * depth + 4)
        for step, pending in simulate(steps, stage, needed, covered, groups):
            if step.t >= depth and pending is not None:
                known = waits[step.unit]
                waits[step.unit] = pending if known is None else min(known, pending)
    return tuple(waits), tuple(covered)


def commit_points(sequence: Sequence[int], groups: Sequence[int | None]) -> dict[int, int]:
    """Where each group is closed, after its last member: unit -> group."""
    last = {groups[i]: i for i in sequence if groups[i] is not None}
    return {i: g for g, i in last.items() if g is not None}
