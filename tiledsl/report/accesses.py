"""What the accesses to memory cost, computed from their addresses: no run needed.

The figures are those of the checked CPU device's counters, for every access whose address, conditions and loops are
known; tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

from tiledsl.analysis.bank_conflicts import matrix_wavefronts
from tiledsl.analysis.footprint import Unknown
from tiledsl.analysis.requests import LANES, Cost, global_cost, shared_cost
from tiledsl.analysis.touches import touches
from tiledsl.ir.concurrent import BulkMove, TensorCopy, sends
from tiledsl.ir.frozen import dataclass
from tiledsl.ir.nodes import (
    AtomCall,
    Buffer,
    Const,
    Descriptor,
    Expr,
    For,
    Launch,
    Load,
    Select,
    Space,
    Stmt,
    Store,
    Var,
    View,
)
from tiledsl.isa import descriptor as matrices
from tiledsl.isa.table import atom_named
from tiledsl.isa.wgmma import THREADS, operand_lines
from tiledsl.report.domain import Array
from tiledsl.report.visit import Visit, walk

UNITS = {"shared": "wavefronts", "global": "sectors"}  # of transactions, by the space of an access
_SECTOR, _WAVEFRONT = 32, 128  # bytes
_PERIOD = 1024  # bytes after which every swizzle begins anew
FAR = 1 << 15  # extents that are not known: rows of a tensor count as far apart


@dataclass(frozen=True, slots=True)
class Access:
    """One access of a line of the source, by all threads of all blocks in all iterations that are known.

    `op` is load, store, atomic (with "bulk " before it if the copy engine does it) or the name of an instruction;
    `space` shared or global, in which `transactions` are wavefronts or sectors of 32 bytes. `exact`: the figures are
    those of every run; otherwise an address, a condition or a number of iterations depends on data or on sizes that
    were not given, and counts as in `Visit` and `Domain`.
    """

    op: str
    space: str
    buffer: str
    file: str
    line: int
    in_loop: bool
    requests: int
    transactions: int
    ideal: int
    bytes: int
    exact: bool = True

    @property
    def place(self) -> str:
        return f"{self.file.rpartition('/')[2]}:{self.line}"


def accesses(
    launch: Launch, numbers: Mapping[Var, int] | None = None, *, every: bool = False, as_counted: bool = False
) -> tuple[Access, ...]:
    """All accesses of shared and global memory, in program order. `numbers` are sizes and scalars by variable.

    `every` looks at all blocks and iterations; without it long axes are sampled, which is exact where the pattern of
    addresses does not change between. A request is what a warp does in one iteration; `as_counted` makes it the k-th
    executions of the lanes since they last met instead, which is what the counters of a run can tell: it differs where
    lanes leave out different iterations.
    """
    roots: dict[Buffer, Buffer] = {}
    found: list[Access] = []
    for s, visit in walk(launch, numbers or {}, every):
        if isinstance(s, View):
            roots[s.buffer] = roots.get(s.source, s.source)
        found += _of_statement(s, visit, roots, as_counted)
    return tuple(found)


def merged(found: Iterable[Access]) -> tuple[Access, ...]:
    """Equal operations on one buffer in one line as one access, in the order of their first appearance."""
    groups: dict[tuple[str, str, str, str, int], list[Access]] = {}
    for a in found:
        groups.setdefault((a.op, a.space, a.buffer, a.file, a.line), []).append(a)
    return tuple(
        Access(
            *key,
            any(a.in_loop for a in same),
            sum(a.requests for a in same),
            sum(a.transactions for a in same),
            sum(a.ideal for a in same),
            sum(a.bytes for a in same),
            all(a.exact for a in same),
        )
        for key, same in groups.items()
    )


def _of_statement(s: Stmt, visit: Visit, roots: Mapping[Buffer, Buffer], as_counted: bool) -> Iterator[Access]:
    if isinstance(s, TensorCopy | BulkMove):
        yield from _of_engine(s, visit, roots)
        return
    if isinstance(s, AtomCall):
        yield from _of_product(s, visit, roots)
    for op, buffer, indices, size, when in _touched(s):
        if buffer.space not in (Space.SHARED, Space.GLOBAL) or not indices:
            continue
        address, on, exact = _tables(s, visit, buffer, indices, when)
        if as_counted:
            address, on = _shifted(visit, address, on)
        cost = _cost(visit, address, on, size, buffer.space)
        if cost.requests:
            name = roots.get(buffer, buffer).name
            counts = (cost.requests, cost.transactions, cost.ideal, cost.bytes)
            yield Access(op, buffer.space.value, name, s.span.file, s.span.line, visit.loops > 0, *counts, exact)


def _of_engine(s: TensorCopy | BulkMove, visit: Visit, roots: Mapping[Buffer, Buffer]) -> Iterator[Access]:
    """A copy of the copy engine: one request, which moves a whole box without conflicts. Out of bounds counts too.

    The counters of a run leave these out: they count what warps ask for.
    """
    times, exact = visit.times()
    box = s.box if isinstance(s, TensorCopy) else (s.lanes,)
    op = "bulk atomic" if isinstance(s, TensorCopy) and s.op else "bulk load" if s.barrier is not None else "bulk store"
    op = "bulk copy to another block" if sends(s) else op
    row = box[-1] * s.dst.buffer.dtype.bits // 8
    moved = prod(box[:-1]) * row
    for buffer in (s.src.buffer, s.dst.buffer):
        lines = prod(box[:-1]) * -(-row // _SECTOR) if buffer.space is Space.GLOBAL else -(-moved // _WAVEFRONT)
        name = roots.get(buffer, buffer).name
        counts = (times, lines * times, lines * times, moved * times)
        yield Access(op, buffer.space.value, name, s.span.file, s.span.line, visit.loops > 0, *counts, exact)


def _of_product(s: AtomCall, visit: Visit, roots: Mapping[Buffer, Buffer]) -> Iterator[Access]:
    """What wgmma reads of shared memory through its descriptors: a request for each operand and warpgroup.

    The counters of a run leave these out too.
    """
    read = [d for d in s.args if isinstance(d, Descriptor)]
    for d, major in zip(read, s.args[-len(read) :]):
        assert isinstance(major, Const)
        address, on, exact = _tables(s, visit, d.start.buffer, d.start.indices, ())
        shape = np.broadcast_shapes(address.shape, on.shape)
        first = (slice(None, None, THREADS // LANES), slice(0, 1))  # of each warpgroup: all its threads say the same
        times = (np.broadcast_to(on, shape) * visit.domain.weights(shape))[first]
        lines, units = operand_lines(s.atom, d is read[-1], bool(major.value))
        cost = Cost()
        # Shared tiles begin where their swizzle does, so that its pattern is that of the address in the tile.
        for start, count in _counted(np.broadcast_to(address, shape)[first] % _PERIOD, times):
            matrix = matrices.Descriptor(start, d.leading, d.stride, matrices.mode_of(d.swizzle))
            needed, least = matrix_wavefronts(matrix, lines, units, not major.value)
            cost += Cost(count, needed * count, least * count, lines * units * matrices.UNIT * count)
        if cost.requests:
            name = roots.get(d.start.buffer, d.start.buffer).name
            counts = (cost.requests, cost.transactions, cost.ideal, cost.bytes)
            yield Access(s.atom, "shared", name, s.span.file, s.span.line, visit.loops > 0, *counts, exact)


def _counted(values: Array, times: Array) -> Iterator[tuple[int, int]]:
    """Each value with how often it occurs, where that is ever."""
    distinct, which = np.unique(values, return_inverse=True)
    totals = np.zeros(len(distinct), np.int64)
    np.add.at(totals, which.ravel(), times.ravel())
    return ((int(v), int(n)) for v, n in zip(distinct, totals) if n)


Touched = tuple[str, Buffer, tuple[Expr, ...], int, tuple[Expr, ...]]


def _touched(s: Stmt) -> Iterator[Touched]:
    """Operation, buffer, indices, bytes a lane, and conditions within the statement, of each access that `s` makes."""
    copy = copied(s)
    for buffer, indices, _, size, kind, _, when in touches(s):
        plain = {"read": "load", "write": "store"}.get(kind.value, kind.value)
        if isinstance(s, AtomCall):
            row = atom_named(s.atom)
            predicate = (s.args[2],) if row and row.kind == "cp_async" and buffer.space is Space.GLOBAL else ()
            yield s.atom, buffer, indices, size, (*when, *predicate)
        else:
            yield copy if copy and not isinstance(s, For) else plain, buffer, indices, size, when


def copied(s: Stmt) -> str:
    """The cp.async that the emitter makes of an asynchronous store; empty if it is none."""
    match s:
        case Store(buffer, _, Load(source) | Select(_, Load(source), Const(0)), _, True) if (
            buffer.space is Space.SHARED and source.space is Space.GLOBAL and buffer.dtype.bits in (32, 64, 128)
        ):
            return f"cp_async_{buffer.dtype.bits // 8}"
    return ""


def _tables(
    s: Stmt, visit: Visit, buffer: Buffer, indices: tuple[Expr, ...], when: tuple[Expr, ...]
) -> tuple[Array, Array, bool]:
    """Full tables of the addresses and of who takes part, and whether they are those of every run."""
    on, exact = visit.active(when)
    row = atom_named(s.atom) if isinstance(s, AtomCall) else None
    if row is not None and row.matrices:
        on = on & visit.domain.full((np.arange(LANES) < 8 * row.matrices)[None])
    try:
        address = _addresses(visit, buffer, indices)
    except Unknown:
        exact = False
        visit.domain.lenient = True
        try:
            address = _addresses(visit, buffer, indices)
        finally:
            visit.domain.lenient = False
    return visit.domain.full(address), on, exact


def _shifted(visit: Visit, address: Array, on: Array) -> tuple[Array, Array]:
    """The tables with the executions of each lane moved to the front of the loops in which lanes do not meet."""
    shape = np.broadcast_shapes(address.shape, on.shape)
    first = len(shape) - visit.alone
    if not visit.alone or on.shape[first:] == (1,) * visit.alone:
        return address, on
    flat = (*shape[:first], -1)
    on, address = (np.broadcast_to(t, shape).reshape(flat) for t in (on, address))
    order = np.argsort(~on, axis=-1, kind="stable")
    return tuple(np.take_along_axis(t, order, -1).reshape(shape) for t in (address, on))  # type: ignore[return-value]


def _cost(visit: Visit, address: Array, on: Array, size: int, space: Space) -> Cost:
    shape = np.broadcast_shapes(address.shape, on.shape)
    weights = np.broadcast_to(visit.domain.weights(shape), (shape[0], 1, *shape[2:]))
    count = shared_cost if space is Space.SHARED else global_cost
    of_requests = _requests(weights, weights.shape)[:, 0]
    return count(_requests(address, shape), _requests(on, shape), size, of_requests)


def _requests(table: Array, shape: tuple[int, ...]) -> Array:
    """The table as (requests, lanes)."""
    return np.moveaxis(np.broadcast_to(table, shape), 1, -1).reshape(-1, shape[1])


def _addresses(visit: Visit, buffer: Buffer, indices: tuple[Expr, ...]) -> Any:
    """Byte offsets from the start of the buffer's version: versions are whole wavefronts apart. Raises Unknown."""
    element: Any = 0
    for index, stride in zip(indices, _strides(visit, buffer), strict=True):
        element = np.add(*visit.domain.aligned([element, np.multiply(visit.domain.value(index), stride)]))
    return np.asarray(element, np.int64) * buffer.dtype.bits // 8


def _strides(visit: Visit, buffer: Buffer) -> list[int]:
    """In elements. Extents that are not known count as FAR."""

    def number(e: int | Expr) -> int:
        try:
            return e if isinstance(e, int) else int(visit.domain.value(e))
        except Unknown:
            return FAR

    if buffer.strides is not None:
        return [number(e) for e in buffer.strides]
    strides = [1]
    for extent in reversed(buffer.shape[1:]):
        strides.insert(0, strides[0] * number(extent))
    return strides
