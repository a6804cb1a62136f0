"""Examples and users' kernels stay the same programs after each pass and as C++, on inputs made from their IR."""

from __future__ import annotations

import pytest
import user_attention
import user_gemms
import user_loops
import user_seeds
from cases import all_cases
from user_computations import computation
from user_kernels import movement

from tiledsl.passes.pipeline import pipeline
from tiledsl.target import target_named
from tiledsl.testing import Case
from tiledsl.validation.observer import validate

PROGRAMS = [p for m in (user_seeds, user_gemms, user_loops, user_attention) for p in m.PROGRAMS]
CASES = {c.name: c for c in (*movement(), *computation(), *(Case(p.__name__, *p()) for p in PROGRAMS))} | all_cases()
QUICK = ("add-33x71", "softmax-13x100", "layer-norm-7x96", "transpose-70x45", "reduce-sum-dim1", "gemm-ragged")
QUICK += ("gemm-dynamic-70x50x105", "gemm-split-k-60x100x200", "gemm-block-sparse", "gemm-int8-TN", "decode-split-100")
SM_80 = target_named("sm_80")


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in QUICK else pytest.mark.slow) for n in CASES])
def test_every_pass_keeps_what_a_kernel_computes(name: str) -> None:
    found = validate(CASES[name].compiled().lowered.stages[0].kernel, pipeline(SM_80), SM_80)
    assert found is not None
    assert "lower-tiles" in found.passes
