"""The arena of shared memory over time: which buffer has which bytes while which statements run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tiledsl.analysis.access import storage_roots
from tiledsl.analysis.touches import bytes_of, touches
from tiledsl.ir.concurrent import Roles
from tiledsl.ir.nodes import Block, Buffer, For, If, Kernel, Launch, Stmt, While
from tiledsl.ir.printer import Line
from tiledsl.passes.plan_shared_memory import Lifetime, make_shared_plan
from tiledsl.target import Target
from tiledsl.viewer.places import Places


@dataclass(frozen=True)
class Moment:
    """Statement number `time` (from 1, as lifetimes count) at line `line` (from 0) of the text.

    `depth` is the number of loops and roles around. The end of a loop, or of all roles, is a moment too, whose text is
    "}".
    """

    time: int
    line: int
    depth: int
    text: str
    place: str


@dataclass(frozen=True)
class Touch:
    time: int
    kind: str
    issued: bool


@dataclass(frozen=True)
class Tenant:
    """A buffer of `versions` copies of `version_bytes`, from `offset` on, alive from moment `first` to `last`."""

    buffer: str
    dtype: str
    offset: int
    size: int
    alignment: int
    versions: int
    first: int
    last: int
    place: str
    touches: tuple[Touch, ...]


@dataclass(frozen=True)
class Loop:
    first: int
    last: int
    depth: int
    text: str
    place: str


@dataclass(frozen=True)
class SharedMap:
    """`total` bytes of the `limit` that a block may have."""

    launch: str
    total: int
    limit: int
    moments: tuple[Moment, ...]
    loops: tuple[Loop, ...]
    tenants: tuple[Tenant, ...]


def shared_maps(
    before: Kernel, after: Kernel, printed: Sequence[Line], target: Target, places: Places
) -> tuple[SharedMap, ...]:
    """Of each launch with shared memory. `printed` are the lines of `before`, the kernel that the plan was made for."""
    where = {id(line.node): n for n, line in reversed(list(enumerate(printed)))}
    ends = {id(line.node): n for n, line in enumerate(printed) if line.closes}
    maps = []
    for launch, planned in zip(before.launches, after.launches, strict=True):
        if planned.shared:
            moments = tuple(_moments(launch.body, printed, where, ends, places))
            maps.append(_map(launch, planned, moments, target, places))
    return tuple(maps)


def _map(
    launch: Launch, planned: Launch, moments: Sequence[tuple[Moment, Stmt]], target: Target, p: Places
) -> SharedMap:
    offsets = {slot.buffer: slot.offset for slot in planned.shared}
    roots = storage_roots(launch.body)
    touched: dict[Buffer, list[Touch]] = {}
    for moment, s in moments:
        if moment.text != "}":
            for buffer, _, _, _, kind, issued, _ in touches(s):
                touched.setdefault(roots.get(buffer, buffer), []).append(Touch(moment.time, kind.value, issued))
    lifetimes = make_shared_plan(launch, reuse=False).lifetimes
    return SharedMap(
        launch.name,
        planned.shared_bytes,
        target.shared_per_block,
        tuple(m for m, _ in moments),
        tuple(_loops(moments)),
        tuple(_tenant(l, offsets[l.buffer], tuple(dict.fromkeys(touched.get(l.buffer, ()))), p) for l in lifetimes),
    )


def _tenant(l: Lifetime, offset: int, touched: tuple[Touch, ...], places: Places) -> Tenant:
    b = l.buffer
    return Tenant(
        b.name,
        f"{b.dtype.name}[{', '.join(map(str, b.shape))}]",
        offset,
        bytes_of(b),
        l.alignment,
        b.versions,
        l.first,
        l.last,
        places.of(l.span),
        touched,
    )


def _moments(
    body: Block, printed: Sequence[Line], where: dict[int, int], ends: dict[int, int], places: Places
) -> Iterator[tuple[Moment, Stmt]]:
    """Every statement in program order, numbered as `live_ranges` does: ends of loops and of roles count."""
    time = 0

    def below(block: Block, depth: int) -> Iterator[tuple[Moment, Stmt]]:
        nonlocal time
        for s in block:
            time += 1
            line = where[id(s)]
            yield Moment(time, line, depth, printed[line].text.strip(), places.of(s.span)), s
            match s:
                case For(body=inner) | While(body=inner):
                    yield from below(inner, depth + 1)
                    time += 1
                    yield Moment(time, ends[id(s)], depth, "}", places.of(s.span)), s
                case If(_, then, orelse):
                    yield from below(then, depth)
                    yield from below(orelse, depth)
                case Roles(roles):
                    for role in roles:
                        yield from below(role.body, depth + 1)
                    time += 1
                    yield Moment(time, ends[id(s)], depth, "}", places.of(s.span)), s

    yield from below(body, 0)


def _loops(moments: Sequence[tuple[Moment, Stmt]]) -> Iterator[Loop]:
    starts = {id(s): m for m, s in reversed(moments) if m.text != "}"}
    for m, s in moments:
        if m.text == "}":
            head = starts[id(s)]
            yield Loop(head.time, m.time, m.depth, head.text.removesuffix(" {"), m.place)
