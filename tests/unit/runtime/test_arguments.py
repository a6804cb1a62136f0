"""Every way an argument can be wrong is a located message that names the parameter; right ones bind to pointers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from tiledsl.errors import TileError
from tiledsl.runtime.arguments import as_array, as_tensor, bind, pack
from tiledsl.runtime.signature import ScalarParameter, Signature, TensorParameter, evaluate, show

SIGNATURE = Signature(
    "matmul",
    (
        TensorParameter("A", "float16", ("m", 8)),
        TensorParameter("B", "bfloat16", (8, "n")),
        ScalarParameter("scale", "float32"),
        ScalarParameter("steps", "int32"),
        TensorParameter("C", "float32", ("m", ("*", "n", 2)), result=0),
    ),
    (ScalarParameter("m", "int32"), ScalarParameter("n", "int64")),
    (),
    (),
)


def good() -> dict[str, Any]:
    return {
        "A": np.zeros((3, 8), np.float16),
        "B": np.zeros((8, 5), ml_dtypes.bfloat16),
        "scale": 0.5,
        "steps": 7,
    }


def test_sizes_are_bound_and_results_allocated() -> None:
    bound = bind(SIGNATURE, (), good())
    assert dict(bound.sizes) == {"m": 3, "n": 5}
    assert bound.tensors["C"].shape == (3, 10)
    assert bound.results == ("C",)
    assert bound.device == "cpu"


def test_results_may_be_passed_in_place() -> None:
    mine = np.zeros((3, 10), np.float32)
    bound = bind(SIGNATURE, (), {**good(), "C": mine})
    assert bound.tensors["C"].pointer == mine.ctypes.data
    assert bound.results == ()


def unaligned() -> Any:
    raw = np.zeros(3 * 8 * 2 + 32, np.uint8)
    start = -raw.ctypes.data % 16 + 2
    return raw[start : start + 48].view(np.float16).reshape(3, 8)


BROKEN: list[tuple[str, str, Callable[[], dict[str, Any]]]] = [
    ("TD0602", "unexpected argument 'D'", lambda: {"D": 1}),
    ("TD0603", "misses: A", lambda: {"A": None}),
    ("TD0604", "'steps' is int32, but 4294967296 does not fit", lambda: {"steps": 2**32}),
    ("TD0605", "'scale' is a float32 scalar, but a str was given", lambda: {"scale": "x"}),
    ("TD0606", "'A' is a tensor, but a list was given", lambda: {"A": [1, 2]}),
    ("TD0607", "'A' must have dtype float16, but has float32", lambda: {"A": np.zeros((3, 8), np.float32)}),
    ("TD0608", "'A' must have rank 2, shape (m, 8), but has shape (3,)", lambda: {"A": np.zeros(3, np.float16)}),
    ("TD0609", "not a multiple of 16 bytes", lambda: {"A": unaligned()}),
    ("TD0612", "axis 1 of 'A' must have extent 8, but has 9", lambda: {"A": np.zeros((3, 9), np.float16)}),
    (
        "TD0613",
        "axis 0 of 'A' must have stride 8 elements, but has 16",
        lambda: {"A": np.zeros((6, 8), np.float16)[::2]},
    ),
]


@pytest.mark.parametrize(("code", "message", "change"), BROKEN, ids=[b[0] for b in BROKEN])
def test_wrong_arguments_are_named(code: str, message: str, change: Callable[[], dict[str, Any]]) -> None:
    given = {**good(), **change()}
    if given["A"] is None:
        del given["A"]
    with pytest.raises(TileError) as caught:
        bind(SIGNATURE, (), given)
    assert caught.value.code == code
    assert message in str(caught.value)


def test_too_many_positional_arguments() -> None:
    with pytest.raises(TileError, match="TD0601"):
        bind(SIGNATURE, (1, 2, 3, 4, 5, 6), {})


class OnDevice:
    """What CuPy and others expose."""

    def __init__(self, array: np.ndarray[Any, Any], number: int = 0) -> None:
        self.array = array
        self.device = type("Device", (), {"id": number})()
        self.__cuda_array_interface__ = {
            "data": (array.ctypes.data, False),
            "typestr": array.dtype.str,
            "shape": array.shape,
            "version": 3,
        }


class Torchlike:
    """The part of torch.Tensor that a launch needs."""

    def __init__(self, array: np.ndarray[Any, Any], dtype: str, device: str) -> None:
        self.array, self.dtype, self.device, self.shape = array, f"torch.{dtype}", device, array.shape

    def data_ptr(self) -> int:
        return self.array.ctypes.data

    def stride(self) -> tuple[int, ...]:
        return tuple(s // self.array.itemsize for s in self.array.strides)


class Dlpack:
    def __init__(self, array: np.ndarray[Any, Any]) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> Any:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return (1, 0)


def test_adapters_agree() -> None:
    array = np.arange(24, dtype=np.float32).reshape(4, 6)
    seen = [as_tensor(v) for v in (array, OnDevice(array), Torchlike(array, "float32", "cpu"), Dlpack(array))]
    for t in seen:
        assert t is not None
        assert (t.pointer, t.shape, t.strides, t.dtype) == (array.ctypes.data, (4, 6), (6, 1), "float32")
    assert [t.device for t in seen if t] == ["cpu", "cuda:0", "cpu", "cpu"]
    assert as_tensor(3) is None


def test_tensors_on_two_devices_are_rejected() -> None:
    given = {**good(), "A": OnDevice(np.zeros((3, 8), np.float16))}
    with pytest.raises(TileError, match=r"TD0610: 'B' is on cpu, but 'A' is on cuda:0"):
        bind(SIGNATURE, (), given)


def test_arrays_share_the_memory_of_other_libraries() -> None:
    array = np.zeros((2, 3), np.uint16)
    t = as_tensor(Torchlike(array, "bfloat16", "cpu"))
    assert t is not None
    as_array(t)[1, 2] = 1.5
    assert array[1, 2] == np.array(1.5, ml_dtypes.bfloat16).view(np.uint16)


def test_size_expressions_are_floor_arithmetic() -> None:
    e = ("//", ("+", "n", 127), 128)
    assert evaluate(e, {"n": 300}) == 3
    assert evaluate(("%", ("-", 0, 1), 8), {}) == 7
    assert evaluate(("min", ("max", "n", 2), ("*", 2, 2)), {"n": 9}) == 4
    assert show(e) == "((n + 127) // 128)"


@pytest.mark.parametrize(
    ("dtype", "value", "bits"),
    [
        ("int32", -1, 0xFFFFFFFF),
        ("int64", -1, 0xFFFFFFFFFFFFFFFF),
        ("float32", 1.0, 0x3F800000),
        ("float16", 1.0, 0x3C00),
        ("bfloat16", 1.0, 0x3F80),
        ("bool", True, 1),
        ("uint8", 255, 255),
    ],
)
def test_scalars_are_packed_as_their_bits(dtype: str, value: Any, bits: int) -> None:
    assert pack(dtype, value) == bits
