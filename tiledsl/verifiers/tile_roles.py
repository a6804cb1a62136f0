"""The part of the tile machine about agents: roles, barriers in shared memory, and the blocks of a cluster."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from tiledsl.errors import VerifyError
from tiledsl.ir.concurrent import (
    Arrive,
    Dependency,
    Expect,
    Fence,
    NamedArrive,
    NamedSync,
    Role,
    SetRegisters,
    Settle,
    members,
)
from tiledsl.ir.dtypes import UINT64
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    Barrier,
    Block,
    Buffer,
    Const,
    Expr,
    Kernel,
    Launch,
    Region,
    Space,
    Stmt,
    static_shape,
)
from tiledsl.ir.walk import statements
from tiledsl.verifiers.order import Agent, Key, Knowledge, Phases, work
from tiledsl.verifiers.tile_memory import TileMemory
from tiledsl.verifiers.world import GivenUp, World

AGENTS_OF_A_BLOCK = 64  # at most: their numbers in a cluster
Steps = Generator[None, None, None]  # yields where an agent cannot go on before others have


@dataclass
class Cluster:
    """What machines of `size` blocks have in common that write to each other's memory: numbers, and their barrier."""

    size: int = 1
    machines: list[TileRoles] = field(default_factory=list)
    issued: list[Stmt] = field(default_factory=list)  # by operation, counted from 1
    waiting: dict[int, tuple[str, Stmt]] = field(default_factory=dict)  # what each agent waited for last
    meeting: Phases = field(init=False)

    def __post_init__(self) -> None:
        self.meeting = Phases((Buffer("the cluster", (), UINT64, Space.BARRIER), 0, (), 0), self.size)


class TileRoles(TileMemory):
    """A block of a `cluster`; alone if there is none."""

    def __init__(self, kernel: Kernel, launch: Launch, world: World, cluster: Cluster | None = None) -> None:
        super().__init__(kernel, launch, world)
        self.launch = launch
        self.cluster = cluster or Cluster()
        self.rank = len(self.cluster.machines)
        self.cluster.machines.append(self)
        self.agent = Agent(self.rank * AGENTS_OF_A_BLOCK, self.agent.name, launch.num_threads)
        self.blocked = [self.agent]  # those that cannot go on
        self.met = 0  # phases of the cluster's barrier at which this block has arrived
        self.count = 0
        self.agents: dict[tuple[int, int], Agent] = {}  # of roles, by their threads
        self.barriers: dict[Key, Phases] = {}
        self.counts = {  # arrivals
            s.buffer: int(s.init.value)
            for s in statements(launch)
            if isinstance(s, Alloc) and s.buffer.space is Space.BARRIER and isinstance(s.init, Const)
        }
        self.waiting, self.issued = self.cluster.waiting, self.cluster.issued
        self.arriving: set[int] = set()  # operations that have to be over when this block ends

    def block(self, block: Block) -> Steps:
        raise NotImplementedError

    def meet(self, part: str) -> Steps:
        """The barrier of the cluster, or a part of it, for the whole block."""
        meeting = self.cluster.meeting
        if self.agent.number != self.rank * AGENTS_OF_A_BLOCK:
            raise GivenUp  # roles that meet those of other blocks
        if part != "wait":
            meeting.arrive(Knowledge() if part == "arrive_relaxed" else self.agent.knows.copy(), 1, self.statement)
            self.agent.tick()
            self.met += 1
        if part in ("sync", "wait"):
            self.waiting[self.agent.number] = f"{meeting}", self.statement
            while len(meeting.over) < self.met:
                yield
            if self.met:
                self.agent.knows.learn(meeting.over[self.met - 1])

    def roles(self, roles: Sequence[Role]) -> Steps:
        """Executes each until it has to wait, in turn. What comes after them is after a barrier of the whole block."""
        block, finished = self.agent, 0
        running = [(self.agent_of(r), self.role(r)) for r in roles]
        while running:
            before = self.count, finished
            for agent, program in list(running):
                self.agent = agent
                try:
                    next(program)
                except StopIteration:
                    running.remove((agent, program))
                    finished += 1
            if before == (self.count, finished):
                self.agent, self.blocked = block, [agent for agent, _ in running]
                yield
        self.agent, self.blocked = block, [block]
        for r in roles:
            block.knows.learn(self.agents[r.first, r.threads].knows)

    def agent_of(self, r: Role) -> Agent:
        """Roles are not held up where they end, so each goes on in the next round of a loop with what it knew."""
        key = r.first, r.threads
        made = self.agent.role(self.agent.number + 1 + len(self.agents), r.name, r.threads)
        if key in self.agents:
            old = self.agents[key]
            old.knows.clock[self.agent.number] = self.agent.now
            made = replace(old, scalars=made.scalars)
        self.agents[key] = made
        return made

    def role(self, r: Role) -> Steps:
        self.env[r.thread] = 0
        yield from self.block(r.body)

    def stuck(self, agents: Sequence[Agent]) -> VerifyError:
        said, stmts = zip(*(self.waiting[a.number] for a in agents))
        who = "; ".join(f"{a.name} at barrier {what}" for a, what in zip(agents, said))
        return VerifyError(f"W3: all that goes on waits for ever: {who}", stmts[0].span)

    def phases(self, barrier: Address, block: TileRoles | None = None) -> Phases:
        """The barrier in this block, or that in the same place of another one."""
        block = block or self
        version = int(self.version(barrier.buffer, barrier.version, True))
        at = tuple(int(np.max(self.value(i, True))) for i in barrier.indices)
        key = barrier.buffer, version, at, block.rank
        if key not in block.barriers:
            if barrier.buffer not in self.counts:
                raise GivenUp  # it is initialised by a statement of the thread stage
            if not all(0 <= i < n for i, n in zip(at, static_shape(barrier.buffer))):
                raise VerifyError(f"P8: barrier {list(at)} of '{barrier.buffer.name}'", self.statement.span)
            block.barriers[key] = Phases(key, self.counts[barrier.buffer])
        return block.barriers[key]

    def reached(self, ranks: int) -> list[TileRoles]:
        """The blocks of a mask. Raises VerifyError W17 for one that the cluster does not have."""
        if ranks >> self.cluster.size:
            raise VerifyError(f"W17: the cluster has no block {ranks.bit_length() - 1}", self.statement.span)
        return [self.cluster.machines[r] for r in members(ranks)] or [self]

    def mask_of(self, rank: Expr) -> int:
        """The block of that rank as a mask. Raises VerifyError W17 for a negative one."""
        found = int(np.max(self.value(rank, True)))
        if found < 0:
            raise VerifyError(f"W17: the cluster has no block {found}", self.statement.span)
        return 1 << found

    def at_barrier(self, s: Stmt) -> bool:
        match s:
            case Arrive(barrier, count, by, copies, ranks):
                for block in self.reached(ranks):
                    phases, knows = self.phases(barrier, block), self.agent.knows.copy()
                    knows.operations |= self.agent.in_queue("copy") if copies else 0
                    phases.expect(count)
                    phases.arrive(knows, self.agent.arrivals(by), s)
                self.agent.tick()
            case Expect(barrier, count):
                self.phases(barrier).expect(int(np.max(self.value(count, True))))
            case NamedSync() | NamedArrive():
                raise GivenUp  # what they order is not followed
            case Barrier() | Fence() | Settle() | SetRegisters() | Dependency():
                pass  # the threads of an agent execute tile statements together
            case _:
                return False
        return True

    def operation(self, queue: str) -> int:
        """Number of an operation that `statement` issues to `queue`."""
        self.issued.append(self.statement)
        number = len(self.issued)
        self.arriving.add(number)
        if queue:
            self.agent.queues[queue].issued |= 1 << number
        return number

    def finish(self) -> None:
        left = [self.issued[n - 1] for n in sorted(self.arriving) if not self.agent.knows.operations >> n & 1]
        if left:
            raise VerifyError(
                f"P15: this {work(left[0])} is still in flight when the kernel ends; commit it and wait for its group",
                left[0].span,
            )
        for phases in self.barriers.values():
            if phases.bytes:
                raise VerifyError(f"W6: at the end bytes are missing at barrier {phases}", self.launch.span)

    def bring(self, block: TileRoles, r: Region, tokens: Any) -> int:
        """The number of an operation of this agent that writes to the region of `block`, which it is there for."""
        version, box, shaped = self.version(r.buffer, r.version, True), self.box(r), tokens.reshape(r.extents)
        operation = self.operation("")
        self.arriving.discard(operation)
        block.arriving.add(operation)
        own = block.agent, block.statement
        block.agent, block.statement = self.agent, self.statement
        block.put(r.buffer, version, box, shaped, True, operation=operation)
        block.agent, block.statement = own
        return operation
