"""The launch path against a driver that records: no GPU needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tiledsl.errors import TileError
from tiledsl.runtime.arguments import Tensor, bind
from tiledsl.runtime.program import Program, stream_handle
from tiledsl.runtime.signature import EntryPoint, ScalarParameter, Signature, TensorParameter


@dataclass
class Recorder:
    """A driver that writes down what it is asked."""

    calls: list[tuple[Any, ...]] = field(default_factory=list)
    memory: int = 0x1000

    def architecture(self, device: int) -> str:
        return "sm_80"

    def load(self, cubin: bytes, device: int) -> Any:
        self.calls.append(("load", cubin, device))
        return "module"

    def function(self, module: Any, name: str) -> Any:
        return f"{module}:{name}"

    def allow_shared(self, function: Any, size: int) -> None:
        self.calls.append(("shared", function, size))

    def launch(
        self, function: Any, grid: Sequence[int], threads: int, shared: int, stream: int, packed: Sequence[int]
    ) -> None:
        self.calls.append(("launch", function, tuple(grid), threads, shared, stream, tuple(packed)))

    def allocate(self, size: int, stream: int) -> int:
        self.memory += 0x1000
        self.calls.append(("allocate", size, stream))
        return self.memory

    def free(self, pointer: int, stream: int) -> None:
        self.calls.append(("free", pointer, stream))

    def copy_in(self, pointer: int, source: int, size: int) -> None:
        self.calls.append(("in", pointer, size))

    def copy_out(self, target: int, pointer: int, size: int) -> None:
        self.calls.append(("out", pointer, size))


class Device:
    def __init__(self, pointer: int, shape: tuple[int, ...], typestr: str) -> None:
        self.__cuda_array_interface__ = {"data": (pointer, False), "typestr": typestr, "shape": shape, "version": 3}


SIGNATURE = Signature(
    "two_steps",
    (
        TensorParameter("A", "float32", ("m",)),
        ScalarParameter("scale", "float32"),
        TensorParameter("B", "float32", ("m",)),
    ),
    (ScalarParameter("m", "int32"),),
    (TensorParameter("workspace", "float32", ("m", 2)),),
    (
        EntryPoint("first", (("//", ("+", "m", 127), 128), 2), 128, 70000, ("A", "workspace", "m")),
        EntryPoint("second", (1,), 64, 0, ("workspace", "B", "scale")),
    ),
)


def launched(m: int) -> Recorder:
    driver = Recorder()
    a, b = Device(0xA0, (m,), "<f4"), Device(0xB0, (m,), "<f4")
    bound = bind(SIGNATURE, (a, 1.0, b), {})
    Program(SIGNATURE, b"cubin").launch(driver, bound, stream=77)
    return driver


def test_entries_are_launched_in_order_with_their_arguments() -> None:
    calls = launched(300).calls
    assert calls == [
        ("load", b"cubin", 0),
        ("shared", "module:first", 70000),
        ("shared", "module:second", 0),
        ("allocate", 300 * 2 * 4, 77),
        ("launch", "module:first", (3, 2), 128, 70000, 77, (0xA0, 0x2000, 300)),
        ("launch", "module:second", (1,), 64, 0, 77, (0x2000, 0xB0, 0x3F800000)),
        ("free", 0x2000, 77),
    ]


def test_an_empty_grid_launches_nothing() -> None:
    assert [c[1] for c in launched(0).calls if c[0] == "launch"] == ["module:second"]


def test_a_grid_too_large_is_an_error_before_the_launch() -> None:
    wide = Signature("k", SIGNATURE.parameters, SIGNATURE.sizes, (), (EntryPoint("e", (1, "m"), 32, 0, ("A",)),))
    a, b = Device(0xA0, (70000,), "<f4"), Device(0xB0, (70000,), "<f4")
    driver = Recorder()
    with pytest.raises(TileError, match=r"TD0616.*grid y is 70000"):
        Program(wide, b"").launch(driver, bind(wide, (a, 1.0, b), {}))
    assert not [c for c in driver.calls if c[0] == "launch"]


def test_numpy_arguments_travel_to_the_gpu_and_back() -> None:
    driver = Recorder()
    a, b = np.ones(4, np.float32), np.zeros(4, np.float32)
    Program(SIGNATURE, b"").launch(driver, bind(SIGNATURE, (a, 2.0, b), {}))
    kinds = [c[0] for c in driver.calls if c[0] not in ("load", "shared")]
    assert kinds == [
        "allocate",
        "in",
        "allocate",
        "in",
        "allocate",
        "launch",
        "launch",
        "free",
        "out",
        "out",
        "free",
        "free",
    ]


def test_the_cubin_is_loaded_once_a_device() -> None:
    driver = Recorder()
    program = Program(SIGNATURE, b"cubin")
    for number in (0, 0, 1):
        one = Tensor(0xA0, (1,), (1,), "float32", f"cuda:{number}", None)
        bound = bind(SIGNATURE, (Device(0xA0, (1,), "<f4"), 1.0, Device(0xB0, (1,), "<f4")), {})
        bound = type(bound)({"A": one, "B": one}, bound.scalars, bound.sizes, f"cuda:{number}", ())
        program.launch(driver, bound)
    assert [c[2] for c in driver.calls if c[0] == "load"] == [0, 1]


class TorchStream:
    cuda_stream = 5


class CupyStream:
    ptr = 6


@pytest.mark.parametrize(("stream", "handle"), [(None, 0), (9, 9), (TorchStream(), 5), (CupyStream(), 6)])
def test_streams_of_every_library(stream: Any, handle: int) -> None:
    assert stream_handle(stream) == handle
