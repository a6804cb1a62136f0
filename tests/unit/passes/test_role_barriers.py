"""insert-barriers where threads have roles, the copy engine moves tiles, and products run asynchronously."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from tiledsl.errors import TileError
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.passes.insert_barriers import insert_barriers
from tiledsl.passes.pipeline import PASSES
from tiledsl.target import target_named

SM90 = target_named("sm_90a")
KERNELS = Path(__file__).parent / "kernels"

HEAD = """kernel k(A: global float32[512], C: global float32[512]) {
  launch k(b in 1) threads(t in 256) {
    alloc S: shared float32[256]
    alloc V: shared float32[256] versions(3)
    alloc r: local float32[1]
    alloc full: barrier uint64[3]
    alloc empty: barrier uint64[3]
    r[0] = 0.0
"""


def placed(body: str) -> Kernel:
    k = insert_barriers(parse(HEAD + body + "}}"))
    verify(k)
    return k


def barriers(body: str) -> list[str]:
    """Each barrier of the result with the statement that it goes before."""
    lines = [line.strip() for line in text(placed(body)).splitlines()]
    return [f"{a} | {b}" for a, b in pairwise(lines) if a.startswith("barrier")]


def roles(first: str, second: str = "", *, thread: str = "u", before: str = "", after: str = "") -> str:
    """Two roles of 128 threads, whose thread numbers are u and v."""
    return f"""{before}
    roles {{
      role one(first=0, threads=128) {thread} {{ {first} }}
      role two(first=128, threads=128) v {{ {second} }}
    }}
    {after}"""


EXCHANGE = "S[{0}] = r[0]  r[0] = S[127 - {0}]"


def test_the_barrier_of_a_role_is_one_of_its_threads() -> None:
    assert barriers(roles(EXCHANGE.format("u"))) == ["barrier(id=1, count=128) | r[0] = S[127 - u]"]
    swapped = roles("", EXCHANGE.format("v"))
    assert barriers(swapped) == ["barrier(id=2, count=128) | r[0] = S[127 - v]"]


def test_own_elements_need_none_and_existing_ones_count() -> None:
    assert barriers(roles("S[u] = r[0]  r[0] = S[u]")) == []
    assert len(barriers(roles("S[u] = r[0] barrier(id=1, count=128) r[0] = S[127 - u]"))) == 1
    assert len(barriers(roles("S[u] = r[0] barrier(id=7, count=128) r[0] = S[127 - u]"))) == 1
    assert len(barriers(roles("S[u] = r[0] barrier(id=7, count=64) r[0] = S[127 - u]"))) == 2


def test_roles_order_themselves() -> None:
    """What one role writes and the other reads is handed over at barriers in memory: nothing is put in here."""
    first = "await empty[0], 1 of S  S[u] = r[0]  arrive full[0] of S"
    second = "await full[0], 0 of S  r[0] = S[127 - v]  arrive empty[0] of S"
    assert barriers(roles(first, second)) == []


def test_to_the_code_around_roles_touch_everything_that_one_of_them_touches() -> None:
    uses = roles("S[u] = r[0]", "V@0[v] = r[0]", before="V@0[255 - t] = r[0]", after="r[0] = S[255 - t]")
    assert barriers(uses) == ["barrier | roles {", "barrier | r[0] = S[255 - t]"]
    assert barriers(roles("S[u] = r[0]", before="S[t] = r[0]", after="r[0] = S[t]")) == []  # each thread its own


def test_loops_around_roles_are_synchronised_around_the_corner() -> None:
    body = f"for i in 4 {{ {roles('S[u] = r[0]', after='r[0] = S[255 - t]')} }}"
    assert barriers(body) == ["barrier | roles {", "barrier | r[0] = S[255 - t]"]


def test_a_role_of_one_thread_needs_none() -> None:
    loop = "for k in 9 { await empty[k % 3], (k // 3 + 1) % 2 of V  V@(k % 3)[0] = r[0]  r[0] = V@(k % 3)[0] }"
    assert barriers(roles(f"if u == 0 {{ {loop} }}")) == []


STORE = "if u == 0 { tensor_copy(box=[128]) S[0] -> C[0] }  async_commit(queue=store)"


def test_the_copy_engine_reads_after_a_barrier_and_is_waited_for_before_the_next() -> None:
    once = f"S[u] = r[0]  {STORE}  async_wait(pending=0, queue=store, sources)"
    assert barriers(roles(once)) == ["barrier(id=1, count=128) | if u == 0 {"]
    again = f"for i in 4 {{ {once} }}"
    assert barriers(roles(again)) == [
        "barrier(id=1, count=128) | S[u] = r[0]",
        "barrier(id=1, count=128) | if u == 0 {",
    ]
    late = f"for i in 4 {{ async_wait(pending=0, queue=store, sources)  S[u] = r[0]  {STORE} }}"
    assert barriers(roles(late)) == [
        "barrier(id=1, count=128) | S[u] = r[0]",
        "barrier(id=1, count=128) | if u == 0 {",
    ]


def load(at: str, who: str = "t") -> str:
    return f"if {who} == 0 {{ arrive(bytes=512) full[{at}]  tensor_copy(box=[128]) A[0] -> V@({at})[0] on full[{at}] }}"


def test_a_refill_waits_for_the_readers_and_readers_await_the_refill() -> None:
    """Without roles: each thread awaits the tile, and a barrier lets the engine overwrite it."""
    body = f"""
    for k in 9 {{
      {load("k % 3")}
      await full[k % 3], k // 3 % 2 of V
      r[0] = V@(k % 3)[255 - t]
    }}"""
    assert barriers(body) == ["barrier | if t == 0 {"]  # three versions on, the tile is read still
    once = f"{load('0')}  await full[0], 0 of V  r[0] = V@0[255 - t]"
    assert barriers(once) == []


WGMMA = (
    "atom wgmma_m64n128k16_f32_f16_ss(&acc[0], descriptor(As@(k % 3)[{0}], 16, 1024, 128), "
    "descriptor(Bs@(k % 3)[0], 8192, 1024, 128), true, 0, 1)"
)
PRODUCTS = """kernel k(A: global float16[512, 64]) {
  launch k(b in 1) threads(t in 256) {
    alloc As: shared float16[8192] versions(3)
    alloc Bs: shared float16[8192] versions(3)
    alloc acc: local float32[64]
    alloc full: barrier uint64[3]
    alloc empty: barrier uint64[3]
    roles {
      role all(first=0, threads=256) u {
        for k in 9 {
          await full[k % 3], k // 3 % 2 of As, Bs
          BODY
        }
      }
    }
  }
}"""
MULTIPLY = (
    f"{WGMMA.format('u // 128 * 4096')}  async_commit(queue=product)  async_wait(pending=0, queue=product)  hold acc"
)


def products(body: str) -> Kernel:
    """A loop in a role of two warpgroups."""
    return parse(PRODUCTS.replace("BODY", body))


@pytest.mark.parametrize("arrival, needed", [
    ("if u % 128 == 0 { arrive empty[k % 3] of As, Bs }", 0),  # a warpgroup executes a product as one
    ("arrive empty[k % 3] of As, Bs", 0),
    ("if u == 0 { arrive empty[k % 3] of As, Bs }", 1),  # for two warpgroups
])  # fmt: skip
def test_who_arrives_for_whom(arrival: str, needed: int) -> None:
    out = text(insert_barriers(products(f"{MULTIPLY} {arrival}")))
    assert out.count("barrier(id=1, count=256)") == needed


@pytest.mark.parametrize("arrival, needed", [("if v % 32 == 0 {{ {0} }}", 1), ("{0}", 0)])
def test_an_arrival_for_other_threads_waits_for_their_reads(arrival: str, needed: int) -> None:
    arrive = arrival.format("arrive empty[k % 3] of V")
    loop = f"for k in 9 {{ await full[k % 3], k // 3 % 2 of V  r[0] = V@(k % 3)[v]  {arrive} }}"
    expected = ["barrier(id=2, count=128) | if v % 32 == 0 {"]
    assert barriers(roles("", loop)) == expected * needed


def test_a_refill_waits_for_products_of_all_threads() -> None:
    refill = "if u == 0 { tensor_copy(box=[128, 64], swizzle=128) A[k * 128, 0] -> As@(k % 3)[0] on full[k % 3] }"
    out = text(insert_barriers(products(f"{MULTIPLY} {refill}")))
    assert out.count("barrier(id=1, count=256)") == 1


def test_products_read_what_threads_wrote_after_a_barrier() -> None:
    out = text(insert_barriers(products(f"As@(k % 3)[u] = float16(1.0)  {MULTIPLY}")))
    lines = [line.strip() for line in out.splitlines()]
    at = [n for n, line in enumerate(lines) if line.startswith("barrier(")]
    assert [lines[n + 1].split("(")[0] for n in at] == ["atom wgmma_m64n128k16_f32_f16_ss"]


def test_an_exchange_under_a_branch_of_some_threads_of_a_role_is_an_error() -> None:
    with pytest.raises(TileError) as raised:
        placed(roles("if u < 64 { S[u] = r[0]  r[0] = S[63 - u] }"))
    assert raised.value.code == "TD0502"


def test_the_gemm_needs_one() -> None:
    k = parse((KERNELS / "gemm_roles.tir").read_text())
    for name in ("plan-shared-memory", "insert-barriers"):
        k = PASSES[name].bind(SM90)(k)
    lines = [line.strip() for line in text(k).splitlines()]
    found = [f"{a} | {b}" for a, b in pairwise(lines) if a.startswith("barrier")]
    assert found == ["barrier | roles {", "barrier(id=2, count=256) | if t2 == 0 {"]
