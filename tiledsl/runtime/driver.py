"""The few calls of the CUDA driver that a launch needs, behind a protocol that tests replace by a recording stub."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from typing import Any, Protocol

from tiledsl.errors import error

DEFAULT_SHARED_LIMIT = 48 * 1024  # above it a function must opt in (CUDA C++ Programming Guide, "Shared Memory")


class Driver(Protocol):
    """`packed` holds one 8-byte slot an argument; `stream` is a driver handle, 0 the default stream."""

    def architecture(self, device: int) -> str: ...

    def load(self, cubin: bytes, device: int) -> Any: ...

    def function(self, module: Any, name: str) -> Any: ...

    def allow_shared(self, function: Any, size: int) -> None: ...

    def launch(
        self, function: Any, grid: Sequence[int], threads: int, shared: int, stream: int, packed: Sequence[int]
    ) -> None: ...

    def allocate(self, size: int, stream: int) -> int: ...

    def free(self, pointer: int, stream: int) -> None: ...

    def copy_in(self, pointer: int, source: int, size: int) -> None: ...

    def copy_out(self, target: int, pointer: int, size: int) -> None: ...


class CudaDriver:
    """The real one, through `cuda.bindings.driver`, in the primary context of each device."""

    def __init__(self, api: Any) -> None:
        self.api = api
        self._contexts: dict[int, Any] = {}

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

    def launch(
        self, function: Any, grid: Sequence[int], threads: int, shared: int, stream: int, packed: Sequence[int]
    ) -> None:
        slots = (ctypes.c_uint64 * max(1, len(packed)))(*packed)
        base = ctypes.addressof(slots)
        pointers = (ctypes.c_void_p * max(1, len(packed)))(*(base + 8 * i for i in range(len(packed))))
        x, y, z = (*grid, 1, 1)[:3]
        self._check(
            self.api.cuLaunchKernel(function, x, y, z, threads, 1, 1, shared, stream, ctypes.addressof(pointers), 0)
        )

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
