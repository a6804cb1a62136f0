"""The checkers are checked on the IR: one synchronisation, guard, swizzle or version less, and a kernel is reported.

Each mutant of the last stage runs in the thread-stage interpreter with checking memory; what that cannot see (two
threads that store the same value, or a fence less) is emitted and runs on the checked CPU device. `pytest -rP` prints
the score of each checker, and the equivalent mutants with the reason (`equivalences.py`).
"""

from __future__ import annotations

from collections import Counter

import pytest
from cases import variant_id
from equivalences import reason
from mutation import Mutant, mutants
from verdicts import Score, Variant, every_variant, first, on_device, subjects_of

from tiledsl.codegen.cuda import emit
from tiledsl.cpu.turns import Order
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text

pytestmark = pytest.mark.cxx
ONLY_ON_THE_DEVICE = ("Fence", "SetRegisters")  # the interpreter has neither proxies nor a number of registers


def orders(target: str, kind: str) -> tuple[Order, ...]:
    """Who goes on first matters where there are roles, and something is wrong with what they tell each other."""
    if kind in ONLY_ON_THE_DEVICE:
        return ()
    alike = target == "sm_80" or kind in ("guard", "selection", "swizzle")
    return ("first",) if alike else ("first", "last", "random")


# Elsewhere the interpreter takes minutes, and the faults are those of the others.
@every_variant(
    but="(attention-hopper|attention-backward|mla-decode|block-sparse|gemm-grouped|gemm-hopper|gemm-cluster).*"
)
def test_every_mutant_is_caught(variant: Variant) -> None:
    subjects = subjects_of(variant)

    def verdict(mutant: Mutant) -> str:
        hopeless = reason(score.name, mutant.kind, mutant.what) is not None
        by = first(s.simt(mutant.kernel, order) for order in orders(variant[1], mutant.kind) for s in subjects)
        if by or hopeless:
            return by
        return on_device(subjects, emit(mutant.kernel))

    score = Score(variant_id(variant))
    for mutant in mutants(subjects[0].lowered.final):
        score.add(mutant.kind, mutant.what, mutant.line, verdict(mutant))
    score.finish()


def test_mutants_of_barriers_in_shared_memory() -> None:
    kernel = parse(
        """\
kernel k() {
  launch k(bx: int32 in 1) threads(thread: int32 in 128) {
    alloc full: barrier uint64[2]
    init_barrier(count=1) full[0]
    fence(kind=barrier_init)
    set_registers(count=24)
    alloc slot: var int32 = 0
    alloc phase: var int32 = 0
    alloc other: var int32 = 0
    let now: int32 = slot
    arrive(bytes=64) full[now]
    expect full[now], 32
    named_sync(count=256) 3 + now
    named_arrive(count=256) 3
    await full[now], phase
    async_wait(pending=0, queue=store)
    slot = 1
    phase = 1
    other = 1
  }
}
"""
    )
    assert Counter(m.kind for m in mutants(kernel)) == {
        **{"InitBarrier": 3, "Fence": 1, "SetRegisters": 2, "Arrive": 4, "Expect": 3, "Await": 2, "AsyncWait": 3},
        **{"NamedSync": 4, "NamedArrive": 4},
        "counter": 2,
    }
    printed = [text(m.kernel) for m in mutants(kernel)]
    assert len({*printed, text(kernel)}) == len(printed) + 1
    for line in ("init_barrier(count=0)", "arrive(bytes=48)", "arrive(bytes=80)", "phase ^ 1", "sources"):
        assert sum(line in p for p in printed) == 1, line
