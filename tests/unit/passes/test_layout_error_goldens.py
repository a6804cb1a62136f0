"""The messages about layouts, word for word: tests/golden/layout_errors/*.py, each a kernel with its message below it.

`pytest --update-golden` writes the messages.
"""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path

import pytest

from tiledsl.catalogue import CATALOGUE
from tiledsl.errors import NOWHERE, TileError
from tiledsl.frontend.trace import trace_kernel
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.pipeline import pipeline
from tiledsl.target import target_named

HERE = Path(__file__).parents[2] / "golden" / "layout_errors"
MARK = "\n\n\n# ruff: noqa\n# expect:\n"
CASES = sorted(HERE.glob("*.py"))


def raised_by(path: Path) -> TileError:
    spec = importlib.util.spec_from_file_location(f"golden_layout_errors_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    passes = pipeline(target_named("sm_80"))
    until = [p.name for p in passes].index("lower-tiles") + 1
    with pytest.raises(TileError) as caught:
        run_pipeline(trace_kernel(module.kernel, {}, {}), passes[:until])
    return caught.value


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_message(path: Path, request: pytest.FixtureRequest) -> None:
    problem = raised_by(path)
    assert problem.code.startswith("TD03"), str(problem)
    assert problem.span is not NOWHERE and Path(problem.span.file).name == path.name
    message = str(problem).replace(f"{HERE}/", "")
    shown = textwrap.indent(message, "# ", lambda _line: True).replace("# \n", "#\n")
    text = path.read_text()
    kernel, _, expected = text.partition(MARK)
    if request.config.getoption("--update-golden"):
        path.write_text(kernel.rstrip("\n") + MARK + shown + "\n")
    else:
        assert shown == expected.rstrip("\n"), f"run pytest --update-golden if this is better:\n{message}"


# Rows that no kernel of the language reaches alone; each is tested where its reason is.
TESTED_ELSEWHERE = {
    "TD0312": "tests/unit/analysis/test_gemm_plan.py",
    "TD0319": "tests/unit/analysis/test_gemm_plan.py",
    "TD0320": "tests/unit/passes/test_infer_roles.py",
    "TD0303": "tests/unit/passes/test_infer_layouts.py",
    "TD0340": "tests/unit/passes/test_lower_statements.py",
    "TD0341": "tests/unit/passes/test_lower_reduce.py",
    "TD0342": "tests/unit/passes/test_lower_reduce.py",
}


def test_every_layout_error_has_a_message_or_a_place() -> None:
    shown = {
        line.split(": ")[1] for p in CASES for line in p.read_text().splitlines() if line.startswith(f"# {p.name}:")
    }
    assert {c for c in CATALOGUE if c.startswith("TD03")} - shown == TESTED_ELSEWHERE.keys()
