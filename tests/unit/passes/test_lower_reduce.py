"""Reductions and scans: tile stage == thread stage, bit for bit on exact inputs (S1, S15, S16)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tiledsl.errors import TileError
from tiledsl.ir.dtypes import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, INT8, INT32, INT64, UINT8, DType
from tiledsl.ir.layout import Digit, Fragment, fully_replicated, partition, row_major
from tiledsl.ir.layout_ops import reduce_dim, replicate
from tiledsl.ir.nodes import Alloc, Call, Const, For, If, Kernel, Space, Stmt, Store
from tiledsl.ir.printer import text
from tiledsl.ir.swizzle import swizzled
from tiledsl.ir.tile import REDUCTIONS, Copy, Reduce, Scan
from tiledsl.ir.walk import walk
from tiledsl.testing.tile_stage import agree, kernel, lowered, region, shared, tensor, tile

SHAPE = (32, 48)
# What a reduction meets: registers alone, lanes, warps, threads in numbers that are no power of two, replicas.
LAYOUTS = {
    "rows_in_registers": Fragment(SHAPE, (Digit(32, 48),), (Digit(48, 1),)),
    "lanes": Fragment(SHAPE, (Digit(2, 48 * 16), Digit(4, 48), Digit(4, 12)), (Digit(4, 48 * 4), Digit(12, 1))),
    "accumulator": Fragment(
        SHAPE,
        (Digit(2, 24), Digit(2, 48 * 16), Digit(8, 48), Digit(4, 2)),
        (Digit(3, 8), Digit(2, 48 * 8), Digit(2, 1)),
    ),
    "three_lanes": Fragment(SHAPE, (Digit(32, 48), Digit(3, 16)), (Digit(16, 1),)),
    "six": Fragment(SHAPE, (Digit(16, 96), Digit(6, 8)), (Digit(2, 48), Digit(8, 1))),
    "over_the_edge": Fragment(SHAPE, (Digit(4, 48 * 8), Digit(24, 2)), (Digit(8, 48), Digit(2, 1))),
    "warps": Fragment(SHAPE, (Digit(3, 16), Digit(32, 48)), (Digit(16, 1),)),
    "replicated": replicate(Fragment(SHAPE, (Digit(8, 48 * 4), Digit(4, 12)), (Digit(4, 48), Digit(12, 1))), 2),
    "replicated_inside": replicate(
        Fragment(SHAPE, (Digit(8, 48 * 4), Digit(4, 12)), (Digit(4, 48), Digit(12, 1))), 2, inner=True
    ),
    "everywhere": fully_replicated(SHAPE, 32),
}


def reduction(
    f: Fragment, dim: int, op: str = "sum", dtypes: tuple[DType, DType] = (FLOAT32, FLOAT32), threads: int = 128,
    clear: bool = True, target: Fragment | None = None,
) -> Kernel:  # fmt: skip
    """a -> fragment -> reduced fragment -> b."""
    result = target or reduce_dim(f, dim)
    assert result is not None
    shape = f.shape[:dim] + f.shape[dim + 1 :] or (1,)
    a, b = tensor("a", f.shape, dtypes[0]), tensor("b", shape, dtypes[1])
    x, y = tile("x", f.shape, dtypes[0]), tile("y", shape, dtypes[1])
    before: list[Stmt] = [Copy(region(a), region(x))] + ([] if clear else [Copy(region(b), region(y))])
    reduce = Reduce(region(x), region(y), op, dim, clear)
    return kernel([a, b], [*before, reduce, Copy(region(y), region(b))], {x: f, y: result}, threads)


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str, dim: int) -> None:
    agree(reduction(LAYOUTS[name], dim))


@pytest.mark.parametrize("clear", [True, False])
@pytest.mark.parametrize("op", REDUCTIONS)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16, INT32, INT8, UINT8], ids=str)
def test_operations(op: str, dtype: DType, clear: bool) -> None:
    if dtype.is_float and op.startswith("bit"):
        dtype = INT64
    agree(reduction(LAYOUTS["accumulator"], 1, op, (dtype, dtype), clear=clear))


@pytest.mark.parametrize(
    "dtypes", [(FLOAT16, FLOAT32), (BFLOAT16, FLOAT32), (INT8, INT32), (FLOAT64, FLOAT64)], ids=str
)
def test_converting(dtypes: tuple[DType, DType]) -> None:
    agree(reduction(LAYOUTS["lanes"], 1, "abssum", dtypes))


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_three_dimensions(dim: int) -> None:
    f = Fragment(
        (4, 8, 16), (Digit(2, 256), Digit(4, 32), Digit(4, 2)), (Digit(2, 128), Digit(2, 16), Digit(2, 8), Digit(2, 1))
    )
    agree(reduction(f, dim, threads=32))


def test_ragged() -> None:
    """Positions past the end contribute nothing, whatever the registers hold there."""
    f = Fragment((20, 8), (Digit(8, 8),), (Digit(3, 64), Digit(8, 1)))
    assert f.is_ragged
    for dim in (0, 1):
        result = partition((20,), 8, 1) if dim == 1 else None
        agree(reduction(f, dim, "max", threads=32, target=result))
    agree(reduction(partition((100,), 32, 1), 0, "min", threads=64, target=Fragment((1,), (Digit(32, 0),), ())))


def test_to_one_element() -> None:
    a, b = tensor("a", (96,), FLOAT32), tensor("b", (1,), FLOAT32)
    x, y = tile("x", (96,), FLOAT32), tile("y", (1,), FLOAT32)
    body = [Copy(region(a), region(x)), Reduce(region(x), region(y), "sum", 0), Copy(region(y), region(b))]
    agree(kernel([a, b], body, {x: partition((96,), 96, 1), y: Fragment((1,), (Digit(96, 0),), ())}, 96))


def test_kept_dimension() -> None:
    f = LAYOUTS["lanes"]
    result = reduce_dim(f, 1)
    assert result is not None
    a, b = tensor("a", SHAPE, FLOAT32), tensor("b", (32, 1), FLOAT32)
    x, y = tile("x", SHAPE, FLOAT32), tile("y", (32, 1), FLOAT32)
    body = [Copy(region(a), region(x)), Reduce(region(x), region(y), "max", 1), Copy(region(y), region(b))]
    agree(kernel([a, b], body, {x: f, y: replace(result, shape=(32, 1))}, 128))


def test_fewer_owners_than_derived() -> None:
    """A destination held by some of the threads that know the result."""
    f = Fragment((32, 4), (Digit(32, 4), Digit(4, 1)), ())
    agree(reduction(f, 1, target=Fragment((32,), (Digit(32, 1), Digit(4, 0)), ())))
    agree(reduction(fully_replicated((32, 4), 32), 1, target=partition((32,), 32, 1), threads=32))


def test_two_in_a_row_share_nothing() -> None:
    """Each has its own workspace; what barriers separate is for insert-barriers."""
    f = LAYOUTS["warps"]
    result = reduce_dim(f, 1)
    assert result is not None
    a, b, c = tensor("a", SHAPE, FLOAT32), tensor("b", (32,), FLOAT32), tensor("c", (32,), FLOAT32)
    x, y, z = tile("x", SHAPE, FLOAT32), tile("y", (32,), FLOAT32), tile("z", (32,), FLOAT32)
    body = [
        Copy(region(a), region(x)),
        Reduce(region(x), region(y), "sum", 1),
        Reduce(region(x), region(z), "max", 1),
        Copy(region(y), region(b)),
        Copy(region(z), region(c)),
    ]
    k = kernel([a, b, c], body, {x: f, y: result, z: result}, 96)
    agree(k)
    spaces = [s.buffer for s in lowered(k).launches[0].body if isinstance(s, Alloc) and s.buffer.space is Space.SHARED]
    assert len(spaces) == 2


def test_one_lane_of_equals_writes_the_workspace() -> None:
    """After the butterflies several lanes hold one value; one of them stores it."""
    f = Fragment(SHAPE, (Digit(3, 16), Digit(8, 48 * 4), Digit(4, 4)), (Digit(4, 48), Digit(4, 1)))
    k = reduction(f, 1)
    agree(k)
    writes = [
        s
        for s in lowered(k).launches[0].body
        for n in walk(s)
        if isinstance(n, Store) and n.buffer.space is Space.SHARED
    ]
    assert len(writes) == 1 and isinstance(writes[0], If)
    assert "== 0" in text(writes[0])


@pytest.mark.parametrize("name", LAYOUTS)
def test_shuffles_are_executed_by_all(name: str) -> None:
    """S15: never inside a branch that part of a warp takes, the farthest lane first."""
    k = lowered(reduction(LAYOUTS[name], 1))
    hops: list[int] = []

    def visit(block: tuple[Stmt, ...], guarded: bool) -> None:
        for s in block:
            if isinstance(s, If):
                visit(s.then, True)
            elif isinstance(s, For):
                visit(s.body, guarded)
            else:
                for n in walk(s):
                    if isinstance(n, Call) and n.fn == "shfl_xor":
                        assert not guarded
                        assert isinstance(n.args[1], Const)
                        hops.append(int(n.args[1].value))

    visit(k.launches[0].body, False)
    assert hops == sorted(hops, reverse=True)


@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("where", ["shared_fragment", "shared_shared", "fragment_shared"])
@pytest.mark.parametrize("clear", [True, False])
def test_shared_memory(where: str, dim: int, clear: bool) -> None:
    f = LAYOUTS["accumulator"]
    result = reduce_dim(f, dim)
    assert result is not None
    source, target = where.split("_")
    shape = SHAPE[:dim] + SHAPE[dim + 1 :]
    a, b = tensor("a", SHAPE, FLOAT32), tensor("b", shape, FLOAT32)
    x = tile("x", SHAPE, FLOAT32) if source == "fragment" else shared("x", SHAPE, FLOAT32)
    y = tile("y", shape, FLOAT32) if target == "fragment" else shared("y", shape, FLOAT32)
    before = [Copy(region(a), region(x)), Copy(region(b), region(y))]
    layouts = {
        x: f if source == "fragment" else swizzled(SHAPE, 32, 64),
        y: result if target == "fragment" else row_major(shape),
    }
    body = [*before, Reduce(region(x), region(y), "sum", dim, clear), Copy(region(y), region(b))]
    agree(kernel([a, b], body, layouts, 128))


def test_part_of_a_shared_tile() -> None:
    a, b, x = tensor("a", (16, 64), FLOAT32), tensor("b", (8,), FLOAT32), shared("x", (16, 64), FLOAT32)
    y = shared("y", (16,), FLOAT32)
    body = [
        Copy(region(a), region(x)),
        Reduce(region(x, 4, 16, extents=(8, 32)), region(y, 4, extents=(8,)), "max", 1),
        Copy(region(y, 4, extents=(8,)), region(b)),
    ]
    agree(kernel([a, b], body, {x: row_major((16, 64)), y: row_major((16,))}, 32))


def test_part_of_a_fragment_is_refused() -> None:
    a, x, y = tensor("a", (16, 64), FLOAT32), tile("x", (16, 64), FLOAT32), tile("y", (8,), FLOAT32)
    f = Fragment((16, 64), (Digit(16, 64),), (Digit(64, 1),))
    body = [Copy(region(a), region(x)), Reduce(region(x, 0, 0, extents=(8, 64)), region(y), "max", 1)]
    with pytest.raises(TileError) as raised:
        lowered(kernel([a], body, {x: f, y: Fragment((8,), (Digit(2, 0), Digit(8, 1)), ())}, 16))
    assert raised.value.code == "TD0341"


def test_rows_across_threads_are_refused() -> None:
    """A thread's runs of 8 over rows of 20 have no regular groups."""
    f = partition((16, 20), 32, 8)
    a, x, y = tensor("a", (16, 20), FLOAT32), tile("x", (16, 20), FLOAT32), tile("y", (16,), FLOAT32)
    body = [Copy(region(a), region(x)), Reduce(region(x), region(y), "max", 1)]
    with pytest.raises(TileError) as raised:
        lowered(kernel([a], body, {x: f, y: fully_replicated((16,), 32)}, 32))
    assert raised.value.code == "TD0342"


# ---------------------------------------------------------------------------------------------------------------- scan


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("dim", [0, 1])
@pytest.mark.parametrize("op", ["sum", "max"])
@pytest.mark.parametrize("shape", [(8, 32), (7, 40), (33, 5), (3, 100)], ids=str)
def test_scan_in_shared(shape: tuple[int, int], op: str, dim: int, reverse: bool) -> None:
    """S16: any dimension, either direction, lengths that are no power of two."""
    a, b = tensor("a", shape, FLOAT32), tensor("b", shape, FLOAT32)
    x, y = shared("x", shape, FLOAT32), shared("y", shape, FLOAT32)
    body = [Copy(region(a), region(x)), Scan(region(x), region(y), op, dim, reverse), Copy(region(y), region(b))]
    out = agree(kernel([a, b], body, {x: row_major(shape), y: row_major(shape)}, 64))
    turned = np.flip(out["a"], dim) if reverse else out["a"]
    expected = (np.cumsum if op == "sum" else np.maximum.accumulate)(turned, axis=dim)
    np.testing.assert_array_equal(out["b"], np.flip(expected, dim) if reverse else expected)


def test_lanes_scan_neighbouring_columns() -> None:
    """A warp that took a column would meet one bank with all its lanes; one line a lane needs no exchange."""
    for dim, columns, exchanged in ((0, 64, False), (1, 64, True), (0, 3, True)):
        x = shared("x", (64, columns), FLOAT32)
        k = lowered(kernel([], [Scan(region(x), region(x), "sum", dim)], {x: row_major((64, columns))}, 128))
        assert ("shfl_up" in text(k)) == exchanged


def test_scan_in_place_and_by_single_threads() -> None:
    for threads in (64, 48):
        a, b, x = tensor("a", (10, 40), INT32), tensor("b", (10, 40), INT32), shared("x", (10, 40), INT32)
        body = [Copy(region(a), region(x)), Scan(region(x), region(x), "sum", 1), Copy(region(x), region(b))]
        agree(kernel([a, b], body, {x: row_major((10, 40))}, threads))


@pytest.mark.parametrize("dtypes", [(FLOAT32, FLOAT32), (FLOAT16, FLOAT32)], ids=str)
@pytest.mark.parametrize("name", LAYOUTS)
def test_scan_of_fragments(name: str, dtypes: tuple[DType, DType]) -> None:
    f = LAYOUTS[name]
    a, b = tensor("a", SHAPE, dtypes[0]), tensor("b", SHAPE, dtypes[1])
    x, y = tile("x", SHAPE, dtypes[0]), tile("y", SHAPE, dtypes[1])
    body = [Copy(region(a), region(x)), Scan(region(x), region(y), "sum", 1), Copy(region(y), region(b))]
    agree(kernel([a, b], body, {x: f, y: f}, 128))
