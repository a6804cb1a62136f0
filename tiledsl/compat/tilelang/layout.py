"""`tilelang.layout`: arrangements of shared tiles and distributions over threads, all words of `tiledsl.language`."""

from __future__ import annotations

from typing import Any

from tiledsl.ir import layout as ir
from tiledsl.language import (
    Fragment,
    Layout,
    make_full_bank_swizzled_layout,
    make_half_bank_swizzled_layout,
    make_linear_layout,
    make_quarter_bank_swizzled_layout,
    make_swizzled_layout,
)

__all__ = [
    "Fragment",
    "Layout",
    "make_full_bank_swizzled_layout",
    "make_half_bank_swizzled_layout",
    "make_linear_layout",
    "make_quarter_bank_swizzled_layout",
    "make_swizzled_layout",
    "make_wgmma_swizzled_layout",
]


def make_wgmma_swizzled_layout(buffer: Any, continuity: int | None = None, k_major: bool = True) -> ir.Layout:
    """The widest swizzle that fits, which is what wgmma reads. Raises TileError TD0307 if none fits.

    `continuity` and `k_major` are accepted for their spelling: products take operands of either order.
    """
    return make_swizzled_layout(buffer, k_major, allow_pad=False)
