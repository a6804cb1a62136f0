"""What the stopwatch of a GPU asks of the driver, against a stand-in that keeps books: no GPU needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from tiledsl.errors import TileError
from tiledsl.profiling.measure import Plan, measured
from tiledsl.runtime.arguments import bind
from tiledsl.runtime.signature import Signature, TensorParameter
from tiledsl.runtime.timing import CudaStopwatch, hardware, resident

cuda = pytest.importorskip("cuda.bindings.driver", reason="cuda-python is not installed")
OK = cuda.CUresult.CUDA_SUCCESS
MAKERS = {
    "cuStreamCreate",
    "cuEventCreate",
    "cuMemAlloc",
    "cuGraphInstantiate",
    "cuStreamEndCapture",
    "cuMemAllocAsync",
}
ENDERS = {
    **{"cuStreamDestroy": "cuStreamCreate", "cuEventDestroy": "cuEventCreate", "cuMemFree": "cuMemAlloc"},
    **{"cuGraphExecDestroy": "cuGraphInstantiate", "cuGraphDestroy": "cuStreamEndCapture"},
    **{"cuMemFreeAsync": "cuMemAllocAsync"},
}
ATTRIBUTES = {
    "CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT": 132,
    "CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE": 50 << 20,
    "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR": 9,
    "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR": 0,
}


@dataclass
class Api:
    """cuda.bindings.driver with its calls written down; enums are the real ones. `alive` is what was not given back."""

    fails: str = ""
    calls: list[tuple[Any, ...]] = field(default_factory=list)
    alive: dict[int, str] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        real = getattr(cuda, name)  # no call that the bindings do not have
        if not name.startswith("cu"):
            return real
        return lambda *args: self._call(name, args)

    def _call(self, name: str, args: tuple[Any, ...]) -> Any:
        self.calls.append((name, *args))
        if name == self.fails:
            return (cuda.CUresult.CUDA_ERROR_INVALID_VALUE, 0)
        if name == "cuGetErrorString":
            return OK, b"wrong"
        if name in MAKERS:
            handle = 0x1000 * (1 + len(self.calls))
            self.alive[handle] = name
            return OK, handle
        if name in ENDERS:
            assert self.alive.pop(args[0]) == ENDERS[name]
            return (OK,)
        match name:
            case "cuDeviceGet":
                return OK, args[0]
            case "cuDeviceGetName":
                return OK, b"NVIDIA H100 80GB HBM3\0\0\0"
            case "cuDriverGetVersion":
                return OK, 13020
            case "cuDeviceGetAttribute":
                return OK, ATTRIBUTES[args[0].name]
            case "cuDevicePrimaryCtxRetain":
                return OK, "context"
            case "cuEventElapsedTime":
                return OK, 0.5
        return (OK,)

    def names(self) -> list[str]:
        return [c[0] for c in self.calls]


def test_what_gpu_it_is() -> None:
    found = hardware(CudaStopwatch(Api()))
    assert (found.name, found.architecture, found.sms, found.driver) == ("NVIDIA H100 80GB HBM3", "sm_90a", 132, "13.2")
    assert found.l2_bytes == 50 << 20


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("flush", [False, True])
def test_a_measurement_gives_everything_back(graph: bool, flush: bool) -> None:
    api = Api()
    with CudaStopwatch(api) as watch:
        found = measured(
            watch, lambda: api.calls.append(("run", watch.stream)), Plan(n_repeat=20, graph=graph, l2_flush=flush)
        )
        (stream,) = [handle for handle, made in api.alive.items() if made == "cuStreamCreate"]
        assert watch.stream == stream
    assert api.alive == {}
    assert {c[1] for c in api.calls if c[0] == "run"} == {stream}
    assert ("cuMemsetD8Async" in api.names()) == flush
    if flush:
        (size,) = {c[3] for c in api.calls if c[0] == "cuMemsetD8Async"}
        assert size == 3 * (50 << 20)
    if not graph:
        assert found.milliseconds == (0.5,) * 20
    assert ("cuGraphLaunch" in api.names()) == graph


def test_events_of_a_graph_are_nodes_of_it() -> None:
    api = Api()
    with CudaStopwatch(api) as watch:
        measured(watch, lambda: None, Plan(n_repeat=4, graph=True))
    begin, end = api.names().index("cuStreamBeginCapture"), api.names().index("cuStreamEndCapture")
    flags = cuda.CUevent_record_flags
    for number, call in enumerate(api.calls):
        if call[0] == "cuEventRecordWithFlags":
            inside = begin < number < end
            wanted = flags.CU_EVENT_RECORD_EXTERNAL if inside else flags.CU_EVENT_RECORD_DEFAULT
            assert call[3] == wanted.value
    assert not {"cuMemAlloc", "cuStreamSynchronize"} & set(api.names()[begin:end]), "not allowed while capturing"


def test_a_stream_that_is_given_stays() -> None:
    api = Api()
    with CudaStopwatch(api, 0, 77) as watch:
        assert watch.stream == 77
    assert "cuStreamCreate" not in api.names() and "cuStreamDestroy" not in api.names()


def test_a_capture_ends_where_the_work_fails() -> None:
    api = Api()

    def work() -> None:
        raise ValueError("no")

    with CudaStopwatch(api) as watch, pytest.raises(ValueError, match="no"):
        watch.captured(work)
    assert api.names().index("cuStreamBeginCapture") < api.names().index("cuStreamEndCapture")


@pytest.mark.parametrize("call", ["cuEventCreate", "cuEventRecordWithFlags", "cuStreamCreate", "cuMemsetD8Async"])
def test_what_the_driver_refuses_is_an_error(call: str) -> None:
    api = Api(fails=call)
    with pytest.raises(TileError, match=r"TD0615.*CUDA_ERROR_INVALID_VALUE"), CudaStopwatch(api) as watch:
        measured(watch, lambda: None, Plan(n_repeat=1))
    assert api.alive == {}


class OnGpu:
    def __init__(self, pointer: int) -> None:
        self.__cuda_array_interface__ = {"data": (pointer, False), "typestr": "<f4", "shape": (8, 4), "version": 3}


TENSORS = tuple(TensorParameter(n, "float32", (8, 4), written=n == "B") for n in ("A", "B"))
SIGNATURE = Signature("k", TENSORS, (), (), ())


def test_arguments_of_the_host_are_copied_once_and_freed() -> None:
    api = Api()
    a, b = np.ones((8, 4), np.float32), np.ones((8, 4), np.float32)
    with CudaStopwatch(api) as watch:
        with resident(watch, SIGNATURE, bind(SIGNATURE, (a, b), {}), 0) as there:
            pointers = {n: t.pointer for n, t in there.tensors.items()}
            assert there.device == "cuda:0" and {api.alive[p] for p in pointers.values()} == {"cuMemAllocAsync"}
        assert "cuMemAllocAsync" not in api.alive.values()
    copied = [c[1:] for c in api.calls if c[0] == "cuMemcpyHtoD"]
    assert copied == [(pointers["A"], a.ctypes.data, 128), (pointers["B"], b.ctypes.data, 128)]


def test_of_tensors_on_the_gpu_those_that_are_written_are_copied() -> None:
    api = Api()
    with (
        CudaStopwatch(api) as watch,
        resident(watch, SIGNATURE, bind(SIGNATURE, (OnGpu(0xA0), OnGpu(0xB0)), {}), 0) as there,
    ):
        assert there.tensors["A"].pointer == 0xA0
        assert there.tensors["B"].pointer != 0xB0
    assert [c[1:] for c in api.calls if c[0] == "cuMemcpyDtoD"] == [(there.tensors["B"].pointer, 0xB0, 128)]
