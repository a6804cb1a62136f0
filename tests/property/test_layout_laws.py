"""Laws of layouts (algorithms.md E.A), on random digit layouts of all radices."""

from __future__ import annotations

from math import prod

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from tiledsl.analysis.layout_tables import (
    contains,
    equal,
    is_injective,
    is_injective_layout,
    offset_table,
    owner_bits,
    reg_table,
    same_owners,
    thread_table,
)
from tiledsl.ir.layout import (
    Digit,
    Fragment,
    Layout,
    Swizzle,
    compose,
    fully_replicated,
    linear_at,
    partition,
    reg_of,
    row_major,
    thread_of,
)
from tiledsl.ir.layout_ops import (
    canonical,
    dereplicate,
    expand_dim,
    permute_dims,
    reduce_dim,
    repeat,
    replicate,
    reshape,
    separable_partition,
)
from tiledsl.ir.nodes import Binary, Const, Expr, Var, wrap
from tiledsl.ir.recover import recover_fragment, recover_layout
from tiledsl.ir.swizzle import contiguous_run, expand, padded, swizzle_period, swizzled

RADICES = (1, 2, 3, 4, 5, 7, 8, 16)


@st.composite
def fragments(
    draw: st.DrawFn, replicated: bool = True, separable: bool = False, dims: int = 2, fewest: int = 1, most: int = 2048
) -> Fragment:
    """Random radices split at random between threads and registers; `fewest` to `dims` dimensions.

    Digits stay inside dimensions if `separable`, else the shape is dealt from the digits' product at random.
    """
    rank = draw(st.integers(fewest, dims))
    per_dim = [draw(st.lists(st.sampled_from(RADICES), min_size=1, max_size=3)) for _ in range(rank)]
    room = most
    for radices in per_dim:  # radices that would make the tile too large become 1
        for i, radix in enumerate(radices):
            radices[i] = radix if radix <= room else 1
            room //= radices[i]
    shape = tuple(prod(r) for r in per_dim)
    digits = []
    stride = prod(shape)
    for radices in per_dim:
        for radix in radices:
            stride //= radix
            digits.append(Digit(radix, stride))
    where = draw(st.lists(st.booleans(), min_size=len(digits), max_size=len(digits)))
    threads = draw(st.permutations([d for d, t in zip(digits, where) if t]))
    regs = draw(st.permutations([d for d, t in zip(digits, where) if not t]))
    assume(prod(d.extent for d in threads) <= 256)
    threads = list(threads)
    if replicated and draw(st.booleans()):
        threads.insert(draw(st.integers(0, len(threads))), Digit(draw(st.sampled_from((2, 3, 4))), 0))
    if not separable and draw(st.booleans()):
        size = prod(shape)
        divisors = [n for n in range(1, size + 1) if size % n == 0]
        rows = draw(st.sampled_from(divisors))
        shape = (rows, size // rows)
    return Fragment(shape, tuple(threads), tuple(regs))


def forward(f: Fragment) -> dict[tuple[int, int], int]:
    """(thread, register) -> element, by reading the digits the other way round."""
    return {
        (t, r): int(linear_at(f, t, r))
        for t in range(f.num_threads)
        for r in range(f.num_regs)
        if linear_at(f, t, r) < prod(f.shape)
    }


def owners(f: Fragment) -> list[set[int]]:
    return [set(row) for row in thread_table(f).tolist()]


@given(fragments())
def test_L1_L3_L5_L6_places_are_distinct_and_complete(f: Fragment) -> None:
    places = forward(f)
    n, r = prod(f.shape), f.replication
    assert len(places) == f.num_threads * f.num_regs == n * r
    assert is_injective(f)
    table, regs = thread_table(f), reg_table(f)
    assert all(len(set(row)) == r for row in table.tolist())
    assert all(places[t, int(regs[e])] == e for e, row in enumerate(table.tolist()) for t in row)


@given(fragments())
def test_L2_registers_have_no_holes(f: Fragment) -> None:
    table, regs = thread_table(f), reg_table(f)
    assert table.min() == 0 and table.max() == f.num_threads - 1
    for thread in {0, f.num_threads - 1}:
        used = sorted(regs[(table == thread).any(axis=1)].tolist())
        assert used == list(range(f.num_regs))


@given(fragments())
def test_L4_inverse_of_forward_is_the_identity(f: Fragment) -> None:
    for (t, r), e in list(forward(f).items())[:200]:
        assert reg_of(f, e) == r
        assert t in {thread_of(f, e, k) for k in range(f.replication)}


@given(st.integers(1, 300), st.sampled_from((32, 96, 128)), st.sampled_from((1, 2, 4)))
def test_L2_ragged_partitions(size: int, threads: int, width: int) -> None:
    f = partition((size,), threads, width)
    places = forward(f)
    assert sorted(places.values()) == list(range(size))
    assert all(0 <= r < f.num_regs for _, r in places)
    assert f.is_ragged == (size % (threads * width) != 0)


@given(fragments())
def test_L7_L13_canonical_form_is_idempotent_and_the_same_map(f: Fragment) -> None:
    c = canonical(f)
    assert canonical(c) == c
    assert np.array_equal(thread_table(c), thread_table(f)) and np.array_equal(reg_table(c), reg_table(f))


@given(fragments())
def test_L7_digits_are_recovered_from_their_tables(f: Fragment) -> None:
    found = recover_fragment(f.shape, thread_table(f).T.tolist(), reg_table(f).tolist())
    assert found is not None
    assert canonical(found) == canonical(f) and equal(found, f)


@given(fragments(), fragments())
def test_L8_equality_agrees_with_tables(a: Fragment, b: Fragment) -> None:
    assert equal(a, a)
    same = (
        a.shape == b.shape
        and (a.num_threads, a.num_regs) == (b.num_threads, b.num_regs)
        and reg_table(a).tolist() == reg_table(b).tolist()
        and owners(a) == owners(b)
    )
    assert equal(a, b) == equal(b, a) == same
    if canonical(a) == canonical(b):
        assert same and hash(canonical(a)) == hash(canonical(b))


@given(fragments(), st.data())
def test_L9_containment_is_set_inclusion(f: Fragment, data: st.DataObject) -> None:
    size = prod(f.shape)
    others = [fully_replicated(f.shape, f.num_threads), dereplicate(f), canonical(f)]
    others += [separable_partition(f.shape, f.num_threads), Fragment(f.shape, f.threads[::-1], f.regs)]
    g = data.draw(st.sampled_from([o for o in others if o.padded_size == size]))
    brute = all(a <= b for a, b in zip(owners(g), owners(f)))
    assert contains(f, g) == brute
    assert contains(f, f) and contains(fully_replicated(f.shape, f.num_threads), f)
    assert (contains(f, g) and contains(g, f)) == same_owners(f, g)


@given(fragments(separable=True), st.lists(st.integers(1, 3), min_size=2, max_size=2), st.booleans())
def test_L10_each_repetition_is_the_base_moved(f: Fragment, times: list[int], on_threads: bool) -> None:
    times = times[: len(f.shape)]
    big = repeat(f, times, on_threads)
    assert big is not None
    grid = np.indices(big.shape).reshape(len(big.shape), -1)
    block = np.ravel_multi_index([g // s for g, s in zip(grid, f.shape)], times)
    inside = np.ravel_multi_index([g % s for g, s in zip(grid, f.shape)], f.shape)
    threads, regs = thread_table(f)[inside], reg_table(f)[inside]
    if on_threads:
        threads = threads + block[:, None] * f.num_threads
    else:
        regs = regs + block * f.num_regs
    assert np.array_equal(np.sort(thread_table(big), axis=1), np.sort(threads, axis=1))
    assert np.array_equal(reg_table(big), regs)


@given(fragments(), st.integers(1, 4), st.booleans())
def test_L11_replicate_multiplies_owners(f: Fragment, times: int, inner: bool) -> None:
    g = replicate(f, times, inner)
    assert np.array_equal(reg_table(g), reg_table(f))
    for few, many in zip(owners(f), owners(g)):
        expected = {t * times + k if inner else k * f.num_threads + t for t in few for k in range(times)}
        assert many == expected
    assert replicate(f, 1) == f


@given(fragments())
def test_L12_dereplicate_keeps_a_subset_of_owners(f: Fragment) -> None:
    g = dereplicate(f)
    assert g.num_threads == f.num_threads and is_injective(g)
    assert all(a <= b for a, b in zip(owners(g), owners(f)))
    assert g.num_regs * f.replication == f.num_regs * g.replication


@given(fragments(separable=True, dims=3), st.data())
def test_L14_reduction_unites_the_owners_of_the_fibre(f: Fragment, data: st.DataObject) -> None:
    dim = data.draw(st.integers(0, len(f.shape) - 1))
    g = reduce_dim(f, dim)
    assert g is not None and is_injective(g)
    kept = f.shape[:dim] + f.shape[dim + 1 :]
    assert g.shape == kept and g.num_threads == f.num_threads
    coordinates = np.indices(f.shape).reshape(len(f.shape), -1)
    rest = np.delete(coordinates, dim, axis=0)
    target = np.ravel_multi_index(tuple(rest), kept) if kept else np.zeros(prod(f.shape), int)
    united = [set() for _ in range(prod(kept))]
    for e, row in enumerate(owners(f)):
        united[int(target[e])] |= row
    assert owners(g) == united


@given(fragments(), st.data())
def test_L15_reshape_moves_nothing(f: Fragment, data: st.DataObject) -> None:
    size = prod(f.shape)
    rows = data.draw(st.sampled_from([n for n in range(1, size + 1) if size % n == 0]))
    g = reshape(f, (rows, size // rows))
    assert np.array_equal(thread_table(g), thread_table(f)) and np.array_equal(reg_table(g), reg_table(f))


@given(fragments(separable=True, dims=3), st.data())
def test_L16_permutations_undo_each_other(f: Fragment, data: st.DataObject) -> None:
    order = data.draw(st.permutations(range(len(f.shape))))
    g = permute_dims(f, order)
    assert g is not None
    undo = [order.index(d) for d in range(len(order))]
    back = permute_dims(g, undo)
    assert back is not None and canonical(back) == canonical(f)
    moved = thread_table(f)[:, 0].reshape(f.shape).transpose(order)
    assert np.array_equal(thread_table(g)[:, 0].reshape(g.shape), moved)


@given(fragments(separable=True), st.integers(1, 5), st.data())
def test_L16_reduction_undoes_expansion(f: Fragment, extent: int, data: st.DataObject) -> None:
    dim = data.draw(st.integers(0, len(f.shape)))
    g = expand_dim(f, dim, extent)
    assert g is not None and g.shape == f.shape[:dim] + (extent,) + f.shape[dim:]
    assert g.num_regs == f.num_regs * extent
    back = reduce_dim(g, dim)
    assert back is not None and same_owners(back, f)


FACTORS = fragments(replicated=False, separable=True, fewest=2, most=40)


@given(FACTORS, FACTORS, FACTORS)
def test_L16_L17_composition_is_the_kronecker_product(a: Fragment, b: Fragment, c: Fragment) -> None:
    ab = compose(a, b)
    grid = np.indices(ab.shape).reshape(len(ab.shape), -1)
    outer = np.ravel_multi_index([g // s for g, s in zip(grid, b.shape)], a.shape)
    inner = np.ravel_multi_index([g % s for g, s in zip(grid, b.shape)], b.shape)
    assert np.array_equal(thread_table(ab)[:, 0], thread_table(a)[outer, 0] * b.num_threads + thread_table(b)[inner, 0])
    assert np.array_equal(reg_table(ab), reg_table(a)[outer] * b.num_regs + reg_table(b)[inner])
    assert canonical(ab @ c) == canonical(a @ (b @ c))
    one = Fragment((1,) * len(a.shape), (), ())
    assert canonical(a @ one) == canonical(a) == canonical(one @ a)


SWIZZLED = st.builds(
    lambda rows, panels, bits, span: swizzled((8 * rows, panels * span * 8 // bits), bits, span),
    st.integers(1, 4),
    st.integers(1, 3),
    st.sampled_from((8, 16, 32)),
    st.sampled_from((32, 64, 128)),
)


@given(SWIZZLED)
def test_L18_L19_swizzled_tiles_are_injective_with_whole_chunks(layout: Layout) -> None:
    assert is_injective_layout(layout)
    run = contiguous_run(layout)
    rows = offset_table(layout).reshape(-1, run)
    assert np.array_equal(rows, rows[:, :1] + np.arange(run)) and not (rows[:, 0] % run).any()


@given(st.integers(1, 5), st.integers(0, 4), st.integers(0, 4), st.integers(0, 1 << 14))
def test_L20_swizzles_are_involutions_with_a_period(bits: int, base: int, more: int, x: int) -> None:
    s = Swizzle(bits, base, bits + more)
    assert s(s(x)) == x
    period = swizzle_period(Layout((1,), ((Digit(1, 1),),), 1, s))
    assert s(x + 3 * period) == s(x) + 3 * period


@given(SWIZZLED, st.lists(st.integers(1, 3), min_size=1, max_size=2))
def test_L23_expansion_adds_whole_tiles(layout: Layout, lead: list[int]) -> None:
    assume(layout.size % swizzle_period(layout) == 0)
    many = expand(layout, lead)
    tables = offset_table(many).reshape(-1, *layout.shape)
    for v, table in enumerate(tables):
        assert np.array_equal(table, offset_table(layout) + v * layout.size)
    assert is_injective_layout(many)


@given(st.integers(1, 20), st.integers(1, 8), st.sampled_from((8, 16, 32)), st.sampled_from((1, 2, 4)))
def test_L24_padded_offsets_ascend(rows: int, chunks: int, bits: int, pad: int) -> None:
    layout = padded((rows, chunks * 128 // bits), bits, pad)
    table = offset_table(layout).ravel()
    assert (np.diff(table) > 0).all() and is_injective_layout(layout)


def value(e: Expr, env: dict[Var, int]) -> int:
    match e:
        case Const(v):
            return int(v)
        case Var():
            return env[e]
        case Binary(op, a, b):
            x, y = value(a, env), value(b, env)
            return {"+": x + y, "*": x * y, "//": x // y if y else 0, "%": x % y if y else 0, "^": x ^ y}[op]
    raise TypeError(type(e))


@given(fragments())
def test_L26_expressions_equal_the_tables(f: Fragment) -> None:
    t, r, e = Var("t"), Var("r"), Var("e")
    at = wrap(linear_at(f, t, r))
    for (thread, reg), element in list(forward(f).items())[:64]:
        assert value(at, {t: thread, r: reg}) == element
    own, slot = wrap(thread_of(f, e)), wrap(reg_of(f, e))
    for element in range(0, prod(f.shape), 17):
        assert value(own, {e: element}) == thread_table(f)[element, 0]
        assert value(slot, {e: element}) == reg_table(f)[element]


@given(SWIZZLED)
def test_L26_shared_expressions_equal_the_tables(layout: Layout) -> None:
    i, j = Var("i"), Var("j")
    at = layout.offset((i, j))
    table = offset_table(layout)
    for row in range(0, layout.shape[0], 5):
        for column in range(0, layout.shape[1], 7):
            assert value(at, {i: row, j: column}) == table[row, column]


@given(SWIZZLED)
def test_L7_shared_layouts_are_recovered(layout: Layout) -> None:
    found = recover_layout(layout.shape, offset_table(layout).ravel().tolist())
    assert found is not None and np.array_equal(offset_table(found), offset_table(layout))


@given(st.lists(st.integers(0, 63), min_size=16, max_size=16))
def test_L27_recovery_of_any_table_is_exact_or_none(offsets: list[int]) -> None:
    found = recover_layout((4, 4), offsets)
    if found is not None:
        assert offset_table(found).ravel().tolist() == offsets
    threads, regs = [o // 8 for o in offsets], [o % 8 for o in offsets]
    f = recover_fragment((4, 4), [threads], regs)
    if f is not None:
        assert thread_table(f)[:, 0].tolist() == threads and reg_table(f).tolist() == regs


def test_owner_bits_are_the_thread_table() -> None:
    f = replicate(partition((40,), 4, 2), 30)
    flags = np.unpackbits(owner_bits(f).view(np.uint8), axis=1, bitorder="little")
    for element, row in enumerate(thread_table(f)):
        assert set(np.nonzero(flags[element])[0]) == set(row.tolist())
    assert np.array_equal(offset_table(row_major((3, 4))), np.arange(12).reshape(3, 4))
