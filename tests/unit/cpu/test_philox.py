"""Philox4x32-10 against published vectors, and its words by position."""

from __future__ import annotations

import numpy as np
import pytest

from tiledsl.cpu import values
from tiledsl.cpu.philox import block
from tiledsl.ir.dtypes import UINT32

ONES = 0xFFFFFFFF
# Counter, key, block: the vectors that Random123, the authors' library, is tested with ("kat_vectors").
VECTORS = [
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


def words(*numbers: int) -> tuple[np.uint32, ...]:
    return tuple(np.uint32(n) for n in numbers)


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_blocks_are_those_of_the_published_vectors(counter, key, expected) -> None:
    with np.errstate(over="ignore"):
        assert tuple(map(int, block(words(*counter), words(*key)))) == expected


def test_positions_go_through_blocks_and_on_beyond_32_bits() -> None:
    with np.errstate(over="ignore"):
        for position in (0, 1, 2, 3, 4, 4 * 77 + 1, 2**32 + 6, 2**64 - 1):
            number = position // 4
            four = block(words(number % 2**32, number >> 32, 5, 6), words(7, 8))
            found = values.call("random_bits", list(words(position % 2**32, position >> 32, 5, 6, 7, 8)), UINT32)
            assert found == four[position % 4]


def test_bits_look_random() -> None:
    """Each bit is set half of the time, and neighbours have nothing to do with each other."""
    n = np.arange(1 << 16, dtype=np.uint32)
    zero = np.uint32(0)
    found = values.call("random_bits", [n, zero, zero, zero, np.uint32(42), zero], UINT32)
    for bit in range(32):
        assert abs(int((found >> np.uint32(bit) & np.uint32(1)).sum()) - (1 << 15)) < 5 * 128
    uniform = found / 2.0**32
    assert abs(np.corrcoef(uniform[:-1], uniform[1:])[0, 1]) < 0.02
