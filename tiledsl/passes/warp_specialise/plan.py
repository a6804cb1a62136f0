"""Which copies a producer can make for the others, and how the tiles are handed over: the plan of warp-specialise.

A *channel* is a ring of `depth` versions of some tiles with two barriers for each: `full` ends a phase when the tiles
have arrived, `empty` when the consumers have read them. Iteration n of the copies uses version n % depth, in phase
n // depth. Both sides count n for themselves: it must be the same number on both, so both execute the same loops and
guards.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import dropwhile
from math import prod

from tiledsl.analysis.access import Access, accesses
from tiledsl.analysis.copy_engine import bulk_bytes, why_not_bulk
from tiledsl.analysis.vector_width import Divisors
from tiledsl.ir.concurrent import WARPGROUP, Roles, members
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
    static_shape,
)
from tiledsl.ir.tile import Copy, Gemm, Parallel, Transpose
from tiledsl.ir.walk import statements, walk
from tiledsl.passes.warp_specialise.fills import (
    CP_ASYNC,
    ENGINE,
    REGISTERS,
    decided_within,
    how_by_threads,
    sources_of,
    tile_of,
    why_not_by_threads,
)
from tiledsl.passes.warp_specialise.iterations import is_regular
from tiledsl.passes.warp_specialise.reads import last_reading
from tiledsl.passes.warp_specialise.replay import Replay, decided_by, leaves

Path = tuple[int, ...]  # statement numbers from the launch's body down; 0 or 1 before those in a branch of an If


@dataclass(frozen=True, slots=True)
class Candidate:
    """A copy that the producer can make: `first` and `last` number the statements of its block that read its tile.

    `how`: by the copy engine, or by the producer's threads (`fills`), and then `why` the copy engine cannot.
    """

    path: Path
    copy: Stmt
    around: tuple[Stmt, ...]  # loops and conditionals, outermost first
    first: int
    last: int
    tile: Buffer
    how: str = ENGINE
    why: str = ""

    @property
    def bytes(self) -> int:
        """What the copy engine adds to the bytes of a barrier: here, or also from the other blocks of the cluster."""
        if not isinstance(self.copy, Copy) or self.how != ENGINE:
            return 0
        return bulk_bytes(self.copy) * max(1, len(members(self.ranks)))

    @property
    def ranks(self) -> int:
        """The blocks of the cluster whose tiles the copy writes, as a mask; 0: only its own."""
        return self.copy.ranks if isinstance(self.copy, Copy) else 0

    @property
    def block(self) -> Path:
        return self.path[:-1]

    @property
    def nest(self) -> tuple[Stmt, ...]:
        """What is around from the outermost loop on: what stands outside of that is executed at most once."""
        return tuple(dropwhile(lambda s: isinstance(s, If), self.around))


@dataclass(frozen=True, slots=True)
class Channel:
    """Copies with the same readers, and their barriers. `by` says who tells that the tiles have been read.

    `counted`: n cannot be computed from the loops around, so both sides keep count: of the iterations of the innermost
    loop before each run of it (`by_run`) where that says n, which keeps the loop free of it, else of the iterations.
    """

    copies: tuple[Candidate, ...]
    depth: int
    by: str
    counted: bool

    @property
    def tiles(self) -> tuple[Buffer, ...]:
        return tuple(dict.fromkeys(c.tile for c in self.copies))

    @property
    def bytes(self) -> int:
        """Of a version: what this block loads of it by the copy engine, or all blocks of the cluster together."""
        return sum(c.bytes for c in self.copies)

    @property
    def ranks(self) -> int:
        """The blocks of the cluster whose tiles this block writes, as a mask; 0: only its own."""
        return max(c.ranks for c in self.copies)

    @property
    def ways(self) -> frozenset[str]:
        return frozenset(c.how for c in self.copies)

    @property
    def by_threads(self) -> bool:
        """Whether all threads of the producer take part, not only the one that starts the copy engine."""
        return self.ways != {ENGINE}

    @property
    def arrivals(self) -> int:
        """How many arrivals say that the tiles have come: cp.async and what threads write have one of each thread."""
        return (ENGINE in self.ways) + WARPGROUP * len(self.ways - {ENGINE})

    @property
    def nest(self) -> tuple[Stmt, ...]:
        return self.copies[0].nest

    @property
    def by_run(self) -> bool:
        return self.counted and isinstance(self.nest[-1], For)

    @property
    def name(self) -> str:
        return "_".join(b.name for b in self.tiles)

    def __str__(self) -> str:
        tiles = ", ".join(b.name for b in self.tiles)
        how = "by runs of the loop" if self.by_run else "both sides count" if self.counted else "by the loops"
        size = sum(prod(static_shape(b)) * b.dtype.bits // 8 for b in self.tiles)
        rows = [
            f"copy to {c.tile.name} at line {c.copy.span.line} by 128 threads, {c.how}: {c.why}"
            for c in self.copies
            if c.how != ENGINE
        ]
        dealt = [c.tile.name for c in self.copies if c.ranks]
        blocks = f"; {len(members(self.ranks))} blocks load parts of {', '.join(dealt)} for each other" if dealt else ""
        line = f"{tiles}: {self.depth} versions of {size} bytes, read by {self.by}, counted {how}{blocks}"
        return "\n".join([line, *rows])


@dataclass(frozen=True, slots=True)
class Budget:
    """Registers of a thread of each role (0: as launched)."""

    producer: int = 0
    consumer: int = 0


@dataclass(frozen=True, slots=True)
class WarpPlan:
    """What warp-specialise decided for a launch: its channels, or `refused`, why it left the launch as it was.

    `left` are copies of pipelined loops that the consumers make themselves, each with the reason; `alone` those that
    the producer of each block of a cluster makes for itself.
    """

    consumers: int = 0  # threads
    channels: tuple[Channel, ...] = ()
    budget: Budget = Budget()
    refused: str = ""
    left: tuple[tuple[Stmt, str], ...] = ()
    alone: tuple[tuple[Stmt, str], ...] = ()

    def __str__(self) -> str:
        if self.refused:
            return f"not specialised: {self.refused}"
        head = f"producer: {WARPGROUP} threads, {self.budget.producer or 'its share of'} registers"
        other = f"consumer: {self.consumers} threads, {self.budget.consumer or 'their share of'} registers"
        rows = [f"copy to {_name(c)} at line {c.span.line} stays: {why}" for c, why in self.left]
        rows += [f"copy to {_name(c)} is not shared by the cluster: {why}" for c, why in self.alone]
        return "\n".join([head, other, *map(str, self.channels), *rows])


def _name(copy: Stmt) -> str:
    tile = tile_of(copy)
    return tile.name if tile else "no tile"


@dataclass(frozen=True, slots=True)
class Setting:
    """What the planner knows of the launch besides its body."""

    launch: Launch
    divisors: Divisors
    is_product: Mapping[int, bool]  # by id of the Gemm: whether the tensor core reads its operands asynchronously
    safe: frozenset[Buffer]  # tensors whose elements out of bounds are not 0


def make_plan(setting: Setting) -> WarpPlan:
    """The plan; it changes nothing."""
    launch = setting.launch
    why = _why_not(launch)
    if why:
        return WarpPlan(refused=why)
    found: list[Candidate] = []
    left: list[tuple[Stmt, str]] = []
    scan = _Scan(setting)
    for path, s, around in _copies(launch.body, (), ()):
        reason, candidate = scan.candidate(path, s, around)
        if candidate is not None:
            found.append(candidate)
        elif _pipelined(around) and reason:
            left.append((s, reason))
    channels = tuple(scan.channels(found))
    if not any(_pipelined(c.copies[0].around) for c in channels):
        reasons = "; ".join(dict.fromkeys(why for _, why in left)) or "no pipelined loop copies tiles to shared memory"
        return WarpPlan(refused=reasons, left=tuple(left))
    consumers = launch.num_threads
    computes = any(isinstance(s, Gemm) for s in statements(launch))  # else registers do not limit; moving them costs
    ways = frozenset(way for c in channels for way in c.ways)
    asked = Budget(*launch.registers) if launch.registers else budget(consumers, ways) if computes else Budget()
    return WarpPlan(consumers, channels, asked, left=tuple(left))


# By the number of consumer warpgroups: 504 or 512 registers to a thread of each warpgroup, see `budget`.
_BUDGETS = {
    ENGINE: {2: Budget(24, 240), 3: Budget(24, 160)},
    CP_ASYNC: {2: Budget(56, 224), 3: Budget(56, 152)},
    REGISTERS: {2: Budget(88, 208), 3: Budget(104, 136)},
}


def budget(consumers: int, ways: frozenset[str]) -> Budget:
    """algorithms.md C.9: the pool of registers is what the block was launched with, so the producer gives its own; it
    keeps addresses where its threads start copies themselves, and what is on the way where that is in registers."""
    needs_most = next((way for way in (REGISTERS, CP_ASYNC) if way in ways), ENGINE)
    return _BUDGETS[needs_most].get(consumers // WARPGROUP, Budget())


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
            case Copy() | Transpose() | Parallel() if tile_of(s):
                yield here, s, around
            case For(body=body):
                yield from _copies(body, here, (*around, s))
            case If(_, then, orelse):
                yield from _copies(then, (*here, 0), (*around, s))
                yield from _copies(orelse, (*here, 1), (*around, s))


def block_at(body: Block, path: Path) -> Block:
    """The block in which the statement `path` stands."""
    block, at = body, 0
    while at < len(path) - 1:
        match block[path[at]]:
            case For(body=inner):
                block, at = inner, at + 1
            case If(_, then, orelse):
                block, at = (then, orelse)[path[at + 1]], at + 2
            case other:
                raise TypeError(f"{type(other).__name__} has no block")
    return block


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
        why = why_not_bulk(copy, self.setting.divisors) if isinstance(copy, Copy) else "it is no plain copy"
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

    def channels(self, found: list[Candidate]) -> Iterator[Channel]:
        """Neighbours in one block with the same readers share their barriers."""
        groups: list[list[Candidate]] = []
        for c in found:
            last = groups[-1] if groups else None
            together = last and last[-1].block == c.block and (last[-1].first, last[-1].last) == (c.first, c.last)
            if together and last is not None:
                last.append(c)
            else:
                groups.append([c])
        for group in groups:
            counted = not is_regular(group[0].nest, self.replay.lets)
            yield Channel(tuple(group), _depth(group[0].around), self.released_by(group), counted)

    def released_by(self, group: list[Candidate]) -> str:
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


def _depth(around: tuple[Stmt, ...]) -> int:
    """As many versions as the innermost loop has stages; one where that loop is not pipelined."""
    loops = [s for s in around if isinstance(s, For)]
    kind = loops[-1].kind if loops else None
    return max(1, kind.stages) if isinstance(kind, Pipelined) else 1
