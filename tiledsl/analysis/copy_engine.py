"""Which copies of tiles the copy engine can make: its rules, as far as they show before layouts are chosen.

What depends on the address of a tensor (16 bytes aligned) and on run-time sizes is checked when the kernel is called.
Source: PTX ISA, "cp.async.bulk.tensor", "im2col mode"; CUDA Driver API, `cuTensorMapEncodeTiled`,
`cuTensorMapEncodeIm2col`; algorithms.md D.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from tiledsl.analysis.tensor_boxes import ALIGNMENT, why_no_boxes
from tiledsl.analysis.touches import version_bytes
from tiledsl.analysis.vector_width import Divisors, divisor
from tiledsl.ir.dtypes import DType
from tiledsl.ir.im2col import image_sides
from tiledsl.ir.nodes import Assigned, Buffer, Const, Expr, Region, Space, static_shape
from tiledsl.ir.tile import Atomic, Copy, Im2col, region_of

UNIT = 16  # bytes: strides, and the innermost extent of a box, are multiples of it
MAX_RANK = 5
MAX_STEP = 8  # pixels between those that a load of pixels takes
CORNERS = range(-128, 128)  # where, in pixels, the first taps may lie beyond a corner of a two-dimensional image
TAPS = range(256)  # where, in pixels, the others may lie from there
_TYPES = frozenset(
    ["uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"]
    + ["float16", "bfloat16", "float32", "float64", "float8_e4m3fn", "float8_e5m2"]
)

# Of the reductions of the copy engine those that are words of the language. PTX ISA, "cp.reduce.async.bulk".
_ADDED = frozenset(["uint32", "int32", "uint64", "float32", "float64", "float16", "bfloat16"])
_ORDERED = frozenset(["uint32", "int32", "uint64", "int64", "float16", "bfloat16"])
_REDUCED = {"add": _ADDED, "max": _ORDERED, "min": _ORDERED}


def bulk_bytes(copy: Copy) -> int:
    """What a bulk load of this copy adds to the bytes of its barrier: whole boxes, out of bounds or not."""
    return prod(copy.dst.extents) * copy.dst.buffer.dtype.bits // 8


def by_threads(copy: Copy, why: str) -> str:
    """The note of a copy that the copy engine does not make."""
    return f"copy to {copy.dst.buffer.name} at line {copy.span.line}: by the threads, as {why}"


def why_not_bulk(copy: Copy, divisors: Divisors, layouts: Sequence[Assigned]) -> str:
    """Why the copy engine cannot make this copy between global and shared memory; empty if it can.

    `layouts` are those that the user has given to tiles.
    """
    load = copy.src.buffer.space is Space.GLOBAL
    tensor, tile = (copy.src, copy.dst) if load else (copy.dst, region_of(copy.src))
    if (tensor.buffer.space, tile.buffer.space) != (Space.GLOBAL, Space.SHARED):
        return f"it is from {copy.src.buffer.space.value} to {copy.dst.buffer.space.value} memory"
    if copy.engine == "threads":
        return "the threads are to make it"
    if copy.width or copy.asynchronous:
        return "its width is given" if copy.width else "it is a cp.async copy"
    return (
        _types(tensor.buffer.dtype, tile.buffer.dtype)
        or _whole_tile(tile)
        or _size(tile.buffer)
        or _tensor(tensor.buffer, divisors)
        or (_pixels(tensor, tile, divisors) if isinstance(tensor, Im2col) else _box(tensor, tile))
        or why_no_boxes(tile, layouts)
    )


def why_not_bulk_update(s: Atomic, divisors: Divisors, layouts: Sequence[Assigned]) -> str:
    """Why the copy engine cannot combine a tile with what is in memory; empty if it can."""
    if s.order != "relaxed":
        return f"its order is {s.order}, and the copy engine has none"
    dtype = s.dst.buffer.dtype
    if dtype.name not in _REDUCED[s.op]:
        return f"the copy engine has no {s.op} of {dtype}"
    return why_not_bulk(Copy(s.src, s.dst), divisors, layouts)


def _types(tensor: DType, tile: DType) -> str:
    if tensor is not tile:
        return f"it converts {tensor} to {tile}"
    return "" if tensor.name in _TYPES else f"the copy engine has no {tensor}"


def _whole_tile(tile: Region) -> str:
    """A part of a tile could begin in the middle of a swizzle."""
    shape = static_shape(tile.buffer)
    whole = all(n == m or m == 1 for n, m in zip(tile.extents, shape)) and all(
        o == Const(0) for o, n in zip(tile.offsets, tile.extents) if n > 1
    )
    leading = all(n == 1 or n == m for n, m in zip(tile.extents[:-2], shape))
    inner = tile.extents[-2:] == shape[-2:] and all(o == Const(0) for o in tile.offsets[-2:])
    return "" if whole or (leading and inner) else f"it moves a part of the tile '{tile.buffer.name}'"


def _size(tile: Buffer) -> str:
    """Versions of a tile lie one behind the other, and each begins where a box may."""
    size = version_bytes(tile)
    return f"'{tile.name}' has {size} bytes, no multiple of {ALIGNMENT}" if size % ALIGNMENT else ""


def _tensor(tensor: Buffer, divisors: Divisors) -> str:
    rank = len(tensor.shape)
    if not 1 <= rank <= MAX_RANK:
        return f"'{tensor.name}' has {rank} dimensions, and the copy engine moves up to {MAX_RANK}"
    bits = tensor.dtype.bits
    strides = tensor.strides
    if strides is not None and strides[-1] not in (1, Const(1)):
        return f"the elements of a row of '{tensor.name}' do not follow each other"
    for axis in range(rank - 1):
        stride = _stride(tensor, axis, divisors)
        if stride * bits % (8 * UNIT):
            return f"the stride of dimension {axis} of '{tensor.name}' is no known multiple of {UNIT} bytes"
    return ""


def _stride(tensor: Buffer, axis: int, divisors: Divisors) -> int:
    """A number that divides the stride of a dimension, in elements."""
    if tensor.strides is not None:
        return _divides(tensor.strides[axis], divisors)
    result = 1
    for extent in tensor.shape[axis + 1 :]:
        result *= _divides(extent, divisors)
    return result


def _divides(extent: int | Expr, divisors: Divisors) -> int:
    return extent if isinstance(extent, int) else divisor(extent, divisors)


def _box(tensor: Region, tile: Region) -> str:
    row = tile.extents[-1] * tile.buffer.dtype.bits
    if row % (8 * UNIT):
        return f"a row of '{tile.buffer.name}' has {row // 8} bytes, no multiple of {UNIT}"
    if tensor.extents[-1] != tile.extents[-1]:
        return f"the rows of '{tensor.buffer.name}' and '{tile.buffer.name}' differ"
    return ""


def _pixels(tensor: Im2col, tile: Region, divisors: Divisors) -> str:
    """A load takes neighbouring pixels, of each the same channels behind one tap of the filter."""
    columns, (_, _, channels), window = tensor.extents[1], image_sides(tensor.buffer), tensor.window
    if tile.extents[-2:] != tensor.extents:
        return f"the rows of the matrix and of '{tile.buffer.name}' differ"
    if columns * tile.buffer.dtype.bits % (8 * UNIT):
        return f"a row of '{tile.buffer.name}' has {columns * tile.buffer.dtype.bits // 8} bytes, no multiple of {UNIT}"
    if channels % columns or divisor(tensor.offsets[1], divisors) % columns:
        return f"a row of '{tile.buffer.name}' may take in several taps: {columns} columns, {channels} channels"
    if window.stride > MAX_STEP:
        return f"its stride is {window.stride}, and the copy engine takes every {MAX_STEP}th pixel at most"
    first, last = -window.pad, window.pad - window.reach
    if first not in CORNERS or last not in CORNERS or window.reach not in TAPS:
        return f"its filter reaches over {window.reach + 1} pixels with a padding of {window.pad}, which is too far"
    return ""
