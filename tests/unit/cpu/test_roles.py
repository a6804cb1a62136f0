"""Roles, mbarriers, bulk copies and asynchronous products at the tile stage, in every mode and order of roles."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.cpu import tile_interp
from tiledsl.cpu.mbarrier import Mbarrier
from tiledsl.cpu.turns import ORDERS
from tiledsl.errors import TileError
from tiledsl.ir.parser import parse

Array = np.ndarray[Any, Any]
GEMM = (Path(__file__).parent / "kernels" / "ws_gemm.tir").read_text()
SCHEDULES = tuple(product(("early", "late"), ORDERS))
# The same kernel for one block with more steps, which is quicker to run.
ONE_BLOCK = (
    ("A: global float16[512, 256]", "A: global float16[128, 512]"),
    ("B: global float16[256, 512]", "B: global float16[512, 128]"),
    ("C: global float16[512, 512]", "C: global float16[128, 128]"),
    ("bx in 4, by in 4", "bx in 1, by in 1"),
    ("for k in 4", "for k in 8"),
)


def changed(text: str, *changes: tuple[str, str]) -> str:
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def operands(m: int, n: int, k: int, seed: int = 0) -> tuple[Array, Array, Array]:
    """A, B and their product, small enough to be exact."""
    rng = np.random.default_rng(seed)
    a, b = rng.integers(-1, 2, (m, k)).astype(np.float16), rng.integers(-1, 2, (k, n)).astype(np.float16)
    return a, b, (a.astype(np.float64) @ b.astype(np.float64)).astype(np.float16)


def gemm(text: str, mode: str = "late", roles: str = "first", **how: Any) -> str:
    """What a kernel of one block does: the code of its error, else whether it is right."""
    a, b, expected = operands(128, 128, 512)
    c = np.full_like(expected, np.nan)
    try:
        tile_interp.run(parse(text), {"A": a, "B": b, "C": c}, mode=mode, roles=roles, **how)  # type: ignore[arg-type]
    except TileError as raised:
        return raised.code
    return "right" if (c == expected).all() else "wrong"


@pytest.mark.parametrize(("mode", "roles"), SCHEDULES)
def test_a_gemm_of_a_producer_and_two_consumer_warpgroups(mode: str, roles: str) -> None:
    a, b, expected = operands(512, 512, 256)
    c = np.full_like(expected, np.nan)
    tile_interp.run(parse(GEMM), {"A": a, "B": b, "C": c}, mode=mode, roles=roles)  # type: ignore[arg-type]
    assert (c == expected).all()


FULL, EMPTY = "await full[k % 3], k // 3 % 2 of As, Bs\n", "await empty[k % 3], (k // 3 + 1) % 2 of As, Bs\n"
RELEASE, COMMIT = "arrive(by=warpgroups) empty[k % 3] of As, Bs\n", "async_commit(queue=product)\n"
STORED = "async_wait(pending=0, queue=store, sources)\n"
# What is changed, and the codes of which one must be raised; where "right" is among them, only some schedules show it.
MUTANTS: dict[str, tuple[list[tuple[str, str]], str]] = {
    "data is not waited for": ([(FULL, "")], "TD0803 TD0805"),
    "release is not waited for": ([(EMPTY, "")], "TD0805"),
    "no release": ([(RELEASE, "")], "TD0830"),
    "no arrival of the producer": ([("arrive(bytes=32768, by=one) full[k % 3]\n", "")], "TD0858"),
    "wrong parity of data": ([("k // 3 % 2 of", "(k // 3 + 1) % 2 of")], "TD0803 TD0830"),
    "the parity of data does not change": ([("k // 3 % 2 of", "0 of")], "TD0830"),
    "wrong parity of the release": ([("(k // 3 + 1) % 2", "k // 3 % 2")], "TD0830"),
    "the parity of the release does not change": ([("(k // 3 + 1) % 2", "1")], "TD0805 TD0830"),
    "too few bytes": ([("32768", "16384")], "TD0858"),
    "too many bytes": ([("32768", "32784")], "TD0830"),
    "one product too many in flight": ([("pending=0, queue=product", "pending=1, queue=product")], "TD0861 TD0862"),
    "released before the products were waited for": ([(RELEASE, ""), (COMMIT, RELEASE + COMMIT)], "TD0861 right"),
    "products are not committed": ([(COMMIT, "")], "TD0861"),
    "too few arrivals": ([("by=warpgroups", "by=one")], "TD0830"),
    "too many arrivals": ([("by=warpgroups", "by=warps")], "TD0841"),
    "the wrong version": ([("gemm As@(k % 3)", "gemm As@((k + 1) % 3)")], "TD0803 TD0805"),
    "the store is not waited for": ([(STORED, "")], "TD0853"),
    "the store is not committed": ([("async_commit(queue=store)\n", "")], "TD0853"),
    "the source of a store is overwritten": ([(STORED, f"fill Cs, 1.0\n{STORED}")], "TD0861"),
    "the last product is not waited for": (
        [("async_wait(pending=0, queue=product)", "if k < 7 {\nasync_wait(pending=0, queue=product)\n}")],
        "TD0862",
    ),
    "an operand is overwritten": ([(COMMIT, f"{COMMIT}fill As@(k % 3), 0.0\n")], "TD0861"),
    "the sums are changed": ([(COMMIT, f"{COMMIT}fill acc, 0.0\n")], "TD0862"),
}


@pytest.mark.parametrize("what", MUTANTS)
def test_mistakes_are_found(what: str) -> None:
    changes, allowed = MUTANTS[what]
    text = changed(GEMM, *ONE_BLOCK, *changes)
    found = {(mode, roles): gemm(text, mode, roles) for mode, roles in SCHEDULES}
    assert set(found.values()) <= set(allowed.split()), found
    assert found["late", "first"] != "right"


def test_sources_may_be_overwritten_after_a_wait_for_them() -> None:
    text = changed(GEMM, *ONE_BLOCK, (STORED, f"{STORED}fill Cs, 1.0\n"))
    assert {gemm(text, mode, roles) for mode, roles in SCHEDULES} == {"right"}


def test_without_checks_late_copies_show_as_wrong_results() -> None:
    text = changed(GEMM, *ONE_BLOCK, (FULL, ""))
    assert gemm(text, check=False) == "wrong"


def test_a_deadlock_names_each_role_and_its_barrier() -> None:
    a, b, c = operands(128, 128, 512)
    with pytest.raises(TileError) as caught:
        text = changed(GEMM, *ONE_BLOCK, ("by=warpgroups", "by=one"))
        tile_interp.run(parse(text), {"A": a, "B": b, "C": c})
    assert caught.value.code == "TD0830"
    assert "role 'producer' waits for parity 0 of empty[0] (phase 0, 1 of 2 arrivals" in caught.value.message
    assert "role 'consumer' waits for parity 1 of full[0] (phase 1, 1 of 1 arrivals and 0 bytes" in caught.value.message
    places = [span.line for _, span in caught.value.notes]
    lines = changed(GEMM, *ONE_BLOCK).splitlines()
    assert ["empty" in lines[places[0] - 1], "full" in lines[places[1] - 1]] == [True, True]


def one_block(
    body: str, tensors: str = "X: global float32[8, 64], Y: global float32[8, 64]", threads: int = 128
) -> str:
    return f"kernel k({tensors}) {{ launch k(b in 1) threads(t in {threads}) {{ {body} }} }}"


def run(body: str, mode: str = "late", x: Array | None = None, **how: Any) -> Array:
    """What is left in Y, which starts as -1."""
    given = np.arange(512, dtype=np.float32).reshape(8, 64) if x is None else x
    y = np.full_like(given, -1)
    tile_interp.run(parse(one_block(body)), {"X": given, "Y": y}, mode=mode, **how)  # type: ignore[arg-type]
    return y


def code_of(body: str, **how: Any) -> str:
    with pytest.raises(TileError) as caught:
        run(body, **how)
    return caught.value.code


TILES = "alloc S: shared float32[8, 64]\nalloc full: barrier uint64[1] = uint64(1)\n"
BRING = "arrive(bytes=2048, by=one) full[0]\nbulk copy X -> S on full[0]\n"


@pytest.mark.parametrize("mode", ["early", "late"])
def test_a_block_without_roles_waits_for_its_copies(mode: str) -> None:
    y = run(TILES + BRING + "await full[0], 0\ncopy S -> Y", mode)
    assert (y == np.arange(512).reshape(8, 64)).all()
    assert code_of(TILES + BRING + "copy S -> Y\nawait full[0], 0", mode=mode) == "TD0805"
    assert code_of(TILES + BRING + "await full[0], 1\ncopy S -> Y", mode=mode) == "TD0830"
    assert code_of(TILES + "arrive(bytes=2048, by=one) full[0]", mode=mode) == "TD0843"
    assert code_of(TILES + BRING, mode=mode) == "TD0808"


@pytest.mark.parametrize("mode", ["early", "late"])
def test_boxes_out_of_bounds_are_whole_and_filled_with_zeros(mode: str) -> None:
    corner = BRING.replace("X ->", "X[4 : 8, 32 : 64] ->")
    y = run(TILES + corner + "await full[0], 0\ncopy S -> Y", mode)
    assert (y[:4, :32] == np.arange(512).reshape(8, 64)[4:, 32:]).all()
    assert not y[4:].any() and not y[:, 32:].any()
    text = one_block(TILES + corner + "await full[0], 0").replace("{ alloc", "{ safe X = 1.0\n alloc", 1)
    with pytest.raises(TileError) as caught:
        tile_interp.run(parse(text), {"X": np.zeros((8, 64), np.float32), "Y": np.zeros((8, 64), np.float32)})
    assert caught.value.code == "TD0863"


@pytest.mark.parametrize("mode", ["early", "late"])
def test_bytes_that_are_expected_separately(mode: str) -> None:
    halves = "".join(f"bulk copy X[{i} : 4, 0 : 64] -> S[{i} : 4, 0 : 64] on full[0]\n" for i in (0, 4))
    y = run(
        TILES + "expect full[0], 1024 + 1024\narrive(by=one) full[0]\n" + halves + "await full[0], 0\ncopy S -> Y", mode
    )
    assert (y == np.arange(512).reshape(8, 64)).all()


@pytest.mark.parametrize("mode", ["early", "late"])
def test_a_store_that_combines_with_memory(mode: str) -> None:
    body = "alloc S: shared float32[8, 64]\nfill S, 5.0\nbulk atomic(add) S -> Y\nasync_commit(queue=store)\n"
    assert (run(body + "async_wait(pending=0, queue=store)", mode) == 4).all()


def test_copies_of_threads_that_a_barrier_tells_of() -> None:
    """cp.async and an arrival that happens when it has landed."""
    start = "alloc S: shared float32[8, 64]\nalloc full: barrier uint64[1] = uint64(128)\nasync copy X -> S\n"
    assert (run(start + "arrive(copies) full[0]\nawait full[0], 0\ncopy S -> Y") == np.arange(512).reshape(8, 64)).all()
    assert code_of(start + "arrive(copies) full[0]\ncopy S -> Y\nawait full[0], 0") == "TD0805"


def role(name: str, first: int, body: str) -> str:
    return f"role {name}(first={first}, threads=64) {name}t {{ {body} }}\n"


def roles(first: str, second: str) -> str:
    return f"roles {{ {role('p', 0, first)} {role('q', 64, second)} }}"


def test_what_a_role_knows_it_hands_on() -> None:
    """The second role learns of the copy from the first, which waited for it."""
    start = TILES + "alloc ready: barrier uint64[1] = uint64(64)\n"
    passing = roles(BRING + "await full[0], 0\narrive ready[0]", "await ready[0], 0\ncopy S -> Y")
    not_waiting = roles(BRING + "arrive ready[0]", "await ready[0], 0\ncopy S -> Y")
    for mode, order in SCHEDULES:
        assert (run(start + passing, mode, roles=order) == np.arange(512).reshape(8, 64)).all()
        assert code_of(start + not_waiting, mode=mode, roles=order) == "TD0805"


def test_who_waits_for_a_phase_may_not_miss_the_next_one() -> None:
    """A role that fills without waiting for the other one to have seen it: some schedules hang on a GPU."""
    fast = roles("await full[0], 0", "arrive(by=one) full[0]\narrive(by=one) full[0]")
    text = "alloc full: barrier uint64[1] = uint64(1)\n" + fast
    run(text, roles="first")
    assert code_of(text, roles="last") == "TD0830"
    found = set()
    for seed in range(20):
        try:
            run(text, roles="random", seed=seed)
        except TileError as raised:
            found.add(raised.code)
    assert found == {"TD0830", "TD0859"}


def test_threads_and_values_of_roles() -> None:
    """A role's thread counts from 0; what differs between the threads of the block is cut to the role's."""
    body = roles("Y[0, pt] = cast<float32>(u + pt)", "Y[1, qt] = cast<float32>(u + qt)")
    y = run("let u = t * 2\n" + body)
    assert (y[0] == np.arange(64) * 3).all() and (y[1] == np.arange(64, 128) * 2 + np.arange(64)).all()


def test_errors_inside_a_role_stop_the_others() -> None:
    body = roles("await full[0], 0", 'assert t < 100, "too many"')
    with pytest.raises(TileError) as caught:
        run("alloc full: barrier uint64[1] = uint64(1)\n" + body)
    assert caught.value.code == "TD0809" and "role 'q', thread 36" in caught.value.message


def test_orders_of_roles() -> None:
    with pytest.raises(ValueError, match="one of first, last, random"):
        run("barrier", roles="other")


SUMS = """alloc A: shared float32[64, 64]
alloc B: shared float32[64, 64]
alloc c: fragment float32[64, 64]
fill A, 1.0
fill B, 2.0
fill c, 5.0
"""
MULTIPLY, ENDED = "async gemm A, B, c\n", "async_commit(queue=product)\nasync_wait(pending=0, queue=product)\n"


@pytest.mark.parametrize("mode", ["early", "late"])
def test_products_add_to_the_same_sums_in_order(mode: str) -> None:
    show = "copy c[0 : 8, 0 : 64] -> Y"
    assert (run(SUMS + MULTIPLY * 2 + ENDED + show, mode) == 5 + 256).all()
    clears = "async gemm(clear) A, B, c\n"
    assert (run(SUMS + MULTIPLY + clears + MULTIPLY + ENDED + show, mode) == 256).all()
    first = MULTIPLY + "async_commit(queue=product)\n"
    one_left = "async_commit(queue=product)\nasync_wait(pending=1, queue=product)\n"
    assert code_of(SUMS + first + MULTIPLY + one_left + show, mode=mode) == "TD0862"
    assert code_of(SUMS + MULTIPLY, mode=mode) == "TD0852"


@pytest.mark.parametrize("mode", ["early", "late"])
def test_a_register_operand_may_not_change_before_the_wait(mode: str) -> None:
    start = SUMS + "alloc a: fragment float32[64, 64]\nfill a, 3.0\nasync gemm a, B, c\n"
    assert (run(start + ENDED + "fill a, 0.0\ncopy c[0 : 8, 0 : 64] -> Y", mode) == 5 + 64 * 6).all()
    assert code_of(start + "fill a, 0.0\n" + ENDED, mode=mode) == "TD0861"
    assert (run(start + "copy a[0 : 8, 0 : 64] -> Y\n" + ENDED, mode) == 3).all()


# ------------------------------------------------------------------------------------------------- the barrier itself


@given(st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3)), min_size=1, max_size=6), st.randoms())
def test_a_phase_ends_with_its_last_arrival_and_byte(phases: list[tuple[int, int]], random: Any) -> None:
    """Arrivals and copies in any order, as long as bytes are expected before they come."""
    count = 4
    b = Mbarrier("b")
    b.initialise(count, "")
    for number, (_, copies) in enumerate(phases):
        assert b.phase == number and not b.in_use
        b.expect(16 * copies)
        steps = ["arrive"] * count + ["deliver"] * copies
        random.shuffle(steps)
        for i, step in enumerate(steps):
            assert b.has_ended(1 - number % 2) and not b.has_ended(number % 2), (number, i)
            if step == "arrive":
                b.arrive(1, "")
            else:
                b.deliver(16, 0, None, "")
    assert b.phase == len(phases)


def test_a_barrier_that_is_misused() -> None:
    b = Mbarrier("b")
    with pytest.raises(TileError, match="TD0840"):
        b.require_initialised("a wait", "here")
    b.initialise(2, "here")
    with pytest.raises(TileError, match="TD0844"):
        b.initialise(2, "here")
    with pytest.raises(TileError, match="TD0841"):
        b.arrive(3, "here")
    with pytest.raises(TileError, match="TD0858"):
        b.deliver(16, 0, None, "here")
