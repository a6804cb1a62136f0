"""Shapes that users write: integers, and sizes of the call."""

from __future__ import annotations

from typing import Any

from tiledsl.frontend.proxies import Scalar, describe, index_of, operand
from tiledsl.frontend.source import fail


def sizes(shape: Any, word: str, *, least: int = 1) -> tuple[int | Scalar, ...]:
    """`shape` as a tuple of integers, at least `least`, and traced sizes. Raises TileError TD0221 for anything else."""
    items = list(shape) if isinstance(shape, (tuple, list)) else [shape]
    out: list[int | Scalar] = []
    for item in items:
        if isinstance(item, (tuple, list, str, bool)):
            raise fail("TD0221", word=word, value=describe(item))
        size = operand(item)
        index_of(size, f"a size in {word}")
        if isinstance(size, Scalar) and size.reads:
            raise fail("TD0221", word=word, value=describe(item))
        if not isinstance(size, Scalar) and size < least:
            raise fail("TD0221", word=word, value=size)
        out.append(size if isinstance(size, Scalar) else int(size))
    return tuple(out)


def const_sizes(shape: Any, word: str) -> tuple[int, ...]:
    """`shape` as positive integers. Raises TileError TD0220 for a traced size, TD0221 for one that is not positive."""
    out: list[int] = []
    for size in sizes(shape, word):
        if isinstance(size, Scalar):
            raise fail("TD0220", word=word, value=describe(size))
        out.append(size)
    return tuple(out)
