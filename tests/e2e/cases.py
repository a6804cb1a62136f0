"""Every example kernel, by name, and how tests run one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from tiledsl.compile import Lowered
from tiledsl.runtime.arguments import Bound, as_array, bind
from tiledsl.testing import Case
from tiledsl.testing.case import copies_of, poison

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


Execute = Callable[[Bound, dict[str, Any]], object]  # the arguments as they are bound, and by name


def executed(lowered: Lowered, inputs: Mapping[str, Any], run: Execute) -> dict[str, np.ndarray[Any, Any]]:
    """Every tensor by name after `run` on copies of the inputs; results hold all ones bits before."""
    bound = bind(lowered.signature, (), copies_of(inputs))
    arrays = {n: as_array(t) for n, t in bound.tensors.items()}
    for name in bound.results:
        poison(arrays[name])
    run(bound, {**arrays, **bound.scalars, **bound.sizes})
    return arrays
