"""Products that stay in flight: schedules for loops whose tiles arrive by themselves (algorithms.md C.9, F7).

A product of the tensor core (wgmma) is issued like a copy: it reads its tiles and adds to its registers while the
threads go on, until a wait. Loops of these forms gain by that, as schedules of two stages:

- The product accumulates over the iterations and nothing else reads it: it may still run when that of the next
  iteration is issued. What must follow it, giving its tiles back, moves to the next iteration.
- Several products of which one needs no work that another is followed by: it is issued right behind that one, and the
  work runs beside it (attention, backward).
- One product's result is worked on and enters another, as in attention (scores, softmax, output): the second one moves
  to the next iteration, behind the first of that. It then runs beside the work on the new scores
  (FlashAttention-3, Shah et al. 2024, "Intra-warpgroup overlap").

Which wait goes where is counted by the same simulation as for copies, over a queue of their own.
"""

from __future__ import annotations

from collections.abc import Sequence

from tiledsl.analysis.access import Access, conflict
from tiledsl.analysis.boxes import Later, may_overlap
from tiledsl.ir.concurrent import Arrive, Await
from tiledsl.ir.nodes import Buffer, Space, static_shape
from tiledsl.ir.tile import Gemm
from tiledsl.passes.software_pipeline.body import Body, Unit
from tiledsl.passes.software_pipeline.legal import Constraints, versions_of, violated

StagesAndOrder = tuple[tuple[int, ...], tuple[int, ...]]


def product_schedule(body: Body, rules: Constraints) -> StagesAndOrder | None:
    """Stages and places in the order that keep products in flight; None where there is nothing to gain."""
    units = body.units
    products = [i for i, u in enumerate(units) if u.product]
    tails = [g for g in products if not any(_follows(units, g, j) for j in range(g + 1, len(units)))]
    heads = [g for g in products if g not in tails]
    if not tails or body.leaves:
        return None
    if heads and max(heads) < min(tails):
        late = _with_handovers(units, tails)
        sequence = _behind_the_head(body, max(heads), tails, late)
    else:
        late = {i for i in _with_handovers(units, tails) if isinstance(units[i].block[0], Arrive)}
        sequence = [*(i for i in range(len(units)) if i not in late), *sorted(late)]
    stage = tuple(int(i in late) for i in range(len(units)))
    for chosen in (_hoisted(units, sequence), sequence):
        order = [0] * len(units)
        for place, i in enumerate(chosen):
            order[i] = place
        if not violated(stage, order, rules) and not versions_of(stage, order, rules):  # other roles' tiles have theirs
            return stage, tuple(order)
    return None


def _hoisted(units: Sequence[Unit], sequence: Sequence[int]) -> list[int]:
    """Each product, with the waits for its tiles, as near behind the one before it as the work in between allows."""
    out = list(sequence)
    for g in [i for i in sequence if units[i].product]:
        at = out.index(g)
        start = max((n for n in range(at) if units[out[n]].product), default=at) + 1
        between = out[start:at]
        waits = [j for j in between if isinstance(units[j].block[0], Await) and handed(units[j]) & read_by(units[g])]
        rest = [j for j in between if j not in waits]
        held = max((n for n, j in enumerate(rest) if any(meets(units[j], units[k]) for k in (*waits, g))), default=-1)
        out[start : at + 1] = [*rest[: held + 1], *waits, g, *rest[held + 1 :]]
    return out


def _follows(units: Sequence[Unit], g: int, j: int) -> bool:
    """Whether unit j needs the result of product g in the same iteration, other than to give tiles back."""
    return not units[j].handover and not accumulates(units[g], units[j]) and meets(units[g], units[j])


def _with_handovers(units: Sequence[Unit], products: Sequence[int]) -> set[int]:
    """`products` with the waits for tiles that no other unit reads, and the arrivals for all tiles that they read."""
    mine = set(products)
    for i, u in enumerate(units):
        if u.handover:
            users = {j for j, x in enumerate(units) if not x.handover and handed(u) & read_by(x)}
            if users & mine and (users <= mine or isinstance(u.block[0], Arrive)):
                mine.add(i)
    return mine


def _behind_the_head(body: Body, head: int, tails: Sequence[int], late: set[int]) -> list[int]:
    """The late products right after the head is issued; what touches their operands as late as it can be."""
    units = body.units
    before = [i for i in range(head + 1) if i not in late]
    after = [i for i in range(head + 1, len(units)) if i not in late]
    bound: list[int] = []
    for i in after:
        held = any(meets(units[g], units[i]) for g in tails)
        if held or any(meets(units[j], units[i]) for j in bound):
            bound.append(i)
    issue = [i for i in sorted(late) if not isinstance(units[i].block[0], Arrive)]
    release = [i for i in sorted(late) if isinstance(units[i].block[0], Arrive)]
    free = [i for i in after if i not in bound]
    return [*before, *issue, *free, *release, *bound]


# ------------------------------------------------------------------------------------------------------------ waits


def product_needs(body: Body) -> list[list[tuple[int, int]]]:
    """For each unit the products that must be complete before it: (unit, distance in iterations).

    A wait for tiles needs none: that they were given back says that the products which read them are.
    """
    units = body.units
    products = [i for i, u in enumerate(units) if u.product]
    later = Later.of(body.loop)
    out: list[list[tuple[int, int]]] = []
    for i, user in enumerate(units):
        found: list[tuple[int, int]] = []
        for g in products:
            if g == i or accumulates(units[g], user) or isinstance(user.block[0], Await):
                continue
            if g < i and meets(units[g], user):
                found.append((g, 0))
            elif meets(units[g], user, later):
                found.append((g, 1))
        out.append(found)
    return out


def settled_before(body: Body, order: Sequence[int], waits: Sequence[int | None]) -> tuple[tuple[Buffer, ...], ...]:
    """For each unit with a wait: the results of the units since the last wait or product that nothing of these reads.

    All their work flows into those. Only small fragments count: to settle one costs two instructions a register.
    """
    units = body.units
    sequence = sorted(range(len(units)), key=lambda i: order[i])
    out: list[tuple[Buffer, ...]] = [()] * len(units)
    work: list[int] = []
    for i in sequence:
        if waits[i] is not None:
            made = dict.fromkeys(a.buffer for j in work for a in units[j].accesses if a.writes)
            last = {a.buffer: j for j in work for a in units[j].accesses if a.writes}
            out[i] = tuple(b for b in made if _is_small(b) and not _read_later(units, work, last[b], b))
        if waits[i] is not None or units[i].product:
            work = []
        if not units[i].product and not units[i].handover:
            work.append(i)
    return tuple(out)


def _read_later(units: Sequence[Unit], work: Sequence[int], writer: int, b: Buffer) -> bool:
    after = work[work.index(writer) + 1 :]
    return any(a.buffer is b and a.reads for j in after for a in units[j].accesses)


def _is_small(b: Buffer) -> bool:
    return b.space is Space.FRAGMENT and sum(n != 1 for n in static_shape(b)) <= 1


def accumulates(g: Unit, user: Unit) -> bool:
    """Whether `user` is another product into the same registers, which the tensor core keeps in order."""
    match g.block, user.block:
        case (Gemm(c=a),), (Gemm(a=x, c=b),):
            return g.product and user.product and a == b and x.buffer is not a.buffer
    return False


def meets(a: Unit, b: Unit, later: Later | None = None) -> bool:
    """Whether the order of the two matters; with `later`: of `b` in a later iteration."""

    def touch(x: Access, y: Access) -> bool:
        if x.buffer is not y.buffer or not conflict(x.kind, y.kind):
            return False
        return later.may_overlap(x.region, y.region) if later else may_overlap(x.region, y.region)

    return any(touch(x, y) for x in a.accesses for y in b.accesses)


def read_by(u: Unit) -> set[Buffer]:
    return {a.buffer for a in u.accesses if a.reads}


def handed(u: Unit) -> set[Buffer]:
    match u.block:
        case (Await(buffers=buffers) | Arrive(buffers=buffers),):
            return set(buffers)
    return set()
