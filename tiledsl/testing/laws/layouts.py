"""Laws of layouts (algorithms.md E.A), on random digit layouts of all radices."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations
from math import prod
from typing import Any, TypeVar

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from tiledsl.analysis.layout_tables import (
    contains,
    equal,
    is_injective,
    is_injective_layout,
    offset_table,
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
from tiledsl.ir.swizzle import contiguous_run, expand, padded, swizzle_period
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.strategies.layouts import LayoutFunction, fragments, layout_functions, swizzled_layouts

T = TypeVar("T")
CHOICE = st.integers(0, 1000)  # taken modulo the number of options


def chosen(options: Sequence[T], choice: int) -> T:
    return options[choice % len(options)]


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


@law("L1", "L3", "L5", "L6", f=fragments())
def places_are_distinct_and_complete(f: Fragment) -> None:
    places = forward(f)
    n, r = prod(f.shape), f.replication
    assert len(places) == f.num_threads * f.num_regs == n * r
    assert is_injective(f)
    table, regs = thread_table(f), reg_table(f)
    assert all(len(set(row)) == r for row in table.tolist())
    assert all(places[t, int(regs[e])] == e for e, row in enumerate(table.tolist()) for t in row)


@law("L2", f=fragments())
def registers_have_no_holes(f: Fragment) -> None:
    table, regs = thread_table(f), reg_table(f)
    assert table.min() == 0 and table.max() == f.num_threads - 1
    for thread in {0, f.num_threads - 1}:
        used = sorted(regs[(table == thread).any(axis=1)].tolist())
        assert used == list(range(f.num_regs))


@law("L4", f=fragments())
def inverse_of_forward_is_the_identity(f: Fragment) -> None:
    for (t, r), e in list(forward(f).items())[:200]:
        assert reg_of(f, e) == r
        assert t in {thread_of(f, e, k) for k in range(f.replication)}


@law("L2", size=st.integers(1, 300), threads=st.sampled_from((32, 96, 128)), width=st.sampled_from((1, 2, 4)))
def ragged_partitions(size: int, threads: int, width: int) -> None:
    f = partition((size,), threads, width)
    places = forward(f)
    assert sorted(places.values()) == list(range(size))
    assert all(0 <= r < f.num_regs for _, r in places)
    assert f.is_ragged == (size % (threads * width) != 0)


@law("L7", "L13", f=fragments())
def canonical_form_is_idempotent_and_the_same_map(f: Fragment) -> None:
    c = canonical(f)
    assert canonical(c) == c
    assert np.array_equal(thread_table(c), thread_table(f)) and np.array_equal(reg_table(c), reg_table(f))


@law("L7", f=fragments())
def digits_are_recovered_from_their_tables(f: Fragment) -> None:
    found = recover_fragment(f.shape, thread_table(f).T.tolist(), reg_table(f).tolist())
    assert found is not None
    assert canonical(found) == canonical(f) and equal(found, f)


@law("L8", a=fragments(), b=fragments())
def equality_agrees_with_tables(a: Fragment, b: Fragment) -> None:
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


@law("L9", f=fragments(), choice=CHOICE)
def containment_is_set_inclusion(f: Fragment, choice: int) -> None:
    size = prod(f.shape)
    others = [fully_replicated(f.shape, f.num_threads), dereplicate(f), canonical(f)]
    others += [separable_partition(f.shape, f.num_threads), Fragment(f.shape, f.threads[::-1], f.regs)]
    g = chosen([o for o in others if o.padded_size == size], choice)
    brute = all(a <= b for a, b in zip(owners(g), owners(f)))
    assert contains(f, g) == brute
    assert contains(f, f) and contains(fully_replicated(f.shape, f.num_threads), f)
    assert (contains(f, g) and contains(g, f)) == same_owners(f, g)


@law(
    "L10",
    f=fragments(separable=True),
    times=st.lists(st.integers(1, 3), min_size=2, max_size=2),
    on_threads=st.booleans(),
)
def each_repetition_is_the_base_moved(f: Fragment, times: list[int], on_threads: bool) -> None:
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


@law("L11", f=fragments(), times=st.integers(1, 4), inner=st.booleans())
def replicate_multiplies_owners(f: Fragment, times: int, inner: bool) -> None:
    g = replicate(f, times, inner)
    assert np.array_equal(reg_table(g), reg_table(f))
    for few, many in zip(owners(f), owners(g)):
        expected = {t * times + k if inner else k * f.num_threads + t for t in few for k in range(times)}
        assert many == expected
    assert replicate(f, 1) == f


@law("L12", f=fragments())
def dereplicate_keeps_a_subset_of_owners(f: Fragment) -> None:
    g = dereplicate(f)
    assert g.num_threads == f.num_threads and is_injective(g)
    assert all(a <= b for a, b in zip(owners(g), owners(f)))
    assert g.num_regs * f.replication == f.num_regs * g.replication


@law("L14", f=fragments(separable=True, dims=3), choice=CHOICE)
def reduction_unites_the_owners_of_the_fibre(f: Fragment, choice: int) -> None:
    dim = choice % len(f.shape)
    g = reduce_dim(f, dim)
    assert g is not None and is_injective(g)
    kept = f.shape[:dim] + f.shape[dim + 1 :]
    assert g.shape == kept and g.num_threads == f.num_threads
    coordinates = np.indices(f.shape).reshape(len(f.shape), -1)
    rest = np.delete(coordinates, dim, axis=0)
    target: Any = np.ravel_multi_index(tuple(rest), kept) if kept else np.zeros(prod(f.shape), int)
    united: list[set[int]] = [set() for _ in range(prod(kept))]
    for e, row in enumerate(owners(f)):
        united[int(target[e])] |= row
    assert owners(g) == united


@law("L15", f=fragments(), choice=CHOICE)
def reshape_moves_nothing(f: Fragment, choice: int) -> None:
    size = prod(f.shape)
    rows = chosen([n for n in range(1, size + 1) if size % n == 0], choice)
    g = reshape(f, (rows, size // rows))
    assert np.array_equal(thread_table(g), thread_table(f)) and np.array_equal(reg_table(g), reg_table(f))


@law("L16", f=fragments(separable=True, dims=3), choice=CHOICE)
def permutations_undo_each_other(f: Fragment, choice: int) -> None:
    order = chosen(list(permutations(range(len(f.shape)))), choice)
    g = permute_dims(f, order)
    assert g is not None
    undo = [order.index(d) for d in range(len(order))]
    back = permute_dims(g, undo)
    assert back is not None and canonical(back) == canonical(f)
    moved = thread_table(f)[:, 0].reshape(f.shape).transpose(order)
    assert np.array_equal(thread_table(g)[:, 0].reshape(g.shape), moved)


@law("L16", f=fragments(separable=True), extent=st.integers(1, 5), choice=CHOICE)
def reduction_undoes_expansion(f: Fragment, extent: int, choice: int) -> None:
    dim = choice % (len(f.shape) + 1)
    g = expand_dim(f, dim, extent)
    assert g is not None and g.shape == f.shape[:dim] + (extent,) + f.shape[dim:]
    assert g.num_regs == f.num_regs * extent
    back = reduce_dim(g, dim)
    assert back is not None and same_owners(back, f)


FACTORS = fragments(replicated=False, separable=True, fewest=2, most=40)


@law("L16", "L17", a=FACTORS, b=FACTORS, c=FACTORS)
def composition_is_the_kronecker_product(a: Fragment, b: Fragment, c: Fragment) -> None:
    ab = compose(a, b)
    grid = np.indices(ab.shape).reshape(len(ab.shape), -1)
    outer = np.ravel_multi_index([g // s for g, s in zip(grid, b.shape)], a.shape)
    inner = np.ravel_multi_index([g % s for g, s in zip(grid, b.shape)], b.shape)
    assert np.array_equal(thread_table(ab)[:, 0], thread_table(a)[outer, 0] * b.num_threads + thread_table(b)[inner, 0])
    assert np.array_equal(reg_table(ab), reg_table(a)[outer] * b.num_regs + reg_table(b)[inner])
    assert canonical(ab @ c) == canonical(a @ (b @ c))
    one = Fragment((1,) * len(a.shape), (), ())
    assert canonical(a @ one) == canonical(a) == canonical(one @ a)


@law("L18", "L19", layout=swizzled_layouts())
def swizzled_tiles_are_injective_with_whole_chunks(layout: Layout) -> None:
    assert is_injective_layout(layout)
    run = contiguous_run(layout)
    rows = offset_table(layout).reshape(-1, run)
    assert np.array_equal(rows, rows[:, :1] + np.arange(run)) and not (rows[:, 0] % run).any()


@law("L20", bits=st.integers(1, 5), base=st.integers(0, 4), more=st.integers(0, 4), x=st.integers(0, 1 << 14))
def swizzles_are_involutions_with_a_period(bits: int, base: int, more: int, x: int) -> None:
    s = Swizzle(bits, base, bits + more)
    assert s(s(x)) == x
    period = swizzle_period(Layout((1,), ((Digit(1, 1),),), 1, s))
    assert s(x + 3 * period) == s(x) + 3 * period


@law("L23", layout=swizzled_layouts(), lead=st.lists(st.integers(1, 3), min_size=1, max_size=2))
def expansion_adds_whole_tiles(layout: Layout, lead: list[int]) -> None:
    assume(layout.size % swizzle_period(layout) == 0)
    many = expand(layout, lead)
    tables = offset_table(many).reshape(-1, *layout.shape)
    for v, table in enumerate(tables):
        assert np.array_equal(table, offset_table(layout) + v * layout.size)
    assert is_injective_layout(many)


@law(
    "L24",
    rows=st.integers(1, 20),
    chunks=st.integers(1, 8),
    bits=st.sampled_from((8, 16, 32)),
    pad=st.sampled_from((1, 2, 4)),
)
def padded_offsets_ascend(rows: int, chunks: int, bits: int, pad: int) -> None:
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


@law("L26", f=fragments())
def expressions_equal_the_tables(f: Fragment) -> None:
    t, r, e = Var("t"), Var("r"), Var("e")
    at = wrap(linear_at(f, t, r))
    for (thread, reg), element in list(forward(f).items())[:64]:
        assert value(at, {t: thread, r: reg}) == element
    own, slot = wrap(thread_of(f, e)), wrap(reg_of(f, e))
    for element in range(0, prod(f.shape), 17):
        assert value(own, {e: element}) == thread_table(f)[element, 0]
        assert value(slot, {e: element}) == reg_table(f)[element]


@law("L26", layout=swizzled_layouts())
def shared_expressions_equal_the_tables(layout: Layout) -> None:
    i, j = Var("i"), Var("j")
    at = layout.offset((i, j))
    table = offset_table(layout)
    for row in range(0, layout.shape[0], 5):
        for column in range(0, layout.shape[1], 7):
            assert value(at, {i: row, j: column}) == table[row, column]


@law("L7", layout=swizzled_layouts())
def shared_layouts_are_recovered(layout: Layout) -> None:
    found = recover_layout(layout.shape, offset_table(layout).ravel().tolist())
    assert found is not None and np.array_equal(offset_table(found), offset_table(layout))


@law("L7", "L18", given=layout_functions())
def functions_are_recovered_exactly_or_not_at_all(given: LayoutFunction) -> None:
    """Linear and swizzled functions have digits; a rotation has none unless it is trivial."""
    m, n = given.shape
    table = [given.function(i, j) for i in range(m) for j in range(n)]
    found = recover_layout(given.shape, table)
    if found is not None:
        assert offset_table(found).ravel().tolist() == table and is_injective_layout(found)
    assert found is not None or given.name.startswith("rows turned")


@law("L27", offsets=st.lists(st.integers(0, 63), min_size=16, max_size=16))
def recovery_of_any_table_is_exact_or_none(offsets: list[int]) -> None:
    found = recover_layout((4, 4), offsets)
    if found is not None:
        assert offset_table(found).ravel().tolist() == offsets
    threads, regs = [o // 8 for o in offsets], [o % 8 for o in offsets]
    f = recover_fragment((4, 4), [threads], regs)
    if f is not None:
        assert thread_table(f)[:, 0].tolist() == threads and reg_table(f).tolist() == regs


DIGITS = st.lists(st.sampled_from([1, 2, 3, 4, 6, 8]), min_size=2, max_size=4)


@law("L27", weights=DIGITS, extents=DIGITS, in_threads=st.integers(0, 15))
def recovery_of_sums_of_digits_is_exact_or_none(weights: list[int], extents: list[int], in_threads: int) -> None:
    """Digits of any weights: with gaps between the numbers, or with elements that meet, there is no fragment."""
    digits = list(zip(weights, extents))
    places = [(0, 0)]
    for n, (weight, extent) in enumerate(digits):
        t, r = (weight, 0) if in_threads >> n & 1 else (0, weight)
        places = [(a + t * i, b + r * i) for a, b in places for i in range(min(extent, 4))]
    threads, regs = [t for t, _ in places], [r for _, r in places]
    f = recover_fragment((len(places),), [threads], regs)
    if f is not None:
        assert thread_table(f)[:, 0].tolist() == threads and reg_table(f).tolist() == regs
        assert f.num_threads == max(threads) + 1 and f.num_regs == max(regs) + 1


LAWS = laws_of(globals())
