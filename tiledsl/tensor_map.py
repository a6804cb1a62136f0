"""Tensor maps: what the copy engine of sm_90 is told about a tensor and the box that it moves.

A description in plain numbers: the compiler plans with it, the CPU device reads it (`packed`), the GPU's driver encodes
it. Dimensions are outermost first, as shapes are written in Python; the hardware's order is the reverse. Source of the
rules: CUDA Driver API, `cuTensorMapEncodeTiled`, `cuTensorMapEncodeIm2col`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

from tiledsl.errors import error

ALIGNMENT = 16  # bytes, of addresses and strides
MAX_RANK = 5
MAX_BOX = 256
# CUtensorMapDataType and the CPU device's code of what a reduction computes with, by the name of the element type.
_DATA_TYPES = {
    "uint8": ("UINT8", 0),
    "int8": ("UINT8", 0),
    "float8_e4m3fn": ("UINT8", 0),
    "float8_e5m2": ("UINT8", 0),
    "uint16": ("UINT16", 1),
    "int16": ("UINT16", 1),
    "uint32": ("UINT32", 2),
    "int32": ("INT32", 3),
    "uint64": ("UINT64", 4),
    "int64": ("INT64", 5),
    "float16": ("FLOAT16", 6),
    "float32": ("FLOAT32", 7),
    "float64": ("FLOAT64", 8),
    "bfloat16": ("BFLOAT16", 9),
    "tfloat32": ("TFLOAT32", 7),
}
_FLOATS = ("FLOAT16", "FLOAT32", "FLOAT64", "BFLOAT16", "TFLOAT32")
_BYTES = {"UINT8": 1, "UINT16": 2, "FLOAT16": 2, "BFLOAT16": 2, "UINT64": 8, "INT64": 8, "FLOAT64": 8}
# CUDA Driver API, CUtensorMapDataType: its names in the order of their numbers.
_NUMBERED = (
    *("UINT8", "UINT16", "UINT32", "INT32", "UINT64", "INT64", "FLOAT16", "FLOAT32", "FLOAT64", "BFLOAT16"),
    *("FLOAT32_FTZ", "TFLOAT32"),
)
_CORNER_BITS = {3: 16, 4: 8, 5: 5}


@dataclass(frozen=True, slots=True)
class Im2col:
    """Which pixels a load takes: of each image those between the corners, and of them `pixels`, with `channels` each.

    The corners are offsets, one for each dimension of the image (outermost first), from its first and its last pixel.
    """

    lower: tuple[int, ...]
    upper: tuple[int, ...]
    channels: int
    pixels: int


@dataclass(frozen=True, slots=True)
class TensorMap:
    """A tensor in global memory and the box of one copy; all tuples are outermost first.

    `strides` are in bytes, the last is that of an element. `steps` are the distances between the elements that a box
    takes (1: all). With `im2col` (tensor N, [D, [H,]] W, C) the box is not used. `swizzle` is 0, 32, 64 or 128 bytes.
    Out of bounds is read as zero, or with `fill_nan` as NaN.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    box: tuple[int, ...]
    swizzle: int = 0
    steps: tuple[int, ...] = ()
    im2col: Im2col | None = None
    fill_nan: bool = False

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def data_type(self) -> str:
        """The name after CU_TENSOR_MAP_DATA_TYPE_."""
        return _DATA_TYPES[self.dtype][0]

    @property
    def element_bytes(self) -> int:
        return _BYTES.get(self.data_type, 4)

    @property
    def loaded(self) -> tuple[int, ...]:
        """The extents of what one copy puts into shared memory, outermost first."""
        if self.im2col:
            return (self.im2col.pixels, self.im2col.channels)
        return tuple(-(-n // s) for n, s in zip(self.box, self.all_steps, strict=True))

    @property
    def all_steps(self) -> tuple[int, ...]:
        steps = self.steps or (1,) * self.rank
        return (*steps[:-1], 1)  # the hardware ignores that of the innermost dimension

    @property
    def copied_bytes(self) -> int:
        """What a load of this box adds to a barrier's transaction count, elements out of bounds included."""
        return prod(self.loaded) * self.element_bytes


def element_bytes(name: str, dtype: str) -> int:
    """Bytes of an element of tensor `name`. Raises TileError TD0650 for a type that the copy engine does not know."""
    return _BYTES.get(_data_type(name, dtype), 4)


def data_type_number(name: str, dtype: str) -> int:
    """The driver's number of the type of tensor `name`. Raises TileError TD0650 as `element_bytes`."""
    return _NUMBERED.index(_data_type(name, dtype))


def _data_type(name: str, dtype: str) -> str:
    if dtype not in _DATA_TYPES:
        raise error("TD0650", name=name, dtype=dtype, known=", ".join(_DATA_TYPES))
    return _DATA_TYPES[dtype][0]


def tensor_map(
    name: str,
    dtype: str,
    shape: Sequence[int],
    box: Sequence[int],
    *,
    strides: Sequence[int] | None = None,
    swizzle: int = 0,
    steps: Sequence[int] = (),
    im2col: Im2col | None = None,
    fill_nan: bool = False,
) -> TensorMap:
    """A checked tensor map; without `strides` (bytes) the tensor is contiguous. Raises TileError TD0650 to TD0653."""
    size = element_bytes(name, dtype)
    if strides is None:
        strides = [size * prod(shape[i + 1 :]) for i in range(len(shape))]
    made = TensorMap(name, dtype, tuple(shape), tuple(strides), tuple(box), swizzle, tuple(steps), im2col, fill_nan)
    check_tensor_map(made)
    return made


def map_of_window(
    name: str,
    dtype: str,
    shape: Sequence[int],
    strides: Sequence[int] | None,
    box: Sequence[int],
    swizzle: int,
    window: Sequence[int],
) -> TensorMap:
    """As `tensor_map`; with a `window` (kernel, stride, dilation, padding) of images N, H, W, C, of which a load takes
    `box` = (pixels, channels): the pixels are those that the filter's first tap may meet.
    """
    if not window:
        return tensor_map(name, dtype, shape, box, strides=strides, swizzle=swizzle)
    kernel, stride, dilation, pad = window
    pixels, channels = box
    upper = pad - dilation * (kernel - 1)
    taken = Im2col((-pad, -pad), (upper, upper), channels, pixels)
    steps = (1, stride, stride, 1)
    return tensor_map(name, dtype, shape, (), strides=strides, swizzle=swizzle, steps=steps, im2col=taken)


def map_of_elements(
    name: str,
    dtype: str,
    shape: Sequence[int],
    box: Sequence[int],
    strides: Sequence[int] | None,
    swizzle: int,
    window: Sequence[int] = (),
) -> TensorMap:
    """As `map_of_window`, for the tensor of a call: `strides` in elements, None if it is contiguous.

    Along a single element no step is taken: any distance is right, so one is chosen that the driver accepts.
    """
    size = element_bytes(name, dtype)
    steps = [size * s for s in strides or [prod(shape[i + 1 :]) for i in range(len(shape))]]
    for i, extent in enumerate(shape[:-1]):
        if extent == 1:
            steps[i] = -(-steps[i] // ALIGNMENT) * ALIGNMENT
    return map_of_window(name, dtype, shape, steps, box, swizzle, window)


def check_tensor_map(m: TensorMap) -> None:
    """The rules of the driver. Raises TileError naming the tensor, the dimension, the value and the rule."""
    _check_shape(m)
    _check_strides(m)
    if m.im2col is None:
        _check_box(m)
    else:
        _check_im2col(m, m.im2col)
    _check_inner(m)
    if m.fill_nan and m.data_type not in _FLOATS:
        raise error("TD0650", name=m.name, dtype=f"{m.dtype}, which has no NaN to fill with", known=", ".join(_FLOATS))


def check_address(m: TensorMap, address: int) -> None:
    """Raises TileError TD0653 where the tensor does not begin at a multiple of 16 bytes."""
    if address % 16:
        raise error("TD0653", name=m.name, address=hex(address))


def _rule(m: TensorMap, what: str, dim: int | str, value: object, rule: str) -> None:
    dimension = "" if dim == "" else f" in dimension {dim}"
    raise error("TD0651", name=m.name, what=what, dimension=dimension, value=value, rule=rule)


def _check_shape(m: TensorMap) -> None:
    least = 3 if m.im2col else 1
    if not least <= m.rank <= MAX_RANK:
        _rule(m, "the rank", "", m.rank, f"{least} to {MAX_RANK}")
    for dim, n in enumerate(m.shape):
        if not 1 <= n <= 1 << 32:
            _rule(m, "the extent", dim, n, "1 to 2**32")
    if m.swizzle not in (0, 32, 64, 128):
        _rule(m, "the swizzle", "", m.swizzle, "0, 32, 64 or 128 bytes")


def _check_strides(m: TensorMap) -> None:
    if len(m.strides) != m.rank:
        _rule(m, "the number of strides", "", len(m.strides), f"{m.rank}, one for each dimension")
    if m.strides[-1] != m.element_bytes:
        _rule(m, "the stride", m.rank - 1, m.strides[-1], f"{m.element_bytes} bytes: the innermost is contiguous")
    for dim, stride in enumerate(m.strides[:-1]):
        if stride % 16 or not 0 <= stride < 1 << 40:
            _rule(m, "the stride", dim, stride, "a multiple of 16 bytes below 2**40")


def _check_box(m: TensorMap) -> None:
    if len(m.box) != m.rank:
        _rule(m, "the rank of the box", "", len(m.box), f"{m.rank}, that of the tensor")
    for dim, n in enumerate(m.box):
        if not 1 <= n <= MAX_BOX:
            _rule(m, "the box", dim, n, f"1 to {MAX_BOX} elements")
    _check_steps(m)


def _check_steps(m: TensorMap) -> None:
    if m.steps and len(m.steps) != m.rank:
        _rule(m, "the number of steps", "", len(m.steps), f"{m.rank}, one for each dimension")
    for dim, n in enumerate(m.steps):
        if not 1 <= n <= 8:
            _rule(m, "the step", dim, n, "1 to 8 elements")


def _check_im2col(m: TensorMap, x: Im2col) -> None:
    bits = _CORNER_BITS[m.rank]
    limits = range(-(1 << (bits - 1)), 1 << (bits - 1))
    for what, corner in (("the lower corner", x.lower), ("the upper corner", x.upper)):
        if len(corner) != m.rank - 2:
            _rule(m, what, "", corner, f"{m.rank - 2} offsets, one for each dimension of the image")
        for dim, offset in enumerate(corner):
            if offset not in limits:
                _rule(m, what, dim + 1, offset, f"{limits.start} to {limits.stop - 1}")
    for dim, (low, high) in enumerate(zip(x.lower, x.upper)):
        if m.shape[dim + 1] + high - low < 1:
            _rule(m, "the box of pixels", dim + 1, m.shape[dim + 1] + high - low, "at least one pixel")
    if not 1 <= x.channels <= 256:
        _rule(m, "the number of channels", "", x.channels, "1 to 256")
    if not 1 <= x.pixels <= 1024:
        _rule(m, "the number of pixels", "", x.pixels, "1 to 1024")
    _check_steps(m)


def _check_inner(m: TensorMap) -> None:
    inner = m.loaded[-1] * m.element_bytes
    if inner % 16:
        _rule(m, "the box", m.rank - 1, f"{inner} bytes", "a multiple of 16 bytes along the innermost dimension")
    if m.swizzle and inner != m.swizzle:
        # The driver also takes less; where rows then lie is not documented.
        raise error("TD0652", name=m.name, inner=inner, swizzle=m.swizzle)


_SWIZZLE_CODES = {0: 0, 32: 1, 64: 2, 128: 3}


def packed(m: TensorMap, address: int) -> bytes:
    """The struct `tds::TensorMap` of the CPU device (cpu/native/types.h), for a tensor at `address`."""
    check_address(m, address)

    def five(values: Sequence[int], rest: int) -> tuple[int, ...]:
        inner_first = tuple(reversed(values))
        return inner_first + (rest,) * (MAX_RANK - len(inner_first))

    corners = m.im2col or Im2col((), (), 0, 0)

    def three(values: Sequence[int]) -> tuple[int, ...]:
        inner_first = tuple(reversed(values))
        return inner_first + (0,) * (3 - len(inner_first))

    return struct.pack(
        "<Q5Q5Q5I5I3i3iIIBBBBBB26x",
        address,
        *five(m.shape, 1),
        *five(m.strides, 0),
        *five(m.box or (1,) * m.rank, 1),
        *five(m.all_steps, 1),
        *three(corners.lower),
        *three(corners.upper),
        corners.channels,
        corners.pixels,
        m.rank,
        m.element_bytes,
        _SWIZZLE_CODES[m.swizzle],
        _DATA_TYPES[m.dtype][1],
        int(m.im2col is not None),
        int(m.fill_nan),
    )
