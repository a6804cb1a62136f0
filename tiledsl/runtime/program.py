"""A compiled kernel on the GPU: loads the cubin once a device and launches its entries in order on one stream."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import zip_longest
from math import prod
from typing import Any

from tiledsl.errors import error
from tiledsl.runtime.arguments import Bound, Tensor, as_array, contiguous_strides, numpy_dtype, pack, span_bytes
from tiledsl.runtime.driver import Driver, Shape, Window
from tiledsl.runtime.maps import map_of
from tiledsl.runtime.packing import Slot
from tiledsl.runtime.signature import MapParameter, ScalarParameter, Signature, evaluate
from tiledsl.tensor_map import TensorMap, check_address

_MAPS_KEPT = 1024
_MAX_GRID = (2**31 - 1, 65535, 65535)  # CUDA C++ Programming Guide, "Technical Specifications per Compute Capability"


def stream_handle(stream: Any) -> int:
    """A stream of torch, CuPy, cuda-python or a plain handle as an integer.

    None means torch's current stream if torch is already loaded, else the default stream.
    """
    if stream is None:
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            return int(torch.cuda.current_stream().cuda_stream)
        return 0
    for attribute in ("cuda_stream", "ptr", "handle"):
        if hasattr(stream, attribute):
            return int(getattr(stream, attribute))
    if not isinstance(stream, int):
        raise error("TD0625", given=type(stream).__name__)
    return stream


@dataclass
class Program:
    """`cubin` and what it expects. Loaded functions are kept per device."""

    signature: Signature
    cubin: bytes
    _loaded: dict[int, dict[str, Any]] = field(default_factory=dict, repr=False)
    _maps: dict[tuple[TensorMap, int], bytes] = field(default_factory=dict, repr=False)

    def functions(self, driver: Driver, device: int) -> Mapping[str, Any]:
        if device not in self._loaded:
            module = driver.load(self.cubin, device)
            found = {e.name: driver.function(module, e.name) for e in self.signature.entries}
            for e in self.signature.entries:
                driver.allow_shared(found[e.name], e.shared_bytes)
            self._loaded[device] = found
        return self._loaded[device]

    def launch(self, driver: Driver, bound: Bound, stream: Any = None) -> None:
        """Launch every entry in order. NumPy arguments are copied to the GPU and back; nothing else synchronises."""
        handle = stream_handle(stream)
        device = int(bound.device.partition(":")[2] or 0)
        functions = self.functions(driver, device)
        with _on_device(driver, bound, handle) as moved, _scratch(driver, self.signature, moved, handle) as ready:
            dtypes = self._scalar_dtypes()
            numbers = ready.numbers()
            for e in self.signature.entries:
                grid = tuple(evaluate(x, numbers) for x in e.grid)
                check_grid(e.name, grid, e.cluster)
                if prod(grid) == 0:
                    continue
                packed: list[Slot] = [self._encoded(driver, m, ready, numbers) for m in e.maps]
                packed += [
                    ready.tensors[n].pointer if n in ready.tensors else pack(dtypes[n], self._value(ready, n))
                    for n in e.arguments
                ]
                window = None
                if e.window is not None:
                    kept = ready.tensors[e.window[0]]
                    window = Window(kept.pointer, span_bytes(kept), e.window[1])
                shape = Shape(grid, e.threads, e.shared_bytes, e.cluster, e.dependent, e.block, window)
                driver.launch(functions[e.name], shape, handle, packed)

    def _encoded(self, driver: Driver, m: MapParameter, bound: Bound, numbers: Mapping[str, int]) -> bytes:
        """The 128 bytes of a tensor map; kept, since programs call kernels with the same tensors again and again."""
        key = (map_of(m, numbers), bound.tensors[m.tensor].pointer)
        if key not in self._maps:
            if len(self._maps) >= _MAPS_KEPT:
                self._maps.clear()
            check_address(*key)
            self._maps[key] = driver.encode(*key)
        return self._maps[key]

    def _scalar_dtypes(self) -> dict[str, str]:
        every = [*self.signature.parameters, *self.signature.sizes]
        return {p.name: p.dtype for p in every if isinstance(p, ScalarParameter)}

    @staticmethod
    def _value(bound: Bound, name: str) -> int | float | bool:
        return bound.sizes[name] if name in bound.sizes else bound.scalars[name]


def check_grid(name: str, grid: tuple[int, ...], cluster: tuple[int, ...] = ()) -> None:
    """Raises TileError TD0616 for an extent that no GPU can launch, TD0654 for one that is no multiple of `cluster`."""
    for axis, (extent, limit) in enumerate(zip(grid, _MAX_GRID)):
        if not 0 <= extent <= limit:
            raise error("TD0616", entry=name, axis="xyz"[axis], extent=extent, limit=limit)
    for axis, (extent, blocks) in enumerate(zip_longest(grid, cluster, fillvalue=1)):
        if extent % blocks:
            raise error("TD0654", entry=name, axis="xyz"[axis], extent=extent, blocks=blocks)


@contextmanager
def _on_device(driver: Driver, bound: Bound, stream: int) -> Iterator[Bound]:
    """`bound` with CPU tensors replaced by copies on the GPU, which are copied back at the end."""
    if bound.device != "cpu":
        yield bound
        return
    moved: dict[str, Tensor] = {}
    try:
        for name, t in bound.tensors.items():
            size = span_bytes(t)
            moved[name] = replace(t, pointer=driver.allocate(size, stream))
            driver.copy_in(moved[name].pointer, t.pointer, size)
        yield replace(bound, tensors=moved)
        for name, t in bound.tensors.items():
            driver.copy_out(as_array(t).ctypes.data, moved[name].pointer, span_bytes(t))
    finally:
        for t in moved.values():
            driver.free(t.pointer, stream)


@contextmanager
def _scratch(driver: Driver, signature: Signature, bound: Bound, stream: int) -> Iterator[Bound]:
    """`bound` with the kernel's scratch buffers, freed in stream order."""
    tensors = dict(bound.tensors)
    numbers = bound.numbers()
    made: list[int] = []
    try:
        for p in signature.scratch:
            shape = tuple(evaluate(e, numbers) for e in p.shape)
            made.append(driver.allocate(prod(shape) * numpy_dtype(p.dtype).itemsize, stream))
            tensors[p.name] = Tensor(made[-1], shape, contiguous_strides(shape), p.dtype, bound.device, None)
        yield replace(bound, tensors=tensors)
    finally:
        for pointer in made:
            driver.free(pointer, stream)
