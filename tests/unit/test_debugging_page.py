"""The commands of docs/debugging.md run one after the other, and print what the page says."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from console import Command, agrees, parts, play, rewritten

from tiledsl.tools.loading import load_tile_kernel

PAGE = Path(__file__).parents[2] / "docs" / "debugging.md"


@pytest.mark.cxx
def test_every_command_prints_what_the_page_says(tmp_path: Path, pytestconfig: pytest.Config) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    if find_spec("jinja2") is None:
        pytest.skip("jinja2 is not installed")
    page = PAGE.read_text()
    wrong: dict[str, str] = {}
    for part in parts(page):
        printed = play(part, tmp_path)
        if isinstance(part, Command) and not agrees(part.output, printed):
            wrong[part.line] = printed
    if wrong and pytestconfig.getoption("--update-golden"):
        PAGE.write_text(rewritten(page, wrong))
    assert not wrong, "\n".join(f"$ {line}\n{printed}" for line, printed in wrong.items())


def test_the_comparison_compares() -> None:
    assert agrees("a ... c\n...\nend\n", "a b c\nmuch\nmore\nend\n")
    assert not agrees("a\n", "b\n") and not agrees("a\n...\n", "b\nc\n") and not agrees("a.c\n", "abc\n")
    page = "x\n<!-- file: a.py -->\n```python\n1\n```\n```console\n$ one\nout\n$ two\n```\n"
    assert [type(p).__name__ for p in parts(page)] == ["File", "Command", "Command"]
    assert rewritten(page, {"two": "new\n"}).endswith("$ one\nout\n$ two\nnew\n```\n")


@pytest.mark.parametrize("command", ["check", "bisect"])
def test_commands_of_the_readme_name_what_there_is(command: str) -> None:
    """They run elsewhere (tests/e2e); here, that their kernel is found and compiles."""
    readme = (PAGE.parents[1] / "README.md").read_text()
    (spec,) = re.findall(rf"^tiledsl {command} (\S+)", readme, re.MULTILINE)
    kernel, static = load_tile_kernel(str(PAGE.parents[1] / spec), {})
    assert kernel.trace(**static).name == "gemm"
