"""plan-shared-memory and the scalar passes on kernels with roles, barriers in memory and asynchronous work."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiledsl.errors import TileError, VerifyError
from tiledsl.ir.concurrent import Arrive, Await, Fence, Hold, InitBarrier, Roles, SetRegisters, TensorCopy
from tiledsl.ir.dtypes import INT32
from tiledsl.ir.nodes import (
    Address,
    Alloc,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    Binary,
    Cast,
    If,
    Kernel,
    Load,
    Move,
    Select,
    Space,
    Stmt,
)
from tiledsl.ir.parser import parse
from tiledsl.ir.types import dtype_of
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import statements, walk
from tiledsl.passes.facts import no_index_left, thread_stage, tile_stage, wide_arithmetic
from tiledsl.passes.pipeline import PASSES
from tiledsl.passes.plan_shared_memory import alignments, make_shared_plan
from tiledsl.target import target_named

SM90 = target_named("sm_90a")
KERNELS = Path(__file__).parent / "kernels"
GEMM = (KERNELS / "gemm_roles.tir").read_text()
AFTER_LOWERING = ("guard-bounds", "vectorise", "plan-shared-memory", "insert-barriers", "insert-fences", "unroll")
AT_THE_END = ("simplify-indices", "remove-dead", "legalise-dtypes", "narrow-indices", "count-versions")
SYNCHRONISATION = (InitBarrier, Arrive, Await, Fence, Hold, SetRegisters, AsyncCommit, AsyncWait, TensorCopy, AtomCall)


def after(source: str | Kernel, *names: str) -> Kernel:
    k = parse(source) if isinstance(source, str) else source
    for name in names:
        k = PASSES[name].bind(SM90)(k)
    verify(k)
    return k


def launch(body: str, params: str = "A: global float16[512, 64]") -> str:
    return f"""kernel k({params}) {{
      launch k(b in 1) threads(t in 256) {{
        alloc X: shared float16[8192]
        alloc Y: shared float16[8192]
        alloc x: local float16[8]
        alloc full: barrier uint64[3]
        {body}
      }}
    }}"""


def offsets(source: str) -> dict[str, int]:
    """Where buffers are put that may share bytes."""
    plan = make_shared_plan(parse(source).launches[0])
    return {b.name: at for b, at in plan.offsets.items()}


def kinds(k: Kernel, *which: type[Stmt]) -> list[str]:
    return [type(s).__name__ for s in statements(k) if isinstance(s, which)]


# ---------------------------------------------------------------------------------------------------------- places


def test_barriers_have_bytes_of_their_own() -> None:
    """Even after their last use: nobody writes where another thread may still look."""
    at = offsets(launch("await full[0], 0  X[t] = x[0]"))
    assert at["full"] % 8 == 0 and not {at["full"], at["full"] + 16} & set(range(at["X"], at["X"] + 16384))


def test_what_roles_touch_lives_as_long_as_all_of_them() -> None:
    one_after_the_other = "X[t] = x[0]  x[0] = X[t]  Y[t] = x[0]"
    assert offsets(launch(one_after_the_other))["X"] == offsets(launch(one_after_the_other))["Y"]
    roles = "roles {{ role a(first=0, threads=128) u {{ {} }} role b(first=128, threads=128) v {{ {} }} }}"
    for first, second in (("X[u] = x[0]  Y[u] = x[0]", ""), ("X[u] = x[0]", "Y[v] = x[0]")):
        at = offsets(launch(roles.format(first, second)))
        assert at["X"] != at["Y"]
    at = offsets(launch(f"X[t] = x[0]  {roles.format('Y[u] = x[0]', '')}"))
    assert at["X"] == at["Y"]
    handed = roles.format("arrive full[0] of X", "await full[0], 0 of X")
    assert offsets(launch(f"{handed}  Y[t] = x[0]"))["X"] == offsets(launch(f"{handed}  Y[t] = x[0]"))["Y"]


STORE = "if t == 0 { tensor_copy(box=[128, 64]) X[0] -> A[0, 0] } async_commit(queue=store)"
LOAD = "if t == 0 { tensor_copy(box=[128, 64]) A[0, 0] -> X[0] on full[0] }"


@pytest.mark.parametrize("body, shared", [
    (f"{STORE}  Y[t] = x[0]  async_wait(pending=0, queue=store)", False),  # the engine still reads
    (f"{STORE}  async_wait(pending=0, queue=store)  Y[t] = x[0]", True),
    (f"{STORE}  async_wait(pending=0, queue=copy)  Y[t] = x[0]", False),  # waits for something else
    (f"{STORE}  async_wait(pending=1, queue=store)  Y[t] = x[0]", False),
    (f"{LOAD}  Y[t] = x[0]  await full[0], 0 of X", False),  # the engine still writes
    (f"{LOAD}  await full[0], 0 of X  Y[t] = x[0]", True),
    (f"{LOAD}  Y[t] = x[0]", False),
])  # fmt: skip
def test_asynchronous_accesses_keep_their_bytes_until_the_wait(body: str, shared: bool) -> None:
    at = offsets(launch(body))
    assert (at["X"] == at["Y"]) == shared


@pytest.mark.parametrize("swizzle, period", [(128, 1024), (64, 512), (32, 256), (0, 128)])
@pytest.mark.parametrize("how", ["copy", "product"])
def test_a_swizzle_aligns_each_version(swizzle: int, period: int, how: str) -> None:
    body = {
        "copy": f"tensor_copy(box=[8, 16], swizzle={swizzle}) A[0, 0] -> Z@(t % 2)[0] on full[0]",
        "product": f"let d: uint64 = descriptor(Z@(t % 2)[0], 16, 1024, {swizzle})",
    }[how]
    fits = launch(f"alloc Z: shared float16[{period // 2}] versions(2)  {body}")
    (found,) = [n for b, n in alignments(parse(fits).launches[0]).items() if b.name == "Z"]
    assert found == period
    ragged = launch(f"alloc Z: shared float16[{period // 2 + 16}] versions(2)  {body}")
    if not swizzle:
        alignments(parse(ragged).launches[0])
        return
    with pytest.raises(TileError) as raised:
        alignments(parse(ragged).launches[0])
    assert raised.value.code == "TD0520" and str(period) in str(raised.value)


def test_a_swizzle_through_a_view_aligns_the_storage() -> None:
    view = "view W: shared uint16[8192] of Y  let d: uint64 = descriptor(W[0], 16, 1024, 128)"
    found = alignments(parse(launch(view)).launches[0])
    assert {b.name: n for b, n in found.items()}["Y"] == 1024


def test_the_gemm() -> None:
    (planned,) = after(GEMM, "plan-shared-memory").launches
    at = {s.buffer.name: s.offset for s in planned.shared}
    assert at == {"As": 0, "Bs": 49152, "Cs": 98304, "full": 131072, "empty": 131104}
    assert planned.shared_bytes == 131136


# --------------------------------------------------------------------------------------------------- scalar passes


def test_guards_leave_boxes_to_the_engine() -> None:
    """It reads 0 outside of a tensor, and does not write there; what threads do in a role is guarded."""
    roles = """roles { role a(first=0, threads=128) u {
      if u == 0 { tensor_copy(box=[128, 64]) A[b + 500, 0] -> X[0] on full[0] }
      A[u + 500, 0] = A[u * 50, 0]
    } }"""
    k = after(launch(roles), "guard-bounds")
    (copy,) = [s for s in statements(k) if isinstance(s, TensorCopy)]
    inside = [s for s in statements(k) if isinstance(s, If) and copy in s.then]
    assert len(inside) == 1  # that of the thread
    assert sum(isinstance(n, Select) for n in walk(k)) == 1
    assert sum(isinstance(s, If) for s in statements(k)) == 2


def test_lanes_in_a_role_become_vectors() -> None:
    roles = """roles { role a(first=0, threads=128) u {
      for i in 8 vectorized { X[u * 8 + i] = A[u, i] }
    } }"""
    k = after(launch(roles), "vectorise")
    assert len(kinds(k, Move)) == 2
    asynchronous = after(launch(roles.replace("X[u * 8", "async X[u * 8")), "vectorise")
    assert [s.atom for s in statements(asynchronous) if isinstance(s, AtomCall)] == ["cp_async_16"]


def test_loops_in_a_role_are_unrolled_and_roles_in_a_loop_are_copied() -> None:
    inner = "roles { role a(first=0, threads=128) u { for i in 3 unrolled(explicit) { X[u + i] = x[i] } } }"
    assert len([s for s in statements(after(launch(inner), "unroll")) if type(s).__name__ == "Store"]) == 3
    outer = "for i in 2 unrolled(explicit) { roles { role a(first=0, threads=128) u { X[u + i] = x[i] } } }"
    (a, b) = (s for s in statements(after(launch(outer), "unroll")) if isinstance(s, Roles))
    assert a.roles[0].thread is not b.roles[0].thread


def test_conditions_in_roles_are_decided_by_the_number_of_their_threads() -> None:
    roles = """roles { role a(first=0, threads=128) u {
      if u < 128 { X[u] = x[0] }
      if 127 < u { X[u] = x[1] }
    } }"""
    k = after(launch(roles), "simplify-indices", "remove-dead")
    assert not kinds(k, If)


def test_nothing_that_synchronises_is_dead() -> None:
    k = after(GEMM, *AFTER_LOWERING)
    before = kinds(k, *SYNCHRONISATION)
    assert kinds(after(k, "simplify-indices", "remove-dead"), *SYNCHRONISATION) == before


@pytest.mark.parametrize("body, left", [
    ("async_commit(queue=product)  async_wait(pending=0, queue=product)", []),  # no product anywhere
    ("async_commit  async_wait(pending=0)", []),
    (f"{STORE}  async_wait(pending=0, queue=store)  async_wait(pending=0)", ["AsyncCommit", "AsyncWait"]),
    (f"{LOAD}  async_wait(pending=0, queue=store)", []),
])  # fmt: skip
def test_waits_go_with_the_last_that_is_issued_to_their_queue(body: str, left: list[str]) -> None:
    assert kinds(after(launch(body), "remove-dead"), AsyncCommit, AsyncWait) == left


def test_dead_code_in_roles_goes_and_roles_without_code() -> None:
    roles = "roles { role a(first=0, threads=128) u { let y = u + 1  for i in 3 { let z = i } } }"
    assert not kinds(after(launch(roles), "remove-dead"), Roles)
    kept = roles.replace("let y", "set_registers(count=40)  let y")
    assert kinds(after(launch(kept), "remove-dead"), Roles, SetRegisters) == ["Roles", "SetRegisters"]


def test_indices_of_roles_become_machine_integers() -> None:
    k = after(GEMM, *AFTER_LOWERING, *AT_THE_END)
    for fact in (thread_stage, no_index_left, wide_arithmetic):
        fact(k)
    with pytest.raises(VerifyError, match="tile stage"):
        tile_stage(k)
    (roles,) = (s for s in statements(k) if isinstance(s, Roles))
    assert all(role.thread.dtype is INT32 for role in roles.roles)
    for s in statements(k):
        if isinstance(s, Await):
            assert dtype_of(s.parity) is INT32
    assert not any(isinstance(n, Cast) and n.dtype.bits == 64 for n in walk(roles))


def test_coordinates_of_boxes_are_32_bits_however_large_the_tensor() -> None:
    """An element needs an offset of 64 bits there. A coordinate that may not fit becomes the nearest that does."""
    params = "A: global float16[100000, 100000], n: int64"
    body = "tensor_copy(box=[8, 64]) A[b * 128 + t * 300, {0}] -> X[0] on full[0]  X[0] = A[t * 300, 0]"
    k = after(launch(body.format("64"), params), *AT_THE_END)
    (copy,) = (s for s in statements(k) if isinstance(s, TensorCopy))
    assert [dtype_of(i) for i in copy.src.indices] == [INT32, INT32]
    assert not any(isinstance(n, Cast) for n in walk(copy))
    (load,) = (n for n in walk(k) if isinstance(n, Load) and n.buffer.space is Space.GLOBAL)
    assert all(dtype_of(i).bits == 64 for i in load.indices)
    k = after(launch(body.format("cast<index>(n)"), params), *AT_THE_END)
    (copy,) = (s for s in statements(k) if isinstance(s, TensorCopy))
    last = copy.src.indices[1]
    assert isinstance(last, Cast) and last.dtype is INT32
    assert [n.op for n in walk(last) if isinstance(n, Binary)] == ["min", "max"]


def test_narrow_numbers_are_computed_in_wide_ones_in_roles_too() -> None:
    roles = "roles { role a(first=0, threads=128) u { x[0] = x[1] * x[2] } }"
    k = after(launch(roles), "legalise-dtypes")
    assert {dtype_of(n.a).name for n in walk(k) if isinstance(n, Binary)} == {"float32"}


def test_all_passes_after_lowering() -> None:
    k = after(GEMM, *AFTER_LOWERING, *AT_THE_END)
    used = {n.buffer.name for n in walk(k) if isinstance(n, Address)}
    assert {"As", "Bs", "Cs", "full", "empty", "A", "B", "C"} <= used
    assert any(isinstance(s, Alloc) and s.buffer.name == "phase" for s in statements(k))
