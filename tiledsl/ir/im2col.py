"""The matrix of a convolution ("im2col"): where in the image each of its elements lies.

With an image N, H, W, C (channels innermost) and a square filter, row r of the matrix stands for the output pixel
(image, y, x) number r, and column c for (ky, kx, channel) number c. Times the filter as a matrix (ky, kx, channel) by
features it is the convolution.
"""

from __future__ import annotations

from dataclasses import dataclass

from tiledsl.ir.nodes import Buffer, Expr


@dataclass(frozen=True, slots=True)
class Window:
    """A filter of `kernel` x `kernel` taps that are `dilation` pixels apart, and its steps over an image with `pad`
    pixels of nothing around it.
    """

    kernel: int
    stride: int
    dilation: int
    pad: int

    @property
    def reach(self) -> int:
        """The distance between its first and its last tap, in pixels."""
        return self.dilation * (self.kernel - 1)

    def steps(self, extent: int) -> int:
        """Output pixels along a side of the image; 0 or less where the filter does not fit."""
        return (extent + 2 * self.pad - self.reach - 1) // self.stride + 1


@dataclass(frozen=True, slots=True)
class Place:
    """Where an element of the matrix lies: at `pixel` plus `tap`, in `channel`. `pixel` is that of the first tap."""

    image: Expr
    pixel: tuple[Expr, Expr]
    tap: tuple[Expr, Expr]
    channel: Expr

    @property
    def coordinates(self) -> tuple[Expr, ...]:
        (y, x), (down, right) = self.pixel, self.tap
        return self.image, y + down, x + right, self.channel


def image_sides(image: Buffer) -> tuple[int, int, int]:
    """Height, width and channels. Raises TypeError for a tensor of another rank or where they are not constant."""
    sides = image.shape[1:]
    if len(sides) != 3 or not all(isinstance(n, int) for n in sides):
        raise TypeError(f"'{image.name}' is no image N, H, W, C of constant H, W and C")
    return sides  # type: ignore[return-value]


def place_in(image: Buffer, window: Window, row: Expr, column: Expr) -> Place:
    """The place of an element: in no image for a row outside of the matrix, in no channel for a column outside."""
    height, width, channels = image_sides(image)
    rows, columns, k = window.steps(height), window.steps(width), window.kernel
    pixel = (
        row // columns % rows * window.stride - window.pad,
        row % columns * window.stride - window.pad,
    )
    tap = (column // (k * channels) % k * window.dilation, column // channels % k * window.dilation)
    outside = column // (k * k * channels) * channels
    return Place(row // (rows * columns), pixel, tap, column % channels + outside)
