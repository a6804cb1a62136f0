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

from tiledsl.analysis.access import Access, accesses, reach
from tiledsl.analysis.copy_engine import bulk_bytes, why_not_bulk
from tiledsl.analysis.vector_width import Divisors
from tiledsl.ir.concurrent import WARPGROUP, Roles, members
from tiledsl.ir.nodes import (
    AsyncCommit,
    AsyncWait,
    Barrier,
    Block,
    Break,
    Buffer,
    Const,
    Continue,
    Expr,
    For,
    If,
    Launch,
    Pipelined,
    Space,
    Stmt,
    Var,
    While,
)
from tiledsl.ir.tile import Copy, Gemm
from tiledsl.ir.walk import statements, walk
from tiledsl.passes.warp_specialise.replay import Replay, decided_by, leaves

Path = tuple[int, ...]  # statement numbers from the launch's body down; 0 or 1 before those in a branch of an If


@dataclass(frozen=True, slots=True)
class Candidate:
    """A copy that the producer can make: `first` and `last` number the statements of its block that read its tile."""

    path: Path
    copy: Copy
    around: tuple[Stmt, ...]  # loops and conditionals, outermost first
    first: int
    last: int

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
        return tuple(dict.fromkeys(c.copy.dst.buffer for c in self.copies))

    @property
    def bytes(self) -> int:
        """Of a version: what this block loads of it, or all blocks of the cluster together."""
        return sum(bulk_bytes(c.copy) * max(1, len(members(c.copy.ranks))) for c in self.copies)

    @property
    def ranks(self) -> int:
        """The blocks of the cluster whose tiles this block writes, as a mask; 0: only its own."""
        return max(c.copy.ranks for c in self.copies)

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
        dealt = [c.copy.dst.buffer.name for c in self.copies if c.copy.ranks]
        blocks = f"; {len(members(self.ranks))} blocks load parts of {', '.join(dealt)} for each other" if dealt else ""
        return f"{tiles}: {self.depth} versions of {self.bytes} bytes, read by {self.by}, counted {how}{blocks}"


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
    left: tuple[tuple[Copy, str], ...] = ()
    alone: tuple[tuple[Copy, str], ...] = ()

    def __str__(self) -> str:
        if self.refused:
            return f"not specialised: {self.refused}"
        head = f"producer: {WARPGROUP} threads, {self.budget.producer or 'its share of'} registers"
        other = f"consumer: {self.consumers} threads, {self.budget.consumer or 'their share of'} registers"
        rows = [f"copy to {c.dst.buffer.name} at line {c.span.line} stays: {why}" for c, why in self.left]
        rows += [f"copy to {c.dst.buffer.name} is not shared by the cluster: {why}" for c, why in self.alone]
        return "\n".join([head, other, *map(str, self.channels), *rows])


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
    left: list[tuple[Copy, str]] = []
    scan = _Scan(setting)
    for path, s, around in _copies(launch.body, (), ()):
        reason, candidate = scan.candidate(path, s, around)
        if candidate is not None:
            found.append(candidate)
        elif _pipelined(around):
            left.append((s, reason))
    channels = tuple(scan.channels(found))
    if not any(_pipelined(c.copies[0].around) for c in channels):
        reasons = "; ".join(dict.fromkeys(why for _, why in left)) or "no pipelined loop copies tiles to shared memory"
        return WarpPlan(refused=reasons, left=tuple(left))
    consumers = launch.num_threads
    computes = any(isinstance(s, Gemm) for s in statements(launch))  # else registers do not limit; moving them costs
    asked = Budget(*launch.registers) if launch.registers else budget(consumers) if computes else Budget()
    return WarpPlan(consumers, channels, asked, left=tuple(left))


def budget(consumers: int) -> Budget:
    """algorithms.md C.9: the pool of registers is what the block was launched with, so the producer gives its own."""
    return {2: Budget(24, 240), 3: Budget(24, 160)}.get(consumers // WARPGROUP, Budget())


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


def _copies(block: Block, path: Path, around: tuple[Stmt, ...]) -> Iterator[tuple[Path, Copy, tuple[Stmt, ...]]]:
    """Copies from global to shared memory with the loops and conditionals around them."""
    for i, s in enumerate(block):
        here = (*path, i)
        match s:
            case Copy(src, dst) if (src.buffer.space, dst.buffer.space) == (Space.GLOBAL, Space.SHARED):
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
        self.copied = Counter(copy.dst.buffer for _, copy, _ in _copies(self.body, (), ()))
        self.touched = Counter(a.buffer for s in self.body for a in accesses(s))

    def candidate(self, path: Path, copy: Copy, around: tuple[Stmt, ...]) -> tuple[str, Candidate | None]:
        """The copy as one of the producer's, or why it cannot be."""
        tile, tensor = copy.dst.buffer, copy.src.buffer
        reason = why_not_bulk(copy, self.setting.divisors)
        if reason:
            return reason, None
        if any(isinstance(s, For) and isinstance(s.kind, Pipelined) and s.kind.by_hand for s in around):
            return "the schedule of its loop is given by hand", None
        written = self.roots.get(tensor, tensor) in self.written
        if written or tensor in self.setting.safe:
            said = "is written by the kernel" if written else "has another value than 0 out of bounds"
            return f"'{tensor.name}' {said}", None
        if tile in self.roots or tile in self.roots.values():
            return f"'{tile.name}' is also used through a view", None
        if self.copied[tile] > 1:
            return f"'{tile.name}' is copied to at several places", None
        if why := self.replay.why_not([*copy.src.offsets, *decided_by(around)]):
            return why, None
        siblings = block_at(self.body, path)
        reads = [i for i, s in enumerate(siblings) if i > path[-1] and any(a.buffer is tile for a in accesses(s))]
        if not reads:
            return f"nothing in its block reads '{tile.name}'", None
        if self.touched_elsewhere(tile, path, siblings):
            return f"'{tile.name}' is also used outside of the iteration, or written", None
        last = last_reading(siblings, tile, reads[-1])
        if last is None:
            return f"a product that reads '{tile.name}' may go on beyond the iteration", None
        return "", Candidate(path, copy, around, reads[0], last)

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
        tiles = {c.copy.dst.buffer for c in group}
        readers = [
            s
            for c in group
            for s, _ in leaves(block_at(self.body, c.path)[c.first : c.last + 1])
            if any(a.buffer in tiles for a in accesses(s))
        ]
        products = all(isinstance(s, Gemm) and self.setting.is_product.get(id(s), False) for s in readers)
        return "warpgroups" if products else "threads"


def last_reading(block: Block, tile: Buffer, last: int) -> int | None:
    """The statement of `block` after which nothing reads `tile`: the one numbered `last` is the last to say so, but a
    product that it starts goes on until it is waited for. None where that is not in `block`."""
    age: int | None = None
    for i, s in enumerate(block):
        age = _age_after((s,), tile, age)
        if i >= last and age is None:
            return i
    return None


def _age_after(block: Block, tile: Buffer, age: int | None) -> int | None:
    """How many groups of products are committed after that of the latest which reads `tile`.

    -1: it is in no group yet; None: none is in flight.
    """
    for s in block:
        match s:
            case Gemm(asynchronous=True) if any(a.buffer is tile for a in accesses(s)):
                age = -1
            case AsyncCommit(queue="product") if age is not None:
                age += 1
            case AsyncWait(pending=pending, queue="product") if age is not None and pending <= age:
                age = None
            case For(body=body):
                age = _younger(age, _age_after(body, tile, age))
            case If(_, then, orelse):
                age = _younger(_age_after(then, tile, age), _age_after(orelse, tile, age))
    return age


def _younger(a: int | None, b: int | None) -> int | None:
    return min((x for x in (a, b) if x is not None), default=None)


def _depth(around: tuple[Stmt, ...]) -> int:
    """As many versions as the innermost loop has stages; one where that loop is not pipelined."""
    loops = [s for s in around if isinstance(s, For)]
    kind = loops[-1].kind if loops else None
    return max(1, kind.stages) if isinstance(kind, Pipelined) else 1


def is_regular(nest: tuple[Stmt, ...], lets: Mapping[Var, Expr]) -> bool:
    """Whether n follows from the loop variables: no conditionals, and extents of inner loops that are always the same.

    How often the outermost loop runs does not enter. `lets`: the values of all names of the launch. Sizes that are
    known at launch only do not count as always the same: n would be a product that may not fit in 32 bits.
    """
    variables: set[Var] = set()
    for s in nest:
        if not isinstance(s, For):
            return False
        used, loads = reach(s.extent, lets)
        if variables and (loads or used):
            return False
        variables.add(s.var)
    return True


def count_of(nest: tuple[Stmt, ...]) -> Expr:
    """n for the present iteration of a regular nest."""
    total: Expr = Const(0)
    for s in nest:
        assert isinstance(s, For)
        total = s.var if total == Const(0) else total * s.extent + s.var
    return total
