"""Numbers that users give to words: Python ints in a range, and what the error says of others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiledsl.errors import TileError
from tiledsl.language.arguments import whole


@given(st.integers(-9, 9), st.integers(-9, 9), st.none() | st.integers(-9, 9), st.integers(1, 4))
def test_exactly_the_multiples_in_the_range_are_taken(value: int, low: int, high: int | None, step: int) -> None:
    top = 9 if high is None else high
    if value in {n for n in range(low, top + 1) if n % step == 0}:
        assert whole("T.word", "n", value, low, high, step=step) == value
    else:
        with pytest.raises(TileError, match=r"TD0226: n of T\.word cannot be"):
            whole("T.word", "n", value, low, high, step=step)


@pytest.mark.parametrize("value", [True, 1.0, "1", None, np.int32(1)])
def test_nothing_but_python_ints_is_taken(value: object) -> None:
    with pytest.raises(TileError, match="TD0226"):
        whole("T.word", "n", value)


@pytest.mark.parametrize(
    ("low", "high", "allowed", "said"),
    [
        (0, None, "", "an int of 0 or more"),
        (1, None, "", "a positive int"),
        (8, None, "", "an int of 8 or more"),
        (1, 3, "", "1 to 3"),
        (1, 3, "one of three", "one of three"),
    ],
)
def test_the_error_says_what_is_allowed(low: int, high: int | None, allowed: str, said: str) -> None:
    with pytest.raises(TileError) as caught:
        whole("T.word", "n", -1, low, high, allowed=allowed)
    assert f"allowed: {said}" in str(caught.value)
