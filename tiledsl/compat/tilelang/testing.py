"""`tilelang.testing`: helpers for tests of kernels."""

from __future__ import annotations

import random
import sys
from typing import Any

import numpy as np

from tiledsl.compat.tilelang.profiler import torch_assert_close
from tiledsl.runtime.driver import find_driver

__all__ = [
    "main",
    "requires_cuda",
    "requires_cuda_compute_version",
    "requires_cuda_compute_version_ge",
    "set_random_seed",
    "torch_assert_close",
]


def set_random_seed(seed: int = 42) -> None:
    """Seeds the generators of Python, NumPy, and torch if it is there."""
    random.seed(seed)
    np.random.seed(seed)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(seed)


def main() -> None:
    """Runs the tests of the file that calls it."""
    import pytest

    sys.exit(pytest.main([sys.argv[0], *sys.argv[1:]]))


def requires_cuda(test: Any = None) -> Any:
    """Skips a test on a machine without a GPU. What works on NumPy arrays needs no GPU here, nor this mark."""
    return _marked(find_driver() is None, "no GPU", test)


def requires_cuda_compute_version(major: int, minor: int = 0, mode: str = "ge") -> Any:
    """Skips a test where there is no GPU of compute capability `major.minor` or later; with mode "eq" exactly that."""
    driver = find_driver()
    digits = "".join(c for c in driver.architecture(0) if c.isdigit()) if driver else ""
    have = (int(digits[:-1]), int(digits[-1])) if digits else (0, 0)
    fits = have == (major, minor) if mode == "eq" else have >= (major, minor)
    return _marked(not fits, f"no GPU of compute capability {major}.{minor}", None)


def requires_cuda_compute_version_ge(major: int, minor: int = 0) -> Any:
    """`requires_cuda_compute_version(major, minor)`."""
    return requires_cuda_compute_version(major, minor)


def _marked(skipped: bool, reason: str, test: Any) -> Any:
    import pytest

    mark = pytest.mark.skipif(skipped, reason=reason)
    return mark if test is None else mark(test)
