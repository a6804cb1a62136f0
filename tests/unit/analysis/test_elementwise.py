"""Element-wise tile statements as loops: domain, indices, conversions."""

from __future__ import annotations

import pytest

from tiledsl.analysis.elementwise import as_parallel
from tiledsl.ir.dtypes import FLOAT16, FLOAT32, INDEX
from tiledsl.ir.nodes import AtomicUpdate, Buffer, Cast, Const, If, Load, Region, Space, Store, Var
from tiledsl.ir.ops import BINARY
from tiledsl.ir.tile import Atomic, Copy, Fill, Im2col, Parallel, Transpose
from tiledsl.ir.walk import walk

K = Var("k")
G = Buffer("G", (4, 512, 8, 64), FLOAT16)
S = Buffer("S", (64, 64), FLOAT16, Space.SHARED, versions=3)
F = Buffer("F", (64, 64), FLOAT32, Space.FRAGMENT)
ZERO = Const(0)


def whole(b: Buffer, version=None) -> Region:
    return Region(b, tuple(ZERO for _ in b.shape), tuple(b.shape), version)


def test_extents_of_one_are_matched_away_and_zero_offsets_add_nothing() -> None:
    src = Region(G, (K, K * 64, Const(3), ZERO), (1, 64, 1, 64))
    loop = as_parallel(Copy(src, whole(S, K % 3), width=8, asynchronous=True))
    assert isinstance(loop, Parallel) and loop.extents == (64, 64) and loop.width == 8
    i, j = loop.vars
    (store,) = loop.body
    assert store == Store(S, (i, j), Load(G, (K, K * 64 + i, Const(3), j)), K % 3, asynchronous=True)


def test_conversions_are_spelled_out_and_end_asynchrony() -> None:
    wide = Buffer("W", (64, 64), FLOAT32, Space.SHARED)
    region = Region(G, (ZERO, ZERO, ZERO, ZERO), (1, 64, 1, 64))
    (store,) = as_parallel(Copy(region, whole(wide), asynchronous=True)).body
    assert isinstance(store.value, Cast) and store.value.dtype is FLOAT32 and not store.asynchronous
    (store,) = as_parallel(Copy(whole(S), whole(Buffer("T", (64, 64), FLOAT16, Space.SHARED)), asynchronous=True)).body
    assert not store.asynchronous  # cp.async starts in global memory


def test_fill_and_atomic() -> None:
    loop = as_parallel(Fill(whole(F), Const(1.0, FLOAT16)))
    (store,) = loop.body
    assert store.indices == loop.vars and store.value == Cast(FLOAT32, Const(1.0, FLOAT16))
    target = Buffer("O", (64, 64), FLOAT32)
    loop = as_parallel(Atomic("max", whole(target), whole(F), "acquire"))
    assert loop.body == (AtomicUpdate("max", target, loop.vars, Load(F, loop.vars), "acquire"),)


def test_transposes_walk_rows_of_global_memory() -> None:
    g = Buffer("g", (64, 32), FLOAT32)
    t = Buffer("t", (32, 64), FLOAT32, Space.SHARED)
    into = as_parallel(Transpose(whole(g), whole(t)))
    i, j = into.vars
    assert into.extents == (64, 32) and into.body == (Store(t, (j, i), Load(g, (i, j))),)
    out = as_parallel(Transpose(whole(t), whole(g)))
    i, j = out.vars
    assert out.extents == (64, 32) and out.body == (Store(g, (i, j), Load(t, (j, i))),)


def test_single_elements_are_loops_of_one() -> None:
    a, b = Buffer("a", (1,), FLOAT32), Buffer("b", (1, 1), FLOAT32)
    loop = as_parallel(Copy(whole(a), whole(b)))
    assert loop.extents == (1,) and loop.body == (Store(b, (ZERO, ZERO), Load(a, (ZERO,))),)


def test_mismatched_regions_are_refused() -> None:
    with pytest.raises(TypeError):
        as_parallel(Copy(whole(F), whole(Buffer("b", (32, 64), FLOAT32))))
    with pytest.raises(TypeError):
        as_parallel(Transpose(whole(Buffer("c", (64, 32), FLOAT32)), whole(F)))


def test_other_statements_are_not_loops() -> None:
    assert as_parallel(If(Const(True, INDEX), ())) is None


def value(e, env) -> int:
    if isinstance(e, Const):
        return int(e.value)
    if isinstance(e, Var):
        return env[e]
    return BINARY[e.op].eval(value(e.a, env), value(e.b, env))


def test_im2col_addresses_the_padded_image() -> None:
    """Against the definition of a convolution: 3 x 3, stride 2, dilation 1, padding 1, 5 x 6 x 2 image."""
    image = Buffer("image", (2, 5, 6, 2), FLOAT16)
    tile = Buffer("tile", (8, 18), FLOAT16, Space.SHARED)
    loop = as_parallel(Copy(Im2col(image, (ZERO, ZERO), (8, 18), kernel=3, stride=2, dilation=1, pad=1), whole(tile)))
    (load,) = [n for n in walk(loop.body[0]) if isinstance(n, Load)]
    rows, columns = (5 + 2 - 3) // 2 + 1, (6 + 2 - 3) // 2 + 1
    for r in range(8):
        for c in range(18):
            at = tuple(value(i, dict(zip(loop.vars, (r, c)))) for i in load.indices)
            n, oy, ox = r // (rows * columns), r // columns % rows, r % columns
            ky, kx, channel = c // 6, c // 2 % 3, c % 2
            assert at == (n, oy * 2 + ky - 1, ox * 2 + kx - 1, channel)
