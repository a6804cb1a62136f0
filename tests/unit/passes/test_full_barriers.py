"""Tiles that the copy engine brings to blocks without roles: which, on what barriers, and what goes wrong without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest

from tiledsl.analysis.bulk_loads import Engine
from tiledsl.cpu import tile_interp
from tiledsl.cpu.numerics import numpy_dtype
from tiledsl.errors import TileError, VerifyError
from tiledsl.ir.concurrent import Arrive, Await, Expect
from tiledsl.ir.nodes import Alloc, Block, Buffer, If, Kernel, Let, Space, Stmt, Store
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.tile import Copy
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import map_blocks, statements
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.bulk_loads import bulk_loads
from tiledsl.passes.insert_barriers import insert_barriers
from tiledsl.passes.pipeline import pipeline
from tiledsl.passes.software_pipeline import pipeline_plans, software_pipeline
from tiledsl.target import target_named
from tiledsl.verifiers.barriers import verify_barriers

SM80, SM90 = target_named("sm_80"), target_named("sm_90a")
FORMS = ("peeled", "rolled", "guarded")
FRAME = """
kernel k(A: global float16[64, 32], B: global float16[64, 32], O: global float16[64, 36], P: global float32[64, 32],
         table: global int32[16], C: global float16[512, 32], n, m) {{
  launch k(bx in 1) threads(tx in 128) {{
    alloc S: shared float16[8, 32]
    alloc R: shared float16[8, 32]
    alloc places: shared int32[32]
    alloc sum: fragment float16[8, 32]
    fill sum, 0.0
    {body}
    copy sum -> C[0 : 8, 0 : 32]
  }}
}}
"""
ADD = "parallel x in 8, y in 32 { sum[x, y] = sum[x, y] + S[x, y] }"
ADD_BOTH = "parallel x in 8, y in 32 { sum[x, y] = sum[x, y] + S[x, y] * R[x, y] }"
LOAD = "copy A[k * 8 : 8, 0 : 32] -> S"
OTHER = "copy B[k * 8 : 8, 0 : 32] -> R"
LOOP = f"for k in n pipelined(stages=3) {{ {LOAD} {OTHER} {ADD_BOTH} }}"
GUARDED = f"for k in n pipelined(stages=2) {{ if 0 < table[k % 16] {{ {LOAD} {OTHER} {ADD_BOTH} }} }}"
ADD_OTHER = ADD.replace("S[x, y]", "R[x, y]")
PARTLY = f"for k in n pipelined(stages=2) {{ {OTHER} if k % 2 == 1 {{ {LOAD} {ADD_BOTH} }} {ADD_OTHER} }}"
BODIES = {
    "loop": LOOP,
    "apart": f"for k in n pipelined(stages=2) {{ {LOAD} {ADD} {OTHER} {ADD_BOTH} }}",
    "one stage": LOOP.replace("stages=3", "stages=1"),
    "guarded": GUARDED,
    "partly": PARTLY,
    "regular": f"for i in n {{ {LOOP.replace('for k in n', 'for k in 3')} }}",
    "irregular": f"for i in 4 {{ {LOOP.replace('for k in n', 'for k in i')} }}",
    "under a condition": f"for i in 5 {{ if i % 2 == 1 {{ {LOOP.replace('for k in n', 'for k in 3')} }} }}",
    "left": f"for i in 5 {{ if m < i {{ break }} {LOOP.replace('for k in n', 'for k in 2')} }}",
    "passed over": f"for i in 5 {{ if i == m {{ continue }} {LOOP.replace('for k in n', 'for k in 3')} }}",
    "twice": f"{LOOP} {LOOP.replace('stages=3', 'stages=2')}",
    "table in shared memory": "for k in n pipelined(stages=2) { copy table[0 : 16] -> places[0 : 16] "
    f"copy A[cast<index>(places[k % 16]) * 8 : 8, 0 : 32] -> S {ADD} }}",
    "mixed": f"for k in n pipelined(stages=3) {{ {LOAD} copy O[k * 8 : 8, 4 : 32] -> R {ADD_BOTH} }}",
    "single": f"copy A[0 : 8, 0 : 32] -> S {ADD}",
    "single in loops": f"for k in n {{ {LOAD} for i in 2 {{ {OTHER} {ADD_BOTH} }} }}",
    "single under a condition": f"for k in n {{ if k < m {{ {LOAD} {ADD} }} }}",
    "single, left": f"for k in n {{ {LOAD} if m < k {{ break }} {ADD} }}",
    "single, again": f"copy A[0 : 8, 0 : 32] -> S copy B[0 : 8, 0 : 32] -> S copy A[8 : 8, 0 : 32] -> R {ADD_BOTH}",
}


@cache
def source(name: str) -> Kernel:
    return parse(FRAME.format(body=BODIES.get(name, name)))


def made(kernel: Kernel, form: str = "auto") -> Kernel:
    """With every tile that the copy engine can bring."""
    kernel = software_pipeline.bind(SM90, copy_engine="always", form=form)(kernel)
    return bulk_loads.bind(SM90, copy_engine="always")(kernel)


def arguments(kernel: Kernel, n: int, m: int) -> dict[str, Any]:
    rng = np.random.default_rng(n)
    given: dict[str, Any] = {"n": n, "m": m}
    for p in kernel.params:
        if isinstance(p, Buffer):
            shape = [e for e in p.shape if isinstance(e, int)]
            given[p.name] = rng.integers(-1 if p.name == "table" else 0, 3, shape).astype(numpy_dtype(p.dtype))
    return given


def outcome(kernel: Kernel, n: int, m: int = 2, **how: Any) -> bytes:
    given = arguments(kernel, n, m)
    tile_interp.run(kernel, given, **how)
    found: bytes = given["C"].tobytes()
    return found


# ------------------------------------------------------------------------------------------------------------- values


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", BODIES)
def test_tiles_are_there_when_they_are_used(name: str, form: str) -> None:
    kernel = made(source(name), form)
    assert any(isinstance(s, Await) for s in statements(kernel.launches[0]))
    for n in range(6):
        for m in (0, 3):
            for mode in ("early", "late"):
                assert outcome(kernel, n, m, mode=mode) == outcome(source(name), n, m), (n, m, mode)


@pytest.mark.parametrize("name", ["loop", "guarded", "irregular", "mixed", "table in shared memory", "single in loops"])
def test_every_pass_is_verified(name: str) -> None:
    options = {p: {"copy_engine": "always"} for p in ("software-pipeline", "bulk-loads")}
    run_pipeline(source(name), pipeline(SM90, {**options, "warp-specialise": {"enabled": False}}), check=True)


# ------------------------------------------------------------------------------------------------------------ the plan


def plan_of(name: str) -> Any:
    *_, plan = pipeline_plans(source(name), target=SM90, copy_engine=Engine.ALWAYS)
    return plan


def test_copies_with_the_same_readers_share_a_ring() -> None:
    (ring,) = plan_of("loop").rings
    assert [b.name for b in ring.tiles] == ["S", "R"] and ring.depth == 3 and ring.bytes == 2 * 8 * 32 * 2
    assert [r.depth for r in plan_of("apart").rings] == [2, 2]
    assert "ring 0: copy engine: S, R, 3 slots of 1024 bytes, awaited by all threads" in str(plan_of("loop"))


def test_what_the_copy_engine_leaves_is_cp_async() -> None:
    plan = plan_of("mixed")
    (ring,) = plan.rings
    assert [b.name for b in ring.tiles] == ["S"]
    assert [why for _, why in plan.left] == ["the stride of dimension 0 of 'O' is no known multiple of 16 bytes"]
    assert sum(g is not None for g in plan.groups) == 1 and any(w is not None for w in plan.waits)


REASONS = {
    "for k in n pipelined(stages=2) { copy P[k * 8 : 8, 0 : 32] -> S %s }": "",  # synchronous: it converts
    "for k in n pipelined(stages=2) { copy A[k * 8 + tx : 8, 0 : 32] -> S %s }": "may differ between threads",
    "for k in n pipelined(stages=2) { copy C[k * 8 : 8, 0 : 32] -> S %s }": "'C' is written by the kernel",
    "view V: shared float16[256] of S copy A[0 : 8, 0 : 32] -> S %s": "'S' is also used through a view",
}


@pytest.mark.parametrize(("body", "reason"), REASONS.items())
def test_a_copy_stays_with_the_threads_for_a_reason(body: str, reason: str) -> None:
    kernel = parse(FRAME.format(body=body % ADD))
    after = made(kernel)
    assert not any(isinstance(s, Copy) and s.bulk for s in statements(after.launches[0]))
    assert reason in "\n".join(after.launches[0].notes)


def test_a_small_tile_is_left_to_cp_async_unless_asked() -> None:
    kernel = software_pipeline.bind(SM90)(source("loop"))
    (launch,) = kernel.launches
    assert not any(isinstance(s, Copy) and s.bulk for s in statements(launch))
    enough = "it has 512 bytes, for which one copy of 16 bytes by each of 128 threads is enough"
    assert f"copy S at line 10: cp.async, as {enough}" in launch.notes
    assert not software_pipeline.bind(SM80)(source("loop")).launches[0].notes
    never = software_pipeline.bind(SM90, copy_engine="never")(source("loop"))
    assert "copy S at line 10: cp.async, as the copy engine is turned off" in never.launches[0].notes


# -------------------------------------------------------------------------------------------------------------- turns


@pytest.mark.parametrize(
    ("name", "kept"), [("loop", 0), ("regular", 0), ("irregular", 1), ("under a condition", 1), ("left", 1)]
)
def test_turns_are_computed_or_kept(name: str, kept: int) -> None:
    (launch,) = made(source(name)).launches
    counts = [s for s in statements(launch) if isinstance(s, Alloc) and s.buffer.space is Space.VAR]
    assert len(counts) == kept
    assert any(isinstance(s, Let) and s.var.name == "start" for s in statements(launch)) == bool(kept)


# ---------------------------------------------------------------------------------------------------------- mutations

Change = tuple[str, Callable[[Stmt], bool], Callable[[Any], Block]]
CHANGES: tuple[Change, ...] = (
    ("dropped", lambda s: isinstance(s, Await | Arrive | Expect), lambda s: ()),
    ("twice", lambda s: isinstance(s, Arrive), lambda s: (s, s)),
    ("other parity", lambda s: isinstance(s, Await), lambda s: (replace(s, parity=1 - s.parity),)),
    ("more bytes", lambda s: isinstance(s, Arrive), lambda s: (replace(s, bytes=s.bytes + 16),)),
    ("fewer bytes", lambda s: isinstance(s, Arrive) and s.bytes > 0, lambda s: (replace(s, bytes=s.bytes - 16),)),
    ("more bytes", lambda s: isinstance(s, Expect), lambda s: (replace(s, bytes=s.bytes + 16),)),
    ("by all", lambda s: isinstance(s, Arrive), lambda s: (replace(s, by="threads"),)),
    ("another slot", lambda s: isinstance(s, Await) and s.barrier.buffer.shape != (1,), lambda s: (_next_slot(s),)),
    ("whatever the guard", lambda s: isinstance(s, If) and isinstance(s.then[0], Arrive | Await), lambda s: s.then),
    ("not counted", lambda s: isinstance(s, Store) and s.buffer.name in ("turns", "phase"), lambda s: ()),
)


def _next_slot(s: Await) -> Await:
    (slot,), (depth,) = s.barrier.indices, s.barrier.buffer.shape
    return replace(s, barrier=replace(s.barrier, indices=((slot + 1) % depth,)))


def mutants(kernel: Kernel) -> Iterator[tuple[str, Kernel]]:
    (launch,) = kernel.launches
    for s in statements(launch):
        for what, applies, change in CHANGES:
            if applies(s):
                yield f"{what}: {text(s)}", exchanged(kernel, s, change(s))
        if isinstance(s, Alloc) and s.buffer.space is Space.BARRIER:
            yield f"2 arrivals: {s.buffer.name}", exchanged(kernel, s, (replace(s, init=replace(s.init, value=2)),))  # type: ignore[type-var]


def exchanged(kernel: Kernel, old: Stmt, new: Block) -> Kernel:
    def block(body: Block) -> Block:
        return tuple(x for s in body for x in (new if s is old else (map_blocks(s, block),)))

    return replace(kernel, launches=tuple(replace(x, body=block(x.body)) for x in kernel.launches))


def caught(name: str, mutant: Kernel) -> bool:
    try:
        verify(mutant)
        return any(
            outcome(mutant, n, mode=mode) != outcome(source(name), n) for n in (5, 2, 0) for mode in ("early", "late")
        )
    except (TileError, VerifyError):
        return True


@pytest.mark.parametrize(
    "name", ["loop", "guarded", "irregular", "apart", "single in loops", "single under a condition"]
)
def test_every_change_of_an_announcement_or_a_wait_is_caught(name: str) -> None:
    kernel = made(source(name))
    assert not caught(name, kernel)
    every = list(mutants(kernel))
    assert len(every) >= 8
    assert [what for what, mutant in every if not caught(name, mutant)] == []


# ----------------------------------------------------------------------------------- who is slow finds his own phase

ONE_READER = """
kernel k(A: global float16[64, 64], C: global float16[64], n) {
  launch k(bx in 1) threads(t in 128) {
    alloc full: barrier uint64[1]
    alloc S: shared float16[64] versions(2)
    alloc x: local float16[1]
    if t == 0 {
      init_barrier(count=1) full[0]
      fence(kind=barrier_init)
    }
    barrier
    for k in n {
      if t == 0 {
        arrive(bytes=128) full[0]
        bulk_move(lanes=64) A[k, 0] -> S@(k % 2)[0] on full[0]
      }
      await full[0], k % 2 of S
      if t == 0 {
        C[k] = S@(k % 2)[0]
      }
    }
  }
}
"""


def test_all_threads_have_awaited_a_phase_before_the_next_begins() -> None:
    """Only one thread reads the tile, so nothing else asks for a barrier."""
    kernel = parse(ONE_READER)
    with pytest.raises(VerifyError, match="S26: a phase of 'full' begins while thread 1 may still wait"):
        verify_barriers(kernel, kernel)
    after = insert_barriers(kernel)
    verify_barriers(kernel, after)
    assert text(after).count("barrier\n") == 2
