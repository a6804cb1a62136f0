"""The code of the tutorial runs, block after block, as a reader would type it."""

from __future__ import annotations

import linecache
import re
from pathlib import Path

import pytest

from tiledsl.testing.laws import LAWS

DOCS = Path(__file__).parents[2] / "docs"


def blocks(path: Path) -> list[str]:
    return re.findall(r"```python\n(.*?)```", path.read_text(), re.DOTALL)


@pytest.mark.parametrize("name", ["tutorial.md", "testing.md", "hopper.md", "tuning.md", "coming_from_tilelang.md"])
def test_code_of_the_page_runs(name: str) -> None:
    if name != "testing.md":
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
    """The tables of docs/testing.md have every invariant, and the laws and tests that they name exist.

    A law of `tiledsl.testing.laws` stands exactly in the rows of the invariants that it says it is about.
    """
    page = (DOCS / "testing.md").read_text()
    rows = [line.split(" | ") for line in page.splitlines() if re.match(r"\| [LIPSW]\d", line)]
    invariants = {x for row in rows for x in re.findall(r"[LIPSW]\d+", row[0])}
    lasts = (("L", 29), ("I", 23), ("P", 24), ("S", 26), ("W", 20))
    expected = [(letter, n) for letter, last in lasts for n in range(1, last + 1)]
    assert {f"{letter}{n}" for letter, n in expected} - invariants == {"S20", "S21"}
    tests = (DOCS.parent / "tests").rglob("test_*.py")
    defined = {name for path in tests for name in re.findall(r"^def (test_\w+)", path.read_text(), re.MULTILINE)}
    named = {name for row in rows for name in re.findall(r"`(\w+)`", row[2])}
    assert named - defined - LAWS.keys() == set()
    assert all(re.search(r"`\w+`", row[2]) for row in rows)
    for row in rows:
        own = set(re.findall(r"[LIPSW]\d+", row[0]))
        holders = {name for name, law in LAWS.items() if own & set(law.invariants)}
        assert holders <= set(re.findall(r"`(\w+)`", row[2])), f"{own} lacks {holders}"
