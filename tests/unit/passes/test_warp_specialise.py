"""Warp specialisation case by case: what a producer can know, refusals, and mutations of what the planner makes.

Laws over random kernels are in tiledsl.testing.laws.warps; golden pairs in tests/golden/warp-specialise and others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from tiledsl.cpu import tile_interp
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.cpu.turns import ORDERS
from tiledsl.errors import TileError
from tiledsl.ir.concurrent import Arrive, Await
from tiledsl.ir.nodes import (
    Alloc,
    AsyncCommit,
    AsyncWait,
    Block,
    Buffer,
    Const,
    Kernel,
    Node,
    Region,
    Space,
    Stmt,
    static_shape,
)
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.tile import Copy, Gemm
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import map_blocks, rewrite, statements
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.bulk_stores import bulk_stores
from tiledsl.passes.fold_clears import fold_clears
from tiledsl.passes.software_pipeline import software_pipeline
from tiledsl.passes.warp_specialise import warp_plans, warp_specialise
from tiledsl.target import target_named

SM90 = target_named("sm_90a")
PASSES = (
    warp_specialise.bind(SM90, enabled=True),
    software_pipeline.bind(SM90),
    fold_clears.bind(SM90),
    bulk_stores.bind(SM90, enabled=True),
)


def arguments(kernel: Kernel) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    tensors = [p for p in kernel.params if isinstance(p, Buffer)]
    values: dict[str, Any] = {b.name: rng.integers(0, 3, static_shape(b)).astype(numpy_dtype(b.dtype)) for b in tensors}
    return {p.name: values.get(p.name, 3) for p in kernel.params}


def outcome(kernel: Kernel, mode: Any = "late", roles: Any = "first") -> dict[str, bytes]:
    given = arguments(kernel)
    tile_interp.run(kernel, given, mode=mode, roles=roles)
    return {name: v.tobytes() for name, v in given.items() if isinstance(v, np.ndarray)}


def every_outcome(kernel: Kernel) -> Iterator[dict[str, bytes]]:
    for mode in ("early", "late"):
        for roles in ORDERS:
            yield outcome(kernel, mode, roles)


# -------------------------------------------------------------------------------- what the producer computes for itself

FRAME = """
kernel k(A: global float16[64, 64], table: global int32[8], C: global float16[8, 64], n) {{
  launch k(bx in 1) threads(t in 128) {{
    alloc S: shared float16[8, 64]
    alloc sum: fragment float16[8, 64]
    fill sum, 0.0
    {before}
    for k in 5 pipelined(stages=2) {{
      {inside}
      copy A[{row} * 8 : 8, 0 : 64] -> S
      parallel i in 8, j in 64 {{
        sum[i, j] = sum[i, j] + S[i, j]
      }}
      {after}
    }}
    copy sum -> C
  }}
}}
"""


def framed(row: str, before: str = "", inside: str = "", after: str = "") -> Kernel:
    return parse(FRAME.format(row=row, before=before, inside=inside, after=after))


CHAIN = """alloc a: fragment int32[8]
    alloc b: fragment int32[8]
    alloc c: fragment int32[8]
    copy table -> a
    copy a -> b
    copy b -> c"""
CURSOR = "alloc at: var index = 0"
MOVES = "for q in cast<index>(table[k]) {\n if c[q] > int32(0) {\n at = at + 1\n }\n }"
REPLAYED = {
    "a fragment copied from one that is copied": framed("cast<index>(c[k])", CHAIN),
    "a variable": framed("at", CURSOR, "at = (at + 2) % 7"),
    "a variable that moves under a guard": framed("at", CURSOR, "if table[k] > int32(0) {\nat = at + 1\n}"),
    "a variable that a loop moves": framed("at", f"{CHAIN}\n{CURSOR}", after=MOVES),
    "a let of a let": framed("w", inside="let v: int32 = table[k]\nlet w = cast<index>(v) + 1"),
}


@pytest.mark.parametrize("kernel", REPLAYED.values(), ids=REPLAYED)
def test_the_producer_computes_where_to_copy(kernel: Kernel) -> None:
    (plan,) = warp_plans(kernel, SM90)
    assert not plan.refused and not plan.left and [c.name for c in plan.channels] == ["S"]
    expected = outcome(kernel)
    made = run_pipeline(kernel, PASSES)
    assert all(found == expected for found in every_outcome(made))


ATOMIC = "atomic_update(load) table[0], int32(0)"
UNKNOWN = "an atomic operation or a call says where to copy"
LEFT = {
    "data decides whether the variable moves": (
        framed("at", CURSOR, after="if sum[0, 0] > float16(3.0) {\n at = at + 1\n }"),
        "'S', which says where to copy, is in shared memory",
    ),
    "data decides how often it moves": (
        framed("at", CURSOR, after="for q in cast<index>(sum[0, 0]) {\n at = at + 1\n }"),
        "'S', which says where to copy, is in shared memory",
    ),
    "an atomic operation": (
        framed("cast<index>(got)", inside="let got: int32 = atomic_update(load) table[0], int32(0)"),
        UNKNOWN,
    ),
    "an index in shared memory": (
        framed("cast<index>(T[k])", "alloc T: shared int32[8]\n copy table -> T"),
        "'T', which says where to copy, is in shared memory",
    ),
    "the number of the thread": (framed("t // 256"), "it depends on the number of the thread"),
    "a tensor that the kernel writes": (
        framed("cast<index>(table[k])", inside="table[0] = int32(1)"),
        "'table', which says where to copy, is written by the kernel",
    ),
}


@pytest.mark.parametrize(("kernel", "reason"), LEFT.values(), ids=LEFT)
def test_copies_that_the_producer_cannot_know_stay(kernel: Kernel, reason: str) -> None:
    (plan,) = warp_plans(kernel, SM90)
    assert plan.refused == reason == plan.left[0][1]
    assert warp_specialise(kernel, target=SM90).launches[0].body == kernel.launches[0].body


# ------------------------------------------------------------------------------------------ the number of an iteration

NESTED = """
kernel nested(A: global float16[128, 64], table: global int32[8], C: global float16[8, 64], n) {{
  launch nested(bx in 1) threads(t in 128) {{
    alloc S: shared float16[8, 64]
    alloc sum: fragment float16[8, 64]
    fill sum, 0.0
    {around}
      copy A[(k * 2 + {row}) % 16 * 8 : 8, 0 : 64] -> S
      parallel i in 8, j in 64 {{
        sum[i, j] = sum[i, j] * float16(0.5) + S[i, j]
      }}
    {closed}
    copy sum -> C
  }}
}}
"""
# Whether both sides keep count: not where the loops say it, executed once as a whole.
COUNTED = {
    "a loop": (("for k in 5 pipelined(stages=2) {",), False),
    "as often as data says": (("let m: int32 = table[0]", "for k in cast<index>(m) + 3 pipelined(stages=2) {"), False),
    "in a branch": (("if table[0] >= int32(0) {", "for k in 5 pipelined(stages=2) {"), False),
    "equal loops in a loop that data ends": (
        ("for q in cast<index>(table[0]) + 1 {", "for k in 5 pipelined(stages=2) {"),
        False,
    ),
    "loops of a size known at launch": (("for q in 4 {", "for k in n + 2 pipelined(stages=2) {"), True),
    "loops that may have no iteration": (("for q in 4 {", "for k in q - 2 pipelined(stages=2) {"), True),
    "a branch in a loop": (("for q in 3 {", "if table[q] > int32(0) {", "for k in 3 pipelined(stages=2) {"), True),
    "a branch in the loop": (("for k in 5 pipelined(stages=2) {", "if table[k] > int32(0) {"), True),
    "loops that grow": (("for q in 4 {", "for k in q + 1 pipelined(stages=2) {"), True),
    "loops that data ends": (
        ("for q in 4 {", "let m: int32 = table[q]", "for k in cast<index>(m) + 1 pipelined(stages=2) {"),
        True,
    ),
    "loops that a name ends": (("for q in 4 {", "let m = n + q", "for k in m pipelined(stages=2) {"), True),
}


@pytest.mark.parametrize(("around", "counted"), COUNTED.values(), ids=COUNTED)
def test_iterations_are_numbered_alike_on_both_sides(around: tuple[str, ...], counted: bool) -> None:
    row = "q" if any("for q" in line for line in around) else "1"
    braces = "}\n" * sum(line.endswith("{") for line in around)
    kernel = parse(NESTED.format(around="\n".join(around), row=row, closed=braces))
    (plan,) = warp_plans(kernel, SM90)
    assert [c.counted for c in plan.channels] == [counted]
    made = run_pipeline(kernel, PASSES)
    assert all(found == outcome(kernel) for found in every_outcome(made))


# ------------------------------------------------------------------------------------------------------ what is refused

WHOLE = "copy A[k * 8 : 8, 0 : 64] -> S"
STAYS = {
    "conversion": (("A: global float16", "A: global bfloat16"), "it converts bfloat16 to float16"),
    "part": ((WHOLE, "copy C[k : 1, 0 : 64] -> S[0 : 1, 0 : 64]"), "it moves a part of the tile 'S'"),
    "twice": ((WHOLE, f"{WHOLE}\n{WHOLE}"), "'S' is copied to at several places"),
    "by threads": ((WHOLE, f"{WHOLE} ".replace("copy", "copy(width=4)")), "its width is given"),
    "read later": (("copy sum -> C", "copy S -> C"), "'S' is also used outside of the iteration, or written"),
    "written": (
        (WHOLE, f"{WHOLE}\nfill S[0 : 1, 0 : 64], 0.0"),
        "'S' is also used outside of the iteration, or written",
    ),
    "view": ((WHOLE, f"{WHOLE}\nview V: shared float16[512] of S"), "'S' is also used through a view"),
    "unread": (("sum[i, j] + S[i, j]", "sum[i, j]"), "nothing in its block reads 'S'"),
    "not a loop": ((" pipelined(stages=2)", ""), "no pipelined loop copies tiles to shared memory"),
    "half a warpgroup": (("t in 128", "t in 64"), "64 threads are no whole warpgroups"),
    "several dimensions": (("t in 128", "t in 64, 2"), "the block of threads has several dimensions"),
    "no room": (("t in 128", "t in 1024"), "there is no room for a producer"),
    "break": (("copy sum -> C", "for q in 2 {\nbreak\n}"), "'break' makes the trips of a loop depend on the data"),
    "named barrier": (("copy sum -> C", "barrier(id=1, count=128)"), "it uses named barriers"),
}


@pytest.mark.parametrize(("change", "reason"), STAYS.values(), ids=STAYS)
def test_refusals_say_why(change: tuple[str, str], reason: str) -> None:
    source = FRAME.format(row="k", before="", inside="", after="")
    assert source.count(change[0]) == 1, change[0]
    kernel = parse(source.replace(*change))
    (plan,) = warp_plans(kernel, SM90)
    assert plan.refused == reason and str(plan) == f"not specialised: {reason}"
    assert warp_specialise(kernel, target=SM90).launches[0].body == kernel.launches[0].body


# ------------------------------------------------------------------------------------------------------------ mutations

GEMM = """
kernel gemm(A: global float16[64, 112], B: global float16[112, 16], C: global float32[64, 16]) {
  launch gemm(bx in 1) threads(t in 128) {
    alloc As: shared float16[64, 16]
    alloc Bs: shared float16[16, 16]
    alloc acc: fragment float32[64, 16]
    fill acc, 0.0
    for k in 7 pipelined(stages=3) {
      copy A[0 : 64, k * 16 : 16] -> As
      copy B[k * 16 : 16, 0 : 16] -> Bs
      gemm As, Bs, acc
    }
    copy acc -> C
  }
}
"""
ATTENTION = """
kernel fa(Q: global float16[64, 16], K: global float16[96, 16], V: global float16[96, 16], O: global float32[64, 16]) {
  launch flash(bx in 1) threads(t in 128) {
    alloc Qs: shared float16[64, 16]
    alloc Ks: shared float16[16, 16]
    alloc Vs: shared float16[16, 16]
    alloc scores: fragment float32[64, 16]
    alloc weights: fragment float16[64, 16]
    alloc out: fragment float32[64, 16]
    fill out, 0.0
    copy Q -> Qs
    for k in 6 pipelined(stages=2) {
      copy K[k * 16 : 16, 0 : 16] -> Ks
      fill scores, 0.0
      gemm(transpose_b) Qs, Ks, scores
      parallel i in 64, j in 16 {
        scores[i, j] = min(scores[i, j], 2.0)
      }
      copy scores -> weights
      copy V[k * 16 : 16, 0 : 16] -> Vs
      gemm weights, Vs, out
    }
    copy out -> O
  }
}
"""
GUARDED = """
kernel guarded(A: global float16[128, 8], table: global int32[16], C: global float16[8, 8], D: global float16[48, 8]) {
  launch guarded(bx in 1) threads(t in 128) {
    alloc S: shared float16[8, 8]
    alloc T: shared float16[8, 8]
    alloc sum: fragment float16[8, 8]
    fill sum, 0.0
    for tile in 2 {
      for k in 6 pipelined(stages=2) {
        if table[k] > int32(0) {
          copy A[(tile * 6 + k) * 8 : 8, 0 : 8] -> S
          parallel i in 8, j in 8 {
            sum[i, j] = sum[i, j] + S[i, j]
          }
        }
      }
      copy sum -> T
      copy T -> D[tile * 8 : 8, 0 : 8]
    }
    copy sum -> C
  }
}
"""
# One tile by the copy engine, one by cp.async (rows are read by a table), one through registers (it converts).
MIXED = """
kernel mixed(A: global float16[64, 112], B: global float16[112, 16], W: global int8[112, 16], rows: global int32[112],
             C: global float32[64, 16]) {
  launch mixed(bx in 1) threads(t in 128) {
    alloc As: shared float16[64, 16]
    alloc Bs: shared float16[16, 16]
    alloc Ws: shared float16[16, 16]
    alloc acc: fragment float32[64, 16]
    fill acc, 0.0
    for k in 7 pipelined(stages=3) {
      copy A[0 : 64, k * 16 : 16] -> As
      parallel i in 16, j in 16 {
        Bs[i, j] = B[cast<index>(rows[k * 16 + i]), j]
      }
      copy W[k * 16 : 16, 0 : 16] -> Ws
      for both in 1 {
        gemm As, Bs, acc
        gemm As, Ws, acc
      }
    }
    copy acc -> C
  }
}
"""
SOURCES = {"gemm": GEMM, "attention": ATTENTION, "guarded": GUARDED, "mixed": MIXED}


@cache
def specialised(name: str) -> Kernel:
    return run_pipeline(parse(SOURCES[name]), PASSES)


@cache
def expected(name: str) -> dict[str, bytes]:
    return outcome(parse(SOURCES[name]))


@dataclass(frozen=True)
class Mutant:
    """`kernel` with one statement of a role or one barrier changed. `what` names the change and the statement."""

    what: str
    kernel: Kernel


def without(s: Stmt) -> Block:
    return ()


def pending(s: Stmt) -> Block:
    assert isinstance(s, AsyncWait)
    return (replace(s, pending=s.pending + 1),)


def flipped(s: Stmt) -> Block:
    assert isinstance(s, Await)
    return (replace(s, parity=1 - s.parity),)


def other_slot(s: Stmt) -> Block:
    assert isinstance(s, Await | Arrive)
    (size,) = static_shape(s.barrier.buffer)
    slot = (s.barrier.indices[0] + 1) % size
    return (replace(s, barrier=replace(s.barrier, indices=(slot,))) if size > 1 else s,)


def more_bytes(by: int) -> Callable[[Stmt], Block]:
    return lambda s: (replace(s, bytes=s.bytes + by),)  # type: ignore[attr-defined, call-arg]


def other_version(s: Stmt) -> Block:
    """Every tile with versions that the statement touches, one version on."""

    def moved(n: Node) -> Node:
        if isinstance(n, Region) and n.version is not None:
            return replace(n, version=(n.version + 1) % n.buffer.versions)
        return n

    return (rewrite(s, moved),)


CHANGES: tuple[tuple[str, Callable[[Stmt], bool], Callable[[Stmt], Block]], ...] = (
    ("no wait for a phase", lambda s: isinstance(s, Await), without),
    ("the other parity", lambda s: isinstance(s, Await), flipped),
    ("a wait for the next slot", lambda s: isinstance(s, Await), other_slot),
    ("no arrival", lambda s: isinstance(s, Arrive), without),
    ("an arrival at the next slot", lambda s: isinstance(s, Arrive), other_slot),
    (
        "an arrival before copies are complete",
        lambda s: isinstance(s, Arrive) and s.copies,
        lambda s: (replace(s, copies=False),),  # type: ignore[call-arg]
    ),
    ("two arrivals", lambda s: isinstance(s, Arrive), lambda s: (s, s)),
    ("16 bytes too many", lambda s: isinstance(s, Arrive) and s.bytes > 0, more_bytes(16)),
    ("16 bytes too few", lambda s: isinstance(s, Arrive) and s.bytes > 0, more_bytes(-16)),
    ("no wait for a queue", lambda s: isinstance(s, AsyncWait), without),
    ("one group too many in flight", lambda s: isinstance(s, AsyncWait), pending),
    ("no commit", lambda s: isinstance(s, AsyncCommit), without),
    ("the next version", lambda s: isinstance(s, Copy | Gemm) or type(s).__name__ == "Parallel", other_version),
)


def mutants(name: str) -> Iterator[Mutant]:
    """Every change of every statement that it changes; other counts of arrivals; arrivals before the product's wait."""
    kernel = specialised(name)
    every = list(statements(kernel))
    for s in every:
        for what, applies, change in CHANGES:
            if applies(s) and change(s) != (s,):
                yield Mutant(f"{what}: {text(s)}", exchanged(kernel, s, change(s)))
        if isinstance(s, Alloc) and s.buffer.space is Space.BARRIER:
            assert isinstance(s.init, Const)
            for by in (-1, 1):
                made = replace(s, init=replace(s.init, value=s.init.value + by))
                yield Mutant(f"{by:+} arrivals: {s.buffer.name}", exchanged(kernel, s, (made,)))
    for a, b in pairwise(every):
        if isinstance(a, AsyncWait) and isinstance(b, Arrive):
            yield Mutant(f"before the wait: {text(b)}", exchanged(exchanged(kernel, b, ()), a, (b, a)))


def exchanged(kernel: Kernel, old: Stmt, new: Block) -> Kernel:
    def block(body: Block) -> Block:
        return tuple(x for s in body for x in (new if s is old else (map_blocks(s, block),)))

    return replace(kernel, launches=tuple(replace(x, body=block(x.body)) for x in kernel.launches))


def caught(name: str, mutant: Mutant) -> str:
    """What is wrong with it; empty if nobody notices."""
    try:
        verify(mutant.kernel)
        for found in every_outcome(mutant.kernel):
            if found != expected(name):
                return "other results"
    except TileError as said:
        return str(said.code)
    return ""


# What a change does no harm to: nobody waits for the last tile to be read, and K is not fetched again before V is free.
HARMLESS = {
    "gemm": ("arrive(by=warpgroups) As_Bs_empty[6 % 3] of As, Bs",),
    "attention": (
        "arrive(by=warpgroups) Vs_empty[5 % 2] of Vs",
        "before the wait: arrive(by=warpgroups) Ks_empty[(k + 1) % 2] of Ks",
    ),
    "guarded": (),
    "mixed": (),
}


@pytest.mark.parametrize("name", SOURCES)
def test_every_change_of_a_handshake_is_caught(name: str) -> None:
    for found in every_outcome(specialised(name)):
        assert found == expected(name)
    every = list(mutants(name))
    assert len(every) > 20
    unnoticed = [m.what for m in every if not caught(name, m)]
    assert [what for what in unnoticed if not what.endswith(HARMLESS[name])] == []
    assert all(any(what.endswith(harmless) for what in unnoticed) for harmless in HARMLESS[name])


# ------------------------------------------------------------------------------------------- the order of the producer

KEYS = "copy K[k * 16 : 16, 0 : 16] -> Ks"
VALUES = "copy V[k * 16 : 16, 0 : 16] -> Vs"
SHALLOW = ATTENTION.replace("stages=2", "stages=1")
KEYS_ARE_VALUES = ATTENTION.replace(VALUES, "").replace("weights, Vs, out", "weights, Ks, out")
LOOKUP = """
kernel lookup(A: global float16[64, 64], B: global float16[64, 16], table: global int32[16], C: global float32[64, 8]) {
  launch lookup(bx in 1) threads(tx in 128) {
    alloc As: shared float16[64, 16]
    alloc Bs: shared float16[16, 8]
    alloc Bt: shared float16[16, 8]
    alloc places: shared int32[16]
    alloc acc: fragment float32[64, 8]
    fill acc, 0.0
    for i in 4 pipelined(stages=1) {
      copy A[0 : 64, i * 16 : 16] -> As
      copy B[i * 16 : 16, 0 : 8] -> Bs
      gemm As, Bs, acc
      copy table -> places
      copy B[cast<index>(places[i]) * 16 : 16, 0 : 8] -> Bt
      gemm As, Bt, acc
    }
    copy acc -> C
  }
}
"""
LAST = "gemm weights, Vs, out"
SOMETIMES = """
if k < 5 {
  alloc S: shared float16[16, 16]
  copy V[k * 16 : 16, 0 : 16] -> S
  alloc sum: fragment float32[16]
  reduce(max, dim=1) S -> sum
  parallel i in 16 {
    O[0, i] = sum[i]
  }
}"""
IN_TURN = {
    "keys, then values": (SHALLOW, True),
    "values come before keys": (SHALLOW.replace(VALUES, "").replace(KEYS, f"{VALUES}\n{KEYS}"), False),
    "values come before keys, two deep": (ATTENTION.replace(VALUES, "").replace(KEYS, f"{VALUES}\n{KEYS}"), True),
    "a copy of the consumer's own": (LOOKUP, False),
    "tiles that come under a guard": (
        SHALLOW.replace("gemm weights, Vs, out", f"gemm weights, Vs, out\n{SOMETIMES}"),
        False,
    ),
    "keys are the values": (KEYS_ARE_VALUES, True),
    "keys are the values, one deep": (KEYS_ARE_VALUES.replace("stages=2", "stages=1"), False),
}

OWN = SHALLOW.replace(VALUES, "").replace(
    KEYS, f"{KEYS}\ncopy table -> at\ncopy V[cast<index>(at[k]) * 16 : 16, 0 : 16] -> Vs"
)
OWN = OWN.replace("kernel fa(", "kernel fa(table: global int32[16], ")
IN_TURN["tiles of the consumers' own"] = (OWN.replace("copy Q", "alloc at: shared int32[16]\ncopy Q"), False)


@pytest.mark.parametrize(("source", "in_flight"), IN_TURN.values(), ids=IN_TURN)
def test_nobody_waits_for_tiles_behind_those_that_he_keeps(source: str, in_flight: bool) -> None:
    """The producer brings tiles in the order of the program; with one version it stops where none is free."""
    kernel = parse(source)
    made = run_pipeline(kernel, PASSES)
    products = (s for s in statements(made) if isinstance(s, AsyncWait) and s.queue == "product")
    assert any(s.pending for s in products) == in_flight
    assert all(found == outcome(kernel) for found in every_outcome(made))


INNER = """
kernel inner(A: global float16[64, 8], C: global float16[8, 8], n) {
  launch inner(bx in 1) threads(t in 64) {
    alloc S: shared float16[8, 8]
    alloc sum: fragment float16[8, 8]
    fill sum, 0.0
    for i in n pipelined(stages=1) {
      copy A[i * 8 : 8, 0 : 8] -> S
      for j in 3 pipelined(stages=2) {
        alloc T: shared float16[8, 8]
        copy A[j * 8 : 8, 0 : 8] -> T
        view flat: shared float16[64] of T
        parallel x in 8, y in 8 {
          sum[x, y] = sum[x, y] + S[x, y] + T[x, y]
        }
        parallel x in 8, y in 8 {
          sum[x, y] = sum[x, y] + flat[x]
        }
      }
    }
    copy sum -> C
  }
}
"""


def test_loops_inside_know_the_views_of_their_tiles() -> None:
    kernel = parse(INNER)
    made = software_pipeline(kernel)
    assert outcome(made) == outcome(kernel)


# --------------------------------------------------------------------------- products that the program waits for itself

ANOTHER = "async gemm(clear) Ws, Vs, other\nasync_commit(queue=product)"
AWAITED = {
    "at once": ("async_wait(pending=0, queue=product)", 4),
    "behind another": (f"{ANOTHER}\nasync_wait(pending=1, queue=product)", 6),
    "with another": (f"{ANOTHER}\nasync_wait(pending=2, queue=product)\nasync_wait(pending=0, queue=product)", 7),
    "behind some that may not be": (f"for q in k {{\n{ANOTHER}\n}}\nasync_wait(pending=1, queue=product)", None),
    "in a branch that may not be taken": ("if k > 2 {\nasync_wait(pending=0, queue=product)\n}", None),
    "in the next iteration": ("async_wait(pending=1, queue=product)", None),
}
OPERANDS = """alloc Ws: shared float16[64, 16]
    alloc Vs: shared float16[16, 16]
    alloc other: fragment float32[64, 16]
    fill Ws, 1.0
    fill Vs, 1.0
"""


@pytest.mark.parametrize(("after", "last"), AWAITED.values(), ids=AWAITED)
def test_tiles_are_given_back_when_the_product_has_been_waited_for(after: str, last: int | None) -> None:
    source = GEMM.replace("alloc acc", f"{OPERANDS}    alloc acc")
    source = source.replace("gemm As, Bs, acc", f"async gemm As, Bs, acc\nasync_commit(queue=product)\n{after}")
    kernel = parse(source.replace("copy acc", "async_wait(pending=0, queue=product)\n    copy acc"))
    (plan,) = warp_plans(kernel, SM90)
    if last is None:
        why = "a product that reads '{}' may go on beyond the iteration"
        assert plan.refused == "; ".join(why.format(tile) for tile in ("As", "Bs"))
        return
    assert [c.last for c in plan.channels[0].copies] == [last] * 2
    made = run_pipeline(kernel, PASSES)
    assert all(found == outcome(kernel) for found in every_outcome(made))
