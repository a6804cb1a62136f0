"""The place in which TileLang has its emitter of warp products."""

from __future__ import annotations

from tiledsl.language.emitters import TensorCoreIntrinEmitter

__all__ = ["TensorCoreIntrinEmitter"]
