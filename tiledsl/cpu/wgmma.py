"""Asynchronous products of a warpgroup (wgmma) on NumPy registers and shared memory; see isa/wgmma.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tiledsl.cpu.atoms import registers_of
from tiledsl.cpu.beside import BY_PRODUCT, Work
from tiledsl.cpu.foreign import Pointer
from tiledsl.cpu.memory import Lanes
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.cpu.registers import IN_FLIGHT, LENT, POISON, READY, Registers, state_word
from tiledsl.cpu.values import Value
from tiledsl.errors import error
from tiledsl.ir.dtypes import DType
from tiledsl.ir.nodes import AtomCall, Buffer
from tiledsl.isa.atom import Atom, Operand
from tiledsl.isa.descriptor import UNIT, Descriptor, mode_of
from tiledsl.isa.execute import gather, scatter
from tiledsl.isa.wgmma import THREADS, M, extent_k, wgmma_dtypes

if TYPE_CHECKING:
    from tiledsl.cpu.interp import Machine

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class MatrixAt:
    """The value of a `Descriptor`: where a matrix begins, its offsets and its swizzle in bytes."""

    start: Pointer
    leading: int
    stride: int
    swizzle: int


@dataclass(frozen=True, slots=True)
class InRegisters:
    """An operand in registers of a warpgroup."""

    operand: Operand
    registers: Registers
    threads: slice
    places: slice

    def claim(self, code: int) -> None:
        state = self.registers.state
        state[0, self.threads, self.places] = state_word(code, state.dtype.itemsize)

    def all_are(self, code: int) -> bool:
        state = self.registers.state
        return bool((state[0, self.threads, self.places] == state_word(code, state.dtype.itemsize)).all())

    def require_ready(self, m: Machine, s: AtomCall) -> None:
        m.require_registers(self.registers, self.places.start, self.raw.shape[-1])

    @property
    def raw(self) -> Array:
        return self.registers.data[0, self.threads, self.places]

    def read(self) -> Array:
        tile: Array = gather(self.operand.fragment, self.raw)
        return tile

    def write(self, tile: Array) -> None:
        self.raw[...] = scatter(self.operand.fragment, tile)

    def lend(self, readers: int) -> None:
        self.claim(LENT if readers > 0 else READY)


@dataclass(frozen=True, slots=True)
class InShared:
    """An operand in shared memory: the byte address in the buffer of each unit of 16 bytes, (rows, units)."""

    machine: Machine
    thread: int
    buffer: Buffer
    address: Array
    dtype: DType
    transposed: bool

    def read(self) -> Array:
        """The matrix, (m or n, k)."""
        shared = self.machine.shared
        at = shared.slots[self.buffer].base + self.address[..., None] + np.arange(UNIT)
        rows = np.ascontiguousarray(shared.data[0, at]).reshape(len(at), -1).view(numpy_dtype(self.dtype))
        return rows.T if self.transposed else rows

    @property
    def elements(self) -> tuple[Lanes, Buffer, Array]:
        """Which elements of the buffer these are, read by one thread."""
        size = numpy_dtype(self.buffer.dtype).itemsize
        offset = (self.address[..., None] // size + np.arange(UNIT // size)).ravel()
        return Lanes(np.zeros(len(offset), np.int64), np.full(len(offset), self.thread)), self.buffer, offset

    def require_ready(self, m: Machine, s: AtomCall) -> None:
        if m.check:
            m.shared.record_read(*self.elements, 1, s)

    def lend(self, readers: int) -> None:
        if self.machine.check:
            self.machine.shared.lend(*self.elements, readers)


@dataclass(slots=True)
class Product(Work):
    """A wgmma of one warpgroup. `before` are the old sums, if no product in flight makes them."""

    buffer: Buffer
    atom: Atom
    d: InRegisters
    a: InRegisters | InShared
    b: InShared
    accumulate: bool
    before: Array | None
    others: Callable[[], Iterator[Product]]
    done: bool = False

    def compute(self) -> None:
        if self.before is not None:
            self.d.raw[...] = self.before
        old = self.d.read()
        assert self.atom.semantics is not None
        new = self.atom.semantics(old if self.accumulate else np.zeros_like(old), self.a.read(), self.b.read().T)
        self.d.write(new)
        self.done = True

    def claim(self) -> None:
        self.d.claim(IN_FLIGHT)
        if isinstance(self.a, InRegisters):
            self.a.claim(LENT)

    def finish(self) -> None:
        if not self.done:
            self.compute()
        self.d.claim(READY)
        self.a.lend(-BY_PRODUCT)
        self.b.lend(-BY_PRODUCT)
        for other in self.others():
            other.claim()


def issue(m: Machine, s: AtomCall, atom: Atom) -> None:
    """A wgmma by all warpgroups that are on."""
    args = [m.eval(x) for x in s.args]
    for threads in _warpgroups(m):
        alone = np.zeros((1, m.domain[1]), bool)
        alone[0, threads] = True
        with m.only(alone):
            _issue_one(m, s, atom, args, threads)


def _issue_one(m: Machine, s: AtomCall, atom: Atom, args: list[Any], threads: slice) -> None:
    at_d, at_a, at_b, adds, *majors = args
    _, a_type, b_type = wgmma_dtypes(atom)
    n, k = atom.operands[0].fragment.shape[1], extent_k(a_type)
    accumulate = bool(_common(m, adds, threads))
    d = _in_registers(m, atom.operands[0], at_d, threads)
    b = _in_shared(m, at_b, threads, (n, k), b_type, bool(majors[-1]))
    a: InRegisters | InShared
    if isinstance(at_a, Pointer):
        a = _in_registers(m, atom.operands[1], at_a, threads)
    else:
        a = _in_shared(m, at_a, threads, (M, k), a_type, bool(majors[0]))
    a.require_ready(m, s)
    b.require_ready(m, s)
    follows = d.all_are(IN_FLIGHT)
    if not follows:
        m.require_own(d.registers, d.places.start, d.raw.shape[-1])
        if accumulate:
            d.require_ready(m, s)

    def in_flight() -> Iterator[Product]:
        return (one.work for one in m.issued["product"] if isinstance(one.work, Product))

    work = Product(d.registers.buffer, atom, d, a, b, accumulate, None if follows else d.raw.copy(), in_flight)
    if m.is_early() and all(other.done for other in in_flight()):
        work.compute()
    elif not follows:
        d.raw[...] = np.full(d.raw.dtype.itemsize, POISON, np.uint8).view(d.raw.dtype)[0]
    a.lend(BY_PRODUCT)
    b.lend(BY_PRODUCT)
    work.claim()
    m.enqueue("product", d.threads.start, work)


def _warpgroups(m: Machine) -> Iterator[slice]:
    """The threads of each warpgroup that is on. Raises TileError TD0849 where only some of its threads are."""
    on = m.full(True if m.mask is None else m.mask)[0]
    if len(on) % THREADS or (on.reshape(-1, THREADS).any(1) != on.reshape(-1, THREADS).all(1)).any():
        raise error("TD0849", where=m.where())
    for first in range(0, len(on), THREADS):
        if on[first]:
            yield slice(first, first + THREADS)


def _common(m: Machine, value: Value, threads: slice) -> Any:
    """What all threads of a warpgroup agree on. Raises TileError TD0849 where they do not."""
    each = m.full(value)[0, threads]
    if (each != each[0]).any():
        raise error("TD0849", where=m.where((0, threads.start)))
    return each[0]


def _in_registers(m: Machine, operand: Operand, p: Pointer, threads: slice) -> InRegisters:
    count, offset, registers = registers_of(m, operand, p)
    first = int(_common(m, offset, threads))
    return InRegisters(operand, registers, threads, slice(first, first + count))


def _in_shared(
    m: Machine, at: MatrixAt, threads: slice, shape: tuple[int, int], dtype: DType, mn_major: bool
) -> InShared:
    b, (rows, k) = at.start.buffer, shape
    size = numpy_dtype(dtype).itemsize
    start = int(_common(m, at.start.at[0], threads)) * numpy_dtype(b.dtype).itemsize
    if start % UNIT:
        raise error("TD0806", buffer=b.name, bytes=UNIT, offset=start, where=m.where((0, threads.start)))
    lines, length = (k, rows) if mn_major else (rows, k)
    d = Descriptor(start, at.leading, at.stride, mode_of(at.swizzle))
    address = d.unit_address(np.arange(lines)[:, None], np.arange(length * size // UNIT)[None], not mn_major)
    extent = m.size(b) * numpy_dtype(b.dtype).itemsize
    last = int(address.max()) + UNIT
    if last > extent:
        where = m.where((0, threads.start))
        raise error("TD0802", buffer=b.name, what="a byte of a matrix", index=last - 1, extent=extent, where=where)
    return InShared(m, threads.start, b, address, dtype, mn_major)
