"""The shadows of shared memory on their own: who may touch which bytes when; and the plan of the arena."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tiledsl.cpu.global_memory import GlobalMemory
from tiledsl.cpu.memory import Lanes, SharedMemory, plan
from tiledsl.errors import TileError
from tiledsl.ir.dtypes import FLOAT16, FLOAT32, INT4, DType
from tiledsl.ir.nodes import Barrier, Buffer, Const, Launch, SharedSlot, Space, Var

HERE = Barrier()  # any statement: only its span is of interest


def shared(name: str, n: int, dtype: DType = FLOAT32, versions: int = 1) -> Buffer:
    return Buffer(name, (n,), dtype, Space.SHARED, versions=versions)


def launch(*slots: SharedSlot, size: int = 0) -> Launch:
    return Launch("k", (Const(1),), (Var("b"),), (64,), Var("t"), (), shared=slots, shared_bytes=size)


def memory(*buffers: Buffer, blocks: int = 1, slots: tuple[SharedSlot, ...] = (), races: bool = True) -> SharedMemory:
    return SharedMemory(launch(*slots), list(buffers), blocks, True, races, lambda b, t: f"block {b}, thread {t}")


def lanes(*threads: int, block: int = 0) -> Lanes:
    return Lanes(np.full(len(threads), block), np.array(threads))


def at(*offsets: int) -> Any:
    return np.array(offsets)


def code(action: Callable[[], object]) -> str:
    try:
        action()
    except TileError as raised:
        return raised.code
    return "none"


A = shared("a", 16)


def written(by: int = 0) -> SharedMemory:
    m = memory(A)
    m.record_write(lanes(by), A, at(0), 16, HERE)
    return m


def test_a_thread_never_races_with_itself() -> None:
    m = written()
    m.record_read(lanes(0), A, at(3), 1, HERE)
    m.record_write(lanes(0), A, at(3), 1, HERE)


@pytest.mark.parametrize("second", ["read", "write", "atomic", "issue"])
@pytest.mark.parametrize("barrier", [False, True])
def test_every_access_after_another_threads_store(second: str, barrier: bool) -> None:
    m = written()
    if barrier:
        m.barrier(np.ones(1, bool), None)
    actions = {
        "read": lambda: m.record_read(lanes(1), A, at(5), 2, HERE),
        "write": lambda: m.record_write(lanes(1), A, at(5), 2, HERE),
        "atomic": lambda: m.record_atomic(lanes(1), A, at(5), HERE),
        "issue": lambda: m.record_issue(lanes(1), A, at(4), 4, HERE),
    }
    assert code(actions[second]) == ("none" if barrier else "TD0804")


@pytest.mark.parametrize("readers", [(1,), (1, 2), (2, 1), (1, 2, 3)])
def test_a_store_after_loads_of_other_threads(readers: tuple[int, ...]) -> None:
    """Several readers of one cell, in one access or in turn, are remembered as several."""
    for together in (True, False):
        m = written()
        m.barrier(np.ones(1, bool), None)
        if together:
            m.record_read(lanes(*readers), A, at(*[0] * len(readers)), 1, HERE)
        else:
            for r in readers:
                m.record_read(lanes(r), A, at(0), 1, HERE)
        assert code(lambda: m.record_write(lanes(readers[-1]), A, at(0), 1, HERE)) == (  # noqa: B023
            "TD0804" if len(readers) > 1 else "none"
        )
        assert code(lambda: m.record_write(lanes(9), A, at(0), 1, HERE)) == "TD0804"  # noqa: B023
        assert code(lambda: m.record_write(lanes(9), A, at(8), 1, HERE)) == "none"  # noqa: B023


def test_blocks_have_their_own_memory() -> None:
    m = memory(A, blocks=2)
    m.record_write(lanes(0, block=0), A, at(0), 1, HERE)
    m.record_write(lanes(1, block=1), A, at(0), 1, HERE)
    m.barrier(np.array([True, False]), None)
    m.record_read(lanes(5, block=0), A, at(0), 1, HERE)
    assert code(lambda: m.record_read(lanes(5, block=1), A, at(0), 1, HERE)) == "TD0804"


def test_lanes_of_one_store_that_meet_are_returned() -> None:
    m = memory(A)
    assert m.record_write(lanes(0, 1, 2), A, at(0, 0, 1), 1, HERE).tolist() == [True, False, False]
    assert not m.record_write(lanes(4, 5), A, at(8, 9), 1, HERE).any()


def test_atomics_are_free_among_themselves_only() -> None:
    m = written(by=0)
    m.barrier(np.ones(1, bool), None)
    m.record_atomic(lanes(1), A, at(0), HERE)
    m.record_read(lanes(1), A, at(0), 1, HERE)
    m.barrier(np.ones(1, bool), None)
    m.record_atomic(lanes(1, 2), A, at(0, 0), HERE)
    m.record_atomic(lanes(3), A, at(0), HERE)
    assert code(lambda: m.record_read(lanes(1), A, at(0), 1, HERE)) == "TD0804"
    m.record_read(lanes(1), A, at(1), 1, HERE)
    assert code(lambda: m.record_atomic(lanes(2), A, at(1), HERE)) == "TD0804"


def test_asynchronous_copies_are_off_limits_until_landed() -> None:
    m = memory(A)
    m.record_issue(lanes(0, 1), A, at(0, 4), 4, HERE)
    for thread in (0, 1):
        assert code(lambda t=thread: m.record_read(lanes(t), A, at(3), 1, HERE)) == "TD0805"  # type: ignore[misc]
        assert code(lambda t=thread: m.record_write(lanes(t), A, at(3), 1, HERE)) == "TD0805"  # type: ignore[misc]
    m.barrier(np.ones(1, bool), None)
    assert code(lambda: m.record_read(lanes(0), A, at(0), 1, HERE)) == "TD0805"
    m.record_landing(lanes(0, 1), A, at(0, 4), 4)
    m.record_read(lanes(0), A, at(0), 4, HERE)
    assert code(lambda: m.record_read(lanes(0), A, at(4), 4, HERE)) == "TD0804"
    m.barrier(np.ones(1, bool), None)
    m.record_read(lanes(0), A, at(4), 4, HERE)


def test_two_copies_into_the_same_bytes() -> None:
    assert code(lambda: memory(A).record_issue(lanes(0, 1), A, at(0, 2), 4, HERE)) == "TD0804"


def test_the_granule_is_as_fine_as_the_smallest_access() -> None:
    b = shared("b", 16, FLOAT16)
    m = memory(A, b)
    assert m.granule == 2
    m.record_write(lanes(0, 1), b, at(0, 1), 1, HERE)
    m.record_read(lanes(0), b, at(0), 1, HERE)
    assert code(lambda: m.record_read(lanes(0), b, at(0), 2, HERE)) == "TD0804"


def test_the_place_names_element_and_version() -> None:
    v = shared("v", 8, versions=3)
    m = memory(A, v)
    with pytest.raises(TileError, match=r"'v\[5\], version 2' is read before"):
        m.record_read(lanes(0), v, at(21), 1, HERE)


def test_without_races_everything_else_is_still_reported() -> None:
    m = memory(A, races=False)
    m.record_write(lanes(0), A, at(0), 1, HERE)
    m.record_read(lanes(1), A, at(0), 1, HERE)
    m.record_write(lanes(2), A, at(0), 1, HERE)
    assert code(lambda: m.record_read(lanes(1), A, at(1), 1, HERE)) == "TD0803"
    m.record_issue(lanes(0), A, at(4), 4, HERE)
    assert code(lambda: m.record_read(lanes(0), A, at(4), 1, HERE)) == "TD0805"


def test_plans() -> None:
    a, b, c = shared("a", 4), shared("b", 4, FLOAT16), shared("c", 8, INT4)
    slots, size = plan(launch(SharedSlot(a, 64), SharedSlot(b, 0), size=80), [a, b])
    assert (slots[a].base, slots[b].base, size) == (64, 0, 80)
    slots, size = plan(launch(), [a, b])
    assert slots[b].base >= 16 and slots[b].base % 128 == 0 and size >= slots[b].base + 8
    slots, _ = plan(launch(SharedSlot(a, 0), SharedSlot(c, 0), size=16), [a, c])
    assert slots[c].base >= 16  # 4-bit elements take a byte each here, so the plan does not fit


def test_global_memory_knows_other_blocks_and_undefined_elements() -> None:
    y = Buffer("y", (4,), FLOAT32)
    g = GlobalMemory(y, np.zeros(4, np.float32), False, True)
    first, second = np.array([0]), np.array([1])
    g.record_write((at(0),), first)
    assert code(lambda: g.record_read((at(1),), first, str)) == "TD0803"
    assert code(lambda: g.record_read((at(0),), second, str)) == "TD0814"
    g.record_read((at(0),), first, str)
    assert code(lambda: g.record_write((at(0),), second)) == "TD0814"
    g.record_write((at(2, 2),), np.array([0, 1]), atomic=True)
    assert code(lambda: g.record_write((at(3, 3),), np.array([0, 1]))) == "TD0814"
    g.forget()
    g.record_write((at(0),), second)
