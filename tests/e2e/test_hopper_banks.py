"""No access to shared memory of a kernel for sm_90a meets a bank twice: of threads, or through matrix descriptors."""

from __future__ import annotations

import pytest
from cases import hopper_cases

from tiledsl.report.accesses import Access, accesses

CASES = hopper_cases()
ORDINARY = (
    "wgmma multiplies no float32 by float32. Each thread has 4 neighbouring columns, here rows of 128 bytes, and "
    "the copy engine has no padded rows"
)
# Wavefronts above the ideal over all blocks and iterations: what is known to be left, exactly, and why.
CONFLICTS: dict[str, tuple[int, str]] = {
    "gemm-float32-NT": (35840, ORDINARY),
    "gemm-float32-TT": (35840, ORDINARY),
}


def shared_accesses(name: str) -> list[Access]:
    lowered = CASES[name].compiled("sm_90a").lowered
    return [a for launch in lowered.final.launches for a in accesses(launch) if a.space == "shared"]


@pytest.mark.parametrize("name", CASES)
def test_no_bank_conflicts(name: str) -> None:
    """In the main loop, in what is before it, and where the results leave."""
    found = shared_accesses(name)
    expected, _ = CONFLICTS.get(name, (0, ""))
    assert sum(a.transactions - a.ideal for a in found) == expected, [a for a in found if a.transactions > a.ideal]


def test_products_and_epilogues_are_among_them() -> None:
    found = shared_accesses("gemm-hopper-e4m3-NN")
    assert {a.op.partition("_")[0] for a in found} >= {"bulk load", "load", "store", "wgmma", "stmatrix", "bulk store"}
    assert {a.buffer for a in found if a.op.startswith("wgmma")} == {"A_shared", "B_shared_t"}
    assert all(a.exact and a.requests and a.ideal for a in found)
