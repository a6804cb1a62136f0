"""Kernel texts in the device API, written by hand: compiled for the CPU device and for sm_90a, run on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from tiledsl.codegen.device_api import device_functions, functions_in
from tiledsl.cpu.device import Mapped, Module, compile_source
from tiledsl.cpu.findings import Finding
from tiledsl.ir.dtypes import UINT8, DType
from tiledsl.isa.descriptor import Descriptor, Mode, mode_of
from tiledsl.runtime import nvrtc
from tiledsl.tensor_map import tensor_map

Array = np.ndarray[Any, Any]
MODES = ("early", "late", "random")
SCHEDULES = ("fifo", "reverse", "random")
KERNELS = Path(__file__).parent / "kernels"
HOLDERS = {
    "bfloat16": ml_dtypes.bfloat16,
    "float8_e4m3fn": ml_dtypes.float8_e4m3fn,
    "float8_e5m2": ml_dtypes.float8_e5m2,
    "tfloat32": np.float32,
}


def aligned(shape: Sequence[int], dtype: Any) -> Array:
    """Zeros that begin at a multiple of 256 bytes, as memory of a GPU does."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.zeros(size + 256, np.uint8)
    start = -raw.ctypes.data % 256
    return raw[start : start + size].view(dtype).reshape(shape)


def aligned_copy(values: Array) -> Array:
    made = aligned(values.shape, values.dtype)
    made[...] = values
    return made


def mapped(name: str, array: Array, box: Sequence[int], dtype: str | None = None, **how: Any) -> Mapped:
    return Mapped(tensor_map(name, dtype or array.dtype.name, array.shape, box, strides=array.strides, **how), array)


def compiled_for_sm_90a(text: str) -> nvrtc.Compiled:
    return nvrtc.compile_cuda(device_functions(functions_in(text)) + text, "sm_90a")


@cache
def module(text: str, name: str = "k", checked: bool = True) -> Module:
    return compile_source(text, [name], checked=checked)


def findings_of(
    text: str,
    arguments: Sequence[Any],
    *,
    threads: int = 32,
    shared_bytes: int = 4096,
    grid: Sequence[int] = (1,),
    name: str = "k",
    **how: Any,
) -> list[Finding]:
    """Everything that is wrong, of a run in the checked build."""
    found: list[Finding] = []
    module(text, name).launch(name, grid, threads, shared_bytes, arguments, findings=found, workers=1, **how)
    return found


def codes(found: Sequence[Finding]) -> set[str]:
    return {f.code for f in found}


def swizzled(offset: Array, swizzle: int) -> Array:
    """Where byte `offset` of a tile at a multiple of 1024 lies (CUDA Programming Guide, swizzle patterns)."""
    mask = {0: 0, 32: 1, 64: 3, 128: 7}[swizzle]
    moved: Array = offset ^ (offset // 128 & mask) << 4
    return moved


def values(rng: np.random.Generator, dtype: DType, shape: tuple[int, ...]) -> Any:
    """Small integers: every sum is exact, in float16 too."""
    low = 0 if dtype is UINT8 else -2
    return rng.integers(low, 3, shape).astype(HOLDERS.get(dtype.name, dtype.name))


def place(image: Any, tile: Any, d: Descriptor, k_major: bool) -> None:
    """Writes `tile`, (m or n, k), where the descriptor has it."""
    rows = tile if k_major else tile.T
    raw = np.ascontiguousarray(rows).view(np.uint8).reshape(rows.shape[0], -1)
    for r in range(raw.shape[0]):
        for u in range(raw.shape[1] // 16):
            at = d.unit_address(r, u, k_major)
            image[at : at + 16] = raw[r, 16 * u : 16 * u + 16]


def descriptor(start: int, swizzle: int, k_major: bool, base_offset: int = 0) -> Descriptor:
    """A packed tile: panels as wide as the swizzle."""
    mode = mode_of(swizzle)
    if mode is Mode.NONE:
        return Descriptor(start, 128 if k_major else 4096, 256 if k_major else 128, mode)
    return Descriptor(start, 16 if k_major else 16 * swizzle, 8 * swizzle, mode, base_offset)
