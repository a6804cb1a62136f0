"""Every example kernel, by name."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

from tiledsl.testing import Case

EXAMPLES = Path(__file__).parents[2] / "examples"
MODULES = ("elementwise", "normalisation", "reduction", "gemm", "attention")


@cache
def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{name}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def all_cases() -> dict[str, Case]:
    return {case.name: case for name in MODULES for case in load(name).cases()}
