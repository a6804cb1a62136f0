"""Lines of the text know what they belong to."""

from __future__ import annotations

import pytest

from tiledsl.ir.nodes import For, If, Kernel, Launch, Stmt, While
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import lines, text
from tiledsl.ir.tile import Parallel
from tiledsl.ir.walk import walk

PROGRAM = """\
kernel k<n>(A: global float32[n], B: global float32[64]) {
  launch k(b in 2) threads(t in 32) {
    safe A = 1.0
    alloc s: shared float32[32]
    alloc x: var float32 = 0.0
    for i in n {
      if i < 3 {
        x[] = 1.0
      } else if i < 5 {
        break
      } else {
        parallel j in 32 {
          s[j] = A[j]
        }
        barrier
      }
    }
    while x < 4.0 {
      x = x + 1.0
    }
    if n == 4 {
    } else {
      B[t] = x
    }
  }
}
""".replace("x[] =", "x =")


@pytest.fixture(scope="module")
def kernel() -> Kernel:
    return parse(PROGRAM)


def test_the_lines_are_the_text(kernel: Kernel) -> None:
    assert "\n".join(line.text for line in lines(kernel)) + "\n" == text(kernel) == PROGRAM
    (launch,) = kernel.launches
    assert "\n".join(line.text for line in lines(launch)) == text(launch)


def test_every_statement_begins_one_line_and_its_text_stands_there(kernel: Kernel) -> None:
    begun = [line for line in lines(kernel) if isinstance(line.node, Stmt) and not line.closes]
    statements = [n for launch in kernel.launches for s in launch.body for n in walk(s) if isinstance(n, Stmt)]
    assert sorted(map(id, statements)) == sorted(id(line.node) for line in begun)
    names = {"t": "t", "x": "x"}  # names that a statement printed alone chooses as the kernel does
    alone = [line for line in begun if text(line.node).split("\n")[0] in line.text]
    assert len(alone) >= len(begun) - len(names)


def test_blocks_are_closed_by_lines_of_their_statement(kernel: Kernel) -> None:
    printed = lines(kernel)
    for line in printed:
        if line.closes:
            assert line.text.lstrip().startswith("}")
            assert isinstance(line.node, (For, If, While, Parallel, Launch, Kernel))
    elses = [line for line in printed if "else" in line.text]
    assert [(line.text.strip(), line.closes) for line in elses] == [
        ("} else if i < 5 {", False),
        ("} else {", True),
        ("} else {", True),
    ]


def test_spans_of_lines_are_those_of_the_text(kernel: Kernel) -> None:
    """The parser's spans count the lines of the text: what begins on a line has that line as its place."""
    for number, line in enumerate(lines(kernel), 1):
        if isinstance(line.node, Stmt) and not line.closes:
            assert line.node.span.line == number
