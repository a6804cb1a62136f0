"""How tiles go to other blocks: runs of bytes, tried on every element, and what infer-layouts gives such tiles."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.analysis.block_copies import Runs, runs_of
from tiledsl.analysis.tensor_boxes import copyable
from tiledsl.errors import TileError
from tiledsl.ir.concurrent import BulkMove
from tiledsl.ir.dtypes import FLOAT16, FLOAT32, INT8
from tiledsl.ir.layout import Layout, row_major
from tiledsl.ir.nodes import Buffer, Const, Kernel, Region, Space, Var
from tiledsl.ir.parser import parse
from tiledsl.ir.walk import statements
from tiledsl.passes.base import run_pipeline
from tiledsl.passes.infer_layouts import layouts_of
from tiledsl.passes.pipeline import pipeline
from tiledsl.target import target_named


@st.composite
def copies(draw: Any) -> tuple[Region, Region, Layout, Layout]:
    """Two tiles, each with a layout that it may have, and regions of the same extents in them, anywhere."""
    dtype = draw(st.sampled_from([INT8, FLOAT16, FLOAT32]))
    extents = draw(st.sampled_from([(8, 16), (16, 32), (8, 64), (16, 64), (32, 8)]))
    sides = []
    for name in "ab":
        whole = tuple(n * draw(st.sampled_from([1, 1, 2])) for n in extents)
        lead = draw(st.sampled_from([(), (3,)]))
        shape = (*lead, *whole)
        choices = [*copyable(shape, dtype.bits), row_major(shape, 128 // dtype.bits), row_major(shape, 4)]
        layout = draw(st.sampled_from(choices))
        offsets = [
            draw(st.sampled_from(range(0, n - m + 1, draw(st.sampled_from([1, 8]))))) for n, m in zip(whole, extents)
        ]
        first = [draw(st.integers(0, n - 1)) for n in lead]
        buffer = Buffer(name, shape, dtype, Space.SHARED)
        region = Region(buffer, tuple(map(Const, (*first, *offsets))), (*(1 for _ in lead), *extents))
        sides.append((region, layout))
    (a, x), (b, y) = sides
    return a, b, x, y


def places(region: Region, layout: Layout) -> Any:
    """The offset of each element of the region, dimensions of one element dropped."""
    first = [int(o.value) for o in region.offsets if isinstance(o, Const)]
    at = np.meshgrid(*(f + np.arange(n) for f, n in zip(first, region.extents)), indexing="ij")
    offset = np.broadcast_to(layout.offset(at), region.extents)
    return offset.reshape([n for n in region.extents if n != 1])


def starts(region: Region, layout: Layout, runs: Runs) -> Any:
    """Where each run begins, without the swizzle, which is none or begins anew there."""
    plain = Layout(layout.shape, layout.dims, layout.size)
    corners = [range(0, count * n, n) for count, n in zip(runs.counts, runs.box)]
    found = places(region, plain)
    return [int(found[c]) for c in product(*corners)]


@given(copies())
def test_runs_move_every_element_to_its_place(copy: tuple[Region, Region, Layout, Layout]) -> None:
    source, target, a, b = copy
    runs = runs_of(source, target, a, b)
    if isinstance(runs, str):
        return
    bits = source.buffer.dtype.bits
    assert runs.lanes * bits % 128 == 0 and runs.lanes * np.prod(runs.counts) == np.prod(source.extents)
    memory = np.arange(a.size)
    found = np.full(b.size, -1)
    for start, to in zip(starts(source, a, runs), starts(target, b, runs)):
        assert start * bits % 128 == to * bits % 128 == 0
        found[to : to + runs.lanes] = memory[start : start + runs.lanes]
    np.testing.assert_array_equal(found[places(target, b)], places(source, a))
    assert (found >= 0).sum() == np.prod(source.extents)


TILE = Buffer("S", (32, 64), FLOAT16, Space.SHARED)
PANELS = list(copyable((32, 64), 16))
WHOLE = Region(TILE, (Const(0), Const(0)), (32, 64))


def part(*box: tuple[int, int], step: int = 0) -> Region:
    """A box as (offset, extent) of each dimension; with a `step` it begins at a multiple of that, as far as known."""
    return Region(TILE, tuple(Var("k") * step if step else Const(o) for o, _ in box), tuple(n for _, n in box))


@pytest.mark.parametrize(
    ("source", "target", "a", "b", "runs"),
    [
        (WHOLE, WHOLE, PANELS[0], PANELS[0], (2048, (1, 1))),
        (WHOLE, WHOLE, PANELS[1], PANELS[1], (2048, (1, 1))),
        (WHOLE, WHOLE, row_major((32, 64), 4), row_major((32, 64), 4), "multiples of 16"),
        (WHOLE, WHOLE, row_major((32, 64), 8), PANELS[0], (64, (32, 1))),
        (WHOLE, WHOLE, PANELS[0], PANELS[1], "different layouts"),
        (part((8, 16), (0, 64)), part((0, 16), (0, 64)), PANELS[0], PANELS[0], (1024, (1, 1))),
        (part((0, 16), (0, 32)), part((0, 16), (32, 32)), PANELS[0], PANELS[0], (32, (16, 1))),
        (part((8, 16), (0, 64)), part((0, 16), (0, 64)), PANELS[1], PANELS[1], (1024, (1, 1))),
        (part((4, 16), (0, 64)), part((0, 16), (0, 64)), PANELS[1], PANELS[1], "multiples of 1024"),
        (part((0, 16), (0, 32)), part((0, 16), (32, 32)), PANELS[1], PANELS[1], "multiples of 1024"),
        (part((0, 4), (0, 64)), part((0, 4), (0, 64)), PANELS[1], PANELS[1], "have 512 bytes"),
        (part((0, 16), (0, 4)), part((0, 16), (4, 4)), PANELS[0], PANELS[0], "have 8 bytes"),
        (part((0, 16), (4, 8)), part((0, 16), (0, 8)), PANELS[0], PANELS[0], "begin at multiples of 8"),
        (part((0, 1), (0, 64), step=1), part((0, 1), (0, 64)), PANELS[0], PANELS[0], "begin at multiples of"),
        (part((0, 1), (0, 64), step=8), part((0, 1), (0, 64)), PANELS[0], PANELS[0], (64, (1,))),
    ],
)
def test_runs(source: Region, target: Region, a: Layout, b: Layout, runs: Any) -> None:
    found = runs_of(source, target, a, b)
    if isinstance(runs, str):
        assert isinstance(found, str) and runs in found
    else:
        assert isinstance(found, Runs) and (found.lanes, found.counts) == runs


# ------------------------------------------------------------------------------------------------------- whole kernels

FRAME = """
kernel k(A: global float16[64, 64], B: global float16[64, 64]) {{
  launch main(b in 2) threads(t in 128) cluster(2) {{
    {head}
    alloc bar: barrier uint64[1] = 1
    alloc S: shared float16[64, 64]
    alloc R: shared float16[64, 64]
    alloc acc: fragment float32[64, 64]
    copy A -> S
    arrive(bytes=8192, by=one) bar[0]
    bulk copy {copy} at 1 - b on bar[0]
    await bar[0], 0
    {use}
  }}
}}
"""
PRODUCT = "fill acc, 0.0  gemm R, R, acc  copy acc -> B"


def lowered(copy: str = "S -> R", use: str = PRODUCT, head: str = "") -> list[Kernel]:
    """After infer-layouts, and after lower-tiles."""
    passes = pipeline(target_named("sm_90a"))
    names = [p.name for p in passes]
    kernel, found = parse(FRAME.format(copy=copy, use=use, head=head)), []
    for p in passes[: names.index("lower-tiles") + 1]:
        kernel = run_pipeline(kernel, [p])
        found += [kernel] if p.name in ("infer-layouts", "lower-tiles") else []
    return found


def test_a_tile_has_the_layout_that_a_product_wants_on_the_other_side() -> None:
    inferred, made = lowered()
    layouts = {b.name: x for b, x in layouts_of(inferred.launches[0]).items()}
    assert layouts["S"] == layouts["R"] and getattr(layouts["R"], "swizzle", None) is not None
    (move,) = (s for s in statements(made.launches[0]) if isinstance(s, BulkMove) and s.rank is not None)
    assert move.lanes == 64 * 64


def test_parts_of_swizzled_tiles_that_begin_with_the_pattern_go_in_runs() -> None:
    _, made = lowered("S[0 : 32, 0 : 64] -> R[32 : 32, 0 : 64]")
    (move,) = (s for s in statements(made.launches[0]) if isinstance(s, BulkMove) and s.rank is not None)
    assert move.lanes == 32 * 64


@pytest.mark.parametrize(
    ("copy", "use", "head"),
    [
        ("S[0 : 4, 0 : 64] -> R[0 : 4, 0 : 64]", PRODUCT, ""),
        ("S[0 : 64, 0 : 4] -> R[0 : 64, 0 : 4]", "copy R -> B", ""),
        ("S -> R", PRODUCT, "layout S = shared[64, 64] dims([64:64], [64:1]) size(4096)"),
    ],
)
def test_what_has_no_runs_is_refused(copy: str, use: str, head: str) -> None:
    with pytest.raises(TileError) as caught:
        lowered(copy, use, head)
    assert caught.value.code == "TD0262"
