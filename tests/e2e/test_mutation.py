"""The checkers are checked on the IR: one synchronisation, guard, swizzle or version less, and a kernel is reported.

Each mutant of the last stage runs in the thread-stage interpreter with checking memory; what that cannot see (two
threads that store the same value, say) is emitted and runs on the checked CPU device. `pytest -rP` prints the score of
each checker, and the equivalent mutants with the reason (`verdicts.py`).
"""

from __future__ import annotations

import pytest
from mutation import mutants
from verdicts import CASES, Score, Subject, first, groups, reason

from tiledsl.codegen.cuda import emit
from tiledsl.ir.nodes import Kernel

pytestmark = pytest.mark.cxx


@pytest.mark.parametrize("name", CASES)
def test_every_mutant_is_caught(name: str) -> None:
    cases = groups().get(name)
    if cases is None:
        pytest.skip("its text is that of another case")
    subjects = [Subject(case) for case in cases]

    def verdict(kernel: Kernel, hopeless: bool) -> str:
        by = first(s.simt(kernel) for s in subjects)
        if by or hopeless:
            return by
        source = emit(kernel)
        return first(s.device(source, mode) for mode in ("late", "early", "random") for s in subjects)

    score = Score(name)
    for mutant in mutants(subjects[0].lowered.final):
        hopeless = reason(name, mutant.kind, mutant.what) is not None
        score.add(mutant.kind, mutant.what, verdict(mutant.kernel, hopeless))
    score.finish()
