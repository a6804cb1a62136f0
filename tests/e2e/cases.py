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


@cache
def hopper_cases() -> dict[str, Case]:
    """Those whose text for sm_90a is another one: they multiply, or copy whole tiles through shared memory."""
    special = [case for name in ("gemm", "attention") for case in load(name).cases()]
    return {case.name: case for case in special} | {n: c for n, c in all_cases().items() if n.startswith("transpose")}


def variants() -> list[tuple[str, str]]:
    """(case, target) of all programs that differ."""
    return [(name, "sm_80") for name in all_cases()] + [(name, "sm_90a") for name in hopper_cases()]


def variant_id(variant: tuple[str, str]) -> str:
    return variant[0] if variant[1] == "sm_80" else f"{variant[0]}-{variant[1]}"
