"""Boxes with symbolic offsets: which part of a buffer an index expression sweeps, and whether two parts meet.

Offsets are compared as linear forms over variables. A term that reads memory equals nothing, not even itself: what it
reads may have changed in between.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tiledsl.ir.fresh import bound_in
from tiledsl.ir.nodes import Binary, Buffer, Const, Expr, For, Load, Region, Space, Unary, Var, While
from tiledsl.ir.walk import substitute, walk

Bounds = tuple[int | None, int | None]  # inclusive; None is unbounded
Ranges = Mapping[Var, Bounds]
_NONE: Ranges = {}


@dataclass(frozen=True, slots=True)
class Linear:
    """sum(coefficient * term) + constant; terms are variables or expressions that are not linear themselves."""

    terms: Mapping[Expr, int]
    constant: int

    def minus(self, other: Linear) -> Linear:
        terms = dict(self.terms)
        for t, c in other.terms.items():
            terms[t] = terms.get(t, 0) - c
        return Linear({t: c for t, c in terms.items() if c or _reads(t)}, self.constant - other.constant)


def linear(e: Expr) -> Linear:
    """`e` as a linear form."""
    terms: dict[Expr, int] = {}
    constant = _gather(e, 1, terms)
    return Linear({t: c for t, c in terms.items() if c or _reads(t)}, constant)


def _gather(e: Expr, factor: int, terms: dict[Expr, int]) -> int:
    match e:
        case Const(value):
            return factor * int(value)
        case Binary("+", a, b):
            return _gather(a, factor, terms) + _gather(b, factor, terms)
        case Binary("-", a, b):
            return _gather(a, factor, terms) + _gather(b, -factor, terms)
        case Binary("*", a, Const(value)) | Binary("*", Const(value), a):
            return _gather(a, factor * int(value), terms)
        case Unary("-", a):
            return _gather(a, -factor, terms)
    terms[e] = terms.get(e, 0) + factor
    return 0


def _reads(term: Expr) -> bool:
    return not isinstance(term, Var) and any(isinstance(n, Load) for n in walk(term))


def bounds_of(form: Linear, ranges: Ranges = _NONE) -> Bounds:
    """Least and greatest value that `form` can take."""
    low: int | None = form.constant
    high: int | None = form.constant
    for term, c in form.terms.items():
        lo, hi = ranges.get(term, (None, None)) if isinstance(term, Var) else (None, None)
        if c < 0:
            lo, hi = hi, lo
        low = None if low is None or lo is None else low + c * lo
        high = None if high is None or hi is None else high + c * hi
    return low, high


def difference(a: Expr, b: Expr, ranges: Ranges = _NONE) -> Bounds:
    """Bounds of a - b."""
    if isinstance(a, Const) and isinstance(b, Const):
        apart = int(a.value) - int(b.value)
        return apart, apart
    if a is b and isinstance(a, Var):
        return 0, 0
    return bounds_of(linear(a).minus(linear(b)), ranges)


def may_overlap(a: Region | None, b: Region | None, ranges: Ranges = _NONE) -> bool:
    """Whether the two can share an element; None is an unknown part of some buffer."""
    if a is None or b is None:
        return True
    if a.buffer is not b.buffer:
        return False
    if isinstance(a.version, Const) and isinstance(b.version, Const) and a.version != b.version:
        return False
    for x, n, y, m in zip(a.offsets, a.extents, b.offsets, b.extents):
        low, high = difference(x, y, ranges)
        if (low is not None and low >= m) or (high is not None and high <= -n):
            return False
    return True


@dataclass(frozen=True, slots=True)
class Later:
    """Regions as of a later iteration of `loop`, `distance` iterations on: at least 1, at most the last one.

    What the body of the loop binds may have any other value then.
    """

    distance: Var
    values: Mapping[Var, Expr]
    ranges: Ranges

    @classmethod
    def of(cls, loop: For | While) -> Later:
        distance = Var("later")
        values: dict[Var, Expr] = {v: Var(v.name, v.dtype) for v in bound_in(loop.body) if isinstance(v, Var)}
        if isinstance(loop, While):
            return cls(distance, values, {})
        last = int(loop.extent.value) - 1 if isinstance(loop.extent, Const) else None
        values[loop.var] = loop.var + distance
        return cls(distance, values, {distance: (1, last), loop.var: (0, last)})

    def __call__(self, region: Region | None) -> Region | None:
        if region is None or not any(n in self.values for o in region.offsets for n in walk(o) if isinstance(n, Var)):
            return region
        return substitute(region, self.values)

    def may_overlap(self, now: Region | None, then: Region | None) -> bool:
        """Whether `now`, of an iteration, and `then`, of a later one, can share an element."""
        return may_overlap(now, self(then), self.ranges)


def covers(parts: Sequence[Region], whole: Region) -> bool:
    """Whether the union of `parts` surely holds every element of `whole`. Only constant distances count, and tiles of
    the block that are there as a whole: nothing outside of them can be accessed."""
    if any(part.buffer is whole.buffer and _is_whole_tile(part) for part in parts):
        return True
    left: list[tuple[tuple[int, int], ...]] = [tuple((0, n) for n in whole.extents)]
    for part in parts:
        box = _relative(part, whole)
        if box is not None:
            left = [piece for b in left for piece in _without(b, box)]
        if not left:
            return True
    return not left


def _is_whole_tile(r: Region) -> bool:
    at_start = all(isinstance(o, Const) and o.value == 0 for o in r.offsets)
    return r.buffer.space is not Space.GLOBAL and at_start and r.extents == r.buffer.shape


def _relative(part: Region, whole: Region) -> tuple[tuple[int, int], ...] | None:
    """`part` as intervals counted from the offsets of `whole`; None if the distance is not constant."""
    if part.buffer is not whole.buffer:
        return None
    box = []
    for x, n, y in zip(part.offsets, part.extents, whole.offsets):
        low, high = difference(x, y)
        if low is None or low != high:
            return None
        box.append((low, low + n))
    return tuple(box)


Intervals = tuple[tuple[int, int], ...]


def _without(box: Intervals, hole: Intervals) -> Iterator[Intervals]:
    """`box` less `hole`, cut into boxes."""
    if any(h[1] <= b[0] or b[1] <= h[0] for b, h in zip(box, hole)):
        yield box
        return
    for d, ((low, high), (start, stop)) in enumerate(zip(box, hole)):
        if low < start:
            yield (*box[:d], (low, start), *box[d + 1 :])
        if stop < high:
            yield (*box[:d], (stop, high), *box[d + 1 :])
        box = (*box[:d], (max(low, start), min(high, stop)), *box[d + 1 :])


def whole_region(buffer: Buffer) -> Region | None:
    """All of the buffer; None if an extent is dynamic."""
    extents = tuple(n for n in buffer.shape if isinstance(n, int))
    if len(extents) != len(buffer.shape):
        return None
    return Region(buffer, (Const(0),) * len(extents), extents)


def box_of(
    buffer: Buffer,
    offsets: Sequence[Expr],
    extents: Sequence[int],
    inner: Mapping[Var, int | None],
    version: Expr | None = None,
) -> tuple[Region | None, bool]:
    """The box swept by `extents` elements at `offsets` while each variable of `inner` runs over its extent.

    The flag says whether every element of the box is swept. An index that is not linear in them sweeps, as far as is
    known, its whole dimension.
    """
    swept: list[tuple[Expr, int]] = []
    exact = True
    used: set[Var] = set()
    for d, (offset, extent) in enumerate(zip(offsets, extents)):
        here = _sweep(offset, extent, inner, used) if inner else (offset, extent, True)
        if here is None:
            size = buffer.shape[d]
            if not isinstance(size, int):
                return None, False
            here = (Const(0), size, False)
        swept.append(here[:2])
        exact = exact and here[2]
    return Region(buffer, tuple(o for o, _ in swept), tuple(n for _, n in swept), version), exact


def _sweep(offset: Expr, extent: int, inner: Mapping[Var, int | None], used: set[Var]) -> tuple[Expr, int, bool] | None:
    """First element, length and density of the interval that one index sweeps; None where it is not linear."""
    if not any(isinstance(n, Var) and n in inner for n in walk(offset)):
        return offset, extent, True
    form = linear(offset)
    outer: dict[Expr, int] = {}
    steps: list[tuple[int, int]] = []
    constant = form.constant
    dense = True
    for term, c in form.terms.items():
        if not isinstance(term, Var):
            if any(isinstance(n, Var) and n in inner for n in walk(term)):
                return None
            outer[term] = c
        elif term not in inner:
            outer[term] = c
        else:
            count = inner[term]
            if count is None:
                return None
            dense = dense and term not in used  # a variable that moves two dimensions sweeps a diagonal
            used.add(term)
            steps.append((abs(c), count))
            constant += min(0, c * (count - 1))
    for step, count in sorted(steps):
        dense = dense and (step <= extent or count == 1)
        extent += step * max(0, count - 1)
    return _rebuild(outer, constant), extent, dense


def _rebuild(terms: Mapping[Expr, int], constant: int) -> Expr:
    total: Expr | None = None
    for term, c in terms.items():
        scaled = term if c == 1 else term * c
        total = scaled if total is None else total + scaled
    if total is None:
        return Const(constant)
    return total + constant if constant else total
