"""Barriers in shared memory: phases, counts and bytes, copies that arrive, and every misuse by its finding."""

from __future__ import annotations

import numpy as np
import pytest
from hopper_helpers import MODES, SCHEDULES, aligned, codes, compiled_for_sm_90a, findings_of

pytestmark = pytest.mark.cxx

# A ring of two slots between a warp that produces and one that consumes; `rounds` numbers go through it.
RING = """
TDS_KERNEL(64, 1) k(const tds::u32* in, tds::u32* out, int rounds) {
  const tds::u32 slots = tds::shared_base(), full = slots + 1024, empty = full + 16;
  const int t = tds::thread_index();
  if (t == 0) {
    for (int s = 0; s < 2; ++s) {
      tds::mbarrier_init(full + 8 * s, 32);
      tds::mbarrier_init(empty + 8 * s, 32);
    }
  }
  tds::barrier();
  for (int i = 0; i < rounds; ++i) {
    const int s = i % 2, parity = i / 2 & 1;
    const tds::u32 slot = slots + s * 128 + t % 32 * 4;
    if (t < 32) {
      tds::mbarrier_wait(empty + 8 * s, parity ^ 1);
      tds::store_shared<tds::u32>(slot, tds::load(in + 32 * i + t));
      tds::mbarrier_arrive(full + 8 * s);
    } else {
      tds::mbarrier_wait(full + 8 * s, parity);
      tds::store(out + 32 * i + (31 - t % 32), tds::load_shared<tds::u32>(slots + s * 128 + (31 - t % 32) * 4));
      tds::mbarrier_arrive(empty + 8 * s);
    }
  }
}
TDS_EXPORT(k)
"""
ROUNDS = 7


def through_the_ring(text: str = RING, **how: object) -> tuple[set[str], bool]:
    source, out = aligned((32 * ROUNDS,), np.uint32), aligned((32 * ROUNDS,), np.uint32)
    source[:] = np.arange(source.size) + 5
    found = findings_of(text, [source, out, np.int32(ROUNDS)], threads=64, **how)  # type: ignore[arg-type]
    return codes(found), bool(np.array_equal(source, out))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("seed", range(5))
def test_a_ring_carries_numbers_under_every_schedule(schedule: str, seed: int) -> None:
    assert through_the_ring(schedule=schedule, seed=seed) == (set(), True)


def loop(call: str) -> str:
    return f"while (!tds::{call}) tds::nanosleep(20);"


@pytest.mark.parametrize("test", ["mbarrier_try_wait", "mbarrier_test_wait"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_waits_may_be_loops(test: str, schedule: str) -> None:
    text = RING.replace("tds::mbarrier_wait(full + 8 * s, parity);", loop(f"{test}(full + 8 * s, parity)"))
    text = text.replace("tds::mbarrier_wait(empty + 8 * s, parity ^ 1);", loop(f"{test}(empty + 8 * s, parity ^ 1)"))
    assert text.count(test) == 2
    assert through_the_ring(text, schedule=schedule) == (set(), True)
    stuck = text.replace(f"{test}(full + 8 * s, parity)", f"{test}(full + 8 * s, parity ^ 1)")
    assert through_the_ring(stuck, schedule=schedule)[0] & {"TD0830", "TD0804", "TD0803", "TD0841"}


def test_arrivals_may_count_for_several() -> None:
    text = RING.replace(
        "tds::mbarrier_arrive(full + 8 * s);",
        "tds::warp_sync(~0u); if (t == 0) tds::mbarrier_arrive(full + 8 * s, 32);",
    )
    assert through_the_ring(text) == (set(), True)


MUTANTS = {
    "no wait for full": ("tds::mbarrier_wait(full + 8 * s, parity);", "", {"TD0803", "TD0804", "TD0841"}),
    "no wait for empty": ("tds::mbarrier_wait(empty + 8 * s, parity ^ 1);", "", {"TD0804", "TD0830", "TD0841"}),
    "wrong parity of full": (
        "(full + 8 * s, parity)",
        "(full + 8 * s, parity ^ 1)",
        {"TD0803", "TD0804", "TD0830", "TD0841"},
    ),
    "wrong parity of empty": ("parity ^ 1)", "parity)", {"TD0830"}),
    "count too small": ("init(full + 8 * s, 32)", "init(full + 8 * s, 16)", {"TD0803", "TD0804", "TD0830", "TD0841"}),
    "count too large": ("init(full + 8 * s, 32)", "init(full + 8 * s, 33)", {"TD0830"}),
    "no arrival": ("tds::mbarrier_arrive(full + 8 * s);", "", {"TD0830"}),
    "arrival of some": (
        "tds::mbarrier_arrive(empty + 8 * s);",
        "if (t & 1) tds::mbarrier_arrive(empty + 8 * s);",
        {"TD0830"},
    ),
    "arrival before the write": (
        "tds::store_shared<tds::u32>(slot, tds::load(in + 32 * i + t));\n      tds::mbarrier_arrive(full + 8 * s);",
        "tds::mbarrier_arrive(full + 8 * s);\n      tds::store_shared<tds::u32>(slot, tds::load(in + 32 * i + t));",
        {"TD0803", "TD0804"},
    ),
    "no barrier after init": ("  tds::barrier();\n", "", {"TD0840", "TD0845"}),
    "other barrier": (
        "tds::mbarrier_arrive(full + 8 * s);",
        "tds::mbarrier_arrive(full + 8 * (s ^ 1));",
        {"TD0830", "TD0841"},
    ),
    "never initialised": ("tds::mbarrier_init(empty + 8 * s, 32);", "", {"TD0840"}),
    "init twice": (
        "    }\n  }\n  tds::barrier();",
        "    }\n    tds::mbarrier_init(full, 32);\n  }\n  tds::barrier();",
        {"TD0844"},
    ),
    "init with nobody": ("init(full + 8 * s, 32)", "init(full + 8 * s, 0)", {"TD0848"}),
    "not aligned": ("full = slots + 1024", "full = slots + 1028", {"TD0806"}),
    "overwritten": ("slots + s * 128 + t % 32 * 4", "slots + 1024 + s * 128 + t % 32 * 4", {"TD0845", "TD0804"}),
    "bytes that never come": (
        "tds::mbarrier_arrive(full + 8 * s);",
        "if (i == rounds - 1 && t == 0) tds::mbarrier_expect_tx(full + 8 * s, 16); tds::mbarrier_arrive(full + 8 * s);",
        {"TD0830"},
    ),
    "too many bytes": (
        "tds::mbarrier_arrive(full + 8 * s);",
        "tds::mbarrier_expect_tx(full + 8 * s, 1 << 20); tds::mbarrier_arrive(full + 8 * s);",
        {"TD0842"},
    ),
    "left in use": (
        "tds::mbarrier_arrive(empty + 8 * s);",
        "if (i < rounds - 2 || t & 1) tds::mbarrier_arrive(empty + 8 * s);",
        {"TD0843"},
    ),
    "arrivals too many": (
        "tds::mbarrier_arrive(empty + 8 * s);",
        "tds::mbarrier_arrive(empty + 8 * s, 20);",
        {"TD0841"},
    ),
    "used after inval": (
        "  for (int i = 0; i < rounds",
        "  if (t == 0) tds::mbarrier_inval(full);\n  tds::barrier();\n  for (int i = 0; i < rounds",
        {"TD0840"},
    ),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_every_mutant_of_the_ring_is_found_in_every_mode(name: str) -> None:
    old, new, expected = MUTANTS[name]
    assert RING.count(old) == 1
    text = RING.replace(old, new)
    for mode, schedule in (("early", "fifo"), ("late", "reverse"), ("random", "random")):
        found, _ = through_the_ring(text, mode=mode, schedule=schedule)
        assert found & expected, (mode, schedule, found)


def test_a_deadlock_says_who_waits_for_what() -> None:
    text = RING.replace("init(full + 8 * s, 32)", "init(full + 8 * s, 33)")
    source = aligned((32 * ROUNDS,), np.uint32)
    shared = [("slots", 0, 256, 128, 4), ("full", 1024, 16, 8, 8), ("empty", 1040, 16, 8, 8)]
    found = findings_of(text, [source, source.copy(), np.int32(ROUNDS)], threads=64, shared=shared)
    message = found[0].error().message
    assert "threads 32-63 wait for parity 0 of the mbarrier full[stage 0] in line 22" in message
    assert "phase 0, 1 of 33 arrivals and 0 bytes missing" in message
    assert "threads 0-31 wait for parity 0 of the mbarrier empty[stage 0] in line 18" in message


def test_a_barrier_may_begin_a_second_life() -> None:
    text = RING.replace(
        "  for (int i = 0; i < rounds",
        "  if (t == 0) {\n    tds::mbarrier_arrive(full, 32);\n    tds::mbarrier_inval(full);\n"
        "    tds::mbarrier_init(full, 32);\n  }\n  tds::barrier();\n  for (int i = 0; i < rounds",
    )
    assert through_the_ring(text) == (set(), True)


# ---- copies that arrive

COPIES = """
TDS_KERNEL(64, 1) k(const tds::u32* in, tds::u32* out, int rounds) {
  const tds::u32 slots = tds::shared_base(), full = slots + 1024;
  const int t = tds::thread_index();
  if (t == 0)
    for (int s = 0; s < 7; ++s) tds::mbarrier_init(full + 8 * s, COUNT);
  tds::barrier();
  if (t < 32) {
    for (int i = 0; i < rounds; ++i) {
      tds::cp_async_4(slots + i * 128 + t * 4, in + 32 * i + t, true);
      ARRIVE
    }
  } else {
    for (int i = 0; i < rounds; ++i) {
      tds::mbarrier_wait(full + 8 * i, 0);
      tds::store(out + 32 * i + (31 - t % 32), tds::load_shared<tds::u32>(slots + i * 128 + (31 - t % 32) * 4));
    }
  }
}
TDS_EXPORT(k)
"""


@pytest.mark.parametrize("mode", MODES)
def test_copies_of_threads_arrive_when_they_are_complete(mode: str) -> None:
    """Counted at the initialisation (noinc), or beside an arrival that is."""
    noinc = COPIES.replace("COUNT", "32").replace("ARRIVE", "tds::cp_async_mbarrier_arrive_noinc(full + 8 * i);")
    beside = "tds::cp_async_mbarrier_arrive(full + 8 * i); tds::mbarrier_arrive(full + 8 * i);"
    assert through_the_ring(noinc, mode=mode) == (set(), True)
    assert through_the_ring(COPIES.replace("COUNT", "32").replace("ARRIVE", beside), mode=mode) == (set(), True)


@pytest.mark.parametrize("mode", MODES)
def test_copies_that_nobody_waits_for_are_found(mode: str) -> None:
    early = COPIES.replace("COUNT", "32").replace("ARRIVE", "tds::mbarrier_arrive(full + 8 * i);")
    assert through_the_ring(early, mode=mode)[0] & {"TD0805", "TD0808"}
    fewer = COPIES.replace("COUNT", "16").replace("ARRIVE", "tds::cp_async_mbarrier_arrive_noinc(full + 8 * i);")
    assert through_the_ring(fewer, mode=mode)[0] & {"TD0804", "TD0805", "TD0830"}
    text = COPIES.replace("COUNT", "32").replace("ARRIVE", "tds::cp_async_mbarrier_arrive_noinc(full + 8 * i);")
    unwaited = text.replace("tds::mbarrier_wait(full + 8 * i, 0);", "")
    assert through_the_ring(unwaited, mode=mode)[0] & {"TD0803", "TD0804", "TD0805"}


@pytest.mark.parametrize(
    "text", [RING, COPIES.replace("COUNT", "32").replace("ARRIVE", "tds::cp_async_mbarrier_arrive(full);")]
)
def test_the_same_texts_compile_for_sm_90a(text: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    assert compiled_for_sm_90a(text).cubin
