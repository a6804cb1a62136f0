"""The verifier of insert-fences: a fence that is missing, too early or in the wrong place is found, right ones are not.

Each bug stands beside the program without it, and every fence of kernels with roles is taken away in turn.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tiledsl.errors import VerifyError
from tiledsl.ir.concurrent import Fence
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import rewrite, walk
from tiledsl.passes.insert_fences import insert_fences
from tiledsl.passes.pipeline import PASSES
from tiledsl.target import target_named
from tiledsl.verifiers.fences import verify_fences

SM90 = target_named("sm_90a")
KERNELS = Path(__file__).parents[1] / "passes" / "kernels"
HEAD = """kernel k(A: global float16[512, 64], C: global float16[512, 64]) {
  launch k(b in 1) threads(t in 256) SLOTS
    alloc S: shared float16[8192]
    alloc O: shared float16[8192]
    alloc x: local float16[8]
    alloc acc: local float32[64]
    alloc full: barrier uint64[3]
    READY
"""
READY = "if t == 0 { init_barrier(count=ARRIVALS) full[0]  fence(kind=barrier_init) }  barrier"
FENCE, OF_TENSORS = "fence(kind=async_proxy)", "fence(kind=async_proxy_global)"
ENGINE = "bulk_move(lanes=8) S[0] -> C[0, 0]"
WRITE = "S[t] = x[0]"
STORE = "if t == 0 { tensor_copy(box=[128, 64], swizzle=128) S[0] -> C[0, 0] }"
LOAD = "if t == 0 { expect full[0], 16384  tensor_copy(box=[128, 64], swizzle=128) A[0, 0] -> S[0] on full[0] }"
SEND = "if t == 0 { arrive(bytes=128) full[0]  bulk_move(lanes=64) S[0] -> O[0] at b on full[0] }"
MULTIPLY = (
    "atom wgmma_m64n128k16_f32_f16_ss(&acc[0], descriptor(S[0], 16, 1024, 128), descriptor(O[0], 8192, 1024, 128), "
    "true, 0, 1)"
)
DONE = "async_commit(queue=store)  async_wait(pending=0, queue=store)"
FINISHED = "async_commit(queue=product)  async_wait(pending=0, queue=product)"
ROLES = """roles {
  role one(first=0, threads=128) u { FIRST }
  role two(first=128, threads=128) v { SECOND }
}"""


def kernel(body: str, slots: str = "{", arrivals: int = 1) -> Kernel:
    ready = READY.replace("ARRIVALS", str(arrivals))
    k = parse(HEAD.replace("SLOTS", slots).replace("READY", ready) + body + "}}")
    verify(k)
    return k


def roles(first: str, second: str) -> str:
    return ROLES.replace("FIRST", first).replace("SECOND", second)


def check(k: Kernel) -> None:
    verify_fences(k, k, SM90)


STORED, MULTIPLIED = f"{STORE}  {DONE}", f"{MULTIPLY}  {FINISHED}"
# body -> where a fence is missing in it, with a fence in its place
MISSING = {
    "store": (f"{WRITE}  @  barrier  {STORED}", 1),
    "product": (f"{WRITE}  @  barrier  {MULTIPLIED}", 1),
    "load over it": (f"{WRITE}  @  barrier  {LOAD}  arrive full[0]  await full[0], 0 of S", 256),
    "to a block": (f"{WRITE}  @  barrier  {SEND}  await full[0], 0 of O", 1),
    "over what others send": (f"O[t] = x[0]  @  barrier  {SEND}  await full[0], 0 of O", 1),
    "own access": (f"if t == 0 {{ S[0] = x[0]  @  bulk_move(lanes=8) S[0] -> C[0, 0] }}  {DONE}", 1),
    "matrix store": (f"atom stmatrix_x4(&S[t * 8], &x[0])  @  barrier  {STORED}", 1),
    "around a loop": (f"for i in 3 {{ barrier  {STORED}  barrier  {WRITE}  @ }}", 1),
    "one branch": (f"if b == 0 {{ {WRITE}  @ }} else {{ x[0] = x[1] }}  barrier  {STORED}", 1),
    "some threads": (f"if t < 32 {{ {WRITE} }}  @  barrier  {STORED}", 1),
    "cp.async": (f"async S[t] = A[t, 0]  async_commit  async_wait(pending=0)  @  barrier  {MULTIPLIED}", 1),
    "another role": (roles("S[u] = x[0]  @  arrive full[0] of S", f"await full[0], 0 of S  {MULTIPLIED}"), 128),
    "copies that arrive": (
        roles("async S[u] = A[u, 0]  arrive(copies) full[0] of S", f"await full[0], 0 of S  @  {MULTIPLIED}"), 128,
    ),
    "global memory": (f"C[t, 0] = x[0]  barrier  if t == 0 {{ $  {ENGINE} }}  {DONE}", 1),
    "global memory, by who wrote": (f"C[t, 0] = x[0]  $  barrier  if t == 0 {{ {ENGINE} }}  {DONE}", 1),
    "global memory, around a loop": (
        f"for i in 3 {{ barrier  if t == 0 {{ $  {ENGINE} }}  async_commit(queue=store)  "
        "async_wait(pending=0, queue=store)  barrier  C[t, 0] = x[0] }", 1,
    ),
    "global memory of another role": (
        roles("C[u, 0] = x[0]  arrive full[0]", f"await full[0], 0  if v == 0 {{ $  {ENGINE} }}  {DONE}"), 128,
    ),
    "before roles": (f"{WRITE}  @  barrier  {roles('x[0] = x[1]', MULTIPLIED)}", 1),
}  # fmt: skip


@pytest.mark.parametrize(("body", "arrivals"), MISSING.values(), ids=MISSING)
def test_a_missing_fence_is_found(body: str, arrivals: int) -> None:
    check(kernel(body.replace("@", FENCE).replace("$", OF_TENSORS), arrivals=arrivals))
    for wrong in ("", FENCE if "$" in body else ""):
        with pytest.raises(VerifyError, match="S20"):
            check(kernel(body.replace("@", "").replace("$", wrong), arrivals=arrivals))
    check(insert_fences(kernel(body.replace("@", "").replace("$", ""), arrivals=arrivals)))


WRONG = {
    "before the write": f"{FENCE}  {WRITE}  barrier  {STORED}",
    "of other threads": f"if t < 32 {{ {WRITE} }} else {{ {FENCE} }}  barrier  {STORED}",
    "after it was published, by who wrote": f"if t > 31 {{ {WRITE} }}  barrier  if t > 31 {{ {FENCE} }}  {STORED}",
    "of another kind": f"{WRITE}  fence(kind=product)  barrier  {STORED}",
    "before cp.async is complete": f"async S[t] = A[t, 0]  async_commit  {FENCE}  async_wait(pending=0)  barrier  "
    f"{MULTIPLIED}",
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG)
def test_a_fence_in_the_wrong_place_is_none(body: str) -> None:
    with pytest.raises(VerifyError, match=r"S20.*'S'.*async proxy.*wrote it"):
        check(kernel(body))


RIGHT = {
    "nothing asynchronous": f"{WRITE}  barrier  x[0] = S[255 - t]",
    "another tile": f"O[t] = x[0]  barrier  {STORED}",
    "only read": f"x[0] = S[t]  barrier  {STORED}",
    "the engine wrote it": f"{LOAD}  arrive full[0]  await full[0], 0 of S  {MULTIPLIED}",
    "another tensor": f"A[t, 0] = x[0]  barrier  if t == 0 {{ {ENGINE} }}  {DONE}",
    "the engine before the threads": f"if t == 0 {{ {ENGINE} }}  {DONE}  barrier  C[t, 0] = x[0]",
    "by who accesses, after a barrier": f"{WRITE}  barrier  if t == 0 {{ {FENCE} }}  {STORED}",
}


@pytest.mark.parametrize("body", RIGHT.values(), ids=RIGHT)
def test_none_is_needed(body: str) -> None:
    check(kernel(body, arrivals=256))


def test_bytes_count_and_not_names() -> None:
    body = f"O[t] = x[0]  barrier  {STORED}"
    check(kernel(body, "shared_bytes(32832) { slot S = 0 slot O = 16384 slot full = 32768"))
    with pytest.raises(VerifyError, match="S20"):
        check(kernel(body, "shared_bytes(16448) { slot S = 0 slot O = 0 slot full = 16384"))


@pytest.mark.parametrize("name", ["gemm_roles"])
def test_every_fence_of_a_kernel_with_roles_is_needed(name: str) -> None:
    k = parse((KERNELS / f"{name}.tir").read_text())
    for before in ("plan-shared-memory", "insert-barriers", "insert-fences"):
        k = PASSES[before].bind(SM90)(k)
    check(k)
    fences = [n for n in walk(k) if isinstance(n, Fence) and n.kind == "async_proxy"]
    assert fences
    for fence in fences:
        with pytest.raises(VerifyError, match="S20"):
            check(rewrite(k, lambda n, gone=fence: () if n is gone else n))
