"""Which copies a producer can make for the others: the plan of warp-specialise, which consists of `channels`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from tiledsl.analysis.access import Access, accesses
from tiledsl.analysis.arrivals import Path
from tiledsl.analysis.copy_engine import why_not_bulk
from tiledsl.analysis.turns import decided_by, is_regular
from tiledsl.analysis.vector_width import Divisors
from tiledsl.errors import error
from tiledsl.ir.concurrent import WARPGROUP, Roles
from tiledsl.ir.nodes import (
    Barrier,
    Block,
    Break,
    Buffer,
    Continue,
    For,
    If,
    Launch,
    Pipelined,
    Stmt,
    While,
)
from tiledsl.ir.tile import Copy, Gemm, Parallel, Rearrangement
from tiledsl.ir.walk import statements, walk
from tiledsl.passes.warp_specialise.budget import AS_LAUNCHED, Budget, budget
from tiledsl.passes.warp_specialise.channels import Candidate, Channel, WarpPlan, block_at
from tiledsl.passes.warp_specialise.fills import (
    ENGINE,
    decided_within,
    how_by_threads,
    sources_of,
    tile_of,
    why_not_by_threads,
)
from tiledsl.passes.warp_specialise.grouping import Group, as_asked, neighbours
from tiledsl.passes.warp_specialise.reads import last_reading
from tiledsl.passes.warp_specialise.replay import Replay, leaves
from tiledsl.target import Target


@dataclass(frozen=True, slots=True)
class Setting:
    """What the planner knows of the launch besides its body."""

    launch: Launch
    divisors: Divisors
    is_product: Mapping[int, bool]  # by id of the Gemm: whether the tensor core reads its operands asynchronously
    safe: frozenset[Buffer]  # tensors whose elements out of bounds are not 0
    target: Target


def make_plan(setting: Setting) -> WarpPlan:
    """The plan; it changes nothing.

    Where the user has given a schedule it is taken, or it is an error: TD0407 to TD0411 with the fact that forbids it.
    """
    launch = setting.launch
    if why := _why_not(launch):
        return _refused(launch, why)
    found: list[Candidate] = []
    left: list[tuple[Stmt, str]] = []
    reasons: dict[Buffer, str] = {}
    scan = _Scan(setting)
    for path, s, around in _copies(launch.body, (), ()):
        reason, candidate = scan.candidate(path, s, around)
        if candidate is not None:
            found.append(candidate)
            continue
        if tile := tile_of(s):
            reasons[tile] = reason or "no tensor core multiplies in its loop meanwhile"
        if _pipelined(around) and reason:
            left.append((s, reason))
    groups = as_asked(launch.handovers, found, reasons, launch.body) if launch.handovers else neighbours(found)
    channels = tuple(scan.channels(groups))
    if launch.handovers:
        _fits(launch, channels, setting.target)
        made = {c.path for channel in channels for c in channel.copies}
        left += [(c.copy, "the schedule leaves it there") for c in found if c.path not in made and _pipelined(c.around)]
    elif not any(_pipelined(c.copies[0].around) for c in channels):
        none = "; ".join(dict.fromkeys(why for _, why in left)) or "no pipelined loop copies tiles to shared memory"
        return WarpPlan(refused=none, left=tuple(left))
    return WarpPlan(launch.num_threads, channels, _budget(launch, channels, setting.target), left=tuple(left))


def _refused(launch: Launch, why: str) -> WarpPlan:
    for h in launch.handovers[:1]:
        raise error("TD0409", h.span, why=why)
    return WarpPlan(refused=why)


def _fits(launch: Launch, channels: Sequence[Channel], target: Target) -> None:
    """TD0410 if the versions alone are more than shared memory."""
    needed = sum(c.depth * c.size for c in channels)
    if needed > target.shared_per_block:
        tiles = ", ".join(f"{b.name} x{c.depth}" for c in channels for b in c.tiles)
        at = launch.handovers[0].span
        raise error("TD0410", at, tiles=tiles, needed=needed, name=target.name, limit=target.shared_per_block)


def _budget(launch: Launch, channels: Sequence[Channel], target: Target) -> Budget:
    """Registers of the roles: the user's, else those that suit. TD0411 if the user's are more than the block has."""
    if not launch.registers:
        computes = any(isinstance(s, Gemm) for s in statements(launch))  # else they do not limit; moving them costs
        ways = frozenset(way for c in channels for way in c.ways)
        return budget(launch.num_threads, ways) if computes else AS_LAUNCHED
    asked, threads = Budget(*launch.registers), launch.num_threads + WARPGROUP
    dealt = target.registers_per_sm // threads // 8 * 8
    needed = (asked.producer or dealt) * WARPGROUP + (asked.consumer or dealt) * launch.num_threads
    if launch.handovers and needed > dealt * threads:
        raise error(
            "TD0411", launch.handovers[0].span, producer=asked.producer, consumer=asked.consumer,
            threads=launch.num_threads, needed=needed, dealt=dealt * threads,
        )  # fmt: skip
    return asked


def _why_not(launch: Launch) -> str:
    if len(launch.threads) > 1 and any(t != 1 for t in launch.threads[1:]):
        return "the block of threads has several dimensions"
    if launch.num_threads % WARPGROUP:
        return f"{launch.num_threads} threads are no whole warpgroups"
    if launch.num_threads + WARPGROUP > 1024:
        return "there is no room for a producer"
    for s in launch.body:
        for n in walk(s):
            if isinstance(n, Roles):
                return "the kernel has roles of its own"
            if isinstance(n, (Break, Continue, While)):
                return f"'{type(n).__name__.lower()}' makes the trips of a loop depend on the data"
            if isinstance(n, Barrier) and (n.id or n.count):
                return "it uses named barriers"
    return ""


def _copies(block: Block, path: Path, around: tuple[Stmt, ...]) -> Iterator[tuple[Path, Stmt, tuple[Stmt, ...]]]:
    """What fills tiles in shared memory from global memory, with the loops and conditionals around."""
    for i, s in enumerate(block):
        here = (*path, i)
        match s:
            case Copy() | Rearrangement() | Parallel() if tile_of(s):
                yield here, s, around
            case For(body=body):
                yield from _copies(body, here, (*around, s))
            case If(_, then, orelse):
                yield from _copies(then, (*here, 0), (*around, s))
                yield from _copies(orelse, (*here, 1), (*around, s))


def _pipelined(around: tuple[Stmt, ...]) -> bool:
    return any(isinstance(s, For) and isinstance(s.kind, Pipelined) and s.kind.stages > 0 for s in around)


class _Scan:
    """The questions about single copies, over tables of the launch that are made once."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.body = setting.launch.body
        self.replay = Replay(setting.launch)
        self.roots, self.written = self.replay.roots, self.replay.written
        self.copied = Counter(tile_of(copy) for _, copy, _ in _copies(self.body, (), ()))
        self.touched = Counter(a.buffer for s in self.body for a in accesses(s))

    def candidate(self, path: Path, copy: Stmt, around: tuple[Stmt, ...]) -> tuple[str, Candidate | None]:
        """The copy as one of the producer's, or why it cannot be: empty where nobody asks that of such a fill."""
        tile = tile_of(copy)
        assert tile is not None
        how, why = self.how(copy, around)
        if not how:
            return why, None
        siblings = block_at(self.body, path)
        reads = [i for i, s in enumerate(siblings) if i > path[-1] and any(a.buffer is tile for a in accesses(s))]
        if reason := self.why_not_apart(copy, tile, around, how) or self.why_not_shared(tile, path, siblings, reads):
            return reason, None
        last = last_reading(siblings, tile, reads[-1])
        if last is None:
            return f"a product that reads '{tile.name}' may go on beyond the iteration", None
        return "", Candidate(path, copy, around, reads[0], last, tile, how, why)

    def how(self, copy: Stmt, around: tuple[Stmt, ...]) -> tuple[str, str]:
        """Who of the producer makes the copy ("": nobody), and why it is not the copy engine.

        Its threads only where tensor cores multiply meanwhile: else those who compute copy as well for themselves.
        """
        plain = isinstance(copy, Copy)
        why = "it is no plain copy"
        if isinstance(copy, Copy):
            why = why_not_bulk(copy, self.setting.divisors, self.setting.launch.layouts)
        if not why:
            return ENGINE, ""
        tile = tile_of(copy)
        if tile is None or not self.multiplies(around):
            return "", why if plain else ""
        if reason := why_not_by_threads(copy, tile):
            return "", why if plain else reason
        return how_by_threads(copy, self.setting.divisors, self.setting.safe), why

    def multiplies(self, around: tuple[Stmt, ...]) -> bool:
        """Whether the loop is a pipeline in which tensor cores multiply by themselves."""
        loop = next((s for s in reversed(around) if isinstance(s, For)), None)
        if loop is None or not _pipelined((loop,)):
            return False
        return any(self.setting.is_product.get(id(s), False) for s in statements(loop))

    def why_not_apart(self, copy: Stmt, tile: Buffer, around: tuple[Stmt, ...], how: str) -> str:
        """Why others than those who compute cannot make the copy."""
        if any(isinstance(s, For) and isinstance(s.kind, Pipelined) and s.kind.by_hand for s in around):
            return "the schedule of its loop is given by hand"
        for tensor in sorted(sources_of(copy), key=lambda b: b.name):
            if tensor in self.written:
                return f"'{tensor.name}' is written by the kernel"
            if tensor in self.setting.safe and how == ENGINE:
                return f"'{tensor.name}' has another value than 0 out of bounds"
        if tile in self.roots or tile in self.roots.values():
            return f"'{tile.name}' is also used through a view"
        if self.copied[tile] > 1:
            return f"'{tile.name}' is copied to at several places"
        return self.replay.why_not([*decided_within(copy), *decided_by(around)])

    def why_not_shared(self, tile: Buffer, path: Path, siblings: Block, reads: list[int]) -> str:
        """Why a tile cannot be handed over in each iteration and given back."""
        if not reads:
            return f"nothing in its block reads '{tile.name}'"
        if self.touched_elsewhere(tile, path, siblings):
            return f"'{tile.name}' is also used outside of the iteration, or written"
        return ""

    def touched_elsewhere(self, tile: Buffer, path: Path, siblings: Block) -> bool:
        """Whether anything but later reads in the block of the copy touches the tile."""
        here: list[Access] = [a for s in siblings[path[-1] :] for a in accesses(s) if a.buffer is tile]
        return len(here) != self.touched[tile] or any(a.writes for a in here[1:])

    # ----------------------------------------------------------------------------------------------------- channels

    def channels(self, groups: list[Group]) -> Iterator[Channel]:
        for g in groups:
            counted = not is_regular(g.copies[0].nest, self.replay.lets)
            yield Channel(g.copies, g.depth, self.released_by(g.copies), counted)

    def released_by(self, group: tuple[Candidate, ...]) -> str:
        """One arrival of a warpgroup says that its products have read a tile; else each thread speaks for itself."""
        tiles = {c.tile for c in group}
        readers = [
            s
            for c in group
            for s, _ in leaves(block_at(self.body, c.path)[c.first : c.last + 1])
            if any(a.buffer in tiles for a in accesses(s))
        ]
        products = all(isinstance(s, Gemm) and self.setting.is_product.get(id(s), False) for s in readers)
        return "warpgroups" if products else "threads"
