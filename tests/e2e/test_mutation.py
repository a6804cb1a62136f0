"""The checkers are checked on the IR: one synchronisation, guard, swizzle or version less, and a kernel is reported.

Each mutant of the last stage runs in the thread-stage interpreter with checking memory; what that cannot see (two
threads that store the same value, or a fence less) is emitted and runs on the checked CPU device. `pytest -rP` prints
the score of each checker, and the equivalent mutants with the reason (`verdicts.py`).
"""

from __future__ import annotations

import pytest
from cases import variant_id
from mutation import Mutant, mutants
from verdicts import Score, Variant, every_variant, first, reason, subjects_of

from tiledsl.codegen.cuda import emit
from tiledsl.cpu.turns import Order

pytestmark = pytest.mark.cxx
ONLY_ON_THE_DEVICE = ("Fence", "SetRegisters")  # the interpreter has neither proxies nor a number of registers


def orders(target: str, kind: str) -> tuple[Order, ...]:
    """Who goes on first matters where there are roles, and something is wrong with what they tell each other."""
    if kind in ONLY_ON_THE_DEVICE:
        return ()
    alike = target == "sm_80" or kind in ("guard", "selection", "swizzle")
    return ("first",) if alike else ("first", "last", "random")


# Elsewhere the interpreter takes minutes, and the faults are those of the others.
@every_variant(but="(attention-hopper|attention-backward|mla-decode|block-sparse|gemm-grouped|gemm-hopper).*")
def test_every_mutant_is_caught(variant: Variant) -> None:
    subjects = subjects_of(variant)

    def verdict(mutant: Mutant) -> str:
        hopeless = reason(score.name, mutant.kind, mutant.what) is not None
        by = first(s.simt(mutant.kernel, order) for order in orders(variant[1], mutant.kind) for s in subjects)
        if by or hopeless:
            return by
        source = emit(mutant.kernel)
        return first(s.device(source, mode) for mode in ("late", "early", "random") for s in subjects)

    score = Score(variant_id(variant))
    for mutant in mutants(subjects[0].lowered.final):
        score.add(mutant.kind, mutant.what, verdict(mutant))
    score.finish()
