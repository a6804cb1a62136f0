"""The examples of docs/ir.md are IR text: they parse, are well-formed, and print as they stand."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tiledsl.ir.literals import layout_text
from tiledsl.ir.parser import parse, parse_layout
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify

PAGE = (Path(__file__).parents[3] / "docs" / "ir.md").read_text()
# The names that the tables use.
CONTEXT = """
kernel k(A: global float32[8, 8], image: global float32[1, 8, 8, 8], x: float32, c: bool, n: int32) {{
  launch main(b in 1) threads(t in 32) {{
    alloc S: shared float32[8, 8]
    alloc V: shared float32[8, 8] versions(2)
    alloc W: shared float32[16, 8]
    alloc E: fragment uint16[8, 1]
    alloc F: fragment float32[8, 8]
    alloc R: fragment float32[8]
    alloc L: local float32[8]
    alloc bar: barrier uint64[2] = 1
    {statement}
  }}
}}
"""


def table(heading: str) -> list[str]:
    """The code in the first column of the table under a heading."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [code for row in rows for code in re.findall(r"`([^`]+)`", row)]


@pytest.mark.parametrize("block", re.findall(r"```tir\n(.*?)```", PAGE, re.DOTALL))
def test_kernels(block: str) -> None:
    kernel = parse(block)
    verify(kernel)
    assert verify(parse(text(kernel))) is None


def test_the_first_kernel_is_what_the_printer_writes() -> None:
    block = re.findall(r"```tir\n(.*?)```", PAGE, re.DOTALL)[0]
    assert text(parse(block)) == block


@pytest.mark.parametrize(
    "statement", table("Statements") + table("Roles, barriers, the copy engine") + table("Tile statements")
)
def test_statements(statement: str) -> None:
    verify(parse(CONTEXT.format(statement=statement)))


@pytest.mark.parametrize("expression", table("Expressions"))
def test_expressions(expression: str) -> None:
    verify(parse(CONTEXT.format(statement=f"evaluate {expression}")))


@pytest.mark.parametrize("layout", re.findall(r"`((?:fragment|shared)\[\d[^`]*)`", PAGE))
def test_layouts(layout: str) -> None:
    assert layout_text(parse_layout(layout)) == layout
