"""order-globals: where tile statements that share a global tensor need a barrier, and where they do not."""

from __future__ import annotations

import pytest

from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.passes.infer_layouts import infer_layouts
from tiledsl.passes.order_globals import order_globals
from tiledsl.target import target_named

WORDS = ("parallel", "barrier", "for", "if", "let", "copy", "bulk", "async_wait(pending=0,")


def ordered(body: str) -> str:
    """The body after the pass, in short: the statements' first words, with their nesting."""
    source = f"""kernel k(X: global float32[64, 64], Y: global float32[64, 64], I: global int32[64], n: int32) {{
      launch k(b in 1) threads(t in 64) {{
        alloc f: fragment float32[8, 64]
        alloc s: shared float32[8, 64]
        fill f, 1.0
        {body}
      }}
    }}"""
    kernel: Kernel = parse(source)
    laid_out = infer_layouts.bind(target_named("sm_80"))(kernel)
    after = order_globals(laid_out)
    assert (text(after) == text(laid_out)) == (after is laid_out)
    lines = [line for line in text(after).splitlines() if line.startswith("    ")]
    words = [line.strip().split()[0] for line in lines]
    return " ".join(w.removesuffix("(pending=0,") for w in words if w in WORDS)


WRITE = "parallel i in 8, j in 64 { X[i, j] = 1.0 }"
READ = "parallel i in 8, j in 64 { Y[i, j] = X[i, j] }"
TURNED = "parallel i in 8, j in 64 { Y[i, j] = X[i, 63 - j] }"
ADD = "parallel i in 8, j in 64 { X[i, j] = X[i, j] + 1.0 }"
ROW = "parallel i in 8, j in 64 { X[m * 8 + i, j] = X[m * 8 + i, 63 - j] }"
NEXT = "parallel i in 8, j in 64 { X[m + i + 1, j] = X[m + i, j] }"
STORE = "bulk copy s -> X[0 : 8, 0 : 64] async_commit(queue=store)"
WAIT = "async_wait(pending=0, queue=store)"

# name -> (body, what follows the fill)
CASES = {
    "own elements": (f"{WRITE} {READ}", "parallel parallel"),
    "other threads' elements": (f"{WRITE} {TURNED}", "parallel barrier parallel"),
    "another part": (f"{WRITE} copy X[8 : 8, 0 : 64] -> f", "parallel parallel"),
    "overwritten": (f"{TURNED} {WRITE}", "parallel barrier parallel"),
    "a barrier of the user's": (f"{WRITE} barrier {TURNED}", "parallel barrier parallel"),
    "atomics do not conflict": (
        "atomic(add) f -> X[0 : 8, 0 : 64] atomic(add) f -> X[4 : 8, 0 : 64]",
        "parallel parallel",
    ),
    "a value of a tile": (f"{WRITE} let x: float32 = X[3, 3] {WRITE}", "parallel barrier let barrier parallel"),
    "one thread's code is its author's": ("X[0, t] = 1.0 let x: float32 = X[0, 63 - t]", "let"),
    "a loop over own elements": (f"for m in 4 {{ {ADD} }}", "for parallel"),
    "a loop over parts": (f"for m in 8 {{ {ROW} }}", "for parallel"),
    "a loop over parts that meet": (f"for m in 8 {{ {NEXT} }}", "for barrier parallel"),
    "a loop once": (f"for m in 1 {{ {NEXT} }}", "for parallel"),
    "a loop of two": (f"for m in 8 {{ {WRITE} {TURNED} }}", "for barrier parallel barrier parallel"),
    "a loaded part": (
        "for m in 8 { let q: int32 = I[m] parallel i in 8, j in 64 { X[cast<index>(q) + i, j] = 1.0 } }",
        "for let barrier parallel",
    ),
    "in a branch of all": (f"if n < 3 {{ {WRITE} {TURNED} }}", "if parallel barrier parallel"),
    "before a branch": (f"{WRITE} if n < 3 {{ {TURNED} }}", "parallel barrier if parallel"),
    "a store by the copy engine": (f"{STORE} {WAIT} {READ}", "bulk async_wait barrier parallel"),
    "a store awaited in a branch": (
        f"{STORE} if n < 3 {{ {WAIT} {READ} }}",
        "bulk barrier if async_wait barrier parallel",
    ),
    "a store awaited in a branch, and read after it": (
        f"{STORE} barrier if n < 3 {{ {WAIT} }} {READ}",
        "bulk barrier if async_wait barrier parallel",
    ),
    "a store by the thread that waited": (f"{READ} barrier {WAIT} {STORE}", "parallel barrier async_wait bulk"),
    "not in a branch of some": (f"if t < 3 {{ {WRITE} {TURNED} }}", "if parallel parallel"),
}


@pytest.mark.parametrize("name", CASES)
def test_barriers(name: str) -> None:
    body, expected = CASES[name]
    assert ordered(body) == f"parallel {expected}"
