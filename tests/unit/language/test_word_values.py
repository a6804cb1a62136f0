"""What the words compute, in all executions on the CPU, and the instructions that they become.

docs/language.md names these tests for the features that they hold (tiledsl/tools/language_features.py).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import word_arithmetic
import word_engine
import word_numbers
import word_products
import word_programs
import word_threads
import word_tiles
import word_widths
from word_case import WordCase

from tiledsl.checking.compare import difference

MODULES = (
    word_arithmetic,
    word_engine,
    word_numbers,
    word_products,
    word_programs,
    word_threads,
    word_tiles,
    word_widths,
)
TABLES = [module.CASES for module in MODULES]
CASES: dict[str, WordCase] = {name: case for table in TABLES for name, case in table.items()}
RUNS: dict[str, dict[str, Any]] = {"tile": {}, "simt": {"check": True, "mode": "late"}, "cpu": {}}
assert len(CASES) == sum(map(len, TABLES))


def agree(case: WordCase, backend: str) -> None:
    inputs = case.inputs(np.random.default_rng(0))
    found = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in inputs.items()}
    expected = case.reference(**inputs)
    case.kernel.compile(target=case.target)(backend=backend, **found)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype and found[name].shape == value.shape
        if wrong := difference(found[name], value, case.rtol, case.rtol):
            pytest.fail(f"{case.name} on {backend}: {name}{list(wrong.index)} is {wrong.actual}, not {wrong.expected}")


@pytest.mark.parametrize("name", CASES)
def test_values(name: str) -> None:
    agree(CASES[name], "tile")
    agree(CASES[name], "simt")


@pytest.mark.cxx
@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_values_of_the_emitted_text(name: str) -> None:
    agree(CASES[name], "cpu")


@pytest.mark.parametrize("name", [c.name for c in CASES.values() if c.ptx])
def test_instructions(name: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    case = CASES[name]
    ptx = case.kernel.compile(target=case.target).ptx
    assert [part for part in case.ptx if part not in ptx] == []
