"""Sizes and index maps of products on tensor cores."""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.typenames import dtype_named


def get_mma_micro_size(dtype: Any) -> tuple[int, int, int]:
    """Rows, columns and length along k of the pieces of `TensorCoreIntrinEmitter` for elements of that dtype."""
    return 16, 16, 256 // dtype_named(dtype).bits


def mma_store_index_map(thread_id: Any, local_id: Any) -> tuple[Any, Any]:
    """Row and column of element `local_id` of a lane in a 16 x 16 piece of a result."""
    row = local_id % 4 // 2 * 8 + thread_id // 4
    return row, local_id // 4 * 8 + thread_id % 4 * 2 + local_id % 2
