"""The code of the tutorial runs, block after block, as a reader would type it."""

from __future__ import annotations

import linecache
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


def blocks(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)


@pytest.mark.parametrize("name", ["tutorial.md"])
def test_code_of_the_page_runs(name: str) -> None:
    pytest.importorskip("cuda.bindings.nvrtc", reason="cuda-python is not installed")
    found = blocks(DOCS / name)
    assert found
    scope: dict[str, object] = {"__name__": "tutorial"}
    for number, code in enumerate(found):
        # The frontend reads a kernel's source: give the block a file that linecache knows.
        file = f"<{name} block {number}>"
        linecache.cache[file] = (len(code), None, code.splitlines(keepends=True), file)
        exec(compile(code, file, "exec"), scope)
