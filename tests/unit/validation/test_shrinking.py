"""Delta debugging: what is left is interesting, valid, and nothing of it can go."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from planted import other_sign, traced

from tiledsl.cli import main
from tiledsl.errors import TileError
from tiledsl.ir.nodes import AsyncWait, Buffer, For, If, Kernel, Pipelined, Space
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.tile import Copy, Gemm
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import same, walk
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.pipeline import PASSES, pipeline
from tiledsl.target import target_named
from tiledsl.validation.compare import Stage, execute, first_difference
from tiledsl.validation.inputs import make_inputs
from tiledsl.validation.reduce import reduce_kernel, weight

BIG = """\
kernel big<m>(A: global float32[m, 64], B: global float32[m, 64], C: global float32[m, 64], n: int32) -> C {
  scratch W: global float32[m, 64]
  launch first(b in (m + 31) // 32, c in 2) threads(t in 128) min_blocks(2) {
    safe A = 1.0
    alloc x: fragment float32[32, 64]
    alloc y: fragment float32[32, 64]
    copy(width=4) A[b * 32 : 32, 0 : 64] -> x
    copy B[b * 32 : 32, 0 : 64] -> y
    let five = 5
    for k in five pipelined(stages=2) {
      parallel i in 32, j in 64 {
        x[i, j] = x[i, j] + y[i, j] * 2.0 + 3.0
      }
    }
    if n > 3 {
      fill y, 0.0
    } else {
      copy x -> W[b * 32 : 32, 0 : 64]
    }
  }
  launch second(b_1 in (m + 31) // 32) threads(t_1 in 128) {
    alloc z: fragment float32[32, 64]
    copy W[b_1 * 32 : 32, 0 : 64] -> z
    copy z -> C[b_1 * 32 : 32, 0 : 64]
  }
}
"""

# what makes a program interesting -> all that must be left of it
KNOWN: dict[str, tuple[Callable[[Kernel], bool], str]] = {
    "a branch": (
        lambda k: any(isinstance(n, If) for n in walk(k)),
        """\
kernel big() {
  launch first(c in 0) threads(t in 1) {
    if false {
    }
  }
}
""",
    ),
    "a fragment of two dimensions that is copied to": (
        lambda k: any(
            isinstance(n, Copy) and n.dst.buffer.space is Space.FRAGMENT and len(n.dst.buffer.shape) == 2
            for n in walk(k)
        ),
        """\
kernel big() {
  scratch W: global float32[1]
  launch second(b_1 in 0) threads(t_1 in 1) {
    alloc z: fragment float32[1, 1]
    copy W -> z
  }
}
""",
    ),
    "a pipelined loop": (
        lambda k: any(isinstance(n, For) and isinstance(n.kind, Pipelined) for n in walk(k)),
        """\
kernel big() {
  launch first(c in 0) threads(t in 1) {
    for k in 0 pipelined {
    }
  }
}
""",
    ),
    "two launches": (
        lambda k: len(k.launches) == 2,
        """\
kernel big() {
  launch first(c in 0) threads(t in 1) {
  }
  launch second(b_1 in 0) threads(t_1 in 1) {
  }
}
""",
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_known_failure_becomes_the_smallest_program(name: str) -> None:
    interesting, expected = KNOWN[name]
    found = reduce_kernel(parse(BIG), interesting)
    assert text(found) == expected


WRONG_SUM = """\
kernel everything(C: global float16[1]) {
  launch everything(by in 1) threads(thread in 1) {
    alloc half: fragment float16[1]
    half[0] = float16(0.0) + float16(1.0)
    copy half -> C
  }
}
"""


def test_a_wrong_pass_needs_one_sum() -> None:
    """As a user would reduce a wrong result: the program computes something else with the bug than without."""

    def differs(k: Kernel) -> bool:
        try:
            wrong = other_sign(k)
            inputs = make_inputs(k, {})
            return first_difference(*(execute(x, inputs, Stage.TILE) for x in (k, wrong))) is not None
        except (AssertionError, TileError, TypeError):
            return False

    found = reduce_kernel(traced(), differs)
    assert text(found) == WRONG_SUM


RICH: dict[str, Callable[[Kernel], bool]] = {
    "a product": lambda k: any(isinstance(n, Gemm) for n in walk(k)),
    "a wait after the pipeline": lambda k: any(isinstance(n, AsyncWait) for n in walk(piped(k))),
    "versions": lambda k: any(isinstance(n, Buffer) and n.versions > 1 for n in walk(piped(k))),
}


def piped(k: Kernel) -> Kernel:
    try:
        passes = pipeline(target_named("sm_80"))
        return run_pipeline(k, passes[: list(PASSES).index("software-pipeline") + 1])
    except (TileError, TypeError):
        return k


@pytest.mark.parametrize("name", RICH)
def test_results_are_interesting_valid_smaller_and_reduce_to_themselves(name: str) -> None:
    asked: list[Kernel] = []

    def interesting(k: Kernel) -> bool:
        asked.append(k)
        return RICH[name](k)

    start = traced()
    found = reduce_kernel(start, interesting)
    for k in asked[1:]:
        verify(k)
    assert RICH[name](found)
    assert weight(found) < weight(start)
    assert same(parse(text(found)), found)
    assert same(reduce_kernel(found, RICH[name]), found)
    assert same(reduce_kernel(start, RICH[name]), found)


def test_TD0732_what_is_not_interesting() -> None:
    with pytest.raises(TileError, match="TD0732"):
        reduce_kernel(parse(BIG), lambda k: False)


JUDGE = """\
import sys
program = open(sys.argv[1]).read()
sys.exit(3 if "fill" in program else 0)
"""


ONE_FILL = """\
kernel big() {
  launch first(c in 0) threads(t in 1) {
    alloc y: fragment float32[1]
    fill y, 0.0
  }
}
"""


def test_the_command_judges_by_its_exit_status(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "big.tir").write_text(BIG)
    (tmp_path / "judge.py").write_text(JUDGE)
    result = tmp_path / "small.tir"
    command = ["reduce", str(tmp_path / "big.tir"), "-o", str(result), "--", sys.executable, str(tmp_path / "judge.py")]
    assert main([*command, "{}"]) == 0
    assert result.read_text() == ONE_FILL
    assert "deletions: " in capsys.readouterr().err
    assert main([*command[:2], "--passes", *command[4:]]) == 2
    assert "TD0732" in capsys.readouterr().err
