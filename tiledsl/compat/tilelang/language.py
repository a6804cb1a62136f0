"""`import tiledsl.compat.tilelang.language as T`: the words of `tiledsl.language`, and TileLang's own beside them."""

from __future__ import annotations

from typing import Any

from tiledsl import language
from tiledsl.compat.tilelang.primfunc import PrimFunc as PrimFunc
from tiledsl.compat.tilelang.primfunc import prim_func as prim_func
from tiledsl.frontend.proxies import WORDS, TypeWord
from tiledsl.frontend.typenames import dtype_named

_OWN = ("PrimFunc", "dtype", "prim_func")
__all__ = [*language.__all__, *_OWN]


def dtype(spelled: Any) -> TypeWord:
    """The dtype that a string, a word, or a dtype of torch or NumPy names: `T.dtype("float16").bits`."""
    return WORDS[dtype_named(spelled).name]


def __getattr__(name: str) -> Any:
    """The word of tiledsl. Raises TileError TD0102 or TD0103 for what is none."""
    return getattr(language, name)
