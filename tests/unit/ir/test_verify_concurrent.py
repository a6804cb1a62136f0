"""The rules about roles, barriers in shared memory and asynchronous work: each is broken once, next to what is said."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tiledsl.errors import VerifyError
from tiledsl.ir.concurrent import Role, Roles
from tiledsl.ir.nodes import Kernel, Stmt, Var
from tiledsl.ir.parser import parse
from tiledsl.ir.tile import Copy
from tiledsl.ir.verify import verify

FRAME = """
kernel k(A: global float32[8, 8], B: global float16[8, 8], I: global float32[8, 4, 4, 8], n: int32) {{
  launch main(b in 1) threads(t in 256) {{
    alloc S: shared float32[8, 8]
    alloc H: shared float16[8, 8]
    alloc F: fragment float32[8, 8]
    alloc L: local float32[8]
    alloc bar: barrier uint64[2] = 1
    {body}
  }}
}}
"""

WELL_FORMED = [
    "roles { role p(first=0, threads=128) q { } role r(first=128, threads=128, registers=24) s { let x = s + t } }",
    "for i in 4 { roles { role p(first=0, threads=32) q { for j in q { break } } } }",
    "roles { role p(first=32, threads=32) q { barrier(id=1, count=32) copy S -> F } }",
    "arrive(bytes=1024, by=one) bar[0]",
    "arrive(by=warps) bar[n] of S, F",
    "arrive(copies) bar[1]",
    "arrive(by=warpgroups, ranks=65535) bar[0] of S",
    "cluster_barrier cluster_barrier(part=arrive_relaxed) cluster_barrier(part=wait)",
    "expect bar[0], n",
    "await bar[0], n of S",
    "init_barrier(count=1048575) bar[0]",
    "fence(kind=product) fence(kind=async_proxy) fence(kind=barrier_init)",
    "dependency(kind=wait) dependency(kind=trigger)",
    "hold L",
    "settle L settle F",
    "set_registers(count=256, increase)",
    "bulk copy A -> S on bar[0]",
    "bulk copy(ranks=65535) A -> S on bar[0]",
    "bulk copy S -> A",
    "bulk atomic(add) S -> A",
    "tensor_copy(box=[8, 8], swizzle=128) A[n, 0] -> S[0, 0] on bar[0]",
    "tensor_copy(box=[8, 4], window=[3, 2, 1, 0]) I[n, 0, 0, 4] at 0, n -> S[0, 0] on bar[0]",
    "bulk copy im2col(kernel=3, stride=1, dilation=1, pad=0) I[b : 8, b : 8] -> S on bar[0]",
    "tensor_copy(box=[1, 8], xor) S[0, 0] -> A[n, 0]",
    "bulk_move(lanes=4) A[0, 0] -> S[0, 0] on bar[0]",
    "async gemm S, S, F async_commit(queue=product) async_wait(pending=0, queue=product) hold L",
    "async_commit(queue=store) async_wait(pending=1, queue=store, sources)",
    "let d: uint64 = descriptor(S[0, 0], 262128, 0, 32)",
    "let w = warp_uniform(t // 32)",
]

PIXELS = "tensor_copy({}) I[0, 0, 0, 0] {} -> S[0, 0] on bar[0]"

BROKEN = {
    # ---- roles
    "roles cannot be inside of another role": (
        "roles { role p(first=0, threads=128) q { roles { role r(first=0, threads=32) s { } } } }"
    ),
    "roles cannot be inside of another role or of Parallel": (
        "parallel i in 8 { roles { role p(first=0, threads=128) q { } } }"
    ),
    "role 'p' has 0 threads from 0 on, the block 256": "roles { role p(first=0, threads=0) q { } }",
    "role 'p' has 128 threads from 160 on": "roles { role p(first=160, threads=128) q { } }",
    "role 'p' has 64 threads from -32 on": "roles { role p(first=-32, threads=64) q { } }",
    "role 'r' shares threads with another": (
        "roles { role p(first=0, threads=129) q { } role r(first=128, threads=128) s { } }"
    ),
    "role 'p' has 41 registers": "roles { role p(first=0, threads=128, registers=41) q { } }",
    "role 'p' has 16 registers": "roles { role p(first=0, threads=128, registers=16) q { } }",
    "role 'p' has 264 registers": "roles { role p(first=0, threads=128, registers=264) q { } }",
    "Break is in no loop": "for i in 4 { roles { role p(first=0, threads=32) q { break } } }",
    # ---- barriers
    "'S' is in shared memory, so it is no barrier": "arrive S[0, 0]",
    "'S' is in shared memory, so it is  no barrier": "await S[0, 0], 0",
    "'A' is in global memory, so it is no barrier": "expect A[0, 0], 16",
    "'L' is in local memory, so it is no barrier": "init_barrier(count=1) L[0]",
    "'S' is in shared  memory, so it is no barrier": "bulk copy A -> S on S[0, 0]",
    "a barrier of 0 arrivals": "init_barrier(count=0) bar[0]",
    "a barrier of 1048576 arrivals": "init_barrier(count=1048576) bar[0]",
    "an arrival by 'lanes' with 0 bytes": "arrive(by=lanes) bar[0]",
    "an arrival by 'threads' with -16 bytes": "arrive(bytes=-16) bar[0]",
    "an arrival by 'threads' with 16 bytes": "arrive(bytes=16, copies) bar[0]",
    "an arrival at the blocks 0x10000": "arrive(ranks=65536) bar[0]",
    "an arrival at the blocks 0x3 of copies": "arrive(copies, ranks=3) bar[0]",
    "unknown part 'leave' of a barrier of the cluster": "cluster_barrier(part=leave)",
    "a number of bytes is float32": "expect bar[0], A[0, 0]",
    "a wait by 'warps'": "await(by=warps) bar[0], 0",
    "a parity is bool": "await bar[0], true",
    "the initial value of 'more' is index, not uint64": "alloc more: barrier uint64[1] = b",
    "the initial value of 'more' is float32": "alloc more: barrier uint64[1] = A[0, 0]",
    # ---- fences, registers, queues
    "unknown fence 'generic'": "fence(kind=generic)",
    "'S' is in shared memory: it has no registers to hold": "hold S",
    "'S' is in shared memory: it has no registers to settle": "settle S",
    "23 registers a thread": "set_registers(count=23)",
    "16 registers a thread": "set_registers(count=16)",
    "264 registers a thread": "set_registers(count=264)",
    "unknown queue 'load'": "async_commit(queue=load)",
    "a wait for 0 pending groups of 'load'": "async_wait(pending=0, queue=load)",
    "a wait for -1 pending groups of 'store'": "async_wait(pending=-1, queue=store)",
    "a wait for 0 pending groups of 'product' (sources)": "async_wait(pending=0, queue=product, sources)",
    # ---- the copy engine
    "a bulk copy from global to fragment memory": "bulk copy A -> F",
    "a bulk copy from shared to shared memory": "bulk copy S -> S",
    "a bulk copy from fragment to global memory": "bulk atomic(add) F -> A",
    "a bulk copy from 'B', float16, to 'S', float32": "bulk copy B -> S on bar[0]",
    "a bulk load completes on a barrier": "bulk copy A -> S",
    "a bulk load completes on a barrier, a bulk store does not": "bulk copy S -> A on bar[0]",
    "a bulk copy to the blocks 0x10000": "bulk copy(ranks=65536) A -> S on bar[0]",
    "a bulk copy to the blocks 0x3": "bulk copy(ranks=3) S -> A",
    "a bulk copy to the  blocks 0x3": "bulk copy(ranks=3) S -> S at b on bar[0]",
    "a bulk copy from global to shared memory of a block": "bulk copy A -> S at b on bar[0]",
    "a bulk copy from shared to global memory of a block": "bulk_move(lanes=64) S[0, 0] -> A[0, 0] at b on bar[0]",
    "a bulk load  completes on a barrier": "bulk copy S -> S at b",
    "the rank of a block is float32, not an integer": "bulk copy S -> S at A[0, 0] on bar[0]",
    "only a bulk copy completes on a barrier or goes to several blocks": "copy(ranks=3) A -> S",
    "no box of (8,) elements of 'A'": "tensor_copy(box=[8]) A[0, 0] -> S[0, 0] on bar[0]",
    "no box of (8, 257) elements of 'A'": "tensor_copy(box=[8, 257]) A[0, 0] -> S[0, 0] on bar[0]",
    "no box of (8, 0) elements of 'A'": "tensor_copy(box=[8, 0]) S[0, 0] -> A[0, 0]",
    "no load of (8, 8) pixels and channels of 'A'": PIXELS.format("box=[8, 8], window=[1, 1, 1, 0]", "at 0, 0").replace(
        "I[0, 0, 0, 0]", "A[0, 0]"
    ),
    "with the window (0, 1, 1, 0)": PIXELS.format("box=[8, 8], window=[0, 1, 1, 0]", "at 0, 0"),
    "with the window (1, 1, 1)": PIXELS.format("box=[8, 8], window=[1, 1, 1]", "at 0, 0"),
    "no load of (2000, 8) pixels": PIXELS.format("box=[2000, 8], window=[1, 1, 1, 0]", "at 0, 0"),
    "no load of (8, 8) pixels  and channels of 'I'": PIXELS.format("box=[8, 8], window=[1, 1, 1, 0]", ""),
    "a part of a tap is float32": PIXELS.format("box=[8, 8], window=[1, 1, 1, 0]", "at float32(0.0), 0"),
    "unknown dependency 'later'": "dependency(kind=later)",
    "a tensor copy with swizzle 16": "tensor_copy(box=[8, 8], swizzle=16) S[0, 0] -> A[0, 0]",
    "and operation 'mul'": "tensor_copy(box=[8, 8], mul) S[0, 0] -> A[0, 0]",
    "and operation 'add'": "tensor_copy(box=[8, 8], add) A[0, 0] -> S[0, 0] on bar[0]",
    "a bulk move of 6 elements of float32": "bulk_move(lanes=6) A[0, 0] -> S[0, 0] on bar[0]",
    "a bulk move of 0 elements": "bulk_move(lanes=0) A[0, 0] -> S[0, 0] on bar[0]",
    "a bulk load completes  on a barrier": "bulk_move(lanes=4) A[0, 0] -> S[0, 0]",
    "a bulk copy from 'B', float16, to  'S'": "tensor_copy(box=[8, 8]) B[0, 0] -> S[0, 0] on bar[0]",
    # ---- operands of products
    "'A' is in global memory: no matrix descriptor there": "evaluate descriptor(A[0, 0], 16, 16, 0)",
    "no matrix descriptor with leading 8": "evaluate descriptor(S[0, 0], 8, 16, 0)",
    "no matrix descriptor with leading 16, stride 262144": "evaluate descriptor(S[0, 0], 16, 262144, 0)",
    "swizzle 256": "evaluate descriptor(S[0, 0], 16, 16, 256)",
    "'warp_uniform' does not apply to handle": "evaluate warp_uniform(&S[0, 0])",
}


def kernel(body: str) -> Kernel:
    return parse(FRAME.format(body=body))


@pytest.mark.parametrize("body", WELL_FORMED)
def test_accepts(body: str) -> None:
    verify(kernel(body))


@pytest.mark.parametrize(("reason", "body"), BROKEN.items())
def test_rejects(reason: str, body: str) -> None:
    with pytest.raises(VerifyError) as caught:
        verify(kernel(body))
    assert " ".join(reason.split()) in caught.value.message
    assert caught.value.span.line > 0


def with_last(body: str, change: Callable[[Any], Stmt]) -> Kernel:
    """The kernel of `body` with its last statement changed: for what no text says."""
    k = kernel(body)
    launch = k.launches[0]
    return replace(k, launches=(replace(launch, body=(*launch.body[:-1], change(launch.body[-1]))),))


def test_two_roles_have_variables_of_their_own() -> None:
    v = Var("v")
    roles = (Role("p", 0, 32, v, ()), Role("q", 32, 32, v, ()))
    with pytest.raises(VerifyError, match="'v' is bound twice"):
        verify(with_last("hold L", lambda s: Roles(roles)))


def test_a_copy_is_of_one_engine() -> None:
    def both(s: Copy) -> Stmt:
        return replace(s, asynchronous=True)

    with pytest.raises(VerifyError, match="asynchronous or bulk"):
        verify(with_last("bulk copy A -> S on bar[0]", both))
