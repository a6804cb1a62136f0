"""The part of the thread machine about what goes on beside a thread: roles, barriers in shared memory, the copy engine,
asynchronous products. Roles are executed in turn, each until it has to wait for another.

What the copy engine and the tensor core do is done when it is issued; what threads may see of it, and when, is for
watchers to notice.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from tiledsl.errors import VerifyError
from tiledsl.ir.concurrent import (
    Arrive,
    Await,
    BulkMove,
    Dependency,
    Expect,
    Fence,
    Hold,
    InitBarrier,
    NamedArrive,
    NamedSync,
    Role,
    Roles,
    SetRegisters,
    Settle,
    TensorCopy,
)
from tiledsl.ir.im2col import Window
from tiledsl.ir.nodes import (
    Address,
    AsyncCommit,
    AsyncWait,
    Block,
    Buffer,
    Descriptor,
    Expr,
    Kernel,
    Launch,
    Load,
    Space,
    Stmt,
    Var,
)
from tiledsl.ir.walk import walk
from tiledsl.isa.atom import Atom
from tiledsl.verifiers.neighbours import Neighbours
from tiledsl.verifiers.order import Agent, Key, Phases
from tiledsl.verifiers.thread_memory import ThreadMemory, version_bytes
from tiledsl.verifiers.values import Mask, as_token, mix
from tiledsl.verifiers.watch import Touch, Watcher
from tiledsl.verifiers.world import GivenUp, World

Steps = Generator[None, None, Mask]  # yields where a role cannot go on before others have; then the threads that go on
BESIDE = (
    Roles, InitBarrier, Arrive, Expect, Await, Dependency, NamedSync, NamedArrive, Fence, Hold, Settle, SetRegisters,
    TensorCopy, BulkMove, AsyncCommit, AsyncWait,
)  # fmt: skip
_WEIGHTS = np.arange(1 << 10, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(1)


@dataclass
class Group:
    """Threads that execute statements together, from `first` of the block on, and what is theirs."""

    agent: Agent
    first: int
    env: dict[Var, Any]
    scalars: dict[Buffer, Any] = field(default_factory=dict)
    registers: dict[Buffer, Any] = field(default_factory=dict)
    left: list[Any] = field(default_factory=list)  # of each loop around, the threads that have left it or its iteration


class Beside(ThreadMemory):
    watch: Watcher
    stmt: Stmt

    def __init__(self, kernel: Kernel, launch: Launch, world: World, env: dict[Var, Any], *, data: bool) -> None:
        super().__init__(kernel, launch, world, env, data=data)
        self.launch = launch
        self.neighbours = Neighbours(launch)
        self.barriers: dict[Key, Phases] = {}
        self.steps = 0  # statements executed
        self.waiting: dict[int, tuple[str, Stmt]] = {}  # what each group waited for last
        self.fresh: set[Key] = set()  # barriers that were initialised since the last barrier of the block
        self.issued: list[Stmt] = []  # by operation, counted from 1
        self.reading: dict[int, list[Touch]] = {}  # what operations of a queue read
        self.enter(Group(Agent(0, "the block", self.threads), 0, env, registers=self.registers))

    def block(self, block: Block, on: Mask) -> Steps:
        raise NotImplementedError

    def truth_of(self, e: Expr, on: Mask) -> Any:
        return np.reshape(np.broadcast_to(self.truth(e, on), (self.threads,)), (-1, 1))

    def read(self, a: Address, lanes: int, on: Mask) -> Any:
        raise NotImplementedError

    def write(self, a: Address, tokens: Any, lanes: int, on: Mask) -> None:
        raise NotImplementedError

    def tell(self, t: Touch) -> None:
        raise NotImplementedError

    # -------------------------------------------------------------------------------------------------------- groups

    def enter(self, group: Group) -> None:
        """The next statements are of its threads."""
        self.group, self.threads = group, group.agent.threads
        self.env, self.scalars, self.registers, self.left = group.env, group.scalars, group.registers, group.left

    def active(self, on: Mask) -> Any:
        """The numbers of the threads, within their group."""
        return np.flatnonzero(np.broadcast_to(on, (self.threads,)))

    def one(self, e: Expr, on: Mask) -> int:
        """What is the same for all threads that are `on`."""
        found = np.broadcast_to(self.value(e, on), (self.threads,))[self.active(on)]
        if found.min() != found.max():
            raise GivenUp
        return int(found[0])

    def roles(self, roles: Sequence[Role]) -> None:
        """Executes each until it has to wait, in turn."""
        block = self.group
        groups = [self.group_of(n, r) for n, r in enumerate(roles)]
        outer = [dict(g.scalars) for g in groups]
        running = [(g, self.block(r.body, True)) for g, r in zip(groups, roles)]
        self.watch.roles([r.threads for r in roles])
        while running:
            before = self.steps, len(running)
            for group, program in list(running):
                self.enter(group)
                self.watch.turn(group.agent.number - 1)
                try:
                    next(program)
                except StopIteration:
                    running.remove((group, program))
            if before == (self.steps, len(running)):
                raise self.stuck([g for g, _ in running])
        self.watch.roles(())
        self.enter(block)
        for group, before_it in zip(groups, outer):
            if any(group.scalars[b] is not v for b, v in before_it.items()):
                raise GivenUp  # a variable of the whole block that some of its threads change
            for queue, mine in block.agent.queues.items():
                mine.groups.append(group.agent.in_queue(queue) & ~mine.issued & ~sum(mine.groups))

    def group_of(self, number: int, r: Role) -> Group:
        mine = slice(r.first, r.first + r.threads)

        def part(x: Any) -> Any:
            return x[mine] if np.ndim(x) and np.shape(x)[0] == self.threads else x

        env = {v: part(x) for v, x in self.env.items()}
        env[r.thread] = np.arange(r.threads)
        agent = self.group.agent.role(number + 1, r.name, r.threads)
        scalars = {b: part(x) for b, x in self.scalars.items()}
        return Group(agent, r.first, env, scalars, {b: x[mine] for b, x in self.registers.items()})

    def stuck(self, groups: Sequence[Group]) -> VerifyError:
        said, stmts = zip(*(self.waiting[g.agent.number] for g in groups))
        who = "; ".join(f"{g.agent.name} at barrier {what}" for g, what in zip(groups, said))
        return VerifyError(f"W3: all that goes on waits for ever: {who}", stmts[0].span)

    # ---------------------------------------------------------------------------------------------------- statements

    def beside(self, s: Stmt, on: Mask) -> Generator[None, None, None]:
        agent = self.group.agent
        match s:
            case Roles(roles):
                self.roles(roles)
            case InitBarrier(barrier, count):
                key = self.key(barrier, on)
                self.barriers[key] = Phases(key, count)
                self.fresh.add(key)
            case Arrive(barrier, count, ranks=ranks):
                phases, times = self.phases(barrier, on), len(self.active(on)) * self.neighbours.count(ranks)
                self.watch.arrives(phases, on, s)
                phases.expect(count * times)
                phases.arrive(agent.knows.copy(), times, s)
                agent.tick()
            case Expect(barrier, count):
                self.phases(barrier, on).expect(self.one(count, on))
            case Await(barrier, parity):
                phases, wanted, known = self.phases(barrier, on), self.one(parity, on), agent.knows.operations
                self.waiting[agent.number] = f"{phases} for phases of parity {wanted}", s
                yield from phases.pass_by(agent, wanted, s)
                self.stmt = s
                self.watch.awaits(phases, agent.knows.phases.get(phases.key, 0), on, s)
                for n in _bits(agent.knows.operations & ~known):
                    self.watch.complete(n)
            case Fence():
                self.watch.fence(s, on)
            case NamedSync(number) | NamedArrive(number):
                numbers = np.broadcast_to(self.value(number, on), (self.threads,))
                self.watch.named(s, numbers, self.group.first, on)
            case TensorCopy() | BulkMove():
                self.loads(s, on)
            case AsyncCommit(queue):
                agent.commit(queue)
            case AsyncWait(pending, queue):
                known = agent.knows.operations
                agent.wait(queue, pending)
                for n in _bits(agent.knows.operations & ~known):
                    for t in self.reading.pop(n, ()):  # only now it is over
                        self.watch.touch(t)

    def key(self, barrier: Address, on: Mask) -> Key:
        version = 0 if barrier.version is None else self.one(barrier.version, on)
        return barrier.buffer, version, tuple(self.one(i, on) for i in barrier.indices), 0

    def phases(self, barrier: Address, on: Mask) -> Phases:
        key = self.key(barrier, on)
        if key not in self.barriers or key in self.fresh:
            why = "is not initialised" if key not in self.barriers else "is initialised without a barrier after it"
            raise VerifyError(f"W16: barrier {list(key[2])} of '{key[0].name}' {why}", self.stmt.span)
        return self.barriers[key]

    def issue(self, queue: str) -> int:
        self.issued.append(self.stmt)
        if queue:
            self.group.agent.queues[queue].issued |= 1 << len(self.issued)
        return len(self.issued)

    def finish(self) -> None:
        """Raises VerifyError P15 for what is in flight at the end."""
        for queue in ("product", "store"):
            for n in _bits(self.group.agent.in_queue(queue)):
                raise VerifyError(
                    "P15: this is still in flight when the kernel ends; commit it and wait for its group",
                    self.issued[n - 1].span,
                )

    # ------------------------------------------------------------------------------------------------ the copy engine

    def loads(self, s: TensorCopy | BulkMove, on: Mask) -> None:
        """That of this block, or of each block of the cluster to all of them."""
        if isinstance(s, BulkMove) and s.rank is not None:
            self.exchange(s, s.rank, on)
            return
        if self.neighbours.count(s.ranks) == 1:
            self.engine(s, on)
            return
        own, seen = dict(self.env), self.neighbours.seen(s)
        for place in self.neighbours.places(own):
            self.env.update(place)
            self.engine(seen, on)
        self.env.update(own)

    def exchange(self, s: BulkMove, rank: Expr, on: Mask) -> None:
        """To another block, as which each block does the same: what this one sends stands for what it gets."""
        own, seen, ranks = dict(self.env), self.neighbours.seen(rank), list[int]()
        for place in self.neighbours.places(own):
            self.env.update(place)
            ranks.append(self.one(seen, on))
        self.env.update(own)
        if (
            any(isinstance(n, Load) for n in walk(seen))
            or sorted(ranks) != [*range(len(ranks))]
            or len(self.active(on)) != 1
        ):
            raise GivenUp
        operation, tokens = self.issue(""), None
        for a in (s.src, s.dst):
            writes, version = a is s.dst, 0 if a.version is None else self.one(a.version, on)
            start, size = self.places(a.buffer, [self.one(i, on) for i in a.indices], version, s.lanes)
            root = self.roots.get(a.buffer, a.buffer)
            touch = Touch(root, start, size, writes, on, s, operation=operation if writes else 0, engine=True)
            self.tell(touch)
            if not writes:
                self.watch.sends(touch)
            if self.data:
                tokens = self.spread(a.buffer, start + np.arange(s.lanes) * a.buffer.dtype.bits // 8, tokens)
        assert s.barrier is not None
        self.phases(s.barrier, on).deliver(1 << operation, size)

    def engine(self, s: TensorCopy | BulkMove, on: Mask) -> None:
        """A box, or elements one after the other, in one direction."""
        if len(self.active(on)) != 1:
            raise GivenUp
        load = s.dst.buffer.space is Space.SHARED
        tile, tensor = (s.dst, s.src) if load else (s.src, s.dst)
        op, box, swizzle = (s.op, s.box, s.swizzle) if isinstance(s, TensorCopy) else ("", (s.lanes,), 0)
        b, version = tile.buffer, 0 if tile.version is None else self.one(tile.version, on)
        start, size = self.places(b, [self.one(i, on) for i in tile.indices], version, prod(box))
        starts = swizzled(start + np.arange(prod(box)) * b.dtype.bits // 8, swizzle)
        name = self.names[tensor.buffer]
        at = self.pixels(s, on) if isinstance(s, TensorCopy) and s.window else self.box(tensor, box, on)
        inside = np.broadcast_to(self.memory.inside(name, at), (prod(box),))
        held = self.memory.read(name, tensor.buffer.dtype, at)
        root = self.roots.get(b, b)
        operation = self.issue("" if load else "store")
        touch = Touch(root, start, size, load, on, s, operation=operation if load else 0, engine=True)
        self.tell(touch)
        self.watch.tensor(tensor.buffer, not load, on, s, engine=True)
        if load:
            if self.data:
                self.spread(b, starts, np.where(inside, held, np.uint64(0)))
            assert s.barrier is not None
            self.phases(s.barrier, on).deliver(1 << operation, size)
        else:
            self.reading[operation] = [touch] if self.threads == self.launch.num_threads else []
            tokens = self.spread(b, starts) if self.data else mix(b.name, starts)
            self.memory.write(name, at, mix(op, held, tokens) if op else tokens, inside)

    def pixels(self, s: TensorCopy, on: Mask) -> list[Any]:
        """Indices of the elements of a box of the matrix of a convolution, in order."""
        window, image = Window(*s.window), self.memory.shapes[self.names[s.src.buffer]]
        (n, y, x, channel), (down, right) = ([self.one(i, on) for i in part] for part in (s.src.indices, s.tap))
        rows, columns = (window.steps(side) for side in image[1:3])
        first = (n * rows + (y + window.pad) // window.stride) * columns + (x + window.pad) // window.stride
        number, c = (i.reshape(-1) for i in np.indices(s.box))
        number = number + first
        return [
            number // (rows * columns),
            number // columns % rows * window.stride - window.pad + down,
            number % columns * window.stride - window.pad + right,
            c + channel,
        ]

    def box(self, corner: Address, box: tuple[int, ...], on: Mask) -> list[Any]:
        """Indices of the elements of a box of a tensor, in order."""
        first = [self.one(i, on) for i in corner.indices]
        if len(box) == len(first):
            return [c + x.reshape(-1) for c, x in zip(first, np.indices(box))]
        if corner.buffer.strides is not None:
            raise GivenUp
        shape = self.memory.shapes[self.names[corner.buffer]]
        linear = 0
        for i, n in zip(first, shape):
            linear = linear * n + i
        places = np.unravel_index(linear + np.arange(box[0]), (1 << 30, *shape[1:])) if shape else ()
        return [np.asarray(x) for x in places]

    # ------------------------------------------------------------------------------------------------------- products

    def product(self, row: Atom, args: tuple[Expr, ...], on: Mask) -> None:
        """A warpgroup's product. What it computes is a token of its registers and of all that its tiles hold."""
        registers = [a for a in args if isinstance(a, Address)]
        counts = [op.fragment.num_regs * op.dtype.bits // a.buffer.dtype.bits for op, a in zip(row.operands, registers)]
        operation = self.issue("product")
        tiles = [self.operand(d, operation, on) for d in args if isinstance(d, Descriptor)]
        if not self.data:
            return
        position = next(n for n, a in enumerate(args) if not isinstance(a, (Address, Descriptor)))
        old = self.read(registers[0], counts[0], on)
        added = np.where(self.truth_of(args[position], on), old, np.uint64(0))
        given = [line(self.read(a, n, on)) for a, n in zip(registers[1:], counts[1:])]
        rest = [as_token(self.value(a, on)) for a in args[position + 1 :]]
        whole = mix(row.name, *given, *tiles, *rest)
        self.write(registers[0], mix(whole, added, np.arange(counts[0])), counts[0], on)

    def operand(self, d: Descriptor, operation: int, on: Mask) -> Any:
        """A token of the version of the tile and of the way through it; the whole version counts as read.

        Two of the threads stand for all: whoever else touches it differs from one of them.
        """
        b, version = d.start.buffer, 0 if d.start.version is None else self.one(d.start.version, on)
        root, held = self.storage(b)
        size = version_bytes(root)
        two = np.isin(np.arange(self.threads), self.active(on)[[0, -1]])
        touch = Touch(root, version * size, size, False, two, self.stmt, engine=True)
        self.tell(touch)
        if self.threads == self.launch.num_threads:
            self.reading.setdefault(operation, []).append(touch)
        if not self.data:
            return np.uint64(0)
        units = held.shape[1] // root.versions
        content = line_of_all(held[0, version * units : (version + 1) * units])
        start = [np.reshape(as_token(self.value(i, on)), (-1, 1)) for i in d.start.indices]
        return mix("descriptor", content, *start, d.leading, d.stride, d.swizzle)


def swizzled(at: Any, swizzle: int) -> Any:
    """Bytes exchanged by the copy engine's swizzle: bits 4 and up by those from 7 on."""
    mask = {0: 0, 32: 1, 64: 3, 128: 7}[swizzle]
    return at ^ (at >> 7 & mask) << 4


def line(tokens: Any) -> Any:
    """One token of each thread's elements, in which their order matters."""
    with np.errstate(over="ignore"):
        return (tokens * _WEIGHTS[: tokens.shape[-1]]).sum(-1, np.uint64, keepdims=True)


def line_of_all(tokens: Any) -> Any:
    with np.errstate(over="ignore"):
        return mix(tokens, np.arange(len(tokens))).sum(dtype=np.uint64)


def _bits(operations: int) -> list[int]:
    return [n for n in range(operations.bit_length()) if operations >> n & 1]
