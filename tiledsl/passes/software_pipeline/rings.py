"""Copies of a pipeline that the copy engine makes: rings of barriers on which their bytes arrive (algorithms.md C.8).

The copies of a ring are issued together, by one thread, which first announces their bytes on the barrier of their
slot. All threads wait for the slot's phase before the first statement that uses a tile of the ring. Nobody says that a
tile has been read: the barrier of the block that stands between its readers and the next copy into it orders that.

A copy under a condition is announced in the iterations in which it is made; the ring goes round in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tiledsl.analysis.bulk_loads import tiles_of
from tiledsl.analysis.copy_engine import bulk_bytes
from tiledsl.ir.concurrent import Arrive, Await, Expect
from tiledsl.ir.dtypes import UINT64
from tiledsl.ir.nodes import Address, Alloc, Block, Buffer, Const, Expr, Space, Stmt
from tiledsl.ir.tile import Copy
from tiledsl.passes.software_pipeline.body import Body, Unit
from tiledsl.passes.software_pipeline.waits import needs

Groups = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Ring:
    """`units` are its copies in the order of issue, `reader` the unit before which the threads wait, `full` its
    barriers, of which turn n of the ring uses number n % depth, in phase n // depth."""

    units: tuple[int, ...]
    reader: int
    full: Buffer
    tiles: tuple[Buffer, ...]
    bytes: int
    guarded: bool

    @property
    def depth(self) -> int:
        (slots,) = self.full.shape
        assert isinstance(slots, int)
        return slots

    def __str__(self) -> str:
        tiles, turns = ", ".join(b.name for b in self.tiles), "1 slot" if self.depth == 1 else f"{self.depth} slots"
        return f"copy engine: {tiles}, {turns} of {self.bytes} bytes, awaited by all threads"

    def allocation(self) -> Stmt:
        return Alloc(self.full, Const(1, UINT64))

    def announced(self, unit: int, slot: Expr, u: Unit) -> Block:
        """What stands before the copy of `unit`: where all are made, the first is announced for all of them."""
        if self.guarded or unit != self.units[0]:
            return ()
        return (Arrive(Address(self.full, (slot,)), self.bytes, "one", span=u.span),)

    def closed(self, unit: int, slot: Expr, u: Unit) -> Block:
        """What stands after the copy of `unit`: where some may not be made, the arrival comes after the last."""
        if not self.guarded or unit != self.units[-1]:
            return ()
        return (Arrive(Address(self.full, (slot,)), 0, "one", span=u.span),)

    def issued(self, slot: Expr, copy: Copy) -> Block:
        full = Address(self.full, (slot,))
        expect = (Expect(full, Const(bulk_bytes(copy)), span=copy.span),) if self.guarded else ()
        return (*expect, _bulk(copy, full))

    def awaited(self, slot: Expr, phase: Expr, u: Unit) -> Stmt:
        return Await(Address(self.full, (slot,)), phase, self.tiles, span=u.span)


def _bulk(copy: Copy, full: Address) -> Copy:
    return Copy(copy.src, copy.dst, bulk=True, barrier=full, ranks=copy.ranks, engine=copy.engine, span=copy.span)


def copy_of(u: Unit) -> Copy:
    (copy,) = u.block
    assert isinstance(copy, Copy)
    return copy


def rings_of(
    body: Body, stage: Sequence[int], order: Sequence[int], groups: Groups, versions: Mapping[Buffer, int]
) -> tuple[tuple[Ring, ...], Groups, tuple[tuple[int, str], ...]]:
    """The rings of a schedule, the groups that are left to cp.async, and those copies with the reasons.

    Copies of one group share a ring if nothing that waits for one of them stands between them.
    """
    users: dict[int, list[tuple[int, int]]] = {}
    for i, needed in enumerate(needs(body, groups)):
        for c, distance in needed:
            users.setdefault(c, []).append((i, distance))
    left: list[tuple[int, str]] = []
    members: dict[int, list[int]] = {}
    for i in sorted((i for i, g in enumerate(groups) if g is not None), key=lambda i: order[i]):
        why = body.units[i].kept or _why_not(users.get(i, []))
        group = groups[i]
        if why or group is None:
            left.append((i, why))
        else:
            members.setdefault(group, []).append(i)
    runs = [run for m in members.values() for run in _runs(m, users, order)]
    rings = tuple(_ring(body, run, users, (stage, order), versions) for run in runs)
    taken = {i for r in rings for i in r.units}
    return rings, tuple(None if i in taken else g for i, g in enumerate(groups)), tuple(left)


def _why_not(users: Sequence[tuple[int, int]]) -> str:
    if any(distance for _, distance in users):
        return "the next iteration reads its tile before it is copied again"
    return "" if users else "nothing in the loop reads its tile"


def _runs(
    members: Sequence[int], users: Mapping[int, Sequence[tuple[int, int]]], order: Sequence[int]
) -> list[list[int]]:
    """`members`, which are in order, cut where a user of one of them stands between two."""
    waiting = {order[u] for m in members for u, _ in users[m]}
    runs = [[members[0]]]
    for a, b in pairwise(members):
        if any(order[a] < w < order[b] for w in waiting):
            runs.append([])
        runs[-1].append(b)
    return runs


def _ring(
    body: Body,
    units: Sequence[int],
    users: Mapping[int, Sequence[tuple[int, int]]],
    schedule: tuple[Sequence[int], Sequence[int]],
    versions: Mapping[Buffer, int],
) -> Ring:
    stage, order = schedule
    copies = [copy_of(body.units[i]) for i in units]
    tiles = tiles_of(copies)
    readers = {u for i in units for u, _ in users[i]}
    reader = min(readers, key=lambda u: (stage[u], order[u]))
    gap = stage[reader] - stage[units[0]] + (order[reader] > order[units[0]])
    depth = max(1, gap, *(versions.get(b, 1) for b in tiles))
    full = Buffer(f"{'_'.join(b.name for b in tiles)}_full", (depth,), UINT64, Space.BARRIER)
    guarded = any(body.units[i].guards for i in units)
    return Ring(tuple(units), reader, full, tiles, sum(map(bulk_bytes, copies)), guarded)
