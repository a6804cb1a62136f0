"""Clusters, flags between blocks, some lanes of a warp, registers of warps: what blocks of sm_90a do together."""

from __future__ import annotations

import numpy as np
import pytest
from hopper_helpers import MODES, SCHEDULES, aligned, codes, compiled_for_sm_90a, findings_of, mapped

pytestmark = pytest.mark.cxx


def kernel(body: str, threads: int = 32, parameters: str = "const tds::u32* in, tds::u32* out") -> str:
    return f"""
TDS_KERNEL({threads}, 1) k({parameters}) {{
  const tds::u32 shared = tds::shared_base();
  const int t = tds::thread_index();
{body}
}}
TDS_EXPORT(k)
"""


# ------------------------------------------------------------------------------------------------------ clusters

NEIGHBOURS = kernel("""
  const tds::u32 rank = tds::cluster_rank(), size = tds::cluster_size();
  tds::store_shared<tds::u32>(shared + 4 * t, 100 * tds::block_x() + t);
  if (t < 2) tds::store_shared<tds::u32>(shared + 1024 + 4 * t, 0u);
  tds::cluster_sync();
  const tds::u32 there = tds::cluster_map(shared, (rank + 1) % size);
  const tds::u32 value = tds::load_cluster<tds::u32>(there + 4 * t);
  tds::atomic_add_cluster(there + 1024, 1u);
  if (t == 0) tds::store_cluster<tds::u32>(there + 1028, rank + 50);
  tds::cluster_arrive();
  tds::cluster_wait();
  tds::store(out + 32 * tds::block_x() + t, value + 1000 * tds::load_shared<tds::u32>(shared + 1024) +
                                              100000 * tds::load_shared<tds::u32>(shared + 1028));
""")


def neighbours(text: str = NEIGHBOURS, blocks: int = 8, size: int = 4, **how: object) -> tuple[set[str], bool]:
    out = aligned((32 * blocks,), np.uint32)
    found = findings_of(text, [out.copy(), out], grid=(blocks,), cluster=(size,), **how)  # type: ignore[arg-type]
    block = np.arange(blocks)
    after, before = block // size * size + (block + 1) % size, (block % size + size - 1) % size
    expected = 100 * after[:, None] + np.arange(32) + 32000 + 100000 * (before + 50)[:, None]
    return codes(found), bool(np.array_equal(out.reshape(blocks, 32), expected))


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("size", [1, 2, 4])
def test_blocks_of_a_cluster_reach_each_other(schedule: str, size: int) -> None:
    assert neighbours(size=size, schedule=schedule, seed=size) == (set(), True)


CLUSTER_MUTANTS = {
    "no first barrier": ("tds::cluster_sync();", "", {"TD0803", "TD0804"}),
    "only a barrier of the block": ("tds::cluster_sync();", "tds::barrier();", {"TD0803", "TD0804"}),
    "relaxed": ("tds::cluster_sync();", "tds::cluster_arrive_relaxed(); tds::cluster_wait();", {"TD0804"}),
    "no last barrier": ("tds::cluster_arrive();\n  tds::cluster_wait();", "", {"TD0804", "TD0857"}),
    "no wait": ("tds::cluster_wait();", "", {"TD0804", "TD0857"}),
    "wait without arrival": ("tds::cluster_arrive();\n", "", {"TD0856"}),
    "arrival twice": ("tds::cluster_arrive();", "tds::cluster_arrive(); tds::cluster_arrive();", {"TD0856"}),
    "some stay away": ("tds::cluster_arrive();\n  tds::cluster_wait();", "if (t) tds::cluster_sync();", {"TD0830"}),
    "no such rank": ("(rank + 1) % size", "rank + 4", {"TD0857"}),
    "out of bounds": ("there + 4 * t", "there + 4096 + 4 * t", {"TD0802"}),
}


@pytest.mark.parametrize("name", CLUSTER_MUTANTS)
def test_every_mutant_of_a_cluster_is_found(name: str) -> None:
    old, new, expected = CLUSTER_MUTANTS[name]
    assert NEIGHBOURS.count(old) == 1
    for schedule in SCHEDULES:
        found, _ = neighbours(NEIGHBOURS.replace(old, new), schedule=schedule)
        assert found & expected, (schedule, found)


MULTICAST = """
TDS_KERNEL(64, 1) k(TDS_TENSOR_MAP map, tds::u32* out) {
  const tds::u32 shared = tds::shared_base(), full = shared + 2048, empty = full + 8;
  const int t = tds::thread_index();
  const tds::u32 rank = tds::cluster_rank();
  if (t == 0) {
    tds::mbarrier_init(full, 1);
    tds::mbarrier_init(empty, 2);
    tds::fence_mbarrier_init();
  }
  tds::cluster_sync();
  for (int round = 0; round < 3; ++round) {
    if (t == 0) {
      tds::mbarrier_wait_cluster(empty, (round & 1) ^ 1);
      tds::mbarrier_arrive_expect_tx(full, 2048);
      tds::tma_load_multicast(shared + rank * 1024, map, full, 3, 0, round * 16 + rank * 8);
    }
    tds::mbarrier_wait(full, round & 1);
    for (int i = t; i < 512; i += 64)
      tds::store(out + (round * 2 + tds::block_x()) * 512 + i, tds::load_shared<tds::u32>(shared + 4 * i));
    tds::barrier();
    if (t < 2) tds::mbarrier_arrive_cluster(tds::cluster_map(empty, t), 1);
  }
  tds::cluster_sync();
}
TDS_EXPORT(k)
"""


def multicast(text: str = MULTICAST, **how: object) -> tuple[set[str], bool]:
    source = aligned((48, 32), np.uint32)
    source[...] = np.arange(source.size).reshape(source.shape)
    out = aligned((3, 2, 512), np.uint32)
    map_ = mapped("source", source, (8, 32))
    arguments = [map_, out.reshape(-1)]
    found = findings_of(text, arguments, threads=64, grid=(2,), cluster=(2,), **how)  # type: ignore[arg-type]
    rows = source.reshape(3, 512)
    return codes(found), bool(np.array_equal(out, np.stack([rows, rows], axis=1)))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_each_block_loads_half_for_both(mode: str, schedule: str) -> None:
    assert multicast(mode=mode, schedule=schedule, seed=4) == (set(), True)


MULTICAST_MUTANTS = {
    "no wait for the other block": (
        "      tds::mbarrier_wait_cluster(empty, (round & 1) ^ 1);\n",
        "",
        {"TD0804", "TD0816", "TD0830", "TD0841"},
    ),
    "own arrival only": ("tds::cluster_map(empty, t)", "empty", {"TD0804", "TD0816"}),
    "half the bytes": (
        "arrive_expect_tx(full, 2048)",
        "arrive_expect_tx(full, 1024)",
        {"TD0816", "TD0803", "TD0830", "TD0843"},
    ),
    "no fence": ("    tds::fence_mbarrier_init();\n", "", {"TD0846"}),
    "no cluster barrier after init": (
        "  tds::cluster_sync();\n  for",
        "  tds::barrier();\n  for",
        {"TD0840", "TD0845"},
    ),
    "no arrival": ("    if (t < 2) tds::mbarrier_arrive_cluster(tds::cluster_map(empty, t), 1);\n", "", {"TD0830"}),
    "ranks of nobody": ("full, 3, 0", "full, 5, 0", {"TD0857"}),
}


@pytest.mark.parametrize("name", MULTICAST_MUTANTS)
def test_every_mutant_of_multicast_is_found(name: str) -> None:
    old, new, expected = MULTICAST_MUTANTS[name]
    assert MULTICAST.count(old) == 1
    for mode, schedule in (("early", "fifo"), ("late", "reverse"), ("random", "random")):
        found, _ = multicast(MULTICAST.replace(old, new), mode=mode, schedule=schedule)
        assert found & expected, (mode, schedule, found)


SENDER = kernel("""
  const tds::u32 bar = shared + 2048, rank = tds::cluster_rank();
  if (t == 0) {
    tds::mbarrier_init(bar, 1);
    tds::fence_mbarrier_init();
    tds::mbarrier_arrive_expect_tx(bar, 128);
  }
  tds::store_shared<tds::u32>(shared + 4 * t, 10 * rank + t);
  tds::fence_proxy_async();
  tds::cluster_sync();
  if (t == 0)
    tds::bulk_copy_cluster(tds::cluster_map(shared + 512, rank ^ 1), shared, 128, tds::cluster_map(bar, rank ^ 1));
  tds::mbarrier_wait(bar, 0);
  tds::store(out + 32 * tds::block_x() + t, tds::load_shared<tds::u32>(shared + 512 + 4 * t));
  tds::cluster_sync();
""")


@pytest.mark.parametrize("mode", MODES)
def test_bytes_are_copied_to_another_block(mode: str) -> None:
    out = aligned((64,), np.uint32)
    assert not findings_of(SENDER, [out.copy(), out], grid=(2,), cluster=(2,), mode=mode)
    np.testing.assert_array_equal(out.reshape(2, 32), np.arange(32) + np.array([[10], [0]]))
    unfenced = SENDER.replace("tds::fence_proxy_async();", "")
    assert "TD0815" in codes(findings_of(unfenced, [out.copy(), out], grid=(2,), cluster=(2,), mode=mode))
    unwaited = SENDER.replace("tds::mbarrier_wait(bar, 0);", "")
    assert codes(findings_of(unwaited, [out.copy(), out], grid=(2,), cluster=(2,), mode=mode)) & {"TD0803", "TD0816"}


SENDER_MUTANTS = {
    "source written before the wait": (
        "  tds::mbarrier_wait(bar, 0);\n",
        "  tds::store_shared<tds::u32>(shared + 4 * t, 7u);\n  tds::mbarrier_wait(bar, 0);\n", {"TD0819"},
    ),
    "source written when the own tile has come": (
        "  tds::store(out", "  tds::store_shared<tds::u32>(shared + 4 * t, 7u);\n  tds::store(out", {"TD0819"},
    ),
    "half of the bytes": ("expect_tx(bar, 128)", "expect_tx(bar, 64)", {"TD0803", "TD0816", "TD0843", "TD0830"}),
    "nobody expects": ("    tds::mbarrier_arrive_expect_tx(bar, 128);\n", "", {"TD0830", "TD0843"}),
    "sends half": ("shared, 128, tds", "shared, 64, tds", {"TD0830", "TD0843"}),
    "sends to itself": ("(shared + 512, rank ^ 1)", "(shared + 512, rank)", {"TD0803", "TD0816"}),
    "the end without the others": (
        "+ 4 * t));\n  tds::cluster_sync();", "+ 4 * t));", {"TD0857"},
    ),
    "a source that is not aligned": ("rank ^ 1), shared, 128", "rank ^ 1), shared + 8, 128", {"TD0806"}),
    "no such block": ("tds::cluster_map(bar, rank ^ 1)", "tds::cluster_map(bar, rank + 2)", {"TD0857"}),
}  # fmt: skip


@pytest.mark.parametrize("name", SENDER_MUTANTS)
@pytest.mark.parametrize("mode", MODES)
def test_every_mutant_of_a_sender_is_found(name: str, mode: str) -> None:
    old, new, expected = SENDER_MUTANTS[name]
    assert SENDER.count(old) == 1
    out = aligned((64,), np.uint32)
    found = codes(findings_of(SENDER.replace(old, new), [out.copy(), out], grid=(2,), cluster=(2,), mode=mode))
    assert found & expected, found


def test_a_source_that_is_free_again_may_be_written() -> None:
    """Behind a barrier of the cluster, as whoever got the tile has waited for it then."""
    met = SENDER.replace(
        "  tds::store(out",
        "  tds::cluster_sync();\n  tds::store_shared<tds::u32>(shared + 4 * t, 7u);\n  tds::store(out",
    )
    out = aligned((64,), np.uint32)
    for mode in MODES:
        assert not findings_of(met, [out.copy(), out], grid=(2,), cluster=(2,), mode=mode)


# ---------------------------------------------------------------------------------------- flags between blocks

FLAGS = kernel("""
  const int b = tds::block_x();
  tds::store(out + 32 * b + t, tds::load(in + 32 * b + t) + 1);
  tds::barrier();
  if (t == 0) tds::store_release<tds::u32>(out + 256 + b, 1u);
  if (b > 0) {
    if (t == 0)
      while (tds::load_acquire<tds::u32>(out + 256 + b - 1) != 1u) tds::nanosleep(10);
    tds::barrier();
    tds::store(out + 128 + 32 * b + t, tds::load(out + 32 * (b - 1) + t));
  }
""")


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_flags_at_gpu_scope_order_blocks(schedule: str) -> None:
    source, out = aligned((128,), np.uint32), aligned((264,), np.uint32)
    source[:] = np.arange(128)
    assert not findings_of(FLAGS, [source, out], grid=(4,), schedule=schedule)
    np.testing.assert_array_equal(out[160:256], source[:96] + 1)
    relaxed = FLAGS.replace("tds::load_acquire<tds::u32>(", "tds::atomic_load<tds::u32>(")
    assert codes(findings_of(relaxed, [source, out * 0], grid=(4,), schedule=schedule)) & {"TD0804", "TD0814"}
    unordered = FLAGS.replace("  tds::barrier();\n  if (t == 0) tds::store_release", "  if (t == 0) tds::store_release")
    assert codes(findings_of(unordered, [source, out * 0], grid=(4,), schedule=schedule)) & {"TD0804", "TD0814"}


# ------------------------------------------------------------------------------------------- some lanes of a warp

LANES = kernel("""
  const tds::u32 low = 0x0000ffffu, high = 0xffff0000u, half = t < 16 ? low : high;
  tds::u32 x = 7 * t;
  if (t < 16)
    x = x + tds::shfl_xor_among(low, x, 3);
  else
    x = x + tds::shfl_xor_among(high, x, 5);
  x = x + 1000 * tds::shfl_up_among(half, (tds::u32)t, t % 16 == 0 ? 0 : 1);
  x = x + 100000 * tds::shfl_idx_among(half, (tds::u32)t, t < 16 ? 2 : 18);
  x = x + 10000000 * (tds::warp_any_among(half, t == 20) ? 1 : 0);
  x = x + 20000000 * (tds::warp_all_among(half, t < 20) ? 1 : 0);
  tds::store(out + t, x);
  tds::store(out + 32 + t, tds::ballot_among(half, t % 3 == 0) + tds::shfl_down_among(half, 1u, 0));
  tds::store(out + 64 + t, tds::elect_one() ? 1u : 0u);
  tds::store_shared<tds::u32>(shared + 4 * t, 3u * t);
  tds::warp_sync(half);
  tds::store(out + 96 + t, tds::load_shared<tds::u32>(shared + 4 * (t ^ 1)));
""")


def test_halves_of_a_warp_exchange_for_themselves() -> None:
    for schedule in SCHEDULES:
        out = aligned((128,), np.uint32)
        assert not findings_of(LANES, [out.copy(), out], schedule=schedule)
        t = np.arange(32)
        x = 7 * t + 7 * np.where(t < 16, t ^ 3, t ^ 5) + 1000 * np.where(t % 16 == 0, t, t - 1)
        x = x + 100000 * np.where(t < 16, 2, 18) + np.where(t < 16, 20000000, 10000000)
        np.testing.assert_array_equal(out[:32], x)
        bits = (t % 3 == 0).astype(np.int64) << t
        np.testing.assert_array_equal(out[32:64], np.where(t < 16, bits[:16].sum(), bits[16:].sum()) + 1)
        np.testing.assert_array_equal(out[64:96], t == 0)
        np.testing.assert_array_equal(out[96:], 3 * (t ^ 1))


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("shfl_xor_among(low, x, 3)", "shfl_xor_among(low, x, 16)", "TD0832"),
        ("shfl_xor_among(low, x, 3)", "shfl_xor_among(high, x, 3)", "TD0811"),
        ("tds::warp_any_among(half", "tds::warp_any_among(t == 3 ? 0xffffu ^ 16u : half", "TD0830"),
        ("if (t < 16)", "if (t < 15)", "TD0811"),
        ("tds::warp_sync(half);", "", "TD0804"),
        ("tds::elect_one()", "t < 31 && tds::elect_one()", "TD0830"),
    ],
)
def test_misuse_of_lanes_is_found(old: str, new: str, code: str) -> None:
    assert LANES.count(old) == 1
    out = aligned((128,), np.uint32)
    assert code in codes(findings_of(LANES.replace(old, new), [out.copy(), out]))


# ---------------------------------------------------------------------------------------------------- registers

REGISTERS = kernel(
    """
  if (t < 128)
    tds::setmaxnreg_dec<40>();
  else
    tds::setmaxnreg_inc<232>();
  tds::store(out + t, 1u);
""",
    threads=384,
)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("dec<40>", "dec<32>", None),
        ("dec<40>", "dec<48>", "TD0830"),  # 48 + 2 * 232 is more than 3 * 168
        ("inc<232>", "inc<240>", "TD0830"),
        ("tds::setmaxnreg_dec<40>();", ";", "TD0830"),
        ("inc<232>", "inc<228>", "TD0855"),
        ("inc<232>", "inc<264>", "TD0855"),
        ("dec<40>", "dec<16>", "TD0855"),
        ("dec<40>", "dec<200>", "TD0855"),
        ("if (t < 128)", "if (t < 96)", "TD0830"),
        ("if (t < 128)", "if (t < 112)", "TD0855"),
        (
            "tds::setmaxnreg_dec<40>();",
            "{ tds::setmaxnreg_dec<40>(); if (t < 32) tds::setmaxnreg_dec<24>(); }",
            "TD0855",
        ),
        ("tds::setmaxnreg_dec<40>();", "{ tds::setmaxnreg_dec<40>(); tds::setmaxnreg_inc<32>(); }", "TD0855"),
    ],
)
def test_the_register_budget(old: str, new: str, code: str | None) -> None:
    assert REGISTERS.count(old) == 1
    for schedule in SCHEDULES:
        out = aligned((384,), np.uint32)
        assert not findings_of(REGISTERS, [out.copy(), out], threads=384, schedule=schedule)
        found = codes(findings_of(REGISTERS.replace(old, new), [out.copy(), out], threads=384, schedule=schedule))
        assert (code in found) if code else not found, found


def test_a_shortage_of_registers_is_explained() -> None:
    out = aligned((384,), np.uint32)
    text = REGISTERS.replace("dec<40>", "dec<48>")
    message = findings_of(text, [out.copy(), out], threads=384)[0].error().message
    assert "232 a thread are asked for" in message and "are left for all warps together" in message


# -------------------------------------------------------------------------------------- arrivals without waiting

HANDOVER = kernel(
    """
  if (t < 32) {
    tds::store_shared<tds::u32>(shared + 4 * t, 5u * t);
    tds::barrier_arrive(1, 64);
  } else {
    tds::barrier_named(1, 64);
    tds::store(out + t - 32, tds::load_shared<tds::u32>(shared + 4 * (t - 32)));
  }
""",
    threads=64,
)


def test_some_threads_arrive_and_go_on() -> None:
    for schedule in SCHEDULES:
        out = aligned((32,), np.uint32)
        assert not findings_of(HANDOVER, [out.copy(), out], threads=64, schedule=schedule)
        np.testing.assert_array_equal(out, 5 * np.arange(32))
    text = HANDOVER.replace("barrier_arrive(1, 64)", "barrier_arrive(2, 64)")
    assert "TD0830" in codes(findings_of(text, [out.copy(), out], threads=64))
    text = HANDOVER.replace("    tds::barrier_arrive(1, 64);\n", "").replace("(1, 64)", "(1, 32)")
    assert codes(findings_of(text, [out.copy(), out], threads=64)) & {"TD0803", "TD0804"}


DEPENDENT = kernel("  tds::grid_wait();\n  tds::store(out + t, tds::load(in + t));\n  tds::grid_launch_dependents();")


@pytest.mark.parametrize("text", [NEIGHBOURS, MULTICAST, SENDER, FLAGS, LANES, REGISTERS, HANDOVER, DEPENDENT])
def test_the_same_texts_compile_for_sm_90a(text: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    assert compiled_for_sm_90a(text).cubin
