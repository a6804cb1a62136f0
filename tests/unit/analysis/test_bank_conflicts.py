"""Wavefronts counted from addresses: 32 banks of 4 bytes, 128 bytes at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.analysis.bank_conflicts import (
    conflicts,
    fewest_conflicts,
    ldmatrix_conflicts,
    matrix_wavefronts,
    wavefronts,
)
from tiledsl.ir.layout import fragment, partition, row_major
from tiledsl.ir.swizzle import padded, panelled, swizzled
from tiledsl.isa.descriptor import Descriptor, Mode

LANES = np.arange(32)


def test_known_patterns() -> None:
    assert wavefronts(LANES * 4, 4) == (1, 1)
    assert wavefronts(LANES * 8, 4) == (2, 1)  # stride 2: two words in each even bank
    assert wavefronts(LANES * 128, 4) == (32, 1)
    assert wavefronts(LANES * 132, 4) == (1, 1)  # padded by a word
    assert wavefronts(LANES * 0, 4) == (1, 1)  # one word for all
    assert wavefronts(LANES * 2, 2) == (1, 1)  # halves of one word
    assert wavefronts(LANES * 16, 16) == (4, 4)
    assert wavefronts(LANES * 256, 16) == (32, 4)
    assert wavefronts(np.stack([LANES * 4, LANES * 128]), 4) == (33, 2)


def slow(addresses: list[int], width: int) -> int:
    lanes = max(1, 128 // max(width, 4))
    total = 0
    for start in range(0, len(addresses), lanes):
        words = {a // 4 + w for a in addresses[start : start + lanes] for w in range(max(1, width // 4))}
        total += max(sum(w % 32 == bank for w in words) for bank in range(32))
    return total


@given(st.lists(st.integers(0, 255), min_size=1, max_size=32), st.sampled_from((1, 2, 4, 8, 16)))
def test_wavefronts_equal_the_definition(units: list[int], width: int) -> None:
    addresses = [u * width for u in units]
    assert wavefronts(np.array(addresses), width)[0] == slow(addresses, width)


def test_ldmatrix_rows() -> None:
    assert ldmatrix_conflicts(row_major((64, 64)), 0, 0, 16) == 7
    assert ldmatrix_conflicts(swizzled((64, 64), 16), 8, 16, 16) == 0
    assert ldmatrix_conflicts(padded((64, 64), 16), 8, 16, 16) == 0


class Unswizzled(Descriptor):
    """As if the tensor core read rows of the same length as they lie."""

    def swizzled(self, address: Any) -> Any:
        return address


@pytest.mark.parametrize("k_major", [True, False])
@pytest.mark.parametrize("mode", [Mode.SWIZZLE_128, Mode.SWIZZLE_64, Mode.SWIZZLE_32])
def test_it_is_the_swizzle_that_spreads_the_rows_of_an_operand(mode: Mode, k_major: bool) -> None:
    """Rows of 128, 64 and 32 bytes as they lie put a column of 8 into one, two and four places of 16 bytes."""
    fields = (0, 8 * 128 * mode.units, 128 * mode.units, mode)
    assert matrix_wavefronts(Descriptor(*fields), 64, 2, k_major) == (16, 16)
    assert matrix_wavefronts(Unswizzled(*fields), 64, 2, k_major) == (16 * mode.units, 16)


def test_the_fewest_of_given_layouts() -> None:
    """Of those of the copy engine for 8 rows by 4 columns of doubles: a row of 32 bytes is what four lanes read."""
    doubles = fragment("mk", "m8 k4", "m8*8 k8*4")
    choices = tuple(panelled((64, 32), 64, span) for span in (128, 64, 32))
    assert fewest_conflicts(doubles, 64, choices) is choices[2]
    assert fewest_conflicts(doubles, 64, choices[:2]) is choices[0], "equally many: the first"


def test_columns_of_a_tile() -> None:
    column = [LANES, np.zeros(32, int)]
    assert conflicts(row_major((32, 32)), column, 32) == 31
    assert conflicts(row_major((32, 32), 1), column, 32) == 0


def test_the_layout_with_fewest_conflicts_is_the_simplest_such() -> None:
    assert fewest_conflicts(partition((32, 32), 32, 1), 32) == row_major((32, 32))
    turned = fragment("kn", "n8 k4", "n4*8 k8*4")  # mma tf32 reads k rows of n-major data
    layout = fewest_conflicts(turned, 32)
    assert layout != row_major(turned.shape)
    at = [LANES % 4, LANES // 4]
    assert conflicts(layout, at, 32) == 0 < conflicts(row_major(turned.shape), at, 32)
