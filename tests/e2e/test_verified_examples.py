"""Every plan of the example kernels passes its independent verifier."""

from __future__ import annotations

import pytest
from cases import all_cases

from tiledsl.passes.base import run_pipeline
from tiledsl.passes.pipeline import pipeline

CASES = all_cases()
QUICK = ("add-33x71", "softmax-13x100", "reduce-sum-dim0", "gemm-3-stages", "gemm-ragged", "attention-d64-causal-90x90")


@pytest.mark.parametrize("name", [pytest.param(n, marks=[] if n in QUICK else [pytest.mark.slow]) for n in CASES])
def test_plans_pass_their_verifiers(name: str) -> None:
    lowered = CASES[name].compiled().lowered
    run_pipeline(lowered.stages[0].kernel, pipeline(lowered.target), check=True)
