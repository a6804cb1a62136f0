"""Numbers and choices that users give to words, when the kernel is traced: TD0226 for others."""

from __future__ import annotations

from typing import Any

from tiledsl.errors import TileError
from tiledsl.frontend.proxies import describe
from tiledsl.frontend.source import fail


def wrong(word: str, name: str, shown: object, allowed: str) -> TileError:
    """The error TD0226: argument `name` of `word` cannot be what is `shown`."""
    return fail("TD0226", word=word, name=name, value=shown, allowed=allowed)


def whole(
    word: str, name: str, value: Any, low: int = 0, high: int | None = None, *, step: int = 1, allowed: str = ""
) -> int:
    """`value`, a Python int from `low` to `high` (None: without end) that is a multiple of `step`; no bool.

    Raises TileError TD0226 for anything else, which says what is `allowed` ("": an int in this range).
    """
    if type(value) is not int or value < low or (high is not None and value > high) or value % step:
        raise wrong(word, name, describe(value), allowed or _range(low, high))
    return value


def _range(low: int, high: int | None) -> str:
    if high is not None:
        return f"{low} to {high}"
    return "a positive int" if low == 1 else f"an int of {low} or more"
