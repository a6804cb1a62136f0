"""Laws of the arithmetic between traced numbers, dtypes and Python literals."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import tiledsl.language as T
from tiledsl.errors import TileError
from tiledsl.frontend.proxies import Scalar, apply, literal, promote, select
from tiledsl.ir.dtypes import BOOL, DTYPES, FLOAT32, INDEX, DType, Kind
from tiledsl.ir.nodes import Binary, Cast, Const, Expr, Select, Unary, Var
from tiledsl.ir.ops import BINARY, UNARY
from tiledsl.ir.types import dtype_of
from tiledsl.ir.walk import walk

NUMBERS = [d for d in DTYPES.values() if d.kind is not Kind.HANDLE]
INTEGERS = [d for d in NUMBERS if d.is_integer and d is not INDEX]
dtypes = st.sampled_from(NUMBERS)


def well_typed(e: Expr) -> bool:
    """Whether both operands of every binary operation have one dtype."""
    return all(dtype_of(n.a) == dtype_of(n.b) for n in walk(e) if isinstance(n, (Binary, Select)))


def value(e: Any) -> Any:
    """The value of an expression of constants, in Python."""
    match e:
        case Const(v):
            return v
        case Binary(op, a, b):
            return BINARY[op].eval(value(a), value(b))
        case Unary(op, a):
            return UNARY[op].eval(value(a))
        case Cast(_, a):
            return value(a)
        case Select(c, a, b):
            return value(a) if value(c) else value(b)
    raise TypeError(e)


def joined(a: DType, b: DType) -> DType | None:
    try:
        return promote(a, b)
    except TileError as problem:
        assert problem.code == "TD0203"
        return None


@given(dtypes, dtypes)
def test_promotion_is_symmetric_and_idempotent(a: DType, b: DType) -> None:
    common = joined(a, b)
    assert common == joined(b, a)
    assert joined(a, a) == a
    if common is not None and not (a.is_float and b.is_float):
        assert joined(common, a) == common and joined(common, b) == common


@given(st.sampled_from(INTEGERS), st.sampled_from(INTEGERS))
def test_the_common_integer_holds_both(a: DType, b: DType) -> None:
    common = joined(a, b)
    if common is None:
        assert a.bits == b.bits or {a.kind, b.kind} == {Kind.INT, Kind.UINT}
        return
    for d in (a, b):
        assert common.int_range[0] <= d.int_range[0] and d.int_range[1] <= common.int_range[1]


@given(dtypes, dtypes, st.sampled_from(["+", "-", "*", "<", "==", "//", "%"]))
def test_operations_are_well_typed(a: DType, b: DType, op: str) -> None:
    assume(joined(a, b) is not None)
    result = apply(op, Scalar(Var("x", a), a), Scalar(Var("y", b), b))
    assert well_typed(result.expr) and dtype_of(result.expr) == result.type
    assert result.type is BOOL if BINARY[op].result.value == "bool" else result.type is not BOOL


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "<": operator.lt,
    ">=": operator.ge,
    "!=": operator.ne,
}


@given(st.sampled_from(sorted(OPERATORS)), st.integers(-1000, 1000), st.integers(-1000, 1000), st.booleans())
def test_operators_mean_what_python_means(op: str, a: int, b: int, literal_first: bool) -> None:
    assume(b != 0 or op not in ("//", "%"))
    x: Any = a if literal_first else Scalar(literal(a, INDEX), INDEX)
    y: Any = Scalar(literal(b, INDEX), INDEX) if literal_first else b
    assert value(OPERATORS[op](x, y).expr) == OPERATORS[op](a, b)


@given(st.integers(-(2**70), 2**70), st.sampled_from([d for d in NUMBERS if d.is_integer]))
def test_literals_are_in_range_or_rejected(number: int, dtype: DType) -> None:
    low, high = dtype.int_range
    if low <= number <= high:
        assert literal(number, dtype) == Const(number, dtype)
    else:
        with pytest.raises(TileError, match="out of the range"):
            literal(number, dtype)


@pytest.mark.parametrize("dtype", [d for d in NUMBERS if d.is_float and d.bits < 64], ids=str)
def test_the_largest_float_is_a_literal_and_twice_it_is_not(dtype: DType) -> None:
    top = T.max_value(dtype.name)
    assert isinstance(top.expr, Const) and math.isfinite(top.expr.value)
    with pytest.raises(TileError, match="out of the range"):
        literal(top.expr.value * 2, dtype)


@pytest.mark.parametrize("name", ["float16", "float32", "float64"])
def test_the_largest_float_is_that_of_numpy(name: str) -> None:
    assert value(T.max_value(name).expr) == float(np.finfo(name).max)
    assert value(T.min_value(name).expr) == float(np.finfo(name).min)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz"])
def test_the_largest_small_float_is_that_of_ml_dtypes(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert value(T.max_value(name).expr) == float(ml_dtypes.finfo(name).max)


@pytest.mark.parametrize("name", ["float6_e2m3fn", "float6_e3m2fn", "float4_e2m1fn", "float8_e8m0fnu"])
def test_the_largest_tiny_float_is_that_of_ml_dtypes(name: str) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    assert value(T.max_value(name).expr) == float(ml_dtypes.finfo(getattr(ml_dtypes, name)).max)


def test_spellings_of_a_dtype_are_equal() -> None:
    assert T.float16 == "float16" == T.half and T.float == "float32" and T.float8_e4m3 == "float8_e4m3fn"
    assert (
        T.float16 == np.float16
        and T.float16 == np.dtype("float16")
        and T.bool == np.bool_
        and hash(T.half) == hash(T.float16)
    )
    assert T.float16 != "float32" and T.float16 != 16 and len({T.float16, T.half}) == 1


class FakeTorchDtype:
    __module__ = "torch"

    def __str__(self) -> str:
        return "torch.bfloat16"


def test_a_torch_dtype_is_known_by_its_name() -> None:
    assert T.bfloat16 == FakeTorchDtype()
    assert T.Tensor((4,), FakeTorchDtype()).dtype.name == "bfloat16"


def test_numpy_scalars_are_numbers_on_either_side() -> None:
    x = Scalar(Var("x", FLOAT32), FLOAT32)
    assert (x + np.float64(2)).expr == (x + 2.0).expr
    assert (np.int64(3) * x).expr == (3 * x).expr


def test_selection_promotes_and_keeps_python_conditions_at_trace_time() -> None:
    x, c = Scalar(Var("x", FLOAT32), FLOAT32), Scalar(Var("c", BOOL), BOOL)
    assert T.if_then_else(True, 1, x) == 1
    assert well_typed(select(c, x, 0).expr) and select(c, x, 0).type is FLOAT32
    assert select(c, 1.5, 2).type is FLOAT32


def test_words_on_python_numbers_compute_at_trace_time() -> None:
    assert T.ceildiv(7, 2) == 4 and T.max(1, 2, 3) == 3 and T.exp2(3) == 8.0 and T.truncdiv(-7, 2) == -3
    assert T.clamp(9, 0, 5) == 5 and T.shift_left(1, 4) == 16 and T.pow(2, 3) == 8 and T.abs(-2) == 2
