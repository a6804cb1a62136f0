"""The widest legal vector of a loop (algorithms.md D.3), against a brute-force search over addresses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tiledsl.analysis.loop_access import evaluate
from tiledsl.analysis.vector_width import divisor, divisors_from, row_strides, steps, widest_vector
from tiledsl.ir.dtypes import FLOAT16, FLOAT32, DType
from tiledsl.ir.layout import row_major
from tiledsl.ir.nodes import AtomicUpdate, Binary, Buffer, Const, Expr, If, Load, Space, Stmt, Store, Var, eq, lt
from tiledsl.ir.swizzle import swizzled
from tiledsl.ir.tile import Parallel

I, J, K, N = Var("i"), Var("j"), Var("k"), Var("n")


def tensor(*shape, dtype: DType = FLOAT32, space: Space = Space.GLOBAL, strides=None) -> Buffer:
    return Buffer("x", shape, dtype, space, strides)


def width(*body: Stmt, extents=(16, 64), known=None, layouts=None) -> int:
    return widest_vector(Parallel((I, J), extents, body), layouts or {}, known or {})


def copy(x: Buffer, y: Buffer, *indices: Expr) -> Store:
    return Store(y, indices, Load(x, indices))


def test_contiguous_rows_take_16_bytes() -> None:
    assert width(copy(tensor(16, 64), tensor(16, 64), I, J)) == 4
    assert width(copy(tensor(16, 64, dtype=FLOAT16), tensor(16, 64, dtype=FLOAT16), I, J)) == 8
    assert width(Store(tensor(16, 64), (I, J), Load(tensor(16, 64, dtype=FLOAT16), (I, J)))) == 4  # the wider decides


def test_rows_and_offsets_must_stay_aligned() -> None:
    assert width(copy(tensor(16, 66), tensor(16, 66), I, J)) == 2
    assert width(copy(tensor(16, 65), tensor(16, 65), I, J)) == 1
    assert width(copy(tensor(16, 128), tensor(16, 128), I, K * 64 + J)) == 4
    assert width(copy(tensor(16, 128), tensor(16, 128), I, K * 2 + J)) == 2
    assert width(copy(tensor(16, 128), tensor(16, 128), I, K + J)) == 1
    assert width(copy(tensor(16, 64), tensor(16, 64), I, J), extents=(16, 42)) == 2


def test_columns_are_not_contiguous() -> None:
    assert width(copy(tensor(64, 16), tensor(64, 16), J, I)) == 1
    assert width(copy(tensor(16, 64, strides=(1, 16)), tensor(16, 64), I, J)) == 1


def test_one_value_may_be_read_by_all_lanes_but_not_written() -> None:
    assert width(Store(tensor(16, 64), (I, J), Load(tensor(16), (I,)))) == 4
    assert width(Store(tensor(16), (I,), Load(tensor(16, 64), (I, J)))) == 1
    assert width(AtomicUpdate("add", tensor(16, 64), (I, J), Load(tensor(16, 64), (I, J)))) == 1


def test_run_time_strides_need_an_assumption() -> None:
    x, y = tensor(16, N), tensor(16, N)
    assert width(copy(x, y, I, J)) == 1
    assert width(copy(x, y, I, J), known={N: 2}) == 2
    assert divisors_from([eq(N % 8, 0), Binary("and", eq(K % 4, 0), lt(N, 5))]) == {N: 8, K: 4}
    assert width(copy(x, y, I, J), known=divisors_from([eq(N % 8, 0)])) == 4


def test_conditions_must_not_vary_within_a_vector() -> None:
    x, y = tensor(16, 64), tensor(16, 64)
    body = copy(x, y, I, J)
    assert width(If(lt(J, N), (body,))) == 1
    assert width(If(lt(J, N), (body,)), known={N: 4}) == 4
    assert width(If(lt(J, 62), (body,))) == 2
    assert width(If(lt(I, N), (body,))) == 4
    assert width(If(Binary("and", lt(I, N), eq(J % 2, 0)), (body,))) == 1


def test_the_end_of_a_tensor_must_not_cut_a_vector() -> None:
    """A vector half outside would be loaded element by element, by lanes that are far apart."""
    at = K * 64 + J

    def over(extent: Expr | int, **how: object) -> int:
        body = Store(tensor(16, 64, space=Space.SHARED), (I, J), Load(tensor(extent), (at,)))
        loop = Parallel((I, J), (16, 64), (body,))
        return widest_vector(loop, {}, how.get("known", {}), how.get("ranges", {}))

    assert [over(n) for n in (128, 126, 127)] == [4, 2, 1]
    assert over(127, ranges={K: (0, 0)}) == 4
    assert over(127, ranges={K: (0, 1)}) == 1
    assert (over(N), over(N, known={N: 2})) == (1, 2)


def test_digits_of_the_index_are_contiguous_within_groups() -> None:
    x, y = tensor(64, 16), tensor(16, 64)
    assert width(Store(y, (I, J), Load(x, (J // 16, J % 16)))) == 4
    assert width(Store(y, (I, J), Load(x, (J // 2, J % 2)))) == 2


def test_shared_layouts_limit_the_vector() -> None:
    s = tensor(16, 64, dtype=FLOAT16, space=Space.SHARED)
    g = tensor(16, 64, dtype=FLOAT16)
    assert width(copy(g, s, I, J), layouts={s: swizzled((16, 64), 16)}) == 8
    assert width(copy(g, s, I, J), layouts={s: row_major((16, 64), 2)}) == 2


def test_divisors() -> None:
    assert divisor(K * 64 + 8, {}) == 8 and divisor(K * 6, {K: 4}) == 24
    assert divisor(K * 64 // 16, {}) == 4 and divisor(K % 6, {K: 4}) == 2
    assert divisor(Const(0), {}) > 1 << 20
    assert row_strides(tensor(2, 3, 5)) == (15, 5, 1)


@st.composite
def indices(draw: st.DrawFn) -> Expr:
    e: Expr = draw(st.sampled_from((J, I, K, Const(3), Const(8))))
    for _ in range(draw(st.integers(0, 4))):
        other = draw(st.sampled_from((J, I, K, Const(4), Const(6), Const(16))))
        match draw(st.sampled_from("+-*/%")):
            case "+":
                e = e + other
            case "-":
                e = e - other
            case "*":
                e = e * draw(st.sampled_from((2, 4, 16)))
            case "/":
                e = e // draw(st.sampled_from((2, 4, 8)))
            case "%":
                e = e % draw(st.sampled_from((2, 4, 8)))
    return e


@given(indices(), st.sampled_from((2, 4, 8)), st.integers(0, 9), st.integers(0, 9), st.integers(0, 9))
def test_S4_steps_and_divisors_hold_for_all_values(e: Expr, lanes: int, i: int, k: int, group: int) -> None:
    """Whatever is claimed of an aligned group of lanes is true of its values."""
    found = steps(e, J, lanes, {})
    values = [evaluate(e, {I: i, K: k, J: group * lanes + lane}) for lane in range(lanes)]
    if found is not None:
        assert values == [values[0] + found * lane for lane in range(lanes)]
    assert evaluate(e, {I: i, K: k * 4, J: group * lanes}) % divisor(e, {K: 4, J: lanes}) == 0
