"""Hypothesis profiles, the full run, and the reason for every test that this machine cannot run."""

from __future__ import annotations

import os
from collections.abc import Iterator

# Spinning BLAS threads distort everything on few cores; set before NumPy loads.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "default",
    max_examples=50,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile("deep", max_examples=2000, deadline=None, suppress_health_check=list(HealthCheck))
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run the slow tests too")
    parser.addoption("--update-golden", action="store_true", help="write what the golden tests see as expected")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if item.get_closest_marker("slow") and not config.getoption("--full"):
            item.add_marker(pytest.mark.skip(reason="slow: run pytest --full"))
        if item.get_closest_marker("cxx") and not _has_compiler():
            item.add_marker(pytest.mark.skip(reason="no host C++ compiler was found"))
        if item.get_closest_marker("gpu") and not _has_gpu():
            item.add_marker(pytest.mark.skip(reason="no NVIDIA GPU with a driver was found"))


@pytest.fixture(autouse=True)
def _settings_stay() -> Iterator[None]:
    """A test that leaves a variable of tiledsl behind decides what the tests after it see."""
    before = _settings()
    yield
    assert _settings() == before, "the test changed TILEDSL_ variables of the process"


def _settings() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("TILEDSL_")}


def _has_compiler() -> bool:
    from tiledsl.cpu.toolchain import find_compiler

    return find_compiler() is not None


def _has_gpu() -> bool:
    from tiledsl.runtime.driver import find_driver

    return find_driver() is not None
