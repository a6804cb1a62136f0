"""The tile stage executed: block by block, every tile statement as a few NumPy operations. It is what a kernel means.

Reads outside a global tensor give 0 or its safe value and writes there vanish, as the lowered kernel guards them; an
index outside shared memory, a fragment or registers is an error. Scalar statements are executed once for all threads of
the block, or of a role (`cpu/concurrent.py`), a value that depends on the thread being an array over them. A `Parallel`
loop is executed for its whole box at once. A variable or register array from outside has its old value at every point
of the box, and afterwards the new value if all points agree on one, else none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from math import prod
from typing import Any, Literal

import numpy as np

from tiledsl.cpu import printing, tile_atoms, tile_foreign, tile_ops, values, warp
from tiledsl.cpu.atomics import apply_atomic
from tiledsl.cpu.beside import BulkStore
from tiledsl.cpu.binding import Bound, Sample, bind, blocks_of, grid_of, run_reference
from tiledsl.cpu.cluster import Common, clusters_of, commons, meets_others, run_blocks
from tiledsl.cpu.concurrent import Concurrent
from tiledsl.cpu.foreign import Pointer
from tiledsl.cpu.lockstep import DTypes
from tiledsl.cpu.masks import narrow
from tiledsl.cpu.registers import Cell, Registers
from tiledsl.cpu.tile_async import LateCopy, Queue
from tiledsl.cpu.tile_memory import Index, TileMemory
from tiledsl.cpu.turns import Order, Turns
from tiledsl.cpu.values import Value, is_uniform
from tiledsl.errors import error
from tiledsl.ir import nodes as ir
from tiledsl.ir import tile
from tiledsl.ir.concurrent import QUEUES, Role
from tiledsl.ir.walk import walk

Array = np.ndarray[Any, Any]
Mode = Literal["early", "late"]


def run(
    kernel: ir.Kernel,
    arguments: Mapping[str, Any],
    *,
    mode: Mode = "early",
    check: bool = True,
    blocks: Sample = blocks_of,
    roles: Order = "first",
    seed: int = 0,
) -> None:
    """Runs every launch on the arrays of `arguments` (by parameter name), in place.

    `mode` says when what is asynchronous happens: "early" at once, "late" only at the wait that covers it; until then
    its destination is poisoned. `check` reports reads of data that was never written or has not arrived, writes to what
    is still read, and copies that nothing waits for. `blocks` gives the blocks of each grid that run, `roles` (with
    `seed`) who goes on where several roles of a block can. Raises TileError TD08xx.
    """
    if mode not in ("early", "late"):
        raise ValueError(f"mode is 'early' or 'late', not {mode!r}")
    bound = bind(kernel, arguments)
    memory = {b: TileMemory.around(b, a, b not in bound.undefined) for b, a in bound.arrays.items()}
    how = Options(mode, check, roles, np.random.default_rng(seed))
    with np.errstate(all="ignore"):
        for launch in kernel.launches:
            grid = grid_of(launch, bound.scalars)
            if launch.entry:
                for b in run_reference(kernel, launch, bound) if prod(grid) else ():
                    memory[b].state = None  # nobody saw what it wrote: it counts as initialised
                continue
            for group in clusters_of(launch, blocks(grid)) if meets_others(launch) else ([b] for b in blocks(grid)):
                own = commons(Turns(how.roles, how.rng), len(group), launch.num_threads)
                machines = [TileMachine(launch, bound, memory, grid, b, how, c) for b, c in zip(group, own)]
                run_blocks(machines, [f"block {b}" for b in group])


@dataclass(frozen=True, slots=True)
class Options:
    mode: Mode = "early"
    check: bool = True
    roles: Order = "first"
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    dtypes: DTypes = field(default_factory=dict)


class TileMachine(Concurrent):
    """One block, or a role of it: its threads are the lanes, or inside a `Parallel` the points of its box."""

    def __init__(
        self,
        launch: ir.Launch,
        bound: Bound,
        memory: Mapping[ir.Buffer, TileMemory],
        grid: tuple[int, ...],
        block: tuple[int, ...],
        how: Options,
        common: Common | None = None,
        threads: int = 0,
    ) -> None:
        common = common or Common(Turns(how.roles, how.rng))
        super().__init__((threads or launch.num_threads,), how.check, how.dtypes, common)
        self.launch, self.block, self.grid, self.bound, self.how = launch, block, grid, bound, how
        self.mode = how.mode
        self.references = bound.references
        self.memory = dict(memory)
        self.env.update(bound.scalars)
        self.env.update({v: values.constant(i, v.dtype) for v, i in zip(launch.blocks, block)})
        self.env[launch.thread] = values.tidy(np.arange(launch.num_threads), launch.thread.dtype)
        self.depth = 0  # axes of the enclosing Parallel loops
        self.safe.update((s.buffer, s.value) for s in launch.safe_values)
        self.queues = {name: Queue() for name in QUEUES}
        own: dict[type, Callable[[Any], None]] = {
            tile.Parallel: self.parallel,
            ir.Barrier: self.barrier,
            ir.AtomCall: lambda s: tile_atoms.execute(self, s),
            ir.AsyncCommit: lambda s: self.queues[s.queue].commit(),
            ir.AsyncWait: lambda s: self.queues[s.queue].wait(s.pending, s.sources),
        }
        self.executors |= own
        for kind, op in tile_ops.OPERATIONS.items():
            self.executors[kind] = self.whole_block(op)

    def machine_of(self, role: Role) -> TileMachine:
        return TileMachine(
            self.launch, self.bound, self.memory, self.grid, self.block, self.how, self.common, role.threads
        )

    def finish(self) -> None:
        self.run(self.role.body if self.role else self.launch.body)
        for work in reversed([*self.queues["store"]]):  # they end by themselves, in no order: the last one first
            if self.check and not (isinstance(work, BulkStore) and work.released):
                raise error("TD0853", self.launch.span, barrier=f"'{work.buffer.name}'", where=self.where((0,)))
            work.finish()
        for queue, code in (("copy", "TD0808"), ("product", "TD0852")):
            for work in self.queues[queue] if self.check else ():
                raise error(code, self.launch.span, buffer=work.buffer.name, where=self.where((0,)))

    def whole_block(self, op: Callable[[Any, Any], None]) -> Callable[[Any], None]:
        def execute(s: Any) -> None:
            if self.mask is not None or self.depth:
                raise error("TD0812", what="whether it is executed")
            op(self, s)

        return execute

    def barrier(self, s: ir.Barrier) -> None:
        """The threads of an agent execute tile statements together; others may be waited for."""
        if self.role is not None and s.count > self.role.threads:
            self.arrive_named(s.id, s.count, waits=True)

    def name_lane(self, lane: tuple[int, ...]) -> str:
        point = f"point {lane}" if self.depth else f"thread {lane[0]}"
        role = f"role '{self.role.name}', " if self.role else ""
        return f"block {self.block}, {role}{point}"

    def uniform(self, e: ir.Expr) -> int:
        """An index that all threads agree on."""
        value = self.index(e)
        if isinstance(value, int):
            return value
        if (value == value.flat[0]).all():
            return int(value.flat[0])
        raise error("TD0812", what="an offset")

    def variable(self, e: ir.Var) -> Value:
        if e not in self.env:
            raise error("TD0812", what=f"'{e.name}'")
        return self.env[e]

    def collective(self, fn: str, args: list[Value]) -> Value:
        if self.depth:
            raise error("TD0812", what=f"'{fn}'")
        return warp.exchange(self, fn, args)

    def dealt(self) -> tuple[Value, int]:
        linear = sum(b * prod(self.grid[:i]) for i, b in enumerate(self.block))
        return linear, prod(self.grid)

    # ----------------------------------------------------------------------------------------------------- memory

    def alloc_shared(self, buffer: ir.Buffer) -> None:
        self.memory[buffer] = self.common.memory[buffer] = TileMemory.new(buffer)

    def view_shared(self, s: ir.View) -> None:
        self.memory[s.buffer] = self.common.memory[s.buffer] = self.memory[s.source].viewed(s.buffer)

    def address(self, e: ir.Address) -> Pointer:
        version = 0 if e.version is None else self.index(e.version)
        return Pointer(e.buffer, (version, *(self.index(i) for i in e.indices)))

    def run_from(self, buffer: ir.Buffer, at: tuple[int, ...], lane: tuple[int, ...]) -> Array:
        return tile_foreign.run_from(self, buffer, at, lane)

    def change(self, buffer: ir.Buffer, at: tuple[int, ...], offset: int, value: Any) -> None:
        tile_foreign.change(self, buffer, at, offset, value)

    def require_made(self, block: Common, barrier: ir.Buffer, tiles: tuple[ir.Buffer, ...]) -> None:
        def there() -> bool:
            return barrier in block.barriers and all(b in block.memory for b in tiles)

        if not there():
            self.pause(there, lambda: f"waits for the memory of the block of rank {block.rank}")

    def place(self, b: ir.Buffer, indices: tuple[ir.Expr, ...], version: ir.Expr | None) -> tuple[Index, Value]:
        """The index into the memory of `b`, inside it for all lanes, and which lanes meant what it says (True: all)."""
        at = [0 if version is None else self.index(version), *(self.index(i) for i in indices)]
        shape = self.memory[b].data.shape
        if len(at) != len(shape):
            raise TypeError(f"'{b.name}' of rank {len(shape) - 1} is accessed with {len(at) - 1} indices")
        valid: Value = True
        for axis, (i, extent) in enumerate(zip(at, shape)):
            if isinstance(i, int) and 0 <= i < extent:
                continue
            if b.space is not ir.Space.GLOBAL:
                self.inside(b, i, extent, axis - 1)
            ok = 0 <= i < extent if isinstance(i, int) else (i >= 0) & (i < extent)
            if not np.all(ok):
                valid = np.logical_and(valid, ok)
                at[axis] = 0 if isinstance(i, int) else np.where(ok, i, 0)
        return tuple(at), bool(valid) if np.ndim(valid) == 0 else valid

    def load_memory(self, e: ir.Load) -> Value:
        memory = self.memory[e.buffer]
        at, valid = self.place(e.buffer, e.indices, e.version)
        if valid is False or 0 in memory.data.shape:
            return self.outside(e.buffer)
        on = narrow(self.mask, valid)
        if on is not False:
            self.require_ready(memory, at, on)
        found = memory.data[at]
        return found if valid is True else np.where(valid, found, self.outside(e.buffer))

    def store_memory(self, s: ir.Store, value: Value) -> None:
        memory = self.memory[s.buffer]
        at, valid = self.place(s.buffer, s.indices, s.version)
        on = narrow(self.mask, valid)
        if on is False:
            return
        if on is not None:
            lanes = self.full(on)
            at = tuple(self.full(i)[lanes] for i in at)
            value = self.full(value)[lanes]
        elif not all(is_uniform(i) for i in at) or not is_uniform(value):
            at = np.broadcast_arrays(*at, value)[:-1]
            at = tuple(at)
        if s.asynchronous and self.mode == "late":
            self.issue(memory, at, np.array(value))
            return
        self.require_landed(memory, at)
        memory.put(at, value)
        if not is_uniform(value):
            self.require_one_writer(memory, at, value)

    def require_one_writer(self, memory: TileMemory, at: Index, value: Array) -> None:
        found = np.ascontiguousarray(memory.data[at])
        bits = f"u{found.dtype.itemsize}"
        meant = np.ascontiguousarray(np.broadcast_to(value, found.shape), found.dtype)
        if found.ndim and (found.view(bits) != meant.view(bits)).any():
            what = "points of the parallel loop" if self.depth else "threads"
            raise error("TD0813", what=f"two {what}", buffer=memory.buffer.name, where=self.where())

    def atomic_update(self, s: ir.AtomicUpdate) -> None:
        memory = self.memory[s.buffer]
        at, valid = self.place(s.buffer, s.indices, None)
        value = self.full(self.eval(s.value))
        on = np.array(self.full(True if self.mask is None else self.mask) & valid)
        places = tuple(self.full(i)[on] for i in at)
        if s.op != "store":
            self.require_ready(memory, places)
        old = apply_atomic(s.op, memory.data, places, value[on], want_old=s.result is not None)
        memory.put(places, memory.data[places])
        if s.result is not None:
            result = np.zeros(self.domain, memory.data.dtype)
            result[on] = old
            self.env[s.result] = result

    def print(self, s: ir.Print) -> None:
        if s.buffer is None:
            super().print(s)
        else:
            printing.print_tile(self, s, s.buffer)

    # ---------------------------------------------------------------------------------------- asynchronous copies

    def issue(self, memory: TileMemory, at: Index, data: Array) -> None:
        """Queues a copy whose destination is poisoned until it is waited for."""
        self.require_landed(memory, at)
        memory.poison(at)
        self.queues["copy"].open.append(LateCopy(memory.buffer, memory, at, data))

    def hand_over_copies(self) -> int:
        queue, self.queues["copy"] = self.queues["copy"], Queue()
        known = 0
        for work in queue:
            work.finish()
            if isinstance(work, LateCopy):
                number = self.common.new_copy(work.buffer)
                known |= 1 << number
                work.memory.mark_copy(work.at, number)
        return known

    def require_ready(self, memory: TileMemory, at: Index, on: Any = None) -> None:
        """Raises TileError TD0803, TD0805 or TD0862 if an element at `at` whose lane is `on` (None: all) cannot be
        read."""
        if self.check:
            if not memory.knows(at, on, self.known):
                raise memory.not_landed(self.where)
            memory.require_ready(at, on, self.where)

    def require_landed(self, memory: TileMemory, at: Index) -> None:
        """Raises TileError TD0805, TD0861, TD0862 or TD0865 if something in flight may still use these elements."""
        if not self.check:
            return
        if not memory.knows(at, None, self.known):
            raise memory.not_landed(self.where)
        if (self.queues["copy"].busy or self.queues["product"].busy) and memory.in_flight(at):
            raise memory.not_landed(self.where)
        if reader := memory.reader(at):
            raise error("TD0861", buffer=memory.buffer.name, what=reader, where=self.where())
        if memory.may_leave(at, self.known):
            raise error("TD0865", buffer=memory.buffer.name, where=self.where())

    # ---------------------------------------------------------------------------------------------------- Parallel

    def parallel(self, s: tile.Parallel) -> None:
        if self.mask is not None and not self.depth:
            raise error("TD0812", what="whether it is executed")
        with self.in_box(s):
            rank = len(self.domain)
            for n, (v, extent) in enumerate(zip(s.vars, s.extents)):
                axis = rank - len(s.extents) + n
                shape = [1] * rank
                shape[axis] = extent
                self.env[v] = values.tidy(np.arange(extent).reshape(shape), v.dtype)
            if 0 not in self.domain:
                self.run(s.body)

    @contextmanager
    def in_box(self, s: tile.Parallel) -> Iterator[None]:
        """The box of `s`, inside that of an enclosing `Parallel`, as domain; private memory has a copy a point."""
        outer = self.env, self.domain, self.mask, self.depth, self.loop
        old_cells, old_registers = self.cells, self.registers
        nested, more = self.depth > 0, (1,) * len(s.extents)
        base = self.domain if nested else ()

        def lifted(value: Value) -> Value:
            return value.reshape(value.shape + more) if isinstance(value, np.ndarray) else value

        self.env = {v: lifted(x) for v, x in self.env.items() if nested or is_uniform(x)}
        self.mask = lifted(self.mask)
        self.domain = (*base, *s.extents)
        used = [b for b in _private_buffers(s) if b in old_cells or b in old_registers]
        if used and nested:
            raise error("TD0812", what=f"'{used[0].name}'")
        self.cells = old_cells | {b: _agreed_cell(old_cells[b]) for b in used if b in old_cells}
        self.registers = old_registers | {
            b: _spread(_agreed(old_registers[b]), self.domain) for b in used if b in old_registers
        }
        self.depth += len(s.extents)
        yield
        cells, registers, threads = self.cells, self.registers, outer[1]
        self.env, self.domain, self.mask, self.depth, self.loop = outer
        self.cells = old_cells | {b: _agreed_cell(cells[b]) for b in used if b in old_cells}
        self.registers = old_registers
        for b in used:
            if b in old_registers:
                merged = _spread(_agreed(registers[b]), threads)
                old_registers[b].data[...], old_registers[b].state[...] = merged.data, merged.state


def _private_buffers(s: tile.Parallel) -> list[ir.Buffer]:
    private = (ir.Space.VAR, ir.Space.LOCAL)
    return list(dict.fromkeys(n for n in walk(s) if isinstance(n, ir.Buffer) and n.space in private))


def _agreed_cell(cell: Cell) -> Cell:
    """The cell if all lanes have the same value in it, else one without value."""
    if cell.written is not None:
        return Cell()
    if is_uniform(cell.value):
        return Cell(cell.value, None)
    first = cell.value.flat[0]
    return Cell(first, None) if (cell.value == first).all() else Cell()


def _agreed(r: Registers) -> tuple[ir.Buffer, Array, Array]:
    """Buffer, data and state of one lane: what all lanes agree on; unwritten elsewhere."""
    count = r.data.shape[-1]
    data, state = r.data.reshape(-1, count), r.state.reshape(-1, count)
    bits = np.ascontiguousarray(data).view(state.dtype)
    same = (bits == bits[:1]).all(0)
    return r.buffer, data[0].copy(), np.where(same, state.min(0), 0).astype(state.dtype)


def _spread(lane: tuple[ir.Buffer, Array, Array], domain: tuple[int, ...]) -> Registers:
    buffer, data, state = lane
    shape = (*domain, len(data))
    return Registers(buffer, np.broadcast_to(data, shape).copy(), np.broadcast_to(state, shape).copy())
