"""What analyses say of roles, barriers in shared memory, the copy engine and asynchronous products."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from tiledsl.analysis.access import accesses, statements_below
from tiledsl.analysis.arrivals import Path, arrivals, blocks_at
from tiledsl.analysis.footprint import Footprint, Tables, meet
from tiledsl.analysis.ranges import variable_ranges
from tiledsl.analysis.touches import blocks_of, granules_of, is_shared, queue_of, touches
from tiledsl.analysis.uniform import uniform_values
from tiledsl.ir.concurrent import Role, Roles
from tiledsl.ir.nodes import AsyncWait, Block, Buffer, Kernel, Let, Stmt, Var
from tiledsl.ir.parser import parse
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import walk

FRAME = """
kernel k(A: global float16[64, 64], n: int32) {{
  launch main(b in 1) threads(t in 256) {{
    alloc S: shared float16[4096] versions(2)
    alloc P: shared float16[4096]
    alloc L: local float32[64]
    alloc F: fragment float32[64, 64]
    alloc v: var int32 = 0
    alloc bar: barrier uint64[2] = 1
    {body}
  }}
}}
"""
PRODUCT = (
    "atom wgmma_m64n64k16_f32_f16_ss(&L[0], descriptor({a}, 16, 1024, 128), descriptor({b}, 16, 1024, 128), true, 0, 1)"
)


def kernel(body: str) -> Kernel:
    k = parse(FRAME.format(body=body))
    verify(k)
    return k


def statements_of(body: str) -> Block:
    return kernel(body).launches[0].body[6:]


def summary(s: Stmt) -> list[tuple[str, str, object, bool]]:
    """Buffer, kind, extents of the region (None: unknown), exactness."""
    return [(a.buffer.name, a.kind.value, a.region and a.region.extents, a.exact) for a in accesses(s)]


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        ("await bar[0], n // 2 of P", [
            ("bar", "read", (1,), True), ("bar", "write", (1,), True),
            ("P", "read", None, False), ("P", "write", None, False),
        ]),
        ("arrive(bytes=16) bar[1]", [("bar", "read", (1,), True), ("bar", "write", (1,), True)]),
        ("expect bar[1], 16", [("bar", "read", (1,), True), ("bar", "write", (1,), True)]),
        ("init_barrier(count=2) bar[1]", [("bar", "read", (1,), True), ("bar", "write", (1,), True)]),
        ("settle L", [("L", "read", None, False)]),
        ("hold L", [("L", "read", None, False), ("L", "write", None, False)]),
        ("tensor_copy(box=[8, 64]) A[8, 0] -> S@1[512] on bar[0]", [
            ("A", "read", (8, 64), True), ("S", "write", (512,), True), ("bar", "atomic", (1,), True),
        ]),
        ("tensor_copy(box=[8, 64]) P[512] -> A[8, 0]", [("P", "read", (512,), True), ("A", "write", (8, 64), True)]),
        ("tensor_copy(box=[8, 64], add) P[0] -> A[8, 0]", [
            ("P", "read", (512,), True), ("A", "atomic", (8, 64), True),
        ]),
        ("bulk_move(lanes=64) A[0, 0] -> P[64] on bar[0]", [
            ("A", "read", None, False), ("P", "write", (64,), True), ("bar", "atomic", (1,), True),
        ]),
        (PRODUCT.format(a="P[0]", b="S@1[64]"), [
            ("L", "read", None, False), ("L", "write", None, False), ("P", "read", (4096,), False),
            ("S", "read", (4096,), False),
        ]),
        ("async gemm P2, P2, F", [
            ("P2", "read", (64, 64), True), ("P2", "read", (64, 64), True), ("F", "read", (64, 64), True),
            ("F", "write", (64, 64), True),
        ]),
        ("bulk copy A -> P2 on bar[0]", [
            ("A", "read", (64, 64), True), ("P2", "write", (64, 64), True), ("bar", "atomic", (1,), True),
        ]),
    ],
)  # fmt: skip
def test_accesses(statement: str, expected: list[tuple[str, str, object, bool]]) -> None:
    assert summary(statements_of(f"view P2: shared float16[64, 64] of P\n{statement}")[-1]) == expected


def test_versions_of_descriptors_are_told_apart() -> None:
    (s,) = statements_of(PRODUCT.format(a="S@0[0]", b="S@1[0]"))
    versions = [str(a.region.version.value) for a in accesses(s) if a.region]  # type: ignore[union-attr]
    assert versions == ["0", "1"]


ROLES = """
let x = t // 128
roles {
  role load(first=0, threads=128) p { let w = p // 32 let e = b + 1 P[p] = cast<float16>(n) v = v + 1 }
  role rest(first=128, threads=128) q { alloc own: var int32 = 1 own = 2 P[t * 8] = cast<float16>(own) let z = b }
}
"""


def named(k: Kernel) -> dict[str, Var | Buffer]:
    return {n.name: n for n in walk(k) if isinstance(n, Var | Buffer)}


def test_roles_are_entered() -> None:
    k = kernel(ROLES)
    roles = k.launches[0].body[-1]
    assert isinstance(roles, Roles)
    assert blocks_of(roles) == tuple(r.body for r in roles.roles)
    assert [p for p, _ in blocks_at(roles, (7,))] == [(7, 0), (7, 1)]
    lets = {s.var.name for s in statements_below((roles,)) if isinstance(s, Let)}
    assert lets == {"w", "e", "z"}
    found = [(a.kind.value, a.region.extents) for a in accesses(roles) if a.buffer.name == "P" and a.region]
    assert found == [("write", (128,)), ("write", (1,))]


def test_what_a_role_has_in_common() -> None:
    """The number of a thread within its role differs; what is computed from parameters is the same for all."""
    k = kernel(ROLES)
    uniform, v = uniform_values(k, k.launches[0]), named(k)
    differing = {name for name, x in v.items() if x in uniform.differing}
    assert differing == {"t", "x", "p", "w", "q", "v"}  # v is stored by one of the roles
    ranges = variable_ranges(k)
    by_name = {x.name: r for x, r in ranges.items()}
    assert by_name["p"] == by_name["q"] == (0, 127) and by_name["w"] == (0, 3)


def test_a_value_of_a_warp() -> None:
    k = kernel("let w = warp_uniform(t // 32) let u = warp_uniform(b + 1)")
    uniform, v = uniform_values(k, k.launches[0]), named(k)
    assert v["w"] in uniform.differing and v["u"] not in uniform.differing
    assert {x.name: r for x, r in variable_ranges(k).items()}["w"] == (0, 7)


# ---------------------------------------------------------------------------------------------- bytes and threads


@pytest.mark.parametrize(
    ("statement", "queue", "expected"),
    [
        ("async P[t] = A[0, t]", "copy", [("P", 2, "write", True)]),
        ("atom cp_async_16(&P[t * 8], &A[0, 0], true)", "copy", [("P", 16, "write", True)]),
        ("tensor_copy(box=[8, 64]) A[8, 0] -> S@1[512] on bar[0]", None, [("S", 1024, "write", True)]),
        ("tensor_copy(box=[8, 64]) P[512] -> A[8, 0]", "store", [("P", 1024, "read", True)]),
        ("bulk_move(lanes=64) P[0] -> A[0, 0]", "store", [("P", 128, "read", True)]),
        (PRODUCT.format(a="P[0]", b="S@1[64]"), "product", [("P", 8192, "read", True), ("S", 8192, "read", True)]),
        ("await bar[0], n of P", None, []),
        ("arrive bar[0] of P", None, []),
        ("expect bar[0], cast<int32>(P[0])", None, [("P", 2, "read", False)]),
        ("hold L", None, []),
        ("fence(kind=async_proxy)", None, []),
        ("set_registers(count=40)", None, []),
    ],
)
def test_touches(statement: str, queue: str | None, expected: list[tuple[str, int, str, bool]]) -> None:
    (s,) = statements_of(statement)
    found = [(b.name, size, kind.value, issued) for b, _, _, size, kind, issued, _ in touches(s) if is_shared(b)]
    assert found == expected
    assert queue_of(s) == queue


def test_footprints_of_a_role_are_of_its_threads() -> None:
    k = kernel(ROLES)
    launch = k.launches[0]
    roles = launch.body[-1]
    assert isinstance(roles, Roles)
    tables = Tables(launch.thread, 256, granules_of(launch.body, {}), {})

    def stored(role: Role) -> Footprint:
        store = next(s for s in role.body if type(s).__name__ == "Store" and s.buffer.name == "P")  # type: ignore[attr-defined]
        buffer, index, version, size, kind, issued, _ = next(t for t in touches(store) if t[4].value == "write")
        mine = tables.of_role(role, launch.thread)
        return mine.footprint(buffer, index, version, size, kind, stmt=store, issued=issued)

    first, second = map(stored, roles.roles)
    assert np.flatnonzero(first.high >= 0).tolist() == list(range(128))
    assert first.low[:128].tolist() == list(range(128))
    assert np.flatnonzero(second.high >= 0).tolist() == list(range(1024, 2048, 8))  # by the thread of the block
    assert second.low[1024] == 128
    assert not meet(first, second) and meet(first, first) is False


def statements_by_path(block: Block, path: Path) -> Iterator[tuple[Path, Stmt]]:
    for i, s in enumerate(block):
        yield (*path, i), s
        for inner, below in blocks_at(s, (*path, i)):
            yield from statements_by_path(below, inner)


def covered(body: str) -> dict[str, list[tuple[str, str]]]:
    """For each wait, by its queue and number, what it is the first to cover."""
    launch = kernel(body).launches[0]
    tables = Tables(launch.thread, 256, granules_of(launch.body, {}), {})
    at = dict(statements_by_path(launch.body, ()))
    own = {
        path: [
            tables.footprint(b, index, version, size, kind, stmt=s, issued=issued)
            for b, index, version, size, kind, issued, _ in touches(s)
            if is_shared(b)
        ]
        for path, s in at.items()
    }
    said: dict[str, list[tuple[str, str]]] = {}
    for path, footprints in arrivals(launch.body, own).items():
        wait = at[path]
        assert isinstance(wait, AsyncWait)
        said[f"{wait.queue} {wait.pending}"] = sorted({(f.buffer.name, f.kind.value) for f in footprints})
    return said


def test_each_queue_has_its_own_waits() -> None:
    product = PRODUCT.format(a="S@0[0]", b="S@1[0]")
    body = f"""
async P[t] = A[0, t]
async_commit
{product}
async_commit(queue=product)
bulk_move(lanes=64) P[0] -> A[0, 0]
async_commit(queue=store)
tensor_copy(box=[8, 64]) A[8, 0] -> S@1[512] on bar[0]
async_wait(pending=0, queue=product)
async_wait(pending=0)
async_wait(pending=0, queue=store, sources)"""
    assert covered(body) == {
        "copy 0": [("P", "write")],
        "product 0": [("S", "read")],
        "store 0": [("P", "read")],
    }


def test_both_operands_of_a_product_are_covered() -> None:
    product = PRODUCT.format(a="P[0]", b="S@0[0]")
    body = f"{product}\nasync_commit(queue=product)\nasync_wait(pending=0, queue=product)"
    assert covered(body) == {"product 0": [("P", "read"), ("S", "read")]}


def test_a_wait_leaves_the_youngest_groups_in_flight() -> None:
    first, second = PRODUCT.format(a="P[0]", b="P[64]"), PRODUCT.format(a="S@0[0]", b="S@0[0]")
    commit = "async_commit(queue=product)"
    waits = "async_wait(pending=1, queue=product) async_wait(pending=0, queue=product)"
    body = f"{first} {commit} {second} {commit} {waits}"
    assert covered(body) == {"product 1": [("P", "read")], "product 0": [("S", "read")]}


def test_waits_within_a_role() -> None:
    product = PRODUCT.format(a="S@(k % 2)[0]", b="S@(k % 2)[0]")
    body = f"""
roles {{
  role load(first=0, threads=128) p {{ bulk_move(lanes=64) P[0] -> A[0, 0] async_commit(queue=store) }}
  role rest(first=128, threads=128) q {{
    for k in 8 {{
      {product}
      async_commit(queue=product)
      async_wait(pending=1, queue=product)
    }}
  }}
}}
async_wait(pending=0, queue=store)"""
    assert covered(body) == {"product 1": [("S", "read")], "store 0": [("P", "read")]}


def test_commits_under_a_branch_concern_their_queue_alone() -> None:
    body = """
async P[t] = A[0, t]
async_commit
async P[t + 512] = A[1, t]
async_commit
if t == 0 { bulk_move(lanes=64) P[0] -> A[0, 0] async_commit(queue=store) async_wait(pending=0, queue=store) }
async_wait(pending=2)"""
    assert covered(body) == {"copy 2": [], "store 0": [("P", "read")]}
