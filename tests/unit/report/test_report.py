"""What a report says: accesses counted from addresses, operations, bytes and times, against figures made by hand."""

from __future__ import annotations

import json
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import tiledsl
import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.ir.nodes import Launch, Var
from tiledsl.report.accesses import Access, accesses, merged
from tiledsl.report.report import EntryReport
from tiledsl.report.work import work
from tiledsl.tools.loading import load_tile_kernel

N = 128


@tiledsl.kernel
def columns(A: T.Tensor((N, N), T.float32), B: T.Tensor((N, N), T.float32)):
    with T.Kernel(1, threads=128):
        tile = T.alloc_shared((N, 32), T.float32)
        T.annotate_layout({tile: T.Layout((N, 32), lambda i, j: i * 32 + j)})
        t = T.get_thread_binding()
        for k in T.serial(4):
            tile[t, k] = A[t, k]
        T.sync_threads()
        for k in T.serial(4):
            B[k, t] = tile[t, k]


ROOT = Path(__file__).parents[3]
needs_nvrtc = pytest.mark.skipif(find_spec("cuda") is None, reason="cuda-python is not installed")


def entry(kernel: Any) -> Launch:
    launch: Launch = kernel.compile(target="sm_80").lowered.final.launches[0]
    return launch


@cache
def example(spec: str, **static: Any) -> Any:
    kernel, rest = load_tile_kernel(str(ROOT / "examples" / spec), static)
    return kernel.compile(target="sm_80", **rest)


def costs(launch: Launch, space: str, **how: Any) -> dict[tuple[str, str], tuple[int, int, int]]:
    """Requests, transactions and ideal by operation and buffer."""
    found = [a for a in merged(accesses(launch, **how)) if a.space == space]
    return {(a.op, a.buffer): (a.requests, a.transactions, a.ideal) for a in found}


def test_a_column_costs_a_sector_an_element_and_a_row_is_ideal() -> None:
    """4 warps, 4 iterations: 16 requests of 32 lanes, 128 bytes each."""
    outside = costs(entry(columns), "global")
    assert outside["load", "A"] == (16, 16 * 32, 16 * 4), "rows are 512 bytes apart: a sector an element"
    assert outside["store", "B"] == (16, 16 * 4, 16 * 4), "32 neighbouring floats are 4 sectors"
    shared = costs(entry(columns), "shared")
    assert shared == {("store", "tile"): (16, 16 * 32, 16), ("load", "tile"): (16, 16 * 32, 16)}, "a column is one bank"


def test_strided_elements_waste_sectors() -> None:
    @tiledsl.kernel
    def every_fourth(A: T.Tensor((4 * N,), T.float32), B: T.Tensor((N,), T.float32)):
        with T.Kernel(1, threads=N):
            t = T.get_thread_binding()
            B[t] = A[t * 4]

    assert costs(entry(every_fourth), "global") == {("load", "A"): (4, 64, 16), ("store", "B"): (4, 16, 16)}


def test_guards_leave_lanes_out() -> None:
    """Of 128 threads 40 store: a whole warp and 8 lanes of the next."""

    @tiledsl.kernel
    def first_forty(B: T.Tensor((40,), T.float32)):
        with T.Kernel(1, threads=N):
            t = T.get_thread_binding()
            if t < 40:
                B[t] = 1.0

    (found,) = accesses(entry(first_forty))
    assert (found.requests, found.transactions, found.ideal, found.bytes, found.exact) == (2, 5, 5, 160, True)


def test_loaded_indices_are_marked() -> None:
    @tiledsl.kernel
    def gather(P: T.Tensor((N,), T.int32), A: T.Tensor((N,), T.float32), B: T.Tensor((N,), T.float32)):
        with T.Kernel(1, threads=N):
            t = T.get_thread_binding()
            B[t] = A[P[t]]

    exact = {(a.op, a.buffer): a.exact for a in accesses(entry(gather))}
    assert not exact["load", "A"] and exact["store", "B"]


# ---- a product and an addition, by hand


GEMM = {"M": 256, "N": 256, "K": 256, "block": (128, 128, 32), "num_stages": 3, "threads": 128}


def gemm_entry() -> EntryReport:
    made: EntryReport = example("gemm.py:gemm", **GEMM).report().entries[0]
    return made


@needs_nvrtc
def test_work_and_bytes_of_a_gemm() -> None:
    e = gemm_entry()
    assert e.blocks == 4 and e.exact
    assert e.work.tensor == {"float16": 2 * 256**3} and e.work.special == 0
    assert e.work.tensor_instructions == 256**3 // (16 * 8 * 16)
    tensor = 256 * 256 * 2  # bytes of A, of B, of C
    # Two columns of blocks read A, two rows read B; C is stored 4 bytes a lane, 16 bytes of each sector.
    assert e.traffic.wanted == 2 * tensor + 2 * tensor + tensor
    assert e.traffic.l2 == 2 * tensor + 2 * tensor + 2 * tensor
    assert e.traffic.dram == 3 * tensor
    assert e.roofline.intensity == pytest.approx(2 * 256**3 / (3 * tensor))


@needs_nvrtc
def test_wavefronts_of_a_gemm() -> None:
    """Every 128 bytes are one. Each of 4 warps reads 64 x 32 of A and 32 x 64 of B in each of 8 iterations."""
    found = {(a.op, a.buffer): a for a in gemm_entry().accesses if a.space == "shared"}
    stored, loaded = 2 * 256 * 256 * 2 // 128, 4 * 8 * 4 * 64 * 32 * 2 // 128
    assert found["cp_async_16", "A_shared"].transactions == found["cp_async_16", "B_shared"].transactions == stored
    assert found["ldmatrix_x4", "A_shared"].transactions == loaded
    assert found["ldmatrix_x4_trans", "B_shared"].transactions == loaded
    assert gemm_entry().conflicts == 0


@needs_nvrtc
def test_roofline_of_a_gemm_on_the_a100() -> None:
    """4 blocks keep 4 of 108 SMs busy: times are those of one block on one SM, those of memory of the whole GPU."""
    r = gemm_entry().roofline
    assert (r.gpu, r.limiter, r.per_block) == ("A100", "tensor cores", False)
    assert r.seconds["tensor cores"] == pytest.approx(2 * 256**3 / 4 / (312e12 / 108))
    assert r.seconds["shared memory"] == pytest.approx((2 * 2048 + 2 * 4096) / 4 / 1.41e9)
    assert r.seconds["DRAM"] == pytest.approx(3 * 256 * 256 * 2 / 2039e9)
    assert r.seconds["L2"] == pytest.approx(6 * 256 * 256 * 2 / (5120 * 1.41e9))
    assert r.time == r.seconds["tensor cores"]


@needs_nvrtc
def test_an_addition_is_limited_by_dram() -> None:
    e = example("elementwise.py:add", M=1024, N=2048).report().entries[0]
    n = 1024 * 2048
    assert e.work.arithmetic == {"float32": n} and e.work.tensor == {}
    assert e.traffic.wanted == e.traffic.l2 == e.traffic.dram == 3 * 4 * n
    assert e.roofline.limiter == "DRAM"
    assert e.roofline.time == pytest.approx(12 * n / 2039e9)
    assert all(a.transactions == a.ideal for a in e.accesses)


@needs_nvrtc
def test_another_gpu_of_the_same_target() -> None:
    kernel, static = load_tile_kernel(str(ROOT / "examples" / "elementwise.py:add"), {"M": 1024, "N": 2048})
    compiled = kernel.compile(target="sm_90a", **static)
    times = {gpu: compiled.report(gpu=gpu).time for gpu in ("H100", "H200")}
    assert times["H100"] / times["H200"] == pytest.approx(4800 / 3352)
    with pytest.raises(TileError) as wrong:
        compiled.report(gpu="A100")
    assert wrong.value.code == "TD0914" and "H100" in str(wrong.value)


# ---- sizes that are known at the launch


@needs_nvrtc
def test_dynamic_sizes_are_asked_for() -> None:
    kernel = example("gemm.py:gemm_dynamic")
    unknown = kernel.report()
    assert unknown.entries[0].blocks is None and unknown.entries[0].roofline.per_block
    assert "report(k=..., m=..., n=...)" in str(unknown)
    known = kernel.report(m=4096, n=4096, k=4096).entries[0]
    assert known.blocks == 64 * 64 and known.exact
    assert known.work.tensor == {"float16": 2 * 4096**3}
    assert known.traffic.dram == 3 * 4096**2 * 2
    with pytest.raises(TileError) as wrong:
        kernel.report(q=1)
    assert wrong.value.code == "TD0635" and "it has m, k, n" in str(wrong.value)


def test_long_axes_are_sampled_without_a_loss() -> None:
    """Ragged at every edge; the middle of an axis is like every other part of it."""
    kernel = example("gemm.py:gemm_dynamic").lowered.final
    sizes = {"m": 64 * 14 + 3, "n": 64 * 2 - 8, "k": 32 * 15 + 5}
    values: dict[Var, int] = {v: sizes[v.name] for v in kernel.sizes}
    launch = kernel.launches[0]
    sampled, every = (merged(accesses(launch, values, every=e)) for e in (False, True))
    assert sampled == every
    assert work(launch, values) == work(launch, values, every=True)


# ---- text and JSON


@needs_nvrtc
def test_text_groups_equal_accesses_and_json_has_them_all() -> None:
    report = columns.compile(target="sm_80").report()
    lines = str(report).splitlines()
    header = next(line for line in lines if "shared memory  " in line)
    assert header.split()[-4:] == ["line", "requests", "wavefronts", "ideal"]
    row = next(line for line in lines if line.split()[:2] == ["store", "tile"])
    assert row.split()[2].startswith("test_report.py:") and row.endswith("32.0 times the ideal")
    assert any(line.strip().startswith("roofline of A100") and "limited by" in line for line in lines)
    (data,) = json.loads(report.to_json())["entries"]
    assert len(data["accesses"]) == len(report.entries[0].accesses)
    assert {a["buffer"] for a in data["accesses"]} == {"A", "B", "tile"}
    assert data["roofline"]["limiter"] in data["roofline"]["seconds"]


def test_merged_adds_up_and_one_inexact_part_marks_the_sum() -> None:
    one = Access("load", "global", "A", "f.py", 3, False, 1, 4, 4, 128)
    two = Access("load", "global", "A", "f.py", 3, True, 2, 9, 8, 256, exact=False)
    assert merged([one, two]) == (Access("load", "global", "A", "f.py", 3, True, 3, 13, 12, 384, exact=False),)
