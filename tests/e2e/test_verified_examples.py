"""Every plan of the example kernels passes its independent verifier."""

from __future__ import annotations

from typing import Any

import pytest
from cases import cases_by_name, row_cases, variant_id, variants

from tiledsl.passes.base import run_pipeline
from tiledsl.passes.pipeline import pipeline
from tiledsl.testing.row import targets_of

CASES = cases_by_name()
QUICK = ("add-33x71", "softmax-13x100", "reduce-sum-dim0", "gemm-3-stages", "gemm-ragged", "attention-d64-causal-90x90")
# On sm_90a: tiles stored by the copy engine and roles that go on, operands that are transposed, roles by hand.
QUICK_ON_SM90 = (
    *("gemm-3-stages", "gemm-odd", "gemm-hopper-persistent-384x128x192", "gemm-hopper-int8-TN"),
    *("gemm-warp-specialized-copy_gemm_0_1-136x72x168", "attention-d64-causal-90x90"),
)


def _parameter(variant: tuple[str, str]) -> Any:
    quick = variant[0] in (QUICK if variant[1] == "sm_80" else QUICK_ON_SM90)
    return pytest.param(variant, marks=[] if quick else [pytest.mark.slow], id=variant_id(variant))


ROWS = [(name, target) for name, case in row_cases().items() for target in targets_of(case)]


@pytest.mark.parametrize("variant", [_parameter(v) for v in (*variants(), *ROWS)])
def test_plans_pass_their_verifiers(variant: tuple[str, str]) -> None:
    name, target = variant
    lowered = CASES[name].compiled(target).lowered
    run_pipeline(lowered.stages[0].kernel, pipeline(lowered.target), check=True)
