"""The detector on every example kernel: no report under many schedules, and the same results."""

from __future__ import annotations

from itertools import product
from typing import Any

import pytest
from cases import cases_by_name, executed, variants_with_rows
from test_examples import agree

from tiledsl.backends import Backend, run_on_cpu
from tiledsl.cpu.device import MODES, SCHEDULES
from tiledsl.cpu.findings import Finding
from tiledsl.testing.case import Draw

pytestmark = pytest.mark.cxx

CASES = cases_by_name()
SEEDS = 11  # with every mode and schedule: 99 runs
DEFAULT = (("random", "random", 2),)


def require_clean(variant: tuple[str, str], *hows: tuple[str, str, int]) -> None:
    case = CASES[variant[0]]
    lowered = case.compiled(variant[1]).lowered
    inputs: dict[str, Any] = dict(case.inputs(Draw(2, exact=True)))
    expected = case.reference(**inputs)
    for mode, schedule, seed in hows:
        findings: list[Finding] = []
        how = {"mode": mode, "schedule": schedule, "seed": seed, "findings": findings, "check": True}
        actual = executed(lowered, inputs, lambda b, _, h=how: run_on_cpu(lowered, b, Backend.CPU, **h))
        assert not findings, "\n".join(f.text for f in findings)
        agree(case, f"{mode}, {schedule}, seed {seed}", actual, expected, exact=True)


@pytest.mark.parametrize("variant", variants_with_rows())
def test_examples_are_clean(variant: tuple[str, str]) -> None:
    require_clean(variant, *DEFAULT)


@pytest.mark.slow
@pytest.mark.parametrize("variant", variants_with_rows())
def test_examples_are_clean_under_99_schedules(variant: tuple[str, str]) -> None:
    require_clean(variant, *product(MODES, SCHEDULES, range(SEEDS)))
