"""The matrix descriptor of wgmma: 64 bits that say where an operand lies in shared memory.

Fields in bits: start address 0-13, leading byte offset 16-29, stride byte offset 32-45 (all three without their lowest
4 bits), base offset 49-51, layout 62-63. Source: PTX ISA, "Matrix Descriptor Format" and "Strides".

A tile is made of core matrices, 8 rows of 16 bytes ("rows" run along m or n where the operand is K-major, along k where
it is MN-major; a "unit" is 16 bytes). The two offsets mean, by major and swizzle:

| | no swizzle | swizzle of W = 2, 4 or 8 units |
|---|---|---|
| K-major | leading: next unit along k; stride: next 8 rows | leading: not used; stride: next 8 rows |
| MN-major | leading: next 8 of k; stride: next unit along m | leading: next W units along m; stride: next 8 of k |

(CUTLASS, `cute/arch/mma_sm90_desc.hpp`, `cute/atom/mma_traits_sm90_gmma.hpp`.) The address so found is swizzled by its
own bits: bits 4-6 are XORed with as many of the bits 7-9 as the swizzle has. The base offset is 0 where the pattern
starts at a multiple of its period. Else it is bits 7-9 of the address at which the pattern starts, and is subtracted
from bits 7-9 before the XOR.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

UNIT = 16  # bytes


class Mode(IntEnum):
    """The layout field."""

    NONE = 0
    SWIZZLE_128 = 1
    SWIZZLE_64 = 2
    SWIZZLE_32 = 3

    @property
    def units(self) -> int:
        """16-byte units of a swizzled row; 1 without swizzle."""
        return {0: 1, 1: 8, 2: 4, 3: 2}[self]

    @property
    def period(self) -> int:
        """Bytes after which the pattern repeats: what a tile must be aligned to for a base offset of 0."""
        return 128 * self.units


def mode_of(swizzle_bytes: int) -> Mode:
    """The layout of a 0, 32, 64 or 128 byte swizzle."""
    return {0: Mode.NONE, 32: Mode.SWIZZLE_32, 64: Mode.SWIZZLE_64, 128: Mode.SWIZZLE_128}[swizzle_bytes]


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Bytes, all multiples of 16; `start` below 256 KiB, `base_offset` below 8."""

    start: int
    leading: int
    stride: int
    mode: Mode
    base_offset: int = 0

    def encode(self) -> int:
        """The 64 bits. ValueError for a field out of range."""
        for name in ("start", "leading", "stride"):
            value = getattr(self, name)
            if value % UNIT or not 0 <= value < 1 << 18:
                raise ValueError(f"{name} = {value} is no multiple of 16 below 262144")
        if not 0 <= self.base_offset < 8:
            raise ValueError(f"base_offset = {self.base_offset} is not in 0 .. 7")
        low = self.start >> 4 | (self.leading >> 4) << 16 | (self.stride >> 4) << 32
        return low | self.base_offset << 49 | int(self.mode) << 62

    def unit_address(self, row: Any, unit: Any, k_major: bool) -> Any:
        """Byte address of unit `unit` of row `row` (K-major: m and k / 16 bytes; MN-major: k and m / 16 bytes).

        Works on ints and NumPy arrays.
        """
        return self.swizzled(self.start + self._offset(row, unit, k_major))

    def _offset(self, row: Any, unit: Any, k_major: bool) -> Any:
        w = self.mode.units
        inside = row % 8 * (w * UNIT)
        if self.mode is Mode.NONE:
            next_unit, next_rows = (self.leading, self.stride) if k_major else (self.stride, self.leading)
            return inside + row // 8 * next_rows + unit * next_unit
        if k_major:
            return inside + row // 8 * self.stride + unit * UNIT
        return inside + row // 8 * self.stride + unit % w * UNIT + unit // w * self.leading

    def swizzled(self, address: Any) -> Any:
        """The address with the pattern applied."""
        return address ^ (address // 128 - self.base_offset) % self.mode.units * UNIT


def decode(bits: int) -> Descriptor:
    """The fields of 64 bits."""

    def field(first: int) -> int:
        return (bits >> first & 0x3FFF) << 4

    return Descriptor(field(0), field(16), field(32), Mode(bits >> 62 & 3), bits >> 49 & 7)
