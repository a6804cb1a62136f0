"""`tilelang.transform`: the keys of `pass_configs`. tiledsl's own passes are in docs/passes.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tiledsl.compat.tilelang.pass_config import PassConfigKey

__all__ = ["PassConfigKey", "simplify_prim_func"]
F = TypeVar("F", bound=Callable[..., object])


def simplify_prim_func(fn: F) -> F:
    """The function as it is: every kernel is simplified when it is compiled."""
    return fn
