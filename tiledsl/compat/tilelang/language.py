"""`import tiledsl.compat.tilelang.language as T`: the words of `tiledsl.language`, and TileLang's own beside them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tiledsl import language
from tiledsl.compat.tilelang.options import Chosen, chosen
from tiledsl.compat.tilelang.primfunc import PrimFunc as PrimFunc
from tiledsl.compat.tilelang.primfunc import prim_func as prim_func
from tiledsl.frontend.proxies import WORDS, TypeWord
from tiledsl.frontend.typenames import dtype_named

_OWN = ("PrimFunc", "annotate_compile_flags", "annotate_pass_configs", "dtype", "prim_func")
__all__ = [*(name for name in language.__all__ if name not in _OWN), *_OWN]


def dtype(spelled: Any) -> TypeWord:
    """The dtype that a string, a word, or a dtype of torch or NumPy names: `T.dtype("float16").bits`."""
    return WORDS[dtype_named(spelled).name]


def annotate_compile_flags(flags: Sequence[str] | str) -> None:
    """The flags of `tilelang.jit(compile_flags=...)`, said in the kernel; those without a counterpart warn once."""
    _annotate(chosen(compile_flags=flags))


def annotate_pass_configs(configs: Mapping[Any, Any]) -> None:
    """The options of `tilelang.jit(pass_configs=...)`, said in the kernel; these have the last word."""
    _annotate(chosen(pass_configs=configs))


def _annotate(found: Chosen) -> None:
    language.annotate_pass_configs(found.options)
    if found.fast_math:
        language.annotate_compile_flags(["--use_fast_math"])


def __getattr__(name: str) -> Any:
    """The word of tiledsl. Raises TileError TD0102 or TD0103 for what is none."""
    return getattr(language, name)
