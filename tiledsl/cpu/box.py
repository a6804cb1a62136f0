"""Boxes of tensors: the part of one that lies inside."""

from __future__ import annotations

from collections.abc import Sequence

Slices = tuple[slice, ...]


def clipped(shape: Sequence[int], corner: Sequence[int], extents: Sequence[int]) -> tuple[Slices, Slices]:
    """The part of a box that lies in a tensor: as slices of the tensor, and of the box."""
    inner, outer = [], []
    for o, e, size in zip(corner, extents, shape, strict=True):
        low, high = max(o, 0), min(o + e, size)
        high = max(low, high)
        inner.append(slice(low, high))
        outer.append(slice(low - o, high - o))
    return tuple(inner), tuple(outer)
