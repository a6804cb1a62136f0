"""Products by warpgroups: tile stage == thread stage, bit for bit, and the shape of the code (S1, L28)."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from tiledsl.analysis.gemm_plan import plan_gemm
from tiledsl.ir.concurrent import Fence, Hold
from tiledsl.ir.dtypes import (
    FLOAT16,
    FLOAT32,
)
from tiledsl.ir.nodes import (
    Address,
    AsyncCommit,
    AsyncWait,
    AtomCall,
    Call,
    Const,
    Descriptor,
    For,
    Kernel,
    Let,
    Space,
    Var,
)
from tiledsl.ir.swizzle import panelled
from tiledsl.ir.tile import Copy, Gemm
from tiledsl.ir.walk import statements, walk
from tiledsl.isa.wgmma import extent_k
from tiledsl.target import target_named
from tiledsl.testing.laws.tensor_cores import TYPES, product_kernel
from tiledsl.testing.tile_stage import agree, kernel, lowered, region, shared, tensor, tile

SM90 = target_named("sm_90a")


@pytest.mark.parametrize("trans", list(product((False, True), repeat=2)), ids=["nn", "nt", "tn", "tt"])
def test_both_majors_of_both_operands(trans: tuple[bool, bool]) -> None:
    agree(product_kernel((128, 96, 48), trans=trans, threads=256), target="sm_90a")


@pytest.mark.parametrize("name", TYPES)
def test_types(name: str) -> None:
    agree(product_kernel((64, 32, 2 * extent_k(TYPES[name][0])), TYPES[name]), target="sm_90a")


def test_warpgroups_beside_each_other() -> None:
    agree(product_kernel((64, 64, 32), threads=256, policy="full_col"), target="sm_90a")
    agree(product_kernel((64, 64, 32), trans=(False, False), threads=256), target="sm_90a")


def test_part_of_a_tile() -> None:
    """Operands are boxes inside larger tiles, one of them within a panel."""
    a, b, c = tensor("a", (128, 128), FLOAT16), tensor("b", (64, 128), FLOAT16), tensor("c", (64, 32), FLOAT32)
    x, y, z = shared("x", (128, 128), FLOAT16), shared("y", (64, 128), FLOAT16), tile("z", (64, 32), FLOAT32)
    gemm = Gemm(region(x, 64, 32, extents=(64, 32)), region(y, 32, 96, extents=(32, 32)), region(z), clear=True)
    plan = plan_gemm(gemm, 128, SM90)
    assert plan.kind == "wgmma"
    body = [Copy(region(a), region(x)), Copy(region(b), region(y)), gemm, Copy(region(z), region(c))]
    agree(kernel([a, b, c], body, {x: plan.a.layout, y: plan.b.layout, z: plan.c}, 128), target="sm_90a")


# --------------------------------------------------------------------------------------------------- shape of the code


def calls(k: Kernel) -> list[AtomCall]:
    return [s for s in statements(k) if isinstance(s, AtomCall)]


def test_a_synchronous_product_is_fenced_and_awaited() -> None:
    k = lowered(product_kernel((64, 64, 32)), "sm_90a")
    body = list(k.launches[0].body)
    first = next(i for i, s in enumerate(body) if isinstance(s, Hold))
    loop, commit, wait, hold = body[first + 2 : first + 6]
    assert body[first + 1] == Fence("product") and isinstance(loop, For)
    assert (commit, wait) == (AsyncCommit("product"), AsyncWait(0, "product")) and isinstance(hold, Hold)


def test_an_asynchronous_product_is_only_issued() -> None:
    k = lowered(product_kernel((64, 64, 32), asynchronous=True), "sm_90a")
    waits = [s for s in statements(k) if isinstance(s, AsyncWait)]
    holds = [s for s in statements(k) if isinstance(s, Hold)]
    assert len(waits) == 1 and len(holds) == 2  # before the product, and after the wait


def test_addresses_are_a_base_and_constants() -> None:
    """Of the thread a descriptor has only its warpgroup, bound at the top; the loops add constants."""
    k = lowered(product_kernel((256, 192, 64), trans=(True, False), threads=256), "sm_90a")
    bound = {s.var: s.value for s in k.launches[0].body if isinstance(s, Let)}
    loops = {s.var for s in statements(k) if isinstance(s, For)}
    (call,) = calls(k)
    for d in call.args[1:3]:
        assert isinstance(d, Descriptor)
        for v in (n for i in d.start.indices for n in walk(i) if isinstance(n, Var)):
            value = bound.get(v)
            assert v in loops or (isinstance(value, Call) and value.fn == "warp_uniform")


def test_one_instruction_for_256_columns() -> None:
    k = lowered(product_kernel((128, 256, 64), threads=256), "sm_90a")
    (call,) = calls(k)
    assert call.atom == "wgmma_m64n256k16_f32_f16_ss"
    loops = [s for s in statements(k) if isinstance(s, For) and any(c is call for c in statements(s))]
    assert [s.extent for s in loops] == [Const(4)]


def test_versions_are_addressed_from_the_version() -> None:
    k = lowered(product_kernel((64, 64, 32), versions=3), "sm_90a")
    (call,) = calls(k)
    b = call.args[2]
    assert isinstance(b, Descriptor) and b.start.version == Const(2)


def test_registers_of_a_are_constants() -> None:
    k = lowered(product_kernel((128, 64, 32), held=True), "sm_90a")
    (call,) = calls(k)
    a = call.args[1]
    assert isinstance(a, Address) and a.buffer.space is Space.LOCAL and call.atom.endswith("_rs")
    loops = {s.var for s in statements(k) if isinstance(s, For)}
    assert all(n in loops for i in a.indices for n in walk(i) if isinstance(n, Var))


def test_the_first_step_of_a_cleared_product_overwrites() -> None:
    """No register is set to zero first."""
    k = lowered(product_kernel((64, 64, 32)), "sm_90a")
    (call,) = calls(k)
    assert call.args[3] != Const(True) and any(isinstance(n, Var) for n in walk(call.args[3]))
    k = lowered(product_kernel((64, 64, 16)), "sm_90a")
    (call,) = calls(k)
    assert call.args[3].value is False  # type: ignore[union-attr]


def test_layouts_of_other_makers_are_read_where_descriptors_describe_them() -> None:
    made = product_kernel((64, 64, 32))
    launch = made.launches[0]
    narrow = tuple(
        replace(row, layout=panelled((64, 32), 16, 32)) if row.buffer.name in "xy" else row for row in launch.layouts
    )
    k = replace(made, launches=(replace(launch, layouts=narrow),))
    agree(k, target="sm_90a")
    assert all(d.swizzle == 32 for c in calls(lowered(k, "sm_90a")) for d in c.args if isinstance(d, Descriptor))
