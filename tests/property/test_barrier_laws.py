"""Laws of barrier insertion on random programs, judged by the checking interpreter (algorithms.md E.D, S10-S12)."""

from __future__ import annotations

from barrier_programs import Program, count_barriers, programs, races, without_barrier
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.passes.insert_barriers import insert_barriers
from tiledsl.passes.insert_barriers.arcs import Arc, fewest_positions


@given(program=programs())
def test_s10_s12_no_race_is_left(program: Program) -> None:
    assert races(program, insert_barriers(program.kernel)) is None


@given(program=programs(exact=True))
def test_s10_every_barrier_is_needed(program: Program) -> None:
    synchronised = insert_barriers(program.kernel)
    for number in range(count_barriers(synchronised)):
        assert races(program, without_barrier(synchronised, number)) is not None, f"barrier {number}"


@given(program=programs())
def test_insertion_is_idempotent(program: Program) -> None:
    once = insert_barriers(program.kernel)
    assert insert_barriers(once) == once


def _brute_force(arcs: list[Arc], size: int) -> int:
    for count in range(size + 1):
        for bits in range(1 << size):
            chosen = [p for p in range(size) if bits >> p & 1]
            if len(chosen) == count and all(any(a.hits(p) for p in chosen) for a in arcs):
                return count
    raise AssertionError


@given(
    size=st.integers(1, 7),
    drawn=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=6),
)
def test_fewest_positions_hit_all_arcs_and_are_fewest(size: int, drawn: list[tuple[int, int]]) -> None:
    arcs = [Arc(first % size, first % size + length % size, size) for first, length in drawn]
    chosen = fewest_positions(arcs, size)
    assert all(any(a.hits(p) for p in chosen) for a in arcs)
    assert len(chosen) == _brute_force(arcs, size)
