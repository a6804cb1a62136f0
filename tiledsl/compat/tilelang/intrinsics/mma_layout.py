"""Where the elements of a tile go, so that the rows of ldmatrix lie in different banks."""

from __future__ import annotations

from typing import Any

from tiledsl.compat.tilelang.errors import refused
from tiledsl.frontend.typenames import dtype_named
from tiledsl.ir import layout as ir
from tiledsl.language import make_swizzled_layout

_BANKS_BYTES, _CHUNK_BITS = 128, 128


def get_swizzle_layout(row_idx: Any, col_idx: Any, row_size: int, dtype: Any) -> tuple[Any, Any]:
    """Row and column of element (row_idx, col_idx) of a tile with rows of 128, 64 or 32 bytes, for T.Layout.

    Pieces of 16 bytes of a row change places, by the number of the row among those that share the 128 bytes of all
    banks. Raises TileError TD0641, a ValueError, for rows of another size.
    """
    bits = dtype_named(dtype).bits
    chunks = row_size * bits // _CHUNK_BITS
    if row_size * bits not in (8 * _BANKS_BYTES, 4 * _BANKS_BYTES, 2 * _BANKS_BYTES):
        raise refused(
            "TD0641", what="row_size", given=f"{row_size} of {bits} bits", known="rows of 128, 64 and 32 bytes"
        )
    width = _CHUNK_BITS // bits
    turn = row_idx // (8 // chunks) % chunks
    return row_idx, (col_idx // width ^ turn) * width + col_idx % width


def make_mma_swizzle_layout(shared_buf: Any, is_smooth: bool = False) -> ir.Layout:
    """The layout of a shared tile that ldmatrix reads without bank conflicts. Raises TileError TD0307."""
    return make_swizzled_layout(shared_buf)
