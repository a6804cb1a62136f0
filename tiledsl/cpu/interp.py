"""The thread stage executed: all threads of a chunk of blocks in lockstep, with a memory that checks.

A value is a scalar, or an array of shape (1, threads), (blocks, 1) or (blocks, threads). Lanes that a branch or a
finished loop has switched off compute garbage but touch no memory. Blocks run in chunks of about `LANES` lanes, so that
the arrays stay in the cache and NumPy's overhead is spread. Lockstep order would hide a missing barrier: the checks of
`cpu/memory.py` do not depend on it. Blocks with roles, mbarriers or work of the copy engine run alone
(`cpu/concurrent.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np

from tiledsl.cpu import atoms, bulk, printing, values, warp, wgmma
from tiledsl.cpu.asynchronous import Asynchronous
from tiledsl.cpu.binding import Block, Bound, Sample, bind, blocks_of, grid_of, run_reference
from tiledsl.cpu.cluster import Common, clusters_of, commons, meets_others, run_blocks
from tiledsl.cpu.global_memory import GlobalMemory
from tiledsl.cpu.lockstep import DTypes
from tiledsl.cpu.memory import SharedMemory, plan
from tiledsl.cpu.turns import Order, Turns
from tiledsl.cpu.values import Value
from tiledsl.errors import error
from tiledsl.ir import nodes as ir
from tiledsl.ir.concurrent import BulkMove, NamedArrive, NamedSync, Role, Roles, TensorCopy
from tiledsl.ir.walk import statements, walk
from tiledsl.isa.table import atom_named

Array = np.ndarray[Any, Any]
Mode = Literal["early", "late", "random"]
LANES = 8192
CHUNK_BYTES = 16 << 20  # of shared memory in a chunk; with its shadows up to nine times as much


def run(
    kernel: ir.Kernel,
    arguments: Mapping[str, Any],
    *,
    check: bool = True,
    mode: Mode = "early",
    seed: int = 0,
    races: bool = True,
    watch_blocks: bool = False,
    blocks: Sample = blocks_of,
    roles: Order = "first",
) -> None:
    """Runs every launch on the arrays of `arguments` (by parameter name), in place. Raises TileError TD08xx.

    `check` turns the checking memory on; without `races` it reports everything but races between threads, which is
    what can be asked of a kernel whose barriers are not inserted yet. Without `check` a global access outside its
    tensor does what guard-bounds makes of it: it reads 0 or the safe value, and writes nothing. `mode` says when an
    asynchronous copy writes its bytes: "early" at its issue, "late" at the wait that covers it, "random" by a coin with
    `seed`; until then the destination is poisoned and, with `check`, every access to it an error. `watch_blocks`
    reports races between blocks in global memory. `blocks` gives the blocks of each grid that run, `roles` (with
    `seed`) who goes on where several roles of a block can.
    """
    if mode not in ("early", "late", "random"):
        raise ValueError(f"mode is 'early', 'late' or 'random', not {mode!r}")
    bound = bind(kernel, arguments)
    tensors = {
        b: GlobalMemory(b, a, b not in bound.undefined or not check, watch_blocks) for b, a in bound.arrays.items()
    }
    how = Options(check, races, mode, np.random.default_rng(seed), {}, roles)
    with np.errstate(all="ignore"):
        for launch in kernel.launches:
            grid = grid_of(launch, bound.scalars)
            if launch.entry:
                for b in run_reference(kernel, launch, bound) if prod(grid) else ():
                    tensors[b].written = None  # nobody saw what it wrote: it counts as defined
                continue
            shared = _shared_buffers(launch)
            for group in _chunks(launch, shared, list(blocks(grid))):
                own = commons(Turns(how.roles, how.rng), len(group), launch.num_threads)
                numbers = (np.array(g, np.int64).reshape(-1, len(grid)) for g in group)
                machines = [Machine(launch, bound, tensors, grid, n, shared, how, c) for n, c in zip(numbers, own)]
                try:
                    run_blocks(machines, [f"block {g[0]}" for g in group])
                finally:
                    for machine in machines:
                        machine.write_out()
            for memory in tensors.values():
                memory.forget()


@dataclass(frozen=True, slots=True)
class Options:
    check: bool
    races: bool
    mode: Mode
    rng: np.random.Generator
    dtypes: DTypes
    roles: Order = "first"


class Machine(Asynchronous):
    """A chunk of blocks of one launch, or a role of one block (`within`: the machine of the block)."""

    def __init__(
        self,
        launch: ir.Launch,
        bound: Bound,
        tensors: Mapping[ir.Buffer, GlobalMemory],
        grid: tuple[int, ...],
        blocks: Array,
        buffers: list[ir.Buffer],
        how: Options,
        common: Common | None = None,
        within: tuple[Machine, Role] | None = None,
    ) -> None:
        common = common or Common(Turns(how.roles, how.rng))
        if within is None:
            threads = launch.num_threads
            shared = SharedMemory(launch, buffers, len(blocks), how.check, how.races, self.name_block)
            common.shared = shared
        else:
            machine, role = within
            threads, shared = role.threads, machine.shared.seen_by(role)
        super().__init__((len(blocks), threads), how.check, shared, tensors, how.dtypes, common)
        self.launch, self.grid, self.numbers = launch, grid, blocks
        self.bound, self.buffers, self.how = bound, buffers, how
        self.mode, self.rng = how.mode, how.rng
        self.printed: list[list[str]] = within[0].printed if within else [[] for _ in range(len(blocks))]
        self.references = bound.references
        strides = [prod(grid[:i]) for i in range(len(grid))]
        self.block_number = blocks @ np.array(strides, np.int64)
        self.env.update(bound.scalars)
        self.safe.update((s.buffer, s.value) for s in launch.safe_values)
        for axis, v in enumerate(launch.blocks):
            column = blocks[:, axis : axis + 1]
            same = (column == column[0]).all()
            self.env[v] = values.constant(int(column[0, 0]), v.dtype) if same else values.tidy(column, v.dtype)
        self.env[launch.thread] = values.tidy(np.arange(launch.num_threads)[None], launch.thread.dtype)
        self.executors |= {
            ir.Barrier: self.barrier,
            ir.AsyncCommit: self.commit,
            ir.AsyncWait: self.wait,
            ir.AtomCall: self.atom_call,
            ir.Move: self.move,
            TensorCopy: lambda s: bulk.tensor_copy(self, s),
            BulkMove: lambda s: bulk.bulk_move(self, s),
        }
        self.evaluators[ir.Descriptor] = lambda e: wgmma.MatrixAt(self.address(e.start), e.leading, e.stride, e.swizzle)

    def go_apart(self, role: Role) -> bool:
        """Only at named barriers does one warpgroup wait where another goes on."""
        return any(isinstance(s, NamedSync | NamedArrive) for s in statements(role))

    def machine_of(self, role: Role) -> Machine:
        where = self.grid, self.numbers, self.buffers
        return Machine(self.launch, self.bound, self.tensors, *where, self.how, self.common, (self, role))

    def finish(self) -> None:
        if self.domain[0] == 0:
            return
        self.run(self.role.body if self.role else self.launch.body)
        self.require_nothing_in_flight(self.launch.span)
        if self.role is None:
            self.end_block()

    def name_block(self, block: int, thread: int | None) -> str:
        """How messages name a block of the chunk, and a thread in it."""
        name = f"block ({', '.join(str(int(i)) for i in self.numbers[block])})"
        return name if thread is None else f"{name}, thread {thread}"

    def name_lane(self, lane: tuple[int, ...]) -> str:
        block, thread = lane
        return self.name_block(block, thread + self.shared.first)

    def atom_call(self, s: ir.AtomCall) -> None:
        atom = atom_named(s.atom)
        if atom is None:
            raise TypeError(f"no instruction '{s.atom}'")
        (wgmma.issue if atom.kind == "wgmma" else atoms.execute)(self, s, atom)

    def dealt(self) -> tuple[Value, int]:
        number = self.block_number[:, None]
        return (int(number[0, 0]) if len(number) == 1 else number), prod(self.grid)

    def require_all_arrive(self, expected: int = 0) -> tuple[Array, Array]:
        """Which lanes come to a barrier, and how many of each block. Raises TileError TD0807 if `expected` do not."""
        on = np.ones(self.domain, bool) if self.mask is None else self.full(self.mask)
        counts = on.sum(1)
        expected = expected or self.domain[1]
        wrong = (counts != 0) & (counts != expected)
        if wrong.any():
            block = int(np.argmax(wrong))
            where = self.name_block(block, None)
            raise error("TD0807", active=int(counts[block]), threads=expected, where=where)
        return on, counts

    def barrier(self, s: ir.Barrier) -> None:
        threads = self.domain[1]
        expected = s.count or threads
        if self.role is not None and expected > threads:  # other agents take part
            self.arrive_named(s.id, s.count, waits=True)
            return
        on, counts = self.require_all_arrive(expected)
        if self.check and self.role is not None:
            self.shared.order(self.threads_that_arrive())
        elif self.check:
            self.shared.barrier(counts != 0, None if expected == threads else on)

    def collective(self, fn: str, args: list[Value]) -> Value:
        return warp.exchange(self, fn, args)

    def print(self, s: ir.Print) -> None:
        if s.buffer is not None:
            for block, lines in enumerate(self.printed):
                lines += printing.tile_lines(s, self.content(s.buffer, block))
            return
        args = [self.full(self.eval(a)) for a in s.args]
        for lane in np.argwhere(np.ones(self.domain, bool) if self.mask is None else self.full(self.mask)):
            self.printed[lane[0]].append(printing.line(s.message, (a[tuple(lane)] for a in args)))

    def write_out(self) -> None:
        """What the blocks printed, one after the other."""
        for lines in self.printed:
            for text in lines:
                print(text)
            lines.clear()


# What is modelled for one block only, as barriers in memory are.
_ONE_BLOCK = (Roles, TensorCopy, BulkMove, NamedSync, NamedArrive, ir.Descriptor)


def _chunks(launch: ir.Launch, shared: list[ir.Buffer], blocks: list[Block]) -> Iterator[list[list[Block]]]:
    """The blocks that are executed at the same time: of each machine those in lockstep."""
    if meets_others(launch):
        for cluster in clusters_of(launch, blocks):
            yield [[b] for b in cluster]
        return
    step = _blocks_in_a_chunk(launch, shared)
    for first in range(0, len(blocks), step):
        yield [blocks[first : first + step]]


def _blocks_in_a_chunk(launch: ir.Launch, shared: list[ir.Buffer]) -> int:
    nodes = (n for s in launch.body for n in walk(s))
    if any(isinstance(n, _ONE_BLOCK) or (isinstance(n, ir.Buffer) and n.space is ir.Space.BARRIER) for n in nodes):
        return 1
    _, size = plan(launch, shared)
    return max(1, min(LANES // launch.num_threads, CHUNK_BYTES // size))


def _shared_buffers(launch: ir.Launch) -> list[ir.Buffer]:
    allocations = [n for s in launch.body for n in walk(s) if isinstance(n, ir.Alloc)]
    return [s.buffer for s in allocations if s.buffer.space is ir.Space.SHARED]
