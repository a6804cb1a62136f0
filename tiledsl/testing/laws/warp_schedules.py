"""Laws of the user's schedules for a producer, on random programs (docs/hopper.md, "Changing its mind")."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

from hypothesis import assume
from hypothesis import strategies as st

from tiledsl.compile import lower
from tiledsl.cpu.turns import ORDERS, Order
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Alloc, Buffer, Handover, Kernel, Space
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.walk import same, statements
from tiledsl.passes.warp_specialise import warp_specialise
from tiledsl.passes.warp_specialise.channels import WarpPlan
from tiledsl.passes.warp_specialise.split import hoisted
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.laws.checked import checked
from tiledsl.testing.laws.full_barriers import has_maps
from tiledsl.testing.laws.full_barriers import result as arrays
from tiledsl.testing.laws.warps import MODES, SM90, plan_of, result, stages
from tiledsl.testing.laws.whole import accepted, check_same
from tiledsl.testing.strategies.warps import WarpKernel, warp_kernels

MAKE = warp_specialise.bind(SM90, enabled=True)
Picks = list[tuple[int, int, int]]  # which tile, in which group, in how many versions
PICKS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(1, 4)), min_size=1, max_size=5)


def asked(kernel: Kernel, handovers: tuple[Handover, ...], registers: tuple[int, ...] = ()) -> Kernel:
    (launch,) = kernel.launches
    return replace(kernel, launches=(replace(launch, handovers=handovers, registers=registers),))


def drawn(tiles: list[Buffer], picks: Picks) -> tuple[Handover, ...]:
    """A schedule: each tile where it is named first, each group with the versions that it is named first with."""
    group: dict[Buffer, int] = {}
    depth: dict[int, int] = {}
    for tile, g, n in picks:
        if group.setdefault(tiles[tile % len(tiles)], g) == g:
            depth.setdefault(g, n)
    return tuple(Handover(tuple(b for b in group if group[b] == g), n) for g, n in depth.items())


def is_legal(plan: WarpPlan, wanted: tuple[Handover, ...]) -> bool:
    """Tiles that the compiler would have the producer copy as well; in a group neighbours with the same readers."""
    copies = [c for channel in plan.channels for c in channel.copies]
    readers = {c.tile: (c.block, c.first, c.last) for c in copies}
    named = [b for h in wanted for b in h.tiles]
    if not readers.keys() >= set(named) or any(len({readers[b] for b in h.tiles}) > 1 for h in wanted):
        return False
    owner = {b: i for i, h in enumerate(wanted) for b in h.tiles}
    turns = [owner[c.tile] for c in copies if c.tile in owner]
    return sum(a != b for a, b in pairwise(turns)) == len(wanted) - 1


@law("W20", examples=30, program=warp_kernels())
def the_plan_as_a_schedule_gives_the_same_kernel(program: WarpKernel) -> None:
    plan = plan_of(program.kernel)
    assume(not plan.refused)
    wanted = tuple(Handover(c.tiles, c.depth) for c in plan.channels)
    kernel = asked(program.kernel, wanted, (plan.budget.producer, plan.budget.consumer))
    made = MAKE(program.kernel)
    assert text(asked(MAKE(kernel), ())) == text(made)
    again = parse(text(kernel))
    assert same(again, kernel) and same(asked(MAKE(again), ()), made)


@law(
    *("W2", "W3", "W11"),
    examples=40,
    share=2.0,
    program=warp_kernels(),
    picks=PICKS,
    any_tile=st.sampled_from((False, False, True)),
    mode=st.sampled_from(MODES),
    roles=st.sampled_from(ORDERS),
)
def schedules_are_kept_or_refused(program: WarpKernel, picks: Picks, any_tile: bool, mode: Any, roles: Order) -> None:
    """A legal one is what the roles do, and computes the same; any other one is an error that names a tile of it."""
    plan = plan_of(program.kernel)
    assume(not plan.refused)
    (launch,) = program.kernel.launches
    allocated = [s.buffer for s in statements(hoisted(launch)) if isinstance(s, Alloc)]
    every = [b for b in dict.fromkeys(allocated) if b.space is Space.SHARED]
    wanted = drawn(every if any_tile else [b for c in plan.channels for b in c.tiles], picks)
    kernel = asked(program.kernel, wanted)
    if not is_legal(plan, wanted):
        try:
            plan_of(kernel)
        except TileError as raised:
            assert raised.code in ("TD0407", "TD0408"), raised
            assert any(f"'{b.name}'" in raised.message for h in wanted for b in h.tiles)
            return
        raise AssertionError("it is no legal schedule, but was taken")
    made = plan_of(kernel)
    assert {(frozenset(c.tiles), c.depth) for c in made.channels} == {(frozenset(h.tiles), h.depth) for h in wanted}
    left = [c for channel in plan.channels for c in channel.copies if not any(c.tile in h.tiles for h in wanted)]
    assert sum(len(c.copies) for c in made.channels) + len(left) == sum(len(c.copies) for c in plan.channels)
    expected = result(program, program.kernel)
    for name, after in stages(kernel):
        assert not after.launches[0].handovers
        assert result(program, after, mode=mode, roles=roles) == expected, name


@law(
    *("S10", "S24"), examples=3, share=3.0, compiler=True,
    program=warp_kernels(products=True), picks=PICKS, mode=st.sampled_from((*MODES, "random")), seed=st.integers(0, 99),
)  # fmt: skip
def emitted_code_keeps_schedules(program: WarpKernel, picks: Picks, mode: str, seed: int) -> None:
    """The checked device finds nothing, and the results are those of the kernel without a schedule."""
    plan = plan_of(program.kernel)
    assume(not plan.refused and has_maps(program) and program.blocks_are_apart)
    wanted = drawn([b for c in plan.channels for b in c.tiles], picks)
    assume(is_legal(plan, wanted))
    lowered = accepted(lambda: lower(asked(program.kernel, wanted), SM90))
    given = checked(program, lowered, mode, seed)
    check_same(arrays(program, program.kernel), given, f"{mode}, {seed}")


LAWS = laws_of(globals())
