"""Every example under many schedules of the checked CPU device: nothing is found, and the results are the reference's.

The commands of this: `tiledsl check examples/gemm.py --schedules 100`.
"""

from __future__ import annotations

import pytest
from cases import cases_by_name, variant_id, variants_with_rows

from tiledsl.checking import Reference, check
from tiledsl.testing.case import Draw

CASES = cases_by_name()
# One of each kind: staged copies, reductions within and across warps, atomic sums, two launches, run-time sizes.
SOME = (
    *("transpose-70x45", "softmax-13x100", "gemm-3-stages", "gemm-split-k-60x100x200", "gemm-dynamic-70x50x105"),
    *("attention-d64-causal-90x90", "decode-split-100"),
)
# On sm_90a: roles with products in flight, copies left to the consumers, products without roles, bulk stores.
SOME_ON_SM90 = (
    *("gemm-3-stages", "gemm-split-k-60x100x200", "gemm-odd", "transpose-128x64", "gemm-block-sparse"),
    "attention-d64-causal-90x90",
    # Tiles of C stored while the next is loaded, parts of tiles, groups, lists of blocks, roles written by hand.
    *("gemm-hopper-one-role-3-stages", "gemm-hopper-one-role-persistent", "attention-hopper-one-role-d64"),
    *("gemm-hopper-persistent-200x136x200", "gemm-hopper-stream-k-600x64x168", "gemm-hopper-split-k-bulk-136x72x584"),
    *("gemm-hopper-scaled-136x72x528", "gemm-grouped-persistent-ragged", "block-sparse-mask-roles"),
    *("gemm-cluster-2x1-200x136x328", "gemm-cluster-by-hand-136x200x136"),
    *("block-sparse-list-2-names-roles", "gemm-warp-specialized-barrierpipe_stage2-136x72x168"),
)


def nothing_is_found(variant: tuple[str, str], schedules: int) -> None:
    name, target = variant
    case = CASES[name]
    inputs = case.inputs(Draw(4))
    tolerances = (0.0, 0.0) if case.exact else (case.rtol, case.atol)
    reference = Reference(case.reference(**inputs), *tolerances)
    result = check(case.compiled(target), (), inputs, schedules=schedules, reference=reference)
    assert result.ok, str(result)
    assert len(result.schedules) == schedules and result.compared[-1] == "the reference"


@pytest.mark.cxx
@pytest.mark.parametrize(
    "variant", [*((n, "sm_80") for n in SOME), *((n, "sm_90a") for n in SOME_ON_SM90)], ids=variant_id
)
def test_some_examples_under_a_few_schedules(variant: tuple[str, str]) -> None:
    nothing_is_found(variant, 4)


@pytest.mark.cxx
@pytest.mark.slow
@pytest.mark.parametrize("variant", variants_with_rows())
def test_every_example_under_100_schedules(variant: tuple[str, str]) -> None:
    nothing_is_found(variant, 100)
