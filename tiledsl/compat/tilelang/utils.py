"""`tilelang.utils`: inputs for kernels, and comparing results."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from tiledsl.compat.tilelang.profiler import torch_assert_close
from tiledsl.compat.tilelang.supply import KernelParam, TensorSupplyType, get_tensor_supply
from tiledsl.frontend.typenames import dtype_named

__all__ = ["KernelParam", "TensorSupplyType", "get_tensor_supply", "map_torch_type", "torch_assert_close"]


def map_torch_type(intype: Any) -> Any:
    """torch's dtype of that name."""
    return getattr(import_module("torch"), dtype_named(intype).name)
