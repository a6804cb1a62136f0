"""The verifier of roles is checked: a right kernel passes, and one with a single thing changed is refused by name."""

from __future__ import annotations

import re

import pytest

from tiledsl.errors import VerifyError
from tiledsl.ir.nodes import Kernel
from tiledsl.ir.parser import parse
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import substitute
from tiledsl.verifiers.roles import verify_roles

HEAD = "kernel gemm(A: global float16[128, 160], B: global float16[160, 64], C: global float16[128, 64]) {\n"

PLAIN = (
    HEAD
    + """
  launch main(b in 2) threads(t in 128) {
    alloc As: shared float16[64, 32]
    alloc Bs: shared float16[32, 64]
    alloc Cs: shared float16[64, 64]
    alloc acc: fragment float32[64, 64]
    fill acc, 0.0
    for k in 5 pipelined(stages=2) {
      copy A[b * 64 : 64, k * 32 : 32] -> As
      copy B[k * 32 : 32, 0 : 64] -> Bs
      gemm As, Bs, acc
    }
    copy acc -> Cs
    copy Cs -> C[b * 64 : 64, 0 : 64]
  }
}
"""
)

ROLES = (
    HEAD
    + """
  launch main(b in 2) threads(t in 384) {
    alloc As: shared float16[64, 32] versions(2)
    alloc Bs: shared float16[32, 64] versions(2)
    alloc Cs: shared float16[64, 64]
    alloc full: barrier uint64[2] = 1
    alloc empty: barrier uint64[2] = 2
    roles {
      role producer(first=0, threads=128) p {
        for k in 5 {
          await empty[k % 2], (k // 2 + 1) % 2 of As, Bs
          arrive(bytes=8192, by=one) full[k % 2]
          bulk copy A[b * 64 : 64, k * 32 : 32] -> As@(k % 2) on full[k % 2]
          bulk copy B[k * 32 : 32, 0 : 64] -> Bs@(k % 2) on full[k % 2]
        }
      }
      role consumer(first=128, threads=256) c {
        alloc acc: fragment float32[64, 64]
        fill acc, 0.0
        for n in 5 {
          await full[n % 2], n // 2 % 2 of As, Bs
          async gemm As@(n % 2), Bs@(n % 2), acc
          async_commit(queue=product)
          async_wait(pending=0, queue=product)
          arrive(by=warpgroups) empty[n % 2] of As, Bs
        }
        copy acc -> Cs
        bulk copy Cs -> C[b * 64 : 64, 0 : 64]
        async_commit(queue=store)
        async_wait(pending=0, queue=store, sources)
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


def check(after: str, before: str = PLAIN) -> None:
    """As a pass would have made `after` of `before`: with the same number of the block."""
    old, new = kernel(before), kernel(after)
    verify_roles(old, substitute(new, dict(zip(new.launches[0].blocks, old.launches[0].blocks))))


def refused(code: str, after: str, before: str = PLAIN) -> None:
    with pytest.raises(VerifyError) as caught:
        check(after, before)
    assert re.search(rf"({code}): ", caught.value.message), caught.value.message


def test_right_roles_pass() -> None:
    check(ROLES)


# The products of one iteration overlap the next: a tile is handed over when the product after it has begun.
OVERLAPPED = ROLES.replace(
    "          async_wait(pending=0, queue=product)\n          arrive(by=warpgroups) empty[n % 2] of As, Bs\n",
    """          async_wait(pending=1, queue=product)
          if 0 < n { arrive(by=warpgroups) empty[(n + 1) % 2] of As, Bs }
""",
).replace("        copy acc -> Cs", "        async_wait(pending=0, queue=product)\n        copy acc -> Cs")


def test_products_that_overlap() -> None:
    assert "pending=1" in OVERLAPPED
    check(OVERLAPPED)


def test_roles_in_a_loop_of_tiles() -> None:
    """Phases go on from one tile to the next, and the producer runs ahead."""
    before = (
        PLAIN.replace("b in 2", "g in 1")
        .replace("    alloc acc", "    for b in 2 {\n    alloc acc")
        .replace("64]\n  }", "64] }\n  }")
    )
    rounds = ROLES.replace("b in 2", "g in 1").replace("    roles {", "    for b in 2 { roles {")
    rounds = rounds.replace("k % 2", "(b * 5 + k) % 2")
    rounds = rounds.replace("k // 2", "(b * 5 + k) // 2").replace("n % 2", "(b * 5 + n) % 2")
    rounds = rounds.replace("n // 2", "(b * 5 + n) // 2").replace("      }\n    }\n  }\n}", "      }\n    } }\n  }\n}")
    check(rounds, before)
    refused("W[3478]", rounds.replace("(b * 5 + n) // 2", "n // 2"), before)  # phases that begin anew


GIVEN_BACK = "          arrive(by=warpgroups) empty[n % 2] of As, Bs\n"
PRODUCT = """          async gemm As@(n % 2), Bs@(n % 2), acc
          async_commit(queue=product)
          async_wait(pending=0, queue=product)
"""
COPY = "          bulk copy B[k * 32 : 32, 0 : 64] -> Bs@(k % 2) on full[k % 2]\n"

# What is changed: the names of what must be said, the text, and the text instead.
MUTATIONS = {
    "the producer does not wait": ("W[48]|W10|P13", "          await empty[k % 2], (k // 2 + 1) % 2 of As, Bs\n", ""),
    "the consumer does not wait": ("P13", "          await full[n % 2], n // 2 % 2 of As, Bs\n", ""),
    "the first wait is not let through": ("W3", "(k // 2 + 1) % 2", "k // 2 % 2"),
    "the consumer waits for the phase before": ("P13|W4", "n // 2 % 2", "(n // 2 + 1) % 2"),
    "no tile is given back": ("W3", "          arrive(by=warpgroups) empty[n % 2] of As, Bs\n", ""),
    "a tile is given back by one warpgroup": ("W3", "arrive(by=warpgroups) empty", "arrive(by=one) empty"),
    "a tile is given back by every warp": ("W5", "arrive(by=warpgroups) empty", "arrive(by=warps) empty"),
    "a tile is given back early": (
        "W8|W10",
        PRODUCT + GIVEN_BACK,
        GIVEN_BACK + PRODUCT,
    ),
    "the product is not awaited before the tile is given back": (
        "W10",
        "          async_wait(pending=0, queue=product)\n          arrive(by=warpgroups) empty[n % 2] of As, Bs\n",
        "          arrive(by=warpgroups) empty[n % 2] of As, Bs\n          async_wait(pending=0, queue=product)\n",
    ),
    "a product may stay in flight": ("W10|P13", "pending=0, queue=product", "pending=1, queue=product"),
    "no product is committed": ("W10|P13", "          async_commit(queue=product)\n", ""),
    "fewer bytes are announced": ("W[34678]|P13", "bytes=8192", "bytes=4096"),
    "more bytes are announced": ("W[36]", "bytes=8192", "bytes=8208"),
    "a copy arrives at the other barrier": ("W[346]|P13", COPY, COPY.replace("full[k % 2]", "full[(k + 1) % 2]")),
    "a copy into the other version": ("W[8]|W10|P6|P13", "-> Bs@(k % 2) on", "-> Bs@((k + 1) % 2) on"),
    "a copy of another tile": ("P6", "A[b * 64 : 64, k * 32 : 32]", "A[b * 64 : 64, 0 : 32]"),
    "a copy is missing": ("W[36]|P[46]", COPY, ""),
    "the barrier is of one more arrival": ("W3", "empty: barrier uint64[2] = 2", "empty: barrier uint64[2] = 3"),
    "the producer stops early": ("W3", "for k in 5", "for k in 4"),
    "the producer goes on": ("P6|P15", "for k in 5", "for k in 6"),
    "the consumer stops early": ("P[46]|P15", "for n in 5", "for n in 4"),
    "a store is not awaited": ("P15", "        async_wait(pending=0, queue=store, sources)\n", ""),
    "a tile is written while it is stored": (
        "W10",
        "        async_wait(pending=0, queue=store, sources)\n",
        "        fill Cs, 0.0\n        async_wait(pending=0, queue=store, sources)\n",
    ),
}


@pytest.mark.parametrize("what", MUTATIONS)
def test_wrong_roles_are_refused(what: str) -> None:
    code, old, new = MUTATIONS[what]
    assert old in ROLES
    refused(code, ROLES.replace(old, new))


def test_registers_belong_to_a_role() -> None:
    accumulator = "alloc acc: fragment float32[64, 64]\n"
    shared = ROLES.replace(accumulator, "").replace("    alloc full", f"    {accumulator}    alloc full")
    check(shared)
    refused("W14", shared.replace("        for k in 5 {\n", "        fill acc, 0.0\n        for k in 5 {\n"))


def test_two_roles_that_do_not_know_of_each_other() -> None:
    other = "role other(first=384, threads=32) o { alloc f: fragment float16[64, 64] copy Cs -> f }\n"
    wide = ROLES.replace("threads(t in 384)", "threads(t in 416)")
    refused("W8", wide.replace("      role consumer", f"      {other}      role consumer"))
    first = wide.replace("        fill acc", "        fill Cs, 0.0\n        fill acc")
    last = first.replace("      }\n    }", f"      }}\n{other}    }}")
    refused("W7", last)
