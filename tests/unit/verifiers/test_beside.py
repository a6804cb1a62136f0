"""Roles, barriers in shared memory and the copy engine as the verifiers of the thread stage run them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import substitute
from tiledsl.target import Target
from tiledsl.verifiers.barriers import verify_barriers
from tiledsl.verifiers.bounds import verify_bounds
from tiledsl.verifiers.shared_memory import verify_shared

Verifier = Callable[[Kernel, Kernel, Target | None], None]
HEAD = "kernel copies(A: global float16[64, 64], C: global float16[64, 64]) {\n  launch main(b in 1) "

PLAIN = (
    HEAD
    + """threads(t in 64) {
    for n in 8 {
      for i in 8 {
        C[n * 8 + (t * 8 + i) // 64, (t * 8 + i) % 64] = A[n * 8 + (t * 8 + i) // 64, (t * 8 + i) % 64]
      }
    }
  }
}
"""
)

# A ring of two tiles of 8 x 64, which one thread loads. They are exchanged through shared memory once more, among the
# threads of the other role, and stored by the copy engine.
ROLES = (
    HEAD
    + """threads(t in 96) shared_bytes(4096) {
    slot S = 0
    slot D = 2048
    alloc S: shared float16[512] versions(2)
    alloc D: shared float16[512]
    alloc full: barrier uint64[2]
    alloc empty: barrier uint64[2]
    if t == 0 {
      for i in 2 { init_barrier(count=1) full[i] init_barrier(count=64) empty[i] }
      fence(kind=barrier_init)
    }
    barrier
    roles {
      role load(first=0, threads=32) p {
        if p < 32 and elected(p) {
          for k in 8 {
            await empty[k % 2], (k // 2 + 1) % 2
            arrive(bytes=1024) full[k % 2]
            tensor_copy(box=[8, 64], swizzle=128) A[k * 8, 0] -> S@(k % 2)[0] on full[k % 2]
          }
        }
      }
      role rest(first=32, threads=64) q {
        let w = warp_uniform(q // 32)
        for n in 8 {
          await full[n % 2], n // 2 % 2
          async_wait(pending=0, queue=store, sources)
          barrier(id=2, count=64)
          for j in 8 {
            D[j * 64 + q + w - q // 32] = S@(n % 2)[(j * 64 + q) ^ ((j * 64 + q) // 64 % 8 * 8)]
          }
          arrive empty[n % 2]
          fence(kind=async_proxy)
          barrier(id=1, count=64)
          if q == 0 {
            tensor_copy(box=[8, 64]) D[0] -> C[n * 8, 0]
          }
          async_commit(queue=store)
        }
        async_wait(pending=0, queue=store)
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


def check(verifier: Verifier, after: str, before: str = PLAIN) -> None:
    old, new = kernel(before), kernel(after)
    verifier(old, substitute(new, dict(zip(new.launches[0].blocks, old.launches[0].blocks))), None)


@pytest.mark.parametrize("verifier", [verify_bounds, verify_barriers, verify_shared])
def test_right_roles_pass(verifier: Verifier) -> None:
    check(verifier, ROLES)


def test_elements_one_after_the_other() -> None:
    moves = ROLES.replace("tensor_copy(box=[8, 64], swizzle=128)", "bulk_move(lanes=512)")
    moves = moves.replace("(j * 64 + q) ^ ((j * 64 + q) // 64 % 8 * 8)", "j * 64 + q")
    moves = moves.replace("tensor_copy(box=[8, 64]) D[0]", "bulk_move(lanes=512) D[0]")
    check(verify_bounds, moves)
    check(verify_barriers, moves)


def test_a_box_over_the_edge() -> None:
    """It reads as 0 there and stores nothing, and all of its bytes come."""
    smaller = HEAD.replace("[64, 64]", "[60, 64]")
    plain = (
        PLAIN.replace(HEAD, smaller)
        .replace("C[n", "if n * 8 + (t * 8 + i) // 64 < 60 { C[n")
        .replace("% 64]\n", "% 64] }\n")
    )
    check(verify_bounds, ROLES.replace(HEAD, smaller), plain)


def test_reductions_of_the_copy_engine() -> None:
    plain = PLAIN.replace(
        "C[n * 8 + (t * 8 + i) // 64, (t * 8 + i) % 64] = ",
        "let x = n atomic_update(add) C[n * 8 + (t * 8 + i) // 64, (t * 8 + i) % 64], ",
    )
    check(verify_bounds, ROLES.replace("box=[8, 64]) D", "box=[8, 64], add) D"), plain)


AWAIT_EMPTY, AWAIT_FULL = "await empty[k % 2], (k // 2 + 1) % 2\n", "await full[n % 2], n // 2 % 2\n"
MUTATIONS: list[tuple[Verifier, str, str, str]] = [
    (verify_bounds, "S14", "A[k * 8, 0] -> S", "A[0, 0] -> S"),
    (verify_bounds, "S14", "swizzle=128", "swizzle=64"),
    (verify_bounds, "S14", "D[0] -> C[n * 8, 0]", "D[0] -> C[0, 0]"),
    (verify_bounds, "S2", "D[j * 64 + q + w - q // 32] = S", "D[j * 64 + q + w - q // 32 + 1] = S"),
    (verify_bounds, "W4", AWAIT_EMPTY, ""),
    (verify_bounds, "W3", AWAIT_EMPTY, "await empty[k % 2], k // 2 % 2\n"),
    (verify_bounds, "W3", "bytes=1024", "bytes=1040"),
    (verify_bounds, "W[34]", "bytes=1024", "bytes=512"),
    (verify_bounds, "W3", "arrive empty[n % 2]", ""),
    (verify_bounds, "W[45]", "arrive empty[n % 2]", "arrive empty[n % 2] arrive empty[n % 2]"),
    (verify_bounds, "W3", "arrive empty[n % 2]", "if q < 32 { arrive empty[n % 2] }"),
    (verify_bounds, "W16", "init_barrier(count=1) full[i]", ""),
    (verify_bounds, "W16", "    barrier\n", ""),
    (verify_bounds, "P15", "async_wait(pending=0, queue=store)\n", ""),
    (verify_bounds, "P15", "          async_commit(queue=store)\n", ""),
    (verify_barriers, "P13", AWAIT_FULL, ""),
    (verify_barriers, "S10", "          barrier(id=1, count=64)\n", ""),
    (verify_barriers, "S10", "          barrier(id=2, count=64)\n", ""),
    (verify_barriers, "S11", "barrier(id=1, count=64)", "barrier"),
    (verify_barriers, "S11", "barrier(id=1, count=64)", "if q < 32 { barrier(id=1, count=64) }"),
    (verify_shared, "S6", "slot D = 2048", "slot D = 1024"),
]


@pytest.mark.parametrize(("verifier", "code", "old", "new"), MUTATIONS)
def test_wrong_roles_are_refused(verifier: Verifier, code: str, old: str, new: str) -> None:
    assert old in ROLES
    with pytest.raises(VerifyError) as caught:
        check(verifier, ROLES.replace(old, new))
    assert re.search(rf"({code}): ", caught.value.message), caught.value.message


PRODUCT = (
    HEAD
    + """threads(t in 128) {
    alloc S: shared float16[4096] versions(2)
    alloc L: local float32[32]
    for i in 32 {
      S@0[t * 32 + i] = A[t // 2, t % 2 * 32 + i]
      L[i] = 0.0
    }
    fence(kind=async_proxy)
    barrier
    hold L
    fence(kind=product)
    atom wgmma_m64n64k16_f32_f16_ss(&L[0], TILE, TILE, true, 0, 1)
    async_commit(queue=product)
    async_wait(pending=0, queue=product)
    hold L
    barrier
    for i in 32 {
      S@0[t * 32 + i] = cast<float16>(L[i])
      C[t // 2, t % 2 * 32 + i] = S@0[t * 32 + i]
    }
  }
}
""".replace("TILE", "descriptor(S@0[0], 16, 1024, 128)")
)


def test_products() -> None:
    check(verify_bounds, PRODUCT, PRODUCT)
    check(verify_barriers, PRODUCT, PRODUCT)


@pytest.mark.parametrize(
    ("verifier", "code", "old", "new"),
    [
        (verify_bounds, "S14", "descriptor(S@0[0], 16, 1024, 128), true", "descriptor(S@1[0], 16, 1024, 128), true"),
        (verify_bounds, "S14", "1024, 128), true", "512, 128), true"),
        (verify_bounds, "S14", "true, 0, 1", "true, 0, 0"),
        (verify_bounds, "P15", "async_wait(pending=0, queue=product)", "async_wait(pending=1, queue=product)"),
        (verify_barriers, "S10", "    barrier\n    hold", "    hold"),
        (verify_barriers, "S10", "    hold L\n    barrier\n", "    hold L\n"),
        (verify_barriers, "S10", "    async_wait(pending=0, queue=product)\n    hold L\n    barrier\n",
         "    barrier\n    async_wait(pending=0, queue=product)\n    hold L\n"),
    ],
)  # fmt: skip
def test_wrong_products_are_refused(verifier: Verifier, code: str, old: str, new: str) -> None:
    assert old in PRODUCT
    with pytest.raises(VerifyError, match=rf"({code}): "):
        check(verifier, PRODUCT.replace(old, new), PRODUCT)
