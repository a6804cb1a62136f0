"""The user's schedule for a producer: which copies it makes, in how many versions, with which registers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from tiledsl.errors import Span
from tiledsl.frontend.proxies import describe
from tiledsl.frontend.source import fail, here
from tiledsl.frontend.tensors import Tensor
from tiledsl.frontend.tracer import tracer_of
from tiledsl.ir.nodes import Buffer, Handover, Space
from tiledsl.ir.verify_concurrent import possible_registers
from tiledsl.language.arguments import whole, wrong

_WORD = "T.annotate_ws_schedule"


ROOT = "root"  # the scope that the whole kernel is


class WSPipeline:
    """Tiles of shared memory that the producer copies, with one pair of barriers.

    `T.WSPipeline(A_shared, B_shared, depth=3)`: a tile stands for the copy that fills it. Each has `depth` versions; a
    version is given back when the last statement that reads one of the tiles is done. All tiles are copied in one
    block, and the same statements read them. In a schedule with scopes a pipeline has a name:
    `T.WSPipeline("ab", [A_shared, B_shared], depth=3)`; any statement may fill it. Raises TileError TD0226.
    """

    def __init__(self, *tiles: Any, depth: int | None = None) -> None:
        named = bool(tiles) and isinstance(tiles[0], str)
        if named and len(tiles) == 3 and depth is None:
            *tiles_, depth = tiles
            tiles = tuple(tiles_)
        self.depth = whole("T.WSPipeline", "depth", depth, 1, allowed="1 or more")
        self.name = tiles[0] if named else ""
        if named:
            listed = tiles[1] if len(tiles) == 2 and isinstance(tiles[1], (list, tuple)) else ()
            tiles = tuple(listed)
        self.tiles: tuple[Buffer, ...] = tuple(_tile(t) for t in tiles)
        if not tiles:
            raise wrong("T.WSPipeline", "tiles", "none", "one tile or more")
        self.span = here()


@dataclass(frozen=True)
class WSRole:
    """A name for warps of the block, for T.WSSchedule: `T.WSRole("load", warps_lo=4, warps_hi=8, max_nreg=24)`.

    They are whole warpgroups (4 warps). `max_nreg` is the number of registers of a thread: a multiple of 8 from 24 to
    256, 0 for those of the launch. Raises TileError TD0226.
    """

    name: str
    warps_lo: int
    warps_hi: int
    max_nreg: int

    def __init__(self, name: str, *, warps_lo: int, warps_hi: int, max_nreg: int = 0) -> None:
        word = "T.WSRole"
        if not isinstance(name, str) or not name.isidentifier():
            raise wrong(word, "name", describe(name), "a name")
        numbers = all(type(n) is int and n >= 0 and n % 4 == 0 for n in (warps_lo, warps_hi))
        if not numbers or warps_lo >= warps_hi:
            value = f"{describe(warps_lo)} to {describe(warps_hi)}"
            raise wrong(word, "warps_lo and warps_hi", value, "whole warpgroups: 0 to 4, 4 to 8, 4 to 12, ...")
        if type(max_nreg) is not int or (max_nreg and not possible_registers(max_nreg)):
            raise wrong(word, "max_nreg", describe(max_nreg), "a multiple of 8 from 24 to 256, or 0")
        for field_, value_ in zip(("name", "warps_lo", "warps_hi", "max_nreg"), (name, warps_lo, warps_hi, max_nreg)):
            object.__setattr__(self, field_, value_)

    @property
    def first(self) -> int:
        return self.warps_lo * 32

    @property
    def threads(self) -> int:
        return (self.warps_hi - self.warps_lo) * 32


@dataclass(frozen=True)
class WSOpRef:
    """An operation (T.ws_op) in the body of a T.WSScope: `T.WSOpRef("gemm")`. The name alone is the same."""

    id: str


@dataclass(frozen=True)
class WSSync:
    """A place in the body of a T.WSScope at which a role waits for a version of a pipeline, or gives it away.

    The producer writes between `T.WSSync.producer_acquire("ab")` and `T.WSSync.producer_commit("ab")`, each consumer
    reads between `T.WSSync.consumer_wait("ab")` and `T.WSSync.consumer_release("ab")`. `stage` is TileLang's: how many
    iterations later it happens; it must be the same in all entries of a body, where it means nothing.
    """

    kind: str
    pipeline: str
    stage: int = 0

    @staticmethod
    def producer_acquire(pipeline: str, stage: int = 0) -> WSSync:
        return WSSync("producer_acquire", pipeline, stage)

    @staticmethod
    def producer_commit(pipeline: str, stage: int = 0) -> WSSync:
        return WSSync("producer_commit", pipeline, stage)

    @staticmethod
    def consumer_wait(pipeline: str, stage: int = 0) -> WSSync:
        return WSSync("consumer_wait", pipeline, stage)

    @staticmethod
    def consumer_release(pipeline: str, stage: int = 0) -> WSSync:
        return WSSync("consumer_release", pipeline, stage)

    def __str__(self) -> str:
        return f"{self.kind}('{self.pipeline}')"


class WSScope:
    """What each role does in an iteration of a loop, in order.

    `T.WSScope("loop", {"load": ["copy"], "compute": ["gemm"]})`. The loop is named by T.ws_op; `T.WSScope.ROOT` is the
    kernel itself. Entries are operations, by name or T.WSOpRef, scopes inside of this one, and T.WSSync. Raises
    TileError TD0226.
    """

    ROOT = ROOT

    def __init__(self, id: str, bodies: Mapping[str, Sequence[Any]]) -> None:
        word = "T.WSScope"
        if not isinstance(id, str) or not id:
            raise wrong(word, "id", describe(id), "a name")
        if not isinstance(bodies, Mapping):
            raise wrong(word, "bodies", describe(bodies), "a dict from roles to lists")
        self.id = id
        self.bodies: dict[str, tuple[str | WSSync, ...]] = {}
        for role, body in bodies.items():
            entries = [e.id if isinstance(e, WSOpRef) else e for e in body]
            for e in entries:
                if not isinstance(e, (str, WSSync)):
                    raise wrong(word, "an entry", describe(e), "the name of an operation, T.WSOpRef, or T.WSSync")
            self.bodies[role] = tuple(entries)


@dataclass(frozen=True)
class WSSchedule:
    """What the producer copies: `T.WSSchedule(T.WSPipeline(A_shared, depth=3), registers=(24, 240))`.

    Other copies are made by those who compute. `registers` of a thread that copies and of one that computes: multiples
    of 8 from 24 to 256, 0 for those of the launch; None leaves them to the compiler.

    `T.WSSchedule(num_warps=8, roles=[load, compute], pipelines=[ab], scopes=[root, loop])` says what each role does:
    the block has `num_warps` warps, T.WSRole names groups of them, T.WSPipeline what they exchange, T.WSScope gives
    each its program. Raises TileError TD0226.
    """

    pipelines: tuple[WSPipeline, ...]
    registers: tuple[int, int] | None
    num_warps: int
    roles: tuple[WSRole, ...]
    scopes: tuple[WSScope, ...]
    span: Span

    def __init__(
        self,
        *given: WSPipeline,
        registers: Any = None,
        num_warps: int | None = None,
        roles: Sequence[WSRole] | None = None,
        pipelines: Sequence[WSPipeline] = (),
        scopes: Sequence[WSScope] = (),
    ) -> None:
        found = (*given, *pipelines)
        for p in found:
            if not isinstance(p, WSPipeline):
                raise wrong("T.WSSchedule", "pipelines", describe(p), "T.WSPipeline(...)")
        if not found and roles is None:
            raise wrong("T.WSSchedule", "pipelines", "none", "one T.WSPipeline or more")
        if registers is not None and (roles is not None or not _are_registers(registers)):
            allowed = "two multiples of 8 from 24 to 256, or 0, for a thread that copies and one that computes"
            raise wrong("T.WSSchedule", "registers", describe(registers), allowed)
        if roles is None and (num_warps is not None or scopes or any(p.name for p in found)):
            raise wrong("T.WSSchedule", "roles", "missing", "T.WSRole(...) for each group of warps, with scopes")
        values = (found, registers and tuple(registers), num_warps or 0, tuple(roles or ()), tuple(scopes), here())
        for name, value in zip(("pipelines", "registers", "num_warps", "roles", "scopes", "span"), values):
            object.__setattr__(self, name, value)
        if roles is not None:
            _check_roles(self)


def _check_roles(s: WSSchedule) -> None:
    word = "T.WSSchedule"
    whole(word, "num_warps", s.num_warps, 4, 32, step=4, allowed="4, 8, ... 32: whole warpgroups")
    for r in s.roles:
        if not isinstance(r, WSRole) or r.warps_hi > s.num_warps:
            raise wrong(word, "roles", describe(r), f"T.WSRole(...) of warps 0 to {s.num_warps}")
    for scope in s.scopes:
        if not isinstance(scope, WSScope):
            raise wrong(word, "scopes", describe(scope), "T.WSScope(...)")
    for kind, names in (
        ("roles", [r.name for r in s.roles]),
        ("pipelines", [p.name for p in s.pipelines]),
        ("scopes", [c.id for c in s.scopes]),
    ):
        if len(set(names)) != len(names) or "" in names:
            raise wrong(word, kind, ", ".join(names), "a name for each, no two the same")
    ordered = sorted(s.roles, key=lambda r: r.warps_lo)
    if any(a.warps_hi > b.warps_lo for a, b in pairwise(ordered)):
        raise wrong(word, "roles", ", ".join(r.name for r in s.roles), "roles that share no warp")
    if ROOT not in [c.id for c in s.scopes]:
        raise wrong(word, "scopes", "without T.WSScope.ROOT", "one of them is T.WSScope.ROOT: the kernel")


class ws_op:
    """Names the statements of its block, or the loop that it holds, for a T.WSSchedule: `with T.ws_op("load"):`.

    Each name once (TD0226); not in a T.Parallel loop (TD0129).
    """

    def __init__(self, id: str) -> None:
        self.tracer = tracer_of("T.ws_op")
        self.launch = self.tracer.launch("T.ws_op")
        if not isinstance(id, str) or not id or id == ROOT:
            raise wrong("T.ws_op", "id", describe(id), "a name of its own")
        if id in self.launch.operations:
            raise wrong("T.ws_op", "id", f"'{id}' twice", "a name of its own")
        if self.tracer.enclosing("parallel") is not None:
            raise fail("TD0129", word="T.ws_op")
        self.id = id

    def __enter__(self) -> None:
        self.launch.operations[self.id] = ()
        assert self.tracer.frame is not None
        self.start = len(self.tracer.frame.block)

    def __exit__(self, _kind: object, raised: BaseException | None, _tb: object) -> None:
        if raised is None and self.tracer.frame is not None:
            self.launch.operations[self.id] = tuple(self.tracer.frame.block[self.start :])


def annotate_ws_schedule(schedule: WSSchedule) -> None:
    """Gives the copies of `schedule` to a producer, in place of what the compiler would choose (sm_90a).

    `T.annotate_ws_schedule(T.WSSchedule(T.WSPipeline(A_shared, B_shared, depth=3), registers=(24, 240)))`; the report
    of a kernel has its plan in this form. A schedule that cannot be kept is an error, TD0407 to TD0411, and a second
    one TD0226. Where there is no producer (targets without copy engine, `warp-specialise` turned off) it is left aside,
    and the report says so.

    A schedule with roles replaces the order of the kernel's text: every statement is in a T.ws_op, and each of these in
    the program of one role, which has its warps to itself (sm_90a). Tiles of a pipeline get `depth` versions and
    barriers; copies from global memory into them are made by the copy engine where it can. Roles exchange data through
    pipelines only, and what a role does in another order than the text must not depend on it. Where that is not so, or
    roles would wait for each other for ever, it is an error TD0412.
    """
    frame = tracer_of(_WORD).launch(_WORD)
    if not isinstance(schedule, WSSchedule):
        raise wrong(_WORD, "schedule", describe(schedule), "T.WSSchedule(...)")
    tiles = [b for p in schedule.pipelines for b in p.tiles]
    for b in tiles:
        if tiles.count(b) > 1:
            raise wrong(_WORD, "tiles", f"'{b.name}' twice", "each tile once")
    if frame.handovers or frame.schedule is not None:
        raise wrong(_WORD, "schedule", "a second one", "one schedule for a launch")
    if schedule.roles:
        frame.schedule, frame.has_roles = schedule, True
        frame.threads = (schedule.num_warps * 32,)
        return
    frame.handovers = tuple(Handover(p.tiles, p.depth, p.span) for p in schedule.pipelines)
    if schedule.registers is not None:
        frame.registers = schedule.registers


def _are_registers(value: Any) -> bool:
    if not isinstance(value, (tuple, list)) or len(value) != 2:
        return False
    return all(type(n) is int and (n == 0 or possible_registers(n)) for n in value)


def _tile(value: Any) -> Any:
    if not isinstance(value, Tensor) or value.buffer.space is not Space.SHARED:
        allowed = "tiles of T.alloc_shared"
        raise wrong("T.WSPipeline", "tiles", describe(value), allowed)
    value.check_alive()
    return value.buffer
