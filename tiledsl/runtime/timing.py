"""What measuring needs of a GPU: events, a cold L2 cache, graphs of launches, what GPU it is.

`Stopwatch` is the interface that `profiling` measures through; tests give it a clock of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Protocol

from tiledsl.runtime.arguments import Bound, Tensor, span_bytes
from tiledsl.runtime.driver import CudaDriver
from tiledsl.runtime.signature import Signature, TensorParameter

_L2_TIMES = 3  # so much memory is written to have nothing of a kernel's left in the cache
_NAME_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Hardware:
    """What a time was measured on, as far as it decides about it."""

    name: str
    architecture: str
    sms: int
    driver: str
    l2_bytes: int = 0


class Stopwatch(Protocol):
    """All that it does happens on one stream, in order."""

    @property
    def stream(self) -> int: ...

    @property
    def graphs(self) -> bool:
        """Whether it can capture graphs and flush caches."""
        ...

    def event(self) -> Any: ...

    def record(self, event: Any, *, in_graph: bool = False) -> None: ...

    def milliseconds(self, start: Any, end: Any) -> float:
        """Between two recorded events, after `synchronize`."""
        ...

    def flush(self) -> None:
        """Leaves nothing of earlier launches in the L2 cache."""
        ...

    def synchronize(self) -> None: ...

    def captured(self, work: Callable[[], None]) -> Callable[[], None]:
        """What launches the work of `work` as one graph."""
        ...


class CudaStopwatch(CudaDriver):
    """The real one. `stream` None: one of its own. A context manager, which gives back what it made."""

    graphs = True

    def __init__(self, api: Any, device: int = 0, stream: int | None = None) -> None:
        super().__init__(api)
        self._device = device
        self._given = stream
        self._mine = ExitStack()
        self._flushed: tuple[int, int] | None = None

    def __enter__(self) -> CudaStopwatch:
        self._use(self._device)
        if self._given is None:
            stream = self._check(self.api.cuStreamCreate(self.api.CUstream_flags.CU_STREAM_NON_BLOCKING.value))
            self._mine.callback(self.api.cuStreamDestroy, stream)
            self._given = int(stream)
            self._check(self.api.cuCtxSynchronize())  # the arguments may still be written on another stream
        return self

    def __exit__(self, *_: object) -> None:
        self.api.cuStreamSynchronize(self._given)
        self._mine.close()

    @property
    def stream(self) -> int:
        assert self._given is not None, "used outside of its with"
        return self._given

    def event(self) -> Any:
        made = self._check(self.api.cuEventCreate(self.api.CUevent_flags.CU_EVENT_DEFAULT.value))
        self._mine.callback(self.api.cuEventDestroy, made)
        return made

    def record(self, event: Any, *, in_graph: bool = False) -> None:
        """In a graph: by a node of its own, so that each launch of the graph records it anew."""
        flags = self.api.CUevent_record_flags
        chosen = flags.CU_EVENT_RECORD_EXTERNAL if in_graph else flags.CU_EVENT_RECORD_DEFAULT
        self._check(self.api.cuEventRecordWithFlags(event, self.stream, chosen.value))

    def milliseconds(self, start: Any, end: Any) -> float:
        return float(self._check(self.api.cuEventElapsedTime(start, end)))

    def flush(self) -> None:
        if self._flushed is None:
            size = _L2_TIMES * hardware(self, self._device).l2_bytes
            pointer = self._check(self.api.cuMemAlloc(max(size, 1)))
            self._mine.callback(self.api.cuMemFree, pointer)
            self._flushed = int(pointer), size
        pointer, size = self._flushed
        self._check(self.api.cuMemsetD8Async(pointer, 0, size, self.stream))

    def synchronize(self) -> None:
        self._check(self.api.cuStreamSynchronize(self.stream))

    def captured(self, work: Callable[[], None]) -> Callable[[], None]:
        """Raises TileError TD0615 where something of `work` cannot be part of a graph."""
        mode = self.api.CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL
        self._check(self.api.cuStreamBeginCapture(self.stream, mode))
        try:
            work()
        except BaseException:
            self.api.cuStreamEndCapture(self.stream)  # the stream is of no use before
            raise
        graph = self._check(self.api.cuStreamEndCapture(self.stream))
        self._mine.callback(self.api.cuGraphDestroy, graph)
        ready = self._check(self.api.cuGraphInstantiate(graph, 0))
        self._mine.callback(self.api.cuGraphExecDestroy, ready)
        return lambda: self._check(self.api.cuGraphLaunch(ready, self.stream))

    def copy_within(self, target: int, source: int, size: int) -> None:
        self._check(self.api.cuMemcpyDtoD(target, source, size))


def hardware(driver: CudaDriver, device: int = 0) -> Hardware:
    """What the driver says of a device."""
    api, check = driver.api, driver._check
    handle = check(api.cuDeviceGet(device))
    names = api.CUdevice_attribute
    name = check(api.cuDeviceGetName(_NAME_LENGTH, handle))
    sms = check(api.cuDeviceGetAttribute(names.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, handle))
    l2 = check(api.cuDeviceGetAttribute(names.CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE, handle))
    version = int(check(api.cuDriverGetVersion()))
    shown = name.partition(b"\0")[0].decode()
    return Hardware(shown, driver.architecture(device), int(sms), f"{version // 1000}.{version % 1000 // 10}", int(l2))


@contextmanager
def resident(watch: CudaStopwatch, signature: Signature, bound: Bound, device: int) -> Iterator[Bound]:
    """`bound` with everything on the GPU, and copies of what the kernel writes: the caller's tensors stay as they are.

    Copied once, so that no launch pays for it.
    """
    written = {p.name for p in signature.parameters if isinstance(p, TensorParameter) and p.written}
    made: dict[str, Tensor] = {}
    try:
        for name, t in bound.tensors.items():
            if t.device == "cpu" or name in written:
                size = span_bytes(t)
                made[name] = replace(t, pointer=watch.allocate(size, watch.stream), device=f"cuda:{device}")
                watch.synchronize()
                copy = watch.copy_in if t.device == "cpu" else watch.copy_within
                copy(made[name].pointer, t.pointer, size)
        yield replace(bound, tensors={**bound.tensors, **made}, device=f"cuda:{device}")
    finally:
        for t in made.values():
            watch.free(t.pointer, watch.stream)
