"""Matrices of which two of any four neighbours in a row are zero, as `T.gemm_sp` takes them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tiledsl.errors import error
from tiledsl.isa.sparse import GROUP, WORD, expand

__all__ = ["compress", "expand", "prune"]


def compress(dense: Any) -> tuple[Any, Any]:
    """(values, metadata) of a NumPy array (..., M, K) with at most two elements of each four: (..., M, K / 2) and
    (..., M, K / 16) of uint16. `expand` is the inverse.

    K is a multiple of 16. Raises TileError TD0276 for another K, or where a group has more.
    """
    if dense.shape[-1] % WORD:
        raise error("TD0276", problem=f"rows of {dense.shape[-1]} elements are no whole words of {WORD}")
    groups = dense.reshape(*dense.shape[:-1], -1, GROUP)
    there = groups != 0
    crowded = np.argwhere(there.sum(-1) > 2)
    if len(crowded):
        *_, row, group = (int(n) for n in crowded[0])
        raise error("TD0276", problem=f"row {row} has more than two elements at {GROUP * group} to {GROUP * group + 3}")
    # Of a group with one element or none, zeros are kept: the first of them that come in order.
    order = np.argsort(~there, axis=-1, kind="stable")[..., :2]
    kept = np.sort(order, axis=-1)
    values = np.take_along_axis(groups, kept, -1).reshape(*dense.shape[:-1], dense.shape[-1] // 2)
    nibbles = (kept[..., 0] | kept[..., 1] << 2).reshape(*dense.shape[:-1], -1, 4).astype(np.uint16)
    return values, (nibbles << np.arange(0, 16, 4, dtype=np.uint16)).sum(-1).astype(np.uint16)


def prune(dense: Any) -> Any:
    """The array with the two elements of each four that are the smallest in magnitude set to zero."""
    groups = np.array(dense).reshape(*dense.shape[:-1], -1, GROUP)
    smallest = np.argsort(np.abs(groups.astype(np.float64)), axis=-1, kind="stable")[..., :2]
    np.put_along_axis(groups, smallest, np.zeros((), groups.dtype), -1)
    return groups.reshape(dense.shape)
