"""Products of tiles: tile stage == thread stage, bit for bit (S1, S22), and the shape of the code."""

from __future__ import annotations

import itertools
from dataclasses import replace
from time import perf_counter

import pytest

from tiledsl.analysis.gemm_plan import plan_gemm
from tiledsl.errors import VerifyError
from tiledsl.ir.dtypes import BFLOAT16, FLOAT8_E4M3, FLOAT16, FLOAT32, FLOAT64, INT8, INT32, DType
from tiledsl.ir.layout import Fragment, partition, row_major
from tiledsl.ir.nodes import AtomCall, Binary, Buffer, Const, For, Kernel, Let, Load, Region, Space, Stmt, Var
from tiledsl.ir.swizzle import padded
from tiledsl.ir.tile import Copy, Gemm
from tiledsl.ir.walk import walk
from tiledsl.passes.lower_tiles import lower_tiles
from tiledsl.target import target_named
from tiledsl.testing.tile_stage import agree, kernel, lowered, region, shared, tensor, tile


def gemm_kernel(
    mnk: tuple[int, int, int],
    dtypes: tuple[DType, DType] = (FLOAT16, FLOAT32),
    trans: tuple[bool, bool] = (False, False),
    threads: int = 128,
    *,
    clear: bool = True,
    held: tuple[bool, bool] = (False, False),
    versions: int = 1,
    target: str = "sm_80",
    options: dict[str, str] | None = None,
    layout: object = None,
) -> Kernel:
    """One product of operands in shared memory, or in fragments where `held`."""
    m, n, k = mnk
    dtype, acc = dtypes
    a_shape, b_shape = (k, m) if trans[0] else (m, k), (n, k) if trans[1] else (k, n)
    a, b, c = tensor("a", a_shape, dtype), tensor("b", b_shape, dtype), tensor("c", (m, n), acc)
    x, y = (
        tile(name, shape, dtype) if in_registers else shared(name, shape, dtype, versions)
        for name, shape, in_registers in zip(("x", "y"), (a_shape, b_shape), held)
    )
    z = tile("z", (m, n), acc)

    def whole(buffer: Buffer) -> Region:
        return region(buffer, version=Const(versions - 1) if buffer.versions > 1 else None)

    gemm = Gemm(whole(x), whole(y), region(z), *trans, clear, **(options or {}))
    known = {} if layout is None else {x: layout, y: layout}
    plan = plan_gemm(gemm, threads, target_named(target), known)  # type: ignore[arg-type]
    body: list[Stmt] = [Copy(region(a), whole(x)), Copy(region(b), whole(y))]
    body += [] if clear else [Copy(region(c), region(z))]
    layouts = {x: plan.a.layout, y: plan.b.layout, z: plan.c}
    return kernel([a, b, c], [*body, gemm, Copy(region(z), region(c))], layouts, threads)


TRANSPOSITIONS = list(itertools.product((False, True), repeat=2))
DTYPES = {
    "f16": (FLOAT16, FLOAT32),
    "bf16": (BFLOAT16, FLOAT32),
    "f16_f16": (FLOAT16, FLOAT16),
    "i8": (INT8, INT32),
    "f64": (FLOAT64, FLOAT64),
    "f32": (FLOAT32, FLOAT32),
}


@pytest.mark.parametrize("trans", TRANSPOSITIONS, ids=["nn", "nt", "tn", "tt"])
@pytest.mark.parametrize("name", DTYPES)
def test_dtypes_and_transpositions(name: str, trans: tuple[bool, bool]) -> None:
    agree(gemm_kernel((64, 96, 32), DTYPES[name], trans))


@pytest.mark.parametrize("trans", TRANSPOSITIONS, ids=["nn", "nt", "tn", "tt"])
def test_tf32(trans: tuple[bool, bool]) -> None:
    agree(gemm_kernel((64, 32, 32), DTYPES["f32"], trans, options={"precision": "tf32"}))


@pytest.mark.parametrize("trans", TRANSPOSITIONS, ids=["nn", "nt", "tn", "tt"])
def test_fp8(trans: tuple[bool, bool]) -> None:
    agree(gemm_kernel((32, 64, 64), (FLOAT8_E4M3, FLOAT32), trans, target="sm_89"), target="sm_89")


@pytest.mark.parametrize(
    "mnk, threads, policy",
    [
        *(((16, 8, 16), 32, policy) for policy in ("square", "full_row", "full_col")),
        *(((32, 64, 96), 32, policy) for policy in ("square", "full_row", "full_col")),
        *(((96, 96, 32), 96, policy) for policy in ("square", "full_row", "full_col")),
        *(((64, 256, 64), 128, policy) for policy in ("square", "full_row", "full_col")),
        ((128, 24, 48), 128, "square"),
        ((128, 24, 48), 128, "full_row"),
        ((96, 64, 32), 128, "square"),
    ],
    ids=str,
)
def test_tiles_and_policies(mnk: tuple[int, int, int], threads: int, policy: str) -> None:
    """Tiles of 96 and odd numbers of atoms, where an ldmatrix of two matrices is left over."""
    agree(gemm_kernel(mnk, threads=threads, options={"policy": policy}))


@pytest.mark.parametrize("threads", [32, 64, 128, 256])
def test_warps(threads: int) -> None:
    agree(gemm_kernel((64, 64, 32), threads=threads))


def test_accumulates() -> None:
    agree(gemm_kernel((32, 32, 32), threads=32, clear=False))
    agree(gemm_kernel((32, 32, 8), DTYPES["f32"], threads=32, clear=False))


@pytest.mark.parametrize("held", [(True, False), (False, True), (True, True)], ids=["rs", "sr", "rr"])
@pytest.mark.parametrize("trans", TRANSPOSITIONS, ids=["nn", "nt", "tn", "tt"])
def test_operands_in_registers(held: tuple[bool, bool], trans: tuple[bool, bool]) -> None:
    agree(gemm_kernel((64, 32, 48), trans=trans, held=held))


def test_multiply_add_with_operands_in_registers() -> None:
    agree(gemm_kernel((16, 16, 8), DTYPES["f32"], threads=32, held=(True, False)))


def test_versions() -> None:
    agree(gemm_kernel((32, 32, 32), threads=32, versions=3))


@pytest.mark.parametrize("layout", [row_major((64, 64)), padded((64, 64), 16), row_major((64, 64), 1)], ids=str)
def test_other_shared_layouts(layout: object) -> None:
    """Rows that are no multiple of 16 bytes apart cannot be read by ldmatrix; elements can."""
    k = gemm_kernel((64, 64, 64), layout=layout)
    agree(k)
    uses = any(n.atom.startswith("ldmatrix") for n in _calls(lowered(k)))
    assert uses == (layout != row_major((64, 64), 1))


def test_part_of_a_shared_tile() -> None:
    """Operands are boxes inside larger tiles."""
    a, b, c = tensor("a", (64, 64), FLOAT16), tensor("b", (64, 64), FLOAT16), tensor("c", (32, 32), FLOAT32)
    x, y, z = shared("x", (64, 64), FLOAT16), shared("y", (64, 64), FLOAT16), tile("z", (32, 32), FLOAT32)
    gemm = Gemm(region(x, 32, 16, extents=(32, 32)), region(y, 16, 32, extents=(32, 32)), region(z), clear=True)
    plan = plan_gemm(gemm, 32, target_named("sm_80"))
    body = [Copy(region(a), region(x)), Copy(region(b), region(y)), gemm, Copy(region(z), region(c))]
    agree(kernel([a, b, c], body, {x: plan.a.layout, y: plan.b.layout, z: plan.c}, 32))


def test_foreign_accumulator_layout_is_refused() -> None:
    k = gemm_kernel((32, 32, 32), threads=32)
    launch = k.launches[0]
    wrong = tuple(
        replace(x, layout=partition((32, 32), 32, 4)) if isinstance(x.layout, Fragment) else x for x in launch.layouts
    )
    with pytest.raises(VerifyError, match="layout of 'z'"):
        lowered(replace(k, launches=(replace(launch, layouts=wrong),)))


# --------------------------------------------------------------------------------------------------- shape of the code


def _calls(k: Kernel) -> list[AtomCall]:
    return [n for s in k.launches[0].body for n in walk(s) if isinstance(n, AtomCall)]


def test_main_loop_addresses_are_bases_and_constants() -> None:
    """Per lane one base for each operand, bound at the top; in the loop only constants of the unrolled loops."""
    k = lowered(gemm_kernel((128, 128, 32)))
    body = k.launches[0].body
    bound = {s.var for s in body if isinstance(s, Let)}
    loops = {n.var for s in body for n in walk(s) if isinstance(n, For)}
    for call in _calls(k):
        if call.atom.startswith("ldmatrix"):
            (offset,) = call.args[1].indices  # type: ignore[attr-defined]
            used = [n for n in walk(offset) if isinstance(n, Var)]
            assert len([v for v in used if v in bound]) == 1 and all(v in bound | loops for v in used)
            assert not any(isinstance(n, Binary) and n.op in ("//", "%") for n in walk(offset))


def test_instructions_per_step() -> None:
    """128 x 128 x 32 by four warps: 8 ldmatrix.x4 and 32 mma for each 16 of k, as in the yardstick kernel."""
    k = lowered(gemm_kernel((128, 128, 32)))
    count = {"ldmatrix": 0, "mma": 0}

    def visit(block: tuple[Stmt, ...], times: int) -> None:
        for s in block:
            if isinstance(s, For):
                assert isinstance(s.extent, Const)
                visit(s.body, times * int(s.extent.value))
            elif isinstance(s, AtomCall):
                count[s.atom.split("_")[0]] += times

    visit(k.launches[0].body, 1)
    assert count == {"ldmatrix": 2 * 8, "mma": 2 * 32}


def test_registers_are_constants() -> None:
    """I22: no register of the product is chosen by the thread."""
    for trans in TRANSPOSITIONS:
        k = lowered(gemm_kernel((64, 64, 32), DTYPES["i8"], trans))
        loops = {n.var for s in k.launches[0].body for n in walk(s) if isinstance(n, For)}
        for s in k.launches[0].body:
            for n in walk(s):
                if isinstance(n, Load) and n.buffer.space is Space.LOCAL:
                    assert all(v in loops for i in n.indices for v in walk(i) if isinstance(v, Var))


def test_time() -> None:
    """The budget is 10 ms on the project's machine; the test allows for a busy one."""
    k = gemm_kernel((128, 128, 32))
    target = target_named("sm_80")

    def once() -> float:
        start = perf_counter()
        lower_tiles.run(k, target=target)
        return perf_counter() - start

    assert min(once() for _ in range(5)) < 0.04
