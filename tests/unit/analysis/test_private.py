"""Variables of threads in parallel loops: uses that depend on who is dealt which points, and uses that do not."""

from __future__ import annotations

import pytest

from tiledsl.analysis.private import stray_use
from tiledsl.ir.parser import parse
from tiledsl.ir.verify import verify

HEAD = """kernel k(A: global int32[64], out: global int32[64], n: int32) {
  launch k(bx in 1) threads(tx in 32) {
    alloc v: var int32 = 0
    alloc r: local int32[4]
    BODY
  }
}"""


def found(body: str) -> str:
    """The line of the statement that reads what it should not; empty if none does."""
    k = parse(HEAD.replace("BODY", body))
    verify(k)
    stray = stray_use(k.launches[0].body)
    return stray.buffer.name if stray else ""


STRAY = {
    "a sum": ("parallel i in 64 { v = v + A[i] }", "v"),
    "read first": ("parallel i in 64 { out[i] = v v = A[i] }", "v"),
    "read after the loop": ("parallel i in 64 { v = A[i] } out[0] = v", "v"),
    "read in the next loop": ("parallel i in 64 { v = A[i] } parallel i in 64 { out[i] = v }", "v"),
    "stored on one side": ("parallel i in 64 { if A[i] > 0 { v = 1 } out[i] = v }", "v"),
    "in the next iteration": ("for k in 4 { out[k] = v parallel i in 64 { v = A[i] } }", "v"),
    "a condition": ("parallel i in 64 { v = A[i] } while v < 3 { v = v + 1 }", "v"),
    "given a value for some": ("parallel i in 64 { v = A[i] } if n > 3 { v = 0 } out[0] = v", "v"),
    "a loop in the points": ("parallel i in 64 { for k in 3 { v = v + A[i] } out[i] = 0 }", "v"),
    "an element": ("parallel i in 64 { r[1] = A[i] r[2] = r[1] } out[0] = r[2]", "r"),
    "another element": ("parallel i in 64 { r[1] = r[2] r[2] = A[i] }", "r"),
}
FINE = {
    "a value first": "parallel i in 64 { v = A[i] out[i] = v + 1 }",
    "both sides": "parallel i in 64 { if A[i] > 0 { v = 1 } else { v = 2 } out[i] = v }",
    "a sum in each point": "parallel i in 64 { v = 0 for k in 3 { v = v + A[i] } out[i] = v }",
    "only read": "v = n parallel i in 64 { out[i] = v } v = v + 1",
    "a value again": "parallel i in 64 { v = A[i] } v = 0 out[0] = v",
    "in each iteration": "for k in 4 { parallel i in 64 { v = A[i] out[i] = v } v = n out[k] = v }",
    "of the loop": "parallel i in 64 { alloc w: var int32 = 0 w = w + A[i] out[i] = w }",
    "no parallel loop": "for k in 4 { v = v + A[k] } out[0] = v",
    "elements that vary": "parallel i in 64 { for k in 4 { r[k] = A[i] } out[i] = r[3] }",
}


@pytest.mark.parametrize(("body", "name"), STRAY.values(), ids=STRAY)
def test_uses_that_depend_on_the_layout(body: str, name: str) -> None:
    assert found(body) == name


@pytest.mark.parametrize("body", FINE.values(), ids=FINE)
def test_uses_that_do_not(body: str) -> None:
    assert found(body) == ""
