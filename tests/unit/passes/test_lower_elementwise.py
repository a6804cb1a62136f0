"""Parallel loops, copies, fills, atomics and transposes: tile stage == thread stage, bit for bit (S1, S3, I6)."""

from __future__ import annotations

import numpy as np
import pytest

from tiledsl.analysis.elementwise import as_parallel
from tiledsl.ir.dtypes import BFLOAT16, FLOAT16, FLOAT32, INT8, INT32
from tiledsl.ir.layout import Digit, Fragment, fully_replicated, partition, row_major
from tiledsl.ir.nodes import (
    AtomicUpdate,
    Binary,
    Cast,
    Const,
    For,
    If,
    Let,
    Load,
    Select,
    Space,
    Store,
    Unrolled,
    Var,
    Vectorized,
    View,
    lt,
)
from tiledsl.ir.nodes import Buffer as NodeBuffer
from tiledsl.ir.swizzle import padded, swizzled
from tiledsl.ir.tile import Atomic, Copy, Fill, Parallel, Transpose
from tiledsl.ir.walk import walk
from tiledsl.testing.tile_stage import agree, kernel, lowered, region, shared, tensor, tile

LAYOUTS = {
    "vectors": partition((16, 24), 32, 4),
    "ragged": partition((16, 24), 128, 8),
    "uneven": partition((16, 24), 96, 2),
    "across_rows": partition((16, 24), 36, 1),
    "replicated": fully_replicated((16, 24), 64),
    "half_replicated": Fragment((16, 24), (Digit(2, 0), Digit(32, 4)), (Digit(3, 128), Digit(4, 1))),
    "columns": Fragment((16, 24), (Digit(24, 1),), (Digit(16, 24),)),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_fragment_round_trip(name: str) -> None:
    f = LAYOUTS[name]
    a, b, c = tensor("a", (16, 24), FLOAT32), tensor("b", (16, 24), FLOAT32), tile("c", (16, 24), FLOAT32)
    agree(kernel([a, b], [Copy(region(a), region(c)), Copy(region(c), region(b))], {c: f}, max(128, f.num_threads)))


@pytest.mark.parametrize("name", LAYOUTS)
def test_elementwise_arithmetic(name: str) -> None:
    """Points past the end of a ragged tile and threads without points do nothing; one replica stores (I6, F10)."""
    f = LAYOUTS[name]
    a, b, c = tensor("a", (16, 24), FLOAT32), tensor("b", (16, 24), FLOAT32), tile("c", (16, 24), FLOAT32)
    i, j = Var("i"), Var("j")
    both = (
        Store(c, (i, j), Binary("+", Load(c, (i, j)), Const(1.0, FLOAT32))),
        Store(b, (i, j), Load(c, (i, j))),
    )
    agree(
        kernel([a, b], [Copy(region(a), region(c)), Parallel((i, j), (16, 24), both, layout=f)], {c: f}, f.num_threads)
    )


@pytest.mark.parametrize("name", LAYOUTS)
def test_atomics_count_each_point_once(name: str) -> None:
    """S13: replicas do not add again."""
    f = LAYOUTS[name]
    a, b, c = tensor("a", (16, 24), FLOAT32), tensor("b", (16, 24), FLOAT32), tile("c", (16, 24), FLOAT32)
    agree(kernel([a, b], [Copy(region(a), region(c)), Atomic("add", region(b), region(c))], {c: f}, f.num_threads))


def test_atomic_result_in_replicated_loop() -> None:
    """The old value is known to one replica only: fine where all of the loop runs there."""
    f = fully_replicated((8,), 32)
    b, out, c = tensor("b", (8,), INT32), tensor("out", (8,), INT32), tile("c", (8,), INT32)
    i, old = Var("i"), Var("old", INT32)
    body = (AtomicUpdate("add", b, (i,), Const(2, INT32), result=old), Store(out, (i,), old))
    agree(kernel([b, out], [Parallel((i,), (8,), body, layout=f)], {c: f}, 32))


def test_row_broadcast() -> None:
    """A vector held by the owners of its rows is read at the row's index."""
    f = Fragment((16, 32), (Digit(8, 64), Digit(4, 4)), (Digit(2, 32), Digit(2, 16), Digit(4, 1)))
    rows = Fragment((16,), (Digit(8, 2), Digit(4, 0)), (Digit(2, 1),))
    a, r, b = tensor("a", (16, 32), FLOAT32), tensor("r", (16,), FLOAT32), tensor("b", (16, 32), FLOAT32)
    c, v = tile("c", (16, 32), FLOAT32), tile("v", (16,), FLOAT32)
    i, j = Var("i"), Var("j")
    scale = Store(c, (i, j), Binary("*", Load(c, (i, j)), Load(v, (i,))))
    k = kernel(
        [a, r, b],
        [
            Copy(region(a), region(c)),
            Copy(region(r), region(v)),
            Parallel((i, j), (16, 32), (scale,), layout=f),
            Copy(region(c), region(b)),
        ],
        {c: f, v: rows},
        32,
    )
    agree(k)
    assert_constant_registers(lowered(k))


def assert_constant_registers(k: object) -> None:
    """I22: after unrolling, registers are numbered by constants: no index mentions the thread."""
    launch = k.launches[0]  # type: ignore[attr-defined]
    loops = {n.var for s in launch.body for n in walk(s) if isinstance(n, For)}
    for s in launch.body:
        for n in walk(s):
            if isinstance(n, Load | Store) and n.buffer.space is Space.LOCAL:
                assert all(v in loops for i in n.indices for v in walk(i) if isinstance(v, Var))


SHARED = {
    "row_major": row_major((32, 64)),
    "padded": padded((32, 64), 16),
    "swizzle_128": swizzled((32, 64), 16),
    "swizzle_64": swizzled((32, 64), 16, 64),
    "swizzle_32": swizzled((32, 64), 16, 32),
}


@pytest.mark.parametrize("name", SHARED)
@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16, FLOAT32, INT8], ids=str)
def test_shared_round_trip(name: str, dtype: object) -> None:
    a, b = tensor("a", (32, 64), dtype), tensor("b", (32, 64), dtype)  # type: ignore[arg-type]
    s = shared("s", (32, 64), dtype)  # type: ignore[arg-type]
    agree(kernel([a, b], [Copy(region(a), region(s)), Copy(region(s), region(b))], {s: SHARED[name]}, 64))


@pytest.mark.parametrize("name", SHARED)
def test_shared_offset_of_every_element(name: str) -> None:
    """L26: the offsets that are emitted are those of the layout, whatever the order of the loop's digits."""
    a, s, b = tensor("a", (32, 64), FLOAT16), shared("s", (32, 64), FLOAT16), tensor("b", (64, 32), FLOAT16)
    for layout in (
        partition((64, 32), 32, 1),
        partition((64, 32), 64, 8),
        Fragment((64, 32), (Digit(64, 32),), (Digit(32, 1),)),
    ):
        i, j = Var("i"), Var("j")
        turn = Parallel((i, j), (64, 32), (Store(b, (i, j), Load(s, (j, i))),), layout=layout)
        agree(kernel([a, b], [Copy(region(a), region(s)), turn], {s: SHARED[name]}, 64))


def test_vectors_are_contiguous_in_swizzled_memory() -> None:
    """What vectorise needs: offsets are a multiple of 8 plus the lane."""
    a, s = tensor("a", (32, 64), FLOAT16), shared("s", (32, 64), FLOAT16)
    k = lowered(kernel([a], [Copy(region(a), region(s))], {s: swizzled((32, 64), 16)}, 64))
    (store,) = [n for s in k.launches[0].body for n in walk(s) if isinstance(n, Store)]
    (loop,) = [n for s in k.launches[0].body for n in walk(s) if isinstance(n, For) and isinstance(n.kind, Vectorized)]
    assert loop.extent == Const(8)
    base, lane = [t for t in _summands(store.indices[0])][:2]
    assert lane is loop.var and isinstance(base, Binary) and base.op == "*" and base.b == Const(8)


def _summands(e: object) -> list[object]:
    return [*_summands(e.a), *_summands(e.b)] if isinstance(e, Binary) and e.op == "+" else [e]


def test_parts_versions_and_casts() -> None:
    """A box inside a tensor, through one of two versions of a tile, converted on the way out."""
    a, b, s = tensor("a", (64, 96), FLOAT16), tensor("b", (16, 32), FLOAT32), shared("s", (16, 32), FLOAT16, versions=2)
    k = kernel(
        [a, b],
        [
            Copy(region(a, 16, 32, extents=(16, 32)), region(s, version=Const(0))),
            Copy(region(a, 32, 64, extents=(16, 32)), region(s, version=Const(1))),
            Copy(region(s, version=Const(1)), region(b)),
        ],
        {s: swizzled((16, 32), 16, 64)},
        32,
    )
    agree(k)
    flat = next(n.buffer for n in k.launches[0].body if hasattr(n, "buffer"))
    assert flat.versions == 2


def test_extents_of_one_are_dropped() -> None:
    a, b, c = tensor("a", (4, 16, 32), FLOAT32), tensor("b", (2, 16, 32), FLOAT32), tile("c", (1, 16, 32), FLOAT32)
    f = partition((1, 16, 32), 32, 4)
    body = [
        Copy(region(a, 3, 0, 0, extents=(1, 16, 32)), region(c)),
        Copy(region(c), region(b, 1, 0, 0, extents=(1, 16, 32))),
    ]
    agree(kernel([a, b], body, {c: f}, 32))


@pytest.mark.parametrize("layout", [row_major((32, 48)), padded((32, 48), 16), swizzled((32, 48), 16, 32)], ids=str)
def test_transpose_through_shared(layout: object) -> None:
    a, b, s = tensor("a", (32, 48), FLOAT16), tensor("b", (48, 32), FLOAT16), shared("s", (32, 48), FLOAT16)
    body = [Copy(region(a), region(s)), Transpose(region(s), region(b))]
    agree(kernel([a, b], body, {s: layout}, 64))  # type: ignore[dict-item]


def test_fill_and_select() -> None:
    a, b, c = tensor("a", (20,), FLOAT32), tensor("b", (20,), FLOAT32), tile("c", (20,), FLOAT32)
    f = partition((20,), 32, 1)
    i = Var("i")
    body = Store(c, (i,), Select(lt(i, 7), Load(a, (i,)), Load(c, (i,))))
    k = [Fill(region(c), Const(5.0, FLOAT32)), Parallel((i,), (20,), (body,), layout=f), Copy(region(c), region(b))]
    agree(kernel([a, b], k, {c: f}, 32))


@pytest.mark.parametrize("shape", [(20,), (16, 24), (1, 32), (5, 7)])
def test_a_whole_tile_is_filled_by_one_flat_loop(shape: tuple[int, ...]) -> None:
    b, c = tensor("b", shape, FLOAT32), tile("c", shape, FLOAT32)
    k = kernel(
        [b], [Fill(region(c), Const(5.0, FLOAT32)), Copy(region(c), region(b))], {c: partition(shape, 32, 1)}, 32
    )
    agree(k)
    loops = [s for s in lowered(k).launches[0].body if isinstance(s, For)]
    (store,) = loops[0].body
    assert isinstance(store, Store) and store.indices == (loops[0].var,)


def test_control_flow_inside_a_loop() -> None:
    """Lets, serial loops and branches in the body see the point's coordinates."""
    a, b = tensor("a", (8, 16), FLOAT32), tensor("b", (8,), FLOAT32)
    i, k, x = Var("i"), Var("k"), Var("x", FLOAT32)
    total = NodeBuffer("total", (), FLOAT32, Space.VAR)
    from tiledsl.ir.nodes import Alloc

    add = Store(total, (), Binary("+", Load(total, ()), x))
    body = (
        Alloc(total, Const(0.0, FLOAT32)),
        For(k, Const(16), (Let(x, Load(a, (i, k))), If(lt(Const(0.0, FLOAT32), x), (add,)))),
        Store(b, (i,), Load(total, ())),
    )
    agree(kernel([a, b], [Parallel((i,), (8,), body, layout=partition((8,), 32, 1))], {}, 32))


def test_block_level_statements_happen_once() -> None:
    """S3: a scalar store of the block is one thread's, one that depends on the thread is every thread's."""
    t = Var("t")
    a, b, s = tensor("a", (4,), INT32), tensor("b", (32,), INT32), shared("s", (4,), INT32)
    body = [
        Store(s, (Const(2),), Const(7, INT32)),
        Store(a, (Const(0),), Load(s, (Const(2),))),
        Store(b, (t,), Binary("+", Load(b, (t,)), Cast(INT32, t))),
        If(lt(t, 5), (Store(b, (t,), Const(-1, INT32)),)),
    ]
    k = kernel([a, b], body, {s: row_major((4,))}, 32, thread=t)
    agree(k)
    stores = [n for n in lowered(k).launches[0].body if isinstance(n, If)]
    assert len(stores) == 3  # two guarded by the thread's number, one the user's


def test_replicated_fragment_is_readable_anywhere() -> None:
    a, b, m = tensor("a", (4,), INT32), tensor("b", (4,), INT32), tile("m", (4,), INT32)
    i = Var("i")
    body = [Copy(region(a), region(m)), For(i, Const(4), (Store(b, (i,), Load(m, (Const(3) - i,))),))]
    agree(kernel([a, b], body, {m: fully_replicated((4,), 64)}, 64))


def test_views() -> None:
    """A reshaped swizzled tile is addressed through its source; a reshaped fragment shares the registers."""
    a, b = tensor("a", (32, 64), FLOAT16), tensor("b", (2048,), FLOAT16)
    s, flat = shared("s", (32, 64), FLOAT16), shared("flat", (2048,), FLOAT16)
    c, line = tile("c", (32, 64), FLOAT16), tile("line", (2048,), FLOAT16)
    f = partition((32, 64), 64, 8)
    body = [
        Copy(region(a), region(s)),
        View(flat, s),
        Copy(region(flat), region(b)),
        Copy(region(s), region(c)),
        View(line, c),
        Copy(region(line), region(b)),
    ]
    agree(kernel([a, b], body, {s: swizzled((32, 64), 16), c: f}, 64))


def test_asynchronous_copies_stay_so() -> None:
    a, s = tensor("a", (32, 64), FLOAT16), shared("s", (32, 64), FLOAT16)
    k = lowered(kernel([a], [Copy(region(a), region(s), asynchronous=True)], {s: swizzled((32, 64), 16)}, 64))
    (store,) = [n for s in k.launches[0].body for n in walk(s) if isinstance(n, Store)]
    assert store.asynchronous


def test_compact_loops() -> None:
    """The text does not grow with the tile: one store in loops, unrolled by the C++ compiler."""
    a, s = tensor("a", (128, 64), FLOAT16), shared("s", (128, 64), FLOAT16)
    k = lowered(kernel([a], [Copy(region(a), region(s))], {s: swizzled((128, 64), 16)}, 128))
    nodes = [n for s in k.launches[0].body for n in walk(s)]
    assert sum(isinstance(n, Store) for n in nodes) == 1
    assert [n.kind for n in nodes if isinstance(n, For)] == [Unrolled(), Vectorized()]


def test_as_parallel_is_what_is_lowered() -> None:
    """A copy and its loop give the same values."""
    a, b, c = tensor("a", (16, 16), FLOAT32), tensor("b", (16, 16), FLOAT32), tile("c", (16, 16), FLOAT32)
    f = partition((16, 16), 32, 4)
    copy = Copy(region(a), region(c))
    loop = as_parallel(copy)
    assert loop is not None
    first = agree(kernel([a, b], [copy, Copy(region(c), region(b))], {c: f}, 32))
    second = agree(kernel([a, b], [loop, Copy(region(c), region(b))], {c: f}, 32))
    np.testing.assert_array_equal(first["b"], second["b"])
