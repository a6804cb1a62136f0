"""Errors of this room: coded as all of tiledsl's, and of the types that TileLang's programs expect."""

from __future__ import annotations

from typing import Any

from tiledsl.errors import TileError, error


class Refused(TileError, ValueError):
    """What TileLang raises as a ValueError."""


def refused(code: str, **facts: Any) -> Refused:
    """An error of the catalogue that is also a ValueError."""
    made = error(code, **facts)
    again = Refused(made.code, made.message, made.span, made.hint, made.notes)
    again.facts = made.facts
    return again
