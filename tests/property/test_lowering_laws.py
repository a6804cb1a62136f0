"""Laws of lower-tiles over random layouts and shapes: both stages compute the same bits (S1), each point once (S3)."""

from __future__ import annotations

from math import prod

from hypothesis import given
from hypothesis import strategies as st
from lowering_helpers import agree, kernel, region, shared, tensor, tile

from tiledsl.ir.dtypes import FLOAT16, FLOAT32, INT8, DType
from tiledsl.ir.layout import Digit, Fragment, Layout, fully_replicated, linear_at, partition, row_major
from tiledsl.ir.layout_ops import is_separable, reduce_dim
from tiledsl.ir.nodes import Binary, Const, Load, Store, Var
from tiledsl.ir.swizzle import padded, swizzled
from tiledsl.ir.tile import REDUCTIONS, Atomic, Copy, Parallel, Reduce, Scan
from tiledsl.passes.lower_tiles.spread import cut, pieces

DTYPES = st.sampled_from([FLOAT32, FLOAT16, INT8])


@st.composite
def fragments(draw: st.DrawFn, ragged: bool = True) -> Fragment:
    """Any digits over a small tile: mixed radices dealt to threads and registers, replicas, a trimmed last row."""
    radices = draw(st.lists(st.sampled_from([2, 2, 2, 3, 4, 5, 8]), min_size=1, max_size=5))
    while prod(radices) > 512:
        radices.pop()
    strides = [prod(radices[i + 1 :]) for i in range(len(radices))]
    threads: list[Digit] = []
    regs: list[Digit] = []
    for extent, stride in draw(st.permutations(list(zip(radices, strides)))):
        room = prod(d.extent for d in threads) * extent <= 128
        (threads if room and draw(st.booleans()) else regs).append(Digit(extent, stride))
    if draw(st.booleans()) and prod(d.extent for d in threads) <= 64:
        threads.insert(draw(st.integers(0, len(threads))), Digit(2, 0))
    split = draw(st.integers(0, len(radices)))
    shape = tuple(n for n in (prod(radices[:split]), prod(radices[split:])) if n > 1) or (1,)
    if ragged and shape[0] > 2 and draw(st.booleans()):
        shape = (shape[0] - draw(st.integers(1, shape[0] // 2)), *shape[1:])
    return Fragment(shape, tuple(threads), tuple(regs))


def block(draw: st.DrawFn, f: Fragment) -> int:
    """A number of threads for the block: the layout's, or more of them, which idle."""
    return draw(st.sampled_from([f.num_threads, f.num_threads + 5, -(-f.num_threads // 32) * 32 + 32]))


@st.composite
def cases(draw: st.DrawFn, ragged: bool = True) -> tuple[Fragment, int]:
    f = draw(fragments(ragged))
    return f, block(draw, f)


def shared_layouts(shape: tuple[int, ...], dtype: DType) -> st.SearchStrategy[Layout]:
    """Row-major, padded, column-major, or a swizzle that fits."""
    found = [row_major(shape), row_major(shape, 3), padded(shape, dtype.bits)]
    if len(shape) == 2:
        found.append(Layout(shape, ((Digit(shape[0], 1),), (Digit(shape[1], shape[0]),)), prod(shape)))
        for span in (128, 64, 32):
            try:
                found.append(swizzled(shape, dtype.bits, span))
            except ValueError:
                continue
    return st.sampled_from(found)


@given(cases(), DTYPES)
def test_fragment_round_trip(case: tuple[Fragment, int], dtype: DType) -> None:
    f, threads = case
    a, b, c = tensor("a", f.shape, dtype), tensor("b", f.shape, dtype), tile("c", f.shape, dtype)
    agree(kernel([a, b], [Copy(region(a), region(c)), Copy(region(c), region(b))], {c: f}, threads))


@given(cases(), DTYPES)
def test_replicas_act_once(case: tuple[Fragment, int], dtype: DType) -> None:
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


@given(st.data(), cases(), DTYPES)
def test_through_shared_memory(data: st.DataObject, case: tuple[Fragment, int], dtype: DType) -> None:
    """L26: whatever the layouts, what is written at a coordinate is found there."""
    f, threads = case
    layout = data.draw(shared_layouts(f.shape, dtype))
    a, b = tensor("a", f.shape, dtype), tensor("b", f.shape, dtype)
    c, d, s = tile("c", f.shape, dtype), tile("d", f.shape, dtype), shared("s", f.shape, dtype)
    other = data.draw(st.sampled_from([f, partition(f.shape, threads, 1), fully_replicated(f.shape, threads)]))
    body = [
        Copy(region(a), region(c)),
        Copy(region(c), region(s)),
        Copy(region(s), region(d)),
        Copy(region(d), region(b)),
    ]
    agree(kernel([a, b], body, {c: f, d: other, s: layout}, threads))


@given(st.sampled_from([(8, 64), (16, 32), (32, 16), (24, 64)]), st.data(), DTYPES)
def test_swizzled_tiles_read_in_any_order(shape: tuple[int, int], data: st.DataObject, dtype: DType) -> None:
    layout = data.draw(shared_layouts(shape, dtype))
    width = data.draw(st.sampled_from([1, 2, 4, 8, 16]))
    threads = data.draw(st.sampled_from([16, 32, 48]))
    a, b, s = tensor("a", shape, dtype), tensor("b", shape[::-1], dtype), shared("s", shape, dtype)
    i, j, m, n = (Var(name) for name in "ijmn")
    fill = Parallel((m, n), shape, (Store(s, (m, n), Load(a, (m, n))),), layout=partition(shape, threads, width))
    out = partition(shape[::-1], threads, width)
    turn = Parallel((i, j), shape[::-1], (Store(b, (i, j), Load(s, (j, i))),), layout=out)
    agree(kernel([a, b], [fill, turn], {s: layout}, threads))


@given(st.data(), cases(), st.sampled_from(REDUCTIONS), st.booleans())
def test_reductions(data: st.DataObject, case: tuple[Fragment, int], op: str, clear: bool) -> None:
    """S15: every way in which a dimension can be spread over registers, lanes, warps and odd numbers of threads."""
    f, threads = case
    if not is_separable(f):
        return
    dim = data.draw(st.integers(0, len(f.shape) - 1))
    shape = f.shape[:dim] + f.shape[dim + 1 :] or (1,)
    derived = reduce_dim(f, dim)
    assert derived is not None
    derived = Fragment(shape, derived.threads, derived.regs)
    dtype = INT8 if op.startswith("bit") else FLOAT32
    a, b = tensor("a", f.shape, dtype), tensor("b", shape, dtype)
    x, y = tile("x", f.shape, dtype), tile("y", shape, dtype)
    before = [Copy(region(a), region(x))] + ([] if clear else [Copy(region(b), region(y))])
    body = [*before, Reduce(region(x), region(y), op, dim, clear), Copy(region(y), region(b))]
    agree(kernel([a, b], body, {x: f, y: derived}, threads))


@given(
    st.lists(st.integers(1, 70), min_size=1, max_size=3).filter(lambda s: prod(s) <= 1000),
    st.data(),
    st.sampled_from(["sum", "max"]),
    st.booleans(),
    st.sampled_from([32, 64, 40]),
)
def test_scans(shape: list[int], data: st.DataObject, op: str, reverse: bool, threads: int) -> None:
    """S16."""
    dim = data.draw(st.integers(0, len(shape) - 1))
    a, b, x = tensor("a", shape, FLOAT32), tensor("b", shape, FLOAT32), shared("x", shape, FLOAT32)
    body = [Copy(region(a), region(x)), Scan(region(x), region(x), op, dim, reverse), Copy(region(x), region(b))]
    agree(kernel([a, b], body, {x: row_major(tuple(shape))}, threads))


@given(fragments(), st.integers(1, 64))
def test_cut_keeps_the_number(f: Fragment, inner: int) -> None:
    """Cutting the register digits does not change which element a register holds."""
    digits = pieces(f.regs, f.shape)
    halves = cut(digits, inner)
    if halves is None:
        return
    joined = Fragment(f.shape, f.threads, (*halves[0], *halves[1]))
    assert prod(d.extent for d in halves[1]) == inner
    assert [linear_at(joined, 0, r) for r in range(f.num_regs)] == [linear_at(f, 0, r) for r in range(f.num_regs)]
