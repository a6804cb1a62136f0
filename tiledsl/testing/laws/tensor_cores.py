"""Laws of what sm_90a does beside its threads: products of warpgroups, and tiles that the copy engine moves.

S1: both stages compute the same bits. S18: each element is moved once, to where the layout has it. L28: descriptors
name the bytes that the layout names. L22: wgmma reads what they name without bank conflicts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from itertools import product
from math import prod

import numpy as np
from hypothesis import strategies as st

from tiledsl.analysis.bank_conflicts import matrix_wavefronts
from tiledsl.analysis.descriptors import describe, start_of
from tiledsl.analysis.gemm_plan import plan_gemm
from tiledsl.analysis.tensor_boxes import Boxes, boxes_of, copyable
from tiledsl.cpu import tile_interp
from tiledsl.ir.concurrent import Arrive, Await
from tiledsl.ir.dtypes import (
    BFLOAT16,
    FLOAT8_E4M3,
    FLOAT8_E5M2,
    FLOAT16,
    FLOAT32,
    INT8,
    INT32,
    UINT8,
    UINT64,
    DType,
)
from tiledsl.ir.layout import Layout, row_major
from tiledsl.ir.nodes import Address, Alloc, AsyncCommit, AsyncWait, Buffer, Const, Kernel, Region, Space
from tiledsl.ir.swizzle import SPANS, UNIT, panelled
from tiledsl.ir.tile import Atomic, Copy, Gemm
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import statements
from tiledsl.isa.descriptor import decode
from tiledsl.isa.wgmma import extent_k, takes_mn_major
from tiledsl.passes.transpose_operands import transpose_operands
from tiledsl.target import target_named
from tiledsl.tensor_map import tensor_map
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.tile_stage import BARRIER, agree, integers, kernel, region, shared, tensor, tile

SM90 = target_named("sm_90a")
TYPES: dict[str, tuple[DType, DType, DType]] = {
    "f16": (FLOAT16, FLOAT16, FLOAT32),
    "bf16": (BFLOAT16, BFLOAT16, FLOAT32),
    "f16_f16": (FLOAT16, FLOAT16, FLOAT16),
    "e4m3": (FLOAT8_E4M3, FLOAT8_E4M3, FLOAT32),
    "e5m2_e4m3": (FLOAT8_E5M2, FLOAT8_E4M3, FLOAT16),
    "s8": (INT8, INT8, INT32),
    "u8_s8": (UINT8, INT8, INT32),
    "tf32": (FLOAT32, FLOAT32, FLOAT32),
}


def product_kernel(
    mnk: tuple[int, int, int],
    types: tuple[DType, DType, DType] = TYPES["f16"],
    trans: tuple[bool, bool] = (False, True),
    threads: int = 128,
    *,
    held: bool = False,
    clear: bool = True,
    versions: int = 1,
    asynchronous: bool = False,
    policy: str = "square",
) -> Kernel:
    """One product by wgmma, of shared tiles or with a in registers (`held`)."""
    m, n, k = mnk
    a, b = ((k, m) if trans[0] else (m, k)), ((n, k) if trans[1] else (k, n))
    x = (tile if held else shared)("x", a, types[0])
    y, z = shared("y", b, types[1], versions), tile("z", (m, n), types[2])
    whole = region(y, version=Const(versions - 1) if versions > 1 else None)
    precision = "tf32" if types[0] is FLOAT32 else "ieee"
    gemm = Gemm(region(x), whole, region(z), *trans, clear, policy, precision, asynchronous=asynchronous)
    plan = plan_gemm(gemm, threads, SM90)
    assert plan.kind == "wgmma", plan.refused
    params = [tensor("a", a, types[0]), tensor("b", b, types[1]), tensor("c", (m, n), types[2])]
    before = [Copy(region(p), r) for p, r in zip(params, (region(x), whole, region(z)))]
    wait = (AsyncCommit("product"), AsyncWait(0, "product")) if asynchronous else ()
    layouts = {x: plan.a.layout, y: plan.b.layout, z: plan.c}
    return kernel(params, [*before, gemm, *wait, Copy(region(z), region(params[2]))], layouts, threads)


@st.composite
def products(draw: st.DrawFn) -> Kernel:
    """Every type, both majors where there are two, a in shared memory and in registers, one and two warpgroups."""
    types = draw(st.sampled_from(list(TYPES.values())))
    groups = draw(st.sampled_from([1, 2]))
    wide, held = takes_mn_major(types[0]), draw(st.booleans())
    trans = (draw(st.booleans()) and (wide or held), draw(st.booleans()) or not wide)
    columns = [8, 16, 24, 32, 40, 64, 72, 96, 128, 272]
    rows = 64 * groups * draw(st.sampled_from([1, 2]))
    return product_kernel(
        (rows, draw(st.sampled_from(columns)), extent_k(types[0]) * draw(st.integers(1, 4))),
        types,
        trans,
        128 * groups,
        held=held,
        clear=draw(st.booleans()),
        versions=draw(st.sampled_from([1, 2])),
        asynchronous=draw(st.booleans()),
        policy=draw(st.sampled_from(["square", "full_row", "full_col"] if rows == 128 else ["square", "full_row"])),
    )


@law("S1", k=products(), examples=25, share=2.0)
def warpgroup_products_are_those_of_the_tile_stage(k: Kernel) -> None:
    agree(k, target="sm_90a")


@st.composite
def products_across_k(draw: st.DrawFn) -> Kernel:
    """Operands of types that the instruction reads along k only, one or both of which lie along m or n."""
    types = draw(st.sampled_from([t for t in TYPES.values() if not takes_mn_major(t[0])]))
    trans = draw(st.sampled_from([(False, False), (True, False), (True, True)]))
    groups, versions = draw(st.sampled_from([1, 2])), draw(st.sampled_from([1, 2]))
    m, n, k = 64 * groups, draw(st.sampled_from([8, 16, 40])), extent_k(types[0]) * draw(st.integers(1, 3))
    a, b = ((k, m) if trans[0] else (m, k)), ((n, k) if trans[1] else (k, n))
    x, y, z = shared("x", a, types[0]), shared("y", b, types[1], versions), tile("z", (m, n), types[2])
    whole = region(y, version=Const(versions - 1) if versions > 1 else None)
    precision = "tf32" if types[0] is FLOAT32 else "ieee"
    gemm = Gemm(region(x), whole, region(z), *trans, clear=draw(st.booleans()), precision=precision)
    params = [tensor("a", a, types[0]), tensor("b", b, types[1]), tensor("c", (m, n), types[2])]
    before = [Copy(region(p), r) for p, r in zip(params, (region(x), whole, region(z)))]
    made = kernel(params, [*before, gemm, Copy(region(z), region(params[2]))], {}, 128 * groups)
    (launch,) = made.launches
    return replace(made, launches=(replace(launch, body=(Alloc(x), Alloc(y), Alloc(z), *launch.body)),))


@law("S1", k=products_across_k(), seed=st.integers(0, 99), examples=25)
def transposed_operands_change_no_product(k: Kernel, seed: int) -> None:
    """And the instruction makes it then."""
    made = transpose_operands.bind(SM90)(k)
    verify(made)
    (gemm,) = (s for s in statements(made) if isinstance(s, Gemm))
    assert plan_gemm(gemm, made.launches[0].num_threads, SM90).kind == "wgmma"
    rng = np.random.default_rng(seed)
    given = {p.name: integers(rng, p) for p in k.params if isinstance(p, Buffer)}
    results = []
    for one in (k, made):
        results.append({n: a.copy() for n, a in given.items()})
        tile_interp.run(one, results[-1])
    np.testing.assert_array_equal(results[1]["c"].view(np.uint8), results[0]["c"].view(np.uint8))


@law(
    "L28",
    span=st.sampled_from([*SPANS, UNIT]),
    bits=st.sampled_from([8, 16, 32]),
    k_major=st.booleans(),
    rows=st.integers(1, 6),
    panels=st.integers(1, 4),
)
def descriptors_name_the_bytes_of_the_layout(span: int, bits: int, k_major: bool, rows: int, panels: int) -> None:
    """Each 16 bytes that an instruction may read, through the 64 bits as the hardware gets them."""
    unit, width = 128 // bits, span * 8 // bits
    layout = panelled((rows * 8, panels * width), bits, span)
    matrix = describe(layout, bits, k_major)
    assert matrix is not None
    decoded = decode(matrix.at(0).encode())
    # A K-major piece with a swizzle is 32 bytes deep, so it never leaves its panel.
    units = np.arange(layout.shape[1] // unit if not (k_major and span > UNIT) else span // UNIT)
    row, first = np.meshgrid(np.arange(rows * 8), units, indexing="ij")
    np.testing.assert_array_equal(
        decoded.unit_address(row, first, k_major), layout.offset([row, first * unit]) * bits // 8
    )


def wavefronts_by_hand(rows: Iterable[int]) -> int:
    """Of rows of 16 bytes that are read together: the most different words in one of 32 banks."""
    words = {(row + byte) // 4 for row in rows for byte in range(16)}
    return max(Counter(word % 32 for word in words).values())


@law(
    "L22",
    span=st.sampled_from([*SPANS, UNIT]),
    bits=st.sampled_from([8, 16, 32]),
    k_major=st.booleans(),
    rows=st.integers(1, 4),
    panels=st.integers(1, 3),
    corner=st.integers(0, 99),
)
def operands_are_read_without_conflicts(
    span: int, bits: int, k_major: bool, rows: int, panels: int, corner: int
) -> None:
    """The wavefronts of a report are those of the 64 bits and those of the layout, and as few as there can be."""
    unit, width = 128 // bits, span * 8 // bits
    layout = panelled((rows * 8, panels * width), bits, span)
    matrix = describe(layout, bits, k_major)
    assert matrix is not None
    units = panels * width // unit if not (k_major and span > UNIT) else span // UNIT
    down, across = 8 * (corner % rows), corner // rows % units  # of a part that begins inside
    lines, units = rows * 8 - down, units - across
    start = start_of(layout, (down, across * unit)) * bits // 8
    decoded = decode(matrix.at(start).encode())
    by_bits = by_layout = 0
    for row, u in product(range(0, lines, 8), range(units)):
        by_bits += wavefronts_by_hand(int(decoded.unit_address(row + r, u, k_major)) for r in range(8))
        places = [(down + row + r, (across + u) * unit) for r in range(8)]
        by_layout += wavefronts_by_hand(int(layout.offset(list(at))) * bits // 8 for at in places)
    assert matrix_wavefronts(matrix.at(start), lines, units, k_major) == (by_bits, lines // 8 * units)
    assert by_layout == lines // 8 * units


# --------------------------------------------------------------------------------------------------------- copy engine


@st.composite
def moved_tiles(draw: st.DrawFn) -> tuple[Region, Layout]:
    """A part of a shared tile, and a layout that the copy engine may have."""
    dtype = draw(st.sampled_from([INT8, FLOAT16, FLOAT32]))
    unit = 128 // dtype.bits
    lead = draw(st.sampled_from([(), (1,), (3,)]))
    shape = (*lead, draw(st.integers(1, 5)) * 8, draw(st.sampled_from([1, 2, 3, 4, 8, 12, 16, 17])) * unit)
    layout = draw(st.sampled_from(list(copyable(shape, dtype.bits))))
    extents, corner = shape, (0,) * len(shape)
    if draw(st.booleans()):
        extents = tuple(draw(st.sampled_from([d for d in range(1, n + 1) if n % d == 0])) for n in shape)
        steps = [draw(st.sampled_from([e, 8])) for e in extents[:-1]] + [unit]
        corner = tuple(draw(st.integers(0, (n - e) // s)) * s for n, e, s in zip(shape, extents, steps))
    return Region(Buffer("x", shape, dtype, Space.SHARED), tuple(map(Const, corner)), extents), layout


def written_by_hardware(boxes: Boxes, part: Region, layout: Layout) -> dict[tuple[int, ...], int]:
    """Where the copy engine puts each element, in elements: dense boxes, bits 7 and up XORed into bits 4 and up."""
    size = part.buffer.dtype.bits // 8
    plain = Layout(layout.shape, layout.dims, layout.size)
    first = [int(o.value) for o in part.offsets if isinstance(o, Const)]
    out: dict[tuple[int, ...], int] = {}
    for number in product(*(range(n) for n in boxes.counts)):
        corner = [o + i * b for o, i, b in zip(first, number, boxes.box)]
        start = int(plain.offset(corner)) * size
        assert start % 128 == 0, "a box must begin at a multiple of 128 bytes"
        for i, inside in enumerate(product(*(range(b) for b in boxes.box))):
            address = start + i * size
            if boxes.swizzle:
                address ^= (address // 128) % (boxes.swizzle // 16) * 16
            at = tuple(c + x for c, x in zip(corner, inside))
            assert at not in out, "an element is in two boxes"
            out[at] = address // size
    return out


@law("S18", case=moved_tiles())
def boxes_put_each_element_where_the_layout_has_it(case: tuple[Region, Layout]) -> None:
    part, layout = case
    boxes = boxes_of(part, layout)
    if isinstance(boxes, str):
        assert part.extents != layout.shape or layout == row_major(layout.shape), "whole tiles in panels have boxes"
        return
    tensor_map("x", part.buffer.dtype.name, layout.shape, boxes.box, swizzle=boxes.swizzle)  # the driver's rules
    found = written_by_hardware(boxes, part, layout)
    assert len(found) == prod(part.extents), "an element is in no box"
    np.testing.assert_array_equal(layout.offset(list(np.array(list(found)).T)), list(found.values()))


@law(
    "S1",
    "S18",
    case=moved_tiles(),
    corner=st.tuples(*(st.sampled_from([-16, -9, 0, 1, 16, 40, 144]) for _ in range(3))),
    whole_rows=st.booleans(),
    op=st.sampled_from(["", "", "add", "max", "min"]),
    examples=40,
)
def tiles_go_through_shared_memory_by_the_copy_engine(
    case: tuple[Region, Layout], corner: tuple[int, int, int], whole_rows: bool, op: str
) -> None:
    """Loaded, then stored or combined with what is there, also where boxes leave the tensor: that reads as zero and is
    not written.

    Whole rows lie one after the other in the tensor too.
    """
    part, layout = case
    if isinstance(boxes_of(part, layout), str):
        return
    dtype, rank = part.buffer.dtype, len(layout.shape)
    whole_rows = whole_rows and part.extents[-1] == layout.shape[-1]
    columns, first = (layout.shape[-1], 0) if whole_rows else (160, corner[2])
    a, b = (tensor(name, (4, 48, columns)[-rank:], dtype) for name in "ab")
    at_corner = tuple(map(Const, (*corner[:2], first)[-rank:]))
    there = [Region(t, at_corner, part.extents) for t in (a, b)]
    full = Buffer("full", (1,), UINT64, Space.BARRIER)
    at = Address(full, (Const(0),))
    body = [
        Alloc(full, Const(1, UINT64)),
        Arrive(at, prod(part.extents) * dtype.bits // 8, "one"),
        Copy(there[0], part, bulk=True, barrier=at),
        Await(at, Const(0)),
        BARRIER,
        Atomic(op, there[1], part, bulk=True) if op and dtype.bits > 8 else Copy(part, there[1], bulk=True),
        AsyncCommit("store"),
        AsyncWait(0, "store"),
    ]
    agree(kernel([a, b], body, {part.buffer: layout}, 32), target="sm_90a")


LAWS = laws_of(globals())
