"""insert-fences: before what threads wrote is published to the copy engine and the tensor core, and nowhere else."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import count, pairwise
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.ir.concurrent import Fence, TensorCopy
from tiledsl.ir.nodes import (
    Address,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    Barrier,
    Binary,
    Block,
    Break,
    Continue,
    For,
    If,
    Kernel,
    Stmt,
    Store,
    Var,
    While,
)
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import rewrite, walk
from tiledsl.passes.insert_fences import insert_fences, make_fence_plan
from tiledsl.passes.pipeline import PASSES
from tiledsl.target import target_named

SM90 = target_named("sm_90a")
KERNELS = Path(__file__).parent / "kernels"

HEAD = """kernel k(A: global float16[512, 64], C: global float16[512, 64]) {
  launch k(b in 1) threads(t in 256) SLOTS
    alloc S: shared float16[8192]
    alloc O: shared float16[8192]
    alloc x: local float16[8]
    alloc acc: local float32[64]
    alloc full: barrier uint64[3]
    alloc n: var int32 = 0
"""
WRITE = "S[t] = x[0]"
STORE = "if t == 0 { tensor_copy(box=[128, 64], swizzle=128) S[0] -> C[0, 0] }"
LOAD = "if t == 0 { tensor_copy(box=[128, 64], swizzle=128) A[0, 0] -> S[0] on full[0] }"
MULTIPLY = (
    "atom wgmma_m64n128k16_f32_f16_ss(&acc[0], descriptor(S[0], 16, 1024, 128), descriptor(O[0], 8192, 1024, 128), "
    "true, 0, 1)"
)
ISSUE, COMMIT, ARRIVED = "async S[t] = A[t, 0]", "async_commit", "async_wait(pending=0)"
WAIT = "async_commit(queue=store)  async_wait(pending=0, queue=store, sources)"


def kernel(body: str, slots: str = "{") -> Kernel:
    k = parse(HEAD.replace("SLOTS", slots) + body + "}}")
    verify(k)
    return k


def fences(body: str, slots: str = "{", kind: str = "async_proxy") -> list[str]:
    """What each fence of that kind in the result goes before."""
    out = insert_fences(kernel(body, slots))
    verify(out)
    lines = [line.strip() for line in text(out).splitlines()]
    return [b for a, b in pairwise(lines) if a == f"fence(kind={kind})"]


@pytest.mark.parametrize("access", [STORE, LOAD, MULTIPLY, "if t == 0 { bulk_move(lanes=8192) S[0] -> C[0, 0] }"])
@pytest.mark.parametrize("write", [
    WRITE,
    "move(lanes=8) x[0] -> S[t * 8]",
    "atom stmatrix_x4(&S[t * 8], &x[0])",
    "if t < 32 { S[t] = x[0] }",
    "for i in 4 { S[t + i * 256] = x[0] }",
    "while n < 4 { S[t] = x[0]  n = n + 1 }",
    "view W: shared uint16[8192] of S  W[t] = uint16(0)",
])  # fmt: skip
def test_before_the_barrier_that_publishes(write: str, access: str) -> None:
    assert fences(f"{write}  barrier  {access}") == ["barrier"]


def test_before_an_arrival() -> None:
    assert fences(f"{WRITE}  arrive full[0] of S  await full[0], 0 of S  {MULTIPLY}") == ["arrive full[0] of S"]


def test_before_an_own_access() -> None:
    assert fences("if t == 0 { S[0] = x[0]  bulk_move(lanes=8) S[0] -> C[0, 0] }") == [
        "bulk_move(lanes=8) S[0] -> C[0, 0]"
    ]


@pytest.mark.parametrize("body", [
    f"{WRITE}  barrier  x[0] = S[255 - t]",  # nothing asynchronous
    f"O[t] = x[0]  barrier  {STORE}",  # another tile
    f"x[0] = S[t]  barrier  {LOAD}",  # only read
    f"{LOAD}  await full[0], 0 of S  {MULTIPLY}",  # the engine wrote it
    f"{STORE}  {WAIT}  barrier  {WRITE}  barrier  x[0] = S[255 - t]",  # nothing asynchronous any more
    f"{WRITE}  fence(kind=async_proxy)  barrier  {STORE}",  # has one
    "async S[t] = A[t, 0]  async_commit  async_wait(pending=0)  barrier  x[0] = S[255 - t]",
])  # fmt: skip
def test_none(body: str) -> None:
    k = kernel(body)
    assert insert_fences(k) == k
    assert str(make_fence_plan(k.launches[0])) == "no fences"


def test_one_fence_serves_several_tiles_and_barriers() -> None:
    assert fences(f"{WRITE}  O[t] = x[0]  barrier  x[0] = S[255 - t]  barrier  {MULTIPLY}") == ["barrier"]


OF_TENSORS = "if t == 0 { bulk_move(lanes=8) S[0] -> C[0, 0] }"


@pytest.mark.parametrize(("body", "count"), [
    (f"C[t, 0] = x[0]  barrier  {OF_TENSORS}", 1),
    (f"move(lanes=8) x[0] -> C[t, 0]  barrier  {OF_TENSORS}", 1),
    (f"if b == 0 {{ C[t, 0] = x[0] }}  barrier  {OF_TENSORS}", 1),
    (f"for i in 4 {{ barrier  {OF_TENSORS}  {WAIT}  barrier  C[t, i] = x[0] }}", 1),
    (f"C[t, 0] = x[0]  barrier  {OF_TENSORS}  {OF_TENSORS}", 2),  # each by a thread that may not have made the other
    (f"if b == 0 {{ C[t, 0] = x[0] }} else {{ {OF_TENSORS} }}", 0),
    (f"{OF_TENSORS}  async_commit(queue=store)  async_wait(pending=0, queue=store)  barrier  C[t, 0] = x[0]", 0),
    (f"A[t, 0] = x[0]  barrier  {OF_TENSORS}", 0),
    (f"C[t, 0] = x[0]  fence(kind=async_proxy_global)  barrier  {OF_TENSORS}", 1),  # has one
])  # fmt: skip
def test_who_accesses_what_threads_wrote_in_global_memory_fences_it(body: str, count: int) -> None:
    found = fences(body, kind="async_proxy_global")
    assert len(found) == count
    if "fence" not in body:
        assert set(found) <= {"bulk_move(lanes=8) S[0] -> C[0, 0]"}
    assert not fences(body)


def test_a_tensor_that_another_role_writes_is_fenced_after_each_wait() -> None:
    loads = "await full[0], 0  if v == 0 { bulk_move(lanes=8) C[0, 0] -> S[0] on full[1] }"
    one, two = "C[u, 0] = x[0]  arrive full[0]", f"{loads}  {loads}"
    roles = f"""roles {{
      role one(first=0, threads=128) u {{ {one} }}
      role two(first=128, threads=128) v {{ {two} }}
    }}"""
    assert fences(roles, kind="async_proxy_global") == 2 * ["bulk_move(lanes=8) C[0, 0] -> S[0] on full[1]"]


def test_around_a_loop() -> None:
    """What an iteration writes the next one publishes."""
    assert fences(f"for i in 4 {{ barrier  {STORE}  {WAIT}  barrier  {WRITE} }}") == ["barrier"]
    body = insert_fences(kernel(f"for i in 4 {{ barrier  {STORE}  {WAIT}  barrier  {WRITE} }}")).launches[0].body
    assert isinstance(body[-1].body[0], Fence)  # type: ignore[attr-defined]  # before the first, not the second


def test_on_every_path() -> None:
    branch = f"if b == 0 {{ {WRITE} }} else {{ x[0] = x[1] }}  barrier  {STORE}"
    assert fences(branch) == ["barrier"]
    assert fences(f"if b == 0 {{ {WRITE}  barrier }} else {{ barrier }}  {STORE}") == ["barrier"]
    leaving = f"for i in 4 {{ {WRITE}  if b == 0 {{ break }}  fence(kind=async_proxy) }}  barrier  {STORE}"
    assert fences(leaving) == ["}", "barrier"]  # the first was there
    assert fences(f"for i in 4 {{ {WRITE}  fence(kind=async_proxy) }}  barrier  {STORE}") == ["}"]


def test_tiles_that_share_bytes() -> None:
    """Bytes that a thread wrote as one tile are overwritten by the engine as another."""
    body = f"O[t] = x[0]  barrier  {LOAD}"
    assert fences(body, "shared_bytes(32768) { slot S = 0 slot O = 16384") == []
    assert fences(body, "shared_bytes(32768) { slot S = 0 slot O = 0") == ["barrier"]


def test_copies_of_threads_count_from_their_wait_on() -> None:
    issue = "async S[t] = A[t, 0]  async_commit"
    assert fences(f"{issue}  barrier  async_wait(pending=0)  barrier  {MULTIPLY}") == ["barrier"]
    body = insert_fences(kernel(f"{issue}  barrier  async_wait(pending=0)  barrier  {MULTIPLY}")).launches[0].body
    assert isinstance(body[-3], Fence)


def test_a_wait_before_the_commit_is_for_older_copies() -> None:
    body = f"{ISSUE}  {ARRIVED}  {COMMIT}  barrier  O[t] = x[0]  barrier  {ARRIVED}  barrier  {MULTIPLY}"
    k = insert_fences(kernel(body))
    assert [type(s).__name__ for s in k.launches[0].body[-3:]] == ["Fence", "Barrier", "AtomCall"]


def test_a_commit_that_may_be_passed_by_leaves_copies_issued() -> None:
    body = (
        f"{ISSUE}  if b == 0 {{ {COMMIT} }}  {ARRIVED}  barrier  {MULTIPLY}  {COMMIT}  {ARRIVED}  barrier  {MULTIPLY}"
    )
    assert fences(body) == ["barrier", "barrier"]


ROLES = """
roles {
  role one(first=0, threads=128) u { FIRST }
  role two(first=128, threads=128) v { SECOND }
}"""


def roles(first: str, second: str) -> str:
    return ROLES.replace("FIRST", first).replace("SECOND", second)


def test_another_role_reads() -> None:
    writer = "for k in 4 { await full[1], 1 of S  S[u] = x[0]  arrive full[0] of S }"
    reader = f"for k in 4 {{ await full[0], 0 of S  {MULTIPLY}  arrive full[1] of S }}"
    assert fences(roles(writer, reader)) == ["arrive full[0] of S"]
    assert fences(roles(writer, "await full[0], 0 of S  x[0] = S[v]")) == []


def test_copies_that_arrive_by_themselves_are_fenced_by_their_readers() -> None:
    """No thread is there when `cp.async` is complete and its arrival is made."""
    writer = "async S[u] = A[u, 0]  arrive(copies) full[0] of S"
    reader = f"await full[0], 0 of S  {MULTIPLY}"
    assert fences(roles(writer, reader)) == [MULTIPLY]


def test_code_before_roles() -> None:
    assert fences(f"{WRITE}  barrier  {roles('x[0] = x[1]', MULTIPLY)}") == ["barrier"]


def test_the_plan_says_why() -> None:
    plan = make_fence_plan(kernel(f"{WRITE}  barrier  {STORE}").launches[0])
    assert str(plan) == "before 7:\n    'S': store at line 9, then tensorcopy at line 9"


def test_the_gemm_has_one_and_needs_it() -> None:
    k = parse((KERNELS / "gemm_roles.tir").read_text())
    for name in ("plan-shared-memory", "insert-barriers", "insert-fences"):
        k = PASSES[name].bind(SM90)(k)
    lines = [line.strip() for line in text(k).splitlines()]
    assert [b for a, b in pairwise(lines) if a == "fence(kind=async_proxy)"] == ["barrier(id=2, count=256)"]
    again = insert_fences(k)
    assert again == k
    without = rewrite(k, lambda n: () if isinstance(n, Fence) and n.kind == "async_proxy" else n)
    assert insert_fences(without) == k and sum(isinstance(n, Fence) for n in walk(without)) == 2


# ------------------------------------------------------------------------------------------------------------- law

LEAVES = st.sampled_from(
    [WRITE, "O[t] = x[0]", "barrier", "barrier", STORE, MULTIPLY, "x[0] = S[255 - t]", ISSUE, COMMIT, ARRIVED]
)
PROGRAMS = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=4).map("  ".join),
        st.builds("if b == 0 {{ {} }} else {{ {} }}".format, inner, inner),
        st.builds("for i in 2 {{ {} }}".format, inner),
        st.builds("while n < 4 {{ {} if b == 1 {{ break }} {} }}".format, inner, inner),
        st.builds("for i in 2 {{ {} if b == 1 {{ continue }} {} }}".format, inner, inner),
    ),
    max_leaves=10,
)


class _Left(Exception):
    pass


def steps(block: Block, chosen: Random) -> Iterator[Stmt]:
    """The statements of one way through `block`, by chance. Raises _Left with the statement that leaves a loop."""
    for s in block:
        match s:
            case If(Binary("==", Var("t")), then):
                yield from then  # the thread that starts the engine
            case If(_, then, orelse):
                yield from steps(then if chosen.random() < 0.5 else orelse, chosen)
            case For(body=body) | While(body=body):
                for _ in range(2 if isinstance(s, For) else chosen.randrange(3)):
                    try:
                        yield from steps(body, chosen)
                    except _Left as left:
                        if isinstance(left.args[0], Break):
                            break
            case Break() | Continue():
                raise _Left(s)
            case _:
                yield s


def unfenced(way: Sequence[Stmt]) -> bool:
    """Whether something asynchronous meets a write without a fence between that and the last barrier after it."""
    fenced = [n for n, s in enumerate(way) if isinstance(s, Fence)]
    barriers = [n for n, s in enumerate(way) if isinstance(s, Barrier)]
    for at, access in enumerate(way):
        names = {n.buffer.name for n in walk(access) if isinstance(n, Address)} & {"S", "O"}
        if not isinstance(access, TensorCopy | AtomCall):
            continue
        for n, write in enumerate(way[:at]):
            if isinstance(write, Store) and write.buffer.name in names:
                done = arrived(way, n) if write.asynchronous else n
                published = max((b for b in barriers if done < b < at), default=at)
                if done < at and not any(done < f < published for f in fenced):
                    return True
    return False


def arrived(way: Sequence[Stmt], issue: int) -> int:
    """Where the copy of statement `issue` is waited for: after it has been committed."""
    after = range(issue, len(way))
    committed = next((n for n in after if isinstance(way[n], AsyncCommit)), len(way))
    return next((n for n in after if n > committed and isinstance(way[n], AsyncWait)), len(way))


@given(PROGRAMS, st.integers(0, 1 << 20))
def test_no_way_through_a_program_lacks_a_fence(program: str, seed: int) -> None:
    numbers = count()
    named = re.sub("for i in", lambda _: f"for i{next(numbers)} in", program)
    body = insert_fences(kernel(named)).launches[0].body
    for n in range(8):
        assert not unfenced(list(steps(body, Random(seed + n))))


def test_the_law_sees_what_is_missing() -> None:
    for program in (
        f"{WRITE} barrier {STORE}",
        f"for i in 2 {{ {STORE} barrier {WRITE} barrier }}",
        f"{WRITE} {MULTIPLY}",
    ):
        body = kernel(program).launches[0].body
        assert unfenced(list(steps(body, Random(0))))
