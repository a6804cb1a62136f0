"""`tilelang.intrinsics`: the emitter of warp products, and the swizzle that its tiles want."""

from __future__ import annotations

from tiledsl.compat.tilelang.intrinsics.mma_layout import get_swizzle_layout, make_mma_swizzle_layout
from tiledsl.compat.tilelang.intrinsics.utils import get_mma_micro_size, mma_store_index_map
from tiledsl.language.emitters import TensorCoreIntrinEmitter

__all__ = [
    "TensorCoreIntrinEmitter",
    "get_mma_micro_size",
    "get_swizzle_layout",
    "make_mma_swizzle_layout",
    "mma_store_index_map",
]
