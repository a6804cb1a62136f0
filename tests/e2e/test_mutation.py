"""The checkers are checked: without any one barrier, commit, wait or version, a kernel is reported or computes wrongly.

Equivalent mutants are listed by name with the reason. The score is printed with `pytest -s` or `-rP`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from cases import all_cases
from mutation import Mutant, mutants
from test_examples import execute

from tiledsl.cpu import interp
from tiledsl.errors import TileError
from tiledsl.testing import Case, Mismatch, compare
from tiledsl.testing.case import Draw

CASES = all_cases()

# (case prefix, mutant prefix) -> why the mutant computes the same
# order-globals separates the read of R by all replicas of an element from the write by one of them.
_WORKSPACE = "the barrier of the reduction's workspace, added later, also stands between the read and the write of R"
_ONE_WARP = "the replicas are lanes of one warp, which the shuffles of the reduction bring together after the read of R"
EQUIVALENT: dict[tuple[str, str], str] = {
    ("reduce-sum-dim0-accumulate", "Barrier 1 removed"): _WORKSPACE,
    ("reduce-max-dim0-accumulate", "Barrier 1 removed"): _WORKSPACE,
    ("reduce-sum-dim1-accumulate", "Barrier 0 removed"): _ONE_WARP,
    ("reduce-max-dim1-accumulate", "Barrier 0 removed"): _ONE_WARP,
}


def verdict(case: Case, mutant: Mutant, inputs: dict[str, Any], expected: dict[str, np.ndarray[Any, Any]]) -> str:
    """What caught the mutant, or an empty string."""
    lowered = case.compiled().lowered
    try:
        actual = execute(case, lowered, inputs, lambda _, a: interp.run(mutant.kernel, a, check=True, mode="late"))
        for name, value in expected.items():
            rtol, atol = (0.0, 0.0) if case.exact else (case.rtol, case.atol)
            compare(name, actual[name], value, rtol, atol)
    except TileError as error:
        return error.code
    except Mismatch:
        return "wrong value"
    return ""


@pytest.mark.parametrize("name", CASES)
def test_every_mutant_is_caught(name: str) -> None:
    case = CASES[name]
    inputs = dict(case.inputs(Draw(4, exact=True)))
    expected = dict(case.reference(**inputs))
    caught, equivalent, survivors = 0, [], []
    for mutant in mutants(case.compiled().lowered.final):
        reason = next((r for (c, m), r in EQUIVALENT.items() if name.startswith(c) and mutant.what.startswith(m)), None)
        by = verdict(case, mutant, inputs, expected)
        if by:
            assert reason is None, f"{mutant.what} is listed as equivalent but was caught by {by}"
            caught += 1
        elif reason is not None:
            equivalent.append(f"{mutant.what}: {reason}")
        else:
            survivors.append(mutant.what)
    print(f"{name}: {caught} of {caught + len(survivors)} mutants caught, {len(equivalent)} equivalent")
    for line in equivalent:
        print(f"    equivalent: {line}")
    assert not survivors, "\n".join(survivors)
