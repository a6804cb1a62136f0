"""docs/language.md says what the docstrings of the words say."""

from __future__ import annotations

from pathlib import Path

import tiledsl.language as T
from tiledsl.language.unsupported import UNSUPPORTED
from tiledsl.tools.language_docs import language_page

PAGE = Path(__file__).parents[3] / "docs" / "language.md"


def test_the_page_is_current() -> None:
    assert PAGE.read_text() == language_page(), "run: python -m tiledsl.tools.language_docs > docs/language.md"


def test_every_word_has_a_docstring_and_a_line() -> None:
    page = PAGE.read_text()
    for name in T.__all__:
        assert f"`T.{name}" in page, name
    for name in UNSUPPORTED:
        assert f"`T.{name}`" in page, name


def test_no_word_is_both_there_and_planned() -> None:
    assert not set(T.__all__) & set(UNSUPPORTED)
