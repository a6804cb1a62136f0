"""Verifiers on clusters: a right kernel passes, and one with a single thing changed is refused by name."""

from __future__ import annotations

import re
from functools import cache

import pytest

from tiledsl.analysis.lifetimes import live_ranges
from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import substitute
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.pipeline import pipeline
from tiledsl.target import target_named
from tiledsl.verifiers.barriers import verify_barriers
from tiledsl.verifiers.roles import verify_roles
from tiledsl.verifiers.shared_memory import verify_shared

HEAD = "kernel sums(A: global float32[48, 32], C: global float32[4, 32]) {\n  launch main(b in 4) "

PLAIN = (
    HEAD
    + """threads(t in 128) cluster(2) {
    alloc S: shared float32[16, 32]
    alloc sum: fragment float32[32]
    fill sum, 0.0
    for k in 3 pipelined(stages=2) {
      copy A[k * 16 : 16, 0 : 32] -> S
      reduce(sum, dim=0, clear=false) S -> sum
    }
    copy sum -> C[b : 1, 0 : 32]
  }
}
"""
)

CLUSTERS = (
    HEAD
    + """threads(t in 256) cluster(2) {
    alloc S: shared float32[16, 32] versions(2)
    alloc full: barrier uint64[2] = 1
    alloc empty: barrier uint64[2] = 256
    roles {
      role p(first=0, threads=128) q {
        for k in 3 {
          await(by=one) empty[k % 2], (k // 2 + 1) % 2 of S
          arrive(bytes=2048, by=one) full[k % 2]
          bulk copy(ranks=3) A[k * 16 + b % 2 * 8 : 8, 0 : 32] -> S@(k % 2)[b % 2 * 8 : 8, 0 : 32] on full[k % 2]
        }
      }
      role c(first=128, threads=128) r {
        alloc sum: fragment float32[32]
        fill sum, 0.0
        for j in 3 {
          await full[j % 2], j // 2 % 2 of S
          reduce(sum, dim=0, clear=false) S@(j % 2)[0 : 16, 0 : 32] -> sum
          arrive(ranks=3) empty[j % 2] of S
        }
        copy sum -> C[b : 1, 0 : 32]
      }
    }
  }
}
"""
)


def kernel(source: str) -> Kernel:
    k = parse(source)
    verify(k)
    return k


def check(after: str) -> None:
    """As a pass would have made `after`: with the same number of the block."""
    old, new = kernel(PLAIN), kernel(after)
    verify_roles(old, substitute(new, dict(zip(new.launches[0].blocks, old.launches[0].blocks))))


def test_right_clusters_pass() -> None:
    check(CLUSTERS)
    check(CLUSTERS.replace("    roles {", "    cluster_barrier\n    roles {"))


WRONG: dict[str, tuple[str, str, str]] = {
    "an arrival only at home": ("arrive(ranks=3) empty", "arrive empty", "W3"),
    "an arrival only at block 0": ("arrive(ranks=3) empty", "arrive(ranks=1) empty", "W3"),
    "an arrival at a block that there is not": ("arrive(ranks=3) empty", "arrive(ranks=7) empty", "W17"),
    "arrivals of one block are enough": ("= 256", "= 128", "W5|W8|P13"),
    "half of the bytes": ("bytes=2048", "bytes=1024", "W8|W7|P13"),
    "a copy only for itself": ("copy(ranks=3)", "copy", "W3"),
    "a copy only for block 1": ("copy(ranks=3)", "copy(ranks=2)", "W3|W6"),
    "a copy to a block that there is not": ("copy(ranks=3)", "copy(ranks=5)", "W17"),
    "the same half twice": ("S@(k % 2)[b % 2 * 8 : 8", "S@(k % 2)[0 : 8", "P13|W8|P6"),
    "the other half of A": ("A[k * 16 + b % 2 * 8", "A[k * 16 + (1 - b % 2) * 8", "P6|P3"),
    "no wait for free tiles": ("          await(by=one) empty[k % 2], (k // 2 + 1) % 2 of S\n", "", "P13|W8|W4|W5"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_has_a_name(what: str) -> None:
    old, new, code = WRONG[what]
    assert CLUSTERS.count(old) == 1
    with pytest.raises(VerifyError) as caught:
        check(CLUSTERS.replace(old, new))
    assert re.search(rf"({code}): ", caught.value.message), caught.value.message


def test_blocks_that_wait_for_one_that_stays_away() -> None:
    once = "    if b % 2 == 0 { cluster_barrier }\n    roles {"
    with pytest.raises(VerifyError, match="W3"):
        check(CLUSTERS.replace("    roles {", once))


# Each block sends what it has to the next one.
RING = """
kernel ring(A: global float32[4, 8, 32], C: global float32[4, 3, 8, 32]) {
  launch main(b in 4) threads(t in 128) cluster(4) {
    alloc S: shared float32[8, 32]
    alloc R: shared float32[8, 32]
    alloc bar: barrier uint64[1] = 1
    for k in 3 {
      parallel i in 8, j in 32 { S[i, j] = A[b, i, j] + cast<float32>(k) }
      arrive(bytes=1024, by=one) bar[0]
      bulk copy S -> R at (b + 1) % 4 on bar[0]
      await bar[0], k % 2
      parallel i in 8, j in 32 { C[b, k, i, j] = R[i, j] }
      cluster_barrier
    }
  }
}
"""
WRONG_RINGS: dict[str, tuple[str, str, str]] = {
    "to the block before": ("(b + 1) % 4 on", "(b + 3) % 4 on", "P6|P3"),
    "all to one": ("(b + 1) % 4 on", "0 on", "P13|W3|W6"),
    "to a block that there is not": ("(b + 1) % 4 on", "b + 1 on", "W17"),
    "to a block before the first": ("(b + 1) % 4 on", "b - 1 on", "W17"),
    "no wait": ("      await bar[0], k % 2\n", "", "P13|W4|W5"),
    "half of the bytes": ("bytes=1024", "bytes=512", "P13|W"),
    "what is on its way is written": ("await bar[0], k % 2", "fill S, 0.0 await bar[0], k % 2", "W10|P17"),
    "what others have not got is written": ("      cluster_barrier\n", "", "W10|P17|P13"),
}


def check_ring(after: str) -> None:
    old, new = kernel(RING), kernel(after)
    verify_roles(old, substitute(new, dict(zip(new.launches[0].blocks, old.launches[0].blocks))))


def test_a_ring_passes() -> None:
    check_ring(RING.replace("for k in 3 {", "cluster_barrier for k in 3 {"))


@pytest.mark.parametrize("what", WRONG_RINGS)
def test_what_is_wrong_in_a_ring_has_a_name(what: str) -> None:
    old, new, code = WRONG_RINGS[what]
    assert RING.count(old) == 1
    with pytest.raises(VerifyError) as caught:
        check_ring(RING.replace(old, new))
    assert re.search(rf"({code})", caught.value.message), caught.value.message


# ------------------------------------------------------------------------------------------------------- thread stage


@cache
def lowered() -> Kernel:
    return run_pipeline(kernel(CLUSTERS), pipeline(target_named("sm_90a")))


def test_a_lowered_kernel_passes() -> None:
    for verifier in (verify_barriers, verify_shared):
        verifier(lowered(), lowered(), None)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("init_barrier(count=256)", "init_barrier(count=128)", "W5|S10|W4"),
        ("init_barrier(count=256)", "init_barrier(count=384)", "W3|W5"),
        ("bytes=2048", "bytes=1024", "P13|S10"),
        ("    cluster_barrier\n", "", "W16"),
    ],
)
def test_a_changed_one_is_refused(old: str, new: str, code: str) -> None:
    source = text(lowered())
    assert old in source
    with pytest.raises(VerifyError) as caught:
        verify_barriers(lowered(), parse(source.replace(old, new)), None)
    assert re.search(rf"({code}): ", caught.value.message), caught.value.message


@cache
def lowered_ring() -> str:
    return text(run_pipeline(kernel(RING), pipeline(target_named("sm_90a")), check=True))


# A tile that is made, sent and no longer used, and another one afterwards.
KEPT = """
kernel kept(C: global float32[4, 256]) {
  launch main(b in 4) threads(t in 128) cluster(4) SLOTS
    alloc S: shared float32[256]
    alloc R: shared float32[256]
    alloc L: shared float32[256]
    alloc bar: barrier uint64[1]
    if t == 0 { init_barrier(count=1) bar[0]  fence(kind=barrier_init) }
    cluster_barrier
    S[t] = 1.0
    S[t + 128] = 1.0
    fence(kind=async_proxy)
    barrier
    if t == 0 { arrive(bytes=1024) bar[0]  bulk_move(lanes=256) S[0] -> R[0] at (b + 1) % 4 on bar[0] }
    await bar[0], 0
    L[t] = R[t]
    C[b, t] = L[t]
    cluster_barrier
  }
}
"""


def test_a_lowered_ring_passes_and_its_tiles_are_apart() -> None:
    made = parse(lowered_ring())
    for verifier in (verify_barriers, verify_shared):
        verifier(made, made, None)


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("bytes=1024", "bytes=512", "P13|S10|W"),
        ("    barrier\n", "", "S10"),
        ("init_barrier(count=1)", "init_barrier(count=2)", "W3"),
    ],
)
def test_a_changed_ring_is_refused(old: str, new: str, code: str) -> None:
    assert old in lowered_ring()
    made = parse(lowered_ring().replace(old, new))
    with pytest.raises(VerifyError) as caught:
        verify_barriers(made, made, None)
    assert re.search(rf"({code})", caught.value.message), caught.value.message


def test_what_was_sent_keeps_its_bytes() -> None:
    slots = "shared_bytes(4096) {{ slot S = 0 slot R = 1024 slot L = {} slot bar = 4080"
    apart, together = (kernel(KEPT.replace("SLOTS", slots.format(at))) for at in (2048, 0))
    verify_shared(apart, apart, None)
    with pytest.raises(VerifyError, match=r"S6.*'S'"):
        verify_shared(together, together, None)
    (launch,) = kernel(KEPT.replace("SLOTS", "{")).launches
    last = {r.buffer.name: r.last for r in live_ranges(launch)}
    assert last["S"] == last["bar"] > last["L"] > last["R"]
