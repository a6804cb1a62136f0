"""Laws of barrier insertion on random programs, judged by the checking interpreter (algorithms.md E.D, S10-S12)."""

from __future__ import annotations

from hypothesis import strategies as st

from tiledsl.passes.insert_barriers import insert_barriers
from tiledsl.passes.insert_barriers.arcs import Arc, fewest_positions
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.strategies.barriers import BarrierProgram, barrier_programs, count_barriers, races, without_barrier


@law("S10", "S12", program=barrier_programs())
def no_race_is_left(program: BarrierProgram) -> None:
    assert races(program, insert_barriers(program.kernel)) is None


@law("S10", program=barrier_programs(exact=True))
def every_barrier_is_needed(program: BarrierProgram) -> None:
    synchronised = insert_barriers(program.kernel)
    for number in range(count_barriers(synchronised)):
        assert races(program, without_barrier(synchronised, number)) is not None, f"barrier {number}"


@law(program=barrier_programs())
def insertion_is_idempotent(program: BarrierProgram) -> None:
    once = insert_barriers(program.kernel)
    assert insert_barriers(once) == once


def _brute_force(arcs: list[Arc], size: int) -> int:
    for count in range(size + 1):
        for bits in range(1 << size):
            chosen = [p for p in range(size) if bits >> p & 1]
            if len(chosen) == count and all(any(a.hits(p) for p in chosen) for a in arcs):
                return count
    raise AssertionError


@law(size=st.integers(1, 7), drawn=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=6))
def fewest_positions_hit_all_arcs_and_are_fewest(size: int, drawn: list[tuple[int, int]]) -> None:
    arcs = [Arc(first % size, first % size + length % size, size) for first, length in drawn]
    chosen = fewest_positions(arcs, size)
    assert all(any(a.hits(p) for p in chosen) for a in arcs)
    assert len(chosen) == _brute_force(arcs, size)


LAWS = laws_of(globals())
