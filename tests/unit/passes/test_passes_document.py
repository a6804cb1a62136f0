"""docs/passes.md is what the passes say."""

from __future__ import annotations

from pathlib import Path

from tiledsl.passes.pipeline import PASSES
from tiledsl.tools.passes_document import document

DOC = Path(__file__).parents[3] / "docs" / "passes.md"


def test_the_committed_page_is_current() -> None:
    made = "run: python -m tiledsl.tools.passes_document > docs/passes.md"
    assert DOC.read_text(encoding="utf-8") == document(), made


def test_every_pass_says_why_it_is_safe() -> None:
    for p in PASSES.values():
        assert p.run.__doc__ and len(p.run.__doc__) > 80, p.name
