"""Memory as the CUDA driver reads it: the arguments of a launch, and tensor maps.

Tensor maps are encoded through the driver's own function, not through cuda-python's: that keeps them in Python objects,
which begin at multiples of 16 bytes, where the driver asks for 64.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

from tiledsl.tensor_map import TensorMap

Slot = int | bytes  # an argument: a number of up to 8 bytes, or a tensor map
MAP_BYTES, MAP_ALIGNMENT = 128, 64  # CUDA Driver API, CUtensorMap
FIRST_WITH_TENSOR_MAPS = 12000  # the CUDA version


class Aligned:
    """`size` bytes that begin at a multiple of `MAP_ALIGNMENT`."""

    def __init__(self, size: int) -> None:
        self._memory = ctypes.create_string_buffer(size + MAP_ALIGNMENT)
        self.address = -(-ctypes.addressof(self._memory) // MAP_ALIGNMENT) * MAP_ALIGNMENT


class Arguments:
    """The array of pointers that a launch takes, each to the bytes of one argument, and the memory that they show.

    The driver copies as many bytes as the kernel declares. Each argument begins where a tensor map could.
    """

    def __init__(self, packed: Sequence[Slot]) -> None:
        sizes = [MAP_BYTES if isinstance(slot, bytes) else MAP_ALIGNMENT for slot in packed]
        self._memory = Aligned(sum(sizes))
        at, places = self._memory.address, []
        for slot, size in zip(packed, sizes, strict=True):
            raw = slot if isinstance(slot, bytes) else slot.to_bytes(8, "little")
            ctypes.memmove(at, raw, len(raw))
            places.append(at)
            at += size
        self._pointers = (ctypes.c_void_p * max(1, len(packed)))(*places)
        self.address = ctypes.addressof(self._pointers)


_POINTER, _WORD = ctypes.c_void_p, ctypes.c_uint32
_BOXES = {
    "cuTensorMapEncodeTiled": (_POINTER, _POINTER),  # box, steps
    "cuTensorMapEncodeIm2col": (_POINTER, _POINTER, _WORD, _WORD, _POINTER),  # corners, channels, pixels, steps
}


def encoder_of(m: TensorMap) -> str:
    """The driver's function that encodes a tensor map."""
    return "cuTensorMapEncodeIm2col" if m.im2col else "cuTensorMapEncodeTiled"


def encoder(name: str, address: int) -> Any:
    """The driver's function of that name, which lies at `address`."""
    number = ctypes.c_int
    kinds = (_POINTER, number, _WORD, _POINTER, _POINTER, _POINTER, *_BOXES[name], *(number,) * 4)
    return ctypes.CFUNCTYPE(number, *kinds)(address)


def _box(m: TensorMap) -> tuple[Any, ...]:
    """What says what a copy takes, innermost dimension first."""
    steps = (_WORD * m.rank)(*reversed(m.all_steps))
    if m.im2col is None:
        return (_WORD * m.rank)(*reversed(m.box)), steps
    corners = ((ctypes.c_int * (m.rank - 2))(*reversed(c)) for c in (m.im2col.lower, m.im2col.upper))
    return *corners, m.im2col.channels, m.im2col.pixels, steps


def encoded(api: Any, function: Any, m: TensorMap, pointer: int) -> tuple[bytes, Any]:
    """The opaque bytes of a tensor map of the memory at `pointer`, and the driver's status.

    The driver's order is innermost first, and the stride of the innermost dimension is left out.
    """

    def code(enum: str, name: str) -> int:
        return int(getattr(getattr(api, enum), name))

    made = Aligned(MAP_BYTES)
    wide = ctypes.c_uint64 * m.rank
    fill = "NAN_REQUEST_ZERO_FMA" if m.fill_nan else "NONE"
    swizzle = f"{m.swizzle}B" if m.swizzle else "NONE"
    status = function(
        made.address,
        code("CUtensorMapDataType", f"CU_TENSOR_MAP_DATA_TYPE_{m.data_type}"),
        m.rank,
        pointer,
        wide(*reversed(m.shape)),
        wide(*reversed(m.strides[:-1])),
        *_box(m),
        code("CUtensorMapInterleave", "CU_TENSOR_MAP_INTERLEAVE_NONE"),
        code("CUtensorMapSwizzle", f"CU_TENSOR_MAP_SWIZZLE_{swizzle}"),
        code("CUtensorMapL2promotion", "CU_TENSOR_MAP_L2_PROMOTION_L2_128B"),
        code("CUtensorMapFloatOOBfill", f"CU_TENSOR_MAP_FLOAT_OOB_FILL_{fill}"),
    )
    return ctypes.string_at(made.address, MAP_BYTES), api.CUresult(status)
