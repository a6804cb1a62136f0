"""The report of a kernel with roles, tensor copies and wgmma: figures made by hand from its 4 blocks and 5 steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiledsl.ir.parser import parse
from tiledsl.report.accesses import accesses, merged
from tiledsl.report.report import report
from tiledsl.report.roofline import traffic
from tiledsl.report.work import work
from tiledsl.testing.thread_stage import lowered

GEMM = (Path(__file__).parents[1] / "codegen" / "kernels" / "gemm_sm90a.tir").read_text()
BLOCKS, STEPS = 4, 5
TILE = 128 * 64 * 2  # bytes of A's tile and of B's


def test_work_of_roles_is_that_of_their_threads() -> None:
    done = work(parse(GEMM).launches[0])
    assert done.exact and done.tensor == {"float16": 2 * 256 * 256 * 320}
    assert done.tensor_instructions == BLOCKS * STEPS * 4 * 8  # four products in a step, eight warps
    requests = {op: sum(c.requests for c in done.collectives if c.op == op) for op in ("shuffle", "barrier")}
    assert requests == {"shuffle": BLOCKS * 8, "barrier": BLOCKS * (12 + 8)}


def test_copies_of_the_copy_engine_are_accesses() -> None:
    launch = parse(GEMM).launches[0]
    found = {(a.op, a.buffer): a for a in merged(accesses(launch)) if a.op.startswith("bulk")}
    loads = BLOCKS * STEPS
    a, b, c = found["bulk load", "A"], found["bulk load", "B"], found["bulk store", "C"]
    assert (a.requests, a.bytes, a.transactions) == (loads, loads * TILE, loads * TILE // 32)
    assert (b.requests, b.bytes, b.ideal) == (2 * loads, loads * TILE, loads * TILE // 32)
    assert (c.requests, c.bytes, c.space) == (BLOCKS * 4, BLOCKS * 128 * 128 * 2, "global")
    assert found["bulk load", "As"].transactions == loads * TILE // 128
    moved = traffic(list(found.values()), {"A": 256 * 320 * 2, "B": 256 * 320 * 2, "C": 256 * 256 * 2})
    assert moved.dram == 2 * 256 * 320 * 2 + 256 * 256 * 2


def test_what_wgmma_reads_is_accesses() -> None:
    """Two warpgroups read 64 rows of A each, and both all 128 columns of B: 32 bytes along k in each product."""
    found = {a.buffer: a for a in merged(accesses(parse(GEMM).launches[0])) if a.op.startswith("wgmma")}
    products = BLOCKS * STEPS * 4 * 2
    for name, rows in {"As": 64, "Bs": 128}.items():
        a, moved = found[name], products * rows * 32
        assert (a.requests, a.bytes, a.transactions, a.ideal) == (products, moved, moved // 128, moved // 128)
        assert a.space == "shared" and a.in_loop and a.exact


def test_the_report_says_what_ptxas_says() -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    text = str(report(lowered(parse(GEMM))))
    assert "bulk load" in text and "41.9 M float16 on tensor cores" in text and "ptxas" not in text
    commit = "async_commit(queue=product)\n"
    early = GEMM.replace(commit, f"{commit}          acc[0] = acc[0] + 1.0\n")
    assert early != GEMM and "ptxas: (C75" in str(report(lowered(parse(early))))


def test_a_copy_by_one_elected_thread_is_one_request() -> None:
    elected = GEMM.replace("if p == 0 {", "if p < 32 and elected(p) {")
    assert elected != GEMM
    found, expected = (merged(accesses(parse(text).launches[0])) for text in (elected, GEMM))
    assert [(a.op, a.buffer, a.requests) for a in found] == [(a.op, a.buffer, a.requests) for a in expected]
