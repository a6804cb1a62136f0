"""Puts the shared buffers of each launch into one arena; buffers that are never needed together share bytes.

A lifetime reaches from the first access to the last, in program order. An access inside a loop counts for the whole
loop if the buffer is allocated outside of it. Bytes that cp.async writes belong to the buffer from the issue on; they
stay its own until the read that waits for them, or to the end where no read follows. What the copy engine or the tensor
core touches stays the buffer's until the wait for it. Roles work at the same time, so what one of them touches lives
through all of their statement, and barriers in memory live from their initialisation to the end. Packing is first-fit
in falling order of size, which is deterministic. Source of the method: interval-graph colouring with sizes
(algorithms.md D.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from tiledsl.analysis.access import statements_below, storage_roots
from tiledsl.analysis.touches import bytes_of, is_shared, queue_of, touches, version_bytes
from tiledsl.errors import NOWHERE, Span, TileError, error
from tiledsl.ir.concurrent import Arrive, Await, BulkMove, Roles, TensorCopy
from tiledsl.ir.nodes import (
    Alloc,
    AsyncWait,
    AtomCall,
    Binary,
    Block,
    Buffer,
    Descriptor,
    Expr,
    For,
    If,
    Kernel,
    Launch,
    Let,
    Node,
    SharedSlot,
    Space,
    Stmt,
    Store,
    Var,
    While,
)
from tiledsl.ir.walk import walk
from tiledsl.passes.base import kernel_pass
from tiledsl.passes.facts import thread_stage
from tiledsl.target import Target
from tiledsl.verifiers.shared_memory import verify_shared


@dataclass(frozen=True, slots=True)
class Lifetime:
    """`buffer` needs `size` bytes at a multiple of `alignment`, from statement number `first` to `last` inclusive."""

    buffer: Buffer
    size: int
    alignment: int
    first: int
    last: int
    span: Span = NOWHERE

    def meets(self, other: Lifetime) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class SharedPlan:
    """Byte offsets of all shared buffers of a launch, and the size of the arena."""

    lifetimes: tuple[Lifetime, ...]
    offsets: Mapping[Buffer, int]
    total: int

    def __str__(self) -> str:
        rows = [
            f"{self.offsets[l.buffer]:>8} .. {self.offsets[l.buffer] + l.size:<8} {l.buffer.name}"
            f"{f' x{l.buffer.versions}' if l.buffer.versions > 1 else ''}, live {l.first}-{l.last}"
            for l in sorted(self.lifetimes, key=lambda l: self.offsets[l.buffer])
        ]
        return "\n".join([*rows, f"{self.total} bytes"])


@kernel_pass(requires=(thread_stage,), verify=verify_shared)
def plan_shared_memory(kernel: Kernel, *, target: Target, reuse: bool = True) -> Kernel:
    """Gives every shared buffer its bytes. TD0501 with a table of buffers where they exceed the target's limit.

    Bytes are shared only if that lets more blocks run on a multiprocessor, since a shared byte costs barriers. Without
    `reuse` every buffer has bytes of its own.
    """
    launches: list[Launch] = []
    for launch in kernel.launches:
        lifetimes = tuple(_lifetimes(launch))
        plan = _packed(lifetimes, reuse=False)
        if reuse and plan.total > unlimited_bytes(launch, target):
            plan = _packed(lifetimes, reuse=True)
        if plan.total > target.shared_per_block:
            raise _too_large(launch, plan, target, reuse)
        slots = tuple(SharedSlot(l.buffer, plan.offsets[l.buffer]) for l in plan.lifetimes)
        launches.append(replace(launch, shared=slots, shared_bytes=plan.total))
    return replace(kernel, launches=tuple(launches))


def unlimited_bytes(launch: Launch, target: Target) -> int:
    """The shared memory per block up to which the number of threads limits how many blocks run at a time."""
    warps = -(-launch.num_threads // 32)
    blocks = max(1, min(target.blocks_per_sm, target.warps_per_sm // warps))
    return target.shared_per_sm // blocks


def make_shared_plan(launch: Launch, *, reuse: bool = True) -> SharedPlan:
    """The arena of a thread-stage launch."""
    return _packed(tuple(_lifetimes(launch)), reuse=reuse)


def _packed(lifetimes: tuple[Lifetime, ...], *, reuse: bool) -> SharedPlan:
    offsets = pack(lifetimes, reuse=reuse)
    end = max((offsets[l.buffer] + l.size for l in lifetimes), default=0)
    return SharedPlan(lifetimes, offsets, _round_up(end, 16))


def _round_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


# --------------------------------------------------------------------------------------------------------- packing


def pack(lifetimes: Sequence[Lifetime], *, reuse: bool = True) -> dict[Buffer, int]:
    """An offset for each buffer, such that those that live at the same time do not meet in the arena."""
    placed: list[tuple[int, Lifetime]] = []
    for l in sorted(lifetimes, key=lambda l: -l.size):  # stable: equal sizes stay in program order
        taken = sorted((at, at + p.size) for at, p in placed if not reuse or l.meets(p))
        offset = 0
        for start, stop in taken:
            if offset + l.size <= start:
                break
            offset = max(offset, _round_up(stop, l.alignment))
        placed.append((offset, l))
    return {l.buffer: at for at, l in placed}


# ------------------------------------------------------------------------------------------------------- lifetimes


Around = tuple[int, ...]  # numbers of the blocks around a statement that may be passed over, outermost first


@dataclass(slots=True)
class _Scanner:
    """Numbers the statements; `touched` has the first and last of each buffer."""

    roots: Mapping[Buffer, Buffer]
    number: int = 0
    loops: list[list[Buffer]] = field(default_factory=list)  # what the open loops have touched
    touched: dict[Buffer, list[int]] = field(default_factory=dict)
    home: dict[Buffer, int] = field(default_factory=dict)  # the number of loops around the allocation
    made: list[tuple[Buffer, Span]] = field(default_factory=list)
    in_flight: set[Buffer] = field(default_factory=set)  # cp.async writes them
    # Queues and barriers that say when it is over, and the loops and branches around the accesses.
    engaged: dict[Buffer, dict[object, set[Around]]] = field(default_factory=dict)
    around: Around = ()
    entered: int = 0  # so many of them

    def block(self, block: Block) -> None:
        for s in block:
            self.number += 1
            match s:
                case Alloc(buffer) if buffer.space in (Space.SHARED, Space.BARRIER):
                    self.home[buffer] = len(self.loops)
                    self.made.append((buffer, s.span))
                case For(body=body):
                    self.touch(s)
                    self.loop(body)
                case While(body=body):
                    self.loop(body, s)
                case If(_, then, orelse):
                    self.touch(s)
                    self.inside(then)
                    self.inside(orelse)
                case Roles(roles):
                    self.together([role.body for role in roles])
                case AsyncWait(pending, queue):
                    self.over(queue, last=pending == 0)
                case Await(barrier, buffers=buffers):
                    self.touch(s)
                    self.hand(buffers)
                    self.over(barrier.buffer, last=True)
                case Arrive(buffers=buffers):
                    self.touch(s)
                    self.hand(buffers)
                case _:
                    self.touch(s)

    def inside(self, block: Block) -> None:
        """A block that may be passed over."""
        self.entered += 1
        outside, self.around = self.around, (*self.around, self.entered)
        self.block(block)
        self.around = outside

    def loop(self, body: Block, head: Stmt | None = None) -> None:
        start, inside = self.number, list[Buffer]()
        self.loops.append(inside)
        if head is not None:
            self.touch(head)
        self.inside(body)
        self.loops.pop()
        self.number += 1
        for b in inside:
            if self.home[b] <= len(self.loops):
                self.extend(b, start)
                self.extend(b, self.number)
                if self.loops:
                    self.loops[-1].append(b)

    def together(self, bodies: Sequence[Block]) -> None:
        """Roles: whatever one of them touches lives from the first statement to the last of all."""
        start, inside = self.number, list[Buffer]()
        self.loops.append(inside)
        for body in bodies:
            self.block(body)
        self.loops.pop()
        self.number += 1
        for b in inside:
            self.extend(b, start)
            self.extend(b, self.number)
            if self.loops and self.home[b] <= len(self.loops):
                self.loops[-1].append(b)

    def touch(self, s: Stmt) -> None:
        for buffer, _, _, _, _, issued, _ in touches(s):
            b = self.roots.get(buffer, buffer)
            if b not in self.home:
                continue
            self.at(b)
            if not issued:
                self.in_flight.discard(b)
            elif (end := _end_of(s)) == "copy":
                self.in_flight.add(b)
            else:
                self.engaged.setdefault(b, {}).setdefault(end, set()).add(self.around)

    def hand(self, buffers: Sequence[Buffer]) -> None:
        for b in buffers:
            if (root := self.roots.get(b, b)) in self.home:
                self.at(root)

    def over(self, end: object, last: bool) -> None:
        """A wait: what it is for was needed up to here. `last`: and nothing of it is on its way any more, if the wait
        happens whenever the access did."""
        for b, ends in self.engaged.items():
            if end in ends:
                self.at(b)
                if last:
                    depth = len(self.around)
                    ends[end] = {around for around in ends[end] if around[:depth] != self.around}
                    if not ends[end]:
                        del ends[end]

    def at(self, b: Buffer) -> None:
        self.extend(b, self.number)
        if self.loops:
            self.loops[-1].append(b)

    def extend(self, b: Buffer, number: int) -> None:
        span = self.touched.setdefault(b, [number, number])
        span[0], span[1] = min(span[0], number), max(span[1], number)


def _end_of(s: Stmt) -> object:
    """What says that the asynchronous accesses of `s` are complete: the name of a queue, or a barrier."""
    if isinstance(s, TensorCopy | BulkMove) and s.barrier is not None:
        return s.barrier.buffer
    return queue_of(s)


def _lifetimes(launch: Launch) -> Iterator[Lifetime]:
    scanner = _Scanner(storage_roots(launch.body))
    scanner.block(launch.body)
    copied = {s.dst.buffer for s in statements_below(launch.body) if isinstance(s, TensorCopy | BulkMove) and s.ranks}
    aligned = alignments(launch)
    for buffer, span in scanner.made:
        first, last = scanner.touched.get(buffer, (scanner.number, scanner.number))
        if buffer in scanner.in_flight or scanner.engaged.get(buffer):
            last = scanner.number
        if buffer.space is Space.BARRIER:  # others may still arrive, or look whether a phase is over
            first, last = 0, scanner.number
        if buffer in copied:  # by blocks of the cluster that may be ahead
            first = 0
        yield Lifetime(buffer, bytes_of(buffer), aligned.get(buffer, 16), first, last, span)


def alignments(launch: Launch) -> dict[Buffer, int]:
    """The home of the alignment rule, in bytes; 16 for buffers not listed.

    128 for what ldmatrix, stmatrix or cp.async address: a line of the 32 banks. The period of the swizzle where offsets
    are permuted with `^`: the hardware's modes repeat after at most 1024 bytes, and never after more than the tile.
    That of the mode for what the copy engine or the tensor core swizzle, in which each version begins: TD0520 where its
    size does not let it. Source: PTX ISA, "Tensor Swizzle Modes" and "Strides"; CUDA driver API,
    cuTensorMapEncodeTiled.
    """
    roots = storage_roots(launch.body)
    swizzled: set[Var] = set()
    result: dict[Buffer, int] = {}

    def permutes(e: Node) -> bool:
        return any((isinstance(n, Binary) and n.op == "^") or n in swizzled for n in walk(e))

    def need(buffer: Buffer, indices: Sequence[Expr], least: int) -> None:
        if any(permutes(i) for i in indices):
            size = version_bytes(buffer)
            least = max(least, min(1024, size & -size))
        result[buffer] = max(result.get(buffer, 16), least)

    for s in statements_below(launch.body):
        if isinstance(s, Let) and permutes(s.value):
            swizzled.add(s.var)
        wide = isinstance(s, AtomCall) or (isinstance(s, Store) and s.asynchronous)
        for buffer, indices, *_ in touches(s):
            if is_shared(buffer):
                need(buffer, indices, 128 if wide else 16)
        for buffer, swizzle in _swizzled_by_hardware(s):
            period = 8 * max(16, swizzle)
            if swizzle and buffer.versions > 1 and version_bytes(buffer) % period:
                raise _broken_pattern(s, buffer, swizzle, period)
            need(roots.get(buffer, buffer), (), period)
    return result


def _swizzled_by_hardware(s: Stmt) -> Iterator[tuple[Buffer, int]]:
    """Shared buffers that the copy engine takes a box of in `s`, or the tensor core, with the bytes of the swizzle."""
    if isinstance(s, TensorCopy):
        yield from ((a.buffer, s.swizzle) for a in (s.dst, s.src) if is_shared(a.buffer))
        return
    for n in walk(s) if isinstance(s, AtomCall | Let) else ():
        if isinstance(n, Descriptor):
            yield n.start.buffer, n.swizzle


# ---------------------------------------------------------------------------------------------------------- errors


def _too_large(launch: Launch, plan: SharedPlan, target: Target, reuse: bool) -> TileError:
    rows = [("buffer", "bytes", "versions", "line")]
    for l in sorted(plan.lifetimes, key=lambda l: -l.size):
        line = "-" if l.span is NOWHERE else str(l.span.line)
        rows.append((l.buffer.name, str(l.size), str(l.buffer.versions), line))
    widths = [max(len(r[c]) for r in rows) for c in range(4)]
    table = "\n".join("    " + "  ".join(cell.ljust(w) for cell, w in zip(r, widths)).rstrip() for r in rows)
    fitting = _stages_that_fit(plan, target, reuse)
    if fitting is None:
        advice = (
            "use smaller tiles" if max(_versions(plan), default=1) == 1 else "use smaller tiles: one stage is too much"
        )
    else:
        advice = f"num_stages={fitting} fits; or use smaller tiles"
    span = next((l.span for l in plan.lifetimes if l.span is not NOWHERE), launch.span)
    return error(
        "TD0501",
        span,
        needed=plan.total,
        name=target.name,
        limit=target.shared_per_block,
        table=table,
        advice=advice,
    )


def _broken_pattern(s: Stmt, buffer: Buffer, swizzle: int, period: int) -> TileError:
    size = version_bytes(buffer)
    return error("TD0520", s.span, name=buffer.name, bytes=size, swizzle=swizzle, period=period)


def _versions(plan: SharedPlan) -> list[int]:
    return [l.buffer.versions for l in plan.lifetimes]


def _stages_that_fit(plan: SharedPlan, target: Target, reuse: bool) -> int | None:
    """The largest num_stages whose tiles fit. The tiles of a pipeline have as many versions as it has stages."""
    for stages in range(max(_versions(plan), default=1) - 1, 0, -1):
        capped = [replace(l, size=version_bytes(l.buffer) * min(stages, l.buffer.versions)) for l in plan.lifetimes]
        offsets = pack(capped, reuse=reuse)
        if max((offsets[l.buffer] + l.size for l in capped), default=0) <= target.shared_per_block:
            return stages
    return None
