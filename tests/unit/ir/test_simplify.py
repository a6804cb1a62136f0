"""The normal form by example, what is left alone, and that it is stable and quick. The laws are in tests/property."""

from __future__ import annotations

import time
from math import inf

import pytest

from tiledsl.ir.dtypes import BOOL, FLOAT16, FLOAT32, INDEX, INT8, INT32, UINT8
from tiledsl.ir.fold import fold
from tiledsl.ir.layout import Digit, Layout, Swizzle, linear_at, partition, unravel
from tiledsl.ir.nodes import (
    FALSE,
    TRUE,
    Binary,
    Buffer,
    Call,
    Cast,
    Const,
    Expr,
    Extern,
    Load,
    Select,
    Unary,
    Var,
    eq,
    ge,
    le,
    lt,
)
from tiledsl.ir.printer import text
from tiledsl.ir.simplify import Simplifier, bounds_of, divisible, proves, simplify
from tiledsl.ir.walk import substitute

I, J, T, N, X = Var("i"), Var("j"), Var("t"), Var("n"), Var("x", INT32)
RANGES = {I: (0, 5), J: (0, 3), T: (0, 31), N: (0, inf)}
TABLE = Buffer("table", (8,), INT32)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((I * 4 + J) // 4, "i"),
        ((I * 4 + J) % 4, "j"),
        (T // 4 * 4 + T % 4, "t"),
        (T % 8 // 4, "t // 4 % 2"),
        (T % 8 % 4, "t % 4"),
        (T // 2 // 4, "t // 8"),
        ((I * 8 + J + 4) // 4, "i * 2 + 1"),
        (5 - I + I, "5"),
        ((T + 32) // 32, "1"),
        ((J * 64 + T) // 32, "j * 2"),
        (T % 32, "t"),
        ((T * 8 + I) // 16, "t // 2"),
        (T % 4 * 8 + T // 4 * 1024, "t // 4 * 1024 + t % 4 * 8"),
        ((T % 4 * 8 + T // 4 * 1024) // 1024, "t // 4"),
        ((T % 4 * 8 + T // 4 * 1024) % 1024 // 8, "t % 4"),
        (T % 16 // 8 + T // 16 * 2, "t // 8"),
        (I * J + J * I - I * J - J * I, "0"),
        ((I - 8) // 4, "i // 4 - 2"),
        ((N - 1) // 2 % 2, "((n + 1) // 2 + 1) % 2"),
        ((N - 1) % 4 // 2, "((n + 1) // 2 + 1) % 2"),
        ((N + 5) // 4 + (N + 1) // 4 * 3 - (N + 5) // 8 * 8, "((n + 1) // 4 + 1) % 2 * 4 - 3"),
        (Binary("div", T, Const(4)), "t // 4"),
        (Binary("&", T, Const(7)), "t % 8"),
        (Binary(">>", T, Const(2)), "t // 4"),
        (Binary("<<", T, Const(2)), "t * 4"),
        (Binary("min", J, Const(7)), "j"),
        (Binary("max", T, Const(31)), "31"),
        (Select(lt(J, 4), I, T), "i"),
        (Select(lt(J, 2), I, I), "i"),
        (N * 4 // 4, "n"),
        ((N * 8 + J) // 8, "n"),
        (I // N * 0, "0"),
        # A swizzle: the digits that it does not touch stay outside, constants go last.
        ((T % 8 * 64 + J * 8) ^ (T % 8 * 8), "t % 8 * 64 + (t % 8 ^ j) * 8"),
        ((T % 2 * 8 + 16) ^ (T // 2 % 4 * 8), "(t // 2 % 4 ^ t % 2 ^ 2) * 8"),
        (Const(5) ^ 3, "6"),
        (Cast(INDEX, Load(TABLE, (T % 8 + 0,))) * 2, "cast<index>(table[t % 8]) * 2"),
        (lt(T, 32), "true"),
        (lt(T, 31), "t < 31"),
        (lt(I + 1, J), "i < j - 1"),
        (lt(I, J + 1), "i - 1 < j"),
        (lt(I + 3, J), "false"),
        (ge(I, 1), "0 < i"),
        (le(I * 8 + J * 2, 24), "i * 4 + j < 13"),
        (lt(T * 8 + J, 64), "t < 8"),
        (lt(I * 8 + 7 - J, N * 8), "i < n"),
        (eq(I * 4, 6), "false"),
        (eq(I * 4, 8), "i == 2"),
        (Unary("not", lt(I, 3)), "2 < i"),
        (Binary("and", lt(T, 32), lt(I, 2)), "i < 2"),
        (Binary("or", lt(T, 32), lt(I, 2)), "true"),
    ],
    ids=lambda e: text(e) if isinstance(e, Expr) else "",
)
def test_normal_forms(before: Expr, after: str) -> None:
    once = simplify(before, RANGES)
    assert text(once) == after
    assert text(simplify(once, RANGES)) == after


def test_bounds() -> None:
    assert bounds_of(T % 4 * 8 + T // 4 * 1024, RANGES) == (0, 7 * 1024 + 24)
    assert bounds_of(I - J, RANGES) == (-3, 5)
    assert bounds_of(N // 4 + 1, RANGES) == (1, inf)
    assert bounds_of(I * N, RANGES) == (0, inf)
    assert bounds_of(Cast(INDEX, Load(Buffer("b", (8,), UINT8), (I,))), RANGES) == (0, 255)
    assert bounds_of(Cast(INT32, T * 2), RANGES) == (0, 62)
    assert bounds_of(Cast(INT8, T * 8), RANGES) == (-128, 127), "it may have wrapped"
    assert bounds_of(Binary("+", X, Const(1, INT32)), {X: (0, 9)}) == (1, 10)
    assert bounds_of(Binary("+", X, Const(1, INT32)), {}) == INT32.int_range


def test_proofs() -> None:
    assert proves(lt(T, 32), RANGES) is True
    assert proves(lt(31, T), RANGES) is False
    assert proves(lt(T, 31), RANGES) is None
    assert proves(Binary("and", lt(T, 32), ge(I, 0)), RANGES) is True
    assert divisible(T // 4 * 8 + J * 16, 8, RANGES)
    assert not divisible(T // 4 * 8 + J, 2, RANGES)


def test_a_loop_up_to_a_dynamic_extent_stays_in_it_if_the_extent_is_whole() -> None:
    k, ko = Var("k"), Var("ko")
    ranges = {k: (0, inf), ko: (0, inf), T: (0, 31)}
    inside = lt(ko * 32 + T, k)
    limits: dict[Var, Expr] = {ko: (k + 31) // 32}
    assert Simplifier(ranges, {k: 32}, limits).proves(inside) is True
    assert Simplifier(ranges, {}, limits).proves(inside) is None
    assert Simplifier(ranges, {k: 16}, limits).proves(inside) is None
    assert Simplifier({T: (0, inf)}, {}, {T: Const(8)}).proves(lt(5 - T, 0)) is None, "a limit is no lower bound"


def test_known_divisors_cancel_and_print_as_the_variable() -> None:
    s = Simplifier({N: (0, inf), T: (0, 7)}, {N: 8})
    assert text(s.simplify((N * 2 + T) // 8)) == "n // 8 * 2"
    assert text(s.simplify((N + 7) // 8 * 8)) == "n"
    assert s.divisible(N * 3, 8) and not s.divisible(N, 16)


def test_floats_and_wrapping_integers_are_left_alone() -> None:
    x = Load(Buffer("x", (8,), FLOAT32), (I,))
    assert simplify(Binary("-", Binary("+", x, x), x), RANGES) == Binary("-", Binary("+", x, x), x)
    wrapping = Binary("-", Binary("+", X, Const(1, INT32)), Const(1, INT32))
    assert simplify(wrapping, {}) == wrapping


def test_indices_inside_other_expressions_are_simplified() -> None:
    x = Buffer("x", (8,), FLOAT32)
    assert text(simplify(Call("exp", (Load(x, (T % 32 % 8,)),)), RANGES)) == "exp(x[t % 8])"


def test_an_effect_is_neither_moved_nor_dropped_nor_doubled() -> None:
    f = Extern("f", (), INDEX)
    for e in (f - f, f * 0, f + f, Select(lt(f, 0), I, I), Binary("and", lt(f, 0), FALSE)):
        assert simplify(e, RANGES) == e


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Binary("+", Const(127, INT8), Const(1, INT8)), Const(-128, INT8)),
        (Binary("*", Const(200, UINT8), Const(2, UINT8)), Const(144, UINT8)),
        (Unary("-", Const(-128, INT8)), Const(-128, INT8)),
        (Binary("<", Const(1, INT8), Const(2, INT8)), TRUE),
        (Cast(UINT8, Const(-1, INT32)), Const(255, UINT8)),
        (Cast(FLOAT16, Const(2048, INT32)), Const(2048.0, FLOAT16)),
        (Cast(INT32, Const(3.0, FLOAT32)), Const(3, INT32)),
        (Cast(BOOL, Const(1, INT32)), TRUE),
    ],
)
def test_constants_fold_as_the_machine_computes(before: Expr, after: Const) -> None:
    assert fold(before) == after


@pytest.mark.parametrize(
    "e",
    [
        Binary("//", Const(1, INT32), Const(0, INT32)),
        Binary("<<", Const(1, INT8), Const(9, INT8)),
        Binary("+", Const(0.1, FLOAT32), Const(0.2, FLOAT32)),
        Cast(FLOAT16, Const(2049, INT32)),
        Cast(FLOAT16, Const(0.1, FLOAT32)),
        Cast(FLOAT16, Const(-0.0, FLOAT32)),
        Cast(INT32, Const(inf, FLOAT32)),
        Cast(INT8, Const(300, INT32), saturate=True),
    ],
)
def test_what_has_no_exact_value_is_not_folded(e: Expr) -> None:
    assert fold(e) == e


def test_terms_of_one_name_keep_the_order_in_which_they_were_seen() -> None:
    first, second = Var("v"), Var("v")
    ranges = {first: (0, 3), second: (0, 3)}
    assert simplify(second + first, ranges) == second + first
    assert simplify(first + second, ranges) == first + second


def test_a_constant_inside_a_digit_is_no_flip_of_an_exclusive_or() -> None:
    """(i + 4) % 6 % 4 has the constant 4 in its sum, and in none of its digits."""
    simplified = simplify(Binary("^", I, Binary("%", Binary("%", I + 4, Const(6)), Const(4))), {I: (0, 2)})
    for i in range(3):
        assert simplify(substitute(simplified, {I: Const(i)}), {}) == Const(i ^ (i + 4) % 6 % 4)


def test_the_indices_of_a_gemm_take_milliseconds() -> None:
    """The bound is far above what it takes (10 ms on a desktop), and far below what quadratic behaviour would."""
    ranges = {I: (0, 31), J: (0, 31), T: (0, 127)}
    copied = partition((128, 32), 128, 8)
    layout = Layout((128, 32), ((Digit(128, 32),), (Digit(32, 1),)), 4096, Swizzle(2, 3, 3))
    indices: list[Expr] = []
    for n in range(40):
        r = Var(f"r{n}")
        ranges[r] = (0, 31)
        m, k = unravel(linear_at(copied, T, r), (128, 32))
        row, column = T // 64 * 64 + r * 2 + T % 32 % 16, T % 32 // 16 * 8
        indices += [I * 128 + m, J * 32 + k, lt(I * 128 + m, 4096), layout.offset((m, k)), layout.offset((row, column))]
        indices += [T // 64 * 64 + r + T % 32 // 4 + 8, T // 32 % 2 * 64 + r * 16 + T % 32 % 4 * 2 + 1]
    start = time.process_time()
    simplifier = Simplifier(ranges)
    for e in indices:
        simplifier.simplify(e)
    assert len(indices) == 280 and time.process_time() - start < 0.5
