"""count-versions: the same values from counters; loops that it must leave alone."""

from __future__ import annotations

import numpy as np
import pytest

from tiledsl.cpu import interp
from tiledsl.ir.dtypes import INDEX, INT32, DType
from tiledsl.ir.nodes import (
    Binary,
    Break,
    Cast,
    Const,
    Continue,
    Expr,
    For,
    If,
    Kernel,
    Load,
    LoopKind,
    Select,
    Serial,
    Stmt,
    Store,
    Unrolled,
    Var,
)
from tiledsl.ir.verify import verify
from tiledsl.ir.walk import walk
from tiledsl.passes.count_versions import count_versions
from tiledsl.testing.tile_stage import kernel, tensor

SERIAL = Serial()


def rem(e: Expr, n: int, dtype: DType, op: str = "rem") -> Expr:
    return Binary(op, e, Const(n, dtype))


def plus(e: Expr, c: int, dtype: DType) -> Expr:
    return Binary("+", e, Const(c, dtype))


def loop(
    extent: int, moduli: tuple[tuple[int, int], ...], dtype: DType = INT32, kind: LoopKind = SERIAL, op: str = "rem",
    extra: tuple[Stmt, ...] = (),
) -> tuple[Kernel, Var]:  # fmt: skip
    """out[i, k] = (k + c) rem n for each (c, n)."""
    k, t = Var("k", dtype), Var("t")
    out = tensor("out", (len(moduli), extent), INT32)

    def value(e: Expr) -> Expr:
        return e if dtype is INT32 else Cast(INT32, e)

    stores = tuple(
        Store(out, (Const(i, dtype), k), value(rem(plus(k, c, dtype) if c else k, n, dtype, op)))
        for i, (c, n) in enumerate(moduli)
    )
    body = For(k, Const(extent, dtype), (*(If(Binary("==", k, Const(2, dtype)), (s,)) for s in extra), *stores), kind)
    return kernel([out], [body], {}, 1, thread=t), k


def run(k: Kernel) -> np.ndarray:
    out = np.full(tuple(k.params[0].shape), -1, np.int32)  # type: ignore[union-attr]
    interp.run(k, {"out": out})
    return out


def remainders(k: Kernel) -> int:
    return sum(isinstance(n, Binary) and n.op in ("%", "rem") for s in k.launches[0].body for n in walk(s))


@pytest.mark.parametrize("op, dtype", [("rem", INT32), ("%", INT32), ("%", INDEX)], ids=str)
@pytest.mark.parametrize("extent", [1, 2, 7])
def test_counts(extent: int, op: str, dtype: DType) -> None:
    before, _ = loop(extent, ((0, 3), (2, 3), (5, 4), (0, 2)), dtype, op=op)
    after = count_versions(before)
    verify(after)
    assert remainders(before) == 4 and remainders(after) == 0
    np.testing.assert_array_equal(run(after), run(before))
    assert run(after)[1].tolist() == [(k + 2) % 3 for k in range(extent)]


def test_masks_are_remainders() -> None:
    """A power of two has become a mask by then."""
    k, t = Var("k", INT32), Var("t")
    out = tensor("out", (9,), INT32)
    value = Binary("&", plus(k, 1, INT32), Const(3, INT32))
    other = Binary("&", k, Const(5, INT32))
    before = kernel([out], [For(k, Const(9, INT32), (Store(out, (k,), Binary("+", value, other)),))], {}, 1, thread=t)
    after = count_versions(before)
    masks = [n for s in after.launches[0].body for n in walk(s) if isinstance(n, Binary) and n.op == "&"]
    assert masks == [other]
    np.testing.assert_array_equal(run(after), run(before))


def test_one_counter_for_equal_remainders() -> None:
    after = count_versions(loop(5, ((1, 3), (1, 3)))[0])
    assert sum(isinstance(n, Load) for s in after.launches[0].body for n in walk(s)) == 1


@pytest.mark.parametrize("moduli", [((0, 3), (2, 3)), ((3, 4), (0, 4)), ((0, 2), (1, 2)), ((1, 3), (0, 3), (2, 3))])
def test_what_comes_next_takes_over_the_value_of_another(moduli: tuple[tuple[int, int], ...]) -> None:
    """The copy to write next is the one read now: only where none is ahead by 1 does a counter count."""
    before, _ = loop(9, moduli)
    after = count_versions(before)
    np.testing.assert_array_equal(run(after), run(before))
    assert sum(isinstance(n, Select) for s in after.launches[0].body for n in walk(s)) == (len(moduli) < moduli[0][1])


def test_break_is_fine_and_continue_is_not() -> None:
    before, _ = loop(6, ((0, 3),), extra=(Break(),))
    after = count_versions(before)
    assert remainders(after) == 0
    np.testing.assert_array_equal(run(after), run(before))
    before, _ = loop(6, ((0, 3),), extra=(Continue(),))
    assert count_versions(before) == before


def test_unrolled_loops_are_left_to_constants() -> None:
    before, _ = loop(6, ((0, 3),), kind=Unrolled())
    assert count_versions(before) == before


def test_nested_loops_count_for_themselves() -> None:
    """A counter starts again with its loop; a remainder of the outer variable is counted by the outer loop."""
    k, j, t = Var("k", INT32), Var("j", INT32), Var("t")
    out = tensor("out", (4, 5), INT32)
    value = Binary("+", Binary("*", rem(k, 3, INT32), Const(10, INT32)), rem(plus(j, 1, INT32), 2, INT32))
    inner = For(j, Const(5, INT32), (Store(out, (k, j), value),))
    before = kernel([out], [For(k, Const(4, INT32), (inner,))], {}, 1, thread=t)
    after = count_versions(before)
    assert remainders(after) == 0
    np.testing.assert_array_equal(run(after), run(before))
    assert run(after)[3].tolist() == [1, 0, 1, 0, 1]
