"""Wavefronts counted from addresses: 32 banks of 4 bytes, 128 bytes at a time."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.analysis.bank_conflicts import conflicts, fewest_conflicts, ldmatrix_conflicts, wavefronts
from tiledsl.ir.layout import fragment, partition, row_major
from tiledsl.ir.swizzle import padded, swizzled

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
