"""What the kernels for sm_90a are there for, beside being right: who copies, and what their machine code is like."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cases import load

from tiledsl.decorator import TileKernel
from tiledsl.passes.warp_specialise import warp_plans
from tiledsl.report.sass_code import Code, disassemble, find_nvdisasm, loops
from tiledsl.report.sass_stats import analyze
from tiledsl.target import target_named

SM_90A = target_named("sm_90a")
gemms, grouped, sparse = load("gemm_hopper"), load("grouped_gemm"), load("block_sparse")

# ------------------------------------------------------------------------------------------------------- who copies

LISTED = {
    "mask": (lambda **o: sparse.gemm_masked(256, 128, 256, **o), ("A_shared", "B_shared"), "Mask"),
    **{
        f"list, {names} names": (
            lambda names=names, **o: sparse.gemm_listed(256, 128, 256, names, **o), ("A_shared", "B_shared"), "Blocks",
        )
        for names in (0, 1, 2)
    },
    **{
        f"copy, {names} names": (
            lambda names=names, **o: sparse.copy_listed(256, 64, 4, names, **o), ("A_shared",), "Blocks",
        )
        for names in (0, 1, 2)
    },
}  # fmt: skip


@pytest.mark.parametrize(("make", "tiles", "table"), LISTED.values(), ids=LISTED)
def test_the_producer_reads_for_itself_what_says_where_to_copy(
    make: Callable[..., TileKernel], tiles: tuple[str, ...], table: str
) -> None:
    kernel = make()
    lowered = kernel.compile(target="sm_90a").lowered
    (plan,) = warp_plans(lowered.after("expand-lets"), SM_90A)
    assert not plan.refused and not plan.left
    assert tuple(b.name for c in plan.channels for b in c.tiles) == tiles
    text = kernel.compile(target="sm_90a").ir("warp-specialise")
    producer, consumer = text.split("role producer")[1].split("role consumer")
    assert f"{table}[" in producer
    assert all(f"-> {tile}" in producer and f"-> {tile}" not in consumer for tile in tiles)


@pytest.mark.parametrize("make", [row[0] for row in LISTED.values()], ids=LISTED)
def test_one_role_if_asked_for(make: Callable[..., TileKernel]) -> None:
    assert "role " not in make(specialise=False).compile(target="sm_90a").ir()


# ------------------------------------------------------------------------------------------------- which instruction

K_MAJOR = ("tf32", "e4m3", "e5m2", "e4m3-e5m2", "int8")


@pytest.mark.parametrize("order", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("dtype", gemms.OPERANDS)
def test_the_plan_says_why_wgmma_does_not_multiply(dtype: str, order: str) -> None:
    """It reads operands along k, but for those of 16 bits."""
    kernel = gemms.gemm(64, 64, 128, (64, 64, 1024 // gemms.OPERANDS[dtype][0].bits), order, dtype, threads=128)
    (launch,) = kernel.compile(target="sm_90a").lowered.final.launches
    reasons = [n for n in launch.notes if n.startswith("product")]
    if dtype not in K_MAJOR or order == "NT":
        assert not reasons
        return
    operand = "a, 'A_shared'" if order[0] == "T" else "b, 'B_shared'"
    (reason,) = reasons
    assert reason.endswith(f"by mma, as operand {operand}, is not contiguous along k, which only 16-bit types may be")


@pytest.mark.parametrize(("dtype", "order"), [("float16", "NN"), ("e4m3", "NT"), ("e4m3", "NN"), ("int8", "TN")])
def test_threads_that_multiply_get_the_registers(dtype: str, order: str) -> None:
    """By whatever instruction."""
    block = (128, 128, 1024 // gemms.OPERANDS[dtype][0].bits)
    lowered = gemms.gemm(256, 256, 512, block, order, dtype).compile(target="sm_90a").lowered
    (plan,) = warp_plans(lowered.after("expand-lets"), SM_90A)
    assert (plan.budget.producer, plan.budget.consumer) == (24, 240)
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    assert not any(r.spill_store_bytes or r.spill_load_bytes for r in lowered.compiled.resources)


# ------------------------------------------------------------------------------------------------------ machine code

N = 4096
# name -> (kernel, most instructions of the main loop for 512 cycles of the tensor cores)
FIGURES: dict[str, tuple[Callable[[], TileKernel], int]] = {
    "128x256x64": (lambda: gemms.gemm(N, N, N), 50),
    "256x128x64": (lambda: gemms.gemm(N, N, N, (256, 128, 64)), 60),
    "128x128x64": (lambda: gemms.gemm(N, N, N, (128, 128, 64), num_stages=4), 95),
    "192x128x64": (lambda: gemms.gemm(4608, N, N, (192, 128, 64), threads=384), 95),
    "persistent": (lambda: gemms.gemm_persistent(N, N, N), 50),
    "sizes known at launch": (lambda: gemms.gemm_dynamic(), 50),
    "e4m3": (lambda: gemms.gemm(N, N, N, (128, 256, 128), "NT", "e4m3"), 50),
    "split-k": (lambda: gemms.gemm_split_k(N, N, N), 95),
    "stream-k": (lambda: gemms.gemm_stream_k(N, N, N), 115),
    "grouped": (lambda: grouped.gemm_grouped(N, N, N, 8), 115),
    "grouped, persistent": (lambda: grouped.gemm_grouped_persistent(N, N, N, 8), 115),
    "lists of blocks": (lambda: sparse.gemm_listed(N, N, N), 115),
}
MOST_FOR_A_COPY = 20  # instructions of the loop that copies for each request to the copy engine


@pytest.mark.parametrize(("make", "most"), FIGURES.values(), ids=FIGURES)
def test_products_stay_in_flight(make: Callable[[], TileKernel], most: int) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    if find_nvdisasm() is None:
        pytest.skip("nvdisasm is not installed")
    compiled = make().compile(target="sm_90a").lowered.compiled
    assert not compiled.remarks
    assert not any(r.spill_store_bytes or r.spill_load_bytes for r in compiled.resources)
    name, stats = next((n, s) for n, s in analyze(compiled.cubin).items() if s.overlap is not None)
    assert stats.main_loop is not None and stats.overlap is not None
    assert 512 * stats.main_loop.issue_per_tensor_cycle <= most
    assert stats.overlap.drains == 0 and stats.overlap.fraction >= 0.9
    assert instructions_for_a_copy(disassemble(compiled.cubin)[name]) <= MOST_FOR_A_COPY


def instructions_for_a_copy(code: Code) -> float:
    """Of the smallest loop with requests to the copy engine."""
    bodies = [[i for k in loop.body if (i := code.instructions[k]).op != "NOP"] for loop in loops(code)]
    counted = [(len(b), sum(i.base in ("UTMALDG", "UBLKCP") for i in b)) for b in bodies]
    return min(length / copies for length, copies in counted if copies)
