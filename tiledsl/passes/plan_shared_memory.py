"""Puts the shared buffers of each launch into one arena; buffers that are never needed together share bytes.

Packing is first-fit in falling order of size, which is deterministic; `analysis/lifetimes.py` says what is needed when.
Source of the method: interval-graph colouring with sizes (algorithms.md D.4).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from tiledsl.analysis.access import statements_below, storage_roots
from tiledsl.analysis.lifetimes import live_ranges
from tiledsl.analysis.touches import bytes_of, is_shared, touches, version_bytes
from tiledsl.errors import NOWHERE, Span, TileError, error
from tiledsl.ir.concurrent import TensorCopy
from tiledsl.ir.nodes import (
    AtomCall,
    Binary,
    Buffer,
    Descriptor,
    Expr,
    Kernel,
    Launch,
    Let,
    Node,
    SharedSlot,
    Stmt,
    Store,
    Var,
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
        if launch.entry:
            launches.append(_as_the_user_asks(launch, target))
            continue
        lifetimes = _lifetimes(launch)
        plan = _packed(lifetimes, reuse=False)
        if reuse and plan.total > unlimited_bytes(launch, target):
            plan = _packed(lifetimes, reuse=True)
        if plan.total > target.shared_per_block:
            raise _too_large(launch, plan, target, reuse)
        slots = tuple(SharedSlot(l.buffer, plan.offsets[l.buffer]) for l in plan.lifetimes)
        launches.append(replace(launch, shared=slots, shared_bytes=plan.total))
    return replace(kernel, launches=tuple(launches))


def _as_the_user_asks(launch: Launch, target: Target) -> Launch:
    """The launch of a kernel of the user's own, whose shared memory nobody plans. Raises TileError TD0510."""
    limit = target.shared_per_block
    if launch.shared_bytes > limit:
        raise error("TD0510", launch.span, name=launch.entry, size=launch.shared_bytes, target=target.name, limit=limit)
    return launch


def unlimited_bytes(launch: Launch, target: Target) -> int:
    """The shared memory per block up to which the number of threads limits how many blocks run at a time."""
    warps = -(-launch.num_threads // 32)
    blocks = max(1, min(target.blocks_per_sm, target.warps_per_sm // warps))
    return target.shared_per_sm // blocks


def make_shared_plan(launch: Launch, *, reuse: bool = True) -> SharedPlan:
    """The arena of a thread-stage launch."""
    return _packed(_lifetimes(launch), reuse=reuse)


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


def _lifetimes(launch: Launch) -> tuple[Lifetime, ...]:
    aligned = alignments(launch)
    return tuple(
        Lifetime(r.buffer, bytes_of(r.buffer), aligned.get(r.buffer, 16), r.first, r.last, r.span)
        for r in live_ranges(launch)
    )


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
