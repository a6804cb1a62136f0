"""Tensor maps: the driver's rules, each with the error that names tensor, dimension, value and rule."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from tiledsl.errors import TileError
from tiledsl.tensor_map import Im2col, TensorMap, check_address, packed, tensor_map


def test_a_map_in_plain_numbers() -> None:
    m = tensor_map("A", "float16", (100, 64), (32, 64), swizzle=128)
    assert (m.strides, m.loaded, m.copied_bytes, m.data_type) == ((128, 2), (32, 64), 4096, "FLOAT16")
    assert tensor_map("A", "float16", (9, 64), (7, 64), steps=(3, 1)).loaded == (3, 64)
    assert tensor_map("A", "int8", (4, 64), (4, 64)).data_type == "UINT8"


def test_im2col_loads_pixels() -> None:
    m = tensor_map("I", "float16", (2, 8, 8, 64), (), im2col=Im2col((-1, -1), (-1, -1), 64, 40))
    assert m.loaded == (40, 64) and m.copied_bytes == 40 * 128


def test_packed_is_innermost_first() -> None:
    m = tensor_map("A", "float32", (5, 6, 32), (1, 2, 16), steps=(1, 2, 4))
    raw = packed(m, 4096)
    assert len(raw) == 192 and len(raw) % 64 == 0
    assert struct.unpack_from("<Q5Q5Q5I5I", raw) == (
        *(4096, 32, 6, 5, 1, 1),
        *(4, 128, 768, 0, 0),
        *(16, 2, 1, 1, 1),
        *(1, 2, 1, 1, 1),
    )


A = {"name": "A", "dtype": "float16", "shape": (64, 64), "box": (64, 64)}
IMAGE = A | {"shape": (2, 8, 8, 64), "box": ()}


def image(lower: Any = (0, 0), upper: Any = (0, 0), channels: int = 64, pixels: int = 16) -> dict[str, Any]:
    return {"im2col": Im2col(lower, upper, channels, pixels)}


BROKEN: list[tuple[dict[str, Any], str, str]] = [
    (A | {"dtype": "bool"}, "TD0650", "tensor 'A' of bool"),
    (A | {"dtype": "int32", "box": (64, 4), "fill_nan": True}, "TD0650", "no NaN to fill with"),
    (A | {"shape": (2,) * 6, "box": (2,) * 6}, "TD0651", "the rank is 6; it must be 1 to 5"),
    (A | {"shape": (0, 64)}, "TD0651", "the extent in dimension 0 is 0"),
    (A | {"shape": (64, 1 << 33)}, "TD0651", "the extent in dimension 1 is 8589934592"),
    (A | {"swizzle": 96}, "TD0651", "the swizzle is 96"),
    (A | {"shape": (64, 63)}, "TD0651", "the stride in dimension 0 is 126; it must be a multiple of 16 bytes"),
    (A | {"strides": (1 << 40, 2)}, "TD0651", "below 2**40"),
    (A | {"strides": (128, 4)}, "TD0651", "the innermost is contiguous"),
    (A | {"strides": (2,)}, "TD0651", "the number of strides is 1"),
    (A | {"box": (64,)}, "TD0651", "the rank of the box is 1"),
    (A | {"box": (0, 64)}, "TD0651", "the box in dimension 0 is 0; it must be 1 to 256 elements"),
    (A | {"box": (257, 64)}, "TD0651", "the box in dimension 0 is 257"),
    (A | {"box": (64, 7)}, "TD0651", "the box in dimension 1 is 14 bytes; it must be a multiple of 16"),
    (A | {"swizzle": 64}, "TD0652", "a row of the box has 128 bytes, the swizzle 64"),
    (A | {"swizzle": 128, "box": (64, 32)}, "TD0652", "a row of the box has 64 bytes, the swizzle 128"),
    (A | {"steps": (9, 1)}, "TD0651", "the step in dimension 0 is 9; it must be 1 to 8"),
    (A | {"steps": (1,)}, "TD0651", "the number of steps is 1"),
    (A | image(), "TD0651", "the rank is 2; it must be 3 to 5"),
    (IMAGE | image(lower=(0,)), "TD0651", "the lower corner is (0,); it must be 2 offsets"),
    (IMAGE | image(lower=(0, -129)), "TD0651", "the lower corner in dimension 2 is -129; it must be -128 to 127"),
    (IMAGE | image(upper=(128, 0)), "TD0651", "the upper corner in dimension 1 is 128"),
    (IMAGE | image(upper=(-8, 0)), "TD0651", "the box of pixels in dimension 1 is 0; it must be at least one pixel"),
    (IMAGE | image(channels=300), "TD0651", "the number of channels is 300"),
    (IMAGE | image(pixels=1025), "TD0651", "the number of pixels is 1025"),
]


@pytest.mark.parametrize(("how", "code", "text"), BROKEN, ids=[f"{i}-{b[1]}" for i, b in enumerate(BROKEN)])
def test_every_rule_has_its_error(how: dict[str, Any], code: str, text: str) -> None:
    with pytest.raises(TileError) as caught:
        tensor_map(**how)
    assert caught.value.code == code
    assert text in caught.value.message and f"'{how['name']}'" in caught.value.message


def test_a_tensor_begins_at_a_multiple_of_16_bytes() -> None:
    m = tensor_map(**A)  # type: ignore[arg-type]
    check_address(m, 4096)
    for call in (check_address, packed):
        with pytest.raises(TileError, match="no multiple of 16") as caught:
            call(m, 4104)
        assert caught.value.code == "TD0653"


def test_maps_are_values() -> None:
    assert tensor_map(**A) == TensorMap("A", "float16", (64, 64), (128, 2), (64, 64))  # type: ignore[arg-type]
