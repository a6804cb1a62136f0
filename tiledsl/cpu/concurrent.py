"""Roles, barriers in shared memory, and those of clusters, for both NumPy executions.

An *agent* of a block is all of its threads, or those of a role. Each role has a machine of its own, whose domain is the
role's threads; `cpu/turns.py` lets them take turns. What they share is memory and `Common`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np

from tiledsl.cpu import values
from tiledsl.cpu.cluster import MAX_THREADS, Common
from tiledsl.cpu.lockstep import DTypes, Lockstep
from tiledsl.cpu.mbarrier import Mbarrier
from tiledsl.cpu.named import NamedBarrier
from tiledsl.cpu.registers import Cell, Registers
from tiledsl.cpu.turns import Player, stuck
from tiledsl.cpu.values import Value
from tiledsl.errors import error
from tiledsl.ir import concurrent as ir
from tiledsl.ir.nodes import Address, Alloc, Buffer, Launch, Space

Array = np.ndarray[Any, Any]
# Threads of which one arrives; 0: one of all.
_THREADS_OF = {"threads": 1, "warps": 32, "warpgroups": ir.WARPGROUP, "one": 0}


class Concurrent(Lockstep):
    """An agent. `player` is its role, None for the block as a whole; `known` the copies that it knows."""

    launch: Launch

    def __init__(self, domain: tuple[int, ...], check: bool, dtypes: DTypes, common: Common) -> None:
        super().__init__(domain, check, dtypes)
        self.common = common
        self.role: ir.Role | None = None
        self.player: Player | None = None
        self.known = 0
        self.met: int | None = None  # the phase of the cluster's barrier at which it has arrived
        own: dict[type, Callable[[Any], None]] = {
            ir.Roles: self.roles,
            ir.InitBarrier: self.init_barrier,
            ir.Arrive: self.arrive,
            ir.Expect: self.expect,
            ir.Await: self.wait_for_phase,
            ir.NamedSync: self.meet,
            ir.NamedArrive: self.meet,
            ir.ClusterBarrier: self.cluster_barrier,
            # Proxies, the order of registers and their number are not modelled.
            ir.Fence: lambda s: None,
            ir.Hold: lambda s: None,
            ir.Settle: lambda s: None,
            ir.Dependency: lambda s: None,  # launches run one after the other
            ir.SetRegisters: lambda s: None,
        }
        self.executors |= own

    # ------------------------------------------------------------------------------------------------------ roles

    def machine_of(self, role: ir.Role) -> Self:
        """A machine for the role's threads, which shares memory with this one."""
        raise NotImplementedError

    def finish(self) -> None:
        """Executes what this agent has to do, to the end."""
        raise NotImplementedError

    def roles(self, s: ir.Roles) -> None:
        """All roles of the statement, until each has ended."""
        machines = [m for r in s.roles for m in self._agents(r)]
        self.common.turns.run([m.player for m in machines if m.player], self.where(), self.player)
        for m in machines:
            self.learn(m.known)

    def go_apart(self, role: ir.Role) -> bool:
        """Whether the warpgroups of a role may be at different places of its program."""
        return False

    def _agents(self, role: ir.Role) -> list[Self]:
        """The role; or each of its warpgroups, where these take turns with each other."""
        if not self.go_apart(role):
            return [self._inside(role)]
        parts = range(0, role.threads, ir.WARPGROUP)
        threads = [min(ir.WARPGROUP, role.threads - at) for at in parts]
        return [
            self._inside(replace(role, name=f"{role.name} {n}", first=role.first + at, threads=threads[n]), at)
            for n, at in enumerate(parts)
        ]

    def _inside(self, role: ir.Role, at: int = 0) -> Self:
        """The agent for `role`, whose first thread counts as thread `at`."""
        m = self.machine_of(role)
        threads = slice(role.first, role.first + role.threads)

        def part(value: Value) -> Value:
            """Of a value that differs between the threads of the block, those of the role."""
            whole = isinstance(value, np.ndarray) and value.shape[-1] == self.domain[-1]
            return value[..., threads] if whole else value

        m.env = {v: part(x) for v, x in self.env.items()}
        m.env[role.thread] = values.tidy(np.arange(at, at + role.threads).reshape(*m.domain), role.thread.dtype)
        m.cells = {b: Cell(part(c.value), part(c.written)) for b, c in self.cells.items()}
        m.registers = {
            b: Registers(b, r.data[..., threads, :], r.state[..., threads, :]) for b, r in self.registers.items()
        }
        block = f" of {self.player.name}" if self.player else ""
        m.role, m.player = role, Player(f"role '{role.name}'{block}", m.finish)
        m.learn(self.known)
        return m

    def learn(self, known: int) -> None:
        """The agent gets to know of copies."""
        self.known |= known

    def give_turn(self) -> None:
        """Lets another role go on, if it is its turn."""
        if self.player is not None:
            self.common.turns.give(self.player)

    def pause(self, ready: Callable[[], bool], problem: Callable[[], str]) -> None:
        """Lets other roles go on until `ready`; TileError TD0830 if that will never be."""
        p, span = self.player, self.statement.span
        if p is not None:
            p.ready, p.problem = ready, lambda: (f"{p.name} {problem()}", span)
            self.common.turns.give(p)
        elif not ready():
            raise stuck([(f"it {problem()}", span)], self.where())

    # --------------------------------------------------------------------------------------------------- barriers

    def alloc(self, s: Alloc) -> None:
        b = s.buffer
        if b.space is not Space.BARRIER:
            super().alloc(s)
            return
        size = b.shape[0] if b.shape else 1
        assert isinstance(size, int)
        made = self.common.barriers[b] = [Mbarrier(f"{b.name}[{i}]") for i in range(size)]
        if s.init is not None:
            for barrier in made:
                barrier.initialise(int(self.eval(s.init)), self.where())

    def barriers_at(self, a: Address, what: str, block: Common | None = None) -> list[tuple[Mbarrier, int]]:
        """Each barrier (of this block or another one of the cluster) that a lane names, with the number of those."""
        numbers, times = np.unique(self.active(self.offset_of(a.buffer, a.indices, a.version)), return_counts=True)
        found = [(block or self.common).barriers[a.buffer][int(i)] for i in numbers]
        for barrier in found:
            barrier.require_initialised(what, self.where())
        return list(zip(found, times.tolist()))

    def reached(self, ranks: int, barrier: Buffer, *tiles: Buffer) -> list[Common]:
        """The blocks of a mask (0: this one), in which these buffers are there. Raises TileError TD0857."""
        if not ranks:
            return [self.common]
        return [self.peer(rank, barrier, *tiles) for rank in ir.members(ranks)]

    def peer(self, rank: int, barrier: Buffer, *tiles: Buffer) -> Common:
        """The block of that rank, in which these buffers are there. Raises TileError TD0857."""
        if not 0 <= rank < len(self.common.peers):
            raise error("TD0857", problem=f"the cluster has no block of rank {rank}", where=self.where())
        block = self.common.peers[rank]
        if block.ended:
            raise error("TD0857", problem=f"the block of rank {rank} has ended", where=self.where())
        self.require_made(block, barrier, tiles)
        return block

    def require_made(self, block: Common, barrier: Buffer, tiles: tuple[Buffer, ...]) -> None:
        """Waits until another block has these buffers, or raises TileError TD0840."""
        raise NotImplementedError

    def cluster_barrier(self, s: ir.ClusterBarrier) -> None:
        meeting = self.common.meeting
        meeting.expected = meeting.expected or self.domain[-1]
        if s.part != "wait":
            self.require_all_arrive()
            if self.met is not None:
                problem = "the threads arrive again before they have waited"
                raise error("TD0856", problem=problem, where=self.where())
            self.met = meeting.phase
            last = meeting.arrive(self.domain[-1], 0 if s.part == "arrive_relaxed" else self.known)
            if last:
                self.all_met()
        if s.part in ("sync", "wait"):
            if self.met is None:
                raise error("TD0856", problem="the threads wait and have not arrived", where=self.where())
            phase, self.met = self.met, None
            self.pause(
                lambda: meeting.phase > phase,
                lambda: f"waits for the cluster ({meeting.arrived} of {meeting.expected} threads have arrived)",
            )
            self.learn(meeting.known)

    def require_all_arrive(self) -> Any:
        """Raises TileError TD0807 where only some lanes come to a barrier."""

    def all_met(self) -> None:
        """What else is ordered by a barrier of the cluster, when the last of all threads has come."""

    def init_barrier(self, s: ir.InitBarrier) -> None:
        a = s.barrier
        for i in np.unique(self.active(self.offset_of(a.buffer, a.indices, a.version))):
            self.common.barriers[a.buffer][int(i)].initialise(s.count, self.where())

    def arrive(self, s: ir.Arrive) -> None:
        known = self.known | (self.hand_over_copies() if s.copies else 0)
        each = _THREADS_OF[s.by]
        for block in self.reached(s.ranks, s.barrier.buffer):
            for barrier, lanes in self.barriers_at(s.barrier, "an arrival", block):
                times = -(-lanes // each) if each else 1
                barrier.expect(s.bytes * times)
                threads = self.threads_that_arrive() << self.common.rank * MAX_THREADS
                barrier.arrive(times, self.where(), known, threads)
        self.give_turn()

    def expect(self, s: ir.Expect) -> None:
        for barrier, _ in self.barriers_at(s.barrier, "an expectation"):
            barrier.expect(self.expected(self.active(self.index(s.bytes))))

    def expected(self, each: Array) -> int:
        """What lanes expect that say so: at the tile stage one speaks for all."""
        return int(each[0])

    def require_zeros_outside(self, tensor: Buffer, missing: bool) -> None:
        """Raises TileError TD0863 if a box is partly outside of a tensor, where another value than 0 is asked for."""
        safe = self.outside(tensor)
        if missing and safe != 0:
            raise error("TD0863", buffer=tensor.name, value=safe, where=self.where())

    def wait_for_phase(self, s: ir.Await) -> None:
        a = s.barrier
        numbers = self.active(self.offset_of(a.buffer, a.indices, a.version)).tolist()
        parities = self.active(self.index(s.parity)).tolist()
        for number, parity in sorted(set(zip(numbers, parities))):
            barrier = self.common.barriers[a.buffer][number]
            barrier.require_initialised("a wait", self.where())
            self._wait(barrier, parity)
            barrier.land()
            self.learn(barrier.known)
            self.after_wait(barrier)

    def _wait(self, barrier: Mbarrier, parity: int) -> None:
        self.give_turn()
        if barrier.has_ended(parity):
            return
        phase = barrier.phase
        self.pause(
            lambda: barrier.phase > phase, lambda: f"waits for parity {parity} of {barrier.name} ({barrier.state})"
        )
        if barrier.phase > phase + 1:
            raise error("TD0859", barrier=barrier.name, phase=phase, now=barrier.phase, where=self.where())

    def meet(self, s: ir.NamedSync | ir.NamedArrive) -> None:
        numbers = np.unique(self.active(self.index(s.id)))
        if len(numbers) != 1:
            raise error("TD0820", name="a named barrier that differs between warps of an agent")
        self.arrive_named(int(numbers[0]), s.count, waits=isinstance(s, ir.NamedSync))

    def arrive_named(self, number: int, count: int, *, waits: bool) -> None:
        """The threads of this agent arrive at a named barrier; if it waits, it goes on when `count` have."""
        barrier = self.common.named.setdefault(number, NamedBarrier(number))
        phase = barrier.phase
        barrier.arrive(self._on(), count, self.where(), self.known)
        self.give_turn()
        if waits:
            if barrier.phase == phase:
                self.pause(lambda: barrier.phase > phase, lambda: f"waits at {barrier}")
            self.learn(barrier.known)
            self.after_named(barrier)

    def _on(self) -> int:
        """The threads of the block that execute this statement, as bits."""
        lanes = np.broadcast_to(self.full(True if self.mask is None else self.mask), self.domain)
        first = self.role.first if self.role else 0
        return sum(1 << (first + int(t)) for t in np.flatnonzero(lanes.reshape(-1)))

    def after_named(self, barrier: NamedBarrier) -> None:
        """What else is ordered for this agent by a named barrier."""

    def threads_that_arrive(self) -> int:
        """The threads of the block whose accesses an arrival hands over, as bits."""
        return 0

    def after_wait(self, barrier: Mbarrier) -> None:
        """What else is ordered for this agent by phases that have ended."""

    def hand_over_copies(self) -> int:
        """Gives the copies (cp.async) that this agent has in flight to an arrival: the numbers of them, as bits."""
        raise NotImplementedError

    def require_phases_ended(self) -> None:
        """At the end of the block. Raises TileError TD0843 if a barrier is in the middle of a phase, TD0808 if nobody
        has waited for a bulk copy."""
        if not self.check:
            return
        for named in self.common.named.values():
            named.require_ended(self.launch.span)
        for barrier in (b for found in self.common.barriers.values() for b in found):
            if barrier.in_use:
                raise error("TD0843", self.launch.span, barrier=barrier.name, state=barrier.state)
        for number, (rank, buffer) in enumerate(self.common.copies):
            if rank == self.common.rank and not self.known >> number & 1:
                raise error(
                    "TD0808", self.launch.span, buffer=buffer.name, where=self.name_lane((0,) * len(self.domain))
                )
