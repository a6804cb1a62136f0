"""ldmatrix and stmatrix move the same bytes as element copies (S17), and are chosen where the layouts allow."""

from __future__ import annotations

import itertools

import pytest

from tiledsl.ir.dtypes import BFLOAT16, FLOAT16, FLOAT32, INT8, DType
from tiledsl.ir.layout import Digit, Fragment, Layout, fragment, partition, row_major
from tiledsl.ir.layout_ops import permute_dims, replicate
from tiledsl.ir.nodes import AtomCall, Binary, Const, If, Kernel, Load, Store, Var, lt
from tiledsl.ir.swizzle import choose_swizzle, padded, swizzled
from tiledsl.ir.tile import Copy, Parallel, Transpose
from tiledsl.ir.walk import walk
from tiledsl.passes.lower_tiles.matrices import match_matrices
from tiledsl.testing.tile_stage import agree, kernel, lowered, region, shared, tensor, tile

OPERANDS = {
    "a": fragment("mk", "m2*32 m8 k4*2", "m2*16 k2*16 k2*8 m2*8 k2"),
    "b": fragment("nk", "n2*32 n8 k4*2", "n4*8 k2*16 k2*8 k2"),
    "accumulator": fragment("mn", "m2*32 m8 n4*2", "m2*16 n4*8 m2*8 n2"),
}


def atoms(k: Kernel) -> set[str]:
    return {n.atom for s in k.launches[0].body for n in walk(s) if isinstance(n, AtomCall)}


def load_kernel(f: Fragment, dtype: DType, layout: Layout, transposed: bool = False, width: int = 0) -> Kernel:
    stored = f.shape[::-1] if transposed else f.shape
    a, b = tensor("a", stored, dtype), tensor("b", f.shape, dtype)
    s, c = shared("s", stored, dtype), tile("c", f.shape, dtype)
    move = Transpose(region(s), region(c)) if transposed else Copy(region(s), region(c), width=width)
    threads = max(f.num_threads, 32)
    return kernel([a, b], [Copy(region(a), region(s)), move, Copy(region(c), region(b))], {s: layout, c: f}, threads)


@pytest.mark.parametrize("swizzle", [32, 64, 0], ids=["quarter", "half", "padded"])
@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("name", OPERANDS)
def test_ldmatrix(name: str, transposed: bool, swizzle: int) -> None:
    f = OPERANDS[name]
    stored = f.shape[::-1] if transposed else f.shape
    layout = swizzled(stored, 16, swizzle) if swizzle else padded(stored, 16)
    k = load_kernel(f, FLOAT16, layout, transposed)
    assert atoms(lowered(k)) == {"ldmatrix_x4_trans" if transposed else "ldmatrix_x4"}
    agree(k)


def test_a_width_asks_for_element_copies() -> None:
    f = OPERANDS["a"]
    assert not atoms(lowered(load_kernel(f, FLOAT16, swizzled(f.shape, 16, 64), width=2)))


@pytest.mark.parametrize("count", [1, 2, 3, 6])
def test_leftover_matrices(count: int) -> None:
    f = fragment("nk", "n8 k4*2", f"n{count}*8 k2")
    k = load_kernel(f, BFLOAT16, row_major((8 * count, 8)))
    assert atoms(lowered(k)) == {f"ldmatrix_x{2 if count % 2 == 0 else 1}"}
    agree(k)


@pytest.mark.parametrize(
    "f, dtype",
    [(fragment("mk", "m8 k4*4", "k2*16 m2*8 k4"), INT8), (fragment("mk", "m8 k4", "k2*4 m2*8"), FLOAT32)],
    ids=["8-bit", "32-bit"],
)
def test_other_widths(f: Fragment, dtype: DType) -> None:
    """Rows of 16 or 4 elements go plain; .trans would tear elements of other than 16 bits apart."""
    k = load_kernel(f, dtype, choose_swizzle(f.shape, dtype.bits))
    assert atoms(lowered(k)) == {"ldmatrix_x4"}
    agree(k)
    turned = load_kernel(f, dtype, choose_swizzle(f.shape[::-1], dtype.bits), transposed=True)
    assert not atoms(lowered(turned))
    agree(turned)


def test_replicated_operand() -> None:
    f = replicate(OPERANDS["a"], 2)
    k = load_kernel(f, FLOAT16, swizzled(f.shape, 16, 64))
    assert atoms(lowered(k)) == {"ldmatrix_x4"}
    agree(k)


@pytest.mark.parametrize(
    "layout",
    [row_major((64, 32), 1), row_major((64, 32), 4)],
    ids=["odd rows", "half chunks"],
)
def test_rows_that_are_not_aligned(layout: Layout) -> None:
    """S4: a row of a matrix starts at a multiple of 16 bytes, or elements are loaded."""
    k = load_kernel(OPERANDS["a"], FLOAT16, layout)
    assert not atoms(lowered(k))
    agree(k)


def test_boxes_at_unaligned_columns() -> None:
    f = OPERANDS["a"]
    a, b, s, c = (
        tensor("a", (64, 64), FLOAT16),
        tensor("b", (64, 32), FLOAT16),
        shared("s", (64, 64), FLOAT16),
        tile("c", (64, 32), FLOAT16),
    )
    for column, matrices in ((16, True), (4, False)):
        copy = Copy(region(s, 0, column, extents=(64, 32)), region(c))
        k = kernel(
            [a, b],
            [Copy(region(a), region(s)), copy, Copy(region(c), region(b))],
            {s: swizzled((64, 64), 16), c: f},
            64,
        )
        assert bool(atoms(lowered(k))) == matrices
        agree(k)


def test_not_under_a_branch_that_threads_take_differently() -> None:
    f, t = fragment("mk", "m8 k4*2", "k2*8 m2*8 k2"), Var("t")
    a, s, c = tensor("a", (16, 16), FLOAT16), shared("s", (16, 16), FLOAT16), tile("c", (16, 16), FLOAT16)
    copy = Copy(region(s), region(c))
    k = kernel([a], [Copy(region(a), region(s)), If(lt(t, 32), (copy,))], {s: row_major((16, 16)), c: f}, 64, thread=t)
    assert not atoms(lowered(k))
    k = kernel([a], [Copy(region(a), region(s)), copy], {s: row_major((16, 16)), c: f}, 64, thread=t)
    assert atoms(lowered(k)) == {"ldmatrix_x4"}


def test_other_layouts_are_no_matrices() -> None:
    for f in (
        partition((16, 32), 32, 8),
        partition((16, 32), 32, 2),
        Fragment((16, 32), (Digit(32, 1),), (Digit(16, 32),)),
    ):
        assert match_matrices(f, 1, 16) is None


def test_patterns_of_the_manual() -> None:
    """The eight rows and the pairs along a row, or for .trans the eight columns and the pairs along a column."""
    a = fragment("mk", "m8 k4*2", "k2*8 m2*8 k2")
    plain, trans = match_matrices(a, 1, 16), match_matrices(a, 0, 16)
    assert plain is not None and not plain.transposed and plain.row_dim == 0 and plain.count == 4
    assert trans is not None and trans.transposed and trans.row_dim == 1 and trans.count == 4
    turned = permute_dims(a, (1, 0))
    assert turned is not None
    assert match_matrices(turned, 1, 16) == match_matrices(turned, 1, 16) is not None
    assert match_matrices(a, 0, 32) is None and match_matrices(a, 1, 8) is None


STORES = list(itertools.product(OPERANDS, [FLOAT16, FLOAT32], [64, 32]))


@pytest.mark.parametrize("name, dtype, swizzle", STORES, ids=str)
def test_stmatrix(name: str, dtype: DType, swizzle: int) -> None:
    """Registers are converted first where the tile in shared memory is narrower."""
    f = OPERANDS[name]
    a, b = tensor("a", f.shape, dtype), tensor("b", f.shape, FLOAT16)
    s, c = shared("s", f.shape, FLOAT16), tile("c", f.shape, dtype)
    body = [Copy(region(a), region(c)), Copy(region(c), region(s)), Copy(region(s), region(b))]
    k = kernel([a, b], body, {s: swizzled(f.shape, 16, swizzle), c: f}, 64)
    assert atoms(lowered(k, "sm_90a")) == {"stmatrix_x4"}
    assert not atoms(lowered(k, "sm_80"))
    agree(k, "sm_90a")
    agree(k, "sm_80")


def test_stmatrix_by_one_replica() -> None:
    f = replicate(OPERANDS["a"], 2)
    a, b = tensor("a", f.shape, FLOAT16), tensor("b", f.shape, FLOAT16)
    s, c = shared("s", f.shape, FLOAT16), tile("c", f.shape, FLOAT16)
    body = [Copy(region(a), region(c)), Copy(region(c), region(s)), Copy(region(s), region(b))]
    k = kernel([a, b], body, {s: swizzled(f.shape, 16, 64), c: f}, 128)
    assert atoms(lowered(k, "sm_90a")) == {"stmatrix_x4"}
    agree(k, "sm_90a")
    branches = [s for s in lowered(k, "sm_90a").launches[0].body if isinstance(s, If)]
    assert any(isinstance(n, AtomCall) for s in branches for n in walk(s))


def test_ragged_fragments_are_no_matrices() -> None:
    """An instruction would touch the rows past the end."""
    full = fragment("mk", "m8 k4*2", "k2*8 m2*8 k2")
    f = Fragment((12, 16), full.threads, full.regs)
    k = load_kernel(f, FLOAT16, row_major((12, 16)))
    assert f.is_ragged and not atoms(lowered(k))
    agree(k)


def test_arithmetic_is_no_copy() -> None:
    f = OPERANDS["a"]
    a, b, s, c = (
        tensor("a", f.shape, FLOAT16),
        tensor("b", f.shape, FLOAT16),
        shared("s", f.shape, FLOAT16),
        tile("c", f.shape, FLOAT16),
    )
    i, j = Var("i"), Var("j")
    double = Store(c, (i, j), Binary("*", Load(s, (i, j)), Const(2.0, FLOAT16)))
    body = [Copy(region(a), region(s)), Parallel((i, j), f.shape, (double,), layout=f), Copy(region(c), region(b))]
    k = kernel([a, b], body, {s: swizzled(f.shape, 16, 64), c: f}, 64)
    assert not atoms(lowered(k))
    agree(k)
