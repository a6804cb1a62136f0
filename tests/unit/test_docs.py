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


def test_every_law_names_the_tests_that_hold_it() -> None:
    """The tables of docs/testing.md have every law, and the tests that they name exist."""
    page = (DOCS / "testing.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if re.match(r"\| [LIP]\d", line)]
    laws = {law for row in rows for law in re.findall(r"[LIP]\d+", row[0])}
    expected = [(letter, n) for letter, last in (("L", 29), ("I", 23), ("P", 24)) for n in range(1, last + 1)]
    assert {f"{letter}{n}" for letter, n in expected} - laws == {"L28"}
    tests = (DOCS.parent / "tests").rglob("test_*.py")
    defined = {name for path in tests for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}
    named = {name for row in rows for name in re.findall(r"`(test_\w+)`", row[2])}
    assert named - defined == set()
    assert all(re.search(r"`test_\w+`", row[2]) for row in rows)
