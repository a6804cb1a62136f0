"""What accesses of a width promise is checked."""

from __future__ import annotations

import numpy as np
import pytest
from word_widths import CASES

from tiledsl.errors import TileError

BACKENDS = ["tile", "simt", pytest.param("cpu", marks=[pytest.mark.cxx, pytest.mark.slow])]
ASSUMPTION, MISALIGNED = "TD0810", "TD0806"


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("first", "row", "codes"), [(4, 64, {ASSUMPTION}), (8, 60, {ASSUMPTION, MISALIGNED})])
def test_a_broken_promise_is_found(backend: str, first: int, row: int, codes: set[str]) -> None:
    """A place that is no multiple of 16 bytes, and rows that are none: the second row of these is not aligned."""
    a, y = np.zeros((2, row), np.float16), np.zeros((2, row), np.float16)
    with pytest.raises(TileError) as caught:
        CASES["accesses_that_promise"].kernel.compile(target="sm_80")(a, y, first, backend=backend)
    assert caught.value.code in codes
