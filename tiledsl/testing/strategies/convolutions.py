"""Random windows over random images, and kernels that write the matrix of the convolution out tile by tile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import strategies as st

from tiledsl.ir.dtypes import BFLOAT16, FLOAT16, FLOAT32, INT8, DType
from tiledsl.ir.im2col import Window
from tiledsl.ir.nodes import (
    Alloc,
    Buffer,
    Const,
    For,
    Kernel,
    Launch,
    Pipelined,
    Region,
    Space,
    Stmt,
    Var,
)
from tiledsl.ir.tile import Copy, Im2col
from tiledsl.target import Target, target_named
from tiledsl.testing.strategies.tile_kernels import TileKernel

_NUMPY = {FLOAT16: np.float16, BFLOAT16: ml_dtypes.bfloat16, FLOAT32: np.float32, INT8: np.int8}
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, repr=False)
class Convolution(TileKernel):
    """A kernel that copies a matrix to the tensor "out"; `expected` is what `matrix` says."""

    expected: Array


def matrix(image: Array, w: Window) -> Array:
    """The matrix of a convolution, from its definition: a slice of the padded image for each tap of the filter."""
    n, height, width, channels = image.shape
    rows, columns = w.steps(height), w.steps(width)
    padded = np.zeros((n, height + 2 * w.pad, width + 2 * w.pad, channels), image.dtype)
    padded[:, w.pad : w.pad + height, w.pad : w.pad + width] = image
    out = np.zeros((n, rows, columns, w.kernel, w.kernel, channels), image.dtype)
    for y, x in np.ndindex(rows, columns):
        top, left = y * w.stride, x * w.stride
        taps = slice(top, top + w.reach + 1, w.dilation), slice(left, left + w.reach + 1, w.dilation)
        out[:, y, x] = padded[:, taps[0], taps[1]]
    return out.reshape(n * rows * columns, w.kernel**2 * channels)


def box_of(whole: Array, row: int, column: int, extents: tuple[int, int]) -> Array:
    """A box of a matrix, with 0 outside of it."""
    out = np.zeros(extents, whole.dtype)
    for i, j in np.ndindex(extents):
        if 0 <= row + i < whole.shape[0] and 0 <= column + j < whole.shape[1]:
            out[i, j] = whole[row + i, column + j]
    return out


@st.composite
def windows(draw: st.DrawFn) -> tuple[Window, tuple[int, int]]:
    """A filter, and height and width of images into which it fits."""
    kernel, stride, dilation = (draw(st.integers(1, 3)) for _ in range(3))
    w = Window(kernel, stride, dilation, draw(st.integers(0, 3)))
    least = max(1, w.reach + 1 - 2 * w.pad)
    return w, (least + draw(st.integers(0, 3)), least + draw(st.integers(0, 3)))


@st.composite
def convolutions(draw: st.DrawFn, targets: tuple[str, ...] = ("sm_80", "sm_90a")) -> Convolution:
    """A few tiles of the matrix of a convolution and beyond it, in a pipelined loop along the columns.

    In every other one whole taps are multiples of a tile, as the copy engine wants them.
    """
    w, (height, width) = draw(windows())
    dtype = draw(st.sampled_from(list(_NUMPY)))
    pixels, depth = draw(st.sampled_from([8, 16, 24, 64])), draw(st.sampled_from([4, 8, 16, 32, 64]))
    channels = depth * draw(st.sampled_from([1, 1, 2])) if draw(st.booleans()) else draw(st.sampled_from([1, 3, 8, 24]))
    target = target_named(draw(st.sampled_from(targets)))
    generator = np.random.default_rng(draw(st.integers(0, 99)))
    values = generator.integers(1, 9, (draw(st.integers(1, 2)), height, width, channels)).astype(_NUMPY[dtype])
    whole = matrix(values, w)
    grid, trips = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    corner = (draw(st.sampled_from([0, 0, -3, 5])), draw(st.integers(-1, whole.shape[1] // depth)) * depth)
    kernel = _kernel(values.shape, w, dtype, (grid * pixels, trips * depth), (pixels, depth), corner, target, draw)
    given = {"image": values, "out": np.zeros((grid * pixels, trips * depth), values.dtype)}
    expected = box_of(whole, *corner, (grid * pixels, trips * depth))
    return Convolution(kernel, given, frozenset(["out"]), target, expected)


def _kernel(
    image: tuple[int, ...],
    w: Window,
    dtype: DType,
    out: tuple[int, int],
    tile: tuple[int, int],
    corner: tuple[int, int],
    target: Target,
    draw: st.DrawFn,
) -> Kernel:
    source, result = Buffer("image", image, dtype), Buffer("out", out, dtype)
    shared, held = Buffer("tile", tile, dtype, Space.SHARED), Buffer("held", tile, dtype, Space.FRAGMENT)
    block, k = Var("bx"), Var("k")
    here = (block * tile[0], k * tile[1])
    at = tuple(o + first if first else o for o, first in zip(here, corner))

    def whole(b: Buffer) -> Region:
        return Region(b, (Const(0), Const(0)), tile)

    window = (w.kernel, w.stride, w.dilation, w.pad)
    body: tuple[Stmt, ...] = (
        Copy(Im2col(source, at, tile, *window), whole(shared)),
        Copy(whole(shared), whole(held)),
        Copy(whole(held), Region(result, here, tile)),
    )
    loop = For(k, Const(out[1] // tile[1]), body, Pipelined(draw(st.integers(0, 3))))
    threads = draw(st.sampled_from([128, 128, 64]))
    grid = (Const(out[0] // tile[0]),)
    launch = Launch("main", grid, (block,), (threads,), Var("thread"), (Alloc(shared), Alloc(held), loop))
    return Kernel("convolution", (source, result), (launch,))
