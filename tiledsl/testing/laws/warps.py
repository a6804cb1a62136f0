"""Laws of warp specialisation, on random programs executed by the tile interpreter (algorithms.md E.W, W1-W20)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from tiledsl.cpu import tile_interp
from tiledsl.cpu.tile_interp import TileMachine
from tiledsl.cpu.turns import ORDERS, Order
from tiledsl.ir.concurrent import WARPGROUP, Arrive, Await, Role, Roles
from tiledsl.ir.dtypes import FLOAT32
from tiledsl.ir.nodes import (
    Alloc,
    Block,
    Buffer,
    Const,
    For,
    Kernel,
    Launch,
    Pipelined,
    Region,
    Space,
    Stmt,
)
from tiledsl.ir.tile import Copy, Fill, Parallel, Rearrangement
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import map_blocks, statements, walk
from tiledsl.passes.base import Pass
from tiledsl.passes.bulk_stores import bulk_stores
from tiledsl.passes.expand_lets import expand_lets
from tiledsl.passes.fold_clears import fold_clears
from tiledsl.passes.software_pipeline import software_pipeline
from tiledsl.passes.warp_specialise import warp_plans, warp_specialise
from tiledsl.passes.warp_specialise.channels import Channel, WarpPlan
from tiledsl.passes.warp_specialise.fills import ENGINE, tile_of
from tiledsl.passes.warp_specialise.replay import leaves
from tiledsl.target import target_named
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.strategies.warps import WarpKernel, warp_kernels, with_while

SM80, SM90 = target_named("sm_80"), target_named("sm_90a")
PASSES: tuple[Pass, ...] = (
    warp_specialise.bind(SM90, enabled=True),
    software_pipeline.bind(SM90),
    fold_clears.bind(SM90),
    bulk_stores.bind(SM90, enabled=True),
)
MODES = ("early", "late")
PRIVATE = (Space.FRAGMENT, Space.LOCAL, Space.VAR)


def stages(kernel: Kernel) -> Iterator[tuple[str, Kernel]]:
    """The kernel after each of the passes that make and use roles, well-formed."""
    for p in PASSES:
        kernel = p(kernel)
        verify(kernel)
        yield p.name, kernel


def result(program: WarpKernel, kernel: Kernel, **how: Any) -> dict[str, bytes]:
    """The bits of all tensors after a run."""
    given = program.arguments()
    tile_interp.run(kernel, given, **how)
    return {name: v.tobytes() for name, v in given.items() if isinstance(v, np.ndarray)}


def plan_of(kernel: Kernel) -> WarpPlan:
    (plan,) = warp_plans(kernel, SM90)
    return plan


# ------------------------------------------------------------------------------------------------------------- values


@law(
    *("W3", "W5", "W6", "W7", "W8", "W9", "W10", "W11", "W17", "W18", "W19"),
    examples=50,
    share=3.0,
    program=warp_kernels(),
    mode=st.sampled_from(MODES),
    roles=st.sampled_from(ORDERS),
    seed=st.integers(0, 99),
)
def roles_compute_what_the_kernel_means(program: WarpKernel, mode: Any, roles: Order, seed: int) -> None:
    """The interpreter raises where an mbarrier gets too many or too few arrivals or bytes, where a tile is read or
    overwritten too early, and where nobody can go on."""
    expected = result(program, program.kernel)
    for name, kernel in stages(program.kernel):
        assert result(program, kernel, mode=mode, roles=roles, seed=seed) == expected, name


@law("W3", "W10", "W11", examples=15, program=warp_kernels(products=True))
def products_in_flight_compute_the_same_on_every_schedule(program: WarpKernel) -> None:
    expected = result(program, program.kernel)
    *_, (_, kernel) = stages(program.kernel)
    for mode in MODES:
        for roles in ORDERS:
            assert result(program, kernel, mode=mode, roles=roles) == expected, (mode, roles)


@law("W11", examples=25, program=warp_kernels(), mode=st.sampled_from(MODES))
def bulk_stores_and_folded_clears_need_no_roles(program: WarpKernel, mode: Any) -> None:
    expected = result(program, program.kernel)
    for p in PASSES[1:]:
        kernel = p(program.kernel)
        verify(kernel)
        assert result(program, kernel, mode=mode) == expected, p.name


@law(
    *("W3", "W11"),
    examples=25,
    program=warp_kernels(),
    mode=st.sampled_from(MODES),
    roles=st.sampled_from(ORDERS),
    seed=st.integers(0, 99),
)
def blocks_of_a_cluster_compute_what_they_compute_alone(
    program: WarpKernel, mode: Any, roles: Order, seed: int
) -> None:
    """Also where they load tiles for each other."""
    (launch,) = program.kernel.launches
    assume(program.blocks_are_apart)
    kernel = replace(program.kernel, launches=(replace(launch, grid=(Const(2),), cluster=(2,)),))
    expected = result(program, kernel)
    for name, made in stages(kernel):
        assert result(program, made, mode=mode, roles=roles, seed=seed) == expected, name


# ------------------------------------------------------------------------------------------------------------- phases

Turns = dict[Buffer, list[tuple[int, int]]]  # by barrier: slots and parities, as they were awaited


def turns_of(program: WarpKernel, kernel: Kernel) -> Turns:
    """What the roles of the first block wait for."""
    turns: Turns = defaultdict(list)
    sane = TileMachine.wait_for_phase

    def wait(machine: TileMachine, s: Await) -> None:
        turns[s.barrier.buffer].append((machine.uniform(s.barrier.indices[0]), machine.uniform(s.parity)))
        sane(machine, s)

    with patch.object(TileMachine, "wait_for_phase", wait):
        tile_interp.run(kernel, program.arguments(), blocks=lambda grid: [(0,)])
    return turns


def barriers_of(kernel: Kernel, plan: WarpPlan) -> Iterator[tuple[Channel, Buffer, Buffer | None]]:
    """Each channel with its barriers: the second is missing where the tiles come only once."""
    allocated = (s.buffer for s in kernel.launches[0].body if isinstance(s, Alloc) and s.buffer.space is Space.BARRIER)
    for channel in plan.channels:
        yield channel, next(allocated), next(allocated) if channel.nest else None


@law("W4", "W13", "W18", examples=40, program=warp_kernels())
def both_sides_take_the_same_turns(program: WarpKernel) -> None:
    """Turn n is in version n % depth, in a phase of parity n // depth; the producer waits for the one before."""
    plan = plan_of(program.kernel)
    for name, kernel in stages(program.kernel) if not plan.refused else ():
        turns = turns_of(program, kernel)
        for channel, full, empty in barriers_of(kernel, plan):
            expected = [(n % channel.depth, n // channel.depth % 2) for n in range(len(turns[full]))]
            assert turns[full] == expected, (name, channel.name)
            if empty is not None:
                assert turns[empty] == [(slot, 1 - phase) for slot, phase in expected], (name, channel.name)


# ----------------------------------------------------------------------------------------------------------- the plan


def _code(kernel: Kernel) -> Block:
    (launch,) = kernel.launches
    return launch.body


def loads(block: Block, pipelined: bool = False) -> Iterator[tuple[Stmt, bool]]:
    """What fills tiles in shared memory from global memory, and whether a pipelined loop is around."""
    for s in block:
        match s:
            case Copy() | Parallel() | Rearrangement():
                if tile_of(s):
                    yield s, pipelined
            case For(kind=kind, body=body):
                yield from loads(body, pipelined or isinstance(kind, Pipelined))
            case _:
                for inner in (getattr(s, "then", ()), getattr(s, "orelse", ())):
                    yield from loads(inner, pipelined)


@law("W2", "W20", examples=50, program=warp_kernels())
def plans_are_total(program: WarpKernel) -> None:
    """Every copy of a pipelined loop is one of the producer's, or stays with the consumers for a reason."""
    plan = plan_of(program.kernel)
    (launch,) = program.kernel.launches
    left = [id(copy) for copy, _ in plan.left]
    assert all(reason for _, reason in plan.left)
    if plan.refused:
        assert not plan.channels and not plan.consumers
        assert _code(warp_specialise.bind(SM90, enabled=True)(program.kernel)) == launch.body
        return
    copied = [id(c.copy) for channel in plan.channels for c in channel.copies]
    found = list(loads(launch.body))
    inside = [id(copy) for copy, pipelined in found if pipelined]
    plain = {id(copy) for copy, _ in found if isinstance(copy, Copy)}
    assert len(set(copied)) == len(copied) and len(set(left)) == len(left) and not set(copied) & set(left)
    assert set(inside) & plain - set(copied) <= set(left) <= set(inside) - set(copied)
    assert set(copied) <= {id(copy) for copy, _ in found}
    specialised = warp_specialise.bind(SM90, enabled=True)(program.kernel)
    (roles,) = (s for s in statements(specialised) if isinstance(s, Roles))
    producer, consumer = roles.roles
    made, kept = ([b.name for s in statements(r) if (b := tile_of(s))] for r in (producer, consumer))
    brought = [c.tile.name for channel in plan.channels for c in channel.copies]
    every = Counter(b.name for copy, _ in found if (b := tile_of(copy)))
    assert Counter(made) == Counter(brought) and Counter(kept) == every - Counter(brought)
    engine = [c for channel in plan.channels for c in channel.copies if c.how == ENGINE]
    assert sum(isinstance(s, Copy) and s.bulk for s in statements(producer)) == len(engine)


@law("W1", "W12", "W14", "W15", "W16", examples=50, program=warp_kernels())
def roles_are_apart(program: WarpKernel) -> None:
    """Whole warpgroups, all threads of the block, registers that the block has, and no private memory in common."""
    for _, kernel in stages(program.kernel):
        (launch,) = kernel.launches
        found = [s for s in statements(launch) if isinstance(s, Roles)]
        for s in found:
            assert launch.body[-1] is s and all(isinstance(x, Alloc) for x in launch.body[:-1])
            _barriers_are_ready(launch)
            _cover_the_threads(launch, s.roles)
            _own_their_registers(s.roles)


def _cover_the_threads(launch: Launch, roles: tuple[Role, ...]) -> None:
    taken = [t for r in roles for t in range(r.first, r.first + r.threads)]
    assert sorted(taken) == list(range(launch.num_threads))
    assert all(r.first % WARPGROUP == r.threads % WARPGROUP == 0 for r in roles)
    at_launch = 65536 // launch.num_threads // 8 * 8
    asked = [r.registers for r in roles]
    if any(asked):
        most = max(asked)
        pool = min(at_launch, most) * launch.num_threads
        assert (
            all(n % 8 == 0 and 24 <= n <= 256 for n in asked)
            and sum(n * r.threads for n, r in zip(asked, roles)) <= pool
        )


def _own_their_registers(roles: tuple[Role, ...]) -> None:
    private = [{n for n in walk(r) if isinstance(n, Buffer) and n.space in PRIVATE} for r in roles]
    for role, buffers in zip(roles, private):
        assert {s.buffer for s in statements(role) if isinstance(s, Alloc)} >= buffers
    assert not set.intersection(*private)


def _barriers_are_ready(launch: Launch) -> None:
    ready = {s.buffer: s.init for s in launch.body if isinstance(s, Alloc) and s.buffer.space is Space.BARRIER}
    used = {s.barrier.buffer for s in statements(launch) if isinstance(s, Arrive | Await)}
    assert used == set(ready) and all(isinstance(n, Const) and n.value > 0 for n in ready.values())


@law("W20", examples=30, program=warp_kernels(), at=st.integers(0, 99))
def planning_does_not_depend_on_what_is_unrelated(program: WarpKernel, at: int) -> None:
    """A statement about something else, and lets put in where they are used, change no plan."""
    expected = str(plan_of(program.kernel))
    assert str(plan_of(with_statement(program.kernel, at))) == expected
    assert str(plan_of(expand_lets(program.kernel))) == expected


def with_statement(kernel: Kernel, at: int) -> Kernel:
    """`kernel` with a fragment of its own filled before one of its statements."""
    b = Buffer("unrelated", (8,), FLOAT32, Space.FRAGMENT)
    fill = Fill(Region(b, (Const(0),), (8,)), Const(1.0, FLOAT32))
    (launch,) = kernel.launches
    every = list(leaves(launch.body))
    before = every[at % len(every)][0]

    def block(body: Block) -> Block:
        return tuple(x for s in body for x in ((fill, s) if s is before else (map_blocks(s, block),)))

    return replace(kernel, launches=(replace(launch, body=(Alloc(b), *block(launch.body))),))


@law("W2", "W20", examples=30, program=warp_kernels())
def roles_are_made_once(program: WarpKernel) -> None:
    """A kernel that has roles keeps them, and one whose loops end by what they find gets none."""
    again = warp_specialise.bind(SM90, enabled=True)
    made = again(program.kernel)
    assert _code(again(made)) == _code(made)
    if not plan_of(program.kernel).refused:
        assert plan_of(made).refused == "the kernel has roles of its own"
    assert "while" in plan_of(with_while(program).kernel).refused or plan_of(program.kernel).refused
    for p in (warp_specialise.bind(SM90, enabled=False), warp_specialise.bind(SM80, enabled=True)):
        assert p(program.kernel) is program.kernel


LAWS = laws_of(globals())
