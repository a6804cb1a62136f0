"""The launch path against a driver that records: no GPU needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

from tiledsl.errors import TileError
from tiledsl.runtime.arguments import Tensor, bind
from tiledsl.runtime.driver import Shape
from tiledsl.runtime.maps import map_of
from tiledsl.runtime.packing import Slot
from tiledsl.runtime.program import Program, stream_handle
from tiledsl.runtime.signature import EntryPoint, MapParameter, ScalarParameter, Signature, TensorParameter
from tiledsl.tensor_map import TensorMap


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

    def encode(self, m: TensorMap, pointer: int) -> bytes:
        self.calls.append(("encode", m, pointer))
        return bytes([len(self.calls)]) * 128

    def launch(self, function: Any, shape: Shape, stream: int, packed: Sequence[Slot]) -> None:
        together = ((shape.cluster, shape.dependent),) if shape.cluster or shape.dependent else ()
        how = (tuple(shape.grid), shape.threads, shape.shared_bytes, stream, *together)
        self.calls.append(("launch", function, *how, tuple(packed)))

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


def test_an_array_with_gaps_travels_as_a_whole() -> None:
    signature = replace(
        SIGNATURE,
        parameters=(TensorParameter("A", "float32", (4, 3), (8, 1), written=True),),
        sizes=(),
        scratch=(),
        entries=(EntryPoint("e", (1,), 32, 0, ("A",)),),
    )
    driver = Recorder()
    Program(signature, b"").launch(driver, bind(signature, (np.ones((4, 8), np.float32)[:, :3],), {}))
    size = (3 * 8 + 3) * 4
    assert [c[-1] for c in driver.calls if c[0] in ("in", "out")] == [size, size]
    assert ("allocate", size, 0) in driver.calls


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


# -------------------------------------------------------------------------------------- tensor maps and clusters

MAPPED = Signature(
    "mapped",
    (TensorParameter("A", "float16", ("m", "n")), TensorParameter("B", "float16", ("m", "n"), written=True)),
    (ScalarParameter("m", "int32"), ScalarParameter("n", "int32")),
    (),
    (
        EntryPoint(
            "e",
            (("*", 2, ("//", ("+", "m", 63), 64)),),
            128,
            0,
            ("B", "m"),
            maps=(
                MapParameter("A", "float16", ("m", "n"), (64, 64), 128),
                MapParameter("B", "float16", (("*", "m", "n"),), (256,)),
            ),
            cluster=(2,),
        ),
    ),
)


def mapped_call(shape: tuple[int, int]) -> tuple[Recorder, Program, Any]:
    a, b = Device(0xA0, shape, "<f2"), Device(0xB0, shape, "<f2")
    return Recorder(), Program(MAPPED, b""), bind(MAPPED, (a, b), {})


def test_tensor_maps_come_before_the_arguments() -> None:
    driver, program, bound = mapped_call((65, 64))
    program.launch(driver, bound)
    encoded, (launch,) = [c for c in driver.calls if c[0] == "encode"], [c for c in driver.calls if c[0] == "launch"]
    (_, a, at_a), (_, b, at_b) = encoded
    assert (a.name, a.shape, a.strides, a.box, a.swizzle, at_a) == ("A", (65, 64), (128, 2), (64, 64), 128, 0xA0)
    assert (b.name, b.shape, b.strides, b.box, b.swizzle, at_b) == ("B", (65 * 64,), (2,), (256,), 0, 0xB0)
    *how, packed = launch
    assert how == ["launch", "module:e", (4,), 128, 0, 0, ((2,), False)]
    assert [len(x) if isinstance(x, bytes) else x for x in packed] == [128, 128, 0xB0, 65]


def test_a_map_is_encoded_once_for_the_same_tensor() -> None:
    driver, program, bound = mapped_call((64, 64))
    for _ in range(3):
        program.launch(driver, bound)
    assert len([c for c in driver.calls if c[0] == "encode"]) == 2
    packed = {c[-1] for c in driver.calls if c[0] == "launch"}
    assert len(packed) == 1
    program.launch(driver, bind(MAPPED, (Device(0xA0, (64, 64), "<f2"), Device(0xC0, (64, 64), "<f2")), {}))
    assert len([c for c in driver.calls if c[0] == "encode"]) == 3


def test_a_tensor_that_the_copy_engine_cannot_move_is_an_error_of_the_call() -> None:
    with pytest.raises(TileError, match=r"TD0651: tensor map of 'A': the stride in dimension 0 is 126; it must be a"):
        mapped_call((64, 63))
    mapped_call((0, 63))  # nothing is launched
    mapped_call((1, 64))


def test_a_row_of_any_length_is_right_where_there_is_one() -> None:
    m = map_of(MapParameter("A", "float16", (1, 20), (1, 8)), {})
    assert m.strides == (48, 2)


def test_a_grid_without_whole_clusters_is_an_error() -> None:
    (entry,) = MAPPED.entries
    odd = replace(MAPPED, entries=(replace(entry, cluster=(4,)),))
    _, _, bound = mapped_call((64, 64))
    driver = Recorder()
    with pytest.raises(TileError, match=r"TD0654: 'e' cannot be launched: grid x has 2 blocks, its clusters 4"):
        Program(odd, b"").launch(driver, bound)
    assert not [c for c in driver.calls if c[0] == "launch"]
