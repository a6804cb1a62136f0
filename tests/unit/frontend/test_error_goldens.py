"""The messages for wrong kernels, word for word: tests/golden/errors/*.py, each a kernel with its message below it.

`pytest --update-golden` writes the messages. A file defines `kernel`, with `STATIC` and `TENSORS` where tracing needs
them, or `trigger()`, which raises by itself.
"""

from __future__ import annotations

import importlib.util
import textwrap
from pathlib import Path

import pytest

from tiledsl.catalogue import CATALOGUE
from tiledsl.errors import NOWHERE, TileError, VerifyError
from tiledsl.frontend.trace import TensorSpec, trace_kernel

HERE = Path(__file__).parents[2] / "golden" / "errors"
MARK = "\n\n\n# ruff: noqa\n# expect:\n"
# Errors about the function as a whole have no range within it.
CASES = sorted(HERE.glob("*.py"))


def raised_by(path: Path) -> TileError:
    spec = importlib.util.spec_from_file_location(f"golden_errors_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(TileError) as caught:
        if hasattr(module, "trigger"):
            module.trigger()
        else:
            tensors = {n: TensorSpec(*given) for n, given in getattr(module, "TENSORS", {}).items()}
            trace_kernel(module.kernel, getattr(module, "STATIC", {}), tensors)
    return caught.value


@pytest.mark.parametrize("path", CASES, ids=lambda p: p.stem)
def test_message(path: Path, request: pytest.FixtureRequest) -> None:
    problem = raised_by(path)
    assert not isinstance(problem, VerifyError) and problem.code != "TD0001", str(problem)
    assert problem.span is not NOWHERE and Path(problem.span.file).name == path.name
    message = str(problem).replace(f"{HERE}/", "")
    shown = textwrap.indent(message, "# ", lambda _line: True).replace("# \n", "#\n")
    text = path.read_text()
    kernel, _, expected = text.partition(MARK)
    if request.config.getoption("--update-golden"):
        path.write_text(kernel.rstrip("\n") + MARK + shown + "\n")
    else:
        assert shown == expected.rstrip("\n"), f"run pytest --update-golden if this is better:\n{message}"


def test_there_are_enough_messages() -> None:
    assert len(CASES) >= 40


def test_every_frontend_error_has_a_golden_message_or_a_reason() -> None:
    """Rows of the catalogue that no golden file shows are listed here, so that none is dead."""
    shown = {
        line.split(": ")[1] for p in CASES for line in p.read_text().splitlines() if line.startswith(f"# {p.name}:")
    }
    ours = {c for c in CATALOGUE if c.startswith(("TD01", "TD02"))}
    assert ours - shown - set(TESTED_ELSEWHERE) == set()


# code -> where it is tested
TESTED_ELSEWHERE: dict[str, str] = {
    "TD0291": "tests/unit/language/test_packed_numbers.py: arrays are packed on the host",
    "TD0276": "tests/unit/language/test_gemm_sp.py: matrices are compressed on the host",
}
