"""Inputs made for the parameters of a kernel: arrays of NumPy, or tensors where the program has imported torch."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np

from tiledsl.compat.tilelang.errors import refused
from tiledsl.decorator import CompiledKernel
from tiledsl.runtime.arguments import numpy_dtype
from tiledsl.runtime.signature import TensorParameter, show

Array = np.ndarray[Any, Any]


class TensorSupplyType(Enum):
    """The kind of numbers. Auto: uniform for floats of 16 bits and more, small integers for the rest."""

    Integer = 1
    Uniform = 2
    Normal = 3
    Randn = 4
    Zero = 5
    One = 6
    Auto = 7


@dataclass(frozen=True)
class KernelParam:
    """A parameter: `shape` is empty for a scalar, and has text where a size is known only in a call."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]
    is_tensor: bool = True
    result: int | None = None
    written: bool = False

    def is_scalar(self) -> bool:
        return not self.is_tensor

    def is_unsigned(self) -> bool:
        return self.dtype.startswith("uint")

    def is_float8(self) -> bool:
        return self.dtype.startswith("float8")

    def is_boolean(self) -> bool:
        return self.dtype == "bool"


def params_of(kernel: CompiledKernel) -> list[KernelParam]:
    """The parameters of a kernel, in order."""
    found = []
    for p in kernel.lowered.signature.parameters:
        if isinstance(p, TensorParameter):
            shape = tuple(e if isinstance(e, int) else show(e) for e in p.shape)
            found.append(KernelParam(p.name, p.dtype, shape, True, p.result, p.written))
        else:
            found.append(KernelParam(p.name, p.dtype, (), False))
    return found


def get_tensor_supply(
    supply_type: TensorSupplyType = TensorSupplyType.Integer, seed: int | None = None
) -> Callable[[KernelParam], Any]:
    """A function that makes a tensor for a parameter; a scalar is 1. `seed` None: other numbers each time.

    It raises TileError TD0643, a ValueError, for a parameter with a size that is known only in a call.
    """
    rng = np.random.default_rng(seed)

    def supply(p: KernelParam) -> Any:
        made = argument(rng, p, supply_type)
        return as_library(made) if p.is_tensor else made

    return supply


def argument(rng: np.random.Generator, p: KernelParam, kind: TensorSupplyType) -> Any:
    """What a call may get for a parameter, on the host: an array, 1 for a scalar. Raises TileError TD0643."""
    if not p.is_tensor:
        return 1
    if any(not isinstance(e, int) for e in p.shape):
        raise refused("TD0643", name=p.name, shape=", ".join(map(str, p.shape)))
    return _numbers(rng, p, kind)


def _numbers(rng: np.random.Generator, p: KernelParam, kind: TensorSupplyType) -> Array:
    """An array for a parameter, on the host."""
    shape, dtype = tuple(int(e) for e in p.shape), numpy_dtype(p.dtype)
    is_float = "float" in p.dtype
    if kind is TensorSupplyType.Auto:
        wide = is_float and dtype.itemsize >= 2
        kind = TensorSupplyType.Uniform if wide else TensorSupplyType.Integer
    if not is_float and kind in (TensorSupplyType.Uniform, TensorSupplyType.Normal, TensorSupplyType.Randn):
        kind = TensorSupplyType.Integer
    match kind:
        case TensorSupplyType.Zero:
            made: Any = np.zeros(shape)
        case TensorSupplyType.One:
            made = np.ones(shape)
        case TensorSupplyType.Uniform:
            made = rng.uniform(-1, 1, shape)
        case TensorSupplyType.Normal:
            made = rng.normal(-1, 1, shape)
        case TensorSupplyType.Randn:
            made = rng.standard_normal(shape)
        case _:
            low, high = (0, 3) if p.is_unsigned() else (0, 2) if p.is_boolean() else (-2, 3)
            made = rng.integers(low, high, shape)
    return np.ascontiguousarray(made).astype(dtype)


def as_library(array: Array) -> Any:
    """The array, or a tensor with the same numbers if the program uses torch: on the GPU where there is one."""
    torch = sys.modules.get("torch")
    if torch is None or not hasattr(torch, array.dtype.name):
        return array
    # torch reads no dtypes of ml_dtypes: the bits travel as integers.
    bits = array if array.dtype.isbuiltin == 1 else array.view(f"i{array.dtype.itemsize}")
    tensor = torch.from_numpy(bits).view(getattr(torch, array.dtype.name))
    return tensor.cuda() if torch.cuda.is_available() else tensor
