"""Every example on the GPU: exact inputs bit for bit, random ones within tolerance, results poisoned with NaN first."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from cases import cases_by_name

from tiledsl.testing import check


def test_smoke() -> None:
    """Runs without a GPU too: the script that drives this folder relies on it."""
    check(cases_by_name()["add-33x71"], backends=("tile",))


@pytest.mark.gpu
@pytest.mark.parametrize("name", cases_by_name())
def test_on_the_gpu(name: str) -> None:
    from tiledsl.runtime.driver import find_driver

    driver = find_driver()
    assert driver is not None
    case, target = cases_by_name()[name], driver.architecture(0)
    if target not in case.targets:
        pytest.skip(f"the kernel is for {', '.join(case.targets)}")
    check(case, backends=("cuda",), target=target)
