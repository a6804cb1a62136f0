"""What the kernels of tiledsl/testing/programs/ become, as IR text, and what that IR computes.

tests/golden/trace/ has a file of the same name for each: the IR, which `pytest --update-golden` writes, and where it
can be executed `inputs(rng)` and `reference(**inputs)`, which the tile-stage interpreter must give bit for bit.
"""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import tiledsl
from tiledsl.cpu.tile_interp import run
from tiledsl.frontend.trace import TensorSpec, trace_kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import same
from tiledsl.testing.strategies.sources import SOURCES

HERE = Path(__file__).parents[2] / "golden" / "trace"
MARK = "# ruff: noqa\n# expect:\n"
CASES = sorted(SOURCES)


def golden(case: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"golden_trace_{case}", HERE / f"{case}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def program(case: str) -> tuple[Callable[..., Any], dict[str, Any], dict[str, TensorSpec]]:
    """The function, and the values and tensors that it is traced with."""
    module = importlib.import_module(f"tiledsl.testing.programs.{case}")
    tensors = {n: TensorSpec(*given) for n, given in getattr(module, "TENSORS", {}).items()}
    return module.kernel, getattr(module, "STATIC", {}), tensors


@pytest.mark.parametrize("case", CASES)
def test_text(case: str, request: pytest.FixtureRequest) -> None:
    kernel = trace_kernel(*program(case))
    verify(kernel)
    assert same(parse(text(kernel)), kernel)
    shown = textwrap.indent(text(kernel).rstrip("\n"), "# ", lambda _line: True).replace("# \n", "#\n")
    path = HERE / f"{case}.py"
    source, _, expected = path.read_text().partition(MARK)
    if request.config.getoption("--update-golden"):
        path.write_text(source + MARK + shown + "\n")
    else:
        assert shown == expected.rstrip("\n")


@pytest.mark.parametrize("case", CASES)
def test_meaning(case: str) -> None:
    module = golden(case)
    if not hasattr(module, "inputs"):
        pytest.skip("only the text is tested")
    inputs = module.inputs(np.random.default_rng(0))
    arguments = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in inputs.items()}
    expected = module.reference(**inputs)
    run(trace_kernel(*program(case)), arguments)
    for name, value in expected.items():
        assert arguments[name].dtype == value.dtype
        np.testing.assert_array_equal(arguments[name], value, err_msg=name)


@pytest.mark.slow
@pytest.mark.cxx
@pytest.mark.parametrize("backend", ["simt", "cpu"])
@pytest.mark.parametrize("case", CASES)
def test_meaning_after_all_passes(case: str, backend: str) -> None:
    module = golden(case)
    if not hasattr(module, "inputs"):
        pytest.skip("only the text is tested")
    inputs = module.inputs(np.random.default_rng(0))
    arguments = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in inputs.items()}
    kernel, static, tensors = program(case)
    compiled = tiledsl.kernel(kernel).compile(tensors, target="sm_80", **static)
    compiled(backend=backend, **arguments)
    for name, value in module.reference(**inputs).items():
        np.testing.assert_array_equal(arguments[name], value, err_msg=name)
