"""Roles, barriers in shared memory and bulk copies for one thread: who does what, and how often (S1, S18, W5, W15)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TypeVar

import numpy as np
import pytest

from tiledsl.cpu import interp, tile_interp
from tiledsl.ir.concurrent import (
    Arrive,
    Await,
    BulkMove,
    Expect,
    Fence,
    Hold,
    InitBarrier,
    Role,
    SetRegisters,
    TensorCopy,
)
from tiledsl.ir.nodes import (
    Alloc,
    AsyncWait,
    Barrier,
    Binary,
    Call,
    Const,
    For,
    If,
    Kernel,
    Let,
    Space,
    Stmt,
    Var,
    eq,
    lt,
)
from tiledsl.ir.parser import parse
from tiledsl.ir.printer import text
from tiledsl.ir.walk import statements, walk
from tiledsl.passes.infer_layouts import infer_layouts
from tiledsl.passes.lower_tiles import lower_tiles
from tiledsl.target import target_named

SM90 = target_named("sm_90a")
S = TypeVar("S", bound=Stmt)
PARAMS = "A: global float16[256, 256], C: global float16[256, 256]"


def launch(body: str, params: str = PARAMS, threads: int = 128) -> str:
    return f"kernel k({params}) {{\n launch k(bx in 2) threads(t in {threads}) {{\n{body}\n }}\n}}\n"


def lowered(source: str) -> Kernel:
    result: Kernel = lower_tiles.bind(SM90)(infer_layouts.bind(SM90)(parse(source)))
    return result


def agree(source: str) -> dict[str, Any]:
    """The kernel before and after, on the same inputs, with all checks."""
    before = parse(source)
    after = lowered(source)
    rng = np.random.default_rng(0)
    arrays = {p.name: rng.integers(-3, 4, p.shape).astype(p.dtype.numpy) for p in before.params}  # type: ignore[union-attr]
    old, new = ({n: a.copy() for n, a in arrays.items()} for _ in range(2))
    tile_interp.run(before, old)
    interp.run(after, new, check=True)
    for name, expected in old.items():
        np.testing.assert_array_equal(new[name], expected, err_msg=name)
    return new


def of(kind: type[S], node: Any) -> list[S]:
    return [s for s in statements(node) if isinstance(s, kind)]


def role(k: Kernel, name: str) -> Role:
    (found,) = (n for n in walk(k) if isinstance(n, Role) and n.name == name)
    return found


TWO = """
  alloc As: shared float16[64, 64] versions(2)
  alloc full: barrier uint64[2] = uint64(1)
  alloc empty: barrier uint64[2] = uint64({arrivals})
  roles {{
    role load(first=0, threads=128{few}) t1 {{
      for k in 4 {{
        await empty[k % 2], (k // 2 + 1) % 2 of As
        arrive(bytes=8192, by=one) full[k % 2]
        bulk copy A[bx * 64 : 64, k * 64 : 64] -> As@(k % 2) on full[k % 2]
      }}
    }}
    role use(first=128, threads=256{many}) t2 {{
      alloc x: fragment float16[64, 64]
      for k in 4 {{
        await full[k % 2], k // 2 % 2 of As
        copy As@(k % 2) -> x
        arrive(by={by}) empty[k % 2] of As
        copy x -> C[bx * 64 : 64, k * 64 : 64]
      }}
    }}
  }}
"""


def two(by: str = "threads", arrivals: int = 256, few: str = "", many: str = "") -> str:
    return launch(TWO.format(by=by, arrivals=arrivals, few=few, many=many), threads=384)


# ----------------------------------------------------------------------------------------------------------- barriers


def test_barriers_are_made_ready_at_the_top() -> None:
    top = lowered(two()).launches[0].body
    kinds = [type(s) for s in top]
    assert kinds[:4] == [Alloc, Alloc, If, Barrier]
    first = top[2]
    assert isinstance(first, If) and [type(s) for s in first.then] == [InitBarrier] * 4 + [Fence]
    assert [s.count for s in of(InitBarrier, first)] == [1, 1, 256, 256]
    assert all(s.init is None for s in top if isinstance(s, Alloc) and s.buffer.space is Space.BARRIER)


@pytest.mark.parametrize(
    ("by", "arrivals", "share"), [("threads", 256, 1), ("warps", 8, 32), ("warpgroups", 2, 128), ("one", 1, 256)]
)
def test_as_many_arrive_as_the_barrier_counts(by: str, arrivals: int, share: int) -> None:
    """W5: the interpreter refuses one too many, and would wait for ever for one too few."""
    source = two(by, arrivals)
    agree(source)
    use = role(lowered(source), "use")
    (arrive,) = of(Arrive, use)
    assert arrive.by == "threads" and [b.name for b in arrive.buffers] == ["As"]
    guards = [s for s in of(If, use) if arrive in s.then]
    assert len(guards) == (share > 1)
    if guards:
        here = use.thread if share == 256 else use.thread % share
        assert guards[0].cond == eq(here, 0)


def test_expected_bytes_are_said_once() -> None:
    source = launch(
        "alloc As: shared float16[64, 64]\n alloc full: barrier uint64[1] = uint64(128)\n"
        "alloc x: fragment float16[64, 64]\n expect full[0], 8192\n bulk copy A[0 : 64, 0 : 64] -> As on full[0]\n"
        "arrive full[0]\n await full[0], 0 of As\n copy As -> x\n copy x -> C[0 : 64, 0 : 64]"
    )
    k = lowered(source)
    agree(source.replace("bx in 2", "bx in 1"))
    assert [len(s.then) for s in of(If, k) if of(Expect, s)] == [2]  # it and the copy


# -------------------------------------------------------------------------------------------------------------- roles


def test_one_thread_runs_the_loop_of_a_role_that_only_copies() -> None:
    load = role(lowered(two()), "load")
    (only,) = load.body
    assert isinstance(only, If)
    assert only.cond == Binary("and", lt(load.thread, 32), Call("elected", (load.thread,)))
    assert len(of(Await, only)) == 1 and not of(If, only)  # nothing inside is guarded again


def test_a_role_that_also_counts_is_one_thread() -> None:
    counting = two().replace("for k in 4 {", "alloc n: var index = 0\n for k in 4 {\n n = n + 1", 1)
    (only,) = role(lowered(counting), "load").body
    assert isinstance(only, If) and of(Alloc, only)


def test_where_others_do_not_wait_one_thread_waits_alone() -> None:
    """The others could come so late that the barrier has the same parity again."""
    load = role(lowered(two().replace("await empty", "fence(kind=async_proxy)\n await(by=one) empty")), "load")
    (wait,) = of(Await, load)
    assert [s.cond for s in of(If, load) if wait in s.then] == [eq(load.thread, 0)] and wait.by == "threads"


@pytest.mark.parametrize("extra", ["arrive(by=threads) empty[0]", "fill As@(0), float16(0)", "fence(kind=async_proxy)"])
def test_other_roles_keep_their_threads(extra: str) -> None:
    source = two().replace(
        "      for k in 4 {\n        await empty", f"      {extra}\n      for k in 4 {{\n        await empty"
    )
    load = role(lowered(source), "load")
    assert len(load.body) > 1 and not isinstance(load.body[-1], If)
    (copy,) = of(TensorCopy, load)
    assert [s.cond for s in of(If, load) if copy in s.then] == [eq(load.thread, 0)]


def test_what_a_role_binds_depends_on_its_own_thread_alone() -> None:
    k = lowered(two())
    use, block = role(k, "use"), k.launches[0].thread
    assert not any(isinstance(s, Let) for s in k.launches[0].body)
    bound = [s for s in use.body if isinstance(s, Let)]
    assert bound
    assert not any(n is block for s in use.body for n in walk(s) if isinstance(n, Var))
    agree(two())


def test_registers_go_up_and_down_from_what_the_launch_deals() -> None:
    """65536 registers for 384 threads are 168 each (W15)."""
    k = lowered(two(few=", registers=40", many=", registers=232"))
    assert role(k, "load").body[0] == SetRegisters(40, False)
    assert role(k, "use").body[0] == SetRegisters(232, True)
    k = lowered(two(few=", registers=24", many=", registers=96"))  # the launch then asks for no more than 96
    assert role(k, "load").body[0] == SetRegisters(24, False)
    assert role(k, "use").body[0] == SetRegisters(96, False)
    assert not of(SetRegisters, lowered(two()))


def test_a_barrier_of_a_role_is_of_its_threads() -> None:
    source = two().replace("copy x -> C", "barrier\n copy x -> C")
    assert of(Barrier, role(lowered(source), "use")) == [Barrier(id=2, count=256)]
    agree(source)


def test_what_one_thread_does_for_the_copy_engine_stands_together() -> None:
    k = lowered(loaded((64, 64), "0 : 64, 0 : 64"))
    (start,) = [s for s in of(If, k) if of(Arrive, s)]
    assert [type(s) for s in start.then] == [Arrive, TensorCopy]


def test_parities_stay_as_they_were_written() -> None:
    """Later passes count phases by them."""
    waits = of(Await, lowered(two()))
    assert [text(s.parity) for s in waits] == ["(k // 2 + 1) % 2", "k // 2 % 2"]


# -------------------------------------------------------------------------------------------------------- bulk copies


def loaded(shape: tuple[int, int], at: str, tensor: str = "float16[256, 256]", given: str = "") -> str:
    """A tile loaded by the copy engine and stored by it."""
    rows, columns = shape
    element = tensor.split("[")[0]
    size = int("".join(c for c in element if c.isdigit())) // 8 * rows * columns
    return launch(
        f"{given} alloc As: shared {element}[{rows}, {columns}]\n alloc full: barrier uint64[1] = uint64(1)\n"
        f"arrive(bytes={size}, by=one) full[0]\n bulk copy A[{at}] -> As on full[0]\n await full[0], 0 of As\n"
        f"barrier\n bulk copy As -> C[{at}]\n async_commit(queue=store)\n async_wait(pending=0, queue=store)",
        f"A: global {tensor}, C: global {tensor}",
    ).replace("bx in 2", "bx in 1")


def test_rows_that_follow_each_other_move_at_once() -> None:
    """One run of bytes needs no tensor map; but only where it cannot leave the tensor."""
    k = lowered(loaded((8, 256), "16 : 8, 0 : 256"))
    assert [s.lanes for s in of(BulkMove, k)] == [2048, 2048] and not of(TensorCopy, k)
    agree(loaded((8, 256), "16 : 8, 0 : 256"))
    assert not of(BulkMove, lowered(loaded((8, 256), "252 : 8, 0 : 256")))
    assert not of(BulkMove, lowered(loaded((8, 128), "16 : 8, 0 : 128")))


def test_a_run_that_starts_in_the_middle_of_16_bytes_is_no_bulk_move() -> None:
    assert of(BulkMove, lowered(loaded((1, 64), "3 : 1, 64 : 64")))
    assert not of(BulkMove, lowered(loaded((1, 64), "3 : 1, 68 : 64")))


def test_runs_chosen_by_the_block_stay_inside() -> None:
    body = loaded((8, 256), "bx * 8 : 8, 0 : 256").replace("bx in 1", "bx in 2")
    assert of(BulkMove, lowered(body))
    agree(body)
    assert not of(BulkMove, lowered(body.replace("bx in 2", "bx in 33")))


def test_a_box_for_each_panel() -> None:
    k = lowered(loaded((128, 512), "0 : 128, 0 : 512", "float16[128, 1024]"))
    loops = [s for s in of(For, k) if of(TensorCopy, s)]
    assert [s.extent for s in loops] == [Const(8), Const(8)]
    assert {s.box for s in of(TensorCopy, k)} == {(128, 64)} and {s.swizzle for s in of(TensorCopy, k)} == {128}


def test_a_sum_by_the_copy_engine() -> None:
    source = launch(
        "alloc As: shared float16[64, 64]\n alloc x: fragment float16[64, 64]\n copy A[0 : 64, 0 : 64] -> x\n"
        "copy x -> As\n fence(kind=async_proxy)\n barrier\n bulk atomic(op=add) As -> C[0 : 64, 0 : 64]\n"
        "async_commit(queue=store)\n async_wait(pending=0, queue=store)"
    ).replace("bx in 2", "bx in 1")
    agree(source)
    assert [s.op for s in of(TensorCopy, lowered(source))] == ["add"]


def test_dimensions_of_one_element_are_left_out() -> None:
    source = launch(
        "alloc As: shared float16[16, 64]\n alloc full: barrier uint64[1] = uint64(1)\n"
        "arrive(bytes=2048, by=one) full[0]\n bulk copy A[1, bx * 16 : 16, 2, 0 : 64] -> As on full[0]\n"
        "await full[0], 0 of As\n barrier\n bulk copy As -> C[0, bx * 16 : 16, 1, 0 : 64]\n async_commit(queue=store)\n"
        "async_wait(pending=0, queue=store)",
        "A: global float16[2, 32, 3, 64], C: global float16[2, 32, 3, 64]",
    )
    agree(source)
    assert {s.box for s in of(TensorCopy, lowered(source))} == {(1, 16, 1, 64)}


# ------------------------------------------------------------------------------------------------- products in flight

FLIGHT = """
  alloc As: shared float16[64, 64]
  alloc s: fragment float32[64, 64]
  alloc o: fragment float32[64, 64]
  async gemm As, As, s
  async_commit(queue=product)
  for k in 4 {
    async gemm As, As, o
    async_commit(queue=product)
    async_wait(pending=1, queue=product)
    async gemm As, As, s
    async_commit(queue=product)
  }
  async_wait(pending=0, queue=product)
"""


def held_after(block: Iterable[Stmt]) -> list[tuple[int, set[str]]]:
    """For each wait for products the sums that are held directly after it."""
    out: list[tuple[int, set[str]]] = []
    items = list(block)
    for i, s in enumerate(items):
        if isinstance(s, AsyncWait):
            names: set[str] = set()
            for after in items[i + 1 :]:
                if not isinstance(after, Hold):
                    break
                names.add(after.buffer.name)
            out.append((s.pending, names))
        if isinstance(s, For):
            out += held_after(s.body)
    return out


def test_waits_hold_the_sums_that_are_complete() -> None:
    assert held_after(lowered(launch(FLIGHT)).launches[0].body) == [(1, {"s"}), (0, {"s", "o"})]
