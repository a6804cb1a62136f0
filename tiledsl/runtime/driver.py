"""The few calls of the CUDA driver that a launch needs, behind a protocol that tests replace by a recording stub."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from tiledsl.errors import error
from tiledsl.runtime.packing import FIRST_WITH_TENSOR_MAPS, Arguments, Slot, encoded, encoder, encoder_of
from tiledsl.tensor_map import TensorMap

DEFAULT_SHARED_LIMIT = 48 * 1024  # above it a function must opt in (CUDA C++ Programming Guide, "Shared Memory")


@dataclass(frozen=True, slots=True)
class Window:
    """Memory of which the L2 cache is to keep a share, `ratio`, of the lines that a launch reads."""

    pointer: int
    size: int
    ratio: float


@dataclass(frozen=True, slots=True)
class Shape:
    """How a function is launched. The blocks of one `cluster` run together (empty: each alone).

    `dependent`: it may start while the kernel before it in the stream still runs (programmatic dependent launch).
    `block` is the shape of a block of these threads, if it has more than one dimension.
    """

    grid: tuple[int, ...]
    threads: int
    shared_bytes: int
    cluster: tuple[int, ...] = ()
    dependent: bool = False
    block: tuple[int, ...] = ()
    window: Window | None = None

    @property
    def threads_in_three(self) -> tuple[int, int, int]:
        x, y, z = (*(self.block or (self.threads,)), 1, 1)[:3]
        return x, y, z


class Driver(Protocol):
    """`packed` holds one slot an argument; `stream` is a driver handle, 0 the default stream."""

    def architecture(self, device: int) -> str: ...

    def load(self, cubin: bytes, device: int) -> Any: ...

    def function(self, module: Any, name: str) -> Any: ...

    def allow_shared(self, function: Any, size: int) -> None: ...

    def encode(self, m: TensorMap, pointer: int) -> bytes: ...

    def launch(self, function: Any, shape: Shape, stream: int, packed: Sequence[Slot]) -> None: ...

    def allocate(self, size: int, stream: int) -> int: ...

    def free(self, pointer: int, stream: int) -> None: ...

    def copy_in(self, pointer: int, source: int, size: int) -> None: ...

    def copy_out(self, target: int, pointer: int, size: int) -> None: ...


class CudaDriver:
    """The real one, through `cuda.bindings.driver`, in the primary context of each device."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self._contexts: dict[int, Any] = {}
        self._encoders: dict[str, Any] = {}

    def _check(self, result: tuple[Any, ...]) -> Any:
        status, *values = result
        if status != self.api.CUresult.CUDA_SUCCESS:
            _, text = self.api.cuGetErrorString(status)
            raise error("TD0615", status=status.name, text=text.decode() if text else "")
        return values[0] if len(values) == 1 else values

    def _use(self, device: int) -> None:
        if device not in self._contexts:
            handle = self._check(self.api.cuDeviceGet(device))
            self._contexts[device] = self._check(self.api.cuDevicePrimaryCtxRetain(handle))
        self._check(self.api.cuCtxSetCurrent(self._contexts[device]))

    def architecture(self, device: int) -> str:
        handle = self._check(self.api.cuDeviceGet(device))
        names = self.api.CUdevice_attribute
        major = self._check(self.api.cuDeviceGetAttribute(names.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, handle))
        minor = self._check(self.api.cuDeviceGetAttribute(names.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, handle))
        return f"sm_{major}{minor}" + ("a" if major >= 9 else "")

    def load(self, cubin: bytes, device: int) -> Any:
        self._use(device)
        return self._check(self.api.cuModuleLoadData(cubin))

    def function(self, module: Any, name: str) -> Any:
        return self._check(self.api.cuModuleGetFunction(module, name.encode()))

    def allow_shared(self, function: Any, size: int) -> None:
        if size > DEFAULT_SHARED_LIMIT:
            attribute = self.api.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
            self._check(self.api.cuFuncSetAttribute(function, attribute, size))

    def encode(self, m: TensorMap, pointer: int) -> bytes:
        name = encoder_of(m)
        if name not in self._encoders:
            where, _ = self._check(self.api.cuGetProcAddress(name.encode(), FIRST_WITH_TENSOR_MAPS, 0))
            self._encoders[name] = encoder(name, int(where))
        content, status = encoded(self.api, self._encoders[name], m, pointer)
        self._check((status,))
        return content

    def launch(self, function: Any, shape: Shape, stream: int, packed: Sequence[Slot]) -> None:
        arguments = Arguments(packed)
        x, y, z = (*shape.grid, 1, 1)[:3]
        block = shape.threads_in_three
        if not shape.cluster and not shape.dependent and shape.window is None:
            done = self.api.cuLaunchKernel(function, x, y, z, *block, shape.shared_bytes, stream, arguments.address, 0)
        else:
            done = self.api.cuLaunchKernelEx(self._config(shape, stream), function, arguments.address, 0)
        self._check(done)

    def _config(self, shape: Shape, stream: int) -> Any:
        """The launch as cuLaunchKernelEx takes it."""
        api = self.api
        config = api.CUlaunchConfig()
        config.gridDimX, config.gridDimY, config.gridDimZ = (*shape.grid, 1, 1)[:3]
        config.blockDimX, config.blockDimY, config.blockDimZ = shape.threads_in_three
        config.sharedMemBytes, config.hStream = shape.shared_bytes, stream
        attributes = []
        if shape.cluster:
            cluster = api.CUlaunchAttribute()
            cluster.id = api.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION
            dims = cluster.value.clusterDim
            dims.x, dims.y, dims.z = (*shape.cluster, 1, 1)[:3]
            attributes.append(cluster)
        if shape.dependent:
            early = api.CUlaunchAttribute()
            early.id = api.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION
            early.value.programmaticStreamSerializationAllowed = 1
            attributes.append(early)
        if shape.window is not None:
            attributes.append(self._kept(shape.window))
        config.attrs, config.numAttrs = attributes, len(attributes)
        return config

    def _kept(self, window: Window) -> Any:
        """The attribute for a window of the L2 cache, of which a part is set aside for what is to be kept.

        Source: CUDA C++ Programming Guide, "L2 Cache Control".
        """
        api, names = self.api, self.api.CUdevice_attribute
        device = self._check(api.cuCtxGetDevice())
        largest = self._check(api.cuDeviceGetAttribute(names.CU_DEVICE_ATTRIBUTE_MAX_ACCESS_POLICY_WINDOW_SIZE, device))
        kept = self._check(api.cuDeviceGetAttribute(names.CU_DEVICE_ATTRIBUTE_MAX_PERSISTING_L2_CACHE_SIZE, device))
        self._check(api.cuCtxSetLimit(api.CUlimit.CU_LIMIT_PERSISTING_L2_CACHE_SIZE, kept))
        made = api.CUlaunchAttribute()
        made.id = api.CUlaunchAttributeID.CU_LAUNCH_ATTRIBUTE_ACCESS_POLICY_WINDOW
        policy = made.value.accessPolicyWindow
        policy.base_ptr, policy.num_bytes, policy.hitRatio = window.pointer, min(window.size, largest), window.ratio
        policy.hitProp = api.CUaccessProperty.CU_ACCESS_PROPERTY_PERSISTING
        policy.missProp = api.CUaccessProperty.CU_ACCESS_PROPERTY_STREAMING
        return made

    def allocate(self, size: int, stream: int) -> int:
        return int(self._check(self.api.cuMemAllocAsync(max(1, size), stream)))

    def free(self, pointer: int, stream: int) -> None:
        self._check(self.api.cuMemFreeAsync(pointer, stream))

    def copy_in(self, pointer: int, source: int, size: int) -> None:
        self._check(self.api.cuMemcpyHtoD(pointer, source, size))

    def copy_out(self, target: int, pointer: int, size: int) -> None:
        self._check(self.api.cuMemcpyDtoH(target, pointer, size))


@cache
def find_driver() -> CudaDriver | None:
    """The driver of this machine with at least one device, or None."""
    try:
        from cuda.bindings import driver as api

        (status,) = api.cuInit(0)
    except Exception:  # no cuda-python on this platform, or pathfinder's own class for a missing libcuda
        return None
    if status != api.CUresult.CUDA_SUCCESS:
        return None
    status, count = api.cuDeviceGetCount()
    return CudaDriver(api) if status == api.CUresult.CUDA_SUCCESS and count else None
