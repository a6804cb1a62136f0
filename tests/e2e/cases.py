"""Every example kernel, by name, and how tests run one."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tiledsl.compile import Lowered
from tiledsl.runtime.arguments import Bound, as_array, bind
from tiledsl.testing import Case, Row
from tiledsl.testing.case import copies_of, poison
from tiledsl.testing.row import targets_of
from tiledsl.tools.loading import find_rows

EXAMPLES = Path(__file__).parents[2] / "examples"
CONVOLUTION, LATENT = "convolution/example_convolution", "deepseek_mla/example_mla_decode"
MODULES = ("elementwise", "normalisation", "reduction", "gemm", "attention", CONVOLUTION)
HOPPER_MODULES = (  # of interest for sm_90a only
    *("gemm_hopper", "gemm_producers", "grouped_gemm", "block_sparse", "gemm_cluster"),
    *("warp_specialize/example_warp_specialize_gemm", "attention_hopper", "attention_backward", LATENT),
    "dependent_launch",
)


@cache
def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{Path(name).stem}", EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def all_cases() -> dict[str, Case]:
    """Those for every target."""
    return {case.name: case for name in MODULES for case in load(name).cases()}


@cache
def hopper_cases() -> dict[str, Case]:
    """Those whose text for sm_90a is another one, or the only one: they multiply, or copy whole tiles through shared
    memory."""
    special = [case for name in ("gemm", "attention", CONVOLUTION, *HOPPER_MODULES) for case in load(name).cases()]
    return {case.name: case for case in special} | {n: c for n, c in all_cases().items() if n.startswith("transpose")}


@cache
def all_rows() -> dict[str, list[Row]]:
    """The rows of docs/rows.md, by family."""
    found: dict[str, list[Row]] = {}
    for path, rows in find_rows(EXAMPLES).items():
        found.setdefault(path.parent.name, []).extend(rows)
    return found


@cache
def row_cases() -> dict[str, Case]:
    """The reduced cases of the rows. What they are made of is among the other examples, so checkers need not try
    them: they are not among the `variants`."""
    return {case.name: case for rows in all_rows().values() for row in rows for case in row.reduced}


@cache
def cases_by_name() -> dict[str, Case]:
    """All of them, for whatever targets."""
    return all_cases() | hopper_cases() | row_cases()


def variants() -> list[tuple[str, str]]:
    """(case, target) of all programs that differ."""
    return [(name, "sm_80") for name in all_cases()] + [(name, "sm_90a") for name in hopper_cases()]


def variants_with_rows(alike: Callable[[str], object] = lambda name: False, rows: bool = True) -> list[Any]:
    """The variants as parameters of a test, and those of the rows. Slow are the cases that are `alike`, and of each row
    all but its first case on the newest target, or without `rows` that too."""
    first = [row.reduced[0] for some in all_rows().values() for row in some]
    quick = {(case.name, targets_of(case)[-1]) for case in first} if rows else set()
    of_rows = [(name, target) for name, case in row_cases().items() for target in targets_of(case)]
    slow = {v for v in variants() if alike(v[0])} | {v for v in of_rows if v not in quick}
    return [
        pytest.param(v, marks=[pytest.mark.slow] if v in slow else [], id=variant_id(v)) for v in variants() + of_rows
    ]


def variant_id(variant: tuple[str, str]) -> str:
    return variant[0] if variant[1] == "sm_80" else f"{variant[0]}-{variant[1]}"


Execute = Callable[[Bound, dict[str, Any]], object]  # the arguments as they are bound, and by name


def executed(lowered: Lowered, inputs: Mapping[str, Any], run: Execute) -> dict[str, np.ndarray[Any, Any]]:
    """Every tensor by name after `run` on copies of the inputs; results hold all ones bits before."""
    bound = bind(lowered.signature, (), copies_of(inputs))
    arrays = {n: as_array(t) for n, t in bound.tensors.items()}
    for name in bound.results:
        poison(arrays[name])
    run(bound, {**arrays, **bound.scalars, **bound.sizes})
    return arrays
