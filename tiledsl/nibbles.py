"""Arrays of 4-bit numbers for kernels whose tensors are int4, uint4 or float4_e2m1fn: two numbers to a byte."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from tiledsl.errors import error

__all__ = ["pack", "unpack"]

_TYPES = {name: getattr(ml_dtypes, name) for name in ("int4", "uint4", "float4_e2m1fn")}


def pack(numbers: Any) -> Any:
    """The bytes (..., n / 2), uint8, of an array (..., n) of a 4-bit dtype of ml_dtypes; `unpack` is the inverse.

    The number at an even place of a row goes to the low four bits. Raises TileError TD0291 for another
    dtype, and where n is odd.
    """
    if numbers.dtype.name not in _TYPES:
        raise error("TD0291", problem=f"an array of {numbers.dtype} has no numbers of 4 bits")
    if numbers.ndim == 0 or numbers.shape[-1] % 2:
        raise error("TD0291", problem=f"rows of an array of the shape {numbers.shape} are no whole bytes")
    bits = np.ascontiguousarray(numbers).view(np.uint8) & 15  # a byte for each, int4 with its sign
    return bits[..., 0::2] | bits[..., 1::2] << 4


def unpack(held: Any, dtype: str) -> Any:
    """The numbers (..., 2 n), of a 4-bit dtype of ml_dtypes, of bytes (..., n) of uint8.

    `dtype` is "int4", "uint4" or "float4_e2m1fn". Raises TileError TD0291 for others.
    """
    if dtype not in _TYPES or held.dtype != np.uint8:
        raise error("TD0291", problem=f"bytes of {held.dtype} are not taken for numbers of {dtype}")
    bits = np.stack([held & 15, held >> 4], axis=-1).reshape(*held.shape[:-1], -1)
    return (((bits ^ 8) - 8).view(np.int8).astype(_TYPES[dtype])) if dtype == "int4" else bits.view(_TYPES[dtype])
