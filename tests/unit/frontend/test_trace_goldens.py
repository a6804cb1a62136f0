"""What kernels become, as IR text, and what that IR computes: tests/golden/trace/*.py, each with its IR below it.

`pytest --update-golden` writes the text. A file defines `kernel`, with `STATIC` and `TENSORS` where tracing needs them,
`inputs(rng)` and `reference(**inputs)`; the tile-stage interpreter must give the reference bit for bit.
"""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import tiledsl
from tiledsl.cpu.tile_interp import run
from tiledsl.frontend.trace import TensorSpec, trace_kernel
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import same

HERE = Path(__file__).parents[2] / "golden" / "trace"
MARK = "\n\n\n# ruff: noqa\n# expect:\n"
CASES = sorted(HERE.glob("*.py"))


def loaded(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"golden_trace_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def traced(module: ModuleType) -> Kernel:
    tensors = {n: TensorSpec(*given) for n, given in getattr(module, "TENSORS", {}).items()}
    return trace_kernel(module.kernel, getattr(module, "STATIC", {}), tensors)


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_text(path: Path, request: pytest.FixtureRequest) -> None:
    kernel = traced(loaded(path))
    verify(kernel)
    assert same(parse(text(kernel)), kernel)
    shown = textwrap.indent(text(kernel).rstrip("\n"), "# ", lambda _line: True).replace("# \n", "#\n")
    source, _, expected = path.read_text().partition(MARK)
    if request.config.getoption("--update-golden"):
        path.write_text(source.rstrip("\n") + MARK + shown + "\n")
    else:
        assert shown == expected.rstrip("\n")


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_meaning(path: Path) -> None:
    module = loaded(path)
    if not hasattr(module, "inputs"):
        pytest.skip("only the text is tested")
    inputs = module.inputs(np.random.default_rng(0))
    arguments = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in inputs.items()}
    expected = module.reference(**inputs)
    run(traced(module), arguments)
    for name, value in expected.items():
        assert arguments[name].dtype == value.dtype
        np.testing.assert_array_equal(arguments[name], value, err_msg=name)


@pytest.mark.slow
@pytest.mark.cxx
@pytest.mark.parametrize("backend", ["simt", "cpu"])
@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_meaning_after_all_passes(path: Path, backend: str) -> None:
    module = loaded(path)
    if not hasattr(module, "inputs"):
        pytest.skip("only the text is tested")
    inputs = module.inputs(np.random.default_rng(0))
    arguments = {n: v.copy() if isinstance(v, np.ndarray) else v for n, v in inputs.items()}
    tensors = {n: TensorSpec(*given) for n, given in getattr(module, "TENSORS", {}).items()}
    compiled = tiledsl.kernel(module.kernel).compile(tensors, target="sm_80", **getattr(module, "STATIC", {}))
    compiled(backend=backend, **arguments)
    for name, value in module.reference(**inputs).items():
        np.testing.assert_array_equal(arguments[name], value, err_msg=name)
