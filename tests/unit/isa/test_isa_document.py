"""docs/isa.md is what the table says."""

from __future__ import annotations

import re
from pathlib import Path

from tiledsl.ir.layout import fragment
from tiledsl.isa.document import markdown, notation
from tiledsl.isa.table import ATOMS
from tiledsl.isa.wgmma import TYPES, wgmma_rows

DOC = Path(__file__).parents[3] / "docs" / "isa.md"


def test_isa_page_is_current() -> None:
    assert DOC.read_text() == markdown()


def test_families_of_wgmma_have_every_row() -> None:
    """From the table of the page alone: the numbers of n of each family, twice, add up to the rows that there are."""
    rows = re.findall(r"^\| (\w+) \| (\w+) \| (\w+) \| (\d+) \| ([\d, .]+) \| k", markdown(), re.MULTILINE)
    families = {tuple(types): _counted(n) for *types, _, n in rows}
    assert list(families) == [tuple(map(str, types)) for types in TYPES]
    assert 2 * sum(families.values()) == sum(1 for _ in wgmma_rows())


def _counted(numbers: str) -> int:
    """How many numbers `8, 16, ..., 32, 48, 64, ..., 256` stands for."""
    found: list[int] = []
    words = numbers.split(", ")
    for before, word in zip(["", *words], words):
        if before == "...":
            step = found[-1] - found[-2]
            found += range(found[-1] + step, int(word) + 1, step)
        elif word != "...":
            found.append(int(word))
    return len(found)


def test_notation_is_read_back() -> None:
    for atom in ATOMS.values():
        for op in atom.operands:
            dims = {"d": "mn", "a": "mk", "b": "kn", "e": "me"}[op.name] if atom.kind.startswith("mma") else "qij"
            again = fragment(dims, *notation(op.fragment, dims))
            assert (again.threads, again.regs) == (op.fragment.threads, op.fragment.regs)
