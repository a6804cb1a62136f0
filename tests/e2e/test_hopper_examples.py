"""What the kernels for sm_90a are there for, beside being right: who copies, and what their machine code is like."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from cases import CONVOLUTION, load

import tiledsl
from tiledsl.decorator import TileKernel
from tiledsl.ir.nodes import AtomCall
from tiledsl.ir.walk import walk
from tiledsl.passes.warp_specialise import warp_plans
from tiledsl.passes.warp_specialise.fills import CP_ASYNC, ENGINE, REGISTERS
from tiledsl.report.sass_code import Code, disassemble, find_nvdisasm, loops
from tiledsl.report.sass_stats import analyze
from tiledsl.target import target_named

SM_90A = target_named("sm_90a")
gemms, grouped, sparse = load("gemm_hopper"), load("grouped_gemm"), load("block_sparse")
clusters = load("gemm_cluster")
convolutions = load(CONVOLUTION)
producers = load("gemm_producers")

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


def _product(dtype: str, order: str, **options: object) -> tuple[list[str], set[str]]:
    """What is said of the product of a tile, and the instructions that make it."""
    made = gemms.gemm(64, 64, 128, (64, 64, 1024 // gemms.OPERANDS[dtype][0].bits), order, dtype, threads=128)
    kernel = tiledsl.kernel(out_idx=-1, options={"transpose-operands": options})(made.fn)
    lowered = kernel.compile(target="sm_90a").lowered
    (launch,) = lowered.final.launches
    atoms = {n.atom.partition("_")[0] for n in walk(lowered.final) if isinstance(n, AtomCall)}
    return [n for n in launch.notes if n.startswith("product")], atoms & {"wgmma", "mma"}


@pytest.mark.parametrize("order", ["NN", "NT", "TN", "TT"])
@pytest.mark.parametrize("dtype", gemms.OPERANDS)
def test_operands_that_wgmma_cannot_read_are_transposed(dtype: str, order: str) -> None:
    """It reads operands along k, but for those of 16 bits; what is copied for that, the report names."""
    notes, atoms = _product(dtype, order)
    across = {"a": order[0] == "T", "b": order[1] == "N"} if dtype in K_MAJOR else {}
    wanted = [f"operand {x}, '{x.upper()}_shared', is transposed into" for x, turned in across.items() if turned]
    assert atoms == {"wgmma"} and len(notes) == len(wanted)
    assert all(said in note and note.endswith("only along k") for said, note in zip(wanted, notes))


@pytest.mark.parametrize("order", ["NN", "TN", "TT"])
@pytest.mark.parametrize("dtype", K_MAJOR)
def test_without_the_transposes_the_plan_says_why_mma_multiplies(dtype: str, order: str) -> None:
    (reason,), atoms = _product(dtype, order, enabled=False)
    operand = "a, 'A_shared'" if order[0] == "T" else "b, 'B_shared'"
    assert atoms == {"mma"}
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
    "clusters 2x1": (lambda: clusters.gemm(N, N, N, cluster=(2, 1)), 65),
    "clusters 1x2": (lambda: clusters.gemm(N, N, N, cluster=(1, 2)), 65),
    "persistent clusters": (lambda: clusters.gemm_persistent(N, N, N), 65),
    "split-k": (lambda: gemms.gemm_split_k(N, N, N), 95),
    "stream-k": (lambda: gemms.gemm_stream_k(N, N, N), 115),
    "grouped": (lambda: grouped.gemm_grouped(N, N, N, 8), 115),
    "grouped, persistent": (lambda: grouped.gemm_grouped_persistent(N, N, N, 8), 115),
    "convolution": (lambda: convolutions.convolution(128, 128, 64, 64, 256, block=(128, 256, 64)), 50),
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


WIDE = (128, 256, 64)
COPIED_BY_THREADS: dict[str, tuple[Callable[[], TileKernel], dict[str, str]]] = {
    "rows of whole words": (lambda: producers.gemm_unaligned(N, N, N + 4, WIDE), {"A_shared": CP_ASYNC}),
    "rows that a table names": (lambda: producers.gemm_gathered(N, N, N, N, WIDE), {"A_shared": CP_ASYNC}),
    "weights of 8 bits": (lambda: producers.gemm_dequantised(N, N, N, block=WIDE), {"B_shared": REGISTERS}),
}


@pytest.mark.parametrize(("make", "ways"), COPIED_BY_THREADS.values(), ids=COPIED_BY_THREADS)
def test_products_stay_in_flight_while_threads_copy(make: Callable[[], TileKernel], ways: dict[str, str]) -> None:
    """The rest is for the copy engine; those who multiply have one fence more in their loop."""
    lowered = make().compile(target="sm_90a").lowered
    (plan,) = warp_plans(lowered.after("expand-lets"), SM_90A)
    found = {c.tile.name: c.how for channel in plan.channels for c in channel.copies}
    assert not plan.left and found == {"A_shared": ENGINE, "B_shared": ENGINE} | ways
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    if find_nvdisasm() is None:
        pytest.skip("nvdisasm is not installed")
    compiled = lowered.compiled
    assert not compiled.remarks
    assert not any(r.spill_store_bytes or r.spill_load_bytes for r in compiled.resources)
    stats = next(s for s in analyze(compiled.cubin).values() if s.overlap is not None)
    assert stats.main_loop is not None and stats.overlap is not None
    assert 512 * stats.main_loop.issue_per_tensor_cycle <= 55
    assert stats.overlap.drains == 0 and stats.overlap.fraction >= 0.9


def instructions_for_a_copy(code: Code) -> float:
    """Of the smallest loop with requests to the copy engine."""
    bodies = [[i for k in loop.body if (i := code.instructions[k]).op != "NOP"] for loop in loops(code)]
    counted = [(len(b), sum(i.base in ("UTMALDG", "UBLKCP") for i in b)) for b in bodies]
    return min(length / copies for length, copies in counted if copies)
