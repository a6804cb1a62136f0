"""Arrays of the host with strides: copied, poisoned, searched."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from tiledsl.cpu.arrays import copies_of, copy_of, first_of, poison, strided, zeros


@pytest.mark.parametrize(
    ("shape", "strides"), [((3, 4), None), ((3, 4), (7, 1)), ((3, 4), (1, 5)), ((2, 0), (9, 1)), ((), ())]
)
@pytest.mark.parametrize("dtype", [np.int8, np.float32, ml_dtypes.bfloat16])
def test_zeros_have_the_shape_and_the_strides(
    shape: tuple[int, ...], strides: tuple[int, ...] | None, dtype: type
) -> None:
    made = zeros(shape, np.dtype(dtype), strides)
    assert made.shape == shape and made.dtype == dtype and not made.astype(np.float32).any()
    if strides is not None:
        assert tuple(s // made.itemsize for s in made.strides) == strides


def test_copies_keep_strides_and_share_nothing() -> None:
    given = strided(np.arange(12).reshape(3, 4), (10, 2))
    made = copy_of(given)
    assert made.strides == given.strides and np.array_equal(made, given)
    made[...] = -1
    assert given[2, 3] == 11
    assert copy_of(given[::-1]).flags.c_contiguous
    whole = copies_of({"A": given, "n": 3})
    assert whole["n"] == 3 and whole["A"] is not given and np.array_equal(whole["A"], given)


def test_copies_can_be_written() -> None:
    given = strided(np.ones((2, 2)), (5, 1))
    given.flags.writeable = False
    assert copy_of(given).flags.writeable


@pytest.mark.parametrize("dtype", [np.float16, np.float64, ml_dtypes.bfloat16, ml_dtypes.float8_e5m2])
def test_poison_is_nan_in_floats(dtype: type) -> None:
    array = np.zeros((2, 3), dtype)
    poison(array)
    assert np.isnan(array.astype(np.float64)).all()
    assert (array.view(np.uint8) == 0xFF).all()


def test_poison_fills_elements_alone() -> None:
    array = zeros((2, 2), np.dtype(np.int32), (4, 2))
    poison(array)
    whole = np.lib.stride_tricks.as_strided(array, (7,), (4,))
    assert whole.tolist() == [-1, 0, -1, 0, -1, 0, -1]
    one = np.zeros((), np.int64)
    poison(one)
    assert one == -1


def test_the_first_place_in_row_major_order() -> None:
    wrong = np.zeros((3, 4), bool)
    assert first_of(wrong) is None
    wrong[2, 0] = wrong[1, 3] = True
    assert first_of(wrong) == ((1, 3), 2)
    assert first_of(np.array(True)) == ((), 1)
