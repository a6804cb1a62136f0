"""Every example on the GPU: exact inputs bit for bit, random ones within tolerance, results poisoned with NaN first."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "e2e"))

from cases import all_cases

from tiledsl.testing import check


def test_smoke() -> None:
    """Runs without a GPU too: the script that drives this folder relies on it."""
    check(all_cases()["add-33x71"], backends=("tile",))


@pytest.mark.gpu
@pytest.mark.parametrize("name", all_cases())
def test_on_the_gpu(name: str) -> None:
    from tiledsl.runtime.driver import find_driver

    driver = find_driver()
    assert driver is not None
    check(all_cases()[name], backends=("cuda",), target=driver.architecture(0))
