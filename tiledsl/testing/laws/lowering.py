"""Laws of lower-tiles over random layouts and shapes: both stages compute the same bits (S1), each point once (S3)."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import strategies as st

from tiledsl.ir.dtypes import FLOAT16, FLOAT32, INT8, INT32, DType
from tiledsl.ir.layout import Fragment, fully_replicated, linear_at, partition, row_major
from tiledsl.ir.layout_ops import is_separable, reduce_dim
from tiledsl.ir.nodes import Binary, Const, Load, Store, Var
from tiledsl.ir.tile import REDUCTIONS, Atomic, Copy, Parallel, Reduce, Scan
from tiledsl.passes.lower_tiles.spread import cut, pieces
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.laws.layouts import CHOICE, chosen
from tiledsl.testing.strategies.layouts import fragments_in_blocks, ragged_fragments, shared_layouts
from tiledsl.testing.tile_stage import agree, integers, kernel, region, shared, tensor, tile

DTYPES = st.sampled_from([FLOAT32, FLOAT16, INT8])


@law("S1", "S3", case=fragments_in_blocks(), dtype=DTYPES)
def fragment_round_trip(case: tuple[Fragment, int], dtype: DType) -> None:
    f, threads = case
    a, b, c = tensor("a", f.shape, dtype), tensor("b", f.shape, dtype), tile("c", f.shape, dtype)
    agree(kernel([a, b], [Copy(region(a), region(c)), Copy(region(c), region(b))], {c: f}, threads))


@law("S3", "S13", case=fragments_in_blocks(), dtype=DTYPES)
def replicas_act_once(case: tuple[Fragment, int], dtype: DType) -> None:
    """S13, F10: in one loop, all owners write the fragment and one of them the tensor."""
    f, threads = case
    a, b, c = tensor("a", f.shape, dtype), tensor("b", f.shape, dtype), tile("c", f.shape, dtype)
    point = tuple(Var(n) for n in "ij"[: len(f.shape)])
    again = tuple(Var(n) for n in "ij"[: len(f.shape)])
    one = Const(1.0 if dtype.is_float else 1, dtype)
    body = (Store(c, point, Binary("+", Load(c, point), one)), Store(b, point, Load(c, point)))
    loop = Parallel(point, f.shape, body, layout=f)
    out = tensor("out", f.shape, FLOAT32)
    count = Parallel(again, f.shape, (Store(out, again, Const(1.0, FLOAT32)),), layout=f)
    add = [Atomic("add", region(b), region(c))] if dtype is FLOAT32 else []
    agree(kernel([a, b, out], [Copy(region(a), region(c)), loop, count, *add], {c: f}, threads))


@law("S1", "L26", case=fragments_in_blocks(), dtype=DTYPES, choice=CHOICE, other=CHOICE)
def through_shared_memory(case: tuple[Fragment, int], dtype: DType, choice: int, other: int) -> None:
    """L26: whatever the layouts, what is written at a coordinate is found there."""
    f, threads = case
    layout = chosen(shared_layouts(f.shape, dtype), choice)
    a, b = tensor("a", f.shape, dtype), tensor("b", f.shape, dtype)
    c, d, s = tile("c", f.shape, dtype), tile("d", f.shape, dtype), shared("s", f.shape, dtype)
    read = chosen([f, partition(f.shape, threads, 1), fully_replicated(f.shape, threads)], other)
    body = [
        Copy(region(a), region(c)),
        Copy(region(c), region(s)),
        Copy(region(s), region(d)),
        Copy(region(d), region(b)),
    ]
    agree(kernel([a, b], body, {c: f, d: read, s: layout}, threads))


@law(
    shape=st.sampled_from([(8, 64), (16, 32), (32, 16), (24, 64)]),
    dtype=DTYPES,
    choice=CHOICE,
    width=st.sampled_from([1, 2, 4, 8, 16]),
    threads=st.sampled_from([16, 32, 48]),
)
def swizzled_tiles_read_in_any_order(
    shape: tuple[int, int], dtype: DType, choice: int, width: int, threads: int
) -> None:
    layout = chosen(shared_layouts(shape, dtype), choice)
    a, b, s = tensor("a", shape, dtype), tensor("b", shape[::-1], dtype), shared("s", shape, dtype)
    i, j, m, n = (Var(name) for name in "ijmn")
    fill = Parallel((m, n), shape, (Store(s, (m, n), Load(a, (m, n))),), layout=partition(shape, threads, width))
    out = partition(shape[::-1], threads, width)
    turn = Parallel((i, j), shape[::-1], (Store(b, (i, j), Load(s, (j, i))),), layout=out)
    agree(kernel([a, b], [fill, turn], {s: layout}, threads))


@law(
    "S15",
    choice=CHOICE,
    case=fragments_in_blocks(),
    op=st.sampled_from(REDUCTIONS),
    clear=st.booleans(),
    number=st.sampled_from([FLOAT32, INT32]),
    ends=st.sampled_from([(-9, 0), (1, 10)]),
)
def reductions(
    choice: int, case: tuple[Fragment, int], op: str, clear: bool, number: DType, ends: tuple[int, int]
) -> None:
    """S15: every way in which a dimension can be spread over registers, lanes, warps and odd numbers of threads.

    Of values of one sign a wrong neutral element would be the result.
    """
    f, threads = case
    if not is_separable(f):
        return
    dim = choice % len(f.shape)
    shape = f.shape[:dim] + f.shape[dim + 1 :] or (1,)
    derived = reduce_dim(f, dim)
    assert derived is not None
    derived = Fragment(shape, derived.threads, derived.regs)
    dtype = INT8 if op.startswith("bit") else number
    a, b = tensor("a", f.shape, dtype), tensor("b", shape, dtype)
    x, y = tile("x", f.shape, dtype), tile("y", shape, dtype)
    before = [Copy(region(a), region(x))] + ([] if clear else [Copy(region(b), region(y))])
    body = [*before, Reduce(region(x), region(y), op, dim, clear), Copy(region(y), region(b))]
    inputs = {p.name: integers(np.random.default_rng(0), p, *ends) for p in (a, b)}
    agree(kernel([a, b], body, {x: f, y: derived}, threads), inputs=inputs)


@law(
    "S16",
    shape=st.lists(st.integers(1, 70), min_size=1, max_size=3).filter(lambda s: prod(s) <= 1000),
    choice=CHOICE,
    op=st.sampled_from(["sum", "max"]),
    reverse=st.booleans(),
    threads=st.sampled_from([32, 64, 40]),
)
def scans(shape: list[int], choice: int, op: str, reverse: bool, threads: int) -> None:
    """S16."""
    dim = choice % len(shape)
    a, b, x = tensor("a", shape, FLOAT32), tensor("b", shape, FLOAT32), shared("x", shape, FLOAT32)
    body = [Copy(region(a), region(x)), Scan(region(x), region(x), op, dim, reverse), Copy(region(x), region(b))]
    agree(kernel([a, b], body, {x: row_major(tuple(shape))}, threads))


@law(f=ragged_fragments())
def pieces_keep_the_map(f: Fragment) -> None:
    """Cutting the digits at the dimensions, in any arrangement of them, moves no element."""
    split = Fragment(f.shape, pieces(f.threads, f.shape), pieces(f.regs, f.shape))
    threads, regs = np.arange(f.num_threads)[:, None], np.arange(f.num_regs)
    assert np.array_equal(linear_at(split, threads, regs), linear_at(f, threads, regs))


@law(f=ragged_fragments(), inner=st.integers(1, 64))
def cut_keeps_the_number(f: Fragment, inner: int) -> None:
    """Cutting the register digits does not change which element a register holds."""
    digits = pieces(f.regs, f.shape)
    halves = cut(digits, inner)
    if halves is None:
        return
    joined = Fragment(f.shape, f.threads, (*halves[0], *halves[1]))
    assert prod(d.extent for d in halves[1]) == inner
    assert [linear_at(joined, 0, r) for r in range(f.num_regs)] == [linear_at(f, 0, r) for r in range(f.num_regs)]


LAWS = laws_of(globals())
