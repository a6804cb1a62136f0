"""A GEMM and flash attention for sm_90a, written by hand in the device API: warp specialised, TMA, mbarriers, wgmma.

The same texts equal NumPy on the CPU device in every mode and schedule with no finding, compile for sm_90a without
spills, and with any synchronisation deleted or weakened are found to be wrong, whatever the mode.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from hopper_helpers import KERNELS, MODES, SCHEDULES, aligned, codes, compiled_for_sm_90a, mapped, module

from tiledsl.cpu.findings import Finding

pytestmark = pytest.mark.cxx
GEMM = (KERNELS / "gemm_sm90a.cu").read_text()
ATTENTION = (KERNELS / "flash_attention_sm90a.cu").read_text()
GEMM_BYTES, ATTENTION_BYTES = 131072 + 48, 16384 + 4 * 8192 + 72
GEMM_TILES = [
    ("a", 0, 49152, 16384, 2),
    ("b", 49152, 49152, 16384, 2),
    ("c", 98304, 32768, 16384, 2),
    ("full", 131072, 24, 8, 8),
    ("empty", 131096, 24, 8, 8),
]


@dataclass(frozen=True)
class Run:
    found: list[Finding]
    result: Any
    expected: Any


@cache
def gemm_inputs(m: int, n: int, k: int) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    a, b = aligned((m, k), np.float16), aligned((k, n), np.float16)
    a[...], b[...] = rng.integers(-2, 3, a.shape), rng.integers(-2, 3, b.shape)
    return a, b, (a.astype(np.float32) @ b.astype(np.float32)).astype(np.float16)


def gemm(
    text: str = GEMM, *, grid: int = 4, size: tuple[int, int, int] = (256, 256, 320), checked: bool = True, **how: Any
) -> Run:
    """With a grid of fewer blocks than tiles it is the persistent variant."""
    a, b, expected = gemm_inputs(*size)
    c = aligned(expected.shape, np.float16)
    tiles_n = size[1] // 128
    arguments = [
        mapped("a", a, (128, 64), swizzle=128),
        mapped("b", b, (64, 64), swizzle=128),
        mapped("c", c, (64, 64), swizzle=128),
        *(np.int32(x) for x in (size[2] // 64, tiles_n, size[0] // 128 * tiles_n)),
    ]
    found: list[Finding] = []
    made = module(text.replace("GRID", str(grid)), "gemm", checked)
    made.launch("gemm", (grid,), 384, GEMM_BYTES, arguments, findings=found, shared=GEMM_TILES, **how)
    return Run(found, c, expected)


@cache
def attention_inputs(heads: int, length: int) -> tuple[Any, ...]:
    rng = np.random.default_rng(1)
    tensors = [aligned((heads * length, 64), np.float16) for _ in range(3)]
    expected = np.zeros((heads * length, 64))
    for x in tensors:
        x[...] = rng.standard_normal(x.shape)
    q, k, v = (x.astype(np.float64).reshape(heads, length, 64) for x in tensors)
    for h in range(heads):
        scores = q[h] @ k[h].T * 0.125
        weights = np.exp(scores - scores.max(1, keepdims=True))
        expected[h * length : (h + 1) * length] = weights @ v[h] / weights.sum(1, keepdims=True)
    return (*tensors, expected)


def attention(text: str = ATTENTION, *, heads: int = 2, length: int = 256, checked: bool = True, **how: Any) -> Run:
    q, k, v, expected = attention_inputs(heads, length)
    out = aligned(expected.shape, np.float32)
    maps = [
        mapped("q", q, (128, 64), swizzle=128),
        *(mapped(n, x, (64, 64), swizzle=128) for n, x in (("k", k), ("v", v))),
    ]
    arguments = [*maps, out, np.int32(length), np.float32(0.125 * np.log2(np.e))]
    found: list[Finding] = []
    made = module(text, "attention", checked)
    made.launch("attention", (length // 128, heads), 384, ATTENTION_BYTES, arguments, findings=found, **how)
    return Run(found, out, expected)


# -------------------------------------------------------------------------------------------------- correctness


@pytest.mark.parametrize("checked", [False, True], ids=["plain", "checked"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("mode", MODES)
def test_gemm_equals_numpy_in_every_mode_and_schedule(mode: str, schedule: str, checked: bool) -> None:
    for grid in (4, 3):
        run = gemm(grid=grid, mode=mode, schedule=schedule, seed=grid, checked=checked)
        assert not run.found
        np.testing.assert_array_equal(run.result, run.expected)


@pytest.mark.parametrize("checked", [False, True], ids=["plain", "checked"])
@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("mode", MODES)
def test_attention_equals_numpy_in_every_mode_and_schedule(mode: str, schedule: str, checked: bool) -> None:
    run = attention(mode=mode, schedule=schedule, seed=7, checked=checked)
    assert not run.found
    np.testing.assert_allclose(run.result, run.expected, atol=3e-4)


def test_results_do_not_depend_on_the_number_of_host_threads() -> None:
    for seed in range(3):
        runs = [attention(mode="random", schedule="random", seed=seed, workers=w) for w in (1, 2)]
        np.testing.assert_array_equal(runs[0].result, runs[1].result)
    broken = GEMM.replace("tds::fence_proxy_async();", "")
    texts = [[str(f) for f in gemm(broken, mode="random", seed=2, workers=w).found] for w in (1, 2)]
    assert texts[0] and texts[0] == texts[1]


@pytest.mark.slow
def test_a_hundred_schedules_have_no_finding() -> None:
    for seed in range(100):
        how = {"mode": MODES[seed % 3], "schedule": "random", "seed": seed}
        g, a = gemm(grid=1 + seed % 4, **how), attention(**how)
        assert not g.found and not a.found
        np.testing.assert_array_equal(g.result, g.expected)
        np.testing.assert_allclose(a.result, a.expected, atol=3e-4)


@pytest.mark.parametrize("text", [GEMM.replace("GRID", "4"), ATTENTION], ids=["gemm", "attention"])
def test_the_same_texts_compile_for_sm_90a(text: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    made = compiled_for_sm_90a(text)
    (resources,) = made.resources
    assert (resources.stack_bytes, resources.spill_store_bytes, resources.spill_load_bytes) == (0, 0, 0)
    assert resources.registers == 168
    for word in ("wgmma.mma_async", "cp.async.bulk.tensor", "mbarrier.try_wait", "setmaxnreg"):
        assert word in made.ptx


def test_a_finding_names_tile_and_stage() -> None:
    found = gemm(GEMM.replace("tds::mbarrier_wait(full + 8 * s, phase & 1);", "")).found
    message = found[0].error().message
    assert "'a[stage 0, " in message or "'b[stage 0, " in message
    assert {"TD0816", "TD0808"} == codes(found)


# ---------------------------------------------------------------------------------------------------- mutations

WAIT_FULL, WAIT_EMPTY = (
    "tds::mbarrier_wait(full + 8 * s, phase & 1);",
    "tds::mbarrier_wait(empty + 8 * s, (phase & 1) ^ 1);",
)
ARRIVE = "if (thread % 128 == 0) tds::mbarrier_arrive(empty + 8 * s);"
STORE_FENCE = "      tds::fence_proxy_async();\n      tds::barrier_named(1 + group, 128);\n"
REUSE = "      if (thread % 128 == 0) tds::bulk_wait_read<0>();\n      tds::barrier_named(1 + group, 128);\n"
DRAIN = "tds::wgmma_wait<0>();\n        tds::wgmma_hold<64>(tds::view<float>(sums));\n        " + ARRIVE
RACE, DEADLOCK = {"TD0804", "TD0816", "TD0817", "TD0818"}, {"TD0830"}
GEMM_MUTANTS: dict[str, tuple[str, str, set[str]]] = {
    "no wait for full": (WAIT_FULL, "", {"TD0816"}),
    "no wait for empty": (WAIT_EMPTY, "", {"TD0816", "TD0841"}),
    "wrong parity of full": (WAIT_FULL, WAIT_FULL.replace("phase & 1", "(phase & 1) ^ 1"), {"TD0816", *DEADLOCK}),
    "wrong parity of empty": ("(phase & 1) ^ 1", "phase & 1", DEADLOCK),
    "too few bytes": ("s, STAGE_BYTES)", "s, STAGE_BYTES - 8192)", {"TD0816", *DEADLOCK}),
    "too many bytes": ("s, STAGE_BYTES)", "s, STAGE_BYTES + 16)", DEADLOCK),
    "arrivals of full": ("init(full + 8 * s, 1)", "init(full + 8 * s, 2)", DEADLOCK),
    "too few arrivals of empty": ("init(empty + 8 * s, 2)", "init(empty + 8 * s, 1)", {*RACE, *DEADLOCK}),
    "too many arrivals of empty": ("init(empty + 8 * s, 2)", "init(empty + 8 * s, 3)", DEADLOCK),
    "every thread arrives": (ARRIVE, "tds::mbarrier_arrive(empty + 8 * s);", {"TD0841", *DEADLOCK}),
    "no arrival": (ARRIVE, "", DEADLOCK),
    "arrival before the wait": (DRAIN, ARRIVE + " tds::wgmma_wait<0>();", {"TD0818"}),
    "no fence of the init": ("    tds::fence_mbarrier_init();\n", "", {"TD0846"}),
    "no barrier after the init": ("  tds::barrier();\n", "", {"TD0840", "TD0845"}),
    "no wgmma fence": ("tds::wgmma_fence();", "", {"TD0860"}),
    "no wgmma commit": ("tds::wgmma_commit();", "", {"TD0816", "TD0818"}),
    "no wgmma wait": ("tds::wgmma_wait<0>();", "", {"TD0818", "TD0816"}),
    "wgmma wait for one less": ("tds::wgmma_wait<0>();", "tds::wgmma_wait<1>();", {"TD0818"}),
    "no proxy fence": ("tds::fence_proxy_async();", "", {"TD0815"}),
    "no barrier before the store": (STORE_FENCE, "      tds::fence_proxy_async();\n", {"TD0817", "TD0804"}),
    "fence after the barrier": (STORE_FENCE, "      tds::barrier_named(1 + group, 128);\n", {"TD0815"}),
    "another barrier": (STORE_FENCE, STORE_FENCE.replace("1 + group, 128", "1 + group, 256"), {"TD0830", "TD0831"}),
    "no barrier before the reuse": (REUSE, REUSE.split("\n")[0] + "\n", {"TD0817"}),
    "no wait before the reuse": (REUSE, REUSE.split("\n")[1] + "\n", {"TD0817"}),
    "no commit of the store": ("tds::bulk_commit();", "", {"TD0817", "TD0853"}),
    "no wait at the end": ("    if (thread % 128 == 0) tds::bulk_wait_read<0>();\n  }\n}", "  }\n}", {"TD0853"}),
    "registers over budget": ("setmaxnreg_dec<24>", "setmaxnreg_dec<32>", DEADLOCK),
    "registers no multiple of 8": ("setmaxnreg_inc<240>", "setmaxnreg_inc<236>", {"TD0855"}),
    "registers not given up": ("tds::setmaxnreg_dec<24>();", "", DEADLOCK),
    "rows of the other group": ("group * 8192 + i * 32", "group * 8192 + 65536 + i * 32", {"TD0803", "TD0816", *RACE}),
    "tile of another stage": (
        "shared + A_AT + s * A_BYTES + group",
        "shared + A_AT + (s ^ 1) * A_BYTES + group",
        {"TD0803", *RACE},
    ),
    "out of shared memory": (
        "STAGES * STAGE_BYTES, BARRIERS_AT",
        "STAGES * STAGE_BYTES + 8192, BARRIERS_AT",
        {"TD0802"},
    ),
}
ATTENTION_MUTANTS: dict[str, tuple[str, str, set[str]]] = {
    "no wait for q": ("    tds::mbarrier_wait(q_full, 0);\n", "", {"TD0816"}),
    "no wait for k": ("tds::mbarrier_wait(k_full + 8 * (j % STAGES), j / STAGES & 1);", "", {"TD0816"}),
    "no wait for v": ("tds::mbarrier_wait(v_full + 8 * s, (j - 1) / STAGES & 1);", "", {"TD0816"}),
    "no wait for k to be free": ("tds::mbarrier_wait(k_empty + 8 * s, parity);", "", {"TD0816", "TD0841", *DEADLOCK}),
    "no wait for v to be free": ("tds::mbarrier_wait(v_empty + 8 * s, parity);", "", {"TD0816", "TD0841", *DEADLOCK}),
    "parity": ("(j / STAGES & 1) ^ 1", "j / STAGES & 1", DEADLOCK),
    "parity of v": ("(j - 1) / STAGES & 1", "j / STAGES & 1", {"TD0816", *DEADLOCK}),
    "bytes of q": ("(q_full, Q_BYTES)", "(q_full, Q_BYTES - 16)", DEADLOCK),
    "bytes of k": ("(k_full + 8 * s, K_BYTES)", "(k_full + 8 * s, 2 * K_BYTES)", DEADLOCK),
    "k released by fewer warps": ("init(k_empty + 8 * s, 8)", "init(k_empty + 8 * s, 4)", {"TD0816", *DEADLOCK, *RACE}),
    "v released by more warps": ("init(v_empty + 8 * s, 8)", "init(v_empty + 8 * s, 9)", DEADLOCK),
    "k released too early": ("tds::wgmma_wait<1>();", ";", {"TD0850"}),
    "scores used too early": ("tds::wgmma_wait<1>();", "tds::wgmma_wait<2>();", {"TD0850"}),
    "v released too early": (
        "      tds::wgmma_wait<0>();\n      tds::wgmma_hold<32>",
        "      tds::wgmma_hold<32>",
        {"TD0818", "TD0851"},
    ),
    "no fence of the init": ("    tds::fence_mbarrier_init();\n", "", {"TD0846"}),
    "no barrier after the init": ("  tds::barrier();\n", "", {"TD0840", "TD0845"}),
    "registers": ("setmaxnreg_inc<240>", "setmaxnreg_inc<248>", DEADLOCK),
}
HOW = (("early", "fifo"), ("late", "reverse"), ("random", "random"))


@pytest.mark.parametrize("name", GEMM_MUTANTS)
def test_every_mutant_of_the_gemm_is_found_in_every_mode(name: str) -> None:
    old, new, expected = GEMM_MUTANTS[name]
    assert GEMM.count(old) == 1
    for mode, schedule in HOW:
        found = codes(gemm(GEMM.replace(old, new), grid=2, mode=mode, schedule=schedule, seed=1).found)
        assert found & expected, (mode, schedule, found)


@pytest.mark.parametrize("name", ATTENTION_MUTANTS)
def test_every_mutant_of_attention_is_found_in_every_mode(name: str) -> None:
    old, new, expected = ATTENTION_MUTANTS[name]
    assert ATTENTION.count(old) == 1
    for mode, schedule in HOW:
        found = codes(attention(ATTENTION.replace(old, new), length=384, mode=mode, schedule=schedule, seed=1).found)
        assert found & expected, (mode, schedule, found)


def test_what_is_not_found() -> None:
    """An equivalent mutant: one thread's wait covers the warpgroup's instruction, so it may arrive for its warp."""
    text = ATTENTION.replace("        tds::warp_sync(0xffffffffu);\n", "").replace(
        "      tds::warp_sync(0xffffffffu);\n", ""
    )
    assert text.count("warp_sync") == 0 and not attention(text).found
