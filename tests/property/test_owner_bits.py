"""Bit sets of owners."""

from __future__ import annotations

import numpy as np

from tiledsl.analysis.layout_tables import offset_table, owner_bits, thread_table
from tiledsl.ir.layout import partition, row_major
from tiledsl.ir.layout_ops import replicate


def test_owner_bits_are_the_thread_table() -> None:
    f = replicate(partition((40,), 4, 2), 30)
    flags = np.unpackbits(owner_bits(f).view(np.uint8), axis=1, bitorder="little")
    for element, row in enumerate(thread_table(f)):
        assert set(np.nonzero(flags[element])[0]) == set(row.tolist())
    assert np.array_equal(offset_table(row_major((3, 4))), np.arange(12).reshape(3, 4))
