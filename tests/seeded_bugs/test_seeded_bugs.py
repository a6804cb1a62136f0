"""Each seeded bug is caught by its law or verifier, which is content without it. `pytest -rP` shows the table."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from bug import Bug, seeded
from bugs import BUGS
from catchers import VERIFIERS, caught
from document import document

from tiledsl.cpu.toolchain import find_compiler
from tiledsl.testing.laws import LAWS

PAGE = Path(__file__).parents[2] / "docs" / "seeded_bugs.md"
EVERY = 6  # of the bugs, one in so many is tried by default
# The compiler without any bug, once for each law and number of examples.
sane = cache(caught)


def _row(number: int, bug: Bug) -> object:
    whole = bug.caught_by in LAWS and LAWS[bug.caught_by].room == "whole"  # laws of much time each
    marks = [pytest.mark.slow] if number % EVERY or whole else []
    return pytest.param(bug, id=bug.name.replace(" ", "-"), marks=marks)


@pytest.mark.parametrize("bug", [_row(n, b) for n, b in enumerate(BUGS)])
def test_a_seeded_bug_is_caught(bug: Bug) -> None:
    if bug.caught_by in LAWS and LAWS[bug.caught_by].compiler and find_compiler() is None:
        pytest.skip("no host C++ compiler was found")
    assert not sane(bug.caught_by, bug.examples), f"{bug.caught_by} fails without any bug"
    with seeded(bug):
        said = caught(bug.caught_by, bug.examples)
    print(f"{bug.name} | {bug.file} | {bug.caught_by} | {said[:100]}")
    assert said, f"{bug.caught_by} does not notice it"


@pytest.mark.parametrize("bug", BUGS, ids=lambda b: b.name.replace(" ", "-"))
def test_each_bug_has_its_place(bug: Bug) -> None:
    """The function is there, and the text to replace stands in it once."""
    with seeded(bug):
        pass


def test_there_are_enough_bugs_and_no_two_alike() -> None:
    assert len(BUGS) >= 60
    assert len({b.name for b in BUGS}) == len({(b.where, b.old, b.new) for b in BUGS}) == len(BUGS)
    assert {b.caught_by for b in BUGS} <= LAWS.keys() | VERIFIERS.keys()


def test_a_bug_is_gone_afterwards_and_its_text_must_be_there() -> None:
    bug = BUGS[0]
    with seeded(bug):
        assert caught(bug.caught_by, bug.examples)
    assert not caught(bug.caught_by, bug.examples)
    with pytest.raises(ValueError, match="occurs 0 times"), seeded(Bug("none", bug.where, "no such text", "", "")):
        pass


def test_the_committed_page_is_current() -> None:
    made = "run: python tests/seeded_bugs/document.py > docs/seeded_bugs.md"
    assert PAGE.read_text(encoding="utf-8") == document(), made
