"""Kernels as users write them agree in every execution, and are compiled without spills and bank conflicts."""

from __future__ import annotations

from typing import Any

import pytest
from user_computations import computation
from user_kernels import movement

from tiledsl.report.accesses import accesses
from tiledsl.testing import Case
from tiledsl.testing.case import Draw, compare, run_case

CASES = {case.name: case for case in (*movement(), *computation())}
every_kernel = pytest.mark.parametrize("name", CASES)

# Wavefronts above the ideal, counted over all requests of the kernel: what is known to be left, exactly.
CONFLICTS: dict[str, tuple[int, str]] = {
    "convert-int8-int32-int64": (
        320,
        "the layout that moves the narrow side in vectors strides over the wide side",
    ),
    "outside": (3, "a part of 15 columns of rows of 20: what a warp fills meets a bank again"),
    "permuted": (18, "the permuted tile is read in slices whose rows are shorter than a pass over the banks"),
    "branches": (184, "rows read backwards under a condition that differs from lane to lane"),
}
RUNS: dict[str, dict[str, Any]] = {"tile": {}, "simt": {"check": True, "mode": "late"}, "cpu": {}}


def agree(case: Case, backend: str, exact: bool) -> None:
    inputs = case.inputs(Draw(4, exact))
    bitwise = exact and case.exact
    actual = run_case(case, inputs, backend, **RUNS[backend])
    for name, value in case.reference(**inputs).items():
        rtol, atol = (0.0, 0.0) if bitwise else (case.rtol, case.atol)
        compare(f"{case.name}/{backend}/{name}", actual[name], value, rtol, atol)


@every_kernel
def test_executions_agree(name: str) -> None:
    agree(CASES[name], "tile", exact=True)
    agree(CASES[name], "simt", exact=True)
    agree(CASES[name], "tile", exact=False)


@every_kernel
@pytest.mark.cxx
def test_emitted_cuda_agrees(name: str) -> None:
    for exact in (True, False):
        agree(CASES[name], "cpu", exact)


@every_kernel
def test_the_machine_code_is_clean(name: str) -> None:
    """Nothing in local memory, and no bank conflict but those that are listed."""
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    lowered = CASES[name].compiled().lowered
    for r in lowered.compiled.resources:
        assert r.spill_store_bytes == r.spill_load_bytes == r.stack_bytes == 0, r
    found = [a for launch in lowered.final.launches for a in accesses(launch) if a.space == "shared"]
    expected, _ = CONFLICTS.get(name, (0, ""))
    assert sum(a.transactions - a.ideal for a in found) == expected, [a for a in found if a.transactions > a.ideal]
