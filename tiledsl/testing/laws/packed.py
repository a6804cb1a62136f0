"""Laws of 4-bit numbers in memory: kernels compute with them what NumPy does with arrays of ml_dtypes."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

import tiledsl.language as T
from tiledsl.cpu.numerics import convert, numpy_dtype
from tiledsl.frontend.typenames import dtype_named
from tiledsl.nibbles import pack, unpack
from tiledsl.testing.laws.base import law, laws_of
from tiledsl.testing.laws.neighbours import executed

ROWS, COLUMNS = 5, 24
PACKED = st.sampled_from(["int4", "uint4", "float4_e2m1fn"])
WIDE = st.sampled_from(["int8", "int32", "float16", "bfloat16", "float32", "float64"])
ON_CHIP = {"shared": T.alloc_shared, "fragment": T.alloc_fragment}


def _numbers(seed: int, dtype: str) -> Any:
    """Bytes of random numbers, every one of the sixteen."""
    return np.random.default_rng(seed).integers(0, 256, (ROWS, COLUMNS // 2), dtype=np.uint8)


def _as(numbers: Any, dtype: str, wanted: str) -> Any:
    """By way of the dtype as which a kernel reads them, which holds each of them."""
    wide = dtype_named("float16" if dtype.startswith("float") else "int8")
    return convert(numbers.astype(numpy_dtype(wide)), wide, dtype_named(wanted))


@law(
    examples=8,
    dtype=PACKED,
    wide=WIDE,
    place=st.sampled_from(["shared", "fragment", "global", "elements"]),
    row=st.integers(0, 4),
    first=st.integers(0, 11),
    length=st.integers(1, 8),
    seed=st.integers(0, 99),
)
def packed_numbers_are_read_as_they_are(
    dtype: str, wide: str, place: str, row: int, first: int, length: int, seed: int
) -> None:
    """Parts of any even place and length; what lies behind a row reads as 0."""
    rows, start, count = 3, 2 * first, 2 * length

    def read(A: T.Tensor((ROWS, COLUMNS), dtype), Y: T.Tensor((rows, count), wide)):  # type: ignore
        with T.Kernel(1, threads=32):
            if place == "global":
                T.copy(A[row : row + rows, start : start + count], Y)
            else:
                tile = ON_CHIP["shared" if place == "elements" else place]((rows, count), dtype)
                T.copy(A[row, start], tile)
                if place == "elements":
                    for i, j in T.Parallel(rows, count):
                        Y[i, j] = T.cast(tile[i, j], wide)
                else:
                    T.copy(tile, Y)

    held = _numbers(seed, dtype)
    beyond = np.zeros((ROWS + rows, COLUMNS + start + count), unpack(held, dtype).dtype)
    beyond[:ROWS, :COLUMNS] = unpack(held, dtype)
    expected = _as(beyond[row : row + rows, start : start + count], dtype, wide)
    for found in executed(read, A=held, Y=np.ones_like(expected)):
        np.testing.assert_array_equal(found["Y"], expected)


@law(
    examples=8,
    dtype=PACKED,
    wide=WIDE,
    place=st.sampled_from(["shared", "fragment", "global"]),
    first=st.integers(0, 10),
    length=st.integers(1, 4),
    seed=st.integers(0, 99),
)
def numbers_are_packed_as_they_are_converted(
    dtype: str, wide: str, place: str, first: int, length: int, seed: int
) -> None:
    """Rounding, saturation and wrapping are those of single conversions, and neighbours outside of the part stay."""
    start, count = 2 * first, 2 * length

    def stored(X: T.Tensor((ROWS, count), wide), B: T.Tensor((ROWS, COLUMNS), dtype)):  # type: ignore
        with T.Kernel(1, threads=32):
            if place == "global":
                T.copy(X, B[0, start])
            else:
                tile = ON_CHIP[place]((ROWS, count), dtype)
                T.copy(X, tile)
                T.copy(tile, B[0, start])

    rng = np.random.default_rng(seed)
    kind = dtype_named(wide)
    x = rng.integers(-20, 21, (ROWS, count)).astype(np.float64)
    if kind.is_float:
        x *= 2.0 ** rng.integers(-4, 2, x.shape)  # often half way between two numbers, or beyond the largest
        x[0, 0] = rng.choice([0.0, -0.0, np.inf, -np.inf])
    x = x.astype(numpy_dtype(kind))
    before = _numbers(seed + 1, dtype)
    expected = unpack(before, dtype)
    expected[:, start : start + count] = convert(x, kind, dtype_named(dtype))[:, : COLUMNS - start]
    for found in executed(stored, X=x, B=before):
        np.testing.assert_array_equal(found["B"], pack(expected))


LAWS = laws_of(globals())
