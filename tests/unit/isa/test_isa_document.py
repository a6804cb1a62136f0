"""docs/isa.md is what the table says."""

from __future__ import annotations

from pathlib import Path

from tiledsl.ir.layout import fragment
from tiledsl.isa.document import markdown, notation
from tiledsl.isa.table import ATOMS

DOC = Path(__file__).parents[3] / "docs" / "isa.md"


def test_isa_page_is_current() -> None:
    assert DOC.read_text() == markdown()


def test_notation_is_read_back() -> None:
    for atom in ATOMS.values():
        for op in atom.operands:
            dims = "qij" if atom.kind != "mma" else {"d": "mn", "a": "mk", "b": "kn"}[op.name]
            again = fragment(dims, *notation(op.fragment, dims))
            assert (again.threads, again.regs) == (op.fragment.threads, op.fragment.regs)
