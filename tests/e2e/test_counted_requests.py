"""What the checked CPU device counts is what the report computes from addresses: for every example, line and buffer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from cases import all_cases
from user_kernels import movement

from tiledsl.backends import Backend, run_on_cpu
from tiledsl.compile import Lowered
from tiledsl.cpu.counters import Counters
from tiledsl.cpu.observe import Observation
from tiledsl.ir.nodes import Launch, Var
from tiledsl.report.accesses import Access, accesses, merged
from tiledsl.report.work import work
from tiledsl.runtime.arguments import bind
from tiledsl.testing import Case
from tiledsl.testing.case import Draw, copy_of

CASES = all_cases()
# Blocks that the mask, an input, switches off are not known before the run. Of which tap of a
# filter a tile is, a variable counts, which the report takes for data too.
DATA_DEPENDENT = {
    "gemm-block-sparse",
    *(f"convolution-{name}" for name in ("3x3", "stride-2", "dilation-2", "64x128x32-8-warps")),
}
# At their ragged edges lanes leave out different registers of one loop. What the counters of a run take for a request
# is then not what a warp does in one iteration: `accesses(..., as_counted=True)` says what they see.
SHIFTED = {"gemm-odd", "gemm-dynamic-70x50x105"}

Row = tuple[str, str, str, int]  # space, operation, file, line: with the buffers, what is compared
Counts = tuple[int, ...]


def observed(case: Case, lowered: Lowered, seed: int = 1) -> tuple[dict[str, Counters], dict[str, int]]:
    """Counters by entry, and the sizes and scalars of the run."""
    copies = {n: copy_of(v) if isinstance(v, np.ndarray) else v for n, v in case.inputs(Draw(seed)).items()}
    bound = bind(lowered.signature, (), copies)
    seen = Observation()
    run_on_cpu(lowered, bound, Backend.CPU, check=True, observe=seen)
    return seen.counters, {**{n: int(v) for n, v in bound.scalars.items()}, **bound.sizes}


def numbers(lowered: Lowered, sizes: dict[str, int]) -> dict[Var, int]:
    kernel = lowered.final
    return {v: sizes[v.name] for v in (*kernel.params, *kernel.sizes) if isinstance(v, Var)}


def expected(launch: Launch, values: dict[Var, int]) -> dict[Row, dict[str, tuple[Counts, bool]]]:
    """By row and buffer the counts, and whether they are those of every run."""
    found: dict[Row, dict[str, tuple[Counts, bool]]] = {}
    for a in merged(accesses(launch, values, every=True, as_counted=True)):
        counts = (a.requests, a.transactions, a.ideal, a.bytes)
        found.setdefault((a.space, a.op, a.file, a.line), {})[a.buffer] = (counts, a.exact)
    for c in work(launch, values, every=True).collectives:
        if c.requests:
            found.setdefault(("warp", c.op, c.file, c.line), {})[""] = ((c.requests, 0, 0, 0), c.exact)
    return found


def counted(counters: Counters) -> dict[Row, dict[str, Counts]]:
    found: dict[Row, dict[str, Counts]] = {}
    for r in counters.rows:
        counts = (r.requests, r.transactions, r.ideal, r.bytes)
        found.setdefault((r.space, r.op, r.file, r.line), {})[r.buffer] = counts
    return found


def total(counts: Iterable[Counts]) -> Counts:
    return tuple(map(sum, zip(*counts)))


def compare(launch: Launch, values: dict[Var, int], counters: Counters) -> int:
    """Asserts equality of every exact row; returns how many rows are not exact."""
    static, dynamic = expected(launch, values), counted(counters)
    inexact = {row for row, buffers in static.items() if not all(known for _, known in buffers.values())}
    assert dynamic.keys() - static.keys() == set(), "counted, but not in the report"
    assert static.keys() - inexact - dynamic.keys() == set(), "in the report, but never counted"
    for row in static.keys() - inexact:
        wanted = {buffer: counts for buffer, (counts, _) in static[row].items()}
        if any("|" in buffer for buffer in dynamic[row]):  # reused bytes belong to several buffers
            names = {n for buffer in dynamic[row] for n in buffer.split("|")}
            assert wanted.keys() <= names, row
            assert total(dynamic[row].values()) == total(wanted.values()), row
        else:
            assert dynamic[row] == wanted, row
    return len(inexact)


@pytest.mark.cxx
@pytest.mark.parametrize("name", CASES)
def test_counters_equal_the_report(name: str) -> None:
    case = CASES[name]
    lowered = case.compiled().lowered
    counters, sizes = observed(case, lowered)
    values = numbers(lowered, sizes)
    inexact = 0
    for e in lowered.source.entries:
        inexact += compare(lowered.final.launches[e.launch], values, counters[e.name])
    assert (inexact > 0) == (name in DATA_DEPENDENT), f"{inexact} rows depend on data"


@pytest.mark.parametrize("name", CASES)
def test_requests_are_those_of_iterations_but_where_lanes_leave_out_different_ones(name: str) -> None:
    """So that for every other kernel the counters are the figures that the report shows."""
    lowered = CASES[name].compiled().lowered
    shapes = {v.name: n for v, n in zip(lowered.final.sizes, _sizes(name), strict=True)}
    for launch in lowered.final.launches:
        values = numbers(lowered, {**shapes, **{v.name: 1 for v in lowered.final.params if isinstance(v, Var)}})
        plain, shifted, sampled = (
            merged(accesses(launch, values, **how))
            for how in ({"every": True}, {"every": True, "as_counted": True}, {})
        )
        assert (plain == shifted) == (name not in SHIFTED)
        assert [_known(a) for a in sampled] == [_known(a) for a in plain]


def _known(a: Access) -> Access:
    """Without the places that depend on data, for which some iterations stand for all."""
    return a if a.exact else replace(a, transactions=0, ideal=0, bytes=0)


def _sizes(name: str) -> tuple[int, ...]:
    """m, k, n of a product with sizes that are known at the launch, as its name says."""
    if not name.startswith("gemm-dynamic"):
        return ()
    m, n, k = map(int, name.rpartition("-")[2].split("x"))
    return m, k, n


@pytest.mark.cxx
def test_another_layout_in_the_text_is_noticed() -> None:
    """Without the swizzle where ldmatrix reads B, 8 rows of a matrix lie in the same banks."""
    lowered = CASES["gemm-3-stages"].compiled().lowered
    (entry,) = lowered.source.entries
    swizzled = "(((t64 * 4) + t16) ^ t1_1)"
    assert swizzled in lowered.source.text
    text = lowered.source.text.replace(swizzled, "((t64 * 4) + t16)")
    counters, _ = observed(CASES["gemm-3-stages"], replace(lowered, source=replace(lowered.source, text=text)))
    rows = {(r.op, r.buffer): r for r in counters[entry.name].rows}
    assert rows["ldmatrix_x4_trans", "B_shared"].transactions == 8 * rows["ldmatrix_x4_trans", "B_shared"].ideal
    with pytest.raises(AssertionError, match="ldmatrix_x4_trans"):
        compare(lowered.final.launches[entry.launch], {}, counters[entry.name])


@pytest.mark.cxx
def test_a_request_that_crosses_into_shared_bytes_is_one() -> None:
    """Two tiles of this kernel share some of their bytes, and a warp's request lies on both sides of the border."""
    case = next(c for c in movement() if c.name == "convert-int8-int32-int64")
    lowered = case.compiled().lowered
    counters, sizes = observed(case, lowered)
    (entry,) = lowered.source.entries
    assert any("|" in r.buffer for r in counters[entry.name].rows)
    assert compare(lowered.final.launches[entry.launch], numbers(lowered, sizes), counters[entry.name]) == 0


@pytest.mark.cxx
def test_counters_do_not_depend_on_the_schedule() -> None:
    lowered = CASES["gemm-3-stages"].compiled().lowered
    rows: list[Any] = []
    for how in ({}, {"mode": "late", "schedule": "reverse"}, {"mode": "random", "seed": 3, "workers": 1}):
        copies = dict(CASES["gemm-3-stages"].inputs(Draw(1)))
        seen = Observation()
        run_on_cpu(lowered, bind(lowered.signature, (), copies), Backend.CPU, check=True, observe=seen, **how)
        rows.append(seen.counters)
    assert rows[0] == rows[1] == rows[2]
